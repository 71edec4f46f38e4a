//! The operator's signals: stop and reload.
//!
//! A thread of its own waits for them (tokio's handler, so that no code runs inside a signal), and wakes the reactor.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::oneshot;

use super::poller::Waker;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: deliver what is buffered, then end. A second one (not within 100 ms) means: end now.
    Stop,
    /// SIGHUP: read the files again.
    Reload,
}

/// The signals that have come in and were not yet taken. From its creation on they no longer end the process.
#[derive(Debug)]
pub struct Signals {
    arrived: Receiver<Signal>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Signals {
    /// Begins to catch signals; each one wakes `waker`. Once this returns, none is missed.
    ///
    /// # Errors
    /// When the thread or a handler cannot be made.
    pub fn catch(waker: Waker) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let mut streams = {
            let _inside = runtime.enter();
            Streams {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hangup: signal(SignalKind::hangup())?,
            }
        };
        let (tell, arrived) = channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("lockgate-signals".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = streams.pass_on(&tell, &waker) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { arrived, stop: Some(stop), thread: Some(thread) })
    }

    /// The next signal that came in, without blocking.
    pub fn take(&self) -> Option<Signal> {
        self.arrived.try_recv().ok()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Streams {
    terminate: Stream,
    interrupt: Stream,
    hangup: Stream,
}

impl Streams {
    async fn pass_on(&mut self, tell: &Sender<Signal>, waker: &Waker) {
        loop {
            let signal = tokio::select! {
                _ = self.terminate.recv() => Signal::Stop,
                _ = self.interrupt.recv() => Signal::Stop,
                _ = self.hangup.recv() => Signal::Reload,
            };
            if tell.send(signal).is_err() {
                return;
            }
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal as Number, getpid, kill_process};

    use super::super::poller::Poller;
    use super::*;

    #[test]
    fn every_signal_wakes_the_reactor_and_says_what_it_asks_for() {
        let mut poller = Poller::new().unwrap();
        let signals = Signals::catch(poller.waker()).unwrap();
        for (number, meaning) in
            [(Number::TERM, Signal::Stop), (Number::HUP, Signal::Reload), (Number::INT, Signal::Stop)]
        {
            kill_process(getpid(), number).unwrap();
            let seen = (0..100).find_map(|_| {
                let seen = signals.take();
                if seen.is_none() {
                    poller.wait(Some(Duration::from_secs(10))).unwrap();
                }
                seen
            });
            assert_eq!(seen, Some(meaning), "{number:?}");
        }
    }
}
