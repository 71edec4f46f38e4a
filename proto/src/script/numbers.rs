//! Numbers and ranges: decimal, or hexadecimal behind `0x`, with nothing else around them.

use core::net::IpAddr;

use crate::program::Net;

/// A number; upstream reads as far as there are digits, which is refused here.
pub(super) fn number(text: &str) -> Option<u64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| is_plain)
}

/// A number or two with `-` between them, the first not above the second, neither above `most`.
pub(super) fn range(text: &str, most: u64) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last <= most).then_some((first, last))
}

/// The same for ports.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = range(text, u64::from(u16::MAX))?;
    Some((u16::try_from(first).ok()?, u16::try_from(last).ok()?))
}

/// An address and its bits; without bits only where `bare` is wanted.
pub(super) fn net(text: &str, bare: Bare) -> Option<Net> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None if bare == Bare::Allowed => (text, None),
        None => return None,
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => width,
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
        Some(_) => return None,
    };
    (bits <= width).then_some(Net { address, bits })
}

/// Whether an address needs its bits behind it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    Allowed,
    Refused,
}

/// The probability of `random` as a share of 2^32 - 1. Only 0 to 1; upstream takes 50 for 1.
pub(super) fn probability(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'-' | b'+'));
    let share: f64 = text.parse().ok().filter(|_| is_plain)?;
    // A cast rounds towards zero.
    (0.0..=1.0).contains(&share).then_some((share * f64::from(u32::MAX)) as u32)
}
