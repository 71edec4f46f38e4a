//! Packets built from scratch, slowly and obviously, for the tests of every part; and the tests of parsing.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;

/// A small generator: good enough to be seeded with.
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Spoils some bytes, mostly near the front, and perhaps the length.
    pub(super) fn mutate(&mut self, packet: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let reach = self.pick(&[8, 48, 80, packet.len()]).min(packet.len());
            if reach > 0 {
                let at = self.below(reach);
                packet[at] = self.pick(&[0, 0xff, packet[at] ^ 1, packet[at] ^ 0x80, self.0 as u8]);
            }
        }
        if self.below(4) == 0 {
            packet.truncate(self.below(packet.len() + 1));
        }
    }
}

/// A packet to be.
#[derive(Clone, Debug)]
pub(super) struct Build {
    pub(super) version: u8,
    pub(super) protocol: u8,
    pub(super) tos: u8,
    pub(super) id: u16,
    /// Flags and offset of a fragment.
    pub(super) place: u16,
    pub(super) ttl: u8,
    /// Last byte of source and destination.
    pub(super) hosts: [u8; 2],
    pub(super) ports: [u16; 2],
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    /// Of TCP, a multiple of 4.
    pub(super) options: Vec<u8>,
    /// Of IPv4, a multiple of 4; or the first next header and all extension headers.
    pub(super) ip_options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

pub(super) fn tcp(version: u8) -> Build {
    Build {
        version,
        protocol: TCP,
        tos: 0,
        id: 77,
        place: 0x4000,
        ttl: 64,
        hosts: [1, 2],
        ports: [40_000, 443],
        seq: 1_000,
        ack: 9_000,
        flags: 0x10,
        window: 501,
        options: vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        ip_options: Vec::new(),
        payload: vec![0x5a; 100],
    }
}

pub(super) fn udp(version: u8) -> Build {
    Build { protocol: UDP, options: Vec::new(), ..tcp(version) }
}

impl Build {
    pub(super) fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    pub(super) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Where the transport header begins.
    pub(super) fn transport_at(&self) -> usize {
        if self.version == 4 {
            20 + self.ip_options.len()
        } else {
            40 + self.ip_options.len().saturating_sub(1)
        }
    }

    fn addresses(&self) -> Vec<u8> {
        self.hosts
            .iter()
            .flat_map(|host| match self.version {
                4 => vec![10, 7, 0, *host],
                _ => [&[0xfd; 15][..], &[*host]].concat(),
            })
            .collect()
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.ports.iter().flat_map(|port| port.to_be_bytes()).collect();
        if self.protocol == TCP {
            bytes.extend(self.seq.to_be_bytes());
            bytes.extend(self.ack.to_be_bytes());
            bytes.extend([(5 + self.options.len() as u8 / 4) << 4, self.flags]);
            bytes.extend(self.window.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(&self.options);
        } else {
            bytes.extend((8 + self.payload.len() as u16).to_be_bytes());
            bytes.extend([0; 2]);
        }
        bytes.extend(&self.payload);
        bytes
    }

    fn field(&self) -> usize {
        if self.protocol == TCP { 16 } else { 6 }
    }

    fn pseudo(&self, len: usize) -> Vec<u8> {
        [&self.addresses()[..], &(len as u32).to_be_bytes(), &[0, 0, 0, self.protocol]].concat()
    }

    /// With all checksums.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut transport = self.transport();
        let sum = checksum::sum(&[&self.pseudo(transport.len())[..], &transport].concat());
        let written = if self.protocol == UDP && sum == 0xffff { 0xffff } else { !sum };
        set_word(&mut transport, self.field(), written);
        self.under_ip(&transport)
    }

    /// With the sum of the pseudo header where the transport checksum belongs, and what the device says about it.
    pub(super) fn offloaded(&self, size: u16) -> (vnet::Header, Vec<u8>) {
        let mut transport = self.transport();
        let sum = checksum::sum(&self.pseudo(transport.len()));
        set_word(&mut transport, self.field(), sum);
        let gso_type = match (self.protocol, self.version, size) {
            (_, _, 0) => vnet::GSO_NONE,
            (UDP, _, _) => vnet::GSO_UDP_L4,
            (_, 4, _) => vnet::GSO_TCPV4,
            _ => vnet::GSO_TCPV6,
        };
        let cwr =
            if gso_type != 0 && self.protocol == TCP && self.flags & 0x80 != 0 { vnet::GSO_ECN } else { 0 };
        let header = vnet::Header {
            flags: vnet::NEEDS_CSUM,
            gso_type: gso_type | cwr,
            hdr_len: 0xbad,
            gso_size: size,
            csum_start: self.transport_at() as u16,
            csum_offset: self.field() as u16,
        };
        (header, self.under_ip(&transport))
    }

