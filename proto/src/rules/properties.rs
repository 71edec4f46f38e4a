//! Whole policies, random and with everything in them, beside an independent reading of the same entries: nothing passes
//! that nobody lets pass, and nothing that is forbidden, whatever combination is tried.
//!
//! `LOCKGATE_SEED=<seed>` runs with that seed, `LOCKGATE_POLICIES=<times>` so many times as many questions.

mod obvious;
mod policies;
mod scripts;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use std::{env, println};

use super::*;
use crate::program::{Action, Entry, List, Packet};
use crate::script::{Dialect, Options, Script};
use crate::zmtp::Recognised;

use obvious::{MODEL_SOCKETS, Message as Asked, World};
use policies::{CAPABILITIES, Dice, Drawn, NODES, SERVICES, TOPICS, draw};

/// Questions that are asked at least, over all properties.
const QUESTIONS: usize = 120_000;
/// Of one policy.
const PACKETS: usize = 100;
const MESSAGES: usize = 50;

fn times() -> usize {
    env::var("LOCKGATE_POLICIES").map_or(1, |text| text.parse().expect("LOCKGATE_POLICIES is a number"))
}

fn dice() -> Dice {
    let seed = env::var("LOCKGATE_SEED").map_or(4, |text| text.parse().expect("LOCKGATE_SEED is a number"));
    println!("rerun with LOCKGATE_SEED={seed}");
    Dice(seed)
}

/// How often something was seen, so that no property holds of nothing.
#[derive(Debug, Default)]
struct Seen {
    questions: usize,
    passed: usize,
    denied: usize,
    by_raw: usize,
    by_capability: usize,
    forbidden: usize,
}

impl Seen {
    fn note(&mut self, passes: bool) {
        self.questions += 1;
        *(if passes { &mut self.passed } else { &mut self.denied }) += 1;
    }

    fn must_have_seen(&self, least: usize) {
        let Self { passed, denied, by_raw, by_capability, forbidden, .. } = self;
        for seen in [passed, denied, by_raw, by_capability, forbidden] {
            assert!(*seen > least, "the test is blind: {self:?}");
        }
    }
}

/// A policy, and what its nodes hold while it is asked.
fn each_policy(questions: usize, mut check: impl FnMut(&Drawn, &Rules, &mut Dice, &mut Seen)) -> Seen {
    let (mut dice, mut seen) = (dice(), Seen::default());
    while seen.questions < questions * times() {
        let drawn = draw(&mut dice);
        let rules = Rules::compile(&drawn.policy, 1).at(drawn.wall);
        check(&drawn, &rules, &mut dice, &mut seen);
    }
    println!("{seen:?}");
    seen
}

#[test]
fn flows_begin_exactly_where_an_independent_reading_lets_them() {
    let seen = each_policy(QUESTIONS / 2, |drawn, rules, dice, seen| {
        for _ in 0..PACKETS {
            let (from, to) = (dice.pick(&NODES), dice.pick(&NODES));
            let kind = policies::kind(dice);
            let hold: Vec<&str> = dice.some(&CAPABILITIES, 2);
            let asked = Ask { from, to, what: What::Packets(kind), hold: &hold };
            let world = World::new(drawn, from, to, &hold);
            let said = rules.ask(&asked);
            let question = PacketQuestion { from, to, kind, addresses: None };
            let wanted = question.packets().any(|packet| world.lets_begin(&packet));
            assert_eq!(said.is_ok(), wanted, "{asked:?}: {said:?} under\n{}", drawn.text);
            seen.note(wanted);
            if let Ok(rule) = said {
                assert!(question.packets().any(|packet| world.names(&rule, &packet)), "{rule} {asked:?}");
                seen.by_raw += usize::from(world.is_raw(&rule));
                seen.by_capability += usize::from(rule.id.starts_with("capability."));
            }
            let forbidden = question.packets().all(|packet| world.forbids_packet(&packet));
            assert!(!(forbidden && wanted));
            seen.forbidden += usize::from(forbidden);
        }
    });
    seen.must_have_seen(seen.questions / 400);
}

