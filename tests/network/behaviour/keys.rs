//! Keys that change, go away or are worth nothing.

use lockgate_tests::network::{Begins, End, Implementation, Plan, SOON, answers, eventually, preshared_key};

use super::{count_leaving, counted, ping, subject_lacks, subjects};

/// Every point of small order on the curve, as RFC 7748 would read it: nought, one, the two of order eight, and p-1, p, p+1.
const LOW_ORDER: [&str; 7] = [
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=",
    "X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc=",
    "7P///////////////////////////////////////38=",
    "7f///////////////////////////////////////38=",
    "7v///////////////////////////////////////38=",
];

#[test]
fn a_new_private_key_takes_a_new_handshake_at_once() {
    let Some((lab, mut pair)) = subjects(&Plan::default()) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    let old = pair.left.key.public.clone();
    pair.left.key = lab.key_pair();
    pair.left.device.set(&format!("private-key {}", pair.left.key.file.display()));
    pair.right.device.set(&format!("peer {old} remove"));
    pair.right.knows(&pair.left, None, "");
    assert!(answers(&pair.left.namespace, pair.right.v4.into(), 1), "a ping is answered within a second");
    ping(&pair.right.namespace, pair.left.v4.into());
}

#[test]
fn a_preshared_key_counts_from_the_next_handshake_on() {
    let Some((lab, mut pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    ping(&pair.left.namespace, pair.right.v4.into());
    let key = preshared_key(&lab).display().to_string();
    // The session that is there does not ask for it.
    share(&pair.left, &pair.right, &key);
    ping(&pair.left.namespace, pair.right.v4.into());
    share(&pair.right, &pair.left, &key);
    shake_hands_anew(&lab, &mut pair, &key);
    ping(&pair.left.namespace, pair.right.v4.into());
    assert!(pair.left.device.peer().preshared_key.is_some());
    // Cleared at one end: the next handshake fails.
    share(&pair.left, &pair.right, "/dev/null");
    assert_eq!(pair.left.device.peer().preshared_key, None);
    ping(&pair.left.namespace, pair.right.v4.into());
    shake_hands_anew(&lab, &mut pair, &key);
    assert!(!answers(&pair.left.namespace, pair.right.v4.into(), 2), "one end asks for a preshared key");
    // And at the other: the next attempt succeeds.
    share(&pair.right, &pair.left, "/dev/null");
    eventually("a handshake without a preshared key", SOON, || {
        answers(&pair.left.namespace, pair.right.v4.into(), 1).then_some(())
    });
}

fn share(end: &End, other: &End, file: &str) {
    end.device.set(&format!("peer {} preshared-key {file}", other.key.public));
}

/// A new key for the left end makes the next packet shake hands; the right end keeps its preshared key.
fn shake_hands_anew(lab: &lockgate_tests::network::Lab, pair: &mut lockgate_tests::network::Pair, key: &str) {
    let old = pair.left.key.public.clone();
    pair.left.key = lab.key_pair();
    pair.right.device.set(&format!("peer {old} remove"));
    pair.right.knows(&pair.left, None, &format!(" preshared-key {key}"));
    pair.left.device.set(&format!("private-key {}", pair.left.key.file.display()));
}

#[test]
fn nothing_is_sent_to_a_key_of_low_order() {
    let Some((_lab, pair)) = subjects(&Plan { begins: Begins::Left, ..Plan::default() }) else { return };
    count_leaving(&pair.left.namespace, &[("bad", "udp dport 9"), ("good", "udp dport 51820")]);
    for (number, key) in LOW_ORDER.iter().enumerate() {
        pair.left.device.set(&format!(
            "peer {key} persistent-keepalive 1 endpoint {}:9 allowed-ips 10.100.1.{number}/32",
            pair.right.wire_v4
        ));
    }
    // One that is as good as it should be, to know when the others had their time.
    pair.left.device.set(&format!("peer {} persistent-keepalive 1", pair.right.key.public));
    eventually("an initiation and four keepalives to a good key", SOON, || {
        (counted(&pair.left.namespace, "good") >= 5).then_some(())
    });
    for number in 0..LOW_ORDER.len() {
        assert!(!answers(&pair.left.namespace, [10, 100, 1, number as u8].into(), 1));
    }
    assert_eq!(counted(&pair.left.namespace, "bad"), 0, "packets to keys of low order");
    ping(&pair.left.namespace, pair.right.v4.into());
}

#[test]
fn a_device_whose_key_was_cleared_says_nothing() {
    if subject_lacks("fall silent without a key", &[Implementation::WireguardGo]) {
        return;
    }
    let Some((_lab, pair)) = subjects(&Plan::default()) else { return };
    let (left, right) = (&pair.left, &pair.right);
    ping(&left.namespace, right.v4.into());
    count_leaving(&left.namespace, &[("said", "udp dport 51820")]);
    left.device.set("private-key /dev/null");
    assert_eq!(left.device.wg("show", "private-key").trim(), "(none)");
    assert!(!answers(&left.namespace, right.v4.into(), 1));
    assert!(!answers(&right.namespace, left.v4.into(), 1));
    assert_eq!(counted(&left.namespace, "said"), 0);
    left.device.set(&format!("private-key {}", left.key.file.display()));
    assert!(answers(&left.namespace, right.v4.into(), 3), "the key is back");
}
