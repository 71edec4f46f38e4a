//! Flow rules in the gate as somebody tries to get past them.

use super::*;

/// Alpha (10.77.0.1), its peers beta (10.77.0.2) and gamma (10.77.0.3), and these flow rules.
pub(super) struct Attacked {
    gate: Gate,
    beta: PeerId,
    gamma: PeerId,
}

pub(super) const HEAD: &str =
    "[tags]\nrole = [\"edge\"]\n[nodes]\nalpha = {}\nbeta = {}\ngamma = {}\ndelta = {}\n";

pub(super) fn policy(rules: &str, rest: &str) -> Arc<Rules> {
    let text = format!("default = \"deny\"\nrules = '''\n{rules}\n'''\n{HEAD}{rest}");
    let policy = Policy::parse("policy.toml", &text);
    Arc::new(Rules::compile(&policy.unwrap_or_else(|mistakes| panic!("{mistakes:#?}")), 1))
}

impl Attacked {
    fn under(rules: &str) -> Self {
        Self::by(policy(rules, ""))
    }

    pub(super) fn by(rules: Arc<Rules>) -> Self {
        let [beta, gamma] = peers();
        let own = vec![OWN.into(), OWN_V6.into()];
        let mut gate = Gate::policy("alpha".into(), Territory::new(own, Vec::new()), rules, 9);
        gate.name(beta, "beta".into(), &[Prefix::of(THEIRS.into()), Prefix::of(THEIRS_V6.into())]);
        gate.name(gamma, "gamma".into(), &[Prefix::of([10, 77, 0, 3].into())]);
        Self { gate, beta, gamma }
    }

    pub(super) fn judge(&mut self, direction: Direction, packet: &[u8]) -> Result<Way, Discard> {
        self.gate.judge(direction, self.beta, Load::one(packet), NOW)
    }

    pub(super) fn replace_rules(&mut self, rules: Arc<Rules>) {
        self.gate.replace_rules(rules);
    }

    fn comes(&mut self, packet: &[u8]) -> Result<(), Discard> {
        self.judge(Direction::In, packet).map(|_| ())
    }

    /// Beta opens a TCP connection to port 22; both ends begin to count at 1.
    fn connect(&mut self) {
        assert_eq!(self.comes(&v4(IN, 6, WHOLE, &tcp(9, 22, 0, SYN, &[]))), Ok(()));
        assert_eq!(self.goes(&v4(OUT, 6, WHOLE, &tcp(22, 9, 0, SYN | ACK, &[]))), Ok(()));
    }

    fn goes(&mut self, packet: &[u8]) -> Result<(), Discard> {
        self.judge(Direction::Out, packet).map(|_| ())
    }
}

const OWN_V6: [u16; 8] = [0xfd77, 0, 0, 0, 0, 0, 0, 1];
const THEIRS_V6: [u16; 8] = [0xfd77, 0, 0, 0, 0, 0, 0, 2];
const DENIED: Result<(), Discard> = Err(Discard::Denied);

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const CWR: u8 = 0x80;
/// More fragments follow.
pub(super) const MORE: u16 = 0x2000;

