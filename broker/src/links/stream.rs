//! One stream of a link: reading, writing and the ways to end it.

use bytes::Bytes;
use quinn_proto::{ReadError, StreamId, VarInt};

use super::{Link, Side};

/// Names a stream of a link, and no stream of a later connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKey {
    pub(super) side: Side,
    pub(super) generation: u32,
    pub(super) id: StreamId,
}

impl StreamKey {
    /// Whose connection it belongs to.
    pub const fn side(self) -> Side {
        self.side
    }
}

/// What a read left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// `take` asked to stop; there may be more.
    More,
    /// Nothing more for now.
    Empty,
    /// The other node has sent everything.
    Finished,
    /// The other node gave the stream up, or it is gone.
    Reset,
}

impl Link {
    /// Reads chunks in order and hands each to `take`, until that answers that it takes no more.
    pub fn read(&mut self, key: StreamKey, take: &mut impl FnMut(Bytes) -> bool) -> Reading {
        let Some(half) = self.half(key) else { return Reading::Reset };
        let mut stream = half.connection.recv_stream(key.id);
        let Ok(mut chunks) = stream.read(true) else { return Reading::Reset };
        let outcome = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    if !take(chunk.bytes) {
                        break Reading::More;
                    }
                }
                Ok(None) => break Reading::Finished,
                Err(ReadError::Blocked) => break Reading::Empty,
                Err(ReadError::Reset(_)) => break Reading::Reset,
            }
        };
        // Credit goes out with the next transmission, which follows every turn.
        let _ = chunks.finalize();
        outcome
    }

    /// Writes from the front of `chunks`, which are shortened by what was taken, until all is taken or the
    /// stream is full ([`super::News::Writable`] follows then); the number of whole chunks taken, or `None`
    /// where the stream takes nothing any more.
    pub fn write(&mut self, key: StreamKey, chunks: &mut [Bytes]) -> Option<usize> {
        let connection = &mut self.half(key)?.connection;
        let mut taken = 0;
        // A partial write announces nothing: only being told that it is full makes the stream tell of room.
        while taken < chunks.len() {
            match connection.send_stream(key.id).write_chunks(&mut chunks[taken..]) {
                Ok(written) => taken += written.chunks,
                Err(quinn_proto::WriteError::Blocked) => break,
                Err(_) => return None,
            }
        }
        Some(taken)
    }

    /// Ends our direction after what was written.
    pub fn finish(&mut self, key: StreamKey) {
        if let Some(half) = self.half(key) {
            // An error means that the stream has ended already.
            if half.connection.send_stream(key.id).finish().is_ok() {
                self.ending.insert(key);
            }
        }
    }

    /// Wants nothing more from the other node on a stream that we have ended ourselves.
    pub fn ignore(&mut self, key: StreamKey) {
        if let Some(half) = self.half(key) {
            // An error means that everything has been read already.
            let _ = half.connection.recv_stream(key.id).stop(VarInt::from_u32(0));
        }
    }

    /// Gives both directions up.
    pub fn reset(&mut self, key: StreamKey) {
        self.ending.remove(&key);
        if let Some(half) = self.half(key) {
            // Errors mean that the direction has ended already.
            let _ = half.connection.send_stream(key.id).reset(VarInt::from_u32(0));
            let _ = half.connection.recv_stream(key.id).stop(VarInt::from_u32(0));
        }
    }
}
