//! The serving side: bounded in clients, bytes and time, whatever is sent.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::feed::{self, Feed};
use super::{CLIENTS, ControlRequest, REQUEST, STREAMED};
use crate::machine::poller::Waker;
use crate::machine::unix::UnixSocket;

/// How long accepting rests when the process is out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);

/// So many times as patient is the server with a client of a stream: it may be a person who reads.
const STREAM: u32 = 2;

/// What each connection needs.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) tell: SyncSender<ControlRequest>,
    pub(super) waker: Waker,
    pub(super) patience: Duration,
}

impl Server {
    /// Serves until `stopped` resolves; open connections end with it.
    pub(super) async fn run(self, socket: UnixSocket, mut stopped: oneshot::Receiver<()>) {
        let listener = match to_tokio(&socket) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the control socket cannot be served");
                return;
            }
        };
        let places = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = &mut stopped => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(BACK_OFF).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let server = self.clone();
            tokio::spawn(async move {
                server.converse(stream).await;
                drop(place);
            });
        }
    }

    /// Answers requests until the client leaves, is late, or sends what is no request.
    async fn converse(&self, stream: UnixStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let (answer, next) = match timeout(self.patience, read_request(&mut stream)).await {
                Err(_) | Ok(Incoming::End) => return,
                Ok(Incoming::Bad(reason)) => (json!({ "error": reason }), Next::Close),
                Ok(Incoming::Request(command, arguments)) if STREAMED.contains(&&*command) => {
                    self.stream(stream, command, arguments).await;
                    return;
                }
                Ok(Incoming::Request(command, arguments)) => {
                    (self.ask_reactor(command, arguments, None).await, Next::Read)
                }
            };
            let mut line = answer.to_string();
            line.push('\n');
            let written = timeout(self.patience, stream.get_mut().write_all(line.as_bytes())).await;
            if next == Next::Close || !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Answers a request, and then passes on what the reactor has to say, until it has no more or the client says anything.
    /// However slow the client is, the reactor does not wait for it.
    async fn stream(
        &self,
        mut stream: BufReader<UnixStream>,
        command: String,
        arguments: Map<String, Value>,
    ) {
        let (feed, mut lines) = feed::feed();
        let answer = self.ask_reactor(command, arguments, Some(feed)).await;
        let answered =
            timeout(self.patience, stream.get_mut().write_all(format!("{answer}\n").as_bytes())).await;
        let mut goes_on = matches!(answered, Ok(Ok(())));
        while goes_on {
            goes_on = tokio::select! {
                line = lines.next() => match line {
                    Some(line) => self.pass_on(&mut stream, &line.text()).await,
                    None => false,
                },
                // Bytes, the end, or a fault: all the same.
                _ = stream.fill_buf() => false,
            };
        }
        drop(lines);
        // So that it sees that nobody listens any more.
        self.waker.wake();
    }

    /// Writes a line; says whether the client has taken it. One that takes nothing gives its place back.
    async fn pass_on(&self, stream: &mut BufReader<UnixStream>, line: &str) -> bool {
        let written = timeout(self.patience * STREAM, stream.get_mut().write_all(line.as_bytes())).await;
        matches!(written, Ok(Ok(())))
    }

    async fn ask_reactor(&self, command: String, arguments: Map<String, Value>, feed: Option<Feed>) -> Value {
        let (reply, answer) = oneshot::channel();
        if self.tell.try_send(ControlRequest { command, arguments, reply, feed }).is_err() {
            return json!({ "error": "the node is busy or stopping" });
        }
        self.waker.wake();
        match timeout(self.patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => json!({ "error": "the node did not answer this command" }),
            Err(_) => json!({ "error": "the node did not answer in time" }),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Read,
    Close,
}

enum Incoming {
    Request(String, Map<String, Value>),
    Bad(&'static str),
    End,
}

async fn read_request(stream: &mut BufReader<UnixStream>) -> Incoming {
    let mut line = Vec::new();
    let limit = REQUEST as u64 + 1;
    match stream.take(limit).read_until(b'\n', &mut line).await {
        Err(_) | Ok(0) => return Incoming::End,
        Ok(_) if line.last() == Some(&b'\n') => {}
        Ok(_) if line.len() > REQUEST => return Incoming::Bad("a request is at most 65536 bytes"),
        // The client left in the middle of a line.
        Ok(_) => return Incoming::End,
    }
    let Ok(Value::Object(mut object)) = serde_json::from_slice(&line) else {
        return Incoming::Bad("a request is one JSON object a line");
    };
    match object.remove("command") {
        Some(Value::String(command)) => Incoming::Request(command, object),
        _ => Incoming::Bad("a request has a \"command\", which is a string"),
    }
}

fn to_tokio(socket: &UnixSocket) -> io::Result<UnixListener> {
    UnixListener::from_std(socket.duplicate()?.into())
}
