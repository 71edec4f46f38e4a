//! Ending a TCP connection in the name of the other end: what a host without that connection would answer (RFC 9293 3.10.7.1).

use super::{Fragment, TCP, Transport, checksum, icmp, set_word, word};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The length of a TCP header without options.
const HEADER: usize = 20;
/// Time to live of an answer.
const HOPS: u8 = 64;

/// The longest answer: IPv6 and TCP without options.
pub const LONGEST: usize = 40 + HEADER;

/// Writes into `out` the reset that ends the connection of `packet` at its sender, as if its destination had sent it, and says how
/// long it is. It is believed by a sender whose packet it answers: with ACK its sequence number is the one that was acknowledged,
/// without ACK it acknowledges all of the packet.
///
/// `None` if there is none to be sent: to what is no whole TCP segment, to a reset, to a fragment, to what did not go from one host
/// to one other, or if `out` is too short ([`LONGEST`] is enough). Checksums of the packet are not looked at.
pub fn answer(packet: &[u8], out: &mut [u8]) -> Option<usize> {
    let headers = super::parse(packet).ok()?;
    let Transport::Tcp { flags, .. } = headers.transport else {
        return None;
    };
    if flags & RST != 0 || headers.fragment != Fragment::Whole || !icmp::is_between_hosts(&headers) {
        return None;
    }
    let segment = &packet[headers.transport_at..headers.end];
    let len = sequence_space(segment, flags)?;
    let (seq, ack, flags) = if flags & ACK != 0 {
        (number(segment, 8), 0, RST)
    } else {
        (0, number(segment, 4).wrapping_add(len), RST | ACK)
    };
    let ip = if headers.source.is_ipv4() { 20 } else { 40 };
    let out = out.get_mut(..ip + HEADER)?;
    write_ip(packet, ip, out);
    write_tcp(segment, (seq, ack, flags), ip, out);
    Some(out.len())
}

/// Writes into `out` the reset that ends the connection of `packet` at its destination, as if its sender had sent it instead, and
/// says how long it is. It stands where the packet would have stood, so that a destination that waits for that believes it.
///
/// `None` as for [`answer`].
pub fn instead(packet: &[u8], out: &mut [u8]) -> Option<usize> {
    let len = answer(packet, out)?;
    let headers = super::parse(packet).ok()?;
    let segment = &packet[headers.transport_at..headers.end];
    let ip = len - HEADER;
    // The ends the other way round: those of the packet.
    let half = if ip == 20 { 4 } else { 16 };
    let first = if ip == 20 { 12 } else { 8 };
    let (source, destination) = out[first..first + 2 * half].split_at_mut(half);
    source.swap_with_slice(destination);
    let (source, destination) = out[ip..ip + 4].split_at_mut(2);
    source.swap_with_slice(destination);
    let flags = if segment[13] & ACK == 0 { RST } else { RST | ACK };
    let acknowledged = if flags & ACK == 0 { 0 } else { number(segment, 8) };
    let tcp = &mut out[ip..];
    tcp[4..8].copy_from_slice(&segment[4..8]);
    tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    tcp[13] = flags;
    set_word(tcp, 16, 0);
    let pseudo = checksum::pseudo(&out[first..first + 2 * half], TCP, HEADER);
    let sum = checksum::fold(u64::from(checksum::sum(&out[ip..len])) + u64::from(pseudo));
    set_word(&mut out[ip..], 16, !sum);
    Some(len)
}

/// How many sequence numbers a segment takes: its payload, and one each for SYN and FIN.
fn sequence_space(segment: &[u8], flags: u8) -> Option<u32> {
    let header = usize::from(segment[12] >> 4) * 4;
    if header < HEADER {
        return None;
    }
    let payload = segment.len().checked_sub(header)?;
    Some(payload as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0))
}

