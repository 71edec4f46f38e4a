//! What rules grant, what they deny and why; and that they agree with a slow and obvious reading of the policy.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::zmtp::SocketType as S;

const POLICY: &str = r#"
default = "deny"
[tags]
role = ["gw", "hist", "hmi"]
site = ["north", "south"]
[nodes]
g1 = { role = "gw", site = "north" }
h1 = { role = "hist", site = "south" }
h2 = { role = "hist", site = "north" }
m1 = { role = "hmi", site = "south" }
[service.tele]
hosted-by = "role=gw"
sockets = ["pub", "xpub"]
topics = ["temp.", "vib."]
max-message = "64KiB"
rate = "2000/s"
[service.cmd]
hosted-by = "role=gw"
socket = "rep"
[[allow]]
id = "temp"
from = "role=hist"
to = "tele"
topics = ["temp."]
max-message = "1KiB"
rate = "10/s"
[[allow]]
id = "all-south"
from = "role=hist site=south"
to = "tele"
topics = ["temp.a.", "v"]
[[allow]]
id = "cmd"
from = "role=hist"
to = "cmd"
sockets = ["req"]
[[allow]]
id = "ssh"
from = "role=hmi"
to = "role=gw tcp:22"
"#;

fn rules() -> Rules {
    Rules::compile(&Policy::parse("p.toml", POLICY).expect("it is valid"), 7)
}

fn opening<'a>(user: &'a str, host: &'a str, service: &'a str, socket: S) -> Opening<'a> {
    Opening {
        user,
        host,
        service,
        socket,
    }
}

#[test]
fn a_grant_is_the_union_of_its_rules_within_the_service() {
    let rules = rules();
    assert_eq!(rules.generation(), 7);
    let one = rules
        .open(&opening("h2", "g1", "tele", S::Sub))
        .expect("allowed");
    assert_eq!(
        one.rules()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        ["temp (p.toml:20)"]
    );
    assert_eq!(one.host_sockets(), [S::Pub, S::Xpub]);
    assert_eq!(
        (one.max_message(), one.rate()),
        (1024, Some(Rate::per_second(10)))
    );
    assert_eq!((one.restricts_topics(), one.longest_topic()), (true, 5));

    let both = rules
        .open(&opening("h1", "g1", "tele", S::Xsub))
        .expect("allowed");
    let ids: Vec<&str> = both.rules().iter().map(|rule| &*rule.id).collect();
    assert_eq!(ids, ["all-south", "temp"]);
    assert_eq!(
        (both.max_message(), both.rate()),
        (65_536, Some(Rate::per_second(2000)))
    );
    for (message, rule, most) in [
        ("temp.a.1", Ok(0), 65_536),
        ("temp.b", Ok(1), 1024),
        ("vib.x", Ok(0), 65_536),
        ("v", Err(()), 0),
        ("temp", Err(()), 0),
        ("", Err(()), 0),
        ("raw.", Err(()), 0),
    ] {
        assert_eq!(both.publish(message.as_bytes()), rule, "{message}");
        assert_eq!(
            rule.map_or(0, |rule| both.max_message_under(rule)),
            most,
            "{message}"
        );
    }
}

#[test]
fn a_subscription_may_be_wider_than_a_rule_but_not_beside_it() {
    let grant = rules()
        .open(&opening("h2", "g1", "tele", S::Sub))
        .expect("allowed");
    for (topic, passes) in [
        ("", true),
        ("t", true),
        ("temp.", true),
        ("temp.9", true),
        ("temp/", false),
        ("vib.", false),
        ("x", false),
    ] {
        assert_eq!(grant.subscribe(topic.as_bytes()).is_ok(), passes, "{topic}");
    }
    assert!(
        grant.publish(b"vib.1").is_err(),
        "SUBSCRIBE \"\" does not let through what the topics forbid"
    );
}

#[test]
fn without_topics_and_limits_everything_fits_up_to_64_mib() {
    let grant = rules()
        .open(&opening("h1", "g1", "cmd", S::Req))
        .expect("allowed");
    assert_eq!((grant.max_message(), grant.rate()), (64 << 20, None));
    assert_eq!(
        (grant.restricts_topics(), grant.longest_topic()),
        (false, 0)
    );
    assert_eq!((grant.publish(b""), grant.subscribe(b"x")), (Ok(0), Ok(0)));
}

