//! The using side: an application here wants a service, and we look for a node that has it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lockgate_proto::now::Moment;
use lockgate_proto::rules::Rules;
use lockgate_proto::zmtp::Hello;

use super::flow::Flow;
use super::open::Early;
use super::opening::{Answer, Refusal, Request};
use super::{Connection, HOLD, Known, Phase, Turn, open, write_whole};
use crate::apps::Apps;
use crate::desk::{Case, Desk, fits};
use crate::links::{LinkId, Reading, StreamKey};
use crate::services::{Role, UseId, hosts};

/// Between two rounds of asking everybody.
const ROUND: Duration = Duration::from_millis(250);
/// How long one node is waited for while there are others.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than any answer.
const MAX_ANSWER: usize = 80 * 1024;

/// An application that said who it is and has no counterpart yet.
pub(crate) struct Seeking {
    known: Known,
    place: UseId,
    until: Moment,
    /// Who is still to be asked in this round.
    candidates: Vec<LinkId>,
    /// Whether somebody said "later" in this round.
    again: bool,
    asked: Option<Asked>,
}

/// The node that is being asked.
struct Asked {
    link: LinkId,
    stream: Option<StreamKey>,
    /// What of the request has found no room yet.
    unsent: Bytes,
    answer: BytesMut,
}

impl Seeking {
    pub(crate) fn new(known: Known, place: UseId, now: Moment) -> Self {
        Self { known, place, until: now + HOLD, candidates: Vec::new(), again: true, asked: None }
    }

    /// Whether the application sent more than it may before our READY.
    pub(crate) fn app_sent(&mut self, bytes: &[u8]) -> bool {
        self.known.input.extend_from_slice(bytes);
        self.known.input.len() <= MAX_ANSWER
    }

    fn hello(&self) -> &Hello {
        &self.known.hello
    }
}

/// Begins a round: everybody who may have the service, those whose tunnel answers first.
pub(crate) fn begin_round(seeking: &mut Seeking, desk: &Desk) {
    let mut candidates = everybody(seeking, desk);
    candidates.sort_by_key(|link| !desk.neighbours[link.0 as usize].reachable);
    candidates.reverse();
    seeking.candidates = candidates;
    seeking.again = false;
}

fn everybody(seeking: &Seeking, desk: &Desk) -> Vec<LinkId> {
    all_hosts(seeking, &desk.rules, desk)
}

fn all_hosts(seeking: &Seeking, rules: &Rules, desk: &Desk) -> Vec<LinkId> {
    let names: Vec<_> = desk.neighbours.iter().map(|neighbour| neighbour.name.clone()).collect();
    hosts(&desk.uses[seeking.place.0], rules, &names)
}

/// Notes the nodes that a staged candidate would let the application talk to, and the rules in force do not.
pub(crate) fn compare_refused(seeking: &Seeking, desk: &mut Desk, now: Moment) {
    let Some(staged) = &desk.staged else { return };
    for other in all_hosts(seeking, &staged.rules, desk) {
        let case = Case { role: Role::Uses(seeking.place), other, user: seeking.hello() };
        if let Err(denial) = desk.judge(&case) {
            desk.compare_refused(&case, &denial, now);
        }
    }
}

/// Asks the next candidate; `None` where the application is refused or has waited too long.
pub(crate) fn ask_next(
    mut connection: Connection,
    mut seeking: Box<Seeking>,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let (role, now) = (Role::Uses(seeking.place), turn.now);
    let mut denied = None;
    while let Some(link) = seeking.candidates.pop() {
        match turn.desk.judge(&Case { role, other: link, user: seeking.hello() }) {
            Ok(_) => {
                let (unsent, answer) = (Bytes::new(), BytesMut::new());
                seeking.asked = Some(Asked { link, stream: None, unsent, answer });
                let patience = if seeking.candidates.is_empty() { HOLD } else { PATIENCE };
                connection.link = Some(link);
                connection.deadline = Some((now + patience).min(seeking.until));
                request(&mut seeking, turn);
                connection.phase = Phase::Seeking(seeking);
                return Some(connection);
            }
            Err(denial) => denied = Some(denial.to_string()),
        }
    }
    connection.link = None;
    if seeking.again {
        connection.deadline = Some((now + ROUND).min(seeking.until));
        connection.phase = Phase::Seeking(seeking);
        return Some(connection);
    }
    let nobody = || {
        let service = &turn.desk.uses[seeking.place.0].service;
        everybody(&seeking, turn.desk).is_empty().then(|| format!("no peer of this node may host {service}"))
    };
    if let Some(reason) = denied.or_else(nobody) {
        turn.desk.deny(turn.desk.name.clone(), role, seeking.hello().socket_type, reason, now);
    }
    None
}

/// Opens a stream to the node being asked, or waits until there can be one.
pub(crate) fn request(seeking: &mut Seeking, turn: &mut Turn<'_, impl Apps>) {
    let service = turn.desk.uses[seeking.place.0].service.to_string();
    let Some(asked) = seeking.asked.as_mut().filter(|asked| asked.stream.is_none()) else { return };
    let link = turn.desk.link(asked.link);
    let Some(stream) = link.open(turn.now) else {
        turn.desk.hopeful.insert(turn.app);
        return;
    };
    asked.unsent = Request { service, hello: seeking.known.hello.clone() }.encode();
    asked.stream = Some(stream);
    turn.desk.streams.insert((asked.link, stream), turn.app);
    send_request(asked, turn.desk);
}

