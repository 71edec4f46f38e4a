//! What passes, and what does not.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::*;
use crate::now::Moment;
use crate::rules::PacketKind;
use Direction::{In, Out};

const FIN: TcpFlags = TcpFlags::FIN.and(TcpFlags::ACK);
pub(super) const SYN: TcpFlags = TcpFlags::SYN;
const RST: TcpFlags = TcpFlags::RST;
pub(super) const ACK: TcpFlags = TcpFlags::ACK;
pub(super) const SYN_ACK: TcpFlags = TcpFlags::SYN.and(TcpFlags::ACK);

/// A table with rules and a clock: the rules allow what goes out to port 22, UDP 53 and ICMP; nothing comes in.
pub(super) struct World {
    pub(super) flows: Flows,
    pub(super) millis: u64,
    asked: Vec<Question>,
    generation: u64,
    allows: fn(&Question) -> bool,
}

pub(super) fn world(allows: fn(&Question) -> bool) -> World {
    let limits = Limits { flows: 100, denials: 64, fragments: 64 };
    World { flows: Flows::new(limits, 7), millis: 1_000_000, asked: Vec::new(), generation: 0, allows }
}

fn outwards(question: &Question) -> bool {
    let kind = matches!(question.kind, PacketKind::Tcp(22) | PacketKind::Udp(53) | PacketKind::Icmp);
    question.direction == Out && kind
}

pub(super) fn at(millis: u64) -> Now {
    Now { instant: Moment::new(Duration::from_millis(millis)), wall: Duration::ZERO }
}

impl World {
    fn judge(&mut self, direction: Direction, subject: Subject) -> Verdict {
        self.judge_from(1, direction, subject)
    }

    fn judge_from(&mut self, peer: u32, direction: Direction, subject: Subject) -> Verdict {
        let Self { flows, asked, allows, .. } = self;
        let verdict = flows.judge(direction, peer, &subject, at(self.millis), |question| {
            asked.push(*question);
            if allows(question) { Answer::Allow } else { Answer::Deny }
        });
        flows.table.check();
        verdict
    }

    fn tcp(&mut self, direction: Direction, port: u16, flags: TcpFlags) -> Verdict {
        self.judge(direction, tcp(direction, port, flags))
    }

    fn rules_changed(&mut self, allows: fn(&Question) -> bool) {
        self.allows = allows;
        self.generation += 1;
        self.flows.rules_changed(self.generation);
    }
}

/// Between this host (10.0.0.1) and the peer (10.0.0.2).
pub(super) fn between(direction: Direction, transport: Transport) -> Subject {
    let (us, them): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let (source, destination) = if direction == Out { (us, them) } else { (them, us) };
    Subject { source, destination, transport, fragment: Fragment::Whole }
}

/// Our end has port 5000.
fn tcp(direction: Direction, port: u16, flags: TcpFlags) -> Subject {
    let (source, destination) = if direction == Out { (5000, port) } else { (port, 5000) };
    between(direction, Transport::Tcp { source, destination, flags })
}

fn udp(direction: Direction, port: u16) -> Subject {
    let (source, destination) = if direction == Out { (5000, port) } else { (port, 5000) };
    between(direction, Transport::Udp { source, destination })
}

fn icmp(direction: Direction, kind: u8, id: u16, quoted: Option<Quoted>) -> Subject {
    between(direction, Transport::Icmp { kind, code: 0, id, quoted })
}

const OPENED: Verdict = Verdict::Pass(Standing::Opened);
const KNOWN: Verdict = Verdict::Pass(Standing::Known);
const RELATED: Verdict = Verdict::Pass(Standing::Related);

fn denied(refusal: Refusal) -> Verdict {
    Verdict::Deny(refusal, News::First)
}

fn again(refusal: Refusal) -> Verdict {
    Verdict::Deny(refusal, News::Repeated)
}

#[test]
fn replies_of_an_allowed_connection_pass_without_asking_again() {
    let mut world = world(outwards);
    assert_eq!(world.tcp(In, 22, ACK), denied(Refusal::Rules), "before the connection");
    world.asked.clear();
    assert_eq!(world.tcp(Out, 22, SYN), OPENED);
    for (direction, flags) in
        [(In, SYN_ACK), (Out, ACK), (In, ACK), (Out, ACK), (In, FIN), (Out, FIN), (In, ACK)]
    {
        assert_eq!(world.tcp(direction, 22, flags), KNOWN, "{direction:?} {flags:?}");
    }
    assert_eq!(world.asked.len(), 1);
    assert!(!world.tcp(In, 23, ACK).passes(), "another port");
    let other = world.judge_from(2, In, tcp(In, 22, ACK));
    assert_eq!(other, denied(Refusal::Rules), "another peer with the same addresses");
}

