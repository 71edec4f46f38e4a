//! The kernel between two TUN devices: what is written into A is routed twice, segmented and read at B.

use lockgate::machine::tun::{Tun, TunRead, Written};
use lockgate_tests::network::{Namespace, ping};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::packets::complete;

const NEEDS_CSUM: u8 = 1;
/// How long nothing may come before it is taken that nothing will.
const SILENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Two devices, each in a namespace that routes.
pub(super) struct Kernel {
    a: Tun,
    b: Tun,
    _hosts: [Namespace; 2],
}

impl Kernel {
    pub(super) fn new() -> Self {
        let hosts = [Namespace::new("entry"), Namespace::new("exit")];
        let [a, b] = hosts.each_ref().map(|host| {
            for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
                host.sysctl(key, "1");
            }
            for key in ["all", "default"] {
                host.sysctl(&format!("net.ipv4.conf.{key}.rp_filter"), "0");
            }
            host.enter(|| Tun::create("tun")).expect("root makes a device")
        });
        hosts[0].join("wire", &hosts[1], "wire", 65_535);
        for (host, (own, other)) in hosts.iter().zip([(1, 2), (2, 1)]) {
            host.ip("link set tun addrgenmode none mtu 65535 txqueuelen 1000");
            host.ip("link set tun up");
            host.address("tun", &format!("10.9.{own}.1/24"));
            host.address("tun", &format!("fd00:0:0:{own}::1/64"));
            host.address("wire", &format!("10.9.9.{own}/24"));
            host.address("wire", &format!("fd00:0:0:9::{own}/64"));
            host.ip(&format!("route add 10.9.{other}.0/24 via 10.9.9.{other}"));
            host.ip(&format!("route add fd00:0:0:{other}::/64 via fd00:0:0:9::{other}"));
        }
        // Only what is one packet may leave B, so that the kernel has to segment in software. The cable before it is
        // there for that: a super-packet that a program wrote is not counted (`SKB_GSO_DODGY`) before its first cable.
        hosts[1].ip("link set tun gso_max_segs 1");
        for neighbour in ["10.9.9.2", "fd00:0:0:9::2"] {
            ping(&hosts[0], neighbour.parse().expect("an address"));
        }
        Self { a, b, _hosts: hosts }
    }

    /// Writes `[vnet header][packet]` into A.
    pub(super) fn write(&mut self, item: &[u8]) {
        let written = self.a.write(item);
        assert_eq!(written, Written::Sent, "{} bytes: {:02x?}", item.len(), &item[..item.len().min(120)]);
    }

    /// What left at B until `enough` packets did or nothing came any more; checksums complete.
    pub(super) fn read(&mut self, enough: usize) -> Vec<Vec<u8>> {
        let mut packets = Vec::with_capacity(enough);
        while packets.len() < enough {
            match self.b.read().expect("a device of our own") {
                // The kernel's own, about groups of IPv6.
                TunRead::Frame(frame) if is_to_a_group(frame.packet) => {}
                TunRead::Frame(frame) => {
                    let vnet = frame.header;
                    assert_eq!(vnet[1], 0, "B was to segment in software: {vnet:?}");
                    let mut packet = frame.packet.to_vec();
                    if vnet[0] & NEEDS_CSUM != 0 {
                        let [start, offset] = [6, 8].map(|at| u16::from_ne_bytes([vnet[at], vnet[at + 1]]));
                        complete(&mut packet, usize::from(start), usize::from(offset));
                    }
                    packets.push(packet);
                }
                TunRead::Drained => {
                    let mut ready = [PollFd::new(&self.b, PollFlags::IN)];
                    match poll(&mut ready, Some(&SILENCE)) {
                        Ok(0) => break,
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => panic!("one descriptor: {error}"),
                    }
                }
                TunRead::Lost => panic!("B has lost a packet"),
                TunRead::Gone => panic!("B is gone"),
            }
        }
        packets
    }
}

/// Whether it goes to an IPv6 multicast address.
fn is_to_a_group(packet: &[u8]) -> bool {
    packet[0] >> 4 == 6 && packet[24] == 0xff
}
