//! A list as text of our dialect.

use core::fmt::{self, Write as _};

use super::arguments::{CHARACTERISTICS, NONE};
use super::text::Escaped;
use super::{Script, Tag};
use crate::program::{
    Act, Action, Entry, Join, List, Net, NetSet, PortSet, Sense, TagTest, Term, Test, Vlan, ZmqTest, ZmtpTest,
};

/// As a script of our dialect that compiles to an equal list (but for the files and lines of its rules).
///
/// What no script can say cannot be printed so: an `or` before the first match of a rule or group, a group of nothing, a
/// rule about messages and packets at once, a range whose end is below its start, and a mechanism that nobody speaks.
impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        let mut start = 0;
        for (at, entry) in entries.iter().enumerate() {
            if let Entry::Act(act) = entry {
                rule(f, act, &entries[start..at])?;
                start = at + 1;
            }
        }
        Ok(())
    }
}

/// Its tags, capabilities and base rules.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tag in &self.tags {
            self::tag(f, tag)?;
        }
        for capability in &self.capabilities {
            write!(f, "cap {} id {}", capability.name, capability.id)?;
            f.write_str(if capability.is_default { " default\n" } else { "\n" })?;
            writeln!(f, "{};", capability.rules)?;
        }
        self.rules.fmt(f)
    }
}

fn tag(f: &mut fmt::Formatter<'_>, tag: &Tag) -> fmt::Result {
    write!(f, "tag {} id {}", tag.name, tag.id)?;
    if let Some(default) = tag.default {
        write!(f, " default {default}")?;
    }
    for (name, value) in &tag.flags {
        f.write_str(" flag ")?;
        bits(f, u64::from(*value), &[])?;
        write!(f, " {name}")?;
    }
    for (name, value) in &tag.enums {
        write!(f, " enum {value} {name}")?;
    }
    f.write_str(";\n")
}

fn rule(f: &mut fmt::Formatter<'_>, act: &Act, matches: &[Entry]) -> fmt::Result {
    let mut is_bare = matches.is_empty();
    match &act.action {
        Action::Accept => f.write_str("accept")?,
        Action::Drop => f.write_str("drop")?,
        Action::Break => f.write_str("break")?,
        Action::Log => f.write_str("log")?,
        Action::Tee(copy) | Action::Watch(copy) => {
            let word = if matches!(act.action, Action::Tee(_)) { "tee" } else { "watch" };
            write!(f, "{word} {} {}", copy.length, Escaped(copy.to.as_bytes()))?;
            is_bare = false;
        }
        Action::Redirect(to) => {
            write!(f, "redirect {}", Escaped(to.as_bytes()))?;
            is_bare = false;
        }
    }
    let mut is_first = true;
    for entry in matches {
        match entry {
            Entry::Match { join, sense, test } => {
                f.write_str(joined(*join, is_first))?;
                f.write_str(if *sense == Sense::Not { " not " } else { " " })?;
                self::test(f, test)?;
            }
            Entry::Open { join, .. } => write!(f, "{} (", joined(*join, is_first))?,
            Entry::Close => f.write_str(" )")?,
            Entry::Act(_) => {}
        }
        is_first = matches!(entry, Entry::Open { .. });
    }
    // A `;` behind the bare word would open a block.
    if is_bare || *act.rule.id != *"rules" {
        write!(f, " as {}", Escaped(act.rule.id.as_bytes()))?;
    }
    f.write_str(";\n")
}

const fn joined(join: Join, is_first: bool) -> &'static str {
    match join {
        Join::And if is_first => "",
        Join::And => " and",
        Join::Or => " or",
    }
}

fn test(f: &mut fmt::Formatter<'_>, test: &Test) -> fmt::Result {
    match test {
        Test::SourceNode(name) => write!(f, "ztsrc {}", Escaped(name.as_bytes())),
        Test::DestinationNode(name) => write!(f, "ztdest {}", Escaped(name.as_bytes())),
        Test::From(term) => self::term(f, "from", term),
        Test::To(term) => self::term(f, "to", term),
        Test::Vlan(Vlan::Id, value) => write!(f, "vlan {value}"),
        Test::Vlan(Vlan::Pcp, value) => write!(f, "vlanpcp {value}"),
        Test::Vlan(Vlan::Dei, value) => write!(f, "vlandei {value}"),
        Test::SourceMac(mac) => self::mac(f, "macsrc", mac),
        Test::DestinationMac(mac) => self::mac(f, "macdest", mac),
        Test::EtherType(value) => write!(f, "ethertype {value:#06x}"),
        Test::IpProtocol(value) => write!(f, "ipprotocol {value}"),
        Test::Source(net) => self::net(f, "ipsrc", net),
        Test::Destination(net) => self::net(f, "ipdest", net),
        Test::SourceIn(set) => nets(f, "ipsrc", set),
        Test::DestinationIn(set) => nets(f, "ipdest", set),
        Test::Tos { mask, start, end } => write!(f, "iptos {mask:#04x} {start:#04x}-{end:#04x}"),
        Test::Icmp { kind, code: Some(code) } => write!(f, "icmp {kind} {code}"),
        Test::Icmp { kind, code: None } => write!(f, "icmp {kind} -1"),
        Test::SourcePort(first, last) => range(f, "sport ", (*first).into(), (*last).into()),
        Test::DestinationPort(first, last) => range(f, "dport ", (*first).into(), (*last).into()),
        Test::SourcePortIn(set) => ports(f, "sport", set),
        Test::DestinationPortIn(set) => ports(f, "dport", set),
        Test::Size(first, last) => range(f, "framesize ", (*first).into(), (*last).into()),
        Test::Characteristics(mask) => {
            f.write_str("chr ")?;
            bits(f, *mask, &CHARACTERISTICS)
        }
        Test::Random(most) => random(f, *most),
        Test::Tag { how, tag, value } => write!(f, "{} {tag} {value}", tag_word(*how)),
        Test::Established => f.write_str("established"),
        Test::Zmq(test) => zmq(f, test),
        Test::Zmtp(ZmtpTest::Spoken) => f.write_str("zmtp"),
        Test::Zmtp(ZmtpTest::SocketType(socket)) => write!(f, "zmtp socket-type {}", socket.name()),
        Test::Zmtp(ZmtpTest::Mechanism(name)) => write!(f, "zmtp mechanism {}", Escaped(name.as_bytes())),
    }
}

