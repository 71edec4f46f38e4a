//! A path narrower than an Ethernet: the nodes run in a namespace whose loopback carries 1280 bytes.
//!
//! ```text
//!  PUSH ── ipc ── [ beta ══ UDP, lo mtu 1280 ══ alpha ] ── ipc ── PULL
//! ```

use lockgate_tests::rig::{Namespace, Pair, Plan, offer, one_service, uses};

use crate::apps::{bound, connected, receive_numbered, send_numbered};

#[test]
fn a_path_that_fragments_full_datagrams_loses_nothing() {
    let Some(namespace) = Namespace::with_loopback_mtu(1280) else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let [near, far] = ["near", "far"].map(|side| format!("ipc://{}", dir.path().join(side).display()));
    let nodes = Pair::start(&Plan {
        policy: one_service("samples", "pull", ""),
        alpha: offer("samples", &near),
        beta: uses("samples", &far),
        namespace: Some(namespace.name().to_owned()),
        ..Plan::default()
    });
    let sink = bound(zmq::PULL, &near);
    let source = connected(zmq::PUSH, &far);
    let sending = std::thread::spawn(move || send_numbered(&source, 2_000, 4096));
    receive_numbered(&sink, 2_000);
    sending.join().expect("everything was sent");
    nodes.alpha.assert_no_errors();
    nodes.beta.assert_no_errors();
}
