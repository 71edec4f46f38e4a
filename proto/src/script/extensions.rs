//! What Lockgate's dialect adds: sets, messages, ZMTP, the policy's tags.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::arguments::NONE;
use super::definitions::{Definition, twice};
use super::matches::{Matches, Stop};
use super::names::{Named, Notes, defined, did_you_mean};
use super::numbers::{Bare, net, number, ports};
use super::rules::ESCAPES;
use super::text::{is_taken, unescape, unescape_text};
use super::tokens::{Node, Word};
use crate::document::{nearest, parse_size, quoted};
use crate::prefix::Prefix;
use crate::program::{LONGEST_TOPIC, NetSet, PortSet, Term, Test, ZmqTest, ZmtpTest};
use crate::zmtp::SocketType;

/// What stands in a set: prefixes, and ranges of ports.
type Items = (Vec<Prefix>, Vec<(u16, u16)>);

/// A named set.
pub(super) enum Set {
    /// Of addresses.
    Nets(Vec<Prefix>, Arc<NetSet>),
    /// Of ports.
    Ports(Vec<(u16, u16)>, Arc<PortSet>),
}

/// Reads `set NAME …`.
pub(super) fn define_set(
    definition: &Definition<'_, '_>,
    sets: &mut BTreeMap<String, Set>,
    room: &mut usize,
    notes: &mut Notes<'_>,
) {
    let word = &definition.name;
    let Some(name) = defined(word, word.text, Named::Definition, notes) else { return };
    if sets.contains_key(&name) {
        twice(word, notes);
        return;
    }
    let Some((nets, ranges)) = read_items(definition.body, sets, room, notes) else { return };
    *room -= nets.len() + ranges.len();
    let set = match (nets.is_empty(), ranges.is_empty()) {
        (false, true) => Set::Nets(nets.clone(), Arc::new(NetSet::new(nets))),
        (true, false) => Set::Ports(ranges.clone(), Arc::new(PortSet::new(ranges))),
        (is_empty, _) => {
            let problem = if is_empty { "a set of nothing" } else { "a set of addresses and of ports" };
            notes.refuse(word, problem, "write addresses or ports behind its name");
            return;
        }
    };
    sets.insert(name, set);
}

/// What stands in a set; `None` where some of it is wrong, which is noted.
fn read_items(
    body: &[Node<'_>],
    sets: &BTreeMap<String, Set>,
    room: &mut usize,
    notes: &mut Notes<'_>,
) -> Option<Items> {
    let mut is_right = true;
    let (mut nets, mut ranges) = (Vec::new(), Vec::new());
    let words = body.iter().filter_map(|node| if let Node::Word(word) = node { Some(word) } else { None });
    let places = words.flat_map(|word| word.text.split(',').map(|text| Word { text, ..*word }));
    for place in places.filter(|place| !place.text.is_empty()) {
        let item = place.text;
        let mend = match (item.strip_prefix('@').map(|other| sets.get(other)), ports(item)) {
            (Some(Some(Set::Nets(prefixes, _))), _) => {
                nets.extend_from_slice(prefixes);
                None
            }
            (Some(Some(Set::Ports(more, _))), _) => {
                ranges.extend_from_slice(more);
                None
            }
            (Some(None), _) => Some("define that set before this one"),
            (None, Some(range)) => {
                ranges.push(range);
                None
            }
            (None, None) => match prefix(item) {
                Ok(prefix) => {
                    nets.push(prefix);
                    None
                }
                Err(mend) => Some(mend),
            },
        };
        if let Some(mend) = mend {
            notes.refuse(&place, format!("{} cannot be in a set", quoted(item)), mend);
            is_right = false;
        }
        if nets.len() + ranges.len() > *room {
            *room = 0;
            notes.refuse(&place, "the sets have too many items, all together", "use wider ones");
            return None;
        }
    }
    is_right.then_some((nets, ranges))
}

/// A prefix of a list; where it is none, what to write.
fn prefix(text: &str) -> Result<Prefix, &'static str> {
    let net = net(text, Bare::Allowed).ok_or("write addresses as in  10.7.0.0/16,fd00::7  , or ports")?;
    let prefix = Prefix::masked(net.address, net.bits).filter(|prefix| prefix.address() == net.address);
    prefix.ok_or("write zeros behind the bits that count")
}

