//! Policies are read on a thread of their own: to read, parse and compile a large one takes seconds, and packets do not wait.
//!
//! What is ordered about policies takes effect in the order in which it was ordered, one after the other: whoever promotes
//! while a candidate is being read promotes that candidate, as if reading took no time. Whoever was told meanwhile that there
//! is no answer, or has left, is not obeyed.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

use serde_json::Value;
use tokio::sync::oneshot;

use super::policy::{Fresh, Reader, Reload, Which};
use crate::machine::poller::Waker;

/// Orders that wait at a time.
const WAITING: usize = 16;

/// What somebody wants done about the policy.
#[derive(Debug)]
pub(super) enum Order {
    /// Read the configured file again.
    Reload,
    /// Read a candidate, and put it beside the policy in force.
    Stage(PathBuf, Reply),
    /// Put the candidate in force.
    Promote(Reply),
    /// Forget the candidate.
    Abort(Reply),
}

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Value>;

/// What reading has come to: a policy, or every mistake in words.
pub(super) type Outcome = Result<Fresh, String>;

/// An order whose turn it is.
pub(super) enum Due {
    /// What was to be read has been read.
    Read(Order, Outcome),
    /// There is nothing to be read for it.
    Plain(Order),
}

/// The orders that wait, and the thread that reads for them.
pub(super) struct Study {
    file: Option<PathBuf>,
    /// Gone, the thread ends after what it reads at this moment.
    ask: SyncSender<Option<PathBuf>>,
    outcomes: Receiver<Outcome>,
    under_way: Option<Order>,
    waiting: VecDeque<Order>,
}

impl Study {
    /// Begins the thread; whenever it has read something it wakes `waker`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn begin(reload: Reload, waker: Waker) -> io::Result<Self> {
        let Reload { file, read } = reload;
        // One at a time: neither side ever waits for room.
        let (ask, asked) = sync_channel(1);
        let (tell, outcomes) = sync_channel(1);
        let named = thread::Builder::new().name("lockgate-policy".into());
        let teller = Teller { tell: Some(tell), waker };
        named.spawn(move || study(read, &asked, &teller))?;
        Ok(Self { file, ask, outcomes, under_way: None, waiting: VecDeque::new() })
    }

    /// Takes an order; gives it back where too many wait.
    pub(super) fn order(&mut self, order: Order) -> Result<(), Order> {
        if matches!(order, Order::Reload) {
            if self.file.is_none() {
                return Ok(());
            }
            // The last one decides which file it is that holds in the end.
            self.waiting.retain(|waiting| !matches!(waiting, Order::Reload));
        } else if self.waiting.len() >= WAITING {
            return Err(order);
        }
        self.waiting.push_back(order);
        Ok(())
    }

    /// The next order whose turn has come; `None` while something is read, and where nothing waits.
    pub(super) fn next(&mut self) -> Option<Due> {
        loop {
            if let Some(order) = self.under_way.take() {
                let outcome = match self.outcomes.try_recv() {
                    Ok(outcome) => outcome,
                    Err(TryRecvError::Empty) => {
                        self.under_way = Some(order);
                        return None;
                    }
                    Err(TryRecvError::Disconnected) => Err(BROKEN.to_owned()),
                };
                if order.is_given_up() {
                    continue;
                }
                return Some(Due::Read(order, outcome));
            }
            let order = self.waiting.pop_front()?;
            let path = match &order {
                order if order.is_given_up() => continue,
                Order::Reload => None,
                Order::Stage(file, _) => Some(file.clone()),
                Order::Promote(_) | Order::Abort(_) => return Some(Due::Plain(order)),
            };
            // Where the thread is gone the outcome says so.
            let _ = self.ask.try_send(path);
            self.under_way = Some(order);
        }
    }
}

impl Order {
    /// Answers whoever gave it.
    pub(super) fn answer(self, answer: Value) {
        match self {
            Self::Reload => {}
            // A client that has gone away needs no answer.
            Self::Stage(_, reply) | Self::Promote(reply) | Self::Abort(reply) => drop(reply.send(answer)),
        }
    }

    /// Whether nobody waits for its answer any more.
    fn is_given_up(&self) -> bool {
        match self {
            Self::Reload => false,
            Self::Stage(_, reply) | Self::Promote(reply) | Self::Abort(reply) => reply.is_closed(),
        }
    }
}

/// Where outcomes go. That there will be no more is told too.
struct Teller {
    tell: Option<SyncSender<Outcome>>,
    waker: Waker,
}

impl Drop for Teller {
    fn drop(&mut self) {
        drop(self.tell.take());
        self.waker.wake();
    }
}

/// Reads one after the other, until nobody asks any more.
fn study(mut read: Reader, asked: &Receiver<Option<PathBuf>>, teller: &Teller) {
    while let Ok(path) = asked.recv() {
        let outcome = read(path.as_deref().map_or(Which::Configured, Which::Candidate));
        if teller.tell.as_ref().is_none_or(|tell| tell.send(outcome).is_err()) {
            return;
        }
        teller.waker.wake();
    }
}

const BROKEN: &str =
    "the thread that reads policies has ended\n  hint: that is a fault of ours; start the node again";