/// IPv4 from one to the other; `place` is the word with the fragment offset.
pub(super) fn v4(
    [source, destination]: [[u8; 4]; 2],
    protocol: u8,
    (id, place): (u16, u16),
    behind: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0];
    packet.extend(id.to_be_bytes());
    packet.extend(place.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(behind);
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

/// IPv6 from them to us.
fn v6(next: u8, behind: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((behind.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    for address in [THEIRS_V6, OWN_V6] {
        packet.extend(address.into_iter().flat_map(u16::to_be_bytes));
    }
    packet.extend(behind);
    packet
}

pub(super) fn udp(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0, 16, 0, 0], &[0; 8]].concat()
}

pub(super) fn tcp(from: u16, to: u16, seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let words = [&from.to_be_bytes()[..], &to.to_be_bytes(), &seq.to_be_bytes(), &[0, 0, 0, 1]].concat();
    [&words[..], &[0x50, flags, 0xff, 0xff, 0, 0, 0, 0], payload].concat()
}

pub(super) const IN: [[u8; 4]; 2] = [THEIRS, OWN];
pub(super) const OUT: [[u8; 4]; 2] = [OWN, THEIRS];
const WHOLE: (u16, u16) = (0, 0);

#[test]
fn later_fragments_follow_the_first_one_that_flow_rules_let_pass_and_no_other() {
    let mut gate = Attacked::under("accept ipprotocol udp and dport 7;\naccept ipprotocol tcp and dport 22;");
    assert_eq!(gate.comes(&v4(IN, 17, (1, 1), &[0; 8])), DENIED, "before any first one");
    assert_eq!(gate.comes(&v4(IN, 17, (1, MORE), &udp(9, 7))), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 17, (1, 2), &[0; 8])), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 17, (2, 2), &[0; 8])), DENIED, "another packet's");
    assert_eq!(gate.comes(&v4(IN, 17, (3, MORE), &udp(9, 8))), DENIED);
    assert_eq!(gate.comes(&v4(IN, 17, (3, 2), &[0; 8])), DENIED, "of a denied one");
    assert_eq!(gate.comes(&v4(IN, 6, (4, MORE), &tcp(9, 22, 0, SYN, &[]))), Ok(()));
    for (place, said) in [(1, DENIED), (2, DENIED), (3, Ok(()))] {
        assert_eq!(gate.comes(&v4(IN, 6, (4, place), &[0; 8])), said, "overwrites the header at {place}");
    }
    assert_eq!(gate.comes(&v4(IN, 17, (1, MORE), &udp(9, 8))), DENIED);
    assert_eq!(gate.comes(&v4(IN, 17, (1, 2), &[0; 8])), DENIED, "a denied first one ends it");
    assert_eq!(gate.comes(&v4(IN, 6, (5, MORE), &[0; 8])), DENIED, "too short for its ports");
}

#[test]
fn a_fragment_that_flow_rules_let_pass_lets_no_answer_pass() {
    let mut gate = Attacked::under("accept ipprotocol udp and dport 7;");
    assert_eq!(gate.goes(&v4(OUT, 17, (1, MORE), &udp(9, 7))), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(7, 9))), DENIED);
    let mut gate = Attacked::under("accept ipprotocol udp and dport 7;\naccept established;");
    assert_eq!(gate.goes(&v4(OUT, 17, (1, MORE), &udp(9, 7))), Ok(()));
    assert_eq!(gate.goes(&v4(OUT, 17, (1, 2), &[0; 8])), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(7, 9))), Ok(()), "unless the rules ask for flows");
}

#[test]
fn what_cannot_be_read_is_denied_where_flow_rules_ask_for_it() {
    let options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let authentication = |next: u8| [&[next, 1, 0, 0][..], &[0; 8]].concat();
    let fragment = |next: u8, place: u16| [&[next, 0][..], &place.to_be_bytes(), &[0, 0, 0, 9]].concat();
    let (syn, data) = (tcp(9, 22, 0, SYN, &[]), udp(9, 22));
    let chain = |many: usize, last: &[u8]| {
        let mut all: Vec<u8> = (0..many).flat_map(|_| options(60)).collect();
        all.extend(last);
        v6(60, &all)
    };
    let [mut asks_ports, mut asks_flags, mut asks_nothing] = [
        "drop ipprotocol tcp and dport 22;\ndrop ipprotocol 132 and dport 22;\naccept;",
        "drop chr tcp_syn;\naccept;",
        "accept;",
    ]
    .map(Attacked::under);
    let packets = [
        ("plain", v6(6, &syn), true),
        ("behind options", v6(60, &[&options(6)[..], &syn].concat()), true),
        ("behind authentication", v6(51, &[&authentication(6)[..], &syn].concat()), true),
        ("an atomic fragment", v6(44, &[&fragment(6, 0)[..], &syn].concat()), true),
        ("a first fragment", v6(44, &[&fragment(6, 1)[..], &syn].concat()), true),
        ("cut in the ports", v6(6, &syn[..3]), true),
        ("cut in the options", v6(60, &options(6)[..5]), true),
        ("steered", v6(43, &[&[6, 0, 0, 1, 0, 0, 0, 0][..], &syn].concat()), true),
        ("a long chain", chain(9, &[&options(6)[..], &syn].concat()), true),
        (
            "a long chain with authentication",
            chain(9, &[&options(51)[..], &authentication(6), &syn].concat()),
            true,
        ),
        ("IPv4, cut", v4(IN, 6, WHOLE, &syn[..12]), true),
        ("SCTP", v6(132, &data), false),
        ("SCTP behind authentication", v6(51, &[&authentication(132)[..], &data].concat()), false),
        ("SCTP in an atomic fragment", v6(44, &[&fragment(132, 0)[..], &data].concat()), false),
        ("SCTP, cut", v6(132, &data[..3]), false),
    ];
    for (what, packet, is_tcp) in packets {
        assert_eq!(asks_ports.comes(&packet), DENIED, "{what}");
        let flags = if is_tcp { DENIED } else { Ok(()) };
        let told_by_flags = if what == "SCTP, cut" { DENIED } else { flags };
        assert_eq!(asks_flags.comes(&packet), told_by_flags, "{what}");
        assert_eq!(asks_nothing.comes(&packet), Ok(()), "{what}");
    }
}

