//! A policy as flow rules: what its author wrote as sections, written out in the language of [`crate::script`].

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::policy::{
    Capability, ForbidTarget, Limits, PacketTarget, Packets, Policy, Service, TagExpr, Target,
};
use crate::script::free_text;
use crate::zmtp::SocketType;

/// The flow rules that a policy stands for, one on each line: what forbids rule out, the raw rules as they are written,
/// what may begin, and what capabilities add for their holders. What no rule accepts is dropped; the answers of what was
/// accepted pass. Rates are no rules and stand in comments.
pub fn policy_text(policy: &Policy) -> String {
    let mut lines = Vec::new();
    for forbid in &policy.forbids {
        let from = Matches::default().nodes("from", &forbid.from);
        let matches = match &forbid.to {
            ForbidTarget::Everything(to) => from.nodes("to", to),
            ForbidTarget::Packets(target) => from.packets(target),
            ForbidTarget::Service(name) => from.one(format!("zmq service {}", free_text(name))),
        };
        lines.push(matches.ends("drop", &forbid.id));
    }
    if let Some(rules) = &policy.rules {
        lines.push(rules.text.trim_matches('\n').to_owned());
    }
    for allow in &policy.allows {
        let permission = Permission { sockets: &allow.sockets, topics: &allow.topics, limits: &allow.limits };
        lines.extend(permission.rule(policy, Some(&allow.from), &allow.to, &allow.id));
    }
    for (at, capability) in policy.capabilities.iter().enumerate() {
        let Capability { sockets, topics, limits, .. } = capability;
        let permission = Permission { sockets, topics, limits };
        let rule = permission.rule(policy, capability.from.as_ref(), &capability.to, &capability.name);
        lines.push(format!("cap {} id {}", free_text(&capability.name), at + 1));
        lines.extend(rule.map(|rule| format!("  {rule}")));
        lines.push(";".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

/// How much of what it reaches a rule lets pass.
struct Permission<'p> {
    sockets: &'p [SocketType],
    topics: &'p [String],
    limits: &'p Limits,
}

impl Permission<'_> {
    /// The rule; `None` where it lets nothing pass.
    fn rule(&self, policy: &Policy, from: Option<&TagExpr>, to: &Target, id: &str) -> Option<String> {
        let matches = from.map_or_else(Matches::default, |from| Matches::default().nodes("from", from));
        match to {
            Target::Packets(target) => Some(matches.packets(target).ends("accept", id)),
            Target::Service(name) => {
                let service = policy.services.get(name)?;
                let matches = matches
                    .nodes("to", &service.hosted_by)
                    .one(format!("zmq service {}", free_text(name)))
                    .any(self.sockets.iter().map(|socket| format!("zmq socket {}", socket.name())))
                    .any(
                        self.topics_in(service)?
                            .iter()
                            .map(|topic| format!("zmq topic {}", free_text(topic))),
                    );
                let most = [self.limits.max_message, service.limits.max_message].into_iter().flatten().min();
                let matches = match most {
                    Some(most) => matches.one(format!("zmq size 0-{most}")),
                    None => matches,
                };
                Some(matches.ends("accept", id))
            }
        }
    }

    /// Its topics inside those of the service: of each two the longer, where one begins with the other. Empty for every
    /// topic; `None` for none.
    fn topics_in<'p>(&'p self, service: &'p Service) -> Option<Vec<&'p str>> {
        let all = |topics: &'p [String]| topics.iter().map(String::as_str).collect::<Vec<_>>();
        if self.topics.is_empty() || service.topics.is_empty() {
            return Some(all(if self.topics.is_empty() { &service.topics } else { self.topics }));
        }
        let mut both = Vec::new();
        for theirs in all(&service.topics) {
            for ours in all(self.topics) {
                let inside = ours.starts_with(theirs).then_some(ours);
                both.extend(inside.or_else(|| theirs.starts_with(ours).then_some(theirs)));
            }
        }
        (!both.is_empty()).then_some(both)
    }
}

/// The matches of one rule under way.
#[derive(Default)]
struct Matches(Vec<String>);

impl Matches {
    fn one(mut self, text: String) -> Self {
        self.0.push(text);
        self
    }

    /// One of these; nothing where there is none.
    fn any(self, alternatives: impl Iterator<Item = String>) -> Self {
        let alternatives: Vec<String> = alternatives.collect();
        match alternatives.as_slice() {
            [] => self,
            [only] => self.one(only.clone()),
            several => self.one(format!("({})", several.join(" or "))),
        }
    }

    fn nodes(self, keyword: &str, nodes: &TagExpr) -> Self {
        nodes.terms().iter().fold(self, |matches, term| matches.one(format!("{keyword} {term}")))
    }

    fn packets(self, target: &PacketTarget) -> Self {
        let matches = self.nodes("to", &target.to);
        let (protocol, ports) = match &target.packets {
            Packets::Tcp(ports) => ("tcp", ports),
            Packets::Udp(ports) => ("udp", ports),
            // Each version has its own; the other's number is no ICMP.
            Packets::Icmp => {
                let v4 = "(ethertype ipv4 and ipprotocol 1)".to_string();
                return matches.any([v4, "(ethertype ipv6 and ipprotocol 58)".to_string()].into_iter());
            }
        };
        let (first, last) = (ports.start(), ports.end());
        let ports = if first == last { format!("dport {first}") } else { format!("dport {first}-{last}") };
        matches.one(format!("ipprotocol {protocol}")).one(ports)
    }

    fn ends(self, action: &str, id: &str) -> String {
        let matches = self.0.join(" and ");
        let space = if matches.is_empty() { "" } else { " " };
        format!("{action}{space}{matches} as {};", free_text(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Dialect, Options, Script};

    const HEAD: &str = r#"default = "deny"
rules = '''
tee -1 b ipprotocol tcp;
'''
[tags]
role = ["gw", "hmi"]
site = ["n", "s"]
[nodes]
a = { role = "gw", site = "n" }
b = { role = "hmi", site = "s" }
[service.telemetry]
hosted-by = "role=gw site=n"
socket = "pub"
topics = ["temp.", "vib."]
max-message = "64KiB"
[service.command]
hosted-by = "role=gw"
sockets = ["rep", "router"]
"#;

    #[test]
    fn every_section_is_written_out_as_flow_rules() {
        let text = format!(
            "{HEAD}{}",
            r#"
[[allow]]
id = "trend"
from = "role=hmi"
to = "telemetry"
topics = ["temp.a", "v", "none."]
max-message = "1KiB"
[[allow]]
id = "all"
from = "node=b"
to = "telemetry"
[[allow]]
id = "orders"
from = "role=hmi site=s"
to = "command"
sockets = ["req", "dealer"]
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw site=n tcp:22"
[[allow]]
id = "ping"
from = "role=hmi"
to = "role=gw icmp"
[[forbid]]
id = "never"
from = "role=gw"
to = "role=hmi"
[[forbid]]
id = "no-telnet"
from = "role=hmi"
to = "role=gw tcp:23-25"
[[forbid]]
id = "no-orders"
from = "role=gw"
to = "command"
[capability.firmware]
from = "role=hmi"
to = "command"
max-ttl = "4h"
[capability.dump]
to = "role=gw udp:69"
max-ttl = "1h"
"#
        )
        .replace(", \"none.\"", "");
        let policy = Policy::parse("p.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let printed = policy_text(&policy);
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(
            lines,
            [
                "drop from role=gw and to role=hmi as never;",
                "drop from role=hmi and to role=gw and ipprotocol tcp and dport 23-25 as no-telnet;",
                "drop from role=gw and zmq service command as no-orders;",
                "tee -1 b ipprotocol tcp;",
                "accept from role=hmi and to role=gw and to site=n and zmq service telemetry and \
                 (zmq topic temp.a or zmq topic vib.) and zmq size 0-1024 as trend;",
                "accept from node=b and to role=gw and to site=n and zmq service telemetry and \
                 (zmq topic temp. or zmq topic vib.) and zmq size 0-65536 as all;",
                "accept from role=hmi and from site=s and to role=gw and zmq service command and \
                 (zmq socket REQ or zmq socket DEALER) as orders;",
                "accept from role=hmi and to role=gw and to site=n and ipprotocol tcp and dport 22 as ssh;",
                "accept from role=hmi and to role=gw and \
                 ((ethertype ipv4 and ipprotocol 1) or (ethertype ipv6 and ipprotocol 58)) as ping;",
                "cap firmware id 1",
                "  accept from role=hmi and to role=gw and zmq service command as firmware;",
                ";",
                "cap dump id 2",
                "  accept to role=gw and ipprotocol udp and dport 69 as dump;",
                ";",
            ]
        );
    }

    #[test]
    fn what_is_printed_compiles_also_where_names_are_words_of_the_language() {
        let text = HEAD.replace(
            "[service.command]",
            "[[allow]]\nid = 'accept'\nfrom = 'role=hmi'\n\
             to = 'telemetry'\ntopics = ['temp.\\ #;', 'v']\n[[allow]]\nid = 'or'\nfrom = 'role=hmi'\n\
             to = 'command'\n[service.command]",
        );
        let policy = Policy::parse("p.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let printed = policy_text(&policy);
        let script = Script::compile(&printed, &Options::new("p.rules", Dialect::Lockgate));
        let script = script.unwrap_or_else(|mistakes| panic!("{printed}\n{mistakes:#?}"));
        let names: Vec<&str> = script.rules.acts().map(|act| &*act.rule.id).collect();
        assert_eq!(names, ["rules", "accept", "or"]);
    }
}