#[test]
fn each_packet_is_judged_alike_folded_and_not_and_never_against_a_forbid() {
    let seen = each_policy(QUESTIONS / 4, |drawn, rules, dice, seen| {
        for _ in 0..PACKETS {
            let (from, to) = (dice.pick(&NODES), dice.pick(&NODES));
            let direction = dice.pick(&[Direction::Out, Direction::In]);
            let (own, peer) = if direction == Direction::Out { (from, to) } else { (to, from) };
            let pair = rules.pair(direction, &own.into(), &peer.into()).expect("both are in the policy");
            let packet = policies::packet(dice);
            let world = World::new(drawn, from, to, &[]);
            let passes = pair.allows(&packet).is_some();
            assert_eq!(
                passes,
                world.lets_go_on(direction, &packet),
                "{from} {to} {direction:?} {packet:?}\n{}",
                drawn.text
            );
            let forbidden = world.forbids_packet(&packet);
            assert_eq!(pair.forbids(&packet).is_some(), forbidden, "{packet:?}\n{}", drawn.text);
            assert!(!(forbidden && (passes || pair.begins(&packet).is_some())));
            assert!(!passes || world.some_allow_names(direction, &packet), "{packet:?}\n{}", drawn.text);
            unfolded_says_the_same(drawn, rules, &pair, (direction, from, to), &packet);
            seen.note(passes);
            seen.forbidden += usize::from(forbidden);
            seen.by_raw += usize::from(pair.each(&packet).is_some_and(|said| said.by.is_some()));
            seen.by_capability += usize::from(world.capability_names_packet(&packet));
        }
    });
    seen.must_have_seen(20 * times());
}

/// What is folded away decides nothing.
fn unfolded_says_the_same(
    drawn: &Drawn,
    rules: &Rules,
    pair: &Pair,
    (direction, from, to): (Direction, &str, &str),
    packet: &Packet,
) {
    let text = &drawn.text;
    let parties = rules.parties(direction, from, to).expect("both are in the policy");
    let subject = Subject::Packet(*packet);
    let words = |said: Option<crate::program::Judgement<'_>>| {
        said.map(|said| {
            let by = said.by.map(|act| act.rule.clone());
            let log = said.log.map(|act| act.rule.clone());
            format!("{:?} {by:?} {:?} {log:?} {} {}", said.outcome, said.tee, said.undecided, said.unreadable)
        })
    };
    let unfolded = rules.packets.each(&parties, &subject);
    assert_eq!(words(pair.each(packet)), words(unfolded), "{packet:?} from {from} to {to}\n{text}");
    let begins = match rules.packets.begins(&parties, &subject) {
        Said::Passes(act) => Some(&act.rule),
        _ => None,
    };
    assert_eq!(pair.begins(packet), begins);
    // The whole script at once says it too, where none of its rules is about messages.
    let Some(raw) = drawn.policy.rules.as_ref().filter(|_| !drawn.asks_for_messages()) else { return };
    let held: Vec<u32> = raw.script.capabilities.iter().map(|capability| capability.id).collect();
    let whole = raw.script.judge(&parties, &held, &subject);
    assert_eq!(words(pair.each(packet)), words(Some(whole)), "{packet:?} from {from} to {to}\n{text}");
}

