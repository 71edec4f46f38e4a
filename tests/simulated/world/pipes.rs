//! Local connections: a pipe between a node and an application, bounded both ways, as the kernel keeps them.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use lockgate_broker::apps::{AppId, Apps};
use lockgate_broker::services::OfferId;

/// A socket's buffer, each way.
pub(crate) const BUFFER: usize = 64 * 1024;

/// A connection between a node and an application.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) to_app: BytesMut,
    pub(crate) to_node: BytesMut,
    /// The node wants bytes.
    pub(crate) wanted: bool,
    /// A write of the node found no room.
    pub(crate) blocked: bool,
    /// The node writes no more.
    pub(crate) finished: bool,
    /// The node has forgotten it.
    pub(crate) closed: bool,
    /// The application writes no more.
    pub(crate) ended: bool,
    pub(crate) told_end: bool,
    /// The application has vanished.
    pub(crate) gone: bool,
    /// Bytes that the node took from the application, and gave to it.
    pub(crate) taken: u64,
    pub(crate) given: u64,
}

/// As the node and the application hold it.
pub(crate) type Shared = Rc<RefCell<Pipe>>;

impl Pipe {
    pub(crate) fn shared() -> Shared {
        Rc::new(RefCell::new(Self {
            to_app: BytesMut::new(),
            to_node: BytesMut::new(),
            wanted: true,
            blocked: false,
            finished: false,
            closed: false,
            ended: false,
            told_end: false,
            gone: false,
            taken: 0,
            given: 0,
        }))
    }

    fn has_news(&self) -> bool {
        let readable =
            self.wanted && (self.gone || !self.to_node.is_empty() || (self.ended && !self.told_end));
        readable || (self.blocked && (self.gone || self.to_app.len() < BUFFER))
    }
}

/// What a pipe has to tell the node.
pub(crate) enum Told {
    Data(Bytes),
    Writable,
    Ended,
    Gone,
}

/// One node's local connections.
#[derive(Default)]
pub(crate) struct Pipes {
    pub(crate) pipes: BTreeMap<AppId, Shared>,
    /// Dials that the world has not seen yet.
    pub(crate) dials: VecDeque<(AppId, OfferId)>,
}

impl Pipes {
    pub(crate) fn with_news(&self) -> Vec<AppId> {
        let news = self.pipes.iter().filter(|(_, pipe)| pipe.borrow().has_news());
        news.map(|(app, _)| *app).collect()
    }

    /// The next thing that a pipe has to tell; data at most `most` bytes at a time.
    pub(crate) fn told(&mut self, app: AppId, most: usize) -> Option<Told> {
        let mut pipe = self.pipes.get(&app)?.borrow_mut();
        if pipe.blocked && (pipe.gone || pipe.to_app.len() < BUFFER) {
            pipe.blocked = false;
            return Some(Told::Writable);
        }
        if !pipe.wanted {
            return None;
        }
        if pipe.gone {
            drop(pipe);
            self.pipes.remove(&app);
            return Some(Told::Gone);
        }
        if !pipe.to_node.is_empty() {
            let length = pipe.to_node.len().min(most);
            pipe.taken += length as u64;
            return Some(Told::Data(pipe.to_node.split_to(length).freeze()));
        }
        if pipe.ended && !pipe.told_end {
            pipe.told_end = true;
            return Some(Told::Ended);
        }
        None
    }
}

impl Apps for Pipes {
    fn dial(&mut self, app: AppId, offer: OfferId) {
        self.dials.push_back((app, offer));
    }

    fn write(&mut self, app: AppId, chunks: &[Bytes]) -> Option<usize> {
        let mut pipe = self.pipes.get(&app)?.borrow_mut();
        assert!(!pipe.finished, "written after the end");
        if pipe.gone {
            return None;
        }
        let offered: usize = chunks.iter().map(Bytes::len).sum();
        let mut written = 0;
        for chunk in chunks {
            let length = chunk.remaining().min(BUFFER - pipe.to_app.len());
            pipe.to_app.extend_from_slice(&chunk[..length]);
            written += length;
        }
        pipe.given += written as u64;
        pipe.blocked |= written < offered;
        Some(written)
    }

    fn set_reading(&mut self, app: AppId, reading: bool) {
        if let Some(pipe) = self.pipes.get(&app) {
            pipe.borrow_mut().wanted = reading;
        }
    }

    fn finish(&mut self, app: AppId) {
        if let Some(pipe) = self.pipes.get(&app) {
            pipe.borrow_mut().finished = true;
        }
    }

    fn close(&mut self, app: AppId) {
        self.dials.retain(|(other, _)| *other != app);
        if let Some(pipe) = self.pipes.remove(&app) {
            pipe.borrow_mut().closed = true;
        }
    }
}