#[test]
fn a_super_packet_passes_where_each_of_its_packets_would() {
    for (rules, flags, passes) in [
        ("accept framesize 0-540;", ACK, true),
        ("accept framesize 200-540;", ACK, false),
        ("accept framesize 0-200;", ACK, false),
        ("drop chr tcp_fin;\naccept;", ACK | FIN, false),
        ("drop chr tcp_psh;\naccept;", ACK | PSH, false),
        ("accept chr tcp_psh;", ACK | PSH, false),
        ("accept chr tcp_cwr;", ACK | CWR, false),
        ("drop chr tcp_cwr;\naccept;", ACK | CWR, false),
        ("accept chr tcp_ack;", ACK | PSH | CWR, true),
        ("accept chr tcp_psh or not chr tcp_psh;", ACK | PSH, true),
    ] {
        let mut gate = Attacked::under(rules);
        let packet = v4(OUT, 6, WHOLE, &tcp(9, 22, 0, flags, &[0; 1100]));
        let load = Load { packet: &packet, lengths: (540, 140) };
        let said = gate.gate.judge(Direction::Out, gate.beta, load, NOW);
        assert_eq!(said.is_ok(), passes, "{rules} {flags:#x}: {said:?}");
    }
}

/// An ICMP "port unreachable" about a packet.
fn unreachable(about: &[u8]) -> Vec<u8> {
    [&[3, 3, 0, 0, 0, 0, 0, 0][..], about].concat()
}

#[test]
fn an_icmp_error_is_established_where_its_flow_is() {
    let mut gate = Attacked::under("accept ipprotocol udp and dport 7;\naccept established;");
    let (asked, other) = (v4(OUT, 17, WHOLE, &udp(9, 7)), v4(OUT, 17, WHOLE, &udp(9, 8)));
    assert_eq!(gate.comes(&v4(IN, 1, WHOLE, &unreachable(&asked))), DENIED, "nothing went yet");
    assert_eq!(gate.goes(&asked), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 1, WHOLE, &unreachable(&asked))), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 1, WHOLE, &unreachable(&other))), DENIED);
    let theirs = v4(IN, 17, WHOLE, &udp(7, 9));
    assert_eq!(gate.comes(&v4(IN, 1, WHOLE, &unreachable(&theirs))), DENIED, "it quotes what we never sent");
    let mut gate = Attacked::under("accept ipprotocol udp and dport 7;");
    assert_eq!(gate.goes(&asked), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 1, WHOLE, &unreachable(&asked))), DENIED, "no rule asks for flows");
}

