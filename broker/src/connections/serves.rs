//! The offering side: another node asks for a service that an application here has.

use bytes::{Bytes, BytesMut};
use lockgate_proto::rules::Grant;
use lockgate_proto::zmtp::{HANDSHAKE_TOTAL, Handshake, Hello};

use super::flow::Flow;
use super::open::Early;
use super::opening::{Answer, Refusal, Request};
use super::{Connection, Known, MAX_PROPERTIES, Phase, Turn, open, write_whole};
use crate::apps::Apps;
use crate::desk::{Case, Desk, fits};
use crate::links::{LinkId, StreamKey};
use crate::services::{OfferId, Role};

/// An application that we call on behalf of one elsewhere.
pub(crate) struct Meeting {
    link: LinkId,
    stream: StreamKey,
    /// The application elsewhere.
    user: Hello,
    /// `None` until the connection stands.
    handshake: Option<Handshake>,
    input: BytesMut,
    /// What came from the other node behind its request.
    early: Bytes,
}

/// A request that this node agrees to.
pub(crate) struct Agreed {
    pub(crate) offer: OfferId,
    pub(crate) link: LinkId,
    pub(crate) stream: StreamKey,
    pub(crate) grant: Grant,
    pub(crate) user: Hello,
    pub(crate) early: Bytes,
}

/// Judges a request that came on `stream`.
pub(crate) fn judge(
    request: Request,
    link: LinkId,
    stream: StreamKey,
    early: Bytes,
    now: lockgate_proto::now::Moment,
    desk: &mut Desk,
) -> Result<Agreed, Refusal> {
    let Request { service, hello: user } = request;
    let Some(place) = desk.offers.iter().position(|offer| *offer.service == *service) else {
        return Err(Refusal::NoService);
    };
    if user.properties.len() > MAX_PROPERTIES {
        return Err(Refusal::Mismatch);
    }
    let offer = OfferId(place);
    let case = Case { role: Role::Serves(offer), other: link, user: &user };
    match desk.judge(&case) {
        Ok(grant) => Ok(Agreed { offer, link, stream, grant, user, early }),
        Err(denial) => {
            desk.refuse(&case, &denial, now);
            Err(Refusal::Denied)
        }
    }
}

/// Says no on a stream, and ends it.
pub(crate) fn refuse(link: LinkId, stream: StreamKey, refusal: Refusal, desk: &mut Desk) {
    desk.streams.remove(&(link, stream));
    let link = desk.link(link);
    // A stream that takes nothing any more needs no answer.
    let _ = link.write(stream, &mut [Answer::Refused(refusal).encode()]);
    link.finish(stream);
    // Unread, the other direction would keep its place among the peer's streams for ever.
    link.ignore(stream);
}

/// Calls the application of the offer.
pub(crate) fn dial(agreed: Agreed, turn: &mut Turn<'_, impl Apps>) -> Connection {
    let Agreed { offer, link, stream, user, early, .. } = agreed;
    turn.desk.streams.insert((link, stream), turn.app);
    turn.apps.dial(turn.app, offer);
    let input = BytesMut::new();
    let meeting = Meeting { link, stream, user, handshake: None, input, early };
    Connection {
        role: Role::Serves(offer),
        link: Some(link),
        phase: Phase::Meeting(Box::new(meeting)),
        deadline: Some(turn.now + HANDSHAKE_TOTAL),
    }
}

/// The connection stands: we greet as the application elsewhere.
pub(crate) fn dialed(
    mut connection: Connection,
    mut meeting: Box<Meeting>,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let mut handshake = Handshake::dialing(meeting.user.clone());
    let mut greeting = BytesMut::new();
    handshake.greet(&mut greeting);
    meeting.handshake = Some(handshake);
    if !write_whole(turn.app, greeting, turn.apps) {
        refuse(meeting.link, meeting.stream, Refusal::Unreachable, turn.desk);
        return None;
    }
    connection.phase = Phase::Meeting(meeting);
    Some(connection)
}

/// The application says who it is.
pub(crate) fn from_app(
    mut connection: Connection,
    mut meeting: Box<Meeting>,
    bytes: &[u8],
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    meeting.input.extend_from_slice(bytes);
    let mut reply = BytesMut::new();
    let Some(handshake) = &mut meeting.handshake else { return None };
    let hello = match handshake.handle(&mut meeting.input, &mut reply) {
        Ok(hello) => hello,
        Err(fault) => {
            turn.desk.fault(connection.role, fault);
            refuse(meeting.link, meeting.stream, Refusal::Mismatch, turn.desk);
            return None;
        }
    };
    if !write_whole(turn.app, reply, turn.apps) {
        refuse(meeting.link, meeting.stream, Refusal::Unreachable, turn.desk);
        return None;
    }
    let Some(hello) = hello else {
        connection.phase = Phase::Meeting(meeting);
        return Some(connection);
    };
    let Meeting { link, stream, user, input, early, .. } = *meeting;
    let meant = Meant { link, stream, user, early };
    admit(connection, meant, &hello, input.freeze(), turn)
}

/// For whom an application here is.
struct Meant {
    link: LinkId,
    stream: StreamKey,
    user: Hello,
    early: Bytes,
}

/// An application that was waiting gets somebody to serve.
pub(crate) fn pair(
    connection: Connection,
    mut known: Known,
    agreed: Agreed,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let Agreed { link, stream, grant, user, early, .. } = agreed;
    let mut ready = BytesMut::new();
    known.handshake.answer(&user, &mut ready);
    let fitting = fits(&grant, &known.hello, &user);
    if !fitting || !write_whole(turn.app, ready, turn.apps) {
        refuse(link, stream, Refusal::Mismatch, turn.desk);
        return None;
    }
    let Known { input, hello, .. } = known;
    admit(connection, Meant { link, stream, user, early }, &hello, input.freeze(), turn)
}

/// Both applications are known: the other node hears of ours, and messages pass.
fn admit(
    connection: Connection,
    meant: Meant,
    hello: &Hello,
    from_app: Bytes,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let Meant { link, stream, user, early } = meant;
    // The rules may have changed while the application was on its way.
    let case = Case { role: connection.role, other: link, user: &user };
    let grant = match turn.desk.judge(&case) {
        Ok(grant) => grant,
        Err(denial) => {
            turn.desk.refuse(&case, &denial, turn.now);
            refuse(link, stream, Refusal::Denied, turn.desk);
            return None;
        }
    };
    if !fits(&grant, hello, &user) || hello.properties.len() > MAX_PROPERTIES {
        turn.desk.tally(connection.role).faults += 1;
        refuse(link, stream, Refusal::Mismatch, turn.desk);
        return None;
    }
    let candidate = turn.desk.compare_open(&case, &grant, hello.socket_type, turn.now);
    let flow = Flow::new(stream, (grant, candidate), connection.role, hello, &user);
    let first = Answer::Open(hello.clone()).encode();
    open::begin(connection, flow, link, Early { first, from_app, from_link: early }, turn)
}

impl Meeting {
    /// The application could not be reached, or left during the handshake.
    pub(crate) fn failed(&self, turn: &mut Turn<'_, impl Apps>) {
        refuse(self.link, self.stream, Refusal::Unreachable, turn.desk);
    }
}