/// Writes what is left of the request; other streams may have taken all the room there is.
fn send_request(asked: &mut Asked, desk: &mut Desk) {
    let Some(stream) = asked.stream.filter(|_| !asked.unsent.is_empty()) else { return };
    let mut chunks = [std::mem::take(&mut asked.unsent)];
    if desk.link(asked.link).write(stream, &mut chunks) == Some(0) {
        [asked.unsent] = chunks;
    }
}

/// The deadline passed: the round is over, or the patience with one node, or everything.
pub(crate) fn overdue(
    connection: Connection,
    mut seeking: Box<Seeking>,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    forget_asked(&mut seeking, turn);
    if turn.now >= seeking.until {
        turn.desk.tally(Role::Uses(seeking.place)).unserved += 1;
        return None;
    }
    if seeking.candidates.is_empty() {
        begin_round(&mut seeking, turn.desk);
    }
    // A node that was silent may answer later.
    seeking.again = true;
    ask_next(connection, seeking, turn)
}

/// Ends the question that is open, if one is.
pub(crate) fn forget_asked(seeking: &mut Seeking, turn: &mut Turn<'_, impl Apps>) {
    turn.desk.hopeful.remove(&turn.app);
    if let Some(Asked { link, stream: Some(stream), .. }) = seeking.asked.take() {
        turn.desk.drop_stream(link, stream);
    }
}

/// There is something to read on the stream that was asked on.
pub(crate) fn answered(
    mut connection: Connection,
    mut seeking: Box<Seeking>,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let Some(asked @ Asked { stream: Some(_), .. }) = &mut seeking.asked else {
        connection.phase = Phase::Seeking(seeking);
        return Some(connection);
    };
    send_request(asked, turn.desk);
    let Asked { link, stream: Some(stream), answer, .. } = asked else { return None };
    let (link, stream) = (*link, *stream);
    let reading = turn.desk.link(link).read(stream, &mut |bytes| {
        answer.extend_from_slice(&bytes);
        answer.len() <= MAX_ANSWER
    });
    match Answer::decode(answer) {
        Ok(Some(Answer::Open(theirs))) => admit(connection, seeking, &theirs, turn),
        Ok(Some(Answer::Refused(refusal))) => refused(connection, seeking, refusal, turn),
        Ok(None) if reading == Reading::Empty => {
            connection.phase = Phase::Seeking(seeking);
            Some(connection)
        }
        Ok(None) | Err(_) => refused(connection, seeking, Refusal::Unreachable, turn),
    }
}

fn refused(
    connection: Connection,
    mut seeking: Box<Seeking>,
    refusal: Refusal,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let role = Role::Uses(seeking.place);
    match refusal {
        Refusal::Denied => {
            let host = seeking.asked.as_ref().map(|asked| turn.desk.name_of(asked.link));
            let reason =
                format!("{} denies it by its own policy", host.as_deref().unwrap_or("the other node"));
            turn.desk.deny(turn.desk.name.clone(), role, seeking.hello().socket_type, reason, turn.now);
        }
        Refusal::Mismatch => turn.desk.tally(role).faults += 1,
        Refusal::NoService | Refusal::Unreachable => seeking.again = true,
    }
    forget_asked(&mut seeking, turn);
    if seeking.candidates.is_empty() && !seeking.again {
        return None;
    }
    ask_next(connection, seeking, turn)
}

/// The other application is there: ours gets its READY, and messages pass.
fn admit(
    connection: Connection,
    seeking: Box<Seeking>,
    theirs: &Hello,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let Seeking { mut known, place, asked, .. } = *seeking;
    let Some(Asked { link, stream: Some(stream), answer, .. }) = asked else { return None };
    // The rules may have changed while the answer was on its way.
    let role = Role::Uses(place);
    let case = Case { role, other: link, user: &known.hello };
    let grant = match turn.desk.judge(&case) {
        Ok(grant) => grant,
        Err(denial) => {
            turn.desk.refuse(&case, &denial, turn.now);
            turn.desk.drop_stream(link, stream);
            return None;
        }
    };
    let mut ready = BytesMut::new();
    known.handshake.answer(theirs, &mut ready);
    let fitting = fits(&grant, theirs, &known.hello);
    if !fitting || !write_whole(turn.app, ready, turn.apps) {
        turn.desk.tally(role).faults += 1;
        turn.desk.drop_stream(link, stream);
        return None;
    }
    let case = Case { role, other: link, user: &known.hello };
    let candidate = turn.desk.compare_open(&case, &grant, theirs.socket_type, turn.now);
    let flow = Flow::new(stream, (grant, candidate), role, &known.hello, theirs);
    let (from_app, from_link) = (known.input.freeze(), answer.freeze());
    open::begin(connection, flow, link, Early { first: Bytes::new(), from_app, from_link }, turn)
}
