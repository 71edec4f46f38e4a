//! Every application's connection, by the broker's name for it: what may be read, what is paused.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use lockgate_broker::apps::{AppId, Apps};
use lockgate_broker::services::OfferId;

use super::apps::{Endpoint, ReadOutcome, Stream};
use super::poller::{Interest, Poller, Ready};

/// Tokens of connections start here; below are the listeners and the UDP socket.
pub const FIRST_TOKEN: u64 = 1 << 32;
/// The most that one application may bring in one turn, so that it cannot starve the others.
const BUDGET: usize = 256 * 1024;
/// The most that one read takes.
const READ: usize = 128 * 1024;
/// A read of fewer bytes is copied out, so that whoever keeps it keeps no more than its size; a larger one is handed
/// over as it lies, and its block is kept for at most four times its size.
const SMALL: usize = READ / 4;
/// The most that is thrown away of what an application sent and nobody wants any more.
const UNREAD: usize = 16 * BUDGET;
/// The most that one system call writes.
const PIECES: usize = 64;

struct Local {
    stream: Stream,
    connecting: bool,
    /// Room to write is told only while [`Interest::Both`] is set, after a write that found none.
    quiet: bool,
    /// The socket may have bytes: it was readable and has not said `EAGAIN` since.
    readable: bool,
    /// The broker wants bytes.
    wanted: bool,
    queued: bool,
    /// It will send no more, and all that it sent was read.
    ended: bool,
}

/// What an application's socket has to tell the broker.
#[derive(Debug)]
pub enum Told {
    /// A dialled connection stands.
    Dialed,
    /// Bytes arrived.
    Data(Bytes),
    /// There is room to write.
    Writable,
    /// No more will come.
    Ended,
    /// The connection failed.
    Gone,
}

/// See the module.
pub struct Locals {
    poller: Poller,
    streams: BTreeMap<AppId, Local>,
    /// Where each offer's application is.
    offers: Vec<Option<Endpoint>>,
    /// Connections with something to do, in turn.
    queue: VecDeque<AppId>,
    writable: VecDeque<AppId>,
    failed: VecDeque<AppId>,
    buffer: BytesMut,
}

impl Locals {
    /// No connections; `offers` says where to dial, by place.
    pub fn new(poller: Poller, offers: Vec<Option<Endpoint>>) -> Self {
        Self {
            poller,
            streams: BTreeMap::new(),
            offers,
            queue: VecDeque::new(),
            writable: VecDeque::new(),
            failed: VecDeque::new(),
            buffer: BytesMut::new(),
        }
    }

    /// The poller that watches the connections, for the rest of what is to be watched.
    pub const fn poller(&mut self) -> &mut Poller {
        &mut self.poller
    }

    /// Takes in an accepted connection.
    ///
    /// # Errors
    /// When it cannot be watched; it is closed then.
    pub fn add(&mut self, app: AppId, stream: Stream) -> std::io::Result<()> {
        self.watch(app, stream, Connecting::No)
    }

    fn watch(&mut self, app: AppId, stream: Stream, connecting: Connecting) -> std::io::Result<()> {
        self.poller.register(&stream, FIRST_TOKEN + app.0, stream.interest())?;
        let connecting = connecting == Connecting::Yes;
        let quiet = stream.interest() == Interest::Read;
        // An ipc dial stands at once, and nothing will tell so.
        if connecting && quiet {
            self.writable.push_back(app);
        }
        let local =
            Local { stream, connecting, quiet, readable: false, wanted: true, queued: false, ended: false };
        self.streams.insert(app, local);
        Ok(())
    }

    /// Notes what the poller said about a connection.
    pub fn note(&mut self, ready: Ready) {
        let app = AppId(ready.token - FIRST_TOKEN);
        let Some(local) = self.streams.get_mut(&app) else { return };
        if ready.writable || (local.connecting && ready.hangup) {
            self.writable.push_back(app);
        }
        if ready.readable || ready.hangup {
            local.readable = true;
            enqueue(&mut self.queue, app, local);
        }
    }

