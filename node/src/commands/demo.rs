//! `demo`: two nodes and their applications in one process: the main job at work, without privileges or files.

mod apps;
mod ledger;
mod message;
mod outcome;
mod stage;
mod view;
mod wiretap;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use lockgate_proto::now::Moment;

use super::{Failure, out_of, print};
use crate::cli::{Common, Demo};
use crate::machine::clock::Clock;
use crate::machine::host;
use crate::machine::poller::Poller;
use crate::machine::signals::Signals;
use apps::{Curtain, Hosts, RAW, Role, SERVICES, TOPICS, Troupe};
use ledger::Ledger;
use message::Canary;
use outcome::{Outcome, Refusal};
use stage::{Running, Side};
use view::View;
use wiretap::Wiretap;

/// How long the ways may take to open: a handshake, and libzmq's connections.
const OPENING: Duration = Duration::from_secs(10);
/// How long what was sent may take to arrive once nothing more is sent.
const DELIVERY: Duration = Duration::from_secs(5);
/// How often the view changes.
const REFRESH: Duration = Duration::from_secs(1);
/// How often to look while something must happen soon.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the demo until its time is over or a signal ends it; an error says what did not hold.
pub(super) fn run(options: &Demo, common: &Common) -> Result<(), Failure> {
    host::raise_descriptor_limit();
    let poller = Poller::new().map_err(out_of)?;
    let signals = Signals::catch(poller.waker()).map_err(out_of)?;
    let mut show = Show { clock: Clock::start(), poller, signals };
    let mut play = Play::start(show.clock)?;
    let mut view = View::new(common.json, io::stdout().is_terminal());
    // Whatever comes of watching, everything that was started is ended.
    let watched = show.watch(&play, options.seconds, &mut view);
    let delivered = show.await_delivery(&mut play);
    let outcome = play.end();
    watched.and(delivered)?;
    view.end(&outcome)?;
    let faults = outcome.faults();
    if faults.is_empty() {
        return Ok(());
    }
    let hint = "a very busy machine can cause it; --log info shows what the nodes say";
    Err(Failure::failed(format!("not everything held: {}", faults.join("; ")), hint))
}

/// Whoever watches: the time, and the operator's signals.
struct Show {
    clock: Clock,
    poller: Poller,
    signals: Signals,
}

impl Show {
    /// Shows the play until `seconds` have passed since every way stood, a signal came or a node is gone.
    fn watch(&mut self, play: &Play, seconds: Option<u64>, view: &mut View) -> Result<(), Failure> {
        view.begin(play)?;
        let latest = self.clock.now().instant + OPENING;
        while !play.stands() {
            if self.pause_until(self.clock.now().instant + LOOK)? || self.clock.now().instant > latest {
                return Ok(());
            }
        }
        let began = self.clock.now().instant;
        let end = seconds.map(|seconds| began + Duration::from_secs(seconds));
        let mut next = began + REFRESH;
        loop {
            let ended = self.pause_until(end.map_or(next, |end| next.min(end)))?;
            let now = self.clock.now().instant;
            if now >= next || ended {
                view.refresh(&play.look(), now.since(began))?;
                next = next + REFRESH;
            }
            if ended || end.is_some_and(|end| now >= end) || play.is_broken() {
                return Ok(());
            }
        }
    }

    /// Waits until `moment`; whether a signal says to stop.
    fn pause_until(&mut self, moment: Moment) -> Result<bool, Failure> {
        loop {
            // A hangup too: there are no files to read again, and the terminal is gone.
            if self.signals.take().is_some() {
                return Ok(true);
            }
            let left = moment.since(self.clock.now().instant);
            if left.is_zero() {
                return Ok(false);
            }
            self.poller.wait(Some(left)).map_err(out_of)?;
        }
    }