#[test]
fn only_what_may_begin_a_connection_opens_one() {
    use TcpFlags as F;
    let odd = [SYN_ACK, F::SYN.and(F::FIN), F::SYN.and(F::RST), F::default(), F::FIN];
    for flags in odd {
        let mut world = world(|_| true);
        assert_eq!(world.tcp(Out, 22, flags), denied(Refusal::NoConnection), "{flags:?}");
        assert!(world.asked.is_empty() && world.flows.is_empty());
    }
    // After a restart of this node: in the allowed direction, and then the answers too.
    for flags in [ACK, FIN, RST] {
        let mut world = world(outwards);
        assert_eq!(world.tcp(In, 22, flags), denied(Refusal::Rules), "{flags:?}");
        assert_eq!(world.tcp(Out, 22, flags), OPENED, "{flags:?}");
        assert_eq!(world.tcp(In, 22, ACK), KNOWN, "{flags:?}");
    }
}

#[test]
fn a_syn_against_the_direction_of_a_flow_is_judged_as_its_own() {
    let mut world = world(outwards);
    for (direction, flags) in [(Out, SYN), (In, SYN_ACK), (Out, ACK)] {
        assert!(world.tcp(direction, 22, flags).passes());
    }
    assert_eq!(world.tcp(In, 22, SYN), denied(Refusal::Rules));
    assert_eq!(world.tcp(In, 22, ACK), KNOWN, "the connection is still there");
    world.millis += 1_001;
    world.allows = |_| true;
    assert_eq!(world.tcp(In, 22, SYN), OPENED);
    assert_eq!(world.flows.len(), 1);
    assert_eq!(world.flows.table.flow(0).origin, In);
}

#[test]
fn a_flow_lives_as_long_as_its_state_deserves() {
    let open: &[(Direction, TcpFlags)] = &[(Out, SYN), (In, SYN_ACK), (Out, ACK)];
    let cases: [(&[(Direction, TcpFlags)], u64); 8] = [
        (&[(Out, SYN)], 30_000),
        (&[(Out, SYN), (In, SYN_ACK)], 30_000),
        (open, 7_440_000),
        (&[(Out, ACK), (In, ACK), (Out, ACK)], 7_440_000),
        (&[(Out, SYN), (In, SYN_ACK), (Out, ACK), (In, FIN)], 600_000),
        (&[(Out, SYN), (In, SYN_ACK), (Out, ACK), (In, FIN), (Out, FIN)], 60_000),
        (&[(Out, SYN), (In, SYN_ACK), (Out, ACK), (In, RST)], 10_000),
        (&[(Out, SYN), (In, RST), (Out, SYN)], 30_000),
    ];
    for (steps, life) in cases {
        for (rest, alive) in [(life - 1, true), (life, false)] {
            let mut world = world(outwards);
            for (direction, flags) in steps {
                assert!(world.tcp(*direction, 22, *flags).passes());
            }
            world.millis += rest;
            assert_eq!(world.tcp(In, 22, ACK).passes(), alive, "{steps:?} after {rest} ms");
            assert_eq!(world.flows.len(), usize::from(alive));
        }
    }
}

#[test]
fn udp_lives_30_seconds_and_120_once_both_have_spoken() {
    for (answered, life) in [(false, 30_000), (true, 120_000)] {
        for (rest, alive) in [(life - 1, true), (life, false)] {
            let mut world = world(outwards);
            assert_eq!(world.judge(Out, udp(Out, 53)), OPENED);
            if answered {
                assert_eq!(world.judge(In, udp(In, 53)), KNOWN);
            }
            world.millis += rest;
            assert_eq!(world.judge(In, udp(In, 53)).passes(), alive, "{rest} ms");
        }
    }
}

#[test]
fn echo_replies_follow_their_request_and_nothing_else_does() {
    for (request, reply) in [(8, 0), (128, 129)] {
        let v6 = |direction, kind, id| {
            let mut subject = icmp(direction, kind, id, None);
            if request == 128 {
                let wide = |address: IpAddr| match address {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
                    v6 => v6,
                };
                (subject.source, subject.destination) = (wide(subject.source), wide(subject.destination));
            }
            subject
        };
        let mut world = world(outwards);
        assert_eq!(world.judge(In, v6(In, reply, 9)), denied(Refusal::Rules));
        assert_eq!(world.judge(Out, v6(Out, request, 9)), OPENED);
        assert_eq!(world.judge(In, v6(In, reply, 9)), KNOWN);
        assert!(!world.judge(In, v6(In, reply, 8)).passes(), "another identifier");
        assert!(!world.judge(In, v6(In, request, 9)).passes(), "a request of theirs");
        assert!(!world.judge(In, v6(In, 13, 9)).passes(), "a type without answers");
        world.millis += 30_000;
        assert!(!world.judge(In, v6(In, reply, 9)).passes(), "late");
        // A reply that answers nothing opens no way back.
        assert_eq!(world.judge(Out, v6(Out, reply, 5)), OPENED);
        assert!(!world.judge(In, v6(In, request, 5)).passes());
    }
}

