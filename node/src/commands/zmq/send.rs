//! `pub` and `push`: messages out.

use tokio::time::{Instant, sleep};
use zeromq::{PubSocket, PushSocket, Socket, SocketSend, ZmqError, ZmqMessage};

use super::text::Messages;
use super::{Attached, too_late, within};
use crate::cli::{Publish, Send};
use crate::commands::Failure;

pub(super) async fn publish(options: Publish) -> Result<(), Failure> {
    let mut socket = Attached::<PubSocket>::open(options.line).await?;
    if socket.line.bind {
        socket.peer().await?;
    }
    sleep(options.settle).await;
    let messages = Messages::new(&options.source, options.topic.as_deref());
    pump(socket, messages, options.source.interval).await
}

pub(super) async fn push(options: Send) -> Result<(), Failure> {
    let mut socket = Attached::<PushSocket>::open(options.line).await?;
    if socket.line.bind {
        socket.peer().await?;
    }
    let messages = Messages::new(&options.source, None);
    pump(socket, messages, options.source.interval).await
}

async fn pump<S: Socket + SocketSend>(
    mut socket: Attached<S>,
    mut messages: Messages,
    interval: Option<std::time::Duration>,
) -> Result<(), Failure> {
    let mut due = Instant::now();
    while let Some(message) = messages.next().await? {
        socket.send(message).await?;
        match interval {
            Some(pause) => {
                due += pause;
                tokio::time::sleep_until(due).await;
            }
            // The crate only queues: without this its writer would not run before the queue is full.
            None => tokio::task::yield_now().await,
        }
    }
    socket.close().await
}

impl<S: Socket + SocketSend> Attached<S> {
    /// Sends, through a new peer where the last one left.
    async fn send(&mut self, mut message: ZmqMessage) -> Result<(), Failure> {
        let end = self.line.timeout.map(|time| Instant::now() + time);
        loop {
            match within(end, self.socket.send(message)).await {
                None => return Err(too_late(&self.line, "there was no room to send")),
                Some(Ok(())) => return Ok(()),
                Some(Err(ZmqError::ReturnToSender { message: returned, .. })) => message = returned,
                Some(Err(error)) => {
                    return Err(Failure::failed(
                        format!("{}: the peer left with messages on their way: {error}", self.line.endpoint),
                        "send again; a Lockgate endpoint closes what the policy denies:  lockgate status",
                    ));
                }
            }
            self.again().await?;
        }
    }
}