    /// Ends the sending, and gives what is under way the time to arrive. A signal cuts it short.
    fn await_delivery(&mut self, play: &mut Play) -> Result<(), Failure> {
        play.end_sending();
        let latest = self.clock.now().instant + DELIVERY;
        while !play.is_delivered() && self.clock.now().instant < latest {
            if self.pause_until(self.clock.now().instant + LOOK)? {
                break;
            }
        }
        Ok(())
    }
}

/// Everything that runs: nodes, applications, and what is known about them.
struct Play {
    nodes: [Running; 2],
    troupe: Troupe,
    roles: [Role; 3],
    curtain: Arc<Curtain>,
    wiretap: Arc<Wiretap>,
    troubles: Vec<String>,
}

impl Play {
    fn start(clock: Clock) -> Result<Self, Failure> {
        let canary = Canary::new();
        let topics = TOPICS.into_iter().chain([RAW]).map(|topic| topic.as_bytes().to_vec());
        let words = topics.chain([canary.as_bytes().to_vec()]).collect();
        let (wiretap, curtain) = (Arc::new(Wiretap::new(words)), Arc::<Curtain>::default());
        let roles = [(); 3].map(|()| Role {
            clock,
            canary: canary.clone(),
            wiretap: Arc::clone(&wiretap),
            ledger: Arc::new(Ledger::new()),
            curtain: Arc::clone(&curtain),
        });
        let context = zmq::Context::new();
        let hosts = Hosts::bind(&context)?;
        let nodes = stage::raise(sides(&hosts), clock, &wiretap)?;
        let troupe = Troupe::start(&context, hosts, [&nodes[0], &nodes[1]], &roles)?;
        Ok(Self { nodes, troupe, roles, curtain, wiretap, troubles: Vec::new() })
    }

    /// Whether every service has carried a message.
    fn stands(&self) -> bool {
        self.roles.iter().all(|role| role.ledger.stands())
    }

    /// Whether a node has ended by itself.
    fn is_broken(&self) -> bool {
        self.nodes.iter().any(Running::is_gone)
    }

    fn is_delivered(&self) -> bool {
        self.roles.iter().map(|role| role.ledger.figures()).all(|figures| figures.delivered >= figures.sent)
    }

    fn end_sending(&mut self) {
        self.curtain.end_sending();
        self.troubles.extend(self.troupe.join_senders());
    }

    /// How things are.
    fn look(&self) -> Outcome {
        let [telemetry, command, jobs] = &self.roles;
        let [north, south] = &self.nodes;
        let (mut denied, mut sent) = (Vec::new(), 0);
        for (name, status) in [north, south].map(|node| (node.name, node.status().unwrap_or_default())) {
            denied.extend(Refusal::all_in(name, &status));
            sent += status["udp"]["datagrams"].as_u64().unwrap_or(0);
        }
        Outcome {
            services: [telemetry, command, jobs].map(|role| role.ledger.figures()),
            denied,
            sent,
            // Read after what the nodes have sent: the wiretap sees a datagram before it leaves.
            findings: self.wiretap.findings(),
            troubles: self.troubles.clone(),
        }
    }

    /// Ends the applications, then the nodes.
    fn end(mut self) -> Outcome {
        self.curtain.fall();
        self.troubles.extend(self.troupe.join_receivers());
        let mut outcome = self.look();
        outcome.troubles.extend(self.nodes.into_iter().filter_map(Running::stop));
        // What the nodes sent at the very end counts too.
        outcome.findings = self.wiretap.findings();
        outcome
    }
}

/// The gateway in the north has readings and takes commands; the historian in the south takes jobs.
fn sides(hosts: &Hosts) -> [Side; 2] {
    let [telemetry, command, jobs] = SERVICES;
    let [publisher, responder, puller] = hosts.endpoints.clone();
    [
        Side { name: "north", offers: vec![(telemetry, publisher), (command, responder)], uses: vec![jobs] },
        Side { name: "south", offers: vec![(jobs, puller)], uses: vec![telemetry, command] },
    ]
}
