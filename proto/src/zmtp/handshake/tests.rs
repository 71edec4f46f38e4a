use super::*;
use alloc::{vec, vec::Vec};

/// What libzmq 4.3 sends: 10 bytes, then 1, then 53 (seen on the wire), then READY without waiting for ours.
const SIGNATURE_BYTES: &[u8] = b"\xff\0\0\0\0\0\0\0\x01\x7f";

fn rest(minor: u8, mechanism: &[u8]) -> Vec<u8> {
    let mut bytes = [0; REST];
    bytes[0] = minor;
    bytes[1..=mechanism.len()].copy_from_slice(mechanism);
    bytes.to_vec()
}

fn hello(version: Version, socket_type: SocketType, identity: &'static [u8]) -> Hello {
    Hello::new(version, socket_type, Bytes::from_static(identity)).unwrap()
}

fn ready(socket_type: SocketType, identity: &'static [u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    hello(Version::V3_1, socket_type, identity).encode_ready(&mut out);
    out.to_vec()
}

fn greeting(minor: u8, mechanism: &[u8]) -> Vec<u8> {
    [SIGNATURE_BYTES, &[3], &rest(minor, mechanism)].concat()
}

/// A 2.0 application: signature, revision 1, type, identity.
fn old(socket_type: SocketType, identity: &[u8]) -> Vec<u8> {
    [SIGNATURE_BYTES, &[1, socket_type.code(), 0, identity.len() as u8], identity].concat()
}

/// Plays `script` in pieces that end at `cuts` and answers when asked; what we sent, the outcome, what was left.
fn play(
    mut shake: Handshake,
    script: &[u8],
    cuts: &[usize],
) -> (Vec<u8>, Result<Option<Hello>, Fault>, Vec<u8>) {
    let (mut input, mut out, mut known) = (BytesMut::new(), BytesMut::new(), None);
    shake.greet(&mut out);
    let mut from = 0;
    for &to in cuts.iter().chain([&script.len()]) {
        input.extend_from_slice(&script[from..to]);
        from = to;
        match shake.handle(&mut input, &mut out) {
            Ok(None) => {}
            Ok(Some(peer)) => {
                assert!(known.replace(peer.clone()).is_none(), "known twice");
                let kind = peer.socket_type.counterparts()[0];
                shake.answer(&hello(peer.version, kind, b"us"), &mut out);
            }
            Err(fault) => return (out.to_vec(), Err(fault), input.to_vec()),
        }
    }
    (out.to_vec(), Ok(known), input.to_vec())
}

#[test]
fn libzmq_is_never_kept_waiting() {
    let mut shake = Handshake::accepting();
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    shake.greet(&mut out);
    let all = [greeting(1, b"NULL"), ready(SocketType::Sub, b"")].concat();
    let mut fed = 0;
    for (upto, sends, waits) in [
        (0, SIGNATURE_BYTES.to_vec(), Progress::Signature),
        (9, vec![], Progress::Signature),
        (10, vec![3], Progress::Revision),
        (11, rest(1, b"NULL"), Progress::Greeting),
        (63, vec![], Progress::Greeting),
        (64, vec![], Progress::Ready),
        (all.len() - 1, vec![], Progress::Ready),
        (all.len(), vec![], Progress::Answer),
    ] {
        input.extend_from_slice(&all[fed..upto]);
        fed = upto;
        let known = shake.handle(&mut input, &mut out).unwrap();
        assert_eq!(out.split().to_vec(), sends, "after {upto} bytes");
        assert_eq!(shake.progress(), waits, "after {upto} bytes");
        assert_eq!(known.is_some(), waits == Progress::Answer);
    }
    assert_eq!(shake.peer_version(), Some(Version::V3_1));
    assert_eq!(shake.peer_mechanism(), Some(Mechanism::Null));
    shake.answer(&hello(Version::V3_1, SocketType::Pub, b""), &mut out);
    assert_eq!(out.split().to_vec(), ready(SocketType::Pub, b""));
    assert_eq!(shake.progress(), Progress::Done);
    shake.answer(&hello(Version::V3_1, SocketType::Pub, b""), &mut out);
    assert!(out.is_empty(), "an answer is given once");
}

