//! Messages as text: what is typed, and what is printed.

use std::fmt::Write as _;
use std::io::{BufRead, stdin};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use zeromq::ZmqMessage;

use crate::cli::Source;
use crate::commands::Failure;

/// Between the parts of a message on one line.
const SEPARATOR: &str = " | ";
/// Lines read ahead of the socket.
const LINES_AHEAD: usize = 256;
/// What a generated message is made of.
const FILLER: u8 = b'x';

/// The messages to send, one after the other.
pub(super) struct Messages {
    supply: Supply,
    topic: Option<Bytes>,
    left: Option<u64>,
}

enum Supply {
    Given { messages: Vec<Vec<Bytes>>, next: usize },
    Lines(mpsc::Receiver<std::io::Result<String>>),
}

impl Messages {
    /// As the command line asks: the arguments, a size, or the lines of stdin.
    pub(super) fn new(source: &Source, topic: Option<&str>) -> Self {
        let given = |messages: Vec<Vec<Bytes>>| {
            let once = messages.len() as u64;
            (Supply::Given { messages, next: 0 }, Some(source.count.unwrap_or(once)))
        };
        let bytes = |text: &String| Bytes::copy_from_slice(text.as_bytes());
        let (supply, count) = match (source.size, source.messages.is_empty()) {
            (Some(size), _) => given(vec![vec![Bytes::from(vec![FILLER; size])]]),
            (None, true) => (Supply::Lines(read_lines()), source.count),
            (None, false) if source.parts => given(vec![source.messages.iter().map(bytes).collect()]),
            (None, false) => given(source.messages.iter().map(|text| vec![bytes(text)]).collect()),
        };
        Self {
            supply,
            topic: topic.map(|text| Bytes::copy_from_slice(text.as_bytes())),
            left: count.filter(|&n| n > 0),
        }
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<ZmqMessage>, Failure> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let Some(parts) = self.supply.next().await? else {
            return Ok(None);
        };
        self.left = self.left.map(|left| left - 1);
        let mut message = ZmqMessage::try_from(parts).expect("every supply gives at least one part");
        if let Some(topic) = &self.topic {
            message.push_front(topic.clone());
        }
        Ok(Some(message))
    }
}

impl Supply {
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>, Failure> {
        match self {
            Self::Given { messages, next } => {
                let message = messages[*next % messages.len()].clone();
                *next = (*next + 1) % messages.len();
                Ok(Some(message))
            }
            Self::Lines(lines) => match lines.recv().await {
                Some(Ok(line)) => Ok(Some(vec![Bytes::from(line)])),
                Some(Err(error)) => Err(Failure::failed(
                    format!("stdin: {error}"),
                    "send lines of UTF-8 text, or give messages as arguments",
                )),
                None => Ok(None),
            },
        }
    }
}

/// Stdin blocks, so it has a thread of its own; the thread ends with stdin or with the process.
fn read_lines() -> mpsc::Receiver<std::io::Result<String>> {
    let (ahead, lines) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in stdin().lock().lines() {
            let ends = line.is_err();
            if ahead.blocking_send(line).is_err() || ends {
                return;
            }
        }
    });
    lines
}

/// A message as one line.
pub(super) fn render(message: &ZmqMessage, json: bool) -> String {
    if json {
        return as_json(message).to_string();
    }
    let mut line = String::new();
    for (index, part) in message.iter().enumerate() {
        if index > 0 {
            line.push_str(SEPARATOR);
        }
        show(part, &mut line);
    }
    line
}

/// Text as it is; what is no text, or would break the line or the terminal, as escapes.
fn show(part: &[u8], line: &mut String) {
    for chunk in part.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\t' {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
        for byte in chunk.invalid() {
            write!(line, "\\x{byte:02x}").expect("a String takes everything");
        }
    }
}

fn as_json(message: &ZmqMessage) -> Value {
    let part = |part: &Bytes| match std::str::from_utf8(part) {
        Ok(text) => Value::from(text),
        Err(_) => {
            json!({ "hex": part.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
    };
    json!({
        "parts": message.iter().map(part).collect::<Vec<_>>(),
        "bytes": message.iter().map(Bytes::len).sum::<usize>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: &[&'static [u8]]) -> ZmqMessage {
        ZmqMessage::try_from(parts.iter().map(|part| Bytes::from_static(part)).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        for (parts, line) in [
            (&[b"temp.1".as_slice(), b"21.5"][..], "temp.1 | 21.5"),
            (&[b"a\nb\x1b[31m"], "a\\nb\\u{1b}[31m"),
            (&[b"\xff\xfeok"], "\\xff\\xfeok"),
            (&[b"", b"x"], " | x"),
        ] {
            assert_eq!(render(&message(parts), false), line);
        }
    }

    #[test]
    fn json_keeps_bytes_that_are_no_text() {
        assert_eq!(render(&message(&[b"a", b"\xff"]), true), r#"{"bytes":2,"parts":["a",{"hex":"ff"}]}"#);
    }
}