#[test]
fn a_denial_names_the_nearest_rule_and_why_it_does_not_match() {
    let rules = rules();
    for (asked, told) in [
        (
            ("m1", "g1", "tele", S::Sub),
            "no rule lets a SUB socket of m1 use tele; nearest rule temp (p.toml:20): it is for role=hist: m1 has role=hmi",
        ),
        (
            ("h1", "g1", "cmd", S::Dealer),
            "no rule lets a DEALER socket of h1 use cmd; nearest rule cmd (p.toml:32): it is for REQ sockets",
        ),
        (
            ("h1", "g1", "cmd", S::Sub),
            "a SUB socket of h1 cannot talk to cmd; nearest rule service.cmd (p.toml:17): it is offered by REP",
        ),
        (
            ("h1", "h2", "tele", S::Sub),
            "node h2 may not host tele; nearest rule service.tele (p.toml:11): it is hosted by role=gw: h2 has role=hist",
        ),
        (
            ("h1", "g1", "tel", S::Sub),
            "the policy has no service \"tel\"; add it there, or correct the name",
        ),
        (
            ("h9x", "g1", "tele", S::Sub),
            "the policy has no node \"h9x\"; add it there, or correct the name",
        ),
        (
            ("h1", "zzzzz", "tele", S::Sub),
            "the policy has no node \"zzzzz\"; add it there, or correct the name",
        ),
    ] {
        let (user, host, service, socket) = asked;
        let denial = rules
            .open(&opening(user, host, service, socket))
            .expect_err(told);
        assert_eq!(denial.to_string(), told);
    }
}

#[test]
fn no_policy_denies_all_and_says_so() {
    let rules = Rules::nothing();
    assert!(rules.is_nothing() && rules.generation() == 0);
    assert_eq!(rules.hosts("tele").count(), 0);
    assert!(rules.may_host("g1", "tele").is_err());
    let denial = rules
        .open(&opening("h1", "g1", "tele", S::Sub))
        .expect_err("denied");
    assert!(denial.reason.contains("no policy"), "{denial}");
}

#[test]
fn a_policy_without_rules_grants_nothing() {
    let policy = Policy::parse("p.toml", "default = \"deny\"\n[nodes]\na = {}\nb = {}\n")
        .expect("it is valid");
    let rules = Rules::compile(&policy, 1);
    for socket in S::ALL {
        assert!(rules.open(&opening("a", "b", "any", socket)).is_err());
    }
}

#[test]
fn hosts_are_sorted_and_an_unknown_service_has_none() {
    let rules = rules();
    assert_eq!(rules.hosts("tele").collect::<Vec<_>>(), ["g1"]);
    assert_eq!(rules.hosts("none").count(), 0);
    assert!(rules.may_host("g1", "cmd").is_ok() && rules.may_host("h1", "cmd").is_err());
}

/// A seeded generator; the same seed gives the same policy.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) >> 33).unwrap_or(0) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }

    fn some<T: Copy>(&mut self, from: &[T], most: usize) -> Vec<T> {
        let many = self.roll(most + 1);
        (0..many).map(|_| self.pick(from)).collect()
    }
}

/// A rule in the plainest form: lists of what was written.
struct Plain {
    from: Vec<(&'static str, &'static str)>,
    service: usize,
    sockets: Vec<&'static str>,
    topics: Vec<&'static str>,
    size: u64,
}

struct PlainService {
    hosted_by: (&'static str, &'static str),
    sockets: Vec<&'static str>,
    topics: Vec<&'static str>,
    size: u64,
}

const TERMS: [(&str, &str); 5] = [
    ("x", "1"),
    ("x", "2"),
    ("y", "1"),
    ("y", "2"),
    ("node", "n0"),
];
const NODES: [(&str, [&str; 2]); 4] = [
    ("n0", ["1", "1"]),
    ("n1", ["1", "2"]),
    ("n2", ["2", "1"]),
    ("n3", ["2", "2"]),
];
const TOPICS: [&str; 6] = ["a", "ab", "abc", "b", "ba", "c"];

/// A policy as text and, from the same dice, as plain lists.
fn random_policy(dice: &mut Dice) -> (String, [PlainService; 2], Vec<Plain>) {
    let mut text = String::from(
        "default = \"deny\"\n[tags]\nx = [\"1\", \"2\"]\ny = [\"1\", \"2\"]\n[nodes]\n",
    );
    for (name, [x, y]) in NODES {
        text.push_str(&format!("{name} = {{ x = \"{x}\", y = \"{y}\" }}\n"));
    }
    let services = [0, 1].map(|at| {
        let service = PlainService {
            hosted_by: dice.pick(&TERMS),
            sockets: if at == 0 {
                [dice.pick(&["pub", "xpub"])].into()
            } else {
                [dice.pick(&["rep", "router", "pull"])].into()
            },
            topics: if at == 0 {
                dice.some(&TOPICS, 2)
            } else {
                Vec::new()
            },
            size: 1 + dice.roll(1000) as u64,
        };
        let (tag, value) = service.hosted_by;
        text.push_str(&format!(
            "[service.s{at}]\nhosted-by = \"{tag}={value}\"\nsockets = {:?}\nmax-message = {}\n",
            service.sockets, service.size
        ));
        push_list(&mut text, "topics", &service.topics);
        service
    });
    let rules: Vec<Plain> = (0..2 + dice.roll(3))
        .map(|at| random_rule(dice, at, &mut text))
        .collect();
    (text, services, rules)
}

