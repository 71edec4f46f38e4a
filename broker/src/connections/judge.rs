//! The policy on one direction of one connection: what passes, what is dropped, what ends it.

use std::fmt;

use bytes::{Bytes, BytesMut};
use lockgate_proto::now::Moment;
use lockgate_proto::rules::{Grant, Passed};
use lockgate_proto::zmtp::{
    Command, CommandVerdict, Judge, PartVerdict, SocketType, Verdict, Version, encode_cancel, encode_pong,
    encode_subscribe,
};

use super::trial::Trial;
use crate::denials::What;
use crate::rates::Bucket;
use crate::services::Tally;

/// Towards whom the bytes go, which decides the form of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toward {
    /// Into the tunnel; `peer` is the version that the application at the other end speaks.
    Link { peer: Version, reachable: bool },
    /// To an application here that speaks this version.
    App(Version),
}

/// What a subscriber asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Subscribed,
    Cancelled,
}

/// A refusal to be noted once the scan is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) what: What,
    pub(crate) detail: String,
    pub(crate) socket: SocketType,
    /// Whether an application of this node sent it.
    pub(crate) from_here: bool,
}

/// A rule that lets a message pass.
#[derive(Clone, Copy, Debug, Default)]
struct Passing {
    /// Its place in the grant.
    rule: usize,
    /// The most that the message may have, all its parts together, in bytes.
    limit: u64,
}

/// Why a message does not pass.
#[derive(Clone, Copy)]
enum Objection {
    /// Its sender only receives.
    OneWay,
    /// No rule allows its topic.
    Topic,
    /// It has more bytes than this.
    TooLarge(u64),
}

impl Objection {
    const fn what(self) -> What {
        match self {
            Self::OneWay | Self::TooLarge(_) => What::Message,
            Self::Topic => What::Publish,
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneWay => f.write_str("this socket type only receives"),
            Self::Topic => f.write_str("a message's topic is not allowed"),
            Self::TooLarge(limit) => write!(f, "a message is larger than {limit} bytes"),
        }
    }
}

/// Whether a grant lets a message begin.
fn weigh(grant: &Grant, sender: SocketType, start: &[u8], size: u64) -> Result<Passing, Objection> {
    // Neither type ever sends a message (RFC 28, RFC 30): a one-way service has no way back.
    if matches!(sender, SocketType::Sub | SocketType::Pull) {
        return Err(Objection::OneWay);
    }
    let mut passing = Passing { rule: 0, limit: grant.max_message() };
    if size > passing.limit {
        return Err(Objection::TooLarge(passing.limit));
    }
    // An XSUB's own messages travel upstream under the same topics as those that come down.
    if grant.restricts_topics() {
        let Passed { rule, limit } = grant.publish(start).map_err(|()| Objection::Topic)?;
        passing = Passing { rule, limit };
        if size > passing.limit {
            return Err(Objection::TooLarge(passing.limit));
        }
    }
    Ok(passing)
}

/// What one direction remembers between two scans.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// What lets the message under way pass.
    passing: Passing,
    /// What lets it pass under the candidate; `None` where that has been settled.
    candidate: Option<Passing>,
    /// The message that was held back has its place in the rate.
    paid: bool,
    /// Subscriptions that passed and were not cancelled.
    topics: usize,
    /// Bytes of their topics.
    topic_bytes: usize,
}

impl Memory {
    /// Another candidate, or none: the message under way is not compared any more.
    pub(crate) const fn forget_candidate(&mut self) {
        self.candidate = None;
    }
}

/// Subscriptions of one connection (libzmq keeps every one of them at the publisher).
const MAX_TOPICS: usize = 10_000;
/// Bytes of the topics of one connection's subscriptions.
const MAX_TOPIC_BYTES: usize = 1024 * 1024;

/// Judges what one application sends, at either node.
pub(crate) struct Guard<'a> {
    pub(crate) grant: &'a Grant,
    /// A candidate that may judge otherwise.
    pub(crate) trial: Option<Trial<'a>>,
    pub(crate) sender: SocketType,
    pub(crate) toward: Toward,
    pub(crate) bucket: Option<&'a mut Bucket>,
    pub(crate) now: Moment,
    pub(crate) tally: &'a mut Tally,
    /// PONGs for the sender, because nobody else will answer its PING.
    pub(crate) pongs: &'a mut BytesMut,
    pub(crate) refused: &'a mut Option<Refused>,
    /// What the direction remembers.
    pub(crate) memory: &'a mut Memory,
    /// When a held message may go, if [`Verdict::Wait`] was given.
    pub(crate) resume: Option<Moment>,
}

