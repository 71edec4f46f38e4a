//! The engine of flow rules beside a slow and obvious model of it, on random programs and random packets.
//!
//! `LOCKGATE_SEED=<seed>` runs with that seed, `LOCKGATE_MODEL=<times>` so many times as many pairs.

mod dice;
mod obvious;
mod packets;
mod programs;
mod reader;
mod worlds;

use std::collections::BTreeMap;
use std::mem::discriminant;

use lockgate_proto::program::{
    Act, Characteristics, Judgement, Known, List, Outcome, Packet, Recognised, Subject, Test,
};

use dice::Dice;
use obvious::{Said, Truth, truth};
use programs::{Item, Rule, What};
use worlds::{Thing, World};

const PAIRS: usize = 1_000_000;
const MESSAGES: usize = 100_000;
const FOLDED: usize = 100_000;
/// Each program is tried on so many packets.
const PACKETS: usize = 40;

#[test]
fn the_engine_and_the_model_agree_on_random_programs_and_packets() {
    let outcomes = compare(PAIRS, Thing::packet);
    for outcome in ["accept", "drop", "redirect", "no match"] {
        let many = outcomes.get(outcome).copied().unwrap_or(0);
        assert!(many > PAIRS / 100, "{outcome} is tried {many} times: the test is blind");
    }
}

#[test]
fn the_engine_and_the_model_agree_on_random_programs_and_messages() {
    compare(MESSAGES, Thing::message);
}

/// Judges so many pairs; how often each outcome came.
fn compare(pairs: usize, thing: fn(&mut Dice) -> Thing) -> BTreeMap<String, usize> {
    let mut dice = Dice(seed());
    let mut outcomes = BTreeMap::new();
    for _ in 0..(pairs * times()).div_ceil(PACKETS) {
        let rules = programs::program(&mut dice);
        let list = programs::flat(&rules);
        for _ in 0..PACKETS {
            let (world, thing) = (World::new(&mut dice), thing(&mut dice));
            let judgement = list.judge(&world.parties(), &thing.subject());
            let (ours, wanted) = (said(&judgement), obvious::judge(&rules, &world, &thing));
            assert!(ours == wanted, "{}", complaint(&ours, &wanted, &rules, &world, &thing));
            assert!(!judgement.unreadable);
            let outcome = ours.outcome.split(" to ").next().unwrap_or_default().to_owned();
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
    }
    outcomes
}

#[test]
fn every_kind_of_test_comes_out_in_every_way_that_it_can() {
    let mut dice = Dice(seed());
    let mut seen: BTreeMap<(String, Truth), usize> = BTreeMap::new();
    for _ in 0..200_000 {
        let rules = programs::program(&mut dice);
        let (world, thing) = (World::new(&mut dice), Thing::packet(&mut dice));
        for item in rules.iter().flat_map(|rule| &rule.items) {
            if let What::Match(_, test) = &item.what {
                let name = format!("{test:?}");
                let name = name.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
                *seen.entry((name, truth(test, &world, &thing))).or_insert(0) += 1;
            }
        }
    }
    let both = [Truth::Yes, Truth::No].as_slice();
    let all = [Truth::Yes, Truth::No, Truth::Hard].as_slice();
    for (names, ways) in [
        ("SourceNode DestinationNode From To EtherType Size Characteristics Random Established", both),
        ("IpProtocol Source Destination SourceIn DestinationIn Tos Tag", all),
        ("SourcePort DestinationPort SourcePortIn DestinationPortIn", all),
        ("Icmp", &[Truth::Yes, Truth::No, Truth::Hard, Truth::Always]),
        ("Zmtp", &[Truth::Yes, Truth::No, Truth::Hard, Truth::Unknown]),
        ("Vlan SourceMac DestinationMac Zmq", &[Truth::Hard]),
    ] {
        for name in names.split(' ') {
            let found: Vec<Truth> = seen
                .iter()
                .filter(|((of, _), many)| of == name && **many > 50)
                .map(|((_, way), _)| *way)
                .collect();
            assert_eq!(found, ways, "{name}: {seen:?}");
        }
    }
}

#[test]
fn an_empty_list_accepts_nothing() {
    let mut dice = Dice(seed());
    let list = List::default();
    for _ in 0..10_000 {
        let world = World::new(&mut dice);
        for thing in [Thing::packet(&mut dice), Thing::message(&mut dice)] {
            let judgement = list.judge(&world.parties(), &thing.subject());
            assert_eq!(said(&judgement), Said { outcome: "no match".into(), ..Said::default() });
        }
    }
}

/// What is known is what the model finds for this very packet, of a part of the kinds of tests.
#[test]
fn a_folded_list_judges_as_the_whole_one() {
    let mut dice = Dice(seed());
    let (mut shorter, mut readable) = (0, 0);
    for _ in 0..FOLDED * times() / 4 {
        let rules = programs::program(&mut dice);
        let list = programs::flat(&rules);
        for at in 0..4 {
            let world = World::new(&mut dice);
            let thing = if at == 0 { Thing::message(&mut dice) } else { Thing::packet(&mut dice) };
            let known_kinds: Vec<_> = some_tests(&rules, &mut dice).map(discriminant).collect();
            let known = |test: &Test| {
                let known = match truth(test, &world, &thing) {
                    Truth::Yes => Known::Yes,
                    Truth::No => Known::No,
                    Truth::Hard => Known::Never,
                    Truth::Always | Truth::Unknown => return None,
                };
                known_kinds.contains(&discriminant(test)).then_some(known)
            };
            let folded = list.fold(&known);
            assert!(folded.entries().len() <= list.entries().len());
            shorter += usize::from(folded.entries().len() < list.entries().len());
            let whole = said(&list.judge(&world.parties(), &thing.subject()));
            let ours = said(&folded.judge(&world.parties(), &thing.subject()));
            assert!(ours == whole, "{folded:?}: {}", complaint(&ours, &whole, &rules, &world, &thing));
            let again = List::new(folded.entries().to_vec()).expect("what is folded is a list");
            assert_eq!(again, folded);
            // What cannot be read is refused by less, where less is asked; by nothing else.
            let Subject::Packet(packet) = thing.subject() else { continue };
            let damaged = Subject::Packet(Packet { readable: false, ..packet });
            let whole = list.judge(&world.parties(), &damaged);
            let ours = folded.judge(&world.parties(), &damaged);
            readable += usize::from(!whole.unreadable);
            assert!(whole.unreadable || (!ours.unreadable && said(&ours) == said(&whole)));
        }
    }
    assert!(shorter > FOLDED / 4 && readable > FOLDED / 4, "{shorter} shorter, {readable} readable");
}

fn some_tests<'r>(rules: &'r [Rule], dice: &mut Dice) -> impl Iterator<Item = &'r Test> {
    fn push<'r>(items: &'r [Item], tests: &mut Vec<&'r Test>) {
        for item in items {
            match &item.what {
                What::Match(_, test) => tests.push(test),
                What::Group(inner) => push(inner, tests),
            }
        }
    }
    let mut tests = Vec::new();
    rules.iter().for_each(|rule| push(&rule.items, &mut tests));
    tests.retain(|_| dice.once_in(4));
    tests.into_iter()
}

