//! What a folded list could let pass: for limits that have to be known before a message is.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{List, Test, ZmqTest};

/// The most bytes of a topic that a rule asks for, so that the start of a first frame decides within one small read.
pub const LONGEST_TOPIC: usize = 255;

/// The sizes at which the answer of some lists can change, and how many bytes of a topic they ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The greatest size of each step, rising; the last is the limit that was given.
    pub sizes: Vec<u64>,
    /// The most bytes of a message's start that a test looks at.
    pub longest_topic: usize,
    /// Whether a topic is asked for at all.
    pub asks_topics: bool,
}

impl Bounds {
    /// Of these lists, for messages of at most `most` bytes.
    pub fn of<'l>(lists: impl IntoIterator<Item = &'l List>, most: u64) -> Self {
        let mut sizes = BTreeSet::from([most]);
        let (mut longest_topic, mut asks_topics) = (0, false);
        for test in lists.into_iter().flat_map(List::tests) {
            match test {
                Test::Zmq(ZmqTest::Size(first, last)) => {
                    sizes.extend([first.saturating_sub(1), *last].into_iter().filter(|size| *size < most));
                }
                Test::Zmq(ZmqTest::Topic(topic)) => {
                    longest_topic = longest_topic.max(topic.len());
                    asks_topics = true;
                }
                _ => {}
            }
        }
        Self { sizes: sizes.into_iter().collect(), longest_topic, asks_topics }
    }
}
