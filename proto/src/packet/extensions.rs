//! The chain of IPv6 extension headers, walked within bounds (RFC 8200, section 4).

use super::Fragment;

/// More headers than this nobody sends in good faith.
const MOST: usize = 8;

pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const AUTHENTICATION: u8 = 51;
pub(super) const DESTINATION_OPTIONS: u8 = 60;

/// Where the chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The first header that is not one of those above.
    pub(super) protocol: u8,
    /// Where it begins, from the first byte of the packet. Behind a later fragment's header begins no header at all.
    pub(super) at: usize,
    /// Where that begins which fragmentation cuts: behind the fragment header, if there is one.
    pub(super) cut_at: usize,
    pub(super) fragment: Fragment,
    /// A routing header still has places to visit: the destination of the packet is not the last one.
    pub(super) is_steered: bool,
    /// An authentication or fragment header is among them, which speaks of this packet and no other: not to be cut.
    pub(super) is_bound: bool,
}

/// Walks a packet of at least 40 bytes; `None` if the chain leaves it, or is longer than anyone needs, or out of order
/// in a way that could hide something.
pub(super) fn walk(packet: &[u8]) -> Option<End> {
    let mut end = End {
        protocol: packet[6],
        at: 40,
        cut_at: 40,
        fragment: Fragment::Whole,
        is_steered: false,
        is_bound: false,
    };
    let mut was_fragment = false;
    for step in 0..=MOST {
        let header = packet.get(end.at..)?;
        end.is_bound |= matches!(end.protocol, AUTHENTICATION | FRAGMENT);
        let len = match end.protocol {
            HOP_BY_HOP if step > 0 => return None,
            HOP_BY_HOP | DESTINATION_OPTIONS => (usize::from(*header.get(1)?) + 1) * 8,
            ROUTING => {
                end.is_steered |= *header.get(3)? != 0;
                (usize::from(header[1]) + 1) * 8
            }
            AUTHENTICATION => (usize::from(*header.get(1)?) + 2) * 4,
            FRAGMENT if was_fragment => return None,
            FRAGMENT => {
                was_fragment = true;
                end.fragment = fragment(header)?;
                end.cut_at = end.at + 8;
                8
            }
            _ => return Some(end),
        };
        end.protocol = *header.get(..len)?.first()?;
        end.at += len;
        if end.fragment.is_later() {
            return Some(end);
        }
    }
    None
}

fn fragment(header: &[u8]) -> Option<Fragment> {
    let field = u16::from_be_bytes(*header.get(2..)?.first_chunk()?);
    let id = u32::from_be_bytes(*header.get(4..)?.first_chunk()?);
    Some(Fragment::new(id, field & 0xfff8, field & 1 != 0))
}