/// The IP header of the answer to `packet`.
fn write_ip(packet: &[u8], ip: usize, out: &mut [u8]) {
    if ip == 20 {
        // Not to be fragmented, so that it needs no identification of its own (RFC 6864).
        out[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, HOPS, TCP, 0, 0]);
        set_word(out, 2, (ip + HEADER) as u16);
        out[12..16].copy_from_slice(&packet[16..20]);
        out[16..20].copy_from_slice(&packet[12..16]);
        let sum = checksum::sum(&out[..ip]);
        set_word(out, 10, !sum);
    } else {
        out[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, HEADER as u8, TCP, HOPS]);
        out[8..24].copy_from_slice(&packet[24..40]);
        out[24..40].copy_from_slice(&packet[8..24]);
    }
}

fn write_tcp(segment: &[u8], (seq, ack, flags): (u32, u32, u8), ip: usize, out: &mut [u8]) {
    let addresses = if ip == 20 { 12..20 } else { 8..40 };
    let pseudo = checksum::pseudo(&out[addresses], TCP, HEADER);
    let tcp = &mut out[ip..];
    tcp[..2].copy_from_slice(&segment[2..4]);
    tcp[2..4].copy_from_slice(&segment[..2]);
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12..].copy_from_slice(&[(HEADER as u8 / 4) << 4, flags, 0, 0, 0, 0, 0, 0]);
    let sum = checksum::fold(u64::from(checksum::sum(tcp)) + u64::from(pseudo));
    set_word(tcp, 16, !sum);
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from(word(bytes, at)) << 16 | u32::from(word(bytes, at + 2))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::super::tests::{Build, Seeded, random, tcp, udp};
    use super::*;

    fn reset(packet: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0xa5; 100];
        let len = answer(packet, &mut out)?;
        assert!(len <= LONGEST);
        assert!(out[len..].iter().all(|byte| *byte == 0xa5), "nothing behind the answer is written");
        out.truncate(len);
        Some(out)
    }

    #[test]
    fn a_reset_in_a_packets_place_has_its_ends_and_its_numbers() {
        let mut dice = Seeded(41);
        for _ in 0..2_000 {
            let packet = random(&mut dice).packet();
            let mut out = [0; LONGEST];
            let (answered, placed) = (reset(&packet), instead(&packet, &mut out));
            assert_eq!(placed, answered.as_ref().map(Vec::len));
            let Some(len) = placed else { continue };
            let (was, is) =
                (super::super::parse(&packet).unwrap(), super::super::parse(&out[..len]).unwrap());
            assert_eq!((was.source, was.destination), (is.source, is.destination));
            let (old, new) = (&packet[was.transport_at..], &out[is.transport_at..len]);
            assert_eq!((&old[..8], new[13] & RST), (&new[..8], RST));
            assert_checksums(&out[..len]);
        }
    }

    /// Of a packet without IP options and extension headers.
    fn assert_checksums(packet: &[u8]) {
        let (ip, addresses) = if packet[0] >> 4 == 4 { (20, 12..20) } else { (40, 8..40) };
        if ip == 20 {
            assert_eq!(checksum::sum(&packet[..20]), 0xffff, "the IP header's");
        }
        let tcp = &packet[ip..];
        let pseudo = checksum::pseudo(&packet[addresses], TCP, tcp.len());
        assert_eq!(checksum::fold(u64::from(checksum::sum(tcp)) + u64::from(pseudo)), 0xffff, "TCP's");
    }

    #[test]
    fn a_syn_is_answered_with_these_bytes() {
        let syn = Build { flags: SYN, ack: 0, options: vec![], payload: vec![], ..tcp(4) }.packet();
        #[rustfmt::skip]
        let wanted = [
            0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0x26, 0xc0, 10, 7, 0, 2, 10, 7, 0, 1,
            0x01, 0xbb, 0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0x03, 0xe9, 0x50, 0x14, 0, 0, 0xf9, 0xdb, 0, 0,
        ];
        assert_eq!(reset(&syn).unwrap(), wanted);
    }

    #[test]
    fn the_numbers_are_those_of_rfc_9293() {
        for version in [4, 6] {
            for (flags, payload, wanted) in [
                (SYN, 0, (0, 1_001, RST | ACK)),
                (SYN, 7, (0, 1_008, RST | ACK)),
                (FIN, 7, (0, 1_008, RST | ACK)),
                (SYN | FIN, 0, (0, 1_002, RST | ACK)),
                (0, 0, (0, 1_000, RST | ACK)),
                (ACK, 100, (9_000, 0, RST)),
                (ACK | SYN, 0, (9_000, 0, RST)),
                (ACK | FIN, 0, (9_000, 0, RST)),
            ] {
                let packet = Build { flags, ..tcp(version) }.payload(&vec![7; payload]).packet();
                let out = reset(&packet).unwrap();
                let headers = super::super::parse(&out).unwrap();
                let transport = Transport::Tcp { source: 443, destination: 40_000, flags: wanted.2 };
                assert_eq!((headers.end, headers.transport), (out.len(), transport));
                assert_eq!(Some(headers.source), super::super::destination(&packet));
                assert_eq!(Some(headers.destination), super::super::source(&packet));
                let tcp = &out[headers.transport_at..];
                let numbers = (number(tcp, 4), number(tcp, 8), tcp[13]);
                assert_eq!(numbers, wanted, "version {version} flags {flags:#x} payload {payload}");
                assert_checksums(&out);
            }
        }
        let wrapping = Build { flags: SYN, seq: u32::MAX, payload: vec![], ..tcp(4) }.packet();
        assert_eq!(number(&reset(&wrapping).unwrap()[20..], 8), 0);
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        let with = |version: u8, at: usize, bytes: &[u8]| {
            let mut packet = tcp(version).packet();
            packet[at..at + bytes.len()].copy_from_slice(bytes);
            packet
        };
        for (name, packet, is_answered) in [
            ("a segment", tcp(4).packet(), true),
            ("behind IP options", Build { ip_options: vec![1; 8], ..tcp(4) }.packet(), true),
            ("a reset", Build { flags: RST, ..tcp(4) }.packet(), false),
            ("a reset, v6", Build { flags: RST | ACK, ..tcp(6) }.packet(), false),
            ("UDP", udp(4).packet(), false),
            ("a first fragment", Build { place: 0x2000, ..tcp(4) }.packet(), false),
            ("a later fragment", Build { place: 0x0001, ..tcp(4) }.packet(), false),
            ("a TCP header that is too short", with(4, 32, &[0x40]), false),
            ("nothing but a header", Build { payload: vec![], ..tcp(4) }.packet(), true),
            ("to multicast", with(4, 16, &[239, 1, 2, 3]), false),
            ("to broadcast", with(4, 16, &[255; 4]), false),
            ("from nobody", with(4, 12, &[0; 4]), false),
            ("to multicast, v6", with(6, 24, &[0xff, 2]), false),
            ("not IP", vec![0x99; 60], false),
            ("nothing", vec![], false),
        ] {
            assert_eq!(reset(&packet).is_some(), is_answered, "{name}");
        }
        let mut beyond = Build { payload: vec![], ..tcp(4) }.packet();
        beyond[32] = 0xf0;
        assert_eq!(reset(&beyond), None, "a TCP header beyond the end");
        for (len, wanted) in [(0, None), (39, None), (40, Some(40))] {
            assert_eq!(answer(&tcp(4).packet(), &mut vec![0; len]), wanted);
        }
        assert_eq!(reset(&reset(&tcp(6).packet()).unwrap()), None, "a reset has no reset");
    }

    #[test]
    fn any_bytes_are_survived_and_every_answer_is_a_packet() {
        let mut seeded = Seeded(7);
        let mut answered = 0;
        for round in 0..20_000 {
            let mut packet = random(&mut seeded).packet();
            for _ in 0..round % 3 {
                seeded.mutate(&mut packet);
            }
            let Some(out) = reset(&packet) else { continue };
            answered += 1;
            assert_checksums(&out);
            assert_eq!(reset(&out), None);
        }
        assert!(answered > 1_000, "{answered}");
    }
}
