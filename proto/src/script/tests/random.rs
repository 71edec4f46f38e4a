//! Lists at random.

use super::*;
use crate::prefix::Prefix;
use crate::program::{
    Act, Action, Copy, Entry, Join, List, Net, NetSet, PortSet, RuleRef, Sense, TagTest, Term, Test, Vlan,
    ZmqTest, ZmtpTest,
};

/// Dice that fall the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }

    fn name(&mut self) -> Arc<str> {
        let odd =
            ["a", "edge-south", "accept", "or", "$p", "#x", "(b)", "a,b;", "ä\n", "\\x41", "\"\"", "", "@s"];
        self.pick(&odd).into()
    }

    fn bytes(&mut self) -> Arc<[u8]> {
        (0..self.roll(5)).map(|_| self.roll(256) as u8).collect()
    }

    fn range(&mut self) -> (u16, u16) {
        let (a, b) = (self.roll(65_536) as u16, self.roll(65_536) as u16);
        if self.roll(2) == 0 { (a, a) } else { (a.min(b), a.max(b)) }
    }

    fn net(&mut self) -> Net {
        if self.roll(2) == 0 {
            Net { address: (self.roll(1 << 31) as u32).to_be_bytes().into(), bits: self.roll(33) as u8 }
        } else {
            let bits = u128::from(self.roll(1 << 31)) << self.roll(98);
            Net { address: core::net::Ipv6Addr::from_bits(bits).into(), bits: self.roll(129) as u8 }
        }
    }

    fn nets(&mut self) -> Arc<NetSet> {
        let count = self.roll(4);
        let each = (0..count).map(|_| self.net()).collect::<Vec<_>>();
        let prefixes = each.iter().filter_map(|net| Prefix::masked(net.address, net.bits)).collect();
        Arc::new(NetSet::new(prefixes))
    }

    fn ports(&mut self) -> Arc<PortSet> {
        let count = self.roll(4);
        Arc::new(PortSet::new((0..count).map(|_| self.range()).collect()))
    }

    fn term(&mut self) -> Term {
        match self.roll(4) {
            0 => Term::Node((*self.name()).into()),
            1 => Term::Tag("node".into(), (*self.name()).into()),
            2 => Term::Tag("a=b".into(), "c=d".into()),
            _ => Term::Tag((*self.name()).into(), (*self.name()).into()),
        }
    }

    fn common(&mut self) -> Test {
        match self.roll(6) {
            0 => Test::SourceNode(self.name()),
            1 => Test::DestinationNode(self.name()),
            2 => Test::From(self.term()),
            3 => Test::To(self.term()),
            4 => Test::Characteristics(1 << 63),
            _ => {
                use TagTest::*;
                let how = self.pick(&[And, Or, Xor, Difference, Equal, Sender, Receiver]);
                Test::Tag { how, tag: self.roll(1 << 32) as u32, value: self.roll(1 << 32) as u32 }
            }
        }
    }

    fn about_messages(&mut self) -> Test {
        Test::Zmq(match self.roll(6) {
            0 => ZmqTest::Service(self.name()),
            1 => ZmqTest::Socket(self.pick(&SocketType::ALL)),
            2 => ZmqTest::Topic(self.bytes()),
            3 => ZmqTest::Identity(self.bytes()),
            4 => ZmqTest::Mechanism(self.pick(&["NULL", "PLAIN", "CURVE"]).into()),
            _ => {
                let (first, last) = self.range();
                ZmqTest::Size(first.into(), u64::from(last) << 20)
            }
        })
    }

    fn about_packets(&mut self) -> Test {
        let byte = |dice: &mut Self| dice.roll(256) as u8;
        match self.roll(18) {
            0 => Test::Vlan(self.pick(&[Vlan::Id, Vlan::Pcp, Vlan::Dei]), self.roll(1 << 32) as u32),
            1 => Test::SourceMac([1, 2, 3, byte(self), 0xff, 0]),
            2 => Test::DestinationMac([0, byte(self), 3, 4, 5, 6]),
            3 => Test::EtherType(self.roll(1 << 32) as u32),
            4 => Test::IpProtocol(self.roll(256) as u32),
            5 => Test::Source(self.net()),
            6 => Test::Destination(self.net()),
            7 => Test::SourceIn(self.nets()),
            8 => Test::DestinationIn(self.nets()),
            9 => Test::Tos { mask: byte(self), start: 3, end: 3_u8.max(byte(self)) },
            10 => Test::Icmp { kind: byte(self), code: (self.roll(2) == 0).then(|| byte(self)) },
            11 => {
                let (first, last) = self.range();
                self.pick(&[
                    Test::SourcePort(first, last),
                    Test::DestinationPort(first, last),
                    Test::Size(first, last),
                ])
            }
            12 => Test::SourcePortIn(self.ports()),
            13 => Test::DestinationPortIn(self.ports()),
            14 => Test::Characteristics(self.roll(1 << 31) << self.roll(34)),
            15 => Test::Random(self.roll(1 << 32) as u32),
            16 => Test::Established,
            _ => Test::Zmtp(match self.roll(3) {
                0 => ZmtpTest::Spoken,
                1 => ZmtpTest::SocketType(self.pick(&SocketType::ALL)),
                _ => ZmtpTest::Mechanism("GSSAPI".into()),
            }),
        }
    }

    /// Matches of a rule or group: at least one where there is a group around them.
    fn matches(&mut self, is_message: bool, depth: u64, into: &mut Vec<Entry>) {
        let count = self.roll(4).max(depth.min(1));
        for at in 0..count {
            let join = if at > 0 && self.roll(2) == 0 { Join::Or } else { Join::And };
            if depth < 4 && self.roll(5) == 0 {
                let start = into.len();
                into.push(Entry::Open { join, skip: 0 });
                self.matches(is_message, depth + 1, into);
                into.push(Entry::Close);
                let length = (into.len() - start - 1) as u16;
                into[start] = Entry::Open { join, skip: length };
                continue;
            }
            let sense = if self.roll(3) == 0 { Sense::Not } else { Sense::Plain };
            let test = match (self.roll(4), is_message) {
                (0, _) => self.common(),
                (_, true) => self.about_messages(),
                (_, false) => self.about_packets(),
            };
            into.push(Entry::Match { join, sense, test });
        }
    }

    /// A list that a script can say.
    pub(super) fn list(&mut self) -> List {
        let mut entries = Vec::new();
        for _ in 0..self.roll(6) {
            let is_message = self.roll(3) == 0;
            self.matches(is_message, 0, &mut entries);
            let copy = Copy { length: self.roll(65_537) as i32 - 1, to: self.name() };
            let action = match self.roll(if is_message { 3 } else { 7 }) {
                0 => Action::Accept,
                1 => Action::Drop,
                2 => Action::Break,
                3 => Action::Log,
                4 => Action::Tee(copy),
                5 => Action::Watch(copy),
                _ => Action::Redirect(self.name()),
            };
            let id = if self.roll(2) == 0 { "rules".into() } else { self.name() };
            let rule = RuleRef { id, file: "f.rules".into(), line: 1 };
            entries.push(Entry::Act(Act { action, rule }));
        }
        List::new(entries).expect("a list")
    }
}