#[test]
fn a_forbid_holds_for_answers_that_flow_rules_would_let_pass() {
    let forbid = "[[forbid]]\nid = \"never\"\nfrom = \"node=beta\"\nto = \"node=alpha\"\n";
    for rules in ["accept;", "accept dport 7 or sport 7;", "redirect gamma;", "tee -1 gamma;\naccept;"] {
        let mut gate = Attacked::by(policy(rules, forbid));
        assert_eq!(gate.goes(&v4(OUT, 17, WHOLE, &udp(9, 7))), Ok(()), "{rules}");
        for _ in 0..2 {
            assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(7, 9))), DENIED, "{rules}");
            assert_eq!(gate.comes(&v4(IN, 17, (1, MORE), &udp(7, 9))), DENIED, "{rules}");
            assert_eq!(gate.comes(&v4(IN, 17, (1, 2), &udp(7, 9))), DENIED, "{rules}");
        }
    }
    // An answer in a flow begins nothing: as with an [[allow]].
    let mut gate = Attacked::by(policy("accept established;\naccept dport 7;", forbid));
    assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(7, 9))), DENIED);
    assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(9, 7))), DENIED);
    assert_eq!(gate.goes(&v4(OUT, 17, WHOLE, &udp(9, 7))), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(7, 9))), Ok(()));
    assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(9, 7))), DENIED);
}

#[test]
fn whom_the_policy_does_not_know_gets_nothing_whatever_flow_rules_say() {
    let strangers = |own: &str, peer: &str| {
        let [beta, _] = peers();
        let territory = Territory::new(vec![OWN.into()], Vec::new());
        let mut gate = Gate::policy(own.into(), territory, policy("accept;", ""), 9);
        gate.name(beta, peer.into(), &[Prefix::of(THEIRS.into())]);
        [Direction::Out, Direction::In].map(|direction| {
            let ends = if direction == Direction::Out { OUT } else { IN };
            gate.judge(direction, beta, Load::one(&v4(ends, 17, WHOLE, &udp(9, 7))), NOW).map(|_| ())
        })
    };
    assert_eq!(strangers("alpha", "beta"), [Ok(()); 2]);
    for (own, peer) in [("alpha", "nobody"), ("nobody", "beta"), ("nobody", "none"), ("", "")] {
        assert_eq!(strangers(own, peer), [DENIED; 2], "{own} {peer}");
    }
}

#[test]
fn what_was_said_ends_with_the_rules_and_with_the_name_that_it_was_said_of() {
    let mut gate = Attacked::under("accept ztdest beta and dport 7;\naccept ztdest gamma and dport 8;");
    let packet = v4(OUT, 17, WHOLE, &udp(9, 7));
    for _ in 0..3 {
        assert_eq!(gate.goes(&packet), Ok(()));
    }
    gate.gate.name(gate.beta, "gamma".into(), &[]);
    assert_eq!(gate.goes(&packet), DENIED, "it has another name");
    gate.gate.name(gate.beta, "beta".into(), &[]);
    assert_eq!(gate.goes(&packet), Ok(()));
    for rules in ["accept dport 8;", "drop dport 7;\naccept;", "accept established;"] {
        gate.gate.replace_rules(policy("accept dport 7;\naccept established;", ""));
        assert_eq!(gate.goes(&packet), Ok(()));
        assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(7, 9))), Ok(()));
        gate.gate.replace_rules(policy(rules, ""));
        assert_eq!(gate.goes(&packet), DENIED, "{rules}");
        assert_eq!(gate.comes(&v4(IN, 17, (3, 2), &[0; 8])), DENIED, "{rules}");
    }
}

#[test]
fn a_detour_goes_to_a_third_node_that_is_a_peer_and_nowhere_else() {
    for (to, passes) in
        [("gamma", Ok(true)), ("delta", Err(Discard::NoRoute)), ("alpha", Ok(false)), ("beta", Ok(false))]
    {
        let mut gate = Attacked::under(&format!("redirect {to} dport 7;\naccept dport 7-8;"));
        let detour = gate.gamma;
        for (direction, ends) in [(Direction::Out, OUT), (Direction::In, IN)] {
            let said = gate.judge(direction, &v4(ends, 17, WHOLE, &udp(9, 7)));
            assert_eq!(said.map(|way| way.detour == Some(detour)), passes, "{to} {direction:?}");
        }
        let copies = gate.judge(Direction::Out, &v4(OUT, 17, WHOLE, &udp(9, 8)));
        assert_eq!(copies, Ok(Way::default()));
    }
    let mut gate = Attacked::under("redirect gamma dport 7;");
    assert!(gate.judge(Direction::Out, &v4(OUT, 17, (1, MORE), &udp(9, 7))).is_ok());
    let rest = gate.goes(&v4(OUT, 17, (1, 2), &[0; 8]));
    assert_eq!(
        rest, DENIED,
        "the rest of a packet does not go straight where its beginning went another way"
    );
}

