//! One direction under a grant, and under two.

use lockgate_proto::policy::Policy;
use lockgate_proto::rules::{Change, Difference, Differences, Opening, Rules};

use super::*;
use crate::rates::Buckets;
use crate::services::Name;

/// The grant for b's use of a's service `s`, whose keys are `service` and whose permission's keys are `allow`.
fn grant(service: &str, allow: &str, socket: SocketType) -> Grant {
    let text = format!(
        "default = \"deny\"\n[tags]\nrole = [\"a\", \"b\"]\n[nodes]\na = {{ role = \"a\" }}\nb = {{ role = \"b\" }}\n\
         [service.s]\nhosted-by = \"role=a\"\n{service}\n[[allow]]\nid = \"one\"\nfrom = \"role=b\"\nto = \"s\"\nwhy = \"test\"\n{allow}\n"
    );
    let policy = Policy::parse("policy.toml", &text).expect("a valid policy");
    let opening = Opening { user: "b", host: "a", service: "s", socket, identity: &[] };
    Rules::compile(&policy, 1).open(&opening).expect("allowed")
}

struct Bench {
    grant: Grant,
    sender: SocketType,
    memory: Memory,
    tally: Tally,
    pongs: BytesMut,
    refused: Option<Refused>,
}

impl Bench {
    fn new(grant: Grant, sender: SocketType) -> Self {
        let (memory, tally) = (Memory::default(), Tally::default());
        Self { grant, sender, memory, tally, pongs: BytesMut::new(), refused: None }
    }

    fn guard(&mut self) -> Guard<'_> {
        Guard {
            grant: &self.grant,
            trial: None,
            sender: self.sender,
            toward: Toward::Link { peer: Version::V3_1, reachable: true },
            bucket: None,
            now: Moment::ZERO,
            tally: &mut self.tally,
            pongs: &mut self.pongs,
            refused: &mut self.refused,
            memory: &mut self.memory,
            resume: None,
        }
    }
}

#[test]
fn a_socket_that_only_receives_sends_no_message() {
    for (service, socket, verdict) in [
        ("socket = \"xpub\"", SocketType::Sub, Verdict::Drop),
        ("socket = \"push\"", SocketType::Pull, Verdict::Close),
    ] {
        let mut bench = Bench::new(grant(service, "", socket), socket);
        assert_eq!(bench.guard().message(b"back", 4, false), verdict, "{socket:?}");
        assert_eq!(bench.refused.map(|refused| refused.what), Some(What::Message));
    }
}

#[test]
fn a_message_is_held_to_the_size_of_its_own_rule() {
    let more = "topics = [\"small.\"]\nmax-message = \"10B\"\n[[allow]]\nid = \"two\"\nfrom = \"role=b\"\nto = \"s\"\n\
                why = \"test\"\ntopics = [\"large.\"]\nmax-message = \"1KiB\"\n";
    let grant = grant("socket = \"pub\"", more, SocketType::Sub);
    let mut bench = Bench::new(grant, SocketType::Pub);
    for (topic, size, verdict) in [
        ("small.", 10, Verdict::Pass),
        ("small.", 11, Verdict::Drop),
        ("large.", 1024, Verdict::Pass),
        ("large.", 1025, Verdict::Drop),
        ("other.", 6, Verdict::Drop),
    ] {
        assert_eq!(bench.guard().message(topic.as_bytes(), size, false), verdict, "{topic} {size}");
    }
    assert_eq!(bench.guard().message(b"small.", 6, true), Verdict::Pass);
    assert_eq!(bench.guard().part(10, 2), PartVerdict::Pass);
    assert_eq!(bench.guard().part(11, 3), PartVerdict::Close);
}

#[test]
fn subscriptions_without_end_close_their_connection() {
    let mut bench = Bench::new(grant("socket = \"pub\"", "", SocketType::Sub), SocketType::Sub);
    for _ in 0..MAX_TOPICS {
        assert_eq!(bench.guard().command(Command::Subscribe(b"t")), CommandVerdict::Pass);
    }
    assert_eq!(bench.guard().command(Command::Cancel(b"t")), CommandVerdict::Pass);
    assert_eq!(bench.guard().command(Command::Subscribe(b"t")), CommandVerdict::Pass);
    assert_eq!(bench.guard().command(Command::Subscribe(b"t")), CommandVerdict::Close);
    let mut bench = Bench::new(grant("socket = \"pub\"", "", SocketType::Sub), SocketType::Sub);
    let long = vec![b'x'; MAX_TOPIC_BYTES / 2 + 1];
    assert_eq!(bench.guard().command(Command::Subscribe(&long)), CommandVerdict::Pass);
    assert_eq!(bench.guard().command(Command::Subscribe(&long)), CommandVerdict::Close);
}

#[test]
fn a_ping_that_nobody_else_will_answer_is_answered_here() {
    let ping = || Command::Ping { ttl: 10, context: b"x" };
    let fresh = || Bench::new(grant("socket = \"rep\"", "", SocketType::Req), SocketType::Req);
    for (peer, reachable, verdict) in [
        (Version::V3_1, true, CommandVerdict::Pass),
        (Version::V3_1, false, CommandVerdict::Drop),
        (Version::V3_0, true, CommandVerdict::Drop),
    ] {
        let mut bench = fresh();
        let mut guard = bench.guard();
        guard.toward = Toward::Link { peer, reachable };
        let passed = verdict == CommandVerdict::Pass;
        assert_eq!(guard.command(ping()), verdict, "{peer:?} {reachable}");
        assert_eq!(bench.pongs.is_empty(), passed, "{peer:?} {reachable}");
    }
}