    pub(super) fn under_ip(&self, transport: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.version == 4 {
            let header = 20 + self.ip_options.len();
            bytes.extend([0x40 | (header / 4) as u8, self.tos]);
            bytes.extend(((header + transport.len()) as u16).to_be_bytes());
            bytes.extend(self.id.to_be_bytes());
            bytes.extend(self.place.to_be_bytes());
            bytes.extend([self.ttl, self.protocol, 0, 0]);
            bytes.extend(self.addresses());
            bytes.extend(&self.ip_options);
            let sum = checksum::sum(&bytes);
            set_word(&mut bytes, 10, !sum);
        } else {
            let (first, more) = self.ip_options.split_first().unwrap_or((&self.protocol, &[]));
            bytes.extend([0x60 | self.tos >> 4, self.tos << 4, 0x12, 0x34]);
            bytes.extend(((more.len() + transport.len()) as u16).to_be_bytes());
            bytes.extend([*first, self.ttl]);
            bytes.extend(self.addresses());
            bytes.extend(more);
        }
        bytes.extend(transport);
        bytes
    }
}

/// A random data packet of few flows, so that neighbours meet.
pub(super) fn random(seeded: &mut Seeded) -> Build {
    let version = seeded.pick(&[4, 4, 6]);
    let mut build = if seeded.below(2) == 0 { tcp(version) } else { udp(version) };
    build.tos = seeded.pick(&[0, 0, 2, 3, 0xb8]);
    build.id = seeded.next() as u16;
    build.place = seeded.pick(&[0, 0x4000]);
    build.ttl = seeded.pick(&[64, 63]);
    build.hosts = [seeded.pick(&[1, 3]), 2];
    build.ports = [seeded.pick(&[40_000, 40_001]), 443];
    build.seq = seeded.pick(&[1_000, u32::MAX - 500, seeded.0 as u32]);
    if build.protocol == TCP {
        build.flags = seeded.pick(&[0x10, 0x10, 0x10, 0x18, 0x50, 0x19, 0x90, 0xd8]);
        build.options = seeded.pick(&[&[][..], &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]]).to_vec();
    }
    let len = seeded.pick(&[0, 1, 2, 99, 100, 500, 1_000, 3_001]);
    build.payload = seeded.bytes(len);
    build
}

const V4: [&str; 2] = ["10.7.0.1", "10.7.0.2"];
const V6: [&str; 2] = ["fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fd01", "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fd02"];

#[test]
fn headers_are_read_of_both_versions() {
    for (version, [from, to]) in [(4, V4), (6, V6)] {
        for (build, wanted) in [
            (tcp(version), Transport::Tcp { source: 40_000, destination: 443, flags: 0x10 }),
            (udp(version), Transport::Udp { source: 40_000, destination: 443 }),
        ] {
            let packet = build.clone().tos(0xb9).packet();
            let headers = parse(&packet).unwrap();
            assert_eq!(headers.transport, wanted);
            assert_eq!(headers.source, from.parse::<IpAddr>().unwrap());
            assert_eq!(headers.destination, to.parse::<IpAddr>().unwrap());
            assert_eq!((headers.tos, headers.hop_limit, headers.protocol), (0xb9, 64, build.protocol));
            assert_eq!((headers.fragment, headers.end), (Fragment::Whole, packet.len()));
            assert_eq!(headers.transport_at, build.transport_at());
            assert_eq!(source(&packet), Some(headers.source));
            assert_eq!(destination(&packet), Some(headers.destination));
            assert_eq!(tos(&packet), Some(0xb9));
        }
    }
}

/// Packet of `version` with this behind the IP header, as `protocol`.
fn raw(version: u8, protocol: u8, bytes: &[u8]) -> Vec<u8> {
    Build { protocol, ..udp(version) }.under_ip(bytes)
}

#[test]
fn an_icmp_belongs_to_its_ip_version() {
    let echo = |kind| [kind, 0, 0, 0, 0x12, 0x34, 0, 1];
    for (version, protocol, kind, wanted) in [
        (4, ICMP, 8, Transport::Icmp { kind: 8, code: 0, id: Some(0x1234) }),
        (4, ICMP, 0, Transport::Icmp { kind: 0, code: 0, id: Some(0x1234) }),
        (4, ICMP, 3, Transport::Icmp { kind: 3, code: 0, id: None }),
        (4, ICMP, 128, Transport::Icmp { kind: 128, code: 0, id: None }),
        (6, ICMPV6, 128, Transport::Icmp { kind: 128, code: 0, id: Some(0x1234) }),
        (6, ICMPV6, 129, Transport::Icmp { kind: 129, code: 0, id: Some(0x1234) }),
        (6, ICMPV6, 8, Transport::Icmp { kind: 8, code: 0, id: None }),
        (6, ICMP, 8, Transport::Other(ICMP)),
        (4, ICMPV6, 128, Transport::Other(ICMPV6)),
        (4, 47, 0, Transport::Other(47)),
        (6, 132, 0, Transport::Other(132)),
    ] {
        let packet = raw(version, protocol, &echo(kind));
        assert_eq!(parse(&packet).unwrap().transport, wanted, "version {version}, {protocol}");
    }
}

