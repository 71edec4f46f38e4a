//! An open connection among the others: what it borrows for a turn, and what follows from it.

use bytes::Bytes;

use super::flow::{Around, Flow, Outcome};
use super::judge::reason;
use super::trial::Comparing;
use super::{Connection, LINGER, Phase, Turn};
use crate::apps::Apps;
use crate::desk::Desk;
use crate::links::LinkId;
use crate::rates::Buckets;
use crate::services::Role;

/// What a flow begins with.
pub(crate) struct Early {
    /// For the other node, ahead of everything.
    pub(crate) first: Bytes,
    /// What the application has sent already.
    pub(crate) from_app: Bytes,
    /// What the other node has sent already.
    pub(crate) from_link: Bytes,
}

/// Lets a flow begin.
pub(crate) fn begin(
    mut connection: Connection,
    flow: Flow,
    link: LinkId,
    early: Early,
    turn: &mut Turn<'_, impl Apps>,
) -> Option<Connection> {
    let tally = turn.desk.tally(connection.role);
    tally.opened += 1;
    tally.open += 1;
    turn.desk.streams.insert((link, flow.stream), turn.app);
    connection.link = Some(link);
    connection.deadline = None;
    with_flow(connection, Box::new(flow), turn, |flow, around| {
        flow.begin(early.first, early.from_app, early.from_link, around)
    })
}

/// Lets a flow do something and draws the consequence; `None` where it is over.
pub(crate) fn with_flow<A: Apps>(
    mut connection: Connection,
    mut flow: Box<Flow>,
    turn: &mut Turn<'_, A>,
    act: impl FnOnce(&mut Flow, &mut Around<'_, A>) -> Outcome,
) -> Option<Connection> {
    let link = connection.link?;
    let Desk { neighbours, uses, offers, use_tallies, offer_tallies, buckets, staged, name, .. } =
        &mut *turn.desk;
    let neighbour = &mut neighbours[link.0 as usize];
    let (tally, service) = match connection.role {
        Role::Uses(place) => (&mut use_tallies[place.0], &uses[place.0].service),
        Role::Serves(place) => (&mut offer_tallies[place.0], &offers[place.0].service),
    };
    let comparing = staged.as_mut().map(|staged| Comparing {
        differences: &mut staged.differences,
        here: name,
        there: &neighbour.name,
        service,
    });
    let mut around = Around {
        app: turn.app,
        reachable: neighbour.reachable,
        link: &mut neighbour.link,
        tally,
        comparing,
        buckets: flow.grant.rate().map(|rate| {
            let shared = buckets.entry((connection.role, link, rate));
            shared.or_insert_with(|| Buckets::new(rate, turn.now))
        }),
        now: turn.now,
        apps: turn.apps,
    };
    let outcome = act(&mut flow, &mut around);
    note_refusal(&connection, &mut flow, link, turn);
    if outcome == Outcome::Alive {
        let waits = flow.waits_for_app();
        connection.deadline = waits.then(|| connection.deadline.unwrap_or(turn.now + LINGER));
        connection.phase = Phase::Open(flow);
        return Some(connection);
    }
    if let Outcome::Fault(fault) = outcome {
        turn.desk.fault(connection.role, fault);
    }
    close(&connection, &flow, outcome, turn);
    None
}

/// Takes a flow off the books.
pub(crate) fn close(connection: &Connection, flow: &Flow, outcome: Outcome, turn: &mut Turn<'_, impl Apps>) {
    let Some(link) = connection.link else { return };
    turn.desk.tally(connection.role).open -= 1;
    if outcome == Outcome::Done {
        turn.desk.streams.remove(&(link, flow.stream));
    } else {
        turn.desk.drop_stream(link, flow.stream);
    }
}

fn note_refusal(connection: &Connection, flow: &mut Flow, link: LinkId, turn: &mut Turn<'_, impl Apps>) {
    let Some(refused) = flow.refused.take() else { return };
    let reason = reason(&refused, &flow.grant);
    let here = turn.desk.name.clone();
    let from = if refused.from_here { here } else { turn.desk.name_of(link) };
    turn.desk.note(from, connection.role, refused.socket, refused.what, reason, turn.now);
}
