//! Random policies, judged by the rules and by a slow and obvious reading of the same lists.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::zmtp::SocketType as S;

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

const TERMS: [(&str, &str); 5] = [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2"), ("node", "n0")];
const NODES: [(&str, [&str; 2]); 4] =
    [("n0", ["1", "1"]), ("n1", ["1", "2"]), ("n2", ["2", "1"]), ("n3", ["2", "2"])];
const TOPICS: [&str; 6] = ["a", "ab", "abc", "b", "ba", "c"];

/// A policy as text and, from the same dice, as plain lists.
fn random_policy(dice: &mut Dice) -> (String, [PlainService; 2], Vec<Plain>) {
    let mut text =
        String::from("default = \"deny\"\n[tags]\nx = [\"1\", \"2\"]\ny = [\"1\", \"2\"]\n[nodes]\n");
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
            topics: if at == 0 { dice.some(&TOPICS, 2) } else { Vec::new() },
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
    let rules: Vec<Plain> = (0..2 + dice.roll(3)).map(|at| random_rule(dice, at, &mut text)).collect();
    (text, services, rules)
}

fn random_rule(dice: &mut Dice, at: usize, text: &mut String) -> Plain {
    // The first two see to it that each service has a rule.
    let service = if at < 2 { at } else { dice.roll(2) };
    let first = dice.pick(&TERMS);
    let mut from = [first].to_vec();
    from.extend(dice.some(&TERMS, 1).into_iter().filter(|(tag, _)| *tag != first.0));
    let rule = Plain {
        from,
        service,
        sockets: if service == 0 { dice.some(&["sub", "xsub"], 1) } else { Vec::new() },
        topics: if service == 0 { dice.some(&TOPICS, 2) } else { Vec::new() },
        size: 1 + dice.roll(1000) as u64,
    };
    let terms: Vec<String> = rule.from.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
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
        S::from_name(name.to_uppercase().as_bytes()).is_some_and(|offered| offered.matches(socket))
    };
    let covers = |topics: &[&str]| topics.is_empty() || topics.iter().any(|prefix| topic.starts_with(prefix));
    if !carries(host, service.hosted_by) || !service.sockets.iter().any(offered) || !covers(&service.topics) {
        return 0;
    }
    let using = socket.name().to_lowercase();
    let fits = |rule: &&Plain| {
        rule.service == at
            && rule.from.iter().all(|term| carries(user, *term))
            && (rule.sockets.is_empty() || rule.sockets.contains(&using.as_str()))
            && covers(&rule.topics)
    };
    rules.iter().filter(fits).map(|rule| rule.size.min(service.size)).max().unwrap_or(0)
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
            let socket =
                dice.pick(if at == 0 { &[S::Sub, S::Xsub, S::Req] } else { &[S::Req, S::Dealer, S::Push] });
            let topic = dice.pick(&["", "a", "abc", "abd", "b", "bab", "c", "d"]);
            let asked = Opening {
                user: NODES[user].0,
                host: NODES[host].0,
                service: ["s0", "s1"][at],
                socket,
                identity: &[],
            };
            let most = rules.open(&asked).ok().and_then(|grant| {
                let passed = grant.publish(topic.as_bytes()).ok()?;
                assert!(grant.subscribe(topic.as_bytes()).is_ok());
                Some(passed.limit)
            });
            let wanted = obvious(&services, &plain, user, host, at, socket, topic);
            assert_eq!(most.unwrap_or(0), wanted, "{asked:?} {topic:?} under\n{text}");
            judged += 1;
            if wanted > 0 {
                granted += 1;
            } else {
                denied += 1;
            }
        }
    }
    assert!(granted > 1000 && denied > 5000, "{granted} granted, {denied} denied");
}
