//! The answer to a `get`, in the reference implementation's order and with its omissions.

use std::fmt::Write;
use std::net::SocketAddr;

use lockgate_proto::keys::{KEY_HEX_LEN, PresharedKey, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use lockgate_proto::prefix::Prefix;

/// The state of a device.
#[derive(Debug, Default)]
pub struct Report {
    /// Its key, if it has one.
    pub private_key: Option<PrivateKey>,
    /// The UDP port that it listens on; 0 while it does not.
    pub listen_port: u16,
    /// The mark of its datagrams; 0 is none.
    pub fwmark: u32,
    /// Its peers, in the order to print. Give it its capacity at once: a list that grows leaves copies of the keys in it.
    pub peers: Vec<PeerReport>,
}

/// The state of a peer.
#[derive(Debug)]
pub struct PeerReport {
    /// Its name.
    pub public_key: PublicKey,
    /// The key that was shared beforehand, if one was.
    pub preshared_key: Option<PresharedKey>,
    /// Where it is, as far as known.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed, in seconds since the Unix epoch; 0 if never.
    pub last_handshake_seconds: u64,
    /// And the nanoseconds of that second.
    pub last_handshake_nanoseconds: u32,
    /// Bytes sent to it, headers of the tunnel included.
    pub tx_bytes: u64,
    /// Bytes received from it, headers of the tunnel included.
    pub rx_bytes: u64,
    /// Seconds between keepalives; 0 is off.
    pub keepalive: u16,
    /// Its allowed IPs, in the order to print.
    pub allowed_ips: Vec<Prefix>,
}

/// Longest text of the lines of a device without its peers, and of a peer without its allowed IPs.
const SECTION: usize = 512;
/// Longest line of an allowed IP: its key, an address of 45 characters, its length and the line's end.
const ALLOWED_IP: usize = 11 + 45 + 4 + 1;

impl Report {
    /// The whole answer, `errno=0` and the empty line included; dropping it wipes it.
    pub fn to_text(&self) -> Zeroizing<String> {
        let room = self.longest();
        let mut text = Zeroizing::new(String::with_capacity(room));
        self.write(&mut text);
        debug_assert!(text.len() <= room, "a text that grew has left a copy of its keys behind");
        text
    }

    /// Appends the whole answer. Room for it is the caller's: a text that grows leaves copies of the keys in it.
    pub fn write(&self, text: &mut String) {
        if let Some(key) = &self.private_key {
            text.push_str("private_key=");
            key.push_hex(text);
            text.push('\n');
        }
        for (key, value) in [("listen_port", self.listen_port.into()), ("fwmark", self.fwmark)] {
            if value != 0 {
                line(text, format_args!("{key}={value}"));
            }
        }
        for peer in &self.peers {
            peer.write(text);
        }
        line(text, format_args!("errno=0\n"));
    }

    /// No report is longer than this, in bytes.
    fn longest(&self) -> usize {
        let peers = self.peers.iter().map(|peer| SECTION + ALLOWED_IP * peer.allowed_ips.len());
        SECTION + peers.sum::<usize>()
    }
}

impl PeerReport {
    /// A peer of which nothing is known yet.
    pub fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            preshared_key: None,
            endpoint: None,
            last_handshake_seconds: 0,
            last_handshake_nanoseconds: 0,
            tx_bytes: 0,
            rx_bytes: 0,
            keepalive: 0,
            allowed_ips: Vec::new(),
        }
    }

    fn write(&self, text: &mut String) {
        text.push_str("public_key=");
        self.public_key.push_hex(text);
        text.push_str("\npreshared_key=");
        match &self.preshared_key {
            Some(key) => key.push_hex(text),
            None => text.extend(std::iter::repeat_n('0', KEY_HEX_LEN)),
        }
        text.push_str("\nprotocol_version=1\n");
        if let Some(endpoint) = self.endpoint {
            line(text, format_args!("endpoint={endpoint}"));
        }
        line(text, format_args!("last_handshake_time_sec={}", self.last_handshake_seconds));
        line(text, format_args!("last_handshake_time_nsec={}", self.last_handshake_nanoseconds));
        line(text, format_args!("tx_bytes={}", self.tx_bytes));
        line(text, format_args!("rx_bytes={}", self.rx_bytes));
        line(text, format_args!("persistent_keepalive_interval={}", self.keepalive));
        for range in &self.allowed_ips {
            line(text, format_args!("allowed_ip={}/{}", range.address(), range.bits()));
        }
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a String takes any text");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::allowed_ip;

    #[test]
    fn an_empty_device_says_only_that_it_is_fine() {
        assert_eq!(*Report::default().to_text(), "errno=0\n\n");
    }

    #[test]
    fn a_report_has_the_reference_implementations_order_and_omissions() {
        let mut known = PeerReport::new(PublicKey::from_bytes([0xab; 32]));
        known.preshared_key = Some(PresharedKey::from_bytes([0x01; 32]));
        known.endpoint = Some("[2001:db8::1]:51820".parse().unwrap());
        (known.last_handshake_seconds, known.last_handshake_nanoseconds) = (1_700_000_000, 5);
        (known.tx_bytes, known.rx_bytes, known.keepalive) = (u64::MAX, 92, 25);
        known.allowed_ips = ["10.0.0.0/8", "::/0"].map(|range| allowed_ip::parse(range).unwrap()).into();
        let new = PeerReport::new(PublicKey::from_bytes([0xcd; 32]));
        let report = Report {
            private_key: Some(PrivateKey::from_bytes([0x48; 32])),
            listen_port: 51820,
            fwmark: 51,
            peers: vec![known, new],
        };
        let expected = format!(
            "private_key={}\nlisten_port=51820\nfwmark=51\n\
             public_key={}\npreshared_key={}\nprotocol_version=1\nendpoint=[2001:db8::1]:51820\n\
             last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=18446744073709551615\nrx_bytes=92\n\
             persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\n\
             public_key={}\npreshared_key={}\nprotocol_version=1\n\
             last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n\
             persistent_keepalive_interval=0\nerrno=0\n\n",
            "48".repeat(32),
            "ab".repeat(32),
            "01".repeat(32),
            "cd".repeat(32),
            "0".repeat(64)
        );
        assert_eq!(*report.to_text(), expected);
    }

    #[test]
    fn the_longest_report_fits_the_room_that_was_made_for_it() {
        let widest = allowed_ip::parse("2001:1111:1111:1111:1111:1111:1111:1111/128").unwrap();
        let peer = || PeerReport {
            endpoint: Some("[fe80:1111:1111:1111:1111:1111:1111:1111%4294967295]:65535".parse().unwrap()),
            last_handshake_seconds: u64::MAX,
            last_handshake_nanoseconds: u32::MAX,
            tx_bytes: u64::MAX,
            rx_bytes: u64::MAX,
            keepalive: u16::MAX,
            allowed_ips: vec![widest; 1000],
            ..PeerReport::new(PublicKey::from_bytes([0xff; 32]))
        };
        let report = Report {
            private_key: Some(PrivateKey::from_bytes([1; 32])),
            listen_port: u16::MAX,
            fwmark: u32::MAX,
            peers: vec![peer(), peer()],
        };
        assert!(report.to_text().len() <= report.longest());
    }
}
