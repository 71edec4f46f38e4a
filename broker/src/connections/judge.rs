//! The policy on one direction of one connection: what passes, what is dropped, what ends it.

use bytes::{Bytes, BytesMut};
use lockgate_proto::now::Moment;
use lockgate_proto::rules::Grant;
use lockgate_proto::zmtp::{
    Command, CommandVerdict, Judge, PartVerdict, SocketType, Verdict, Version, encode_cancel, encode_pong,
    encode_subscribe,
};

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

/// What one direction remembers between two scans.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    /// The most that the message under way may have, in bytes.
    limit: u64,
    /// The message that was held back has its place in the rate.
    paid: bool,
    /// Subscriptions that passed and were not cancelled.
    topics: usize,
    /// Bytes of their topics.
    topic_bytes: usize,
}

/// Subscriptions of one connection (libzmq keeps every one of them at the publisher).
const MAX_TOPICS: usize = 10_000;
/// Bytes of the topics of one connection's subscriptions.
const MAX_TOPIC_BYTES: usize = 1024 * 1024;

/// Judges what one application sends, at either node.
pub(crate) struct Guard<'a> {
    pub(crate) grant: &'a Grant,
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

    fn too_large(&mut self) -> Verdict {
        let limit = self.memory.limit;
        self.refuse_message(What::Message, || format!("a message is larger than {limit} bytes"))
    }

    fn subscription(&mut self, topic: &[u8], change: Change) -> CommandVerdict {
        let allowed = self.sender.is_subscriber() && self.grant.subscribe(topic).is_ok();
        if !allowed {
            self.tally.subscriptions_refused += 1;
            self.refuse(What::Subscribe, || {
                format!("topic \"{}\" is in none of the allowed topics", printable(topic))
            });
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
        // Neither type ever sends a message (RFC 28, RFC 30): a one-way service has no way back.
        if matches!(self.sender, SocketType::Sub | SocketType::Pull) {
            return self.refuse_message(What::Message, || "this socket type only receives".into());
        }
        if size > self.grant.max_message() {
            self.memory.limit = self.grant.max_message();
            return self.too_large();
        }
        self.memory.limit = self.grant.max_message();
        // An XSUB's own messages travel upstream under the same topics as those that come down.
        if self.grant.restricts_topics() {
            let Ok(passed) = self.grant.publish(start) else {
                return self.refuse_message(What::Publish, || "a message's topic is not allowed".into());
            };
            self.memory.limit = passed.limit;
            if size > self.memory.limit {
                return self.too_large();
            }
        }
        self.pace()
    }

    /// A message of which a part has passed can only end with its connection.
    fn part(&mut self, total: u64, _parts: u32) -> PartVerdict {
        if total <= self.memory.limit {
            return PartVerdict::Pass;
        }
        let limit = self.memory.limit;
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
mod tests {
    use lockgate_proto::policy::Policy;
    use lockgate_proto::rules::{Opening, Rules};

    use super::*;

    /// The grant for b's use of a's service `s`, whose keys are `service` and whose permission's keys are `allow`.
    fn grant(service: &str, allow: &str, socket: SocketType) -> Grant {
        let text = format!(
            "default = \"deny\"\n[tags]\nrole = [\"a\", \"b\"]\n[nodes]\na = {{ role = \"a\" }}\nb = {{ role = \"b\" }}\n\
             [service.s]\nhosted-by = \"role=a\"\n{service}\n[[allow]]\nid = \"one\"\nfrom = \"role=b\"\nto = \"s\"\nwhy = \"test\"\n{allow}\n"
        );
        let policy = Policy::parse("policy.toml", &text).expect("a valid policy");
        let opening = Opening { user: "b", host: "a", service: "s", socket };
        Rules::compile(&policy, 1).open(&opening).expect("allowed")
    }

    struct Bench {
        grant: Grant,
        sender: SocketType,
        memory: Memory,
        tally: Tally,
        pongs: BytesMut,
        refused: Option<Refused>,
    }

    impl Bench {
        fn new(grant: Grant, sender: SocketType) -> Self {
            let (memory, tally) = (Memory::default(), Tally::default());
            Self { grant, sender, memory, tally, pongs: BytesMut::new(), refused: None }
        }

        fn guard(&mut self) -> Guard<'_> {
            Guard {
                grant: &self.grant,
                sender: self.sender,
                toward: Toward::Link { peer: Version::V3_1, reachable: true },
                bucket: None,
                now: Moment::ZERO,
                tally: &mut self.tally,
                pongs: &mut self.pongs,
                refused: &mut self.refused,
                memory: &mut self.memory,
                resume: None,
            }
        }
    }

    #[test]
    fn a_socket_that_only_receives_sends_no_message() {
        for (service, socket, verdict) in [
            ("socket = \"xpub\"", SocketType::Sub, Verdict::Drop),
            ("socket = \"push\"", SocketType::Pull, Verdict::Close),
        ] {
            let mut bench = Bench::new(grant(service, "", socket), socket);
            assert_eq!(bench.guard().message(b"back", 4, false), verdict, "{socket:?}");
            assert_eq!(bench.refused.map(|refused| refused.what), Some(What::Message));
        }
    }

    #[test]
    fn a_message_is_held_to_the_size_of_its_own_rule() {
        let more = "topics = [\"small.\"]\nmax-message = \"10B\"\n[[allow]]\nid = \"two\"\nfrom = \"role=b\"\nto = \"s\"\n\
                    why = \"test\"\ntopics = [\"large.\"]\nmax-message = \"1KiB\"\n";
        let grant = grant("socket = \"pub\"", more, SocketType::Sub);
        let mut bench = Bench::new(grant, SocketType::Pub);
        for (topic, size, verdict) in [
            ("small.", 10, Verdict::Pass),
            ("small.", 11, Verdict::Drop),
            ("large.", 1024, Verdict::Pass),
            ("large.", 1025, Verdict::Drop),
            ("other.", 6, Verdict::Drop),
        ] {
            assert_eq!(bench.guard().message(topic.as_bytes(), size, false), verdict, "{topic} {size}");
        }
        assert_eq!(bench.guard().message(b"small.", 6, true), Verdict::Pass);
        assert_eq!(bench.guard().part(10, 2), PartVerdict::Pass);
        assert_eq!(bench.guard().part(11, 3), PartVerdict::Close);
    }

    #[test]
    fn subscriptions_without_end_close_their_connection() {
        let mut bench = Bench::new(grant("socket = \"pub\"", "", SocketType::Sub), SocketType::Sub);
        for _ in 0..MAX_TOPICS {
            assert_eq!(bench.guard().command(Command::Subscribe(b"t")), CommandVerdict::Pass);
        }
        assert_eq!(bench.guard().command(Command::Cancel(b"t")), CommandVerdict::Pass);
        assert_eq!(bench.guard().command(Command::Subscribe(b"t")), CommandVerdict::Pass);
        assert_eq!(bench.guard().command(Command::Subscribe(b"t")), CommandVerdict::Close);
        let mut bench = Bench::new(grant("socket = \"pub\"", "", SocketType::Sub), SocketType::Sub);
        let long = vec![b'x'; MAX_TOPIC_BYTES / 2 + 1];
        assert_eq!(bench.guard().command(Command::Subscribe(&long)), CommandVerdict::Pass);
        assert_eq!(bench.guard().command(Command::Subscribe(&long)), CommandVerdict::Close);
    }

    #[test]
    fn a_ping_that_nobody_else_will_answer_is_answered_here() {
        let ping = || Command::Ping { ttl: 10, context: b"x" };
        let fresh = || Bench::new(grant("socket = \"rep\"", "", SocketType::Req), SocketType::Req);
        for (peer, reachable, verdict) in [
            (Version::V3_1, true, CommandVerdict::Pass),
            (Version::V3_1, false, CommandVerdict::Drop),
            (Version::V3_0, true, CommandVerdict::Drop),
        ] {
            let mut bench = fresh();
            let mut guard = bench.guard();
            guard.toward = Toward::Link { peer, reachable };
            let passed = verdict == CommandVerdict::Pass;
            assert_eq!(guard.command(ping()), verdict, "{peer:?} {reachable}");
            assert_eq!(bench.pongs.is_empty(), passed, "{peer:?} {reachable}");
        }
    }
}
