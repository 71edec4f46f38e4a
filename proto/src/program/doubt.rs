//! What rules about ZMTP say where nobody knows yet, and where nobody ever will.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::*;
use EndSocket::{Hidden, Is, Pending};
use SocketType::{Pub, Sub};

/// What comes of a packet of TCP to port 22 under rules, each of them tests that all must hold, and an action: the
/// outcome, whether it is undecided, and whether it was refused because of what cannot be read.
fn judge(rules: &[(&[(Sense, Test)], Action)], spoken: Recognised) -> (Outcome<'static>, bool, bool) {
    let mut entries = Vec::new();
    for (tests, action) in rules {
        for (sense, test) in *tests {
            entries.push(Entry::Match { join: Join::And, sense: *sense, test: test.clone() });
        }
        let rule = RuleRef { id: "rules".into(), file: "test".into(), line: 1 };
        entries.push(Entry::Act(Act { action: action.clone(), rule }));
    }
    let list: &'static List = Box::leak(Box::new(List::new(entries).expect("a list")));
    let mut bytes = [0; 40];
    (bytes[0], bytes[3], bytes[9], bytes[23], bytes[32]) = (0x45, 40, 6, 22, 0x50);
    let tags = NodeTags::default();
    let parties = Parties {
        direction: Direction::Out,
        own: "a",
        source: "a",
        destination: "b",
        source_tags: &tags,
        destination_tags: &tags,
        source_values: &[],
        destination_values: &[],
    };
    let judged = list.judge(&parties, &Subject::Packet(Packet { spoken, ..packet_facts(&bytes) }));
    assert!(!judged.steady, "it may be another answer for the next packet");
    (judged.outcome, judged.undecided, judged.unreadable)
}

fn zmtp(mechanism: &[u8], sockets: [EndSocket; 2]) -> Recognised {
    let mut field = [0; 20];
    field[..mechanism.len()].copy_from_slice(mechanism);
    Recognised::Zmtp { mechanism: field, sockets }
}

#[test]
fn what_may_yet_be_known_passes_for_now_and_what_never_will_does_not() {
    use Outcome::{Accept, Drop, NoMatch};
    use Sense::{Not, Plain};
    let spoken = || Test::Zmtp(ZmtpTest::Spoken);
    let publisher = || Test::Zmtp(ZmtpTest::SocketType(Pub));
    let (open, closed) = (Action::Accept, Action::Drop);
    let (pending, hidden) = (zmtp(b"NULL", [Is(Sub), Pending]), zmtp(b"CURVE", [Hidden; 2]));
    let both = zmtp(b"NULL", [Is(Sub), Is(Pub)]);
    for (sense, test, spoken, accepted, dropped) in [
        (Plain, spoken(), Recognised::Undecided, Accept, Accept),
        (Plain, spoken(), Recognised::Untold, NoMatch, Drop),
        (Plain, spoken(), Recognised::Other, NoMatch, Accept),
        (Plain, spoken(), pending, Accept, Drop),
        (Not, spoken(), Recognised::Undecided, Accept, Accept),
        (Not, spoken(), Recognised::Untold, NoMatch, Drop),
        (Not, spoken(), Recognised::Other, Accept, Drop),
        (Not, spoken(), pending, NoMatch, Accept),
        (Plain, publisher(), Recognised::Untold, NoMatch, Drop),
        (Plain, publisher(), Recognised::Other, NoMatch, Accept),
        (Not, publisher(), Recognised::Other, NoMatch, Accept),
        (Plain, publisher(), pending, Accept, Accept),
        (Plain, publisher(), hidden, NoMatch, Drop),
        (Not, publisher(), hidden, NoMatch, Drop),
        (Plain, publisher(), both, Accept, Drop),
        (Not, publisher(), both, NoMatch, Accept),
    ] {
        let matches = [(sense, test)];
        let only = judge(&[(&matches, open.clone())], spoken);
        assert_eq!(only.0, accepted, "accept {matches:?} {spoken:?}");
        let refused = judge(&[(&matches, closed.clone()), (&[], open.clone())], spoken);
        assert_eq!(refused.0, dropped, "drop {matches:?} {spoken:?}");
        let is_doubtful = spoken == Recognised::Untold || spoken == hidden;
        assert_eq!((only.2, refused.2), (false, is_doubtful), "what stops it says why");
    }
}

#[test]
fn doubt_counts_only_where_the_rule_hangs_on_it() {
    let port = |port| (Sense::Plain, Test::DestinationPort(port, port));
    let spoken = (Sense::Plain, Test::Zmtp(ZmtpTest::Spoken));
    let elsewhere = [spoken.clone(), port(5555)];
    let rules = [(&elsewhere[..], Action::Drop), (&[], Action::Accept)];
    assert_eq!(judge(&rules, Recognised::Untold), (Outcome::Accept, false, false));
    let here = [spoken, port(22)];
    for action in [Action::Drop, Action::Break, Action::Redirect("c".into())] {
        let rules = [(&here[..], action), (&[], Action::Accept)];
        assert_eq!(judge(&rules, Recognised::Untold), (Outcome::Drop, false, true));
    }
    let rules = [(&here[..], Action::Log), (&[], Action::Accept)];
    assert_eq!(judge(&rules, Recognised::Untold), (Outcome::Accept, false, false));
}
