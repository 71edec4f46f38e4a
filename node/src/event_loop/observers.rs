//! Those who look at the copies that came here: `lockgate observe`.

use std::sync::Arc;

use lockgate_proto::now::Now;
use serde_json::json;

use super::EventLoop;
use crate::control::{ControlRequest, Fed, Feed, Line};
use crate::node::Node;

/// Observers at a time.
const OBSERVERS: usize = 4;
/// What a line takes beside the packet's bytes, about.
const LINE: usize = 200;

/// All that look.
#[derive(Default)]
pub(super) struct Observers(Vec<Observer>);

struct Observer {
    feed: Feed,
    /// Packets that found no room.
    lost: u64,
    /// As many of them as it knows of.
    told: u64,
}

impl EventLoop {
    /// Lets a client look from now on.
    pub(super) fn observe(&mut self, request: ControlRequest, now: Now) {
        let ControlRequest { reply, feed, .. } = request;
        self.observers.forget(&mut self.node);
        let answer = match feed {
            None => json!({ "error": "this command needs a connection to the control socket" }),
            Some(_) if self.observers.0.len() >= OBSERVERS => {
                json!({ "error": format!("{OBSERVERS} observe already, and there is no place for more") })
            }
            Some(feed) => {
                self.observers.0.push(Observer { feed, lost: 0, told: 0 });
                self.node.observed().set_observers(self.observers.0.len());
                json!({ "observing": self.node.name(), "since_us": now.wall.as_micros() as u64 })
            }
        };
        // A client that has gone away needs no answer.
        let _ = reply.send(answer);
    }
}

impl Observers {
    /// Hands out what has come.
    pub(super) fn show(&mut self, node: &mut Node) {
        if self.0.is_empty() {
            return;
        }
        self.forget(node);
        while let Some(seen) = node.observed().take() {
            let size = LINE + 2 * seen.bytes.len();
            let line: Line = seen;
            for observer in &mut self.0 {
                if observer.show(&line, size) == Fed::Full {
                    node.observed().missed();
                }
            }
        }
    }

    /// Those who have gone.
    fn forget(&mut self, node: &mut Node) {
        self.0.retain(|observer| !observer.feed.is_gone());
        node.observed().set_observers(self.0.len());
    }
}

impl Observer {
    /// Gives it a packet, and before it how many it has missed.
    fn show(&mut self, line: &Line, size: usize) -> Fed {
        if self.lost > self.told {
            let gap: Line = Arc::new(json!({ "lost": self.lost }));
            if self.feed.push(gap, LINE) == Fed::Taken {
                self.told = self.lost;
            }
        }
        let fed = self.feed.push(Arc::clone(line), size);
        self.lost += u64::from(fed == Fed::Full);
        fed
    }
}