impl Guard<'_> {
    fn refuse(&mut self, what: What, detail: impl FnOnce() -> String) {
        if self.refused.is_none() {
            let from_here = matches!(self.toward, Toward::Link { .. });
            *self.refused = Some(Refused { what, detail: detail(), socket: self.sender, from_here });
        }
    }

    /// A publication that may not pass is dropped whole; a request cannot be, its sender would wait for ever.
    fn refuse_message(&mut self, what: What, detail: impl FnOnce() -> String) -> Verdict {
        self.refuse(what, detail);
        if !self.sender.is_publisher() && !self.sender.is_subscriber() {
            return Verdict::Close;
        }
        self.tally.dropped += 1;
        Verdict::Drop
    }

    /// A publication beyond the rate is dropped; anything else waits for its place.
    fn pace(&mut self) -> Verdict {
        if std::mem::take(&mut self.memory.paid) {
            return Verdict::Pass;
        }
        let Some(bucket) = &mut self.bucket else { return Verdict::Pass };
        if self.sender.is_publisher() {
            if bucket.take(self.now) {
                return Verdict::Pass;
            }
            return self.refuse_message(What::Publish, || "messages come faster than the rate allows".into());
        }
        let Some(later) = bucket.reserve(self.now) else { return Verdict::Pass };
        self.memory.paid = true;
        self.resume = Some(later);
        Verdict::Wait
    }

    /// Keeps the count of subscriptions; whether there is room for one more.
    fn count_topic(&mut self, topic: &[u8], change: Change) -> bool {
        let memory = &mut *self.memory;
        if change == Change::Cancelled {
            memory.topics = memory.topics.saturating_sub(1);
            memory.topic_bytes = memory.topic_bytes.saturating_sub(topic.len());
            return true;
        }
        memory.topics += 1;
        memory.topic_bytes += topic.len();
        memory.topics <= MAX_TOPICS && memory.topic_bytes <= MAX_TOPIC_BYTES
    }

    /// Judges the message by the candidate too.
    fn compare_message(&mut self, enforced: Result<Passing, Objection>, start: &[u8], size: u64) {
        self.memory.candidate = None;
        let Some(trial) = &mut self.trial else { return };
        let candidate = weigh(trial.grant, self.sender, start, size);
        if let (Ok(_), Ok(passing)) = (enforced, candidate) {
            self.memory.candidate = Some(passing);
        }
        let Some(objection) = enforced.err().or(candidate.err()) else { return };
        let rule = |judged: Result<Passing, Objection>| judged.ok().map(|passing| passing.rule);
        let sides = ((self.grant, rule(enforced)), rule(candidate));
        trial.compare(objection.what(), sides.0, sides.1, self.now, || objection.to_string());
    }

    /// The same for a message that has grown to `total` bytes; once for each message.
    fn compare_growth(&mut self, total: u64) {
        let (Some(trial), Some(candidate)) = (&mut self.trial, self.memory.candidate) else { return };
        let enforced = self.memory.passing;
        if total > enforced.limit || total > candidate.limit {
            self.memory.candidate = None;
            let rule = |passing: Passing| (total <= passing.limit).then_some(passing.rule);
            let sides = ((self.grant, rule(enforced)), rule(candidate));
            let limit = enforced.limit.min(candidate.limit);
            trial.compare(What::Message, sides.0, sides.1, self.now, || {
                format!("the parts of a message add up to more than {limit} bytes")
            });
        }
    }

    fn subscription(&mut self, topic: &[u8], change: Change) -> CommandVerdict {
        let subscriber = self.sender.is_subscriber();
        let allowing = self.grant.subscribe(topic).ok().filter(|_| subscriber);
        let detail = || format!("topic \"{}\" is in none of the allowed topics", printable(topic));
        if let Some(trial) = self.trial.as_mut().filter(|_| subscriber && change == Change::Subscribed) {
            let candidate = trial.grant.subscribe(topic).ok();
            trial.compare(What::Subscribe, (self.grant, allowing), candidate, self.now, detail);
        }
        if allowing.is_none() {
            self.tally.subscriptions_refused += 1;
            self.refuse(What::Subscribe, detail);
            return CommandVerdict::Drop;
        }
        if !self.count_topic(topic, change) {
            self.refuse(What::Subscribe, || "one connection has too many subscriptions".into());
            return CommandVerdict::Close;
        }
        match self.toward {
            Toward::App(version) if version != Version::V3_1 => {
                let mut message = BytesMut::with_capacity(topic.len() + 16);
                match change {
                    Change::Subscribed => encode_subscribe(topic, version, &mut message),
                    Change::Cancelled => encode_cancel(topic, version, &mut message),
                }
                CommandVerdict::Replace(message.freeze())
            }
            Toward::App(_) | Toward::Link { .. } => CommandVerdict::Pass,
        }
    }

    fn ping(&mut self, context: &[u8]) -> CommandVerdict {
        let answered_there = match self.toward {
            Toward::Link { peer, reachable } => peer == Version::V3_1 && reachable,
            // The other node has answered for an application that cannot.
            Toward::App(version) => return pass_if(version == Version::V3_1),
        };
        if answered_there {
            return CommandVerdict::Pass;
        }
        if self.pongs.len() < MAX_PONGS {
            encode_pong(context, self.pongs);
        }
        CommandVerdict::Drop
    }
}

