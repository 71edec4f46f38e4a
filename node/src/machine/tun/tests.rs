//! Packets over socketpairs, which need no rights.

use rustix::net::{AddressFamily, SocketFlags, SocketType, recv, send, socketpair};

use super::*;

mod real;

const PLAIN: [u8; HEADER] = [0; HEADER];
/// `VIRTIO_NET_HDR_GSO_TCPV4` and a checksum to complete.
const TCP: [u8; HEADER] = [1, 1, 40, 0, 100, 0, 20, 0, 16, 0];

fn pair(offloads: Offloads) -> (Tun, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    (Tun::over(near, offloads), far)
}

fn arrived(far: &OwnedFd) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 17];
    let (_, length) = recv(far, &mut bytes[..], rustix::net::RecvFlags::empty()).unwrap();
    bytes.truncate(length);
    bytes
}

fn give(far: &OwnedFd, bytes: &[u8]) {
    assert_eq!(send(far, bytes, rustix::net::SendFlags::empty()), Ok(bytes.len()));
}

#[test]
fn a_frame_is_a_header_and_a_packet() {
    let (mut tun, far) = pair(Offloads::ALL);
    give(&far, &[&TCP[..], b"packet"].concat());
    give(&far, &[&PLAIN[..], b"p"].concat());
    let mut packet = *b"packet";
    assert_eq!(tun.read().unwrap(), TunRead::Frame(Frame { header: TCP, packet: &mut packet }));
    assert_eq!(tun.read().unwrap(), TunRead::Frame(Frame { header: PLAIN, packet: &mut b"p".to_owned() }));
    assert_eq!(tun.read().unwrap(), TunRead::Drained);
    let expected = Counters { reads: 2, read_bytes: 7, super_packets: 1, ..Counters::default() };
    assert_eq!(tun.counters(), expected);
    drop(far);
    assert_eq!(tun.read().unwrap(), TunRead::Gone);
}

#[test]
fn a_device_without_a_header_gives_zeros_and_takes_packets_without() {
    let (mut tun, far) = pair(Offloads::NONE);
    give(&far, b"packet");
    let mut packet = *b"packet";
    assert_eq!(tun.read().unwrap(), TunRead::Frame(Frame { header: PLAIN, packet: &mut packet }));
    assert_eq!(tun.write(&[&PLAIN[..], b"answer"].concat()), Written::Sent);
    assert_eq!(arrived(&far), b"answer");
}

#[test]
fn a_device_without_a_header_refuses_what_needs_one() {
    let (mut tun, far) = pair(Offloads::NONE);
    assert_eq!(tun.write(&[&TCP[..], b"many"].concat()), Written::Refused);
    assert_eq!(tun.write(&[&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0], &b"one"[..]].concat()), Written::Refused);
    assert_eq!(tun.counters(), Counters { refused: 2, ..Counters::default() });
    drop(tun);
    assert_eq!(arrived(&far), b"");
}

#[test]
fn the_longest_packet_fits_and_a_shorter_message_than_a_header_is_an_empty_packet() {
    let (mut tun, far) = pair(Offloads::ALL);
    let longest = vec![7; HEADER + PACKET];
    give(&far, &longest);
    give(&far, &[1; 3]);
    let TunRead::Frame(frame) = tun.read().unwrap() else { panic!("a packet") };
    assert_eq!(frame.packet.len(), PACKET);
    assert_eq!(frame.packet.as_ptr().align_offset(16), 0, "aligned for the checksum's sake");
    let TunRead::Frame(frame) = tun.read().unwrap() else { panic!("a packet") };
    assert!(frame.packet.is_empty());
}

#[test]
fn a_full_device_costs_the_packet_and_never_a_wait() {
    let (mut tun, far) = pair(Offloads::ALL);
    let item = [&TCP[..], &[0; 4096]].concat();
    let mut sent = 0;
    while tun.write(&item) == Written::Sent {
        sent += 1;
    }
    let expected = Counters {
        writes: sent,
        written_bytes: sent * 4096,
        coalesced: sent,
        full: 1,
        ..Counters::default()
    };
    assert_eq!(tun.counters(), expected);
    arrived(&far);
    assert_eq!(tun.write(&item), Written::Sent);
    drop(far);
    assert_eq!(tun.write(&item), Written::Gone);
    assert_eq!(tun.counters().down, 1);
}

#[test]
fn what_is_no_device_is_assumed_to_be_up() {
    let (mut tun, _far) = pair(Offloads::ALL);
    assert_eq!(tun.state(), State { name: String::new(), up: true, mtu: 1500, exists: true });
    let error = Tun::from_fd(std::fs::File::open("/dev/null").unwrap().into()).unwrap_err().to_string();
    assert!(error.contains("is not a TUN device\n  hint: hand over"), "{error}");
}

#[test]
fn a_read_that_the_kernel_refuses_costs_its_packet_and_not_the_device() {
    // The kernel answers EINVAL to every read of such a descriptor.
    let refusing = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
    let mut tun = Tun::over(refusing, Offloads::ALL);
    for errors in 1..=3 {
        assert_eq!(tun.read().unwrap(), TunRead::Lost);
        assert_eq!(tun.counters(), Counters { errors, ..Counters::default() });
    }
    for errno in [Errno::INVAL, Errno::MSGSIZE, Errno::NOMEM, Errno::NOBUFS, Errno::PROTO] {
        assert!(!is_broken(errno), "{errno}");
    }
}

#[test]
fn a_descriptor_that_cannot_be_read_is_an_error() {
    let (_reading, writing) = io::pipe().unwrap();
    let error = Tun::over(writing.into(), Offloads::ALL).read().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
}
