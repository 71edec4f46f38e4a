//! Where a request ends in what a client has sent so far.

use super::{Errno, Flaw, REQUEST};

/// Follows the bytes of one request as they arrive; looks at each of them once.
#[derive(Debug, Default)]
pub struct Framing {
    seen: usize,
    operation_known: bool,
}

/// What has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Not all of a request yet.
    Partial,
    /// The first so many bytes are a request, its empty line included.
    Whole(usize),
    /// This can never become a request: answer, and close.
    Broken(Flaw),
}

impl Framing {
    /// Looks at all bytes since the end of the request before; each call gives what the last one did, and more.
    pub fn look(&mut self, bytes: &[u8]) -> Frame {
        if !self.operation_known {
            match operation(bytes) {
                Frame::Partial => return Frame::Partial,
                Frame::Whole(length) => (self.operation_known, self.seen) = (true, length),
                broken @ Frame::Broken(_) => return broken,
            }
        }
        // The line end that `seen` stands behind may be the first of the two.
        let end = empty_line(bytes, self.seen - 1);
        self.seen = bytes.len();
        match end {
            Some(end) if end <= REQUEST => Frame::Whole(end),
            None if bytes.len() < REQUEST => Frame::Partial,
            _ => broken(Errno::Io, "a request is at most 64 MiB"),
        }
    }
}

/// Where the first empty line ends that follows a line end at `from` or later.
fn empty_line(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let line_end = from + bytes[from..].iter().position(|byte| *byte == b'\n')?;
        match bytes.get(line_end + 1)? {
            b'\n' => return Some(line_end + 2),
            _ => from = line_end + 2,
        }
    }
}

/// Whether the first line is an operation, and its length with its end.
fn operation(bytes: &[u8]) -> Frame {
    const OPERATIONS: [&[u8]; 2] = [b"get=1\n", b"set=1\n"];
    if let Some(operation) = OPERATIONS.iter().find(|operation| bytes.starts_with(operation)) {
        return Frame::Whole(operation.len());
    }
    if OPERATIONS.iter().any(|operation| operation.starts_with(bytes)) {
        return Frame::Partial;
    }
    broken(Errno::Protocol, "a request begins with get=1 or set=1")
}

fn broken(errno: Errno, reason: &'static str) -> Frame {
    Frame::Broken(Flaw { errno, line: 1, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_at_its_empty_line_however_it_arrives() {
        for (text, length) in [
            ("get=1\n\n", 7),
            ("set=1\n\n", 7),
            ("set=1\nfwmark=1\n\n", 16),
            ("get=1\nx\n\n", 9),
            ("get=1\n\nget=1\n\n", 7),
            ("set=1\n\n\n", 7),
        ] {
            let bytes = text.as_bytes();
            assert_eq!(Framing::default().look(bytes), Frame::Whole(length), "{text:?}");
            let mut framing = Framing::default();
            for end in 0..length {
                assert_eq!(framing.look(&bytes[..end]), Frame::Partial, "{text:?} to {end}");
            }
            assert_eq!(framing.look(&bytes[..length]), Frame::Whole(length), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_operation_is_told_at_its_first_wrong_byte() {
        for text in
            ["\n", "x", "get=2", "get= ", "GET", "set=1\r", "sett", "get=1 ", "{\"command\":\"status\"}\n"]
        {
            let Frame::Broken(flaw) = Framing::default().look(text.as_bytes()) else { panic!("{text:?}") };
            assert_eq!((flaw.errno, flaw.line), (Errno::Protocol, 1), "{text:?}");
        }
    }

    #[test]
    fn a_request_has_its_limit() {
        let mut bytes = b"set=1\n".to_vec();
        bytes.resize(REQUEST - 1, b'x');
        let mut framing = Framing::default();
        assert_eq!(framing.look(&bytes), Frame::Partial);
        bytes.push(b'x');
        assert!(matches!(framing.look(&bytes), Frame::Broken(Flaw { errno: Errno::Io, .. })));
        bytes[REQUEST - 2..].copy_from_slice(b"\n\n");
        assert_eq!(Framing::default().look(&bytes), Frame::Whole(REQUEST));
    }
}