#[test]
fn being_an_observer_lets_nothing_in() {
    for rules in ["tee -1 alpha;", "watch -1 alpha;", "redirect alpha;"] {
        let mut gate = Attacked::under(rules);
        assert_eq!(gate.comes(&v4(IN, 17, WHOLE, &udp(9, 7))), DENIED, "{rules}");
        assert_eq!(gate.goes(&v4(OUT, 17, WHOLE, &udp(9, 7))), DENIED, "{rules}");
    }
    let mut gate = Attacked::under(
        "tee -1 gamma;\ntee -1 alpha;\ntee -1 beta;\ntee -1 delta dport 8;\naccept dport 7-8;",
    );
    let gamma = gate.gamma;
    let said = gate.judge(Direction::In, &v4(IN, 17, WHOLE, &udp(9, 7))).unwrap();
    assert_eq!(said.copy.map(|(to, _)| to), Some(gamma), "neither end needs a copy");
    let said = gate.judge(Direction::In, &v4(IN, 17, WHOLE, &udp(9, 8)));
    assert_eq!(said, Ok(Way::default()), "delta is no peer: there is no copy, and the packet passes");
}

#[test]
fn a_flow_that_never_says_what_it_speaks_carries_next_to_nothing() {
    let greeting = [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1][..], b"NULL", &[0; 48]].concat();
    let ready = |kind: &str| {
        let body = [&b"\x05READY\x0bSocket-Type\0\0\0"[..], &[kind.len() as u8], kind.as_bytes()].concat();
        [&[4, body.len() as u8][..], &body].concat()
    };
    let starts: [(&str, Vec<u8>); 4] = [
        ("nothing", Vec::new()),
        ("half a greeting", greeting[..20].to_vec()),
        ("a greeting", greeting.clone()),
        ("a greeting and READY", [&greeting[..], &ready("PUSH")].concat()),
    ];
    for rules in [
        "accept zmtp;",
        "accept zmtp socket-type PUB;",
        "drop not zmtp;\naccept;",
        "accept zmtp mechanism NULL;",
    ] {
        for (what, start) in &starts {
            let mut gate = Attacked::under(rules);
            gate.connect();
            let mut seq = 1;
            for byte in start {
                assert_eq!(
                    gate.comes(&v4(IN, 6, WHOLE, &tcp(9, 22, seq, ACK, &[*byte]))),
                    Ok(()),
                    "{rules} {what}"
                );
                seq += 1;
            }
            let mut carried = 0;
            for _ in 0..100 {
                if gate.comes(&v4(IN, 6, WHOLE, &tcp(9, 22, seq, ACK, &[0x41; 1000]))).is_ok() {
                    carried += 1000;
                    seq += 1000;
                }
            }
            assert!(carried <= 1000, "{rules} {what}: {carried} bytes were carried undecided");
        }
    }
}

#[test]
fn a_gap_is_no_way_past_what_is_recognised() {
    let mut gate = Attacked::under("accept zmtp;");
    gate.connect();
    let jump = v4(IN, 6, WHOLE, &tcp(9, 22, 50, ACK, b"GET / HTTP/1.1"));
    assert_eq!(gate.comes(&jump), Err(Discard::Gap));
    let first = v4(IN, 6, WHOLE, &tcp(9, 22, 1, ACK, &[0xff]));
    assert_eq!(gate.comes(&first), Ok(()));
    let other = v4(IN, 6, WHOLE, &tcp(9, 22, 1, ACK, b"GET / HTTP/1.1"));
    assert!(gate.comes(&other).is_err(), "the same place with other bytes");
    let midway = v4(IN, 6, WHOLE, &tcp(9, 23, 7, ACK, b"GET / HTTP/1.1"));
    assert!(gate.comes(&midway).is_err(), "a connection whose beginning nobody saw");
    let pieces = v4(IN, 6, (1, MORE), &tcp(9, 22, 2, ACK, &[0; 8]));
    assert!(gate.comes(&pieces).is_err(), "a piece of a segment");
}
