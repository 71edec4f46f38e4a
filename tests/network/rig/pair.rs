//! Two hosts with a tunnel between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::keys::preshared_key;
use super::{Device, Implementation, KeyPair, Lab, Namespace};

/// The port that both ends listen on.
pub const PORT: u16 = 51820;
/// The name of an end's Ethernet device.
pub const WIRE: &str = "wire";

/// One end of a tunnel: a host, its addresses and its device.
pub struct End {
    /// The implementation and its interface. Ends before its namespace does.
    pub device: Device,
    /// The host.
    pub namespace: Namespace,
    /// Its key.
    pub key: KeyPair,
    /// Its IPv4 address inside the tunnel.
    pub v4: Ipv4Addr,
    /// Its IPv6 address inside the tunnel.
    pub v6: Ipv6Addr,
    /// Its IPv4 address on the wire.
    pub wire_v4: Ipv4Addr,
    /// Its IPv6 address on the wire.
    pub wire_v6: Ipv6Addr,
}

/// Two ends on one wire.
///
/// ```text
///  left  10.100.0.1 fd00:100::1            right  10.100.0.2 fd00:100::2
///    └ wire 10.99.0.1 fd00:99::1 ══ veth ══ wire 10.99.0.2 fd00:99::2 ┘
/// ```
pub struct Pair {
    /// The first end.
    pub left: End,
    /// The second end.
    pub right: End,
}

/// Which end knows where the other is, and so can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// The first end.
    Left,
    /// The second end.
    Right,
    /// Either.
    Both,
}

/// The family of the tunnel's own datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// IPv4 on the wire.
    V4,
    /// IPv6 on the wire.
    V6,
}

/// What a test says about its tunnel.
pub struct Plan {
    /// The implementation at the first end.
    pub left: Implementation,
    /// The implementation at the second end.
    pub right: Implementation,
    /// Who knows the other's endpoint.
    pub begins: Begins,
    /// What is on the wire.
    pub outer: Outer,
    /// Whether both have a preshared key in common.
    pub preshared: bool,
    /// The tunnel's MTU, in bytes.
    pub mtu: u32,
    /// The wire's MTU, in bytes.
    pub wire_mtu: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            left: Implementation::subject(),
            right: Implementation::subject(),
            begins: Begins::Both,
            outer: Outer::V4,
            preshared: false,
            mtu: 1420,
            wire_mtu: 1500,
        }
    }
}

impl Pair {
    /// Builds both hosts and the tunnel; no packet has crossed it yet.
    pub fn start(lab: &Lab, plan: &Plan) -> Self {
        let hosts = [Namespace::new("left"), Namespace::new("right")];
        hosts[0].join(WIRE, &hosts[1], WIRE, plan.wire_mtu);
        let implementations = [plan.left, plan.right];
        let mut number = 0;
        let [left, right] = hosts.map(|namespace| {
            number += 1;
            End::start(lab, namespace, implementations[usize::from(number) - 1], number, plan.mtu)
        });
        let psk = plan.preshared.then(|| preshared_key(lab));
        let psk = psk.map_or_else(String::new, |file| format!(" preshared-key {}", file.display()));
        left.knows(&right, (plan.begins != Begins::Right).then(|| right.endpoint(plan.outer)), &psk);
        right.knows(&left, (plan.begins != Begins::Left).then(|| left.endpoint(plan.outer)), &psk);
        Self { left, right }
    }
}

impl End {
    /// A host with a started and addressed device, on a wire that is there; it has a key and a port, and no peer.
    ///
    /// `number` is the last part of each of its addresses.
    pub fn start(
        lab: &Lab,
        namespace: Namespace,
        implementation: Implementation,
        number: u8,
        mtu: u32,
    ) -> Self {
        let device = start_device(lab, &namespace, implementation, mtu);
        Self::with_device(lab, namespace, device, number, mtu)
    }

    /// The same, with a device that the caller has started there.
    pub fn with_device(lab: &Lab, namespace: Namespace, device: Device, number: u8, mtu: u32) -> Self {
        let host = u16::from(number);
        let wire_v4 = Ipv4Addr::new(10, 99, 0, number);
        let wire_v6 = Ipv6Addr::new(0xfd00, 0x99, 0, 0, 0, 0, 0, host);
        let v4 = Ipv4Addr::new(10, 100, 0, number);
        let v6 = Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, host);
        namespace.address(WIRE, &format!("{wire_v4}/24"));
        namespace.address(WIRE, &format!("{wire_v6}/64"));
        let key = lab.key_pair();
        device.set(&format!("private-key {} listen-port {PORT}", key.file.display()));
        let end = Self { device, namespace, key, v4, v6, wire_v4, wire_v6 };
        end.address_device(mtu);
        end
    }

    /// Ends the program and starts it again with the end's key, its port and its addresses; it has no peer then.
    pub fn restart(&mut self, lab: &Lab, mtu: u32) {
        self.device.stop();
        self.device = start_device(lab, &self.namespace, self.device.implementation(), mtu);
        self.device.set(&format!("private-key {} listen-port {PORT}", self.key.file.display()));
        self.address_device(mtu);
    }

    /// Gives the interface its MTU and addresses, and brings it up.
    pub fn address_device(&self, mtu: u32) {
        let interface = self.device.name();
        self.namespace.ip(&format!("link set {interface} mtu {mtu} up"));
        self.namespace.address(interface, &format!("{}/24", self.v4));
        self.namespace.address(interface, &format!("{}/64", self.v6));
    }

    /// Makes `other` a peer, with its two addresses; `more` are further words for `wg set`.
    pub fn knows(&self, other: &Self, endpoint: Option<SocketAddr>, more: &str) {
        let endpoint = endpoint.map_or_else(String::new, |endpoint| format!(" endpoint {endpoint}"));
        self.device.set(&format!(
            "peer {} allowed-ips {}/32,{}/128{endpoint}{more}",
            other.key.public, other.v4, other.v6
        ));
    }

    /// Where its datagrams come from.
    pub fn endpoint(&self, outer: Outer) -> SocketAddr {
        match outer {
            Outer::V4 => (self.wire_v4, PORT).into(),
            Outer::V6 => (self.wire_v6, PORT).into(),
        }
    }

    /// Its two addresses inside the tunnel.
    pub fn inner(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

fn start_device(lab: &Lab, namespace: &Namespace, implementation: Implementation, mtu: u32) -> Device {
    match implementation {
        Implementation::Boringtun => Device::start_on_tun(lab, namespace, implementation, mtu),
        _ => Device::start(lab, namespace, implementation),
    }
}