#[test]
fn a_transport_header_that_is_not_all_there_is_not_parsed() {
    for (version, protocol, least) in
        [(4, TCP, 20), (6, TCP, 20), (4, UDP, 8), (6, UDP, 8), (4, ICMP, 8), (6, ICMPV6, 8)]
    {
        for len in 0..24 {
            let transport = parse(&raw(version, protocol, &vec![0; len])).unwrap().transport;
            assert_eq!(transport == Transport::Unparsed, len < least, "{version} {protocol} {len}");
        }
    }
}

#[test]
fn fragments_are_told_apart() {
    let id = 77;
    for (place, fragment, has_ports) in [
        (0x0000, Fragment::Whole, true),
        (0x4000, Fragment::Whole, true),
        (0x2000, Fragment::First { id, header: 8 }, true),
        (0x2001, Fragment::Later { id, offset: 8 }, false),
        (0x0001, Fragment::Later { id, offset: 8 }, false),
        (0x1fff, Fragment::Later { id, offset: 0xfff8 }, false),
    ] {
        let headers = parse(&Build { place, ..udp(4) }.packet()).unwrap();
        assert_eq!(headers.fragment, fragment, "{place:x}");
        let wanted = if has_ports {
            Transport::Udp { source: 40_000, destination: 443 }
        } else {
            Transport::LaterFragment
        };
        assert_eq!(headers.transport, wanted, "{place:x}");
    }
    let tiny = Build { place: 0x2000, ..udp(4) }.under_ip(&[0; 7]);
    assert_eq!(parse(&tiny).unwrap().transport, Transport::Unparsed, "a tiny first fragment");
}

#[test]
fn extension_headers_are_walked_and_nothing_hides_behind_them() {
    let udp_ports = Transport::Udp { source: 40_000, destination: 443 };
    let options = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let routing = |next: u8, left: u8| vec![next, 0, 4, left, 0, 0, 0, 0];
    let fragment = |next: u8, place: u8| vec![next, 0, 0, place, 0, 0, 0, 1];
    let authentication = |next: u8| [&[next, 4, 0, 0][..], &[7; 20]].concat();
    let unparsed = Transport::Unparsed;
    let long_chain = [vec![60], options(60).repeat(7), options(UDP)].concat();
    let too_long_chain = [vec![60], options(60).repeat(8), options(UDP)].concat();
    for (name, chain, wanted) in [
        ("hop by hop", [vec![0], options(UDP)].concat(), udp_ports),
        ("all", [vec![0], options(60), options(43), routing(51, 0), authentication(UDP)].concat(), udp_ports),
        ("hop by hop, but second", [vec![60], options(0), options(UDP)].concat(), unparsed),
        ("routing, arrived", [vec![43], routing(UDP, 0)].concat(), udp_ports),
        ("routing, to elsewhere", [vec![43], routing(UDP, 1)].concat(), unparsed),
        ("atomic fragment", [vec![44], fragment(UDP, 0)].concat(), udp_ports),
        ("first fragment", [vec![44], fragment(UDP, 1)].concat(), udp_ports),
        ("later fragment", [vec![44], fragment(UDP, 8)].concat(), Transport::LaterFragment),
        ("fragment of a fragment", [vec![44], fragment(44, 1), fragment(UDP, 0)].concat(), unparsed),
        ("eight headers", long_chain, udp_ports),
        ("nine headers", too_long_chain, unparsed),
        ("leaves the packet", [vec![60], vec![UDP, 255, 0, 0, 0, 0, 0, 0]].concat(), unparsed),
        ("mobility", [vec![135], options(UDP)].concat(), Transport::Other(135)),
        ("none", [vec![59], options(UDP)].concat(), Transport::Other(59)),
    ] {
        let packet = Build { ip_options: chain, ..udp(6) }.packet();
        assert_eq!(parse(&packet).unwrap().transport, wanted, "{name}");
    }
}

