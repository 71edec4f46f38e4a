//! What accompanies a message: control messages in the kernel's form, written and read byte by byte, on the stack.
//!
//! Each is a `cmsghdr` (length with header: `size_t`, level: `int`, type: `int`), its value, and padding up to the size of a word.
//! A dual-stack socket takes the IPv4 forms towards IPv4-mapped addresses (Linux passes those to its IPv4 code), and gives them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::c_int;
use lockgate_proto::outbox::Source;

const WORD: usize = size_of::<usize>();
/// `sizeof(cmsghdr)`.
const HEADER: usize = WORD + 2 * size_of::<c_int>();
/// Enough for all that we ask the kernel for: UDP_GRO, IP_TOS, IP_PKTINFO, IPV6_PKTINFO, IPV6_TCLASS.
const ROOM: usize = 192;

/// See the module.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(super) struct Control {
    room: [u8; ROOM],
    len: usize,
}

/// What a received message's control messages say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// The datagrams' length, where several were coalesced.
    pub(super) segment: Option<usize>,
    /// The outer TOS or traffic class.
    pub(super) tos: u8,
    /// Which of our addresses was called, and on which interface.
    pub(super) called: Option<Source>,
}

impl Default for Control {
    fn default() -> Self {
        Self { room: [0; ROOM], len: 0 }
    }
}

impl Control {
    /// Send as datagrams of `segment` bytes.
    pub(super) fn segment(&mut self, segment: u16) {
        self.push(libc::SOL_UDP, libc::UDP_SEGMENT, &segment.to_ne_bytes());
    }

    /// Mark an IPv4 datagram.
    pub(super) fn tos(&mut self, tos: u8) {
        self.push(libc::IPPROTO_IP, libc::IP_TOS, &c_int::from(tos).to_ne_bytes());
    }

    /// Mark an IPv6 datagram.
    pub(super) fn traffic_class(&mut self, class: u8) {
        self.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &c_int::from(class).to_ne_bytes());
    }

    /// Leave from this address, and for IPv6 on this interface.
    ///
    /// Linux takes an IPv4 peer to be on the link of an interface that is named, whatever the routes say: a host that answers
    /// by another way than it was called on would answer nobody. IPv6 needs it for link-local addresses.
    pub(super) fn source(&mut self, source: Source) {
        let mut value = [0; 20];
        match source.ip {
            IpAddr::V4(ip) => {
                value[4..8].copy_from_slice(&ip.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &value[..12]);
            }
            IpAddr::V6(ip) => {
                value[..16].copy_from_slice(&ip.octets());
                value[16..].copy_from_slice(&source.interface.to_ne_bytes());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &value);
            }
        }
    }

    fn push(&mut self, level: c_int, kind: c_int, value: &[u8]) {
        let start = self.len;
        let header = &mut self.room[start..start + HEADER];
        header[..WORD].copy_from_slice(&(HEADER + value.len()).to_ne_bytes());
        header[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
        header[WORD + 4..].copy_from_slice(&kind.to_ne_bytes());
        self.room[start + HEADER..start + HEADER + value.len()].copy_from_slice(value);
        self.len = start + HEADER + value.len().next_multiple_of(WORD);
    }

    /// What is filled.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// Where the kernel may write.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    /// The kernel has written `len` bytes.
    pub(super) fn set_len(&mut self, len: usize) {
        self.len = len.min(ROOM);
    }

    /// All that is said; what we do not know is passed over.
    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        let mut rest = self.bytes();
        while let Some((level, kind, value, after)) = next(rest) {
            rest = after;
            facts.note(level, kind, value);
        }
        facts
    }
}