impl<'t> Matches<'_, '_, '_, '_, 't> {
    /// `ipsrc` and `ipdest` with a list.
    pub(super) fn net_set(&mut self, (word, text): (Word<'t>, &'t str), keyword: &str) -> Option<Test> {
        let sets = self.compiler.sets;
        let whole = text.strip_prefix('@').and_then(|name| sets.get(name));
        let set = if let Some(Set::Nets(_, set)) = whole {
            Arc::clone(set)
        } else {
            let mut nets = Vec::new();
            for item in items(text) {
                match item.strip_prefix('@').map(|name| sets.get(name)) {
                    Some(Some(Set::Nets(prefixes, _))) => {
                        self.charge_set(&word, prefixes.len())?;
                        nets.extend_from_slice(prefixes);
                    }
                    Some(found) => return self.no_set(&word, item, found.is_some()),
                    None => match prefix(item) {
                        Ok(prefix) => nets.push(prefix),
                        Err(mend) => return self.garbage((word, item), keyword, mend),
                    },
                }
            }
            Arc::new(NetSet::new(nets))
        };
        Some(if keyword == "ipsrc" { Test::SourceIn(set) } else { Test::DestinationIn(set) })
    }

    /// `sport` and `dport` with a list.
    pub(super) fn port_set(&mut self, (word, text): (Word<'t>, &'t str), keyword: &str) -> Option<Test> {
        let sets = self.compiler.sets;
        let whole = text.strip_prefix('@').and_then(|name| sets.get(name));
        let set = if let Some(Set::Ports(_, set)) = whole {
            Arc::clone(set)
        } else {
            let mut ranges = Vec::new();
            for item in items(text) {
                match item.strip_prefix('@').map(|name| sets.get(name)) {
                    Some(Some(Set::Ports(more, _))) => {
                        self.charge_set(&word, more.len())?;
                        ranges.extend_from_slice(more);
                    }
                    Some(found) => return self.no_set(&word, item, found.is_some()),
                    None => match ports(item) {
                        Some(range) => ranges.push(range),
                        None => {
                            let mend = "write ports and ranges, as in  22,80,8000-8010";
                            return self.garbage((word, item), keyword, mend);
                        }
                    },
                }
            }
            Arc::new(PortSet::new(ranges))
        };
        Some(if keyword == "sport" { Test::SourcePortIn(set) } else { Test::DestinationPortIn(set) })
    }

    fn charge_set(&mut self, word: &Word<'t>, items: usize) -> Option<()> {
        self.compiler.charge(word, items.saturating_mul(16)).continue_value()
    }

    fn no_set<T>(&mut self, word: &Word<'t>, item: &str, is_other: bool) -> Option<T> {
        let name = item.trim_start_matches('@');
        let (problem, mend) = if is_other {
            (
                format!("{} is a set of the other kind", quoted(item)),
                "addresses and ports are no match".to_owned(),
            )
        } else {
            let known = self.compiler.sets.keys().map(String::as_str);
            (format!("{} is no set", quoted(item)), did_you_mean(name, known))
        };
        self.refuse(word, problem, &mend);
        None
    }

    /// The matches that ZeroTier lacks.
    pub(super) fn our_test(&mut self, word: &Word<'t>, keyword: &str) -> Result<Option<Test>, Stop> {
        Ok(match keyword {
            "established" => Some(Test::Established),
            "from" | "to" => {
                let value = self.free(word)?;
                self.term(value).map(|term| if keyword == "from" { Test::From(term) } else { Test::To(term) })
            }
            "zmq" => {
                let Some(kind) = self.next() else {
                    self.refuse(word, "\"zmq\" of what?".to_owned(), ZMQ);
                    return Err(Stop);
                };
                let value = self.free(&kind)?;
                self.zmq(&kind, value).map(Test::Zmq)
            }
            _ => {
                let test = if self.next_if("socket-type").is_some() {
                    let value = self.free(word)?;
                    self.socket(value).map(ZmtpTest::SocketType)
                } else if self.next_if("mechanism").is_some() {
                    let value = self.free(word)?;
                    self.mechanism(value).map(ZmtpTest::Mechanism)
                } else {
                    Some(ZmtpTest::Spoken)
                };
                test.map(Test::Zmtp)
            }
        })
    }

    /// An argument that is free text, so that a word of the language may be a slip.
    fn free(&mut self, keyword: &Word<'t>) -> Result<(Word<'t>, &'t str), Stop> {
        let value = self.argument(keyword)?;
        if is_taken(value.1) {
            let problem = format!("{} is a word of the language", quoted(value.1));
            self.refuse(&value.0, problem, "write its first letter as  \\xNN  if it is meant");
            return Err(Stop);
        }
        Ok(value)
    }