#[test]
fn messages_pass_exactly_where_an_independent_reading_lets_them() {
    let seen = each_policy(QUESTIONS / 4, |drawn, rules, dice, seen| {
        for _ in 0..MESSAGES {
            let (from, service) = (dice.pick(&NODES), dice.pick(&SERVICES));
            let hosts: Vec<&str> =
                NODES.into_iter().filter(|node| rules.may_host(node, service).is_ok()).collect();
            let to =
                if hosts.is_empty() || dice.roll(4) == 0 { dice.pick(&NODES) } else { dice.pick(&hosts) };
            let likely = if service == "s0" { &MODEL_SOCKETS[..2] } else { &MODEL_SOCKETS[2..5] };
            let socket = if dice.roll(6) == 0 { dice.pick(&MODEL_SOCKETS) } else { dice.pick(likely) };
            let topic = dice.pick(&TOPICS);
            let world = World::new(drawn, from, to, &[]);
            let asked = |size| Asked { service, socket, topic, size };
            let grant = rules.open(&Opening { user: from, host: to, service, socket, identity: &[] }).ok();
            let passed = grant.as_ref().and_then(|grant| grant.publish(topic.as_bytes()).ok());
            let told =
                || format!("{from} {to} {service} {socket:?} {topic:?}: {passed:?} under\n{}", drawn.text);
            match passed {
                None => assert!(drawn.breaks_off_messages() || !world.passes(&asked(0)), "{}", told()),
                Some(passed) => {
                    for size in [0, 1, passed.limit / 2, passed.limit, dice.roll(3000) as u64] {
                        let size = size.min(passed.limit);
                        assert!(world.passes(&asked(size)), "{size} {}", told());
                        assert!(
                            world.is_within_service(&asked(size)) && !world.forbids(service),
                            "{}",
                            told()
                        );
                    }
                    let beyond =
                        passed.limit == Grant::MAX_MESSAGE || !world.passes(&asked(passed.limit + 1));
                    assert!(beyond, "{}", told());
                    let rule = &grant.as_ref().expect("it passed").rules()[passed.rule];
                    seen.by_raw += usize::from(world.is_raw(rule));
                    seen.by_capability += usize::from(rule.id.starts_with("capability."));
                }
            }
            if let Some(grant) = &grant {
                assert!(grant.max_message() <= world.most_of(service));
                assert!(grant.rate() <= world.rate_of(service) || world.rate_of(service).is_none());
                assert!(world.hosts(service) && !world.forbids(service), "{}", told());
            }
            seen.note(passed.is_some());
            seen.forbidden += usize::from(world.forbids(service));
            ask_of_service(drawn, rules, (from, to, service, topic), dice);
        }
    });
    seen.must_have_seen(seen.questions / 400);
}

/// The question of the tools, with capabilities that are held for it alone.
fn ask_of_service(
    drawn: &Drawn,
    rules: &Rules,
    (from, to, service, topic): (&'static str, &'static str, &'static str, &'static str),
    dice: &mut Dice,
) {
    let hold: Vec<&str> = dice.some(&CAPABILITIES, 2);
    let world = World::new(drawn, from, to, &hold);
    let asked = What::Service { name: service, topic: Some(topic.as_bytes()), socket: None };
    let said = rules.ask(&Ask { from, to, what: asked, hold: &hold });
    let fits = |socket: &SocketType| world.passes(&Asked { service, socket: *socket, topic, size: 0 });
    let wanted = SocketType::ALL.iter().any(fits);
    let agree = said.is_ok() == wanted || wanted && drawn.breaks_off_messages();
    assert!(agree, "{from} {to} {asked:?} {hold:?}: {said:?} under\n{}", drawn.text);
}