fn random_rule(dice: &mut Dice, at: usize, text: &mut String) -> Plain {
    // The first two see to it that each service has a rule.
    let service = if at < 2 { at } else { dice.roll(2) };
    let first = dice.pick(&TERMS);
    let mut from = [first].to_vec();
    from.extend(
        dice.some(&TERMS, 1)
            .into_iter()
            .filter(|(tag, _)| *tag != first.0),
    );
    let rule = Plain {
        from,
        service,
        sockets: if service == 0 {
            dice.some(&["sub", "xsub"], 1)
        } else {
            Vec::new()
        },
        topics: if service == 0 {
            dice.some(&TOPICS, 2)
        } else {
            Vec::new()
        },
        size: 1 + dice.roll(1000) as u64,
    };
    let terms: Vec<String> = rule
        .from
        .iter()
        .map(|(tag, value)| format!("{tag}={value}"))
        .collect();
    text.push_str(&format!(
        "[[allow]]\nid = \"r{at}\"\nfrom = \"{}\"\nto = \"s{service}\"\nmax-message = {}\n",
        terms.join(", "),
        rule.size
    ));
    push_list(text, "sockets", &rule.sockets);
    push_list(text, "topics", &rule.topics);
    rule
}

fn push_list(text: &mut String, key: &str, items: &[&str]) {
    if !items.is_empty() {
        text.push_str(&format!("{key} = {items:?}\n"));
    }
}

fn carries(node: usize, (tag, value): (&str, &str)) -> bool {
    let (name, [x, y]) = NODES[node];
    match tag {
        "x" => x == value,
        "y" => y == value,
        _ => name == value,
    }
}

/// The largest message on `topic` that the plain lists allow; 0 for none at all.
fn obvious(
    services: &[PlainService],
    rules: &[Plain],
    user: usize,
    host: usize,
    at: usize,
    socket: S,
    topic: &str,
) -> u64 {
    let service = &services[at];
    let offered = |name: &&'static str| {
        S::from_name(&name.to_uppercase()).is_some_and(|offered| offered.matches(socket))
    };
    let covers = |topics: &[&str]| {
        topics.is_empty() || topics.iter().any(|prefix| topic.starts_with(prefix))
    };
    if !carries(host, service.hosted_by)
        || !service.sockets.iter().any(offered)
        || !covers(&service.topics)
    {
        return 0;
    }
    let using = socket.name().to_lowercase();
    let fits = |rule: &&Plain| {
        rule.service == at
            && rule.from.iter().all(|term| carries(user, *term))
            && (rule.sockets.is_empty() || rule.sockets.contains(&using.as_str()))
            && covers(&rule.topics)
    };
    rules
        .iter()
        .filter(fits)
        .map(|rule| rule.size.min(service.size))
        .max()
        .unwrap_or(0)
}

#[test]
fn random_policies_grant_exactly_what_some_rule_names() {
    let mut dice = Dice(2026);
    let (mut judged, mut granted, mut denied) = (0, 0, 0);
    while judged < 20_000 {
        let (text, services, plain) = random_policy(&mut dice);
        // Some are refused: topics of a rule outside its service's.
        let Ok(policy) = Policy::parse("p.toml", &text) else {
            continue;
        };
        let rules = Rules::compile(&policy, 1);
        for _ in 0..40 {
            let (user, host, at) = (dice.roll(4), dice.roll(4), dice.roll(2));
            let socket = dice.pick(if at == 0 {
                &[S::Sub, S::Xsub, S::Req]
            } else {
                &[S::Req, S::Dealer, S::Push]
            });
            let topic = dice.pick(&["", "a", "abc", "abd", "b", "bab", "c", "d"]);
            let asked = Opening {
                user: NODES[user].0,
                host: NODES[host].0,
                service: ["s0", "s1"][at],
                socket,
            };
            let most = rules.open(&asked).ok().and_then(|grant| {
                let rule = grant.publish(topic.as_bytes()).ok()?;
                assert_eq!(grant.subscribe(topic.as_bytes()), Ok(rule));
                Some(grant.max_message_under(rule))
            });
            let wanted = obvious(&services, &plain, user, host, at, socket, topic);
            assert_eq!(
                most.unwrap_or(0),
                wanted,
                "{asked:?} {topic:?} under\n{text}"
            );
            judged += 1;
            if wanted > 0 {
                granted += 1;
            } else {
                denied += 1;
            }
        }
    }
    assert!(
        granted > 1000 && denied > 5000,
        "{granted} granted, {denied} denied"
    );
}