    fn zmq(&mut self, kind: &Word<'t>, value: (Word<'t>, &'t str)) -> Option<ZmqTest> {
        match kind.text {
            "service" => self.text(value).map(|name| ZmqTest::Service(name.into())),
            "socket" => self.socket(value).map(ZmqTest::Socket),
            "topic" => self.topic(value),
            "identity" => self.bytes(value).map(|start| ZmqTest::Identity(start.into())),
            "mechanism" => self.mechanism(value).map(ZmqTest::Mechanism),
            "size" => self.size(value),
            _ => {
                let mend = match nearest(kind.text, ZMQ_WORDS) {
                    Some(near) => format!("did you mean {}?", quoted(near)),
                    None => ZMQ.to_owned(),
                };
                self.refuse(kind, format!("{} is nothing of a message", quoted(kind.text)), &mend);
                None
            }
        }
    }

    fn size(&mut self, value: (Word<'t>, &'t str)) -> Option<ZmqTest> {
        let bytes = |text: &str| number(text).or_else(|| parse_size(text));
        let read = value.1.split_once('-').and_then(|(first, last)| Some((bytes(first)?, bytes(last)?)));
        match read.filter(|(first, last)| first <= last) {
            Some((first, last)) => Some(ZmqTest::Size(first, last)),
            None => self.garbage(value, "zmq size", "write two sizes, as in  0-65536  or  0-64KiB"),
        }
    }

    fn bytes(&mut self, (word, text): (Word<'t>, &'t str)) -> Option<Vec<u8>> {
        let bytes = unescape(text);
        if bytes.is_none() {
            self.refuse(&word, format!("{} cannot be read", quoted(text)), ESCAPES);
        }
        bytes
    }

    /// A longer one would never hold: nobody looks at more of a message.
    fn topic(&mut self, value: (Word<'t>, &'t str)) -> Option<ZmqTest> {
        let start = self.bytes(value)?;
        if start.len() > LONGEST_TOPIC {
            let problem = format!("a topic of {} bytes is too long", start.len());
            self.refuse(&value.0, problem, &format!("use at most {LONGEST_TOPIC} bytes"));
            return None;
        }
        Some(ZmqTest::Topic(start.into()))
    }

    fn text(&mut self, value: (Word<'t>, &'t str)) -> Option<String> {
        let text = unescape_text(value.1);
        if text.is_none() {
            self.refuse(&value.0, format!("{} is no name", quoted(value.1)), ESCAPES);
        }
        text
    }

    fn socket(&mut self, (word, text): (Word<'t>, &'t str)) -> Option<SocketType> {
        let socket = SocketType::from_name(text.to_ascii_uppercase().as_bytes());
        if socket.is_none() {
            let mend = match nearest(text, SocketType::ALL.map(SocketType::name)) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "write  PUB ,  SUB ,  REQ  or the like".to_owned(),
            };
            self.refuse(&word, format!("{} is no type of socket", quoted(text)), &mend);
        }
        socket
    }

    fn mechanism(&mut self, (word, text): (Word<'t>, &'t str)) -> Option<Arc<str>> {
        if !MECHANISMS.contains(&text) {
            let mend = format!("write one of  {}", MECHANISMS.join(", "));
            self.refuse(&word, format!("{} is no mechanism", quoted(text)), &mend);
            return None;
        }
        Some(text.into())
    }

    fn term(&mut self, value: (Word<'t>, &'t str)) -> Option<Term> {
        let (word, text) = value;
        let Some((key, wanted)) = text.split_once('=') else {
            let mend = "write  tag=value  or  node=NAME";
            self.refuse(&word, format!("{} is no condition on a node", quoted(text)), mend);
            return None;
        };
        if key == "node" {
            return self.compiler.node(&word, wanted).map(|name| Term::Node((*name).to_owned()));
        }
        let key = self.text((word, key))?;
        self.text((word, wanted)).map(|wanted| Term::Tag(key, wanted))
    }
}

/// The items of a list; commas at its end are fine, so that a list of one can be written.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|item| !item.is_empty() && *item != NONE)
}

const ZMQ_WORDS: [&str; 6] = ["service", "socket", "topic", "identity", "mechanism", "size"];
const ZMQ: &str = "write  zmq service NAME , or  socket ,  topic ,  identity ,  mechanism  or  size";
/// Those that libzmq speaks.
pub(super) const MECHANISMS: [&str; 4] = ["NULL", "PLAIN", "CURVE", "GSSAPI"];