#[test]
fn the_header_of_a_first_fragment_reaches_to_the_end_of_its_ports_behind_all_extension_headers() {
    let options = |next: u8| vec![next, 0, 1, 4, 0, 0, 0, 0];
    let long_options = |next: u8| [&[next, 1, 1, 12][..], &[0; 12]].concat();
    let fragment = |next: u8| vec![next, 0, 0, 1, 0, 0, 0, 1];
    for (name, protocol, chain, wanted) in [
        ("none", UDP, [vec![44], fragment(UDP)].concat(), 8),
        ("none", TCP, [vec![44], fragment(TCP)].concat(), 20),
        ("before", TCP, [vec![60], options(44), fragment(TCP)].concat(), 20),
        ("behind", UDP, [vec![44], fragment(60), options(UDP)].concat(), 16),
        ("behind", TCP, [vec![44], fragment(60), long_options(TCP)].concat(), 36),
        ("both", TCP, [vec![60], long_options(44), fragment(60), options(60), options(TCP)].concat(), 36),
        ("of another protocol", 132, [vec![44], fragment(60), options(132)].concat(), 16),
    ] {
        let start = if protocol == TCP { tcp(6) } else { udp(6) };
        let packet = Build { ip_options: chain, ..start }.packet();
        let headers = parse(&packet).unwrap();
        assert_eq!(headers.fragment, Fragment::First { id: 1, header: wanted }, "{name}, {protocol}");
    }
    for (first, header) in [(udp(4), 8), (tcp(4), 20)] {
        let packet = Build { place: 0x2000, ip_options: vec![1; 8], ..first }.packet();
        assert_eq!(parse(&packet).unwrap().fragment, Fragment::First { id: 77, header });
    }
}

#[test]
fn what_is_not_whole_is_not_ip_and_what_is_behind_the_end_is_not_seen() {
    for version in [4, 6] {
        let packet = udp(version).packet();
        for len in 0..packet.len() {
            assert_eq!(parse(&packet[..len]), Err(Discard::NotIp), "{len} bytes");
        }
        let longer = [&packet[..], &[0; 9]].concat();
        assert_eq!(parse(&longer), parse(&packet));
        assert_eq!(parse(&longer).unwrap().end, packet.len());
    }
    for (at, value) in [(0, 0x44), (0, 0x4f), (0, 0x15), (0, 0x05), (3, 19), (2, 1)] {
        let mut packet = udp(4).payload(&[1; 20]).packet();
        packet[at] = value;
        assert_eq!(parse(&packet), Err(Discard::NotIp), "byte {at} is {value}");
    }
}

#[test]
fn an_error_tells_whose_packet_it_quotes() {
    let ports = Transport::Udp { source: 40_000, destination: 443 };
    for (version, from) in [(4, V4[1]), (6, V6[1])] {
        for (original, wanted) in [
            (udp(version).packet(), ports),
            (udp(version).payload(&[1; 3_000]).packet(), ports),
            (tcp(version).packet(), Transport::Tcp { source: 40_000, destination: 443, flags: 0x10 }),
        ] {
            let mut out = [0; 1_500];
            let reason = icmp::Reason::HostUnreachable;
            let len = icmp::unreachable(&original, from.parse().unwrap(), reason, &mut out).unwrap();
            let quote = quoted(&out[..len]).unwrap();
            assert_eq!(quote.transport, wanted);
            assert_eq!(
                (Some(quote.source), Some(quote.destination)),
                (source(&original), destination(&original))
            );
            assert_eq!(quoted(&original), None, "no error");
        }
    }
    // Routers of old quote eight bytes.
    let old = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &tcp(4).packet()[..28]].concat();
    let wanted = Transport::Tcp { source: 40_000, destination: 443, flags: 0 };
    assert_eq!(quoted(&raw(4, ICMP, &old)).map(|quote| quote.transport), Some(wanted));
    assert_eq!(quoted(&raw(4, ICMP, &old[..35])).map(|quote| quote.transport), Some(Transport::Unparsed));
    assert_eq!(quoted(&raw(4, ICMP, &old[..27])), None);
    let echo = [&[8, 0, 0, 0, 0, 0, 0, 0][..], &old[8..]].concat();
    assert_eq!(quoted(&raw(4, ICMP, &echo)), None);
}

#[test]
fn any_bytes_are_survived() {
    let mut seeded = Seeded(791);
    for round in 0..20_000 {
        let mut packet = random(&mut seeded).packet();
        seeded.mutate(&mut packet);
        if round % 5 == 0 {
            packet = seeded.bytes(round % 97);
        }
        if let Ok(headers) = parse(&packet) {
            assert!(headers.transport_at <= headers.end && headers.end <= packet.len());
            assert_eq!(source(&packet), Some(headers.source));
            assert_eq!(destination(&packet), Some(headers.destination));
            assert_eq!(tos(&packet), Some(headers.tos));
        }
        let error = raw(4, ICMP, &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &packet].concat());
        if let Some(quote) = quoted(&error) {
            assert!(quote.transport_at <= quote.end && quote.end <= packet.len());
        }
        let from = if round % 2 == 0 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let mut out = [0; 1_500];
        icmp::unreachable(
            &packet,
            from,
            icmp::Reason::TooBig { mtu: 1_280 },
            &mut out[..seeded.below(1_500)],
        );
    }
}
