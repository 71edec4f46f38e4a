//! An open connection: an application here, a stream to the other node, and a judged lane each way.
//!
//! Nothing waits in a queue but what one read brought: a full stream stops the reading of the application's
//! socket, a full socket stops the reading of the stream, and so the sender feels what the receiver feels.

use bytes::{Bytes, BytesMut};
use lockgate_proto::now::Moment;
use lockgate_proto::rules::Grant;
use lockgate_proto::zmtp::{Fault, Hello, Limits, Scanned, Scanner, SocketType, Version};

use super::judge::{Guard, Memory, Refused, Toward, injected};
use super::trial::{Comparing, Trial, Way};
use crate::apps::{AppId, Apps};
use crate::links::{Link, Reading, StreamKey};
use crate::queues::Queue;
use crate::rates::Buckets;
use crate::services::{Role, Tally};

/// Runs that are gathered before they are written.
const MAX_RUNS: usize = 64;

/// What became of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It goes on.
    Alive,
    /// Both directions ended in order.
    Done,
    /// The application broke ZMTP or its limits.
    Fault(Fault),
    /// The policy refused a message that cannot be dropped: somebody would wait for its answer.
    Refused,
    /// The application or the stream is gone.
    Gone,
}

/// One direction.
struct Lane {
    scanner: Scanner,
    sender: SocketType,
    queue: Queue,
    /// Read, but not yet judged: the rate holds it back.
    held: Bytes,
    held_until: Option<Moment>,
    memory: Memory,
    /// The source has ended.
    ended: bool,
    /// The end has been passed on.
    closed: bool,
    counted: (u64, u64),
}

impl Lane {
    fn new(version: Version, sender: SocketType, limits: Limits) -> Self {
        Self {
            scanner: Scanner::new(version, sender, limits),
            sender,
            queue: Queue::default(),
            held: Bytes::new(),
            held_until: None,
            memory: Memory::default(),
            ended: false,
            closed: false,
            counted: (0, 0),
        }
    }

    const fn is_held(&self) -> bool {
        self.held_until.is_some()
    }

    /// Messages and bytes passed since the last call.
    fn progress(&mut self) -> (u64, u64) {
        let counts = self.scanner.counts();
        let (messages, bytes) = (counts.messages, counts.bytes);
        let before = std::mem::replace(&mut self.counted, (messages, bytes));
        (messages - before.0, bytes - before.1)
    }
}

/// What a scanner lets through and looks at. A candidate changes only how much of a message is looked at.
fn limits(grant: &Grant, candidate: Option<&Grant>) -> Limits {
    let peek = |grant: &Grant| if grant.restricts_topics() { grant.longest_topic() } else { 0 };
    let peek = peek(grant).max(candidate.map_or(0, peek));
    let usual = Limits::default();
    // A message in one frame may be as large as the policy says; the judge drops what is larger.
    let max_frame = usual.max_frame.max(grant.max_message());
    Limits { max_frame, max_message: grant.max_message(), topic_peek: peek, ..usual }
}

/// An open connection.
pub(crate) struct Flow {
    pub(crate) stream: StreamKey,
    pub(crate) grant: Grant,
    /// What a staged candidate grants, where that is something else.
    candidate: Option<Grant>,
    /// The using application, without its READY.
    pub(crate) user: Hello,
    pub(crate) refused: Option<Refused>,
    out: Lane,
    inward: Lane,
    /// What the application here and the one at the other end speak.
    here: Version,
    there: Version,
    /// PONGs for the application here.
    pongs: BytesMut,
    reading: bool,
    /// The other node takes nothing more.
    stopped: bool,
}

/// What a flow borrows from its surroundings for one call.
pub(crate) struct Around<'a, A> {
    pub(crate) app: AppId,
    pub(crate) link: &'a mut Link,
    /// Whether the tunnel to the other node answers.
    pub(crate) reachable: bool,
    pub(crate) tally: &'a mut Tally,
    /// There while a candidate is staged.
    pub(crate) comparing: Option<Comparing<'a>>,
    /// Where the policy names a rate.
    pub(crate) buckets: Option<&'a mut Buckets>,
    pub(crate) now: Moment,
    pub(crate) apps: &'a mut A,
}

impl Flow {
    /// `here` is the application of this node, `there` the other; a staged candidate's grant where that is not the same.
    pub(crate) fn new(
        stream: StreamKey,
        (grant, candidate): (Grant, Option<Grant>),
        role: Role,
        here: &Hello,
        there: &Hello,
    ) -> Self {
        let limits = limits(&grant, candidate.as_ref());
        let user = match role {
            Role::Uses(_) => here,
            Role::Serves(_) => there,
        };
        Self {
            stream,
            out: Lane::new(here.version, here.socket_type, limits),
            inward: Lane::new(Version::V3_1, there.socket_type, limits),
            grant,
            candidate,
            user: without_ready(user),
            refused: None,
            here: here.version,
            there: there.version,
            pongs: BytesMut::new(),
            reading: true,
            stopped: false,
        }
    }

