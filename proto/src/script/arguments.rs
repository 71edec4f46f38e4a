//! What ZeroTier's matches ask, and the values that they take.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use super::Dialect;
use super::matches::{Matches, Stop};
use super::numbers::{Bare, net, number, ports, probability, range};
use super::rules::{ADDRESS_DIGITS, Draft};
use super::tokens::Word;
use crate::document::quoted;
use crate::program::{Characteristics, Net, TagTest, Test, Vlan};

/// A word of the script, and what it stands for.
type Argument<'t> = (Word<'t>, &'t str);

impl<'t> Matches<'_, '_, '_, '_, 't> {
    /// Reads what follows a keyword. `None` where it is wrong, and the rule can be read on.
    pub(super) fn test(
        &mut self,
        word: &Word<'t>,
        keyword: &str,
        (at, draft): (usize, &mut Draft),
    ) -> Result<Option<Test>, Stop> {
        if matches!(keyword, "established" | "from" | "to" | "zmq" | "zmtp") {
            return self.our_test(word, keyword);
        }
        let first = self.argument(word)?;
        Ok(match keyword {
            "ztsrc" => self.node(first).map(Test::SourceNode),
            "ztdest" => self.node(first).map(Test::DestinationNode),
            "vlan" => self.vlan(Vlan::Id, keyword, first),
            "vlanpcp" => self.vlan(Vlan::Pcp, keyword, first),
            "vlandei" => self.vlan(Vlan::Dei, keyword, first),
            "ethertype" => self.named(first, keyword, &ETHER_TYPES, 16).map(Test::EtherType),
            "ipprotocol" => self.named(first, keyword, &PROTOCOLS, 8).map(Test::IpProtocol),
            "macsrc" => self.mac(first, keyword).map(Test::SourceMac),
            "macdest" => self.mac(first, keyword).map(Test::DestinationMac),
            "ipsrc" | "ipdest" => self.addresses(first, keyword, (at, draft)),
            "iptos" => {
                let second = self.argument(word)?;
                self.tos(first, second)
            }
            "icmp" => {
                let second = self.argument(word)?;
                self.icmp(first, second)
            }
            "sport" | "dport" => self.ports(first, keyword),
            "framesize" => {
                let read = ports(first.1).map(|(first, last)| Test::Size(first, last));
                read.or_else(|| self.garbage(first, keyword, "write bytes or a range, as in  0-1500"))
            }
            "chr" => self.characteristics(first).map(Test::Characteristics),
            "random" => probability(first.1).map(Test::Random).or_else(|| {
                let mend = "write a share from 0 to 1, as in  0.25";
                self.ours(&first.0, &format!("{} is no probability", quoted(first.1)), mend);
                None
            }),
            _ => {
                let second = self.argument(word)?;
                self.tag(keyword, first, second)
            }
        })
    }

    fn tag(&mut self, keyword: &str, tag: Argument<'t>, value: Argument<'t>) -> Option<Test> {
        let how = TAG_TESTS.iter().find(|(name, _)| *name == keyword).map(|(_, how)| *how)?;
        let tags = self.compiler.tags;
        let (tag, value) = tags.read((&tag.0, tag.1), (&value.0, value.1), &mut self.compiler.notes)?;
        Some(Test::Tag { how, tag, value })
    }

    /// A node: in ZeroTier its address.
    fn node(&mut self, (word, text): Argument<'t>) -> Option<Arc<str>> {
        if self.compiler.dialect() == Dialect::Lockgate {
            return self.compiler.node(&word, text);
        }
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        if digits.len() != ADDRESS_DIGITS {
            self.refuse(&word, format!("{} is no address of ZeroTier", quoted(text)), "write its ten digits");
            return None;
        }
        if digits.len() != text.len() {
            let problem = format!("{} is read as {}", quoted(text), quoted(&digits));
            self.compiler.notes.warn(&word, problem, "write the ten digits only");
        }
        Some(digits.to_ascii_lowercase().into())
    }

    fn vlan(&mut self, which: Vlan, keyword: &str, value: Argument<'t>) -> Option<Test> {
        self.compiler.notes.warn(&value.0, format!("{keyword} never matches here"), NO_ETHERNET);
        let number = number(value.1).and_then(|number| u32::try_from(number).ok());
        let number = number.or_else(|| self.garbage(value, keyword, "write a number"))?;
        Some(Test::Vlan(which, number))
    }