#[test]
fn without_a_policy_and_with_an_empty_one_nothing_passes() {
    let mut dice = dice();
    let text = "default = \"deny\"\n[tags]\nrole = [\"a\", \"b\", \"c\"]\n[nodes]\nn0 = { role = \"a\" }\nn1 = { role = \"b\" }\n";
    let empty = Policy::parse("p.toml", text).expect("a valid policy");
    for rules in [Rules::nothing(), Rules::compile(&empty, 1), Rules::nothing().at(Duration::MAX)] {
        for _ in 0..2_000 {
            let (from, to) = (dice.pick(&["n0", "n1", "n7"]), dice.pick(&["n0", "n1", "n7"]));
            let hold: Vec<&str> = dice.some(&CAPABILITIES, 2);
            let topic = Some(dice.pick(&TOPICS).as_bytes());
            let service = What::Service { name: dice.pick(&SERVICES), topic, socket: None };
            for what in [What::Packets(policies::kind(&mut dice)), service] {
                assert!(rules.ask(&Ask { from, to, what, hold: &hold }).is_err());
            }
            let socket = dice.pick(&MODEL_SOCKETS);
            let opening =
                Opening { user: from, host: to, service: dice.pick(&SERVICES), socket, identity: &[] };
            assert!(rules.open(&opening).is_err());
            let packet = policies::packet(&mut dice);
            for direction in [Direction::Out, Direction::In] {
                let pair = rules.pair(direction, &from.into(), &to.into());
                let passes = |pair: &Pair| pair.allows(&packet).is_some() || pair.begins(&packet).is_some();
                assert!(!pair.is_some_and(|pair| passes(&pair)));
                assert!(!rules.admits_detour("n0", from, to, &packet));
            }
        }
    }
}

#[test]
fn a_grant_holds_from_its_first_moment_until_just_before_its_last() {
    let mut dice = dice();
    let (mut tried, mut held) = (0, 0);
    while tried < 10_000 * times() {
        let drawn = draw(&mut dice);
        let rules = Rules::compile(&drawn.policy, 1);
        for grant in &drawn.policy.grants {
            let tick = Duration::from_nanos(1);
            for wall in [grant.from - tick, grant.from, grant.until - tick, grant.until, drawn.wall] {
                let at = rules.at(wall);
                for to in NODES {
                    let kind = policies::kind(&mut dice);
                    let world = World::at(&drawn, &grant.node, to, &[], wall);
                    let asked = Ask { from: &grant.node, to, what: What::Packets(kind), hold: &[] };
                    let question = PacketQuestion { from: &grant.node, to, kind, addresses: None };
                    let wanted = question.packets().any(|packet| world.lets_begin(&packet));
                    let said = at.ask(&asked);
                    assert_eq!(said.is_ok(), wanted, "{wall:?} {asked:?}: {said:?}\n{}", drawn.text);
                    held += usize::from(said.is_ok_and(|rule| rule.id.starts_with("capability.")));
                    // Nobody holds any without a moment.
                    assert!(!rules.ask(&asked).is_ok_and(|rule| rule.id.starts_with("capability.")));
                    tried += 1;
                }
            }
        }
    }
    assert!(held > tried / 500, "{held} of {tried}: the test is blind");
}

#[test]
fn what_a_policy_compiles_to_is_printed_as_a_script_that_compiles_to_the_same() {
    let (mut dice, mut compared) = (dice(), 0);
    for _ in 0..150 * times() {
        let drawn = draw(&mut dice);
        let rules = Rules::compile(&drawn.policy, 1).at(drawn.wall);
        let parties = rules.parties(Direction::Out, "n0", "n1").expect("both are in the policy");
        let lists =
            [&rules.packets, &rules.messages].map(|lists| [lists.clone(), lists.fold(&parties, None)]);
        for list in lists.as_flattened().iter().flat_map(Lists::all) {
            let printed = list.to_string();
            let script = Script::compile(&printed, &Options::new("p", Dialect::Lockgate))
                .unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{printed}"));
            assert!(without_places(&script.rules) == without_places(list), "{printed}\n{}", script.rules);
            compared += 1;
        }
    }
    assert!(compared > 1000);
}

/// The entries, but for the files and lines of their rules.
fn without_places(list: &List) -> Vec<Result<Entry, (Action, String)>> {
    let place = |entry: &Entry| match entry {
        Entry::Act(act) => Err((act.action.clone(), act.rule.id.to_string())),
        other => Ok(other.clone()),
    };
    list.entries().iter().map(place).collect()
}

/// What a TCP flow may speak in these tests.
const SPOKEN: [Recognised; 2] = [Recognised::Undecided, Recognised::Other];