/// What was noted, as (act, change, how often, by which rule), while `act` judged under two grants.
fn compared(
    enforced: &Grant,
    candidate: &Grant,
    sender: SocketType,
    mut act: impl FnMut(&mut Guard<'_>),
) -> (Bench, Vec<(&'static str, Change, u64, String)>) {
    let mut bench = Bench::new(enforced.clone(), sender);
    let mut differences = Differences::default();
    let (from, to, service): (Name, Name, Name) = ("a".into(), "b".into(), "s".into());
    let (from, to, service) = (&from, &to, &service);
    let mut guard = bench.guard();
    guard.trial = Some(Trial { grant: candidate, differences: &mut differences, from, to, service });
    act(&mut guard);
    let noted = |one: &Difference| {
        assert_eq!((&*one.from, &*one.to, &*one.object), ("a", "b", "s"));
        (one.act, one.change, one.count, one.allowed_by.id.to_string())
    };
    let noted = differences.iter().map(noted).collect();
    (bench, noted)
}

#[test]
fn the_enforced_grant_decides_and_a_difference_is_only_noted() {
    let wide = grant("socket = \"pub\"", "topics = [\"temp.\", \"raw.\"]", SocketType::Sub);
    let narrow = grant("socket = \"pub\"", "topics = [\"temp.\"]", SocketType::Sub);
    let publish = |guard: &mut Guard<'_>| -> Vec<Verdict> {
        ["temp.1", "raw.1", "raw.2", "other"].map(|topic| guard.message(topic.as_bytes(), 6, false)).into()
    };
    for (enforced, candidate, change, passes) in
        [(&wide, &narrow, Change::Denied, Verdict::Pass), (&narrow, &wide, Change::Allowed, Verdict::Drop)]
    {
        let (bench, noted) = compared(enforced, candidate, SocketType::Pub, |guard| {
            assert_eq!(publish(guard), [Verdict::Pass, passes, passes, Verdict::Drop]);
        });
        assert_eq!(noted, [("publish", change, 2, "one".to_owned())]);
        let mut alone = Bench::new(enforced.clone(), SocketType::Pub);
        publish(&mut alone.guard());
        assert_eq!((bench.tally, bench.refused), (alone.tally, alone.refused), "nothing else is different");
    }
}

#[test]
fn subscriptions_are_compared_and_cancellations_are_not() {
    let wide = grant("socket = \"pub\"", "", SocketType::Sub);
    let narrow = grant("socket = \"pub\"", "topics = [\"temp.\"]", SocketType::Sub);
    let (_, noted) = compared(&wide, &narrow, SocketType::Sub, |guard| {
        for topic in ["temp.", "raw.", "", "t"] {
            assert_eq!(guard.command(Command::Subscribe(topic.as_bytes())), CommandVerdict::Pass);
            assert_eq!(guard.command(Command::Cancel(topic.as_bytes())), CommandVerdict::Pass);
        }
    });
    assert_eq!(noted, [("subscribe", Change::Denied, 1, "one".to_owned())]);
}

#[test]
fn a_message_that_grows_beyond_the_candidate_is_noted_once() {
    let large = grant("socket = \"rep\"", "max-message = \"100B\"", SocketType::Req);
    let small = grant("socket = \"rep\"", "max-message = \"10B\"", SocketType::Req);
    let (_, noted) = compared(&large, &small, SocketType::Req, |guard| {
        assert_eq!(guard.message(b"", 5, true), Verdict::Pass);
        for total in [10, 11, 50, 100] {
            assert_eq!(guard.part(total, 2), PartVerdict::Pass);
        }
        assert_eq!(guard.part(101, 3), PartVerdict::Close);
        assert_eq!(guard.message(b"", 11, false), Verdict::Pass, "in one frame");
    });
    assert_eq!(noted, [("message", Change::Denied, 2, "one".to_owned())]);
    let (_, noted) = compared(&small, &large, SocketType::Req, |guard| {
        assert_eq!(guard.message(b"", 5, true), Verdict::Pass);
        assert_eq!(guard.part(11, 2), PartVerdict::Close);
        assert_eq!(guard.message(b"", 101, false), Verdict::Close, "too large for both");
    });
    assert_eq!(noted, [("message", Change::Allowed, 1, "one".to_owned())]);
}

#[test]
fn a_message_that_waits_for_its_place_is_compared_once() {
    let enforced = grant("socket = \"pull\"\nrate = \"1/s\"", "", SocketType::Push);
    let candidate = grant("socket = \"pull\"", "max-message = \"1B\"", SocketType::Push);
    let rate = enforced.rate().expect("the service has one");
    let (_, noted) = compared(&enforced, &candidate, SocketType::Push, |guard| {
        let mut bucket = Buckets::new(rate, Moment::ZERO).out;
        let mut send = |verdict| {
            let mut guard = Guard {
                bucket: Some(&mut bucket),
                trial: guard
                    .trial
                    .as_mut()
                    .map(|trial| Trial { differences: &mut *trial.differences, ..*trial }),
                tally: &mut *guard.tally,
                pongs: &mut *guard.pongs,
                refused: &mut *guard.refused,
                memory: &mut *guard.memory,
                ..*guard
            };
            assert_eq!(guard.message(b"", 5, false), verdict);
        };
        send(Verdict::Pass);
        send(Verdict::Wait);
        send(Verdict::Pass);
    });
    assert_eq!(noted, [("message", Change::Denied, 2, "one".to_owned())], "two messages");
}
