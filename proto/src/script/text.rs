//! Free text of our dialect: names, topics, identities.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::names::is_reserved;
use super::tokens::OUR_OPENERS;

/// The bytes that a word stands for; `None` where it is none of ours.
pub(super) fn unescape(word: &str) -> Option<Vec<u8>> {
    if word == "\"\"" {
        return Some(Vec::new());
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte == b'\\' {
            let [b'x', high, low, behind @ ..] = rest else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(*high)? << 4 | digit(*low)?);
            rest = behind;
        } else if is_plain(*byte) {
            bytes.push(*byte);
        } else {
            return None;
        }
    }
    Some(bytes)
}

/// The same as text.
pub(super) fn unescape_text(word: &str) -> Option<String> {
    String::from_utf8(unescape(word)?).ok()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'\\' | b',' | b';' | b'(' | b')' | b'#' | b'@')
}

/// Bytes as a word.
pub(super) struct Escaped<'b>(pub(super) &'b [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("\"\"");
        }
        let is_word = core::str::from_utf8(self.0).is_ok_and(|text| is_taken(text) || text == "\"\"");
        for (at, byte) in self.0.iter().enumerate() {
            // A word of the language stands for itself only behind its first letter.
            if is_plain(*byte) && !(at == 0 && (is_word || *byte == b'$')) {
                f.write_char(char::from(*byte))?;
            } else {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Whether free text must not be written so, since a reader could not tell it from a word of the language.
pub(super) fn is_taken(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    is_reserved(&lower) || OUR_OPENERS.contains(&lower.as_str()) || OUR_WORDS.contains(&lower.as_str())
}

const OUR_WORDS: [&str; 6] = ["as", "zmq", "zmtp", "established", "from", "to"];
