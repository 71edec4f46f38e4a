//! DEALER/ROUTER: the ROUTER sees each DEALER under the identity that it chose, and reaches it by that.

use std::collections::BTreeSet;

use crate::apps::{Bridge, connected, receive, receive_text, socket};

#[test]
fn identities_cross_unchanged_and_route_back() {
    let bridge = Bridge::tcp("work", "router", "");
    let router = bridge.host(zmq::ROUTER);
    let names = ["worker-a", "worker-b", "\u{1}\u{7f}odd"];
    let dealers = names.map(|name| {
        let dealer = socket(zmq::DEALER);
        dealer.set_identity(name.as_bytes()).expect("an identity");
        dealer.connect(&bridge.far).expect("the node listens");
        dealer.send_multipart(["hello", name], 0).expect("sent");
        dealer
    });
    let mut seen = BTreeSet::new();
    for _ in names {
        let message = receive(&router);
        assert_eq!(message.len(), 3, "identity, hello, name");
        assert_eq!(message[0], message[2], "the identity is the one that the DEALER set");
        seen.insert(message[0].clone());
    }
    assert_eq!(seen.len(), names.len());
    for name in names.iter().rev() {
        router.send_multipart([name.as_bytes(), b"for", name.as_bytes()], 0).expect("a known identity");
    }
    for (dealer, name) in dealers.iter().zip(names) {
        assert_eq!(receive_text(dealer), format!("for|{name}"));
    }
    bridge.assert_no_errors();
}

#[test]
fn a_dealer_without_identity_gets_its_own_replies() {
    let bridge = Bridge::tcp("work", "router", "");
    let router = bridge.host(zmq::ROUTER);
    let dealers = [(); 3].map(|()| connected(zmq::DEALER, &bridge.far));
    for (number, dealer) in dealers.iter().enumerate() {
        dealer.send(format!("{number}").as_str(), 0).expect("sent");
    }
    for _ in &dealers {
        let message = receive(&router);
        router.send_multipart(message, 0).expect("back to where it came from");
    }
    for (number, dealer) in dealers.iter().enumerate() {
        assert_eq!(receive_text(dealer), number.to_string());
    }
}

#[test]
fn a_req_talks_to_a_router() {
    let bridge = Bridge::tcp("work", "router", "");
    let router = bridge.host(zmq::ROUTER);
    let client = bridge.user(zmq::REQ);
    client.send("question", 0).expect("sent");
    let mut envelope = receive(&router);
    assert_eq!(envelope.pop().as_deref(), Some(b"question".as_slice()));
    envelope.push(b"answer".to_vec());
    router.send_multipart(envelope, 0).expect("a known identity");
    assert_eq!(receive_text(&client), "answer");
}