fn zmq(f: &mut fmt::Formatter<'_>, test: &ZmqTest) -> fmt::Result {
    match test {
        ZmqTest::Service(name) => write!(f, "zmq service {}", Escaped(name.as_bytes())),
        ZmqTest::Socket(socket) => write!(f, "zmq socket {}", socket.name().to_ascii_lowercase()),
        ZmqTest::Topic(start) => write!(f, "zmq topic {}", Escaped(start)),
        ZmqTest::Identity(start) => write!(f, "zmq identity {}", Escaped(start)),
        ZmqTest::Mechanism(name) => write!(f, "zmq mechanism {}", Escaped(name.as_bytes())),
        ZmqTest::Size(first, last) => write!(f, "zmq size {first}-{last}"),
    }
}

/// A tag called "node" is escaped, and so is a `=` in its name.
fn term(f: &mut fmt::Formatter<'_>, word: &str, term: &Term) -> fmt::Result {
    match term {
        Term::Node(name) => write!(f, "{word} node={}", Escaped(name.as_bytes())),
        Term::Tag(tag, value) => {
            write!(f, "{word} ")?;
            if tag == "node" {
                f.write_str(r"\x6eode")?;
            } else if tag.contains('=') {
                tag.bytes().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
            } else {
                write!(f, "{}", Escaped(tag.as_bytes()))?;
            }
            write!(f, "={}", Escaped(value.as_bytes()))
        }
    }
}

fn mac(f: &mut fmt::Formatter<'_>, word: &str, mac: &[u8; 6]) -> fmt::Result {
    let [a, b, c, d, e, g] = mac;
    write!(f, "{word} {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
}

fn net(f: &mut fmt::Formatter<'_>, word: &str, net: &Net) -> fmt::Result {
    write!(f, "{word} {}/{}", net.address, net.bits)
}

fn nets(f: &mut fmt::Formatter<'_>, word: &str, set: &NetSet) -> fmt::Result {
    write!(f, "{word} ")?;
    list(f, set.prefixes(), |f, prefix| write!(f, "{prefix}"))
}

fn ports(f: &mut fmt::Formatter<'_>, word: &str, set: &PortSet) -> fmt::Result {
    write!(f, "{word} ")?;
    list(f, set.ranges(), |f, (first, last)| range(f, "", (*first).into(), (*last).into()))
}

/// A comma behind the last one makes a list of one item.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    mut item: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return f.write_str(NONE);
    }
    for (at, each) in items.iter().enumerate() {
        if at > 0 {
            f.write_char(',')?;
        }
        item(f, each)?;
    }
    if items.len() == 1 { f.write_char(',') } else { Ok(()) }
}

fn range(f: &mut fmt::Formatter<'_>, word: &str, first: u32, last: u32) -> fmt::Result {
    if first == last { write!(f, "{word}{first}") } else { write!(f, "{word}{first}-{last}") }
}

/// The bits of a mask by name where they have one.
fn bits(f: &mut fmt::Formatter<'_>, mask: u64, names: &[(&str, u32)]) -> fmt::Result {
    if mask == 0 {
        return f.write_str(NONE);
    }
    let mut is_first = true;
    for bit in (0..64).filter(|bit| mask >> bit & 1 == 1) {
        if !core::mem::take(&mut is_first) {
            f.write_char(',')?;
        }
        match names.iter().find(|(_, named)| *named == bit) {
            Some((name, _)) => f.write_str(name)?,
            None => write!(f, "{bit}")?,
        }
    }
    Ok(())
}

/// The shortest share that is read as the same number.
fn random(f: &mut fmt::Formatter<'_>, most: u32) -> fmt::Result {
    let share = if most == u32::MAX { 1.0 } else { (f64::from(most) + 0.5) / f64::from(u32::MAX) };
    for digits in 0..12 {
        let text = alloc::format!("{share:.digits$}");
        if super::numbers::probability(&text) == Some(most) {
            return write!(f, "random {text}");
        }
    }
    write!(f, "random {share}")
}

const fn tag_word(how: TagTest) -> &'static str {
    match how {
        TagTest::And => "tand",
        TagTest::Or => "tor",
        TagTest::Xor => "txor",
        TagTest::Difference => "tdiff",
        TagTest::Equal => "teq",
        TagTest::Sender => "tseq",
        TagTest::Receiver => "treq",
    }
}
