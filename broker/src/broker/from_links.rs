//! What comes from other nodes: datagrams, and what they mean for streams.

use std::time::Duration;

use bytes::BytesMut;
use lockgate_proto::device::LinkDatagram;
use lockgate_proto::now::Moment;

use super::{Broker, MAX_CONNECTIONS, MAX_SERVED};
use crate::apps::{AppId, Apps};
use crate::connections::flow::Outcome;
use crate::connections::opening::{Refusal, Request};
use crate::connections::serves::Agreed;
use crate::connections::{Connection, Phase, Turn, open, serves, uses};
use crate::links::{LinkId, News, Reading, Side, StreamKey};
use crate::services::Reach;

/// Streams of one node whose request has not arrived, at a time.
const MAX_ARRIVALS: usize = 64;
/// How long a stream's request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any request.
const MAX_REQUEST: usize = 64 * 1024;

/// A stream that the other node opened and has not said what for.
pub(super) struct Arrival {
    request: BytesMut,
    pub(super) until: Moment,
}

impl Broker {
    /// A datagram that the tunnel has authenticated came over `link`. Follow a batch of them with
    /// [`Broker::settle`].
    pub fn handle_datagram(&mut self, link: LinkId, datagram: &LinkDatagram<'_>, now: Moment) {
        let mut lost = Vec::new();
        self.desk.link(link).handle_datagram(datagram, now, &mut lost);
        self.lost.extend(lost.into_iter().map(|news| (link, news)));
    }

    /// Draws the consequences of everything that has come in.
    pub fn settle(&mut self, now: Moment, apps: &mut impl Apps) {
        for (link, news) in std::mem::take(&mut self.lost) {
            self.handle_news(link, news, now, apps);
        }
        for place in 0..self.desk.neighbours.len() {
            let link = super::link_id(place);
            let mut news = std::mem::take(&mut self.news);
            self.desk.link(link).drive(now, &mut news);
            for item in news.drain(..) {
                self.handle_news(link, item, now, apps);
            }
            self.news = news;
        }
    }

    fn handle_news(&mut self, link: LinkId, news: News, now: Moment, apps: &mut impl Apps) {
        match news {
            News::Ready => self.open_streams(now, apps),
            News::Opened => self.accept_streams(link, now, apps),
            News::Readable(stream) if self.arrivals.contains_key(&(link, stream)) => {
                self.read_request(link, stream, now, apps);
            }
            News::Readable(stream) | News::Writable(stream) => self.wake(link, stream, now, apps, readable),
            News::Stopped(stream) => self.wake(link, stream, now, apps, stopped),
            News::Lost(side) => self.lose(link, side, now, apps),
        }
    }