#[test]
fn a_dialled_libzmq_gets_our_ready_without_having_sent_its_own() {
    let our = hello(Version::V3_1, SocketType::Dealer, b"edge");
    let mut shake = Handshake::dialing(our);
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    shake.greet(&mut out);
    assert_eq!(&out.split()[..], b"\xff\0\0\0\0\0\0\0\x05\x7f", "the length field is the identity's and one");
    input.extend_from_slice(&greeting(1, b"NULL"));
    assert_eq!(shake.handle(&mut input, &mut out), Ok(None));
    let sent = [&[3][..], &rest(1, b"NULL"), &ready(SocketType::Dealer, b"edge")].concat();
    assert_eq!(out.split().to_vec(), sent);
    input.extend_from_slice(&ready(SocketType::Router, b"hub"));
    input.extend_from_slice(b"\x00\x01x");
    let peer = shake.handle(&mut input, &mut out).unwrap().unwrap();
    assert_eq!((peer.socket_type, &peer.identity[..]), (SocketType::Router, &b"hub"[..]));
    assert_eq!(shake.progress(), Progress::Done);
    assert_eq!(shake.handle(&mut input, &mut out), Ok(None));
    assert_eq!(&input[..], b"\x00\x01x", "traffic stays where it is");
    assert!(out.is_empty());
}

#[test]
fn a_2_0_application_that_waits_for_our_type_gets_through() {
    let mut shake = Handshake::accepting();
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    shake.greet(&mut out);
    let script = old(SocketType::Dealer, b"old");
    input.extend_from_slice(&script[..10]);
    assert_eq!(shake.handle(&mut input, &mut out), Ok(None));
    input.extend_from_slice(&script[10..12]);
    assert_eq!(shake.handle(&mut input, &mut out), Ok(None));
    assert_eq!(out.split().to_vec(), [SIGNATURE_BYTES, &[3, SocketType::Router.code()]].concat());
    input.extend_from_slice(&script[12..]);
    let peer = shake.handle(&mut input, &mut out).unwrap().unwrap();
    assert_eq!(peer, hello(Version::V2_0, SocketType::Dealer, b"old"));
    assert_eq!((shake.peer_version(), shake.peer_mechanism()), (Some(Version::V2_0), None));
    shake.answer(&hello(Version::V3_1, SocketType::Router, b"hub"), &mut out);
    assert_eq!(&out[..], b"\x00\x03hub");
    assert_eq!(shake.progress(), Progress::Done);
}

#[test]
fn a_dialled_2_0_application_gets_type_and_identity_and_never_64_bytes() {
    let dealer = hello(Version::V3_1, SocketType::Dealer, b"me");
    let (sent, known, left) = play(Handshake::dialing(dealer), &old(SocketType::Rep, b""), &[10, 12]);
    assert_eq!(sent, b"\xff\0\0\0\0\0\0\0\x03\x7f\x03\x05\x00\x02me");
    assert_eq!(known, Ok(Some(hello(Version::V2_0, SocketType::Rep, b""))));
    assert!(left.is_empty());
}

#[test]
fn the_lower_minor_decides_the_version() {
    for (minor, version) in [(0, Version::V3_0), (1, Version::V3_1), (9, Version::V3_1)] {
        let script = [greeting(minor, b"NULL"), ready(SocketType::Push, b"")].concat();
        let (_, known, _) = play(Handshake::accepting(), &script, &[]);
        assert_eq!(known.unwrap().unwrap().version, version, "3.{minor}");
    }
}

#[test]
fn every_way_to_be_wrong_has_its_fault() {
    let shook = |tail: &[u8]| [&greeting(1, b"NULL")[..], tail].concat();
    let zmtp1 = b"\xff\0\0\0\0\0\0\0\x01\x00".to_vec();
    for (script, fault) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Fault::NotZmtp),
        (b"\x01\x00".to_vec(), Fault::NotZmtp),
        (b"\x00".to_vec(), Fault::NotZmtp),
        (zmtp1, Fault::NotZmtp),
        ([SIGNATURE_BYTES, b"\x00"].concat(), Fault::Revision),
        ([SIGNATURE_BYTES, b"\x01\x0b"].concat(), Fault::SocketType),
        ([SIGNATURE_BYTES, b"\x01\x05\x01"].concat(), Fault::Identity),
        ([SIGNATURE_BYTES, b"\x02\x05\x04"].concat(), Fault::Identity),
        (greeting(1, b"PLAIN"), Fault::Mechanism),
        (greeting(1, b"CURVE"), Fault::Mechanism),
        (greeting(1, b""), Fault::Mechanism),
        (shook(b"\x00\x05hello"), Fault::HandshakeFrame),
        (shook(b"\x05\x05hello"), Fault::Flags),
        (shook(b"\x08"), Fault::Flags),
        (shook(b"\x06\0\0\x40\0\0\0\0\0"), Fault::HandshakeTooLarge),
        (shook(b"\x06\0\0\0\x01\x40\0\0\0"), Fault::HandshakeTooLarge),
        (shook(b"\x06\0\0\0\0\0\x01\0\x01"), Fault::HandshakeTooLarge),
        (shook(b"\x06\xff\xff\xff\xff\xff\xff\xff\xff"), Fault::HandshakeTooLarge),
        (shook(b"\x04\x00"), Fault::HandshakeFrame),
        (shook(b"\x04\x06\x05HELLO"), Fault::HandshakeFrame),
        (shook(b"\x04\x06\x06READY"), Fault::HandshakeFrame),
        (shook(b"\x04\x06\x05ready"), Fault::HandshakeFrame),
        (shook(b"\x04\x0a\x05ERROR\x03300"), Fault::PeerError),
        (shook(b"\x04\x06\x05READY"), Fault::SocketType),
        (shook(b"\x04\x07\x05READY\x09"), Fault::Ready),
    ] {
        let drip: Vec<usize> = (0..script.len()).collect();
        for cuts in [&[][..], &drip] {
            let (_, result, _) = play(Handshake::accepting(), &script, cuts);
            assert_eq!(result, Err(fault), "{}", script.escape_ascii());
        }
    }
}