impl Facts {
    fn note(&mut self, level: c_int, kind: c_int, value: &[u8]) {
        match (level, kind) {
            (libc::SOL_UDP, libc::UDP_GRO) => {
                self.segment =
                    int(value).and_then(|segment| usize::try_from(segment).ok()).filter(|&s| s > 0);
            }
            // One byte on the way in.
            (libc::IPPROTO_IP, libc::IP_TOS) => self.tos = value.first().copied().unwrap_or(0),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => self.tos = int(value).unwrap_or(0) as u8,
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let ip = value.get(4..8).and_then(|ip| <[u8; 4]>::try_from(ip).ok());
                self.note_called(ip.map(|ip| Ipv4Addr::from(ip).into()), value.get(..4));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let ip = value.get(..16).and_then(|ip| <[u8; 16]>::try_from(ip).ok());
                // An IPv4-mapped one comes beside the IPv4 form, which knows better what a broadcast is answered from.
                let ip = ip.map(Ipv6Addr::from).filter(|ip| ip.to_ipv4_mapped().is_none());
                self.note_called(ip.map(IpAddr::from), value.get(16..20));
            }
            _ => {}
        }
    }

    fn note_called(&mut self, ip: Option<IpAddr>, interface: Option<&[u8]>) {
        // Nothing can be sent from a group that was called, or from nowhere.
        let ip = ip.filter(|ip| !ip.is_multicast() && !ip.is_unspecified());
        if let (Some(ip), Some(interface)) = (ip, interface.and_then(int)) {
            self.called = Some(Source { ip, interface: interface as u32 });
        }
    }
}

fn int(bytes: &[u8]) -> Option<c_int> {
    Some(c_int::from_ne_bytes(bytes.get(..size_of::<c_int>())?.try_into().ok()?))
}

/// The first control message's level, type and value, and what follows it.
fn next(bytes: &[u8]) -> Option<(c_int, c_int, &[u8], &[u8])> {
    let len = usize::from_ne_bytes(bytes.get(..WORD)?.try_into().ok()?);
    let value = bytes.get(HEADER..len)?;
    let (level, kind) = (int(&bytes[WORD..])?, int(&bytes[WORD + 4..])?);
    let after = bytes.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    Some((level, kind, value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(ip: &str, interface: u32) -> Source {
        Source { ip: ip.parse().unwrap(), interface }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for from in [source("192.0.2.7", 0), source("2001:db8::7", 900)] {
            let mut control = Control::default();
            control.segment(1452);
            control.traffic_class(0x8a);
            control.source(from);
            let facts = control.facts();
            assert_eq!((facts.tos, facts.called, facts.segment), (0x8a, Some(from), None));
            assert_eq!(control.bytes().len() % WORD, 0);
        }
    }

    #[test]
    fn an_ipv4_answer_is_not_bound_to_the_interface_that_was_called() {
        let mut control = Control::default();
        control.source(source("192.0.2.7", 3));
        assert_eq!(control.facts().called, Some(source("192.0.2.7", 0)));
    }

    #[test]
    fn coalesced_datagrams_have_a_length_of_their_own() {
        for (given, understood) in [(1452, Some(1452)), (0, None), (-1, None)] {
            let mut control = Control::default();
            control.push(libc::SOL_UDP, libc::UDP_GRO, &c_int::to_ne_bytes(given));
            assert_eq!(control.facts().segment, understood);
        }
    }

    #[test]
    fn a_mapped_address_beside_the_ipv4_form_changes_nothing() {
        let mut control = Control::default();
        control.source(source("192.0.2.7", 3));
        control.source(source("::ffff:192.0.2.255", 4));
        assert_eq!(control.facts().called, Some(source("192.0.2.7", 0)));
    }

    #[test]
    fn a_group_that_was_called_is_no_source() {
        for group in ["224.0.0.1", "ff02::1", "0.0.0.0", "::"] {
            let mut control = Control::default();
            control.source(source(group, 3));
            assert_eq!(control.facts().called, None, "{group}");
        }
    }

    #[test]
    fn whatever_is_cut_or_unknown_is_passed_over() {
        let mut whole = Control::default();
        whole.push(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &[0xff; 16]);
        whole.tos(3);
        whole.source(source("192.0.2.7", 3));
        assert_eq!(whole.facts().tos, 3);
        for cut in 0..whole.len {
            let mut control = whole;
            control.set_len(cut);
            let facts = control.facts();
            assert!(facts.tos == 0 || facts.tos == 3, "{cut}");
        }
        let mut endless = whole;
        endless.room[..WORD].fill(0);
        assert_eq!(endless.facts(), Facts::default());
        endless.room[..WORD].fill(0xff);
        assert_eq!(endless.facts(), Facts::default());
    }
}
