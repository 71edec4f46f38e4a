//! Allowed IPs as the configuration protocol writes them: always with their length, host bits masked.

use lockgate_proto::prefix::Prefix;

/// Reads `10.77.0.0/24`. A bare address is refused, as the reference implementation does, and so is any other way
/// to write a number than the shortest.
pub fn parse(text: &str) -> Option<Prefix> {
    let (address, bits) = text.split_once('/')?;
    let shortest = bits == "0" || !bits.starts_with('0') && bits.bytes().all(|byte| byte.is_ascii_digit());
    Prefix::masked(address.parse().ok()?, bits.parse().ok().filter(|_| shortest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_masked_and_the_text_form_comes_back() {
        for (text, canonical) in [
            ("10.77.0.0/24", "10.77.0.0/24"),
            ("10.77.0.255/24", "10.77.0.0/24"),
            ("255.255.255.255/0", "0.0.0.0/0"),
            ("192.0.2.1/32", "192.0.2.1/32"),
            ("192.0.2.255/31", "192.0.2.254/31"),
            ("2001:db8::ffff/64", "2001:db8::/64"),
            ("2001:DB8:0:0:0:0:0:1/128", "2001:db8::1/128"),
            ("ffff::/0", "::/0"),
            ("2001:db8::3/127", "2001:db8::2/127"),
            ("::ffff:192.0.2.1/96", "::ffff:0.0.0.0/96"),
        ] {
            assert_eq!(
                parse(text).map(|range| format!("{}/{}", range.address(), range.bits())).as_deref(),
                Some(canonical),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "/",
            "/24",
            "10.0.0.1",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/-8",
            "10.0.0.0/08",
            "10.0.0.0/ 8",
            "10.0.0.0/8 ",
            " 10.0.0.0/8",
            "10.0.0.0/8/8",
            "10.0.0.0/256",
            "10.0.0/8",
            "010.0.0.0/8",
            "10.0.0.0.0/8",
            "::1",
            "fe80::1%eth0/64",
            "fe80::1/64%eth0",
            "[::1]/128",
            "example.org/32",
            "::g/1",
            "10.0.0.0/0x8",
            "10.0.0.0/255.0.0.0",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