    fn wake<A: Apps>(
        &mut self,
        link: LinkId,
        stream: StreamKey,
        now: Moment,
        apps: &mut A,
        act: fn(Connection, &mut Turn<'_, A>) -> Option<Connection>,
    ) {
        if let Some(&app) = self.desk.streams.get(&(link, stream)) {
            self.with(app, now, apps, act);
        }
    }

    /// Connections that were waiting for a stream try again.
    fn open_streams(&mut self, now: Moment, apps: &mut impl Apps) {
        for app in std::mem::take(&mut self.desk.hopeful) {
            self.with(app, now, apps, |connection, turn| {
                let (connection, phase) = connection.take_phase();
                let Phase::Seeking(mut seeking) = phase else {
                    return Some(Connection { phase, ..connection });
                };
                uses::request(&mut seeking, turn);
                Some(Connection { phase: Phase::Seeking(seeking), ..connection })
            });
        }
    }

    fn accept_streams(&mut self, link: LinkId, now: Moment, apps: &mut impl Apps) {
        while let Some(stream) = self.desk.link(link).accept() {
            let waiting = self.arrivals.keys().filter(|(other, _)| *other == link).count();
            if self.stopping || waiting >= MAX_ARRIVALS {
                self.desk.link(link).reset(stream);
                continue;
            }
            let arrival = Arrival { request: BytesMut::new(), until: now + PATIENCE };
            self.arrivals.insert((link, stream), arrival);
            self.read_request(link, stream, now, apps);
        }
    }

    fn read_request(&mut self, link: LinkId, stream: StreamKey, now: Moment, apps: &mut impl Apps) {
        let Some(mut arrival) = self.arrivals.remove(&(link, stream)) else { return };
        let reading = self.desk.link(link).read(stream, &mut |bytes| {
            arrival.request.extend_from_slice(&bytes);
            arrival.request.len() <= MAX_REQUEST
        });
        match Request::decode(&mut arrival.request) {
            Ok(Some(request)) => {
                let early = arrival.request.freeze();
                match serves::judge(request, link, stream, early, now, &mut self.desk) {
                    Ok(agreed) => self.serve(agreed, now, apps),
                    Err(refusal) => serves::refuse(link, stream, refusal, &mut self.desk),
                }
            }
            Ok(None) if reading == Reading::Empty => {
                self.arrivals.insert((link, stream), arrival);
            }
            // Whoever asked has given up, or the link is gone: nobody's fault.
            Ok(None) if reading == Reading::Reset => self.desk.link(link).reset(stream),
            Ok(None) | Err(_) => {
                *self.desk.faults.entry("stream_request").or_default() += 1;
                self.desk.link(link).reset(stream);
            }
        }
    }

    /// Finds the application for a request that this node agrees to.
    fn serve<A: Apps>(&mut self, agreed: Agreed, now: Moment, apps: &mut A) {
        let place = agreed.offer.0;
        let served = self.desk.streams.keys().filter(|(link, _)| *link == agreed.link).count();
        if self.connections.len() >= MAX_CONNECTIONS || served >= MAX_SERVED {
            serves::refuse(agreed.link, agreed.stream, Refusal::Unreachable, &mut self.desk);
            return;
        }
        match self.desk.offers[place].reach {
            Reach::Dial => {
                let app = self.new_app();
                let mut turn = Turn { app, desk: &mut self.desk, now, apps };
                let connection = serves::dial(agreed, &mut turn);
                self.keep(app, connection);
            }
            Reach::Listen => {
                let Some(app) = self.waiting[place].pop_first() else {
                    serves::refuse(agreed.link, agreed.stream, Refusal::Unreachable, &mut self.desk);
                    return;
                };
                self.with(app, now, apps, |connection, turn| {
                    let (connection, phase) = connection.take_phase();
                    let Phase::Waiting(known) = phase else {
                        serves::refuse(agreed.link, agreed.stream, Refusal::Unreachable, turn.desk);
                        return Some(Connection { phase, ..connection });
                    };
                    serves::pair(connection, *known, agreed, turn)
                });
            }
        }
    }

    /// Every stream of one side of a link is gone.
    fn lose(&mut self, link: LinkId, side: Side, now: Moment, apps: &mut impl Apps) {
        self.arrivals.retain(|(other, stream), _| *other != link || stream.side() != side);
        let affected =
            self.desk.streams.iter().filter(|((other, stream), _)| *other == link && stream.side() == side);
        let affected: Vec<AppId> = affected.map(|(_, app)| *app).collect();
        for app in affected {
            self.with(app, now, apps, |connection, turn| {
                let (connection, phase) = connection.take_phase();
                match phase {
                    Phase::Seeking(seeking) => uses::overdue(connection, seeking, turn),
                    Phase::Open(flow) => {
                        open::close(&connection, &flow, Outcome::Gone, turn);
                        None
                    }
                    Phase::Meeting(meeting) => {
                        meeting.failed(turn);
                        None
                    }
                    phase => Some(Connection { phase, ..connection }),
                }
            });
        }
        if side == Side::Uses {
            // Whoever waited for the lost connection asks for a new one.
            self.open_streams(now, apps);
        }
    }

    pub(super) fn forget_late_arrivals(&mut self, now: Moment) {
        let desk = &mut self.desk;
        self.arrivals.retain(|(link, stream), arrival| {
            let alive = arrival.until > now;
            if !alive {
                desk.link(*link).reset(*stream);
            }
            alive
        });
    }
}

/// Bytes or credit came for a stream.
fn readable<A: Apps>(connection: Connection, turn: &mut Turn<'_, A>) -> Option<Connection> {
    let (connection, phase) = connection.take_phase();
    match phase {
        Phase::Open(flow) => open::with_flow(connection, flow, turn, |flow, around| flow.turn(around)),
        Phase::Seeking(seeking) => uses::answered(connection, seeking, turn),
        phase => Some(Connection { phase, ..connection }),
    }
}

/// The other node wants no more of a stream.
fn stopped<A: Apps>(connection: Connection, turn: &mut Turn<'_, A>) -> Option<Connection> {
    let (connection, phase) = connection.take_phase();
    match phase {
        Phase::Open(flow) => open::with_flow(connection, flow, turn, |flow, around| flow.stopped(around)),
        Phase::Seeking(seeking) => uses::answered(connection, seeking, turn),
        // The application elsewhere has left before ours was there.
        Phase::Meeting(meeting) => {
            meeting.failed(turn);
            None
        }
        phase => Some(Connection { phase, ..connection }),
    }
}