#[test]
fn an_icmp_error_passes_only_about_a_packet_that_went_the_other_way() {
    let sent = tcp(Out, 22, SYN);
    let quote = |transport| Some(Quoted { source: sent.source, destination: sent.destination, transport });
    let good = quote(QuotedTransport::Tcp(5000, 22));
    let mut world = world(|question| outwards(question) || question.kind == PacketKind::Icmp);
    assert_eq!(world.judge(In, icmp(In, 3, 0, good)), denied(Refusal::Unrelated), "before the flow");
    assert_eq!(world.judge(Out, sent), OPENED);
    world.asked.clear();
    for kind in [3, 11, 12] {
        assert_eq!(world.judge(In, icmp(In, kind, 0, good)), RELATED, "type {kind}");
    }
    let backwards = Some(Quoted {
        source: sent.destination,
        destination: sent.source,
        transport: QuotedTransport::Tcp(22, 5000),
    });
    for (what, quoted) in [
        ("nothing quoted", None),
        ("another port", quote(QuotedTransport::Tcp(5000, 23))),
        ("another protocol", quote(QuotedTransport::Udp(5000, 22))),
        ("an unread port", quote(QuotedTransport::Other(6))),
        ("no echo", quote(QuotedTransport::Icmp(13, 5000))),
        ("a packet of theirs", backwards),
    ] {
        assert!(!world.judge(In, icmp(In, 3, 0, quoted)).passes(), "{what}");
    }
    assert!(!world.judge_from(2, In, icmp(In, 3, 0, good)).passes(), "another peer");
    assert!(!world.judge(Out, icmp(Out, 3, 0, backwards)).passes(), "they sent nothing that we refuse");
    assert!(world.asked.is_empty(), "errors are not the rules' business");
    assert_eq!(world.tcp(In, 22, SYN_ACK), KNOWN);
    assert_eq!(world.judge(Out, icmp(Out, 3, 0, backwards)), RELATED);
    // An echo request that a router on the way answers with an error.
    assert_eq!(world.judge(Out, icmp(Out, 8, 77, None)), OPENED);
    assert_eq!(world.judge(In, icmp(In, 11, 0, quote(QuotedTransport::Icmp(8, 77)))), RELATED);
    // Other ICMP is the rules' business: a redirect, a source quench.
    for kind in [5, 4] {
        assert_eq!(world.judge(In, icmp(In, kind, 0, good)), OPENED, "type {kind}");
    }
}

#[test]
fn changed_rules_judge_each_flow_again_in_the_direction_that_opened_it() {
    let mut world = world(outwards);
    for (direction, flags) in [(Out, SYN), (In, SYN_ACK), (Out, ACK)] {
        assert!(world.tcp(direction, 22, flags).passes());
    }
    assert!(world.judge(Out, udp(Out, 53)).passes());
    world.rules_changed(|question| question.kind == PacketKind::Tcp(22) && question.direction == Out);
    world.asked.clear();
    assert_eq!(world.tcp(In, 22, ACK), KNOWN, "an answer brings it up");
    assert_eq!(world.asked.len(), 1);
    assert_eq!(world.asked[0].kind, PacketKind::Tcp(22));
    assert_eq!(world.asked[0].direction, Out);
    assert_eq!(world.asked[0].destination, IpAddr::from([10, 0, 0, 2]));
    assert_eq!(world.tcp(In, 22, ACK), KNOWN);
    assert_eq!(world.asked.len(), 1, "judged again once");
    assert_eq!(world.judge(In, udp(In, 53)), denied(Refusal::Withdrawn));
    assert_eq!(world.judge(Out, udp(Out, 53)), again(Refusal::Rules));
    assert_eq!(world.asked.len(), 2, "the answer is still fresh");
    assert_eq!(world.flows.counters().withdrawn, 1);
    assert_eq!(world.flows.len(), 1);
}