    /// The socket type of the application that has the service.
    pub(crate) fn host_socket(&self, role: Role) -> SocketType {
        match role {
            Role::Uses(_) => self.inward.sender,
            Role::Serves(_) => self.out.sender,
        }
    }

    /// Goes on under another grant, beside what a staged candidate grants.
    pub(crate) fn regrant(&mut self, grant: Grant, candidate: Option<Grant>) {
        self.grant = grant;
        self.compare_with(candidate);
    }

    /// From now on messages are compared with what `candidate` grants.
    pub(crate) fn compare_with(&mut self, candidate: Option<Grant>) {
        let limits = limits(&self.grant, candidate.as_ref());
        self.out.scanner.set_limits(limits);
        self.inward.scanner.set_limits(limits);
        self.out.memory.forget_candidate();
        self.inward.memory.forget_candidate();
        self.candidate = candidate;
    }

    /// When held messages may go on.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        [self.out.held_until, self.inward.held_until].into_iter().flatten().min()
    }

    /// Starts with what had arrived before: from the application, and from the other node; `first` goes to the
    /// other node ahead of everything.
    pub(crate) fn begin(
        &mut self,
        first: Bytes,
        from_app: Bytes,
        from_link: Bytes,
        around: &mut Around<'_, impl Apps>,
    ) -> Outcome {
        self.out.queue.push(first);
        if let Err(outcome) = self.scan_in(from_link, around) {
            return outcome;
        }
        self.app_sent(from_app, around)
    }

    /// Whether the application has nothing to expect, and has yet to close.
    pub(crate) fn waits_for_app(&self) -> bool {
        let told = self.inward.closed && !self.out.ended;
        told || (self.stopped && !self.inward.closed && self.inward.queue.is_empty())
    }

    /// The application sent `bytes`.
    pub(crate) fn app_sent(&mut self, bytes: Bytes, around: &mut Around<'_, impl Apps>) -> Outcome {
        let toward = Toward::Link { peer: self.there, reachable: around.reachable };
        if let Err(outcome) = self.scan_out(bytes, toward, around) {
            return outcome;
        }
        self.turn(around)
    }

    fn scan_out(
        &mut self,
        bytes: Bytes,
        toward: Toward,
        around: &mut Around<'_, impl Apps>,
    ) -> Result<(), Outcome> {
        let trial = Trial::of(self.candidate.as_ref(), &mut around.comparing, Way::Out);
        let mut guard = Guard {
            grant: &self.grant,
            trial,
            sender: self.out.sender,
            toward,
            bucket: around.buckets.as_mut().map(|buckets| &mut buckets.out),
            memory: &mut self.out.memory,
            now: around.now,
            tally: around.tally,
            pongs: &mut self.pongs,
            refused: &mut self.refused,
            resume: None,
        };
        scan(&mut self.out.scanner, &mut self.out.queue, bytes, &mut guard).map(|(held, until)| {
            self.out.held = held;
            self.out.held_until = until;
        })?;
        let (messages, bytes) = self.out.progress();
        around.tally.messages_out += messages;
        around.tally.bytes_out += bytes;
        Ok(())
    }

    fn scan_in(&mut self, bytes: Bytes, around: &mut Around<'_, impl Apps>) -> Result<(), Outcome> {
        let mut unused = BytesMut::new();
        let trial = Trial::of(self.candidate.as_ref(), &mut around.comparing, Way::In);
        let mut guard = Guard {
            grant: &self.grant,
            trial,
            sender: self.inward.sender,
            toward: Toward::App(self.here),
            bucket: around.buckets.as_mut().map(|buckets| &mut buckets.inward),
            memory: &mut self.inward.memory,
            now: around.now,
            tally: around.tally,
            pongs: &mut unused,
            refused: &mut self.refused,
            resume: None,
        };
        scan(&mut self.inward.scanner, &mut self.inward.queue, bytes, &mut guard).map(|(held, until)| {
            self.inward.held = held;
            self.inward.held_until = until;
        })?;
        let (messages, bytes) = self.inward.progress();
        around.tally.messages_in += messages;
        around.tally.bytes_in += bytes;
        Ok(())
    }

    /// The application will send no more.
    pub(crate) fn app_ended(&mut self, around: &mut Around<'_, impl Apps>) -> Outcome {
        self.out.ended = true;
        self.turn(around)
    }

    /// The other node wants no more: what the application still sends has no reader.
    pub(crate) fn stopped(&mut self, around: &mut Around<'_, impl Apps>) -> Outcome {
        self.stopped = true;
        self.out.ended = true;
        self.out.closed = true;
        self.out.queue.clear();
        self.out.held = Bytes::new();
        self.out.held_until = None;
        self.turn(around)
    }

    /// Moves what can move, both ways.
    pub(crate) fn turn(&mut self, around: &mut Around<'_, impl Apps>) -> Outcome {
        if let Err(outcome) = self.turn_out(around).and_then(|()| self.turn_in(around)) {
            return outcome;
        }
        if self.out.closed && self.inward.closed {
            return Outcome::Done;
        }
        Outcome::Alive
    }

    fn turn_out(&mut self, around: &mut Around<'_, impl Apps>) -> Result<(), Outcome> {
        if self.out.held_until.is_some_and(|due| due <= around.now) {
            self.out.held_until = None;
            let held = std::mem::take(&mut self.out.held);
            let toward = Toward::Link { peer: self.there, reachable: around.reachable };
            self.scan_out(held, toward, around)?;
        }
        if !self.out.queue.is_empty() {
            let taken = around.link.write(self.stream, self.out.queue.runs());
            self.out.queue.taken_runs(taken.ok_or(Outcome::Gone)?);
        }
        let clear = self.out.queue.is_empty() && !self.out.is_held();
        if clear && self.out.ended && !self.out.closed {
            around.link.finish(self.stream);
            self.out.closed = true;
        }
        let reading = clear && !self.out.ended;
        if reading != self.reading {
            self.reading = reading;
            around.apps.set_reading(around.app, reading);
        }
        Ok(())
    }

    fn turn_in(&mut self, around: &mut Around<'_, impl Apps>) -> Result<(), Outcome> {
        if self.inward.held_until.is_some_and(|due| due <= around.now) {
            self.inward.held_until = None;
            let held = std::mem::take(&mut self.inward.held);
            self.scan_in(held, around)?;
        }
        loop {
            self.inject_pongs();
            if !self.write_app(around)? || self.inward.is_held() || self.inward.ended {
                break;
            }
            if !self.read_link(around)? {
                break;
            }
        }
        if self.inward.ended && !self.inward.closed && self.inward.queue.is_empty() && !self.inward.is_held()
        {
            around.apps.finish(around.app);
            self.inward.closed = true;
        }
        Ok(())
    }

    /// Commands may stand only between messages (RFC 37, traffic).
    fn inject_pongs(&mut self) {
        if self.inward.scanner.at_boundary()
            && let Some(pongs) = injected(&mut self.pongs)
        {
            self.inward.queue.push(pongs);
        }
    }

    /// Writes what waits; false where the application takes no more now.
    fn write_app(&mut self, around: &mut Around<'_, impl Apps>) -> Result<bool, Outcome> {
        while !self.inward.queue.is_empty() {
            let runs = self.inward.queue.runs();
            let runs = &runs[..runs.len().min(MAX_RUNS)];
            let offered: usize = runs.iter().map(Bytes::len).sum();
            let taken = around.apps.write(around.app, runs).ok_or(Outcome::Gone)?;
            self.inward.queue.taken_bytes(taken);
            if taken < offered {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a batch from the stream; false where nothing came.
    fn read_link(&mut self, around: &mut Around<'_, impl Apps>) -> Result<bool, Outcome> {
        let mut batch: [Bytes; MAX_RUNS] = [const { Bytes::new() }; MAX_RUNS];
        let mut filled = 0;
        let reading = around.link.read(self.stream, &mut |bytes| {
            batch[filled] = bytes;
            filled += 1;
            filled < MAX_RUNS
        });
        for bytes in &mut batch[..filled] {
            let bytes = std::mem::take(bytes);
            if self.inward.is_held() {
                self.inward.held = joined(&self.inward.held, &bytes);
            } else {
                self.scan_in(bytes, around)?;
            }
        }
        match reading {
            Reading::More => Ok(true),
            Reading::Empty => Ok(filled > 0),
            Reading::Finished => {
                self.inward.ended = true;
                Ok(true)
            }
            Reading::Reset => Err(Outcome::Gone),
        }
    }
}

/// As little as has to be kept for another judgement: nothing of the READY that the identity may be a part of.
fn without_ready(hello: &Hello) -> Hello {
    let identity = Bytes::copy_from_slice(&hello.identity);
    Hello { identity, properties: Bytes::new(), ..*hello }
}

/// What the rate held back and what came behind it: at most one batch, and only under a rate.
fn joined(held: &Bytes, more: &Bytes) -> Bytes {
    let mut whole = BytesMut::with_capacity(held.len() + more.len());
    whole.extend_from_slice(held);
    whole.extend_from_slice(more);
    whole.freeze()
}

fn scan(
    scanner: &mut Scanner,
    queue: &mut Queue,
    bytes: Bytes,
    guard: &mut Guard<'_>,
) -> Result<(Bytes, Option<Moment>), Outcome> {
    match scanner.scan(bytes, guard, &mut |run| queue.push(run)).map_err(Outcome::Fault)? {
        Scanned::All => Ok((Bytes::new(), None)),
        // A hold without a date would never end; the guard always sets one.
        Scanned::Waiting(rest) => Ok((rest, Some(guard.resume.unwrap_or(guard.now)))),
        Scanned::Closed => Err(Outcome::Refused),
    }
}
