//! Congestion marks across the tunnel (RFC 6040).

use super::checksum;
use crate::discard::Discard;

/// The bits of a type of service or traffic class that are ECN; the others are DSCP.
pub const MASK: u8 = 0b11;
/// Not capable of ECN.
pub const NOT_ECT: u8 = 0b00;
/// ECN-capable, codepoint 1.
pub const ECT_1: u8 = 0b01;
/// ECN-capable, codepoint 0.
pub const ECT_0: u8 = 0b10;
/// Congestion was met.
pub const CE: u8 = 0b11;

/// The ECN bits of the outer header for an inner packet with this type of service: a copy (normal mode, section 4.1).
pub const fn encapsulate(inner_tos: u8) -> u8 {
    inner_tos & MASK
}

/// Combines the outer header's ECN bits into the inner packet that came under it (section 4.2). Of `outer`, only the ECN
/// bits count. A packet that is not IP stays as it is.
///
/// # Errors
/// [`Discard::CongestedInVain`]: marked on the way, but its transport would not understand.
pub fn decapsulate(packet: &mut [u8], outer: u8) -> Result<(), Discard> {
    let Some(tos) = super::tos(packet) else {
        return Ok(());
    };
    let combined = match (tos & MASK, outer & MASK) {
        (NOT_ECT, CE) => return Err(Discard::CongestedInVain),
        (ECT_0 | ECT_1, CE) => CE,
        (ECT_0, ECT_1) => ECT_1,
        _ => return Ok(()),
    };
    set(packet, tos & !MASK | combined);
    Ok(())
}

/// Changes the type of service of an IP packet.
fn set(packet: &mut [u8], tos: u8) {
    if packet[0] >> 4 == 4 {
        let old = u16::from_be_bytes([packet[0], packet[1]]);
        packet[1] = tos;
        let new = u16::from_be_bytes([packet[0], tos]);
        let before = u16::from_be_bytes([packet[10], packet[11]]);
        packet[10..12].copy_from_slice(&checksum::update(before, old, new).to_be_bytes());
    } else {
        packet[0] = packet[0] & 0xf0 | tos >> 4;
        packet[1] = packet[1] & 0x0f | tos << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Seeded, tcp};
    use super::*;

    /// RFC 6040, figure 4; `None` is a drop.
    const TABLE: [(u8, [Option<u8>; 4]); 4] = [
        // under Not-ECT, ECT(0), ECT(1), CE
        (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
        (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
        (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
        (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
    ];

    #[test]
    fn marks_combine_by_the_table_and_nothing_else_changes() {
        for version in [4, 6] {
            for (inner, row) in TABLE {
                for (outer, wanted) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                    for dscp in [0, 0xb8, 0xfc] {
                        let mut packet = tcp(version).tos(dscp | inner).packet();
                        let before = packet.clone();
                        // The outer DSCP is not looked at.
                        let outcome = decapsulate(&mut packet, outer | 0x48);
                        let Some(wanted) = wanted else {
                            assert_eq!(outcome, Err(Discard::CongestedInVain));
                            continue;
                        };
                        assert_eq!(outcome, Ok(()));
                        assert_eq!(packet, tcp(version).tos(dscp | wanted).packet(), "{inner} under {outer}");
                        assert_eq!(packet == before, inner == wanted);
                        assert_eq!(encapsulate(dscp | inner), inner);
                    }
                }
            }
        }
    }

    #[test]
    fn a_bad_header_checksum_stays_bad() {
        let mut packet = tcp(4).tos(ECT_0).packet();
        packet[10] ^= 0x40;
        decapsulate(&mut packet, CE).unwrap();
        assert_ne!(checksum::sum(&packet[..20]), 0xffff);
        packet[10] ^= 0x40;
        assert_eq!(packet, tcp(4).tos(CE).packet());
    }

    #[test]
    fn what_is_not_ip_stays_as_it_is() {
        let mut seeded = Seeded(6040);
        for len in 0..60 {
            let mut bytes = seeded.bytes(len);
            if let Some(first) = bytes.first_mut() {
                *first &= 0x3f;
            }
            let before = bytes.clone();
            assert_eq!(decapsulate(&mut bytes, CE), Ok(()));
            assert_eq!(bytes, before);
        }
    }
}
