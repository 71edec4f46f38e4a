//! As many peers and prefixes as WireGuard's own tests give to a device.

use std::fmt::Write;
use std::path::Path;

use lockgate_tests::network::{Begins, Lab, Plan};

use super::{ping, subjects};

/// Prefixes in one go: more than fit into any one message of `wg`.
const PREFIXES: usize = 130_000;
const PEERS: usize = 40;

#[test]
fn one_set_may_hold_130_000_prefixes() {
    let Some((lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    let mut list = String::from("10.100.0.2/32, fd00:100::2/128");
    for number in 2..PREFIXES {
        let [_, high, mid, low] = u32::try_from(number).expect("a small number").to_be_bytes();
        if number % 2 == 0 {
            write!(list, ", 11.{high}.{mid}.{low}/32").expect("a string grows");
        } else {
            write!(list, ", fd01::{high:x}:{mid:x}:{low:x}/128").expect("a string grows");
        }
    }
    set_peer(&lab, &pair.left, &format!("PublicKey = {}\nAllowedIPs = {list}\n", pair.right.key.public));
    let peer = pair.left.device.peer();
    assert_eq!(peer.allowed_ips.len(), PREFIXES);
    let mut distinct = peer.allowed_ips;
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), PREFIXES);
    // They are routed by: the last of each family arrives, though nobody has it as an address.
    super::count_arriving(
        &pair.right.namespace,
        &[("last", &format!("iifname {} ip daddr 11.1.251.206", pair.right.device.name()))],
    );
    pair.left.namespace.ip(&format!("route add 11.0.0.0/8 dev {}", pair.left.device.name()));
    assert!(!lockgate_tests::network::answers(&pair.left.namespace, [11, 1, 251, 206].into(), 1));
    assert_eq!(super::counted(&pair.right.namespace, "last"), 1);
    ping(&pair.left.namespace, pair.right.v4.into());
    // And back to two.
    pair.left
        .device
        .set(&format!("peer {} allowed-ips 10.100.0.2/32,fd00:100::2/128", pair.right.key.public));
    assert_eq!(pair.left.device.peer().allowed_ips.len(), 2);
    ping(&pair.left.namespace, pair.right.v4.into());
}

#[test]
fn forty_peers_stand_beside_each_other() {
    let Some((lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    let mut peers = String::new();
    for number in 1..PEERS {
        let key = lab.key_pair().public;
        let prefixes: Vec<String> = (0..9).map(|host| format!("10.{number}.0.{host}/32")).collect();
        writeln!(
            peers,
            "[Peer]\nPublicKey = {key}\nAllowedIPs = {}\nEndpoint = 192.0.2.{number}:{number}\nPersistentKeepalive = {number}",
            prefixes.join(", ")
        )
        .expect("a string grows");
    }
    let file = lab.private_file(&peers);
    pair.left.device.try_wg("addconf", &file.display().to_string()).expect("forty peers");
    let known = pair.left.device.peers();
    assert_eq!(known.len(), PEERS);
    for number in 1..PEERS {
        let keepalive = u16::try_from(number).expect("a small number");
        let found: Vec<_> = known.iter().filter(|peer| peer.keepalive == Some(keepalive)).collect();
        assert_eq!(found.len(), 1, "the peer with a keepalive of {number}");
        assert_eq!(found[0].allowed_ips.len(), 9);
        assert_eq!(found[0].endpoint.map(|endpoint| endpoint.port()), Some(keepalive));
    }
    ping(&pair.left.namespace, pair.right.v4.into());
}

fn set_peer(lab: &Lab, end: &lockgate_tests::network::End, peer: &str) {
    let file = lab.private_file(&format!("[Peer]\n{peer}"));
    let file: &Path = &file;
    end.device.try_wg("addconf", &file.display().to_string()).expect("a peer with many prefixes");
}
