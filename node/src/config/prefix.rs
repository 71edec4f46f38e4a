//! Overlay addresses of a peer: what WireGuard calls allowed IPs.

use std::net::IpAddr;

use lockgate_proto::prefix::Prefix;

/// Reads `10.77.0.12` or `10.77.0.0/24`. The flaw, where there is one, as a problem and its mend.
///
/// # Errors
/// The problem and the mend.
pub(super) fn parse(text: &str) -> Result<Prefix, (String, String)> {
    let wanted = || {
        ("is not an address or a prefix".to_owned(), "write  \"10.77.0.12\"  or  \"10.77.0.0/24\"".to_owned())
    };
    let (address, bits) = match text.split_once('/') {
        None => (text, None),
        Some((address, bits)) => (address, Some(bits)),
    };
    let address: IpAddr = address.parse().map_err(|_| wanted())?;
    let prefix = match bits {
        None => Prefix::of(address),
        Some(bits) => bits.parse().ok().and_then(|bits| Prefix::masked(address, bits)).ok_or_else(wanted)?,
    };
    if prefix.address() != address {
        return Err(("has bits set behind its prefix".to_owned(), format!("write  \"{prefix}\"")));
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_reads_back_as_written_or_names_its_network() {
        for (text, read) in [
            ("10.77.0.12", Ok("10.77.0.12")),
            ("10.77.0.12/32", Ok("10.77.0.12")),
            ("10.77.0.0/24", Ok("10.77.0.0/24")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("fd00::1", Ok("fd00::1")),
            ("fd00::/8", Ok("fd00::/8")),
            ("::/0", Ok("::/0")),
            ("10.77.0.12/24", Err("write  \"10.77.0.0/24\"")),
            ("fd00::1/8", Err("write  \"fd00::/8\"")),
            ("10.77.0.0/33", Err("write  \"10.77.0.12\"")),
            ("10.77.0", Err("write  \"10.77.0.12\"")),
            ("", Err("write  \"10.77.0.12\"")),
        ] {
            match (parse(text), read) {
                (Ok(prefix), Ok(wanted)) => assert_eq!(prefix.to_string(), wanted),
                (Err((_, mend)), Err(wanted)) => {
                    assert!(mend.starts_with(wanted), "{text}: {mend}");
                }
                (found, wanted) => panic!("{text}: {found:?} instead of {wanted:?}"),
            }
        }
    }
}
