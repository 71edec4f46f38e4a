//! The socket of the configuration protocol, for root alone: `/var/run/wireguard/<interface>.sock`.
//!
//! A thread of its own serves it (tokio, never the reactor's): at most [`CLIENTS`] connections, of which one at a time may
//! send more than [`SMALL`] bytes in a request, so that clients hold little more than [`REQUEST`](super::REQUEST) bytes.
//! Whoever is slow is dropped. A whole request reaches the reactor through a queue and its waker, and the reactor learns
//! the same way that the socket's file is gone, which is how an interface is asked to end.

mod connection;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, oneshot};

use super::{Change, Errno, Report};
use crate::machine::bind::BindError;
use crate::machine::poller::Waker;
use crate::machine::unix::UnixSocket;
use crate::machine::watch::Watch;
use connection::Connection;

/// Where `wg` looks for sockets.
pub const FOLDER: &str = "/var/run/wireguard";
/// Connections served at a time; more are closed at once.
pub const CLIENTS: usize = 16;
/// How long a request may be while another connection sends a longer one, in bytes.
pub const SMALL: usize = 1 << 20;
/// Root alone.
const MODE: u32 = 0o600;
/// How long accepting rests when the process is out of descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);
/// How often the file is looked at where it cannot be watched.
const LOOK: Duration = Duration::from_secs(1);

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From a request's first byte to its last, and for taking the answer.
    pub request: Duration,
    /// Between requests: a program may keep its connection.
    pub idle: Duration,
    /// For the reactor's answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            answer: Duration::from_secs(30),
        }
    }
}

/// A request that waits for the reactor's answer. Dropped unanswered, the client gets [`Errno::Io`].
#[derive(Debug)]
pub enum UapiRequest {
    /// The whole state, please.
    Get {
        /// Where it goes.
        reply: oneshot::Sender<Report>,
    },
    /// Apply these, in this order, up to the first that fails.
    Set {
        /// What to apply; what a flawed request said before its flaw is here too.
        changes: Vec<Change>,
        /// How it went.
        reply: oneshot::Sender<Result<(), Errno>>,
    },
}

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum UapiError {
    /// Its folder cannot be made.
    #[error(
        "cannot make the folder {folder} for the socket that wg speaks to: {source}\n  hint: run this as root"
    )]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be bound; most often because the interface runs already.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The thread that serves it cannot be started.
    #[error(
        "the socket that wg speaks to cannot be served: {0}\n  hint: raise the limits on threads and open files"
    )]
    Serve(#[source] io::Error),
}

/// Binds the socket of `interface` in `folder` ([`FOLDER`], except in tests), which is made where it is missing.
///
/// # Errors
/// When the folder cannot be made, or another process answers on the socket; a stale file is replaced.
pub fn bind(folder: &Path, interface: &str) -> Result<UnixSocket, UapiError> {
    crate::machine::files_write::create_dir(folder)
        .map_err(|source| UapiError::Folder { folder: folder.into(), source })?;
    let path = folder.join(format!("{interface}.sock"));
    Ok(UnixSocket::bind(&format!("the wg socket {}", path.display()), &path, MODE, 64)?)
}

/// A served socket. On drop it stops, and its file is removed.
#[derive(Debug)]
pub struct UapiServer {
    /// What was asked, for the reactor: after a wake-up, `try_recv` until empty.
    pub requests: Receiver<UapiRequest>,
    gone: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Serves `socket`; every request, and the end of its file, wakes `waker`.
///
/// # Errors
/// When the thread cannot be started.
pub fn serve(socket: UnixSocket, waker: Waker, patience: Patience) -> Result<UapiServer, UapiError> {
    // A connection has one request under way at most, so that the queue is never full.
    let (tell, requests) = sync_channel(CLIENTS);
    let (stop, stopped) = oneshot::channel();
    let gone = Arc::new(AtomicBool::new(false));
    let connection = Connection { tell, waker: waker.clone(), patience, large: Arc::new(Semaphore::new(1)) };
    let server = Server { socket, waker, connection, gone: Arc::clone(&gone) };
    let thread =
        tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().and_then(|runtime| {
            let named = thread::Builder::new().name("lockgate-uapi".into());
            named.spawn(move || runtime.block_on(server.run(stopped)))
        });
    let thread = thread.map_err(UapiError::Serve)?;
    Ok(UapiServer { requests, gone, stop: Some(stop), thread: Some(thread) })
}

impl UapiServer {
    /// Whether the socket's file was removed or replaced: whoever did it wants the interface to end.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

impl Drop for UapiServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Server {
    socket: UnixSocket,
    waker: Waker,
    connection: Connection,
    gone: Arc<AtomicBool>,
}

impl Server {
    /// Serves until `stopped` resolves; open connections end with it.
    async fn run(self, stopped: oneshot::Receiver<()>) {
        tokio::select! {
            () = self.accept() => {}
            () = self.watch() => {}
            _ = stopped => {}
        }
    }

    /// Returns only where nothing can be accepted, ever.
    async fn accept(&self) {
        let listener = match self.socket.duplicate().and_then(|socket| UnixListener::from_std(socket.into()))
        {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the socket that wg speaks to cannot be served");
                return;
            }
        };
        let places = Arc::new(Semaphore::new(CLIENTS));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(BACK_OFF).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let connection = self.connection.clone();
            tokio::spawn(async move {
                connection.converse(stream).await;
                drop(place);
            });
        }
    }

    /// Tells the reactor once the file is gone; goes on for ever, because those who are connected may stay.
    async fn watch(&self) {
        let watch = self.socket.path().map(Watch::new).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "the socket's file cannot be watched; it is looked at every second");
            None
        });
        while self.socket.is_in_place() {
            let told = match &watch {
                Some(watch) => watch.changed().await.is_ok(),
                None => false,
            };
            if !told {
                tokio::time::sleep(LOOK).await;
            }
        }
        self.gone.store(true, Ordering::Release);
        self.waker.wake();
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
