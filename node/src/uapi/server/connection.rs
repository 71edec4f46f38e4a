//! One client: its requests one after the other, each answered before the next is read.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::super::framing::{Frame, Framing};
use super::super::{Errno, Flaw, Parsed, REQUEST, Request, parse};
use super::{Patience, SMALL, UapiRequest};
use crate::machine::poller::Waker;

/// Room for the first bytes of a request; it doubles as they come.
const FIRST: usize = 4 << 10;

/// What each connection needs.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) tell: SyncSender<UapiRequest>,
    pub(super) waker: Waker,
    pub(super) patience: Patience,
    /// For the one connection that may send a long request.
    pub(super) large: Arc<Semaphore>,
}

/// What a client sent and was not answered yet. Every byte is wiped when it is dropped or moved.
struct Received {
    bytes: Zeroizing<Vec<u8>>,
    /// Held while a long request is in here.
    large: Option<OwnedSemaphorePermit>,
}

enum Incoming {
    Whole(usize),
    Broken(Flaw),
    End,
}

impl Connection {
    /// Answers requests until the client leaves, is late, or sends what is no request.
    pub(super) async fn converse(&self, mut stream: UnixStream) {
        let mut received = Received { bytes: room(FIRST), large: None };
        loop {
            if received.bytes.is_empty() {
                let more = timeout(self.patience.idle, stream.read_buf(&mut *received.bytes)).await;
                if !matches!(more, Ok(Ok(1..))) {
                    return;
                }
            }
            let request = self.read_request(&mut stream, &mut received);
            let answer = match timeout(self.patience.request, request).await {
                Err(_) | Ok(Incoming::End) => return,
                Ok(Incoming::Broken(flaw)) => {
                    tracing::debug!(%flaw, "a configuration request was refused");
                    let answer = Errno::answer(Some(flaw.errno));
                    let _ = timeout(self.patience.request, stream.write_all(answer.as_bytes())).await;
                    return;
                }
                Ok(Incoming::Whole(length)) => {
                    let parsed = parse(&received.bytes[..length]);
                    received.drop_first(length);
                    let answer = self.answer(parsed).await;
                    received.let_others();
                    answer
                }
            };
            let written = timeout(self.patience.request, stream.write_all(answer.as_bytes())).await;
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn read_request(&self, stream: &mut UnixStream, received: &mut Received) -> Incoming {
        let mut framing = Framing::default();
        loop {
            match framing.look(&received.bytes) {
                Frame::Whole(length) => return Incoming::Whole(length),
                Frame::Broken(flaw) => return Incoming::Broken(flaw),
                Frame::Partial => {}
            }
            if received.bytes.len() == received.bytes.capacity() {
                received.grow(&self.large).await;
            }
            match stream.read_buf(&mut *received.bytes).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Incoming::End,
            }
        }
    }

    async fn answer(&self, parsed: Result<Parsed, Flaw>) -> Zeroizing<String> {
        let (request, flaw) = match parsed {
            Ok(Parsed { request, flaw }) => (Some(request), flaw),
            Err(flaw) => (None, Some(flaw)),
        };
        if let Some(flaw) = flaw {
            tracing::debug!(%flaw, "a configuration request was refused, or ended early");
        }
        let errno = match request {
            None => None,
            Some(Request::Get) => match self.ask(|reply| UapiRequest::Get { reply }).await {
                Some(report) => return report.to_text(),
                None => Some(Errno::Io),
            },
            Some(Request::Set(changes)) => {
                let outcome = self.ask(|reply| UapiRequest::Set { changes, reply }).await;
                outcome.unwrap_or(Err(Errno::Io)).err()
            }
        };
        Zeroizing::new(Errno::answer(errno.or(flaw.map(|flaw| flaw.errno))))
    }

    /// What the reactor says; nothing where it is stopping or does not answer.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> UapiRequest) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.tell.try_send(request(reply)).ok()?;
        self.waker.wake();
        timeout(self.patience.answer, answer).await.ok()?.ok()
    }
}

impl Received {
    /// Makes room for more, waiting for its turn where that is much.
    async fn grow(&mut self, large: &Arc<Semaphore>) {
        let capacity = (2 * self.bytes.capacity()).min(REQUEST);
        if capacity > SMALL && self.large.is_none() {
            self.large = Arc::clone(large).acquire_owned().await.ok();
        }
        self.copy_from(0, capacity);
    }

    /// Forgets a request that was read; what came behind it begins the next.
    fn drop_first(&mut self, length: usize) {
        let rest = self.bytes.len() - length;
        self.copy_from(length, rest.max(FIRST));
    }

    /// Ends the turn of a long request: when it was answered, since what it became is in memory until then.
    fn let_others(&mut self) {
        if self.bytes.capacity() <= SMALL {
            self.large = None;
        }
    }

    /// Only this moves the bytes: a `Vec` that grows by itself leaves them behind.
    fn copy_from(&mut self, start: usize, capacity: usize) {
        let mut new = room(capacity);
        new.extend_from_slice(&self.bytes[start..]);
        self.bytes = new;
    }
}

fn room(capacity: usize) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(capacity))
}