    /// Whether something waits to be told without another wait.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.writable.is_empty() || !self.failed.is_empty()
    }

    /// Lets every connection that has something tell it, once: at most `BUDGET` bytes of each.
    pub fn turn(&mut self, tell: &mut impl FnMut(&mut Self, AppId, Told)) {
        for _ in 0..self.queue.len() + self.writable.len() + self.failed.len() {
            if !self.tell_next(tell) {
                break;
            }
        }
    }

    fn tell_next(&mut self, tell: &mut impl FnMut(&mut Self, AppId, Told)) -> bool {
        if let Some(app) = self.failed.pop_front() {
            self.streams.remove(&app);
            tell(self, app, Told::Gone);
            return true;
        }
        if let Some(app) = self.writable.pop_front() {
            self.tell_writable(app, tell);
            return true;
        }
        let Some(app) = self.queue.pop_front() else { return false };
        if let Some(local) = self.streams.get_mut(&app) {
            local.queued = false;
        }
        self.read(app, tell);
        true
    }

    fn tell_writable(&mut self, app: AppId, tell: &mut impl FnMut(&mut Self, AppId, Told)) {
        let Some(local) = self.streams.get_mut(&app) else { return };
        if !local.connecting {
            if local.quiet
                && self.poller.set_interest(&local.stream, FIRST_TOKEN + app.0, Interest::Read).is_err()
            {
                self.failed.push_back(app);
                return;
            }
            tell(self, app, Told::Writable);
            return;
        }
        match local.stream.finish_connect() {
            Ok(()) => {
                local.connecting = false;
                tell(self, app, Told::Dialed);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => {
                self.streams.remove(&app);
                tell(self, app, Told::Gone);
            }
        }
    }

    /// Reads one application until it has no more, is not wanted any more, or has had its share.
    fn read(&mut self, app: AppId, tell: &mut impl FnMut(&mut Self, AppId, Told)) {
        let mut taken = 0;
        loop {
            let Some(local) = self.streams.get_mut(&app) else { return };
            if local.connecting || !local.readable || !local.wanted {
                return;
            }
            if taken >= BUDGET {
                enqueue(&mut self.queue, app, local);
                return;
            }
            match local.stream.read_into(&mut self.buffer, READ) {
                ReadOutcome::Data(length) => {
                    taken += length;
                    let bytes = take(&mut self.buffer);
                    tell(self, app, Told::Data(bytes));
                }
                ReadOutcome::Empty => local.readable = false,
                ReadOutcome::Eof => {
                    local.readable = false;
                    local.ended = true;
                    tell(self, app, Told::Ended);
                }
                ReadOutcome::Error(_) => {
                    self.streams.remove(&app);
                    tell(self, app, Told::Gone);
                }
            }
        }
    }

    /// Looks again at every application, whether or not the poller has told of it: before a clean stop.
    pub fn read_all(&mut self) {
        for (app, local) in self.streams.iter_mut().filter(|(_, local)| !local.connecting) {
            local.readable = !local.ended;
            enqueue(&mut self.queue, *app, local);
        }
    }

    /// Whether every application was read until it had nothing more, and the broker takes more from all of them.
    pub fn is_drained(&self) -> bool {
        self.streams.values().all(|local| {
            let is_read = local.wanted && !local.readable;
            local.ended || local.connecting || is_read
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connecting {
    Yes,
    No,
}

/// What was read. While a tunnel is down it may be kept for long, and a slice keeps its whole block.
fn take(buffer: &mut BytesMut) -> Bytes {
    if buffer.len() >= SMALL {
        return buffer.split().freeze();
    }
    let copy = Bytes::copy_from_slice(buffer);
    buffer.clear();
    copy
}

fn enqueue(queue: &mut VecDeque<AppId>, app: AppId, local: &mut Local) {
    if local.wanted && !local.queued {
        local.queued = true;
        queue.push_back(app);
    }
}

impl Apps for Locals {
    fn dial(&mut self, app: AppId, offer: OfferId) {
        let dialed = match self.offers.get(offer.0) {
            Some(Some(endpoint)) => Stream::dial(endpoint),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        };
        let watched = dialed.and_then(|stream| self.watch(app, stream, Connecting::Yes));
        if watched.is_err() {
            self.failed.push_back(app);
        }
    }

    fn write(&mut self, app: AppId, chunks: &[Bytes]) -> Option<usize> {
        let local = self.streams.get_mut(&app)?;
        let mut written = 0;
        for slices in chunks.chunks(PIECES) {
            let offered: usize = slices.iter().map(Bytes::len).sum();
            let taken = local.stream.write(slices).ok()?;
            written += taken;
            if taken < offered {
                if local.quiet {
                    let interest = Interest::Both;
                    self.poller.set_interest(&local.stream, FIRST_TOKEN + app.0, interest).ok()?;
                }
                break;
            }
        }
        Some(written)
    }

    fn set_reading(&mut self, app: AppId, reading: bool) {
        let Some(local) = self.streams.get_mut(&app) else { return };
        local.wanted = reading;
        if local.readable {
            enqueue(&mut self.queue, app, local);
        }
    }

    fn finish(&mut self, app: AppId) {
        if let Some(local) = self.streams.get_mut(&app) {
            // An error means that the application has closed already, which the next read tells.
            let _ = local.stream.shutdown_write();
        }
    }

    fn close(&mut self, app: AppId) {
        let Some(mut local) = self.streams.remove(&app) else { return };
        // A socket that is closed with something unread in it sends a reset, which destroys what was written to it.
        let mut thrown_away = 0;
        while thrown_away < UNREAD
            && let ReadOutcome::Data(length) = local.stream.read_into(&mut self.buffer, READ)
        {
            thrown_away += length;
            self.buffer.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::super::apps::{AcceptOutcome, Listener};
    use super::*;

    const APP: AppId = AppId(1);

    /// An application, and the connections that hold its only one.
    fn connected() -> (TcpStream, Locals) {
        let listener = Listener::bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let Endpoint::Tcp(address) = listener.endpoint() else { panic!("it is TCP") };
        let application = TcpStream::connect(address).unwrap();
        let AcceptOutcome::Stream(stream) = listener.accept() else { panic!("it has connected") };
        let mut locals = Locals::new(Poller::new().unwrap(), Vec::new());
        locals.add(APP, stream).unwrap();
        (application, locals)
    }

    /// Waits for what the application has to tell.
    fn hear(locals: &mut Locals) -> Vec<Told> {
        let mut heard = Vec::new();
        while heard.is_empty() {
            let patience = if locals.is_busy() { Duration::ZERO } else { Duration::from_secs(10) };
            let ready = locals.poller().wait(Some(patience)).unwrap().to_vec();
            assert!(!ready.is_empty() || locals.is_busy(), "nothing arrives");
            ready.into_iter().for_each(|ready| locals.note(ready));
            locals.turn(&mut |_, _, told| heard.push(told));
        }
        heard
    }

    /// Waits for bytes and returns them, a piece for each read.
    fn read(locals: &mut Locals) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while pieces.is_empty() {
            pieces.extend(hear(locals).into_iter().filter_map(|told| match told {
                Told::Data(bytes) => Some(bytes),
                _ => None,
            }));
        }
        pieces
    }

    #[test]
    fn a_small_read_that_is_kept_does_not_keep_the_block_it_was_read_into() {
        let (mut application, mut locals) = connected();
        let mut kept = Vec::new();
        for number in 0..1000_u32 {
            application.write_all(&[number as u8; 100]).unwrap();
            kept.extend(read(&mut locals));
        }
        // Still the first block, and nothing that was kept lies in it.
        assert!(locals.buffer.capacity() >= READ && locals.buffer.capacity() < 2 * READ);
        let block = locals.buffer.as_ptr_range().start;
        let block = block..block.wrapping_add(locals.buffer.capacity());
        assert!(kept.iter().all(|bytes| !block.contains(&bytes.as_ptr())));
        assert_eq!(kept.iter().map(Bytes::len).sum::<usize>(), 100 * 1000);
        assert!(kept.iter().all(Bytes::is_unique), "no two share a block");
    }

    #[test]
    fn a_large_read_is_handed_over_without_a_copy() {
        for (length, copied) in [(1, true), (SMALL - 1, true), (SMALL, false), (READ, false)] {
            let mut buffer = BytesMut::with_capacity(READ);
            buffer.resize(length, 7);
            let block = buffer.as_ptr();
            let bytes = take(&mut buffer);
            assert_eq!(bytes, vec![7; length]);
            assert_eq!(bytes.as_ptr() != block, copied, "{length} bytes");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_connection_closed_with_bytes_unread_still_delivers_what_was_written() {
        let (mut application, mut locals) = connected();
        application.write_all(&vec![7; BUDGET]).unwrap();
        locals.set_reading(APP, false);
        // More than the application's window, so that some of it is still with us at the close.
        let (piece, mut written) = ([Bytes::from(vec![8; READ])], 0);
        while let Some(taken @ 1..) = locals.write(APP, &piece) {
            written += taken;
        }
        locals.finish(APP);
        locals.close(APP);
        let mut received = Vec::new();
        application.read_to_end(&mut received).expect("an end in order, not a reset");
        assert_eq!(received.len(), written);
    }

    #[test]
    fn an_application_is_drained_once_it_was_read_to_the_end_and_is_wanted() {
        let (mut application, mut locals) = connected();
        application.write_all(&vec![7; 3 * BUDGET]).unwrap();
        locals.set_reading(APP, false);
        locals.read_all();
        assert!(!locals.is_drained(), "the broker pauses it");
        locals.set_reading(APP, true);
        assert!(!locals.is_drained(), "it was not read");
        let mut got = 0;
        while !locals.is_drained() {
            got += read(&mut locals).iter().map(Bytes::len).sum::<usize>();
        }
        assert_eq!(got, 3 * BUDGET);
        drop(application);
        while !hear(&mut locals).iter().any(|told| matches!(told, Told::Ended)) {}
        locals.set_reading(APP, false);
        locals.read_all();
        assert!(locals.is_drained(), "an application that has ended has nothing more");
    }
}
