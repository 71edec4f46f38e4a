//! New keys under traffic: a TCP stream outlives every change of session.
//!
//! ```text
//!  left: subject  10.100.0.1 ── wire 10.99.0.1 ═════ veth ═════ wire 10.99.0.2 ── 10.100.0.2  right: other
//!       └──────────────────────────── a stream that never rests ───────────────────────────┘
//! ```

use std::time::Duration;

use lockgate_tests::network::{
    End, Flow, Implementation, Lab, Outer, Pair, Plan, SOON, answers, eventually, ping, preshared_key,
};

/// Bytes that are to cross before and after each change.
const STRETCH: u64 = 1_000_000;
/// After how long both ends have a new session, if traffic flows (REKEY_AFTER_TIME), and some more.
const REKEYED: Duration = Duration::from_secs(120 + 15);

with_each!(a_forgotten_peer_is_met_again_by_us, |other| under_traffic(other, |pair, _| {
    forget_and_meet(&pair.left, &pair.right);
}));
with_each!(a_forgotten_peer_is_met_again_by_the_other, |other| under_traffic(other, |pair, _| {
    forget_and_meet(&pair.right, &pair.left);
}));
with_each!(our_new_key_is_used_at_once, |other| under_traffic(other, |pair, lab| {
    change_key(lab, &mut pair.left, &pair.right);
}));
with_each!(the_others_new_key_is_used_at_once, |other| under_traffic(other, |pair, lab| {
    change_key(lab, &mut pair.right, &pair.left);
}));
with_each!(a_restarted_peer_that_speaks_is_heard_at_once, |other| under_traffic(other, |pair, lab| {
    restart(lab, &mut pair.right, &pair.left, "");
    await_answer(&pair.right, &pair.left);
}));
with_each!(we_are_heard_after_a_restart, |other| under_traffic(other, |pair, lab| {
    restart(lab, &mut pair.left, &pair.right, "");
    await_answer(&pair.left, &pair.right);
}));
with_each!(a_new_preshared_key_holds_from_the_next_handshake_on, |other| under_traffic(
    other,
    |pair, lab| {
        let preshared = format!(" preshared-key {}", preshared_key(lab).display());
        pair.left.device.set(&format!("peer {}{preshared}", pair.right.key.public));
        restart(lab, &mut pair.right, &pair.left, &preshared);
        await_answer(&pair.right, &pair.left);
    }
));

/// A peer that was restarted and says nothing is noticed by the one that sends: 15 seconds without an answer.
#[test]
fn a_silently_restarted_peer_is_noticed() {
    let other = Implementation::WireguardGo;
    let Some(lab) = Lab::open(&[other]) else { return };
    let mut pair = Pair::start(&lab, &Plan { right: other, ..Plan::default() });
    ping(&pair.left.namespace, pair.right.v4.into());
    restart(&lab, &mut pair.right, &pair.left, "");
    await_answer(&pair.left, &pair.right);
}

/// Takes more than two minutes: run it by name with `--ignored`.
#[test]
#[ignore = "waits for REKEY_AFTER_TIME, two minutes"]
fn a_session_is_renewed_by_time_under_traffic() {
    under_traffic(Implementation::WireguardGo, |pair, _| {
        let before = pair.left.device.peer().latest_handshake;
        eventually("a second handshake", REKEYED, || {
            (pair.left.device.peer().latest_handshake >= before + 100).then_some(())
        });
    });
}

/// A stream crosses before and after `change`.
fn under_traffic(other: Implementation, change: impl FnOnce(&mut Pair, &Lab)) {
    let Some(lab) = Lab::open(&[other]) else { return };
    let mut pair = Pair::start(&lab, &Plan { right: other, ..Plan::default() });
    let flow = Flow::start(&pair.left.namespace, &pair.right.namespace, pair.right.v4.into());
    flow.advance("before the change", STRETCH);
    change(&mut pair, &lab);
    flow.advance("after the change", STRETCH);
    flow.finish();
    // Only the subject is asked: boringtun shows no handshake that it answered.
    assert_ne!(pair.left.device.peer().latest_handshake, 0);
}

/// Pings are lost where a stream fills every queue, so one that is answered will do.
fn await_answer(from: &End, to: &End) {
    eventually("an answer", SOON, || answers(&from.namespace, to.v4.into(), 1).then_some(()));
}

fn forget_and_meet(end: &End, other: &End) {
    end.device.set(&format!("peer {} remove", other.key.public));
    assert!(end.device.peers().is_empty());
    end.knows(other, Some(other.endpoint(Outer::V4)), "");
    // The other's next data belongs to a session that this end has forgotten, so this end must speak.
    await_answer(end, other);
}

fn change_key(lab: &Lab, end: &mut End, other: &End) {
    let old = std::mem::replace(&mut end.key, lab.key_pair());
    other.device.set(&format!("peer {} remove", old.public));
    other.knows(end, Some(end.endpoint(Outer::V4)), "");
    if end.device.implementation() == Implementation::Gotatun {
        // It opens its sockets anew before it lets go of the old ones, finds its own port taken, and is deaf then.
        restart(lab, end, other, "");
        await_answer(end, other);
    } else {
        end.device.set(&format!("private-key {}", end.key.file.display()));
    }
}

/// Ends an end's program and starts it again with the same port.
fn restart(lab: &Lab, end: &mut End, other: &End, more: &str) {
    end.restart(lab, Plan::default().mtu);
    end.knows(other, Some(other.endpoint(Outer::V4)), more);
}
