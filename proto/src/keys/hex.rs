//! The hexadecimal form of keys, which WireGuard's configuration protocol speaks: 64 digits for 32 bytes.
//!
//! No table is looked up and no branch depends on a digit, so that neither time nor cache tells a secret.

use alloc::string::String;

use zeroize::Zeroizing;

use super::{KEY_LEN, KeyError};

/// Characters in the hexadecimal form of every key.
pub const KEY_HEX_LEN: usize = 2 * KEY_LEN;

/// Exactly 64 digits, in either case.
pub(super) fn decode(text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, KeyError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != KEY_LEN || !rest.is_empty() {
        return Err(KeyError::NotHex);
    }
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    let mut wrong = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let value = (digit(*high) << 4) | digit(*low);
        // Negative where either digit is none: -1 has every bit set, shifted by four or not.
        wrong |= value;
        *byte = value.to_le_bytes()[0];
    }
    if wrong < 0 { Err(KeyError::NotHex) } else { Ok(bytes) }
}

/// Appends 64 digits in lower case.
pub(super) fn push(bytes: &[u8; KEY_LEN], text: &mut String) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from(to_digit(nibble)));
        }
    }
}

/// The value of a digit, -1 where it is none.
fn digit(character: u8) -> i16 {
    let plain = i16::from(character);
    let letter = plain | 0x20;
    let is_number = within(plain, b'0', b'9');
    let is_letter = within(letter, b'a', b'f');
    let number = (plain - i16::from(b'0')) & is_number;
    let letter = (letter - i16::from(b'a') + 10) & is_letter;
    number | letter | !(is_number | is_letter)
}

/// All ones from `first` to `last`, zero elsewhere.
fn within(value: i16, first: u8, last: u8) -> i16 {
    let below = value - i16::from(first);
    let above = i16::from(last) - value;
    !((below | above) >> 15)
}

fn to_digit(nibble: u8) -> u8 {
    let nibble = i16::from(nibble);
    let is_letter = within(nibble, 10, 15);
    let character = nibble + i16::from(b'0') + (is_letter & i16::from(b'a' - b'0' - 10));
    character.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn every_character_is_a_digit_exactly_where_the_standard_library_says_so() {
        for character in 0..=u8::MAX {
            let expected =
                char::from(character).to_digit(16).map_or(-1, |value| i16::try_from(value).unwrap());
            assert_eq!(digit(character), expected, "{character}");
        }
    }

    #[test]
    fn every_byte_survives_its_hexadecimal_form() {
        for first in (0..=u8::MAX).step_by(KEY_LEN) {
            let bytes: [u8; KEY_LEN] = core::array::from_fn(|at| first + u8::try_from(at).unwrap());
            let mut text = String::new();
            push(&bytes, &mut text);
            let expected: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, expected);
            assert_eq!(*decode(&text).unwrap(), bytes);
            assert_eq!(*decode(&text.to_uppercase()).unwrap(), bytes);
        }
    }

    #[test]
    fn anything_but_64_digits_is_refused() {
        let good = "0123456789abcdefABCDEF".repeat(3);
        assert!(decode(&good[..64]).is_ok());
        for text in ["", "0", &good[..63], &good[..65], &good[..62]] {
            assert_eq!(decode(text).unwrap_err(), KeyError::NotHex, "{text:?}");
        }
        for at in 0..KEY_HEX_LEN {
            for wrong in ["g", "G", "/", ":", "@", "`", " ", "\0", "\n", "\u{7f}", "-"] {
                let mut text = String::from(&good[..64]);
                text.replace_range(at..=at, wrong);
                assert_eq!(decode(&text).unwrap_err(), KeyError::NotHex, "{text:?}");
            }
        }
        assert_eq!(decode(&"é".repeat(32)).unwrap_err(), KeyError::NotHex);
    }
}