#[test]
fn a_refused_mechanism_can_be_named() {
    for (name, mechanism) in
        [(&b"PLAIN"[..], Mechanism::Plain), (b"CURVE", Mechanism::Curve), (b"X", Mechanism::Other)]
    {
        let mut shake = Handshake::accepting();
        let mut input = BytesMut::from(&greeting(1, name)[..]);
        let mut out = BytesMut::new();
        assert_eq!(shake.handle(&mut input, &mut out), Err(Fault::Mechanism));
        assert_eq!(shake.handle(&mut input, &mut out), Err(Fault::Mechanism), "a fault is final");
        assert_eq!(shake.peer_mechanism(), Some(mechanism));
        assert_eq!(shake.progress(), Progress::Failed);
    }
}

#[test]
fn whom_we_dialled_must_match_whom_we_speak_as() {
    let publisher = || Handshake::dialing(hello(Version::V3_1, SocketType::Pub, b""));
    for (script, fits) in [
        ([greeting(1, b"NULL"), ready(SocketType::Sub, b"")].concat(), true),
        ([greeting(1, b"NULL"), ready(SocketType::Pull, b"")].concat(), false),
        (old(SocketType::Xsub, b""), true),
        (old(SocketType::Pub, b""), false),
    ] {
        let (_, result, _) = play(publisher(), &script, &[]);
        assert_eq!(result.is_ok(), fits, "{}", script.escape_ascii());
        assert!(fits || result == Err(Fault::Incompatible));
    }
}

#[test]
fn an_exchange_cut_anywhere_ends_like_the_whole_one() {
    let mut long = BytesMut::new();
    let mut list = ready(SocketType::Router, b"hub").split_off(8);
    list.extend_from_slice(&[&b"\x01X\0\0\x01\x00"[..], &[9; 256]].concat());
    super::super::frame::encode_command(b"READY", &[&list], &mut long);
    let our = || Handshake::dialing(hello(Version::V3_1, SocketType::Dealer, b"me"));
    let scripts = [
        [greeting(1, b"NULL"), ready(SocketType::Router, b"id"), b"\x00\x02hi".to_vec()].concat(),
        [greeting(0, b"NULL"), long.to_vec(), b"\x01".to_vec()].concat(),
        [old(SocketType::Router, b"old"), b"\x01\x00\x00\x00".to_vec()].concat(),
    ];
    for (script, make) in scripts.iter().flat_map(|s| [(s, Handshake::accepting as fn() -> _), (s, our)]) {
        let whole = play(make(), script, &[]);
        assert!(matches!(whole.1, Ok(Some(_))), "{whole:?}");
        for cut in 0..script.len() {
            assert_eq!(play(make(), script, &[cut]), whole, "cut at {cut}");
        }
        let drip: Vec<usize> = (0..script.len()).collect();
        assert_eq!(play(make(), script, &drip), whole, "byte by byte");
    }
}

#[test]
fn an_announced_size_reserves_nothing() {
    let mut shake = Handshake::accepting();
    let mut out = BytesMut::new();
    let mut input = BytesMut::with_capacity(128);
    input.extend_from_slice(&greeting(1, b"NULL"));
    input.extend_from_slice(b"\x06\0\0\0\0\0\x01\0\0");
    assert_eq!(shake.handle(&mut input, &mut out), Ok(None));
    assert!(input.capacity() <= 128, "64 KiB were announced, none arrived");
    assert!(out.capacity() < 256);
}