/// Bytes of PONGs that may wait for a message boundary.
const MAX_PONGS: usize = 1024;

fn pass_if(passes: bool) -> CommandVerdict {
    if passes { CommandVerdict::Pass } else { CommandVerdict::Drop }
}

/// The start of a topic as text that is safe in a log.
fn printable(topic: &[u8]) -> String {
    const SHOWN: usize = 48;
    let mut text: String =
        topic.iter().take(SHOWN).flat_map(|byte| byte.escape_ascii()).map(char::from).collect();
    if topic.len() > SHOWN {
        text.push_str("...");
    }
    text
}

impl Judge for Guard<'_> {
    fn message(&mut self, start: &[u8], size: u64, _more: bool) -> Verdict {
        let judged = weigh(self.grant, self.sender, start, size);
        // What the rate held back has been compared already.
        if self.trial.is_some() && !self.memory.paid {
            self.compare_message(judged, start, size);
        }
        match judged {
            Ok(passing) => {
                self.memory.passing = passing;
                self.pace()
            }
            Err(objection) => self.refuse_message(objection.what(), || objection.to_string()),
        }
    }

    /// A message of which a part has passed can only end with its connection.
    fn part(&mut self, total: u64, _parts: u32) -> PartVerdict {
        let limit = self.memory.passing.limit;
        if self.memory.candidate.is_some() {
            self.compare_growth(total);
        }
        if total <= limit {
            return PartVerdict::Pass;
        }
        self.refuse(What::Message, || format!("the parts of a message add up to more than {limit} bytes"));
        PartVerdict::Close
    }

    fn command(&mut self, command: Command<'_>) -> CommandVerdict {
        match command {
            Command::Subscribe(topic) => self.subscription(topic, Change::Subscribed),
            Command::Cancel(topic) => self.subscription(topic, Change::Cancelled),
            Command::Ping { context, .. } => self.ping(context),
            Command::Pong { .. } => match self.toward {
                Toward::Link { peer, .. } => pass_if(peer == Version::V3_1),
                Toward::App(version) => pass_if(version == Version::V3_1),
            },
            _ => {
                self.tally.unknown_commands += 1;
                CommandVerdict::Drop
            }
        }
    }
}

/// The reason of a refusal inside an open connection, with the rules that admitted the connection.
pub(crate) fn reason(refused: &Refused, grant: &Grant) -> String {
    let rules: Vec<String> = grant.rules().iter().map(ToString::to_string).collect();
    format!("{}: {}", rules.join(", "), refused.detail)
}

/// A run of bytes that is not part of what an application sent.
pub(crate) fn injected(bytes: &mut BytesMut) -> Option<Bytes> {
    (!bytes.is_empty()).then(|| bytes.split().freeze())
}

#[cfg(test)]
mod tests;
