//! The control socket: one JSON object a line in, one JSON line out, for the node's owner alone (mode 0600).
//!
//! ```text
//! {"command":"status"}            request: an object with a "command", at most 64 KiB
//! {"peers":[...], ...}            answer of the reactor, or
//! {"error":"..."}                 what was wrong with the request
//! ```
//! The answer to `observe` is followed by a line for each packet, until the node stops or the client says anything or leaves.
//!
//! A thread of its own serves it (tokio, never the reactor's), holds at most [`CLIENTS`] connections and gives each
//! [`PATIENCE`] for a request. Well-formed requests reach the reactor through a bounded queue and its waker.

mod client;
mod feed;
mod server;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::machine::bind::BindError;
use crate::machine::poller::Waker;
use crate::machine::unix::UnixSocket;

pub use client::{AskError, Lines, Next, ask, follow};
pub use feed::{Fed, Feed, Line};

/// Connections served at a time; more are closed at once.
pub const CLIENTS: usize = 16;
/// The longest request, in bytes, without its line end.
pub const REQUEST: usize = 64 << 10;
/// How long a client may take for one request, and for taking the answer; twice as long for a line that goes on from it.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that may wait for the reactor.
const QUEUE: usize = 64;
/// The commands whose answer goes on.
pub const STREAMED: &[&str] = &["observe"];
/// The owner alone.
const MODE: u32 = 0o600;

/// A request that waits for the reactor's answer.
#[derive(Debug)]
pub struct ControlRequest {
    /// What is asked: the object's `command`.
    pub command: String,
    /// The rest of the object.
    pub arguments: Map<String, Value>,
    /// Where the answer goes. Dropped unanswered, the client gets an error.
    pub reply: oneshot::Sender<Value>,
    /// For a command of [`STREAMED`]: where lines go after the answer. Dropped, the client's connection ends.
    pub feed: Option<Feed>,
}

/// Why there is no control socket.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Its path cannot be bound; most often because the node runs already.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The thread that serves it cannot be started.
    #[error("the control socket {path} cannot be served: {source}")]
    Serve {
        /// Where it should have been.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A served control socket. On drop it stops, and its file is removed.
#[derive(Debug)]
pub struct ControlServer {
    /// What was asked, for the reactor: after a wake-up, `try_recv` until empty.
    pub requests: Receiver<ControlRequest>,
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `path`; every request wakes `waker`.
///
/// # Errors
/// When the path cannot be bound (a live socket is never taken over) or the thread cannot be started.
pub fn serve(path: &Path, waker: Waker) -> Result<ControlServer, ControlError> {
    serve_with(path, waker, PATIENCE)
}

fn serve_with(path: &Path, waker: Waker, patience: Duration) -> Result<ControlServer, ControlError> {
    let socket = UnixSocket::bind(&format!("the control socket {}", path.display()), path, MODE, 64)?;
    let (tell, requests) = sync_channel(QUEUE);
    let (stop, stopped) = oneshot::channel();
    let server = server::Server { tell, waker, patience };
    let thread =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().and_then(|runtime| {
            let named = thread::Builder::new().name("lockgate-control".into());
            named.spawn(move || runtime.block_on(server.run(socket, stopped)))
        });
    let thread = thread.map_err(|source| ControlError::Serve { path: path.into(), source })?;
    Ok(ControlServer { requests, path: path.into(), stop: Some(stop), thread: Some(thread) })
}

/// The other end of a control server without a socket, for a program that runs the node itself.
#[derive(Debug)]
pub struct Inquirer {
    tell: SyncSender<ControlRequest>,
    waker: Waker,
}

impl Inquirer {
    /// What the node answers to `command`; nothing where it has stopped or is too busy. Blocks until the next turn.
    pub fn ask(&self, command: &str) -> Option<Value> {
        let (reply, answer) = oneshot::channel();
        let request = ControlRequest { command: command.into(), arguments: Map::new(), reply, feed: None };
        self.tell.try_send(request).ok()?;
        self.waker.wake();
        answer.blocking_recv().ok()
    }
}

/// A control server that has neither socket nor file: only the inquirer asks it.
pub fn in_process(waker: Waker) -> (ControlServer, Inquirer) {
    let (tell, requests) = sync_channel(QUEUE);
    let server = ControlServer { requests, path: PathBuf::new(), stop: None, thread: None };
    (server, Inquirer { tell, waker })
}

impl ControlServer {
    /// Where it listens; empty where it has no socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
