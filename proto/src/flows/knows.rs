//! Whether a packet follows from one that passed, asked without changing anything: for the rule word `established`.

use super::key::{self, Key};
use super::{Answer, Direction, Flow, Flows, Fragment, Packet, Question, Subject, Transport, millis};
use crate::now::Now;

impl Flows {
    /// Whether a packet belongs to a flow, is an ICMP error about a packet of one, or a later fragment of a packet that
    /// passed: what [`Flows::judge`] would let pass without asking the rules. Nothing is opened, kept alive or counted.
    ///
    /// A flow that rules of before allowed does not count until it was judged again: by [`Flows::judge`], or by
    /// [`Flows::review`] where packets are judged one by one.
    pub fn knows(&self, direction: Direction, peer: u32, subject: &Subject, now: Now) -> bool {
        let packet = Packet { direction, peer, subject, now: millis(now), admitted: false };
        match subject.fragment {
            Fragment::Later { id, offset } => {
                let key = Key::fragments(direction, peer, subject, id);
                key.is_some_and(|key| self.fragments.follows(&key, offset, self.generation, packet.now))
            }
            Fragment::Whole | Fragment::First { .. } => {
                self.flow_of(&packet).is_some_and(|flow| flow.generation == self.generation)
            }
        }
    }

    /// Judges the flow of a packet again if the rules have changed since it was allowed: it stays (and the packet is
    /// [known](Flows::knows)), or ends. `ask` is given its first packet, and called at most once.
    pub fn review(
        &mut self,
        direction: Direction,
        peer: u32,
        subject: &Subject,
        now: Now,
        ask: impl FnOnce(&Question) -> Answer,
    ) {
        let packet = Packet { direction, peer, subject, now: millis(now), admitted: false };
        let generation = self.generation;
        let outdated = self.flow_of(&packet).filter(|flow| flow.generation != generation);
        let Some(key) = outdated.map(|flow| flow.key) else { return };
        if let Some(at) = self.table.find(&key, packet.now)
            && self.judge_again(at, packet.now, ask).is_ok()
        {
            self.table.update(at, |flow| flow.generation = generation);
        }
    }

    /// The flow that a packet with headers follows from, whatever rules allowed it.
    fn flow_of(&self, packet: &Packet<'_>) -> Option<&Flow> {
        let Packet { direction, peer, subject, now, .. } = *packet;
        let v6 = key::is_v6(subject.source);
        // They have ports, by which flows are not told apart.
        if matches!(subject.transport, Transport::Other(SCTP | UDP_LITE)) {
            return None;
        }
        if let Transport::Icmp { kind, quoted, .. } = subject.transport
            && key::is_error(v6, kind)
        {
            return self.flow_quoted(packet, quoted);
        }
        let flow = self.table.peek(&Key::of(direction, peer, subject)?, now);
        if let Some(flow) = flow {
            // A SYN against the direction of a flow would be a new one.
            return (!packet.flags().opens() || flow.origin == direction).then_some(flow);
        }
        match subject.transport {
            Transport::Icmp { kind, .. } if key::is_echo_reply(v6, kind) => {
                self.table.peek(&Key::alone(direction, peer, subject)?, now)
            }
            _ => None,
        }
    }
}

const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

#[cfg(test)]
mod tests {
    use super::super::tests::{ACK, SYN, SYN_ACK, at, between, world};
    use super::super::{Standing, Verdict};
    use super::*;
    use Direction::{In, Out};

    fn segment(direction: Direction, flags: super::super::TcpFlags) -> Subject {
        let (source, destination) = if direction == Out { (5000, 22) } else { (22, 5000) };
        between(direction, Transport::Tcp { source, destination, flags })
    }

    #[test]
    fn asking_changes_nothing() {
        let mut flows = world(|_| true).flows;
        assert!(!flows.knows(Out, 1, &segment(Out, SYN), at(0)));
        assert!(flows.is_empty());
        assert!(flows.judge(Out, 1, &segment(Out, SYN), at(0), |_| Answer::Allow).passes());
        for now in [0, 10_000, 29_999] {
            assert!(flows.knows(In, 1, &segment(In, SYN_ACK), at(now)), "at {now}");
            assert!(!flows.knows(In, 2, &segment(In, SYN_ACK), at(now)), "another peer");
            assert!(
                !flows.knows(In, 1, &segment(In, SYN), at(now)),
                "a SYN against its direction is a new one"
            );
        }
        assert!(!flows.knows(In, 1, &segment(In, SYN_ACK), at(30_000)), "it was not kept alive by asking");
        assert_eq!((flows.len(), flows.counters().expired, flows.counters().denied), (1, 0, 0));
    }

    #[test]
    fn after_a_change_of_rules_a_flow_counts_once_it_was_judged_again() {
        for answer in [Answer::Allow, Answer::Deny] {
            let mut flows = world(|_| true).flows;
            for (direction, flags) in [(Out, SYN), (In, SYN_ACK), (Out, ACK)] {
                let verdict = flows.judge(direction, 1, &segment(direction, flags), at(0), |_| Answer::Allow);
                assert!(verdict.passes());
            }
            flows.rules_changed(9);
            let reply = segment(In, ACK);
            assert!(!flows.knows(In, 1, &reply, at(1)));
            let mut asked = 0;
            for _ in 0..2 {
                flows.review(In, 1, &reply, at(1), |question| {
                    assert_eq!(
                        (question.direction, question.destination),
                        (Out, reply.source),
                        "its first packet"
                    );
                    asked += 1;
                    answer
                });
            }
            let stays = answer == Answer::Allow;
            assert_eq!(
                (asked, flows.knows(In, 1, &reply, at(1)), flows.len()),
                (1, stays, usize::from(stays))
            );
            assert_eq!(flows.counters().withdrawn, u64::from(!stays));
            let verdict = flows.judge(In, 1, &reply, at(1), |_| Answer::Deny);
            assert_eq!(verdict == Verdict::Pass(Standing::Known), stays);
        }
    }
}
