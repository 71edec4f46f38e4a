//! From text to entries. A token is what stands between spaces; `;` ends a rule where it ends a token.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::RangeInclusive;

use super::{Action, Entry, Join, Prefix, ScriptMistake, Sense, Test};
use crate::document::{nearest, quoted};

/// A word of the script, and where it stands.
#[derive(Clone, Copy)]
struct Token<'t> {
    text: &'t str,
    line: u32,
    column: u32,
}

impl Token<'_> {
    fn mistake(&self, problem: impl Into<String>, mend: impl Into<String>) -> ScriptMistake {
        ScriptMistake { line: self.line, column: self.column, problem: problem.into(), mend: mend.into() }
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Vec<ScriptMistake>> {
    let rules = rules(text);
    let (mut entries, mut mistakes) = (Vec::new(), Vec::new());
    for (at, rule) in rules.iter().enumerate() {
        let is_last = at + 1 == rules.len();
        match read_rule(rule, is_last, &mut entries) {
            Ok(()) if entries.len() <= MOST_ENTRIES => {}
            Ok(()) => {
                let problem = format!("the script has more than {MOST_ENTRIES} matches and actions");
                mistakes.push(rule.words[0].mistake(problem, "use wider ranges and prefixes"));
                break;
            }
            Err(mistake) => mistakes.push(mistake),
        }
        if mistakes.len() == MOST_MISTAKES {
            break;
        }
    }
    if mistakes.is_empty() { Ok(entries) } else { Err(mistakes) }
}

/// A rule as words; never without any.
struct Rule<'t> {
    words: Vec<Token<'t>>,
    is_ended: bool,
}

/// The text cut into rules; empty ones (`;;`, or a `;` alone) end nothing.
fn rules(text: &str) -> Vec<Rule<'_>> {
    let mut rules = Vec::new();
    let mut words: Vec<Token<'_>> = Vec::new();
    for token in tokens(text) {
        let bare = token.text.strip_suffix(';').unwrap_or(token.text);
        let is_ended = bare.len() < token.text.len();
        if !bare.is_empty() {
            words.push(Token { text: bare, ..token });
        }
        if is_ended && !words.is_empty() {
            rules.push(Rule { words: core::mem::take(&mut words), is_ended });
        }
    }
    if !words.is_empty() {
        rules.push(Rule { words, is_ended: false });
    }
    rules
}

/// The tokens of a text without its comments: `#` begins one only where it begins a token, and a carriage return ends
/// it as a line feed does, or what an editor shows on lines of their own would be read as one comment.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (at, line) in (1..).zip(text.split('\n')) {
        for (before, part) in parts(line, '\r') {
            for (inside, word) in parts(part, ' ')
                .flat_map(|(at, word)| parts(word, '\t').map(move |(inside, word)| (at + inside, word)))
            {
                if word.starts_with('#') {
                    break;
                }
                if !word.is_empty() {
                    tokens.push(Token { text: word, line: at, column: 1 + before + inside });
                }
            }
        }
    }
    tokens
}

/// The parts of a text between separators, and how many characters stand before each.
fn parts(text: &str, separator: char) -> impl Iterator<Item = (u32, &str)> {
    text.split(separator).scan(0, |column, part| {
        let before = *column;
        *column += part.chars().count() as u32 + 1;
        Some((before, part))
    })
}

fn read_rule(rule: &Rule<'_>, is_last: bool, entries: &mut Vec<Entry>) -> Result<(), ScriptMistake> {
    let (first, conditions) = rule.words.split_first().expect("a rule has words");
    let action = read_action(first)?;
    let last = rule.words.last().expect("a rule has words");
    if !rule.is_ended {
        return Err(last.mistake("the rule has no end", "write  ;  after it"));
    }
    if conditions.is_empty() && !is_last {
        let problem = format!("{} without a condition, and rules behind it", quoted(first.text));
        return Err(first.mistake(problem, "make it the last rule: those behind it would never be asked"));
    }
    read_matches(conditions, entries)?;
    entries.push(Entry::Act { action, line: last.line });
    Ok(())
}

fn read_action(word: &Token<'_>) -> Result<Action, ScriptMistake> {
    match word.text {
        "accept" => Ok(Action::Accept),
        "drop" => Ok(Action::Drop),
        text if UNBUILT_BLOCKS.contains(&text) => Err(unbuilt(word)),
        text => {
            let mend = match nearest(text, ["accept", "drop"]) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "a rule begins with  accept  or  drop".to_owned(),
            };
            Err(word.mistake(format!("{} is no action", quoted(text)), mend))
        }
    }
}

