//! `req` and `rep`: questions and answers.

use tokio::time::Instant;
use zeromq::{RepSocket, ReqSocket, SocketRecv, SocketSend, ZmqMessage};

use super::receive::Reconnect;
use super::text::{Messages, render};
use super::{Attached, too_late, within};
use crate::cli::{Answer, Ask};
use crate::commands::{Failure, print};

pub(super) async fn ask(options: Ask, json: bool) -> Result<(), Failure> {
    let mut socket = Attached::<ReqSocket>::open(options.line).await?;
    if socket.line.bind {
        socket.peer().await?;
    }
    let mut messages = Messages::new(&options.source, None);
    let mut due = Instant::now();
    while let Some(message) = messages.next().await? {
        tokio::time::sleep_until(due).await;
        due = Instant::now() + options.source.interval.unwrap_or_default();
        let reply = exchange(&mut socket, message).await?;
        print(render(&reply, json))?;
    }
    // Every request has its reply: nothing of ours is under way.
    Ok(())
}

async fn exchange(socket: &mut Attached<ReqSocket>, request: ZmqMessage) -> Result<ZmqMessage, Failure> {
    let end = socket.line.timeout.map(|time| Instant::now() + time);
    let both = async {
        socket.socket.send(request).await?;
        socket.socket.recv().await
    };
    match within(end, both).await {
        None => Err(too_late(&socket.line, "no reply came")),
        Some(Ok(reply)) => Ok(reply),
        // Sent again it might be done twice: that is for the user to decide.
        Some(Err(error)) => Err(Failure::failed(
            format!("{}: no reply: {error}", socket.line.endpoint),
            "the peer closed the connection; a Lockgate endpoint does so where the policy denies the request:  lockgate status",
        )),
    }
}

pub(super) async fn answer(options: Answer, json: bool) -> Result<(), Failure> {
    let mut socket = Attached::<RepSocket>::open(options.line).await?;
    let mut seen = 0;
    while options.count.is_none_or(|count| seen < count) {
        let request = socket.receive(Reconnect::ByUs).await?;
        let line = render(&request, json);
        let reply = if options.echo { request } else { ZmqMessage::from(options.reply.as_str()) };
        if let Err(error) = socket.socket.send(reply).await {
            tracing::warn!(%error, "the client left before its reply");
        }
        print(line)?;
        seen += 1;
    }
    socket.close().await
}
