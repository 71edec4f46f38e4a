//! `sub` and `pull`: messages in, a line each.

use tokio::time::Instant;
use zeromq::{PullSocket, Socket, SocketEvent, SocketRecv, SubSocket, ZmqMessage};

use super::text::render;
use super::{Attached, too_late, within};
use crate::cli::{Receive, Subscribe};
use crate::commands::{Failure, print};

/// Failed reads in a row after which a peer is no ZeroMQ peer.
const FAILURES: u32 = 100;

pub(super) async fn subscribe(options: Subscribe, json: bool) -> Result<(), Failure> {
    let Receive { line, count } = options.receive;
    let mut socket = Attached::<SubSocket>::open(line).await?;
    let everything = vec![String::new()];
    for topic in if options.topic.is_empty() { &everything } else { &options.topic } {
        socket.socket.subscribe(topic).await.map_err(|error| {
            Failure::failed(
                format!("{}: subscribing to {topic:?}: {error}", socket.line.endpoint),
                "the peer left at once: a Lockgate endpoint closes what the policy denies:  lockgate status",
            )
        })?;
    }
    // A SUB reconnects by itself, subscriptions included.
    print_all(socket, count, json, Reconnect::ByTheCrate).await
}

pub(super) async fn pull(options: Receive, json: bool) -> Result<(), Failure> {
    let socket = Attached::<PullSocket>::open(options.line).await?;
    print_all(socket, options.count, json, Reconnect::ByUs).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reconnect {
    ByTheCrate,
    ByUs,
}

async fn print_all<S: Socket + SocketRecv>(
    mut socket: Attached<S>,
    count: Option<u64>,
    json: bool,
    reconnect: Reconnect,
) -> Result<(), Failure> {
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        let message = socket.receive(reconnect).await.map_err(|failure| match count {
            Some(count) => also(failure, seen, count),
            None => failure,
        })?;
        print(render(&message, json))?;
        seen += 1;
    }
    Ok(())
}

fn also(failure: Failure, seen: u64, count: u64) -> Failure {
    match failure {
        Failure::Failed(complaint) => {
            Failure::failed(format!("{} ({seen} of {count} came)", complaint.what), complaint.hint)
        }
        other => other,
    }
}

impl<S: Socket + SocketRecv> Attached<S> {
    /// The next message, from a new peer where the last one left.
    pub(super) async fn receive(&mut self, reconnect: Reconnect) -> Result<ZmqMessage, Failure> {
        let end = self.line.timeout.map(|time| Instant::now() + time);
        let mut failures = 0;
        loop {
            let connected = !self.line.bind && reconnect == Reconnect::ByUs;
            let step = async {
                tokio::select! {
                    message = self.socket.recv() => Step::Read(message),
                    news = self.news.recv() => match news {
                        Ok(SocketEvent::Disconnected(_)) if connected => Step::PeerLeft,
                        Ok(_) => Step::News,
                        Err(_) => std::future::pending().await,
                    },
                }
            };
            match within(end, step).await {
                None => return Err(too_late(&self.line, "no message came")),
                Some(Step::Read(Ok(message))) => return Ok(message),
                Some(Step::PeerLeft) => self.connect().await?,
                Some(Step::News) => {}
                Some(Step::Read(Err(error))) if failures < FAILURES => {
                    failures += 1;
                    tracing::debug!(%error, "a peer left or sent what cannot be read");
                    tokio::task::yield_now().await;
                }
                Some(Step::Read(Err(error))) => {
                    return Err(Failure::failed(
                        format!("{}: {error}", self.line.endpoint),
                        "is it a ZeroMQ peer of the matching type?",
                    ));
                }
            }
        }
    }
}

enum Step {
    Read(zeromq::ZmqResult<ZmqMessage>),
    PeerLeft,
    News,
}