fn read_matches(words: &[Token<'_>], entries: &mut Vec<Entry>) -> Result<(), ScriptMistake> {
    let (mut join, mut sense) = (None, Sense::Plain);
    let mut is_first = true;
    let mut words = words.iter();
    // What waits for a match.
    let mut dangling = None;
    while let Some(word) = words.next() {
        let lower = word.text.to_ascii_lowercase();
        match lower.as_str() {
            "and" | "or" if is_first => {
                let mend = "remove it: upstream takes a first  or  as true for every packet";
                return Err(
                    word.mistake(format!("{} stands before the first match", quoted(word.text)), mend)
                );
            }
            "and" | "or" if join.is_some() || sense == Sense::Not => {
                return Err(word.mistake(format!("{} after another such word", quoted(word.text)), ONE_WORD));
            }
            "and" => (join, dangling) = (Some(Join::And), Some(word)),
            "or" => (join, dangling) = (Some(Join::Or), Some(word)),
            "not" if sense == Sense::Not => {
                return Err(word.mistake("\"not\" twice", "write it once: upstream takes two for one"));
            }
            "not" => (sense, dangling) = (Sense::Not, Some(word)),
            keyword => {
                let argument = words.next();
                let test = read_test(keyword, word, argument)?;
                entries.push(Entry::Match { join: join.take().unwrap_or(Join::And), sense, test });
                (sense, is_first, dangling) = (Sense::Plain, false, None);
            }
        }
    }
    dangling.map_or(Ok(()), |word| {
        Err(word.mistake(format!("{} before nothing", quoted(word.text)), "write a match behind it"))
    })
}

fn read_test(keyword: &str, word: &Token<'_>, argument: Option<&Token<'_>>) -> Result<Test, ScriptMistake> {
    if UNBUILT_MATCHES.contains(&keyword) || UNBUILT_BLOCKS.contains(&keyword) {
        return Err(unbuilt(word));
    }
    if !MATCHES.contains(&keyword) {
        let mend = match nearest(keyword, MATCHES) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => format!("known are: {}", MATCHES.join(", ")),
        };
        return Err(word.mistake(format!("{} is no match", quoted(word.text)), mend));
    }
    let Some(argument) = argument else {
        return Err(word.mistake(format!("{} of what?", quoted(word.text)), mend_of(keyword)));
    };
    let text = argument.text;
    let test = match keyword {
        "ethertype" => named(text, &ETHER_TYPES).or_else(|| number(text)).map(Test::EtherType),
        "ipprotocol" => {
            let named = named(text, &PROTOCOLS).or_else(|| number(text));
            named.and_then(|number| u8::try_from(number).ok()).map(Test::Protocol)
        }
        "sport" => range(text).map(Test::SourcePort),
        "dport" => range(text).map(Test::DestinationPort),
        "ipsrc" => prefix(text).map(Test::Source),
        _ => prefix(text).map(Test::Destination),
    };
    test.ok_or_else(|| {
        argument.mistake(format!("{} cannot follow {keyword}", quoted(text)), mend_of(keyword))
    })
}

fn mend_of(keyword: &str) -> &'static str {
    match keyword {
        "ethertype" => "write  ipv4 ,  ipv6  or a number up to 0xffff",
        "ipprotocol" => "write  tcp ,  udp ,  icmp4 ,  icmp6  or a number up to 255",
        "sport" | "dport" => "write a port or a range, as in  5000-5010",
        _ => {
            "write an address and its bits, as in  10.7.0.0/16  or  fd00::/8  (no bits set behind those in IPv6)"
        }
    }
}

fn unbuilt(word: &Token<'_>) -> ScriptMistake {
    word.mistake(
        format!("{} is not built yet", quoted(word.text)),
        "remove the rule: this version must not pass over it in silence",
    )
}

fn named(text: &str, names: &[(&str, u16)]) -> Option<u16> {
    names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number)
}

/// Decimal, or hexadecimal after `0x`; nothing else around it.
fn number(text: &str) -> Option<u16> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = lower.strip_prefix("0x").map_or((lower.as_str(), 10), |digits| (digits, 16));
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u16::from_str_radix(digits, radix).ok().filter(|_| plain)
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

fn prefix(text: &str) -> Option<Prefix> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits = u8::try_from(number(bits).filter(|_| bits.bytes().all(|byte| byte.is_ascii_digit()))?).ok()?;
    let fits = match address {
        IpAddr::V4(_) => bits <= 32,
        // Upstream compares with the bits behind the prefix too, so that such a rule never matches.
        IpAddr::V6(v6) => bits <= 128 && v6.to_bits().checked_shl(u32::from(bits)).unwrap_or(0) == 0,
    };
    fits.then_some(Prefix { address, bits })
}

const MATCHES: [&str; 6] = ["ethertype", "ipprotocol", "sport", "dport", "ipsrc", "ipdest"];

/// As upstream names them; packets of a tunnel are only ever ipv4 or ipv6.
const ETHER_TYPES: [(&str, u16); 9] = [
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

const PROTOCOLS: [(&str, u16); 16] = [
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

/// Words that begin a block or an action of the full language.
const UNBUILT_BLOCKS: [&str; 9] =
    ["break", "tee", "watch", "redirect", "priority", "tag", "cap", "macro", "include"];

const UNBUILT_MATCHES: [&str; 19] = [
    "ztsrc",
    "ztdest",
    "vlan",
    "vlanpcp",
    "vlandei",
    "macsrc",
    "macdest",
    "iptos",
    "icmp",
    "framesize",
    "chr",
    "random",
    "tand",
    "tor",
    "txor",
    "tdiff",
    "teq",
    "tseq",
    "treq",
];

const ONE_WORD: &str = "write one of  and ,  or  between two matches";
/// As many as ZeroTier's controller takes.
const MOST_ENTRIES: usize = 1024;
const MOST_MISTAKES: usize = 20;