/// A packet that cannot be read is dropped where that is asked, and otherwise judged as if it could.
#[test]
fn what_cannot_be_read_never_passes_by_a_rule_that_asks_for_it() {
    let mut dice = Dice(seed());
    let mut refused = 0;
    for _ in 0..20_000 {
        let rules = programs::program(&mut dice);
        let list = programs::flat(&rules);
        let asks = list.tests().any(|test| match test {
            Test::Characteristics(bits) => bits & Characteristics::TCP_FLAGS != 0,
            Test::IpProtocol(_)
            | Test::Icmp { .. }
            | Test::SourcePort(..)
            | Test::DestinationPort(..)
            | Test::SourcePortIn(_)
            | Test::DestinationPortIn(_) => true,
            _ => false,
        });
        let (world, thing) = (World::new(&mut dice), Thing::packet(&mut dice));
        let Subject::Packet(packet) = thing.subject() else { unreachable!("a packet") };
        let damaged = Subject::Packet(Packet { readable: false, ..packet });
        let judgement = list.judge(&world.parties(), &damaged);
        if judgement.unreadable {
            assert!(asks && judgement.outcome == Outcome::Drop && judgement.by.is_some());
            refused += 1;
        } else {
            assert_eq!(said(&judgement), said(&list.judge(&world.parties(), &thing.subject())));
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn a_steady_judgement_holds_for_the_other_packets_of_its_flow() {
    let mut dice = Dice(seed());
    let mut steady = 0;
    for _ in 0..100_000 {
        let list = programs::flat(&programs::program(&mut dice));
        let (world, thing) = (World::new(&mut dice), Thing::packet(&mut dice));
        let Subject::Packet(packet) = thing.subject() else { unreachable!("a packet") };
        let judgement = list.judge(&world.parties(), &Subject::Packet(packet));
        if !judgement.steady {
            continue;
        }
        steady += 1;
        let other = Packet {
            tos: dice.byte(),
            icmp: packet.icmp.map(|_| (dice.byte(), dice.byte())),
            tcp_flags: dice.next() as u16 & 0xfff,
            size: dice.next() as u16,
            random: dice.next() as u32,
            established: !packet.established,
            spoken: Recognised::Other,
            ..packet
        };
        assert_eq!(
            said(&list.judge(&world.parties(), &Subject::Packet(other))),
            said(&judgement),
            "{list:?}"
        );
    }
    assert!(steady > 10_000, "{steady}");
}

/// What the engine says, in the model's words.
fn said(judgement: &Judgement<'_>) -> Said {
    let line = |act: &Act| act.rule.line;
    Said {
        outcome: match judgement.outcome {
            Outcome::Accept => "accept".into(),
            Outcome::Drop => "drop".into(),
            Outcome::NoMatch => "no match".into(),
            Outcome::Redirect(to) => format!("redirect to {to}"),
        },
        by: judgement.by.map(line),
        tee: judgement.tee.map(|tee| (tee.to.to_string(), tee.length)),
        log: judgement.log.map(line),
        detoured: judgement.detoured,
        undecided: judgement.undecided,
    }
}

fn complaint(ours: &Said, wanted: &Said, rules: &[Rule], world: &World, thing: &Thing) -> String {
    format!("{ours:?}, not {wanted:?}\nin {world:?}\nof {thing:x?}\nunder {rules:#?}")
}

/// The seed of the environment, or the usual one; printed, so that a failure shows it.
fn seed() -> u64 {
    let seed =
        std::env::var("LOCKGATE_SEED").map_or(4, |text| text.parse().expect("LOCKGATE_SEED is a number"));
    println!("rerun with LOCKGATE_SEED={seed}");
    seed
}

fn times() -> usize {
    std::env::var("LOCKGATE_MODEL").map_or(1, |text| text.parse().expect("LOCKGATE_MODEL is a number"))
}