    /// A number by name or by itself, of which ZeroTier's controller keeps so many bits.
    fn named(&mut self, value: Argument<'t>, keyword: &str, names: &[(&str, u32)], bits: u32) -> Option<u32> {
        if let Some((_, number)) = names.iter().find(|(name, _)| *name == value.1) {
            return Some(*number);
        }
        let Some(number) = number(value.1).and_then(|number| u32::try_from(number).ok()) else {
            let mend = match keyword {
                "ethertype" => "write  ipv4 ,  ipv6  or a number up to 0xffff",
                _ => "write  tcp ,  udp ,  icmp4 ,  icmp6  or a number up to 255",
            };
            return self.garbage(value, keyword, mend);
        };
        if number >> bits != 0 {
            let kept = number & ((1 << bits) - 1);
            let problem = format!("{keyword} {} asks for {kept}", value.1);
            let mend = format!("write that: ZeroTier's controller keeps {bits} bits, and so does this node");
            self.compiler.notes.warn(&value.0, problem, mend);
        }
        Some(number)
    }

    /// As upstream, which takes twelve digits from whatever stands there.
    fn mac(&mut self, value: Argument<'t>, keyword: &str) -> Option<[u8; 6]> {
        self.compiler.notes.warn(&value.0, format!("{keyword} never matches here"), NO_ETHERNET);
        let mut digits = value.1.chars().filter_map(|digit| digit.to_digit(16));
        let mut mac = [0; 6];
        for byte in &mut mac {
            match (digits.next(), digits.next()) {
                (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
                _ => return self.garbage(value, keyword, "write twelve digits, as in  11:22:33:44:55:66"),
            }
        }
        Some(mac)
    }

    fn addresses(
        &mut self,
        value: Argument<'t>,
        keyword: &str,
        (at, draft): (usize, &mut Draft),
    ) -> Option<Test> {
        let is_ours = self.compiler.dialect() == Dialect::Lockgate;
        if is_ours && is_list(value.1) {
            return self.net_set(value, keyword);
        }
        let bare = if is_ours { Bare::Allowed } else { Bare::Refused };
        let Some(read) = net(value.1, bare) else { return self.bad_address(value, keyword) };
        let hides = |net: &Net| matches!(net.address, core::net::IpAddr::V6(v6) if v6.to_bits().checked_shl(net.bits.into()).unwrap_or(0) != 0);
        if hides(&read) {
            let problem = format!("{} never matches: it has bits behind its first {}", value.1, read.bits);
            self.compiler.notes.warn(
                &value.0,
                problem,
                "write zeros behind them, as ZeroTier wants it for IPv6",
            );
        }
        if format!("{}/{}", read.address, read.bits) != value.1 && value.1.contains('/') {
            draft.spelled.push((at, value.1.into()));
        }
        Some(if keyword == "ipsrc" { Test::Source(read) } else { Test::Destination(read) })
    }

    /// Upstream takes what it cannot read behind an address for no bits, and finds an address anywhere in the word.
    fn bad_address(&mut self, value: Argument<'t>, keyword: &str) -> Option<Test> {
        let is_bare = value.1.parse::<core::net::IpAddr>().is_ok();
        let mend = match self.compiler.dialect() {
            Dialect::ZeroTier if is_list(value.1) => NO_LISTS,
            Dialect::ZeroTier if is_bare => "write its bits behind it, as in  10.7.0.1/32",
            _ => "write an address and its bits, as in  10.7.0.0/16  or  fd00::/8",
        };
        let problem = format!("{} cannot follow {keyword}", quoted(value.1));
        let address = value.1.split_once('/').map_or("", |(address, _)| address);
        // What upstream finds an address in has three dots or two colons.
        if address.matches('.').count() >= 3 || address.matches(':').count() >= 2 {
            self.ours(&value.0, &problem, mend);
        } else {
            self.refuse(&value.0, problem, mend);
        }
        None
    }

    fn tos(&mut self, mask: Argument<'t>, values: Argument<'t>) -> Option<Test> {
        let byte = |number: u64| u8::try_from(number).ok();
        let applied = number(mask.1).and_then(byte);
        let applied = applied.or_else(|| self.garbage(mask, "iptos", "write a mask up to 255"));
        let read = range(values.1, 255).and_then(|(first, last)| Some((byte(first)?, byte(last)?)));
        let (start, end) = read.or_else(|| self.garbage(values, "iptos", "write values up to 255"))?;
        applied.map(|mask| Test::Tos { mask, start, end })
    }

    fn icmp(&mut self, kind: Argument<'t>, code: Argument<'t>) -> Option<Test> {
        let byte = |text: &str| number(text).and_then(|number| u8::try_from(number).ok());
        let read = byte(kind.1).or_else(|| self.garbage(kind, "icmp", "write a type up to 255"));
        let any = code.1 == "-1";
        let code_read = byte(code.1).filter(|_| !any);
        if code_read.is_none() && !any {
            let problem = format!("{} is no code of ICMP", quoted(code.1));
            let mend = "write 0 to 255, or -1 for any";
            if number(code.1).is_some() {
                self.refuse(&code.0, problem, mend);
            } else {
                self.ours(&code.0, &problem, mend);
            }
            return None;
        }
        read.map(|kind| Test::Icmp { kind, code: code_read })
    }

    fn ports(&mut self, value: Argument<'t>, keyword: &str) -> Option<Test> {
        if self.compiler.dialect() == Dialect::Lockgate && is_list(value.1) {
            return self.port_set(value, keyword);
        }
        let mend = if is_list(value.1) { NO_LISTS } else { "write a port or a range, as in  5000-5010" };
        let (first, last) = ports(value.1).or_else(|| self.garbage(value, keyword, mend))?;
        Some(if keyword == "sport" {
            Test::SourcePort(first, last)
        } else {
            Test::DestinationPort(first, last)
        })
    }

    fn characteristics(&mut self, value: Argument<'t>) -> Option<u64> {
        let is_ours = self.compiler.dialect() == Dialect::Lockgate;
        if is_ours && value.1 == NONE {
            return Some(0);
        }
        let mut bits = 0_u64;
        for item in value.1.split(',').filter(|item| !item.is_empty()) {
            let named = CHARACTERISTICS.iter().find(|(name, _)| *name == item).map(|(_, bit)| *bit);
            let bit =
                named.or_else(|| number(item).filter(|bit| *bit < 64).and_then(|bit| bit.try_into().ok()));
            let Some(bit) = bit else {
                let mend = match crate::document::nearest(item, CHARACTERISTICS.iter().map(|(name, _)| *name))
                {
                    Some(near) => format!("did you mean {}?", quoted(near)),
                    None => "write a name such as  inbound  or  tcp_syn , or a bit up to 63".to_owned(),
                };
                return self.garbage((value.0, item), "chr", &mend);
            };
            bits |= 1_u64.checked_shl(bit).unwrap_or(0);
        }
        if bits == 0 {
            self.ours(&value.0, "\"chr\" of nothing", "write a name such as  inbound  or  tcp_syn");
            return None;
        }
        let loses = |half: u64| half & SIGN != 0 && half != SIGN;
        if !is_ours && (loses(bits >> 32) || loses(bits & u64::from(u32::MAX))) {
            let problem = format!("ZeroTier's compiler loses bits of  chr {}", value.1);
            self.ours(&value.0, &problem, "write  inbound  (and bit 31) in a chr of its own, with  or");
            return None;
        }
        if bits & Characteristics::MAC_AUTHENTICATED != 0 {
            self.compiler.notes.warn(&value.0, "macauth never holds here", NO_ETHERNET);
        }
        Some(bits)
    }
}

/// Whether it is a list or names a set.
fn is_list(text: &str) -> bool {
    text == NONE || text.contains([',', '@'])
}

const NO_LISTS: &str = "write one: a list or a set is no word of ZeroTier's";
/// A list of nothing.
pub(super) const NONE: &str = "none";
const NO_ETHERNET: &str =
    "there are no Ethernet frames in an IP tunnel; remove it where nothing else needs it";
/// The bit that ZeroTier's compiler takes for a sign.
const SIGN: u64 = 1 << 31;

const TAG_TESTS: [(&str, TagTest); 7] = [
    ("tand", TagTest::And),
    ("tor", TagTest::Or),
    ("txor", TagTest::Xor),
    ("tdiff", TagTest::Difference),
    ("teq", TagTest::Equal),
    ("tseq", TagTest::Sender),
    ("treq", TagTest::Receiver),
];

/// As upstream names them; packets of a tunnel are only ever ipv4 or ipv6.
const ETHER_TYPES: [(&str, u32); 9] = [
    ("ipv4", 0x0800),
    ("arp", 0x0806),
    ("wol", 0x0842),
    ("rarp", 0x8035),
    ("ipv6", 0x86dd),
    ("atalk", 0x809b),
    ("aarp", 0x80f3),
    ("ipx_a", 0x8137),
    ("ipx_b", 0x8138),
];

const PROTOCOLS: [(&str, u32); 16] = [
    ("icmp4", 1),
    ("icmpv4", 1),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("rdp", 27),
    ("esp", 50),
    ("ah", 51),
    ("icmp6", 58),
    ("icmpv6", 58),
    ("l2tp", 115),
    ("sctp", 132),
    ("udplite", 136),
];

/// The bits of `chr` by name.
pub(super) const CHARACTERISTICS: [(&str, u32); 17] = [
    ("inbound", 63),
    ("multicast", 62),
    ("broadcast", 61),
    ("ipauth", 60),
    ("macauth", 59),
    ("tcp_fin", 0),
    ("tcp_syn", 1),
    ("tcp_rst", 2),
    ("tcp_psh", 3),
    ("tcp_ack", 4),
    ("tcp_urg", 5),
    ("tcp_ece", 6),
    ("tcp_cwr", 7),
    ("tcp_ns", 8),
    ("tcp_rs2", 9),
    ("tcp_rs1", 10),
    ("tcp_rs0", 11),
];
