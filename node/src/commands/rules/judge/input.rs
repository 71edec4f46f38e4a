//! What is judged, read as it comes and never more of it than a line.

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use super::super::super::Failure;
use crate::machine::files;

/// The longest line, in bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// A file or stdin.
pub(super) struct Input {
    /// Its first bytes, at most four; they are read again.
    pub(super) start: Vec<u8>,
    name: String,
    reader: BufReader<Box<dyn Read>>,
    line: Vec<u8>,
}

/// What came next.
pub(super) enum Line<'a> {
    /// A line without its end.
    Text(&'a [u8]),
    /// One that is longer than [`LONGEST`]; it was passed over.
    TooLong,
    /// Nothing more.
    End,
}

impl Input {
    /// Opens a file; `-` or none is stdin.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let (name, from): (_, Box<dyn Read>) = match path.filter(|path| *path != Path::new("-")) {
            None => ("stdin".to_owned(), Box::new(io::stdin())),
            Some(path) => {
                let file = files::stream(path)
                    .map_err(|error| Failure::failed(error.problem(path), error.mend(path)))?;
                (path.display().to_string(), Box::new(file))
            }
        };
        Self::new(name, from)
    }

    /// Of this reader.
    pub(super) fn new(name: String, mut from: Box<dyn Read>) -> Result<Self, Failure> {
        let mut start = Vec::new();
        from.by_ref().take(4).read_to_end(&mut start).map_err(|error| unreadable(&name, &error))?;
        let reader: Box<dyn Read> = Box::new(Cursor::new(start.clone()).chain(from));
        Ok(Self { start, name, reader: BufReader::with_capacity(1 << 16, reader), line: Vec::new() })
    }

    /// The next line.
    pub(super) fn line(&mut self) -> Result<Line<'_>, Failure> {
        self.line.clear();
        let mut length = 0;
        loop {
            let read = self.reader.fill_buf().map_err(|error| unreadable(&self.name, &error))?;
            if read.is_empty() && length == 0 {
                return Ok(Line::End);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = end.unwrap_or(read.len());
            let is_last = end.is_some() || read.is_empty();
            length += part;
            if length <= LONGEST {
                self.line.extend_from_slice(&read[..part]);
            }
            self.reader.consume(part + usize::from(end.is_some()));
            if is_last {
                return Ok(if length > LONGEST { Line::TooLong } else { Line::Text(&self.line) });
            }
        }
    }

    /// Whether reading on would not wait.
    pub(super) fn has_more_at_hand(&self) -> bool {
        !self.reader.buffer().is_empty()
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reader.read(into)
    }
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::failed(format!("{name}: {error}"), "check the path and the disk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_one_that_is_too_long_costs_only_itself() {
        let long = vec![b'x'; LONGEST + 1];
        let text = [b"ab\n\n".as_slice(), &long[1..], b"\n", &long, b"\nlast"].concat();
        let mut input = Input::new("test".into(), Box::new(Cursor::new(text))).unwrap();
        assert_eq!(input.start, b"ab\n\n");
        let mut seen = Vec::new();
        loop {
            match input.line().unwrap() {
                Line::End => break,
                Line::TooLong => seen.push(usize::MAX),
                Line::Text(text) => seen.push(text.len()),
            }
        }
        assert_eq!(seen, [2, 0, LONGEST, usize::MAX, 4]);
    }
}
