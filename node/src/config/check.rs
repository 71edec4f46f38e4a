//! What shows only when configuration and policy are seen together.

use lockgate_proto::document::{Mistake, Mistakes, nearest, quoted};
use lockgate_proto::policy::Policy;
use lockgate_proto::rules::{Denial, Opening, Rules};
use lockgate_proto::zmtp::SocketType;

use super::{Config, Offer, Use};

/// Every mistake in `config` that the policy reveals: names it does not know, offers it does not permit, and uses
/// that can never work.
pub fn check(config: &Config, policy: &Policy) -> Vec<Mistake> {
    let rules = Rules::compile(policy, 1);
    let mut check = Check { config, policy, rules: &rules, mistakes: Mistakes::new(&config.file) };
    let knows_us = check.node("node.name", config.lines.name, &config.name);
    for peer in &config.peers {
        check.node("peer.name", peer.lines.name, &peer.name);
    }
    for offer in &config.offers {
        check.offer(offer, knows_us);
    }
    for used in &config.uses {
        check.use_of(used, knows_us);
    }
    check.mistakes.into_list()
}

struct Check<'c> {
    config: &'c Config,
    policy: &'c Policy,
    rules: &'c Rules,
    mistakes: Mistakes,
}

impl Check<'_> {
    /// Whether the policy knows the node.
    fn node(&mut self, key: &str, line: usize, name: &str) -> Known {
        if self.policy.node(name).is_some() {
            return Known::Yes;
        }
        let problem = format!("{} has no node {}", self.policy.file, quoted(name));
        let mend = nearest(name, self.rules.nodes()).map_or_else(
            || format!("add it to [nodes] there:  {name} = {{ … }}"),
            |near| format!("did you mean {}?", quoted(near)),
        );
        self.mistakes.note(line, key, problem, mend);
        Known::No
    }

    /// Whether the policy knows the service.
    fn service(&mut self, key: &str, line: usize, name: &str) -> Known {
        if self.rules.service(name).is_some() {
            return Known::Yes;
        }
        let problem = format!("{} has no service {}", self.policy.file, quoted(name));
        let mend = nearest(name, self.rules.services()).map_or_else(
            || format!("add [service.{name}] and an [[allow]] there"),
            |near| format!("did you mean {}?", quoted(near)),
        );
        self.mistakes.note(line, key, problem, mend);
        Known::No
    }

    fn offer(&mut self, offer: &Offer, knows_us: Known) {
        if self.service("offer.service", offer.line, &offer.service) == Known::No || knows_us == Known::No {
            return;
        }
        if let Err(denial) = self.rules.may_host(&self.config.name, &offer.service) {
            self.denied(
                "offer.service",
                offer.line,
                &denial,
                "remove this [[offer]], or change `hosted-by` or the node's tags",
            );
        }
    }

    fn use_of(&mut self, used: &Use, knows_us: Known) {
        if self.service("use.service", used.line, &used.service) == Known::No || knows_us == Known::No {
            return;
        }
        match &used.from {
            Some(from) => {
                for host in from.iter().filter(|host| self.policy.node(host).is_some()) {
                    if let Some(denial) = self.denial(host, used) {
                        self.denied("use.from", used.from_line, &denial, USE_MEND);
                    }
                }
            }
            None => self.use_from_anywhere(used),
        }
    }

    /// Without `from` it is enough that one peer may host it and that a rule lets this node in.
    fn use_from_anywhere(&mut self, used: &Use) {
        let hosts: Vec<&str> =
            self.rules.hosts(&used.service).filter(|host| *host != self.config.name).collect();
        if hosts.is_empty() {
            let problem = format!("no other node may host {}", quoted(&used.service));
            self.mistakes.note(
                used.line,
                "use.service",
                problem,
                "remove this [[use]], or change `hosted-by` or the nodes' tags",
            );
            return;
        }
        let denials: Vec<Option<Denial>> = hosts.iter().map(|host| self.denial(host, used)).collect();
        if let Some(Some(denial)) = denials.iter().find(|_| denials.iter().all(Option::is_some)) {
            self.denied("use.service", used.line, denial, USE_MEND);
            return;
        }
        let is_peer = |host: &&str| self.config.peers.iter().any(|peer| peer.name == *host);
        if !hosts.iter().any(is_peer) {
            let problem = format!("no [[peer]] here may host {}", quoted(&used.service));
            self.mistakes.note(
                used.line,
                "use.service",
                problem,
                format!("add one of these as a [[peer]]: {}", hosts.join(", ")),
            );
        }
    }

    /// Why no application of this node may use the service from `host`, whatever its socket; `None` where one may.
    fn denial(&self, host: &str, used: &Use) -> Option<Denial> {
        let opening =
            |socket| Opening { user: &self.config.name, host, service: &used.service, socket, identity: &[] };
        let service = self.rules.service(&used.service)?;
        let fits = |socket: &SocketType| service.sockets().iter().any(|offered| offered.matches(*socket));
        let mut denial = None;
        for socket in SocketType::ALL.into_iter().filter(fits) {
            match self.rules.may_open(&opening(socket)) {
                Ok(_) => return None,
                Err(why) => denial = denial.or(Some(why)),
            }
        }
        denial
    }

    fn denied(&mut self, key: &str, line: usize, denial: &Denial, mend: &str) {
        self.mistakes.note(line, key, denial.to_string(), mend);
    }
}

/// Whether the policy knows a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

const USE_MEND: &str = "add an [[allow]] to the policy, or remove this from [[use]]";
