//! An address in the kernel's form: `sockaddr_in` or `sockaddr_in6`, written and read byte by byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// `sizeof(sockaddr_in)`, of which the last 8 bytes are nothing.
const V4: usize = 16;
/// `sizeof(sockaddr_in6)`.
const V6: usize = 28;

/// See the module.
#[derive(Clone, Copy, Default)]
#[repr(align(4))]
pub(super) struct Name {
    room: [u8; V6],
    len: usize,
}

impl Name {
    /// `address` as it is.
    pub(super) fn new(address: SocketAddr) -> Self {
        let mut room = [0; V6];
        room[2..4].copy_from_slice(&address.port().to_be_bytes());
        let (family, len) = match address {
            SocketAddr::V4(v4) => {
                room[4..8].copy_from_slice(&v4.ip().octets());
                (libc::AF_INET, V4)
            }
            SocketAddr::V6(v6) => {
                room[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                room[8..24].copy_from_slice(&v6.ip().octets());
                room[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                (libc::AF_INET6, V6)
            }
        };
        room[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        Self { room, len }
    }

    /// The address, an IPv4-mapped one as IPv4; `None` for any other family.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let bytes = self.bytes();
        let family = i32::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
        match family {
            libc::AF_INET => {
                let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
                Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
            }
            libc::AF_INET6 => {
                let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
                let scope = u32::from_ne_bytes(bytes.get(24..28)?.try_into().ok()?);
                Some(canonical(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope).into()))
            }
            _ => None,
        }
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
        self.len = len.min(V6);
    }
}

/// An IPv4-mapped address as IPv4, any other as it is.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        for text in ["192.0.2.1:51820", "[2001:db8::1]:1", "[fe80::1%7]:65535", "0.0.0.0:0", "[::]:0"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Name::new(address).address(), Some(address));
        }
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:9".parse().unwrap();
        assert_eq!(Name::new(mapped).address(), Some("192.0.2.1:9".parse().unwrap()));
    }

    #[test]
    fn no_name_and_another_family_are_no_address() {
        assert_eq!(Name::default().address(), None);
        let mut unix = Name::new("192.0.2.1:9".parse().unwrap());
        unix.room[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
        assert_eq!(unix.address(), None);
        for cut in 0..8 {
            let mut short = Name::new("192.0.2.1:9".parse().unwrap());
            short.set_len(cut);
            assert_eq!(short.address(), None, "{cut} bytes");
        }
    }
}
