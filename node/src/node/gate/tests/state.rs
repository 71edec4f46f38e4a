//! Flow rules with state: what begins a flow, and what follows from it.

use super::*;

const SYN: u8 = 2;
const SYN_ACK: u8 = 18;
const ACK: u8 = 16;

/// These flow rules and these sections.
fn compiled(flow_rules: &str, sections: &str, generation: u64) -> Arc<Rules> {
    let head = POLICY.split_once("[[allow]]").unwrap().0;
    let (first, rest) = head.split_once('\n').unwrap();
    let text = format!("{first}\nrules = '''\n{flow_rules}\n'''\n{rest}{sections}");
    let policy = Policy::parse("policy.toml", &text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    Arc::new(Rules::compile(&policy, generation))
}

/// A gate of alpha under them.
fn under(peer: PeerId, flow_rules: &str, sections: &str) -> Gate {
    let mut gate = gate(peer);
    gate.replace_rules(compiled(flow_rules, sections, 2));
    gate
}

/// A segment of alpha's connection from port 9 to port 7 of beta, in either direction.
fn segment(direction: Direction, flags: u8) -> Vec<u8> {
    let (ends, ports) = match direction {
        Direction::Out => ([OWN, THEIRS], [9, 7]),
        Direction::In => ([THEIRS, OWN], [7, 9]),
    };
    let mut segment = packet(ends[0], ends[1], ports);
    segment.truncate(24);
    segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0, 0, 0, 0, 0, 0]);
    (segment[3], segment[9]) = (40, 6);
    segment
}

fn passes(gate: &mut Gate, direction: Direction, peer: PeerId, packet: &[u8]) -> bool {
    gate.judge(direction, peer, Load::one(packet), NOW).is_ok()
}

#[test]
fn a_rule_for_a_syn_alone_lets_no_other_segment_begin() {
    use Direction::{In, Out};
    let [beta, _] = peers();
    let opens = "accept ipprotocol tcp and dport 7 and chr tcp_syn and not chr tcp_ack;";
    for (flow_rules, stateful) in [(format!("accept established;\n{opens}"), true), (opens.to_owned(), false)]
    {
        let mut gate = under(beta, &flow_rules, "");
        for (direction, flags, wanted) in [
            (Out, ACK, false),
            (In, SYN_ACK, false),
            (Out, SYN, true),
            (In, SYN_ACK, stateful),
            (Out, ACK, stateful),
            (In, ACK, stateful),
            (In, SYN, false),
        ] {
            let passed = passes(&mut gate, direction, beta, &segment(direction, flags));
            assert_eq!(passed, wanted, "{direction:?} {flags} under {flow_rules}");
        }
    }
}

#[test]
fn a_forbid_is_about_what_begins_and_not_about_answers_that_flow_rules_let_pass() {
    use Direction::{In, Out};
    let [beta, _] = peers();
    let sections = "[[allow]]\nid = \"seven\"\nfrom = \"role=edge\"\nto = \"role=centre tcp:7\"\n\
        [[forbid]]\nid = \"never\"\nfrom = \"role=centre\"\nto = \"role=edge\"\n";
    let mut gate = under(beta, "accept established;\naccept ipprotocol tcp;", sections);
    assert!(!passes(&mut gate, In, beta, &segment(In, SYN)), "it is forbidden to begin");
    assert!(!passes(&mut gate, In, beta, &segment(In, ACK)), "an answer to nothing");
    for (direction, flags) in [(Out, SYN), (In, SYN_ACK), (Out, ACK), (In, ACK)] {
        assert!(passes(&mut gate, direction, beta, &segment(direction, flags)), "{direction:?} {flags}");
    }
    assert!(!passes(&mut gate, In, beta, &segment(In, SYN)), "against the direction of the flow");
}

/// Of one flow a rule may take one packet and not another.
#[test]
fn what_was_denied_just_now_does_not_keep_an_accepted_packet_from_beginning() {
    let [beta, _] = peers();
    let mut gate =
        under(beta, "accept established;\naccept ipprotocol udp and dport 7 and framesize 0-30;", "");
    let (small, answer) = (packet(OWN, THEIRS, [9, 7]), packet(THEIRS, OWN, [7, 9]));
    let mut large = small.clone();
    large.resize(100, 0);
    (large[3], large[25]) = (100, 80);
    assert!(!passes(&mut gate, Direction::Out, beta, &large));
    assert!(!passes(&mut gate, Direction::In, beta, &answer));
    assert!(passes(&mut gate, Direction::Out, beta, &small));
    assert!(passes(&mut gate, Direction::In, beta, &answer), "it follows");
}

#[test]
fn a_candidate_that_means_the_same_differs_in_nothing_of_a_stream_either() {
    use Direction::{In, Out};
    let [beta, _] = peers();
    let flow_rules =
        "accept established;\naccept ipprotocol tcp and dport 7 and chr tcp_syn and not chr tcp_ack;";
    let mut gate = under(beta, flow_rules, "");
    gate.stage(Some(compiled(flow_rules, "", 3)));
    for (direction, flags) in [(Out, ACK), (In, ACK), (Out, SYN), (In, SYN_ACK), (Out, ACK), (In, SYN)] {
        let _ = passes(&mut gate, direction, beta, &segment(direction, flags));
    }
    assert_eq!(differences(&gate), []);
}