#[test]
fn a_flood_of_denied_packets_asks_once_a_second_and_is_news_once() {
    let mut world = world(|_| false);
    let mut news = 0;
    for turn in 0..10_000_u16 {
        world.millis += 1;
        let segment = Transport::Tcp { source: turn, destination: 80, flags: SYN };
        let verdict = world.judge(In, between(In, segment));
        news += usize::from(verdict == denied(Refusal::Rules));
        assert!(!verdict.passes());
    }
    assert_eq!((news, world.asked.len()), (1, 10));
    assert_eq!(world.flows.counters().denied, 10_000);
    world.millis += 60_000;
    assert_eq!(world.tcp(In, 80, ACK), denied(Refusal::Rules), "another port of ours");
    let segment = Transport::Tcp { source: 1, destination: 80, flags: SYN };
    assert_eq!(world.judge(In, between(In, segment)), denied(Refusal::Rules), "news after a quiet minute");
    world.rules_changed(|_| true);
    assert_eq!(world.judge(In, between(In, segment)), OPENED, "a denial does not outlive the rules");
}

#[test]
fn later_fragments_follow_the_first_and_leave_its_header_alone() {
    let piece = |fragment, subject: Subject| Subject { fragment, ..subject };
    let later = |id, offset| Subject {
        fragment: Fragment::Later { id, offset },
        ..between(Out, Transport::Unparsed)
    };
    let mut world = world(outwards);
    assert_eq!(world.judge(Out, later(1, 1480)), denied(Refusal::Fragment), "before the first");
    assert_eq!(world.judge(Out, piece(Fragment::First { id: 1, header: 8 }, udp(Out, 53))), OPENED);
    assert_eq!(world.judge(Out, piece(Fragment::First { id: 2, header: 20 }, tcp(Out, 22, SYN))), OPENED);
    assert!(world.judge(Out, piece(Fragment::First { id: 5, header: 36 }, tcp(Out, 22, SYN))).passes());
    assert!(!world.judge(Out, piece(Fragment::First { id: 3, header: 8 }, udp(Out, 54))).passes());
    for (id, offset, passes) in [
        (1, 1480, true),
        (1, 8, true),
        (2, 1480, true),
        (2, 24, true),
        (2, 8, false),
        (2, 16, false),
        (3, 1480, false),
        (5, 24, false),
        (5, 32, false),
        (5, 40, true),
    ] {
        assert_eq!(world.judge(Out, later(id, offset)).passes(), passes, "{id} at {offset}");
    }
    assert!(!world.judge_from(2, Out, later(1, 1480)).passes(), "another peer");
    assert!(!world.judge(Out, piece(Fragment::First { id: 1, header: 8 }, udp(Out, 54))).passes());
    assert!(!world.judge(Out, later(1, 1480)).passes(), "the first was sent again, and denied");
    world.millis += 10_000;
    assert!(!world.judge(Out, later(2, 1480)).passes(), "late");
    assert!(world.judge(Out, piece(Fragment::First { id: 4, header: 8 }, udp(Out, 53))).passes());
    world.rules_changed(outwards);
    assert!(!world.judge(Out, later(4, 1480)).passes(), "other rules");
    assert!(world.judge(Out, piece(Fragment::First { id: 6, header: 8 }, udp(Out, 53))).passes());
    world.flows.forget_peer(2);
    assert!(world.judge(Out, later(6, 1480)).passes(), "another peer was forgotten");
    world.flows.forget_peer(1);
    assert!(!world.judge(Out, later(6, 1480)).passes(), "its peer was forgotten");
}

#[test]
fn what_cannot_be_read_is_denied_without_asking() {
    let mut world = world(|_| true);
    let mixed = Subject { destination: [0_u16; 8].into(), ..udp(Out, 53) };
    let unread = [Transport::Unparsed, Transport::Other(6), Transport::Other(17), Transport::Other(58)];
    for subject in unread.map(|transport| between(Out, transport)).into_iter().chain([mixed]) {
        assert!(matches!(world.judge(Out, subject), Verdict::Deny(Refusal::Unparsed, _)), "{subject:?}");
    }
    assert!(world.asked.is_empty());
    assert_eq!(world.judge(Out, between(Out, Transport::Other(47))), OPENED);
    assert_eq!(world.judge(In, between(In, Transport::Other(47))), KNOWN);
}

#[test]
fn the_same_seed_replays() {
    let run = |seed| {
        let mut flows = Flows::new(Limits { flows: 8, denials: 4, fragments: 4 }, seed);
        let verdicts = (0..500_u64).map(|turn| {
            let port = (turn * turn % 37) as u16;
            let segment = tcp(In, port, SYN);
            let answer = |_: &Question| if port.is_multiple_of(3) { Answer::Deny } else { Answer::Allow };
            flows.judge(In, (turn % 5) as u32, &segment, at(turn * 13), answer)
        });
        verdicts.collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
}
