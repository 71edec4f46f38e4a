//! The reference model: what was sent on each connection, what arrived, and so what is missing or too much.

use std::collections::{BTreeMap, BTreeSet};

/// Names an application's connection in the whole world and for all its time.
pub(crate) type Serial = u64;

/// See the module.
#[derive(Default)]
pub(crate) struct Ledger {
    next_serial: Serial,
    /// Messages of each connection and topic, numbered from 0.
    pub(crate) sent: BTreeMap<(Serial, String), u64>,
    /// The next number that is due, of each sending connection and topic.
    pub(crate) due: BTreeMap<(Serial, String), u64>,
    /// The one connection at which a connection's messages arrive.
    pairs: BTreeMap<Serial, Serial>,
    /// Connections that are over.
    pub(crate) dead: BTreeSet<Serial>,
    /// Messages that arrived.
    pub(crate) arrived: u64,
    /// Messages that were skipped: an error, unless a rate excuses it.
    pub(crate) skipped: u64,
    pub(crate) skipping_is_excused: bool,
    /// Topics that must never arrive, whoever sends them.
    pub(crate) forbidden: Vec<&'static str>,
}

impl Ledger {
    pub(crate) fn new_serial(&mut self) -> Serial {
        self.next_serial += 1;
        self.next_serial
    }

    /// The text of the next message on a connection; `size` is the least number of bytes.
    pub(crate) fn compose(&mut self, sender: Serial, topic: &str, size: usize) -> String {
        let next = self.sent.entry((sender, topic.to_owned())).or_default();
        let mut text = format!("{topic} {sender} {next} ");
        *next += 1;
        while text.len() < size {
            text.push(char::from(b'a' + u8::try_from(text.len() % 26).expect("below 26")));
        }
        text
    }

    /// A message arrived at the connection `at`: it must be the next of its sender and topic, and come to nobody else.
    pub(crate) fn check(&mut self, at: Serial, text: &str) {
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().expect("four words");
        let (topic, sender, number) = (word(), word(), word());
        assert!(!self.is_forbidden(topic), "{text:.60}: no policy allows it");
        let sender: Serial = sender.parse().expect("a serial");
        let number: u64 = number.parse().expect("a number");
        let key = (sender, topic.to_owned());
        assert!(self.sent.get(&key).is_some_and(|sent| number < *sent), "{text:.60}: never sent");
        let due = self.due.entry(key).or_default();
        assert!(number >= *due, "{text:.60}: delivered twice or out of order, due is {due}");
        self.skipped += number - *due;
        assert!(self.skipping_is_excused || number == *due, "{text:.60}: lost what is before, due is {due}");
        *due = number + 1;
        self.arrived += 1;
        let pair = *self.pairs.entry(sender).or_insert(at);
        assert_eq!(pair, at, "{text:.60}: two connections get messages of one");
    }

    fn is_forbidden(&self, topic: &str) -> bool {
        self.forbidden.iter().any(|start| topic.starts_with(start))
    }

    /// Everything sent on connections that still stand.
    pub(crate) fn missing(&self) -> Vec<String> {
        let alive = self
            .sent
            .iter()
            .filter(|((sender, topic), _)| !self.dead.contains(sender) && !self.is_forbidden(topic));
        alive
            .filter_map(|(key, sent)| {
                let due = self.due.get(key).copied().unwrap_or_default();
                (due < *sent).then(|| format!("connection {} topic {}: {due} of {sent}", key.0, key.1))
            })
            .collect()
    }
}
