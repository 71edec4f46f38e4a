//! Transcripts with fixed keys against an independent computation (`tests/vectors/noise-ikpsk2.py`), and what must fail.

use alloc::vec::Vec;

use super::*;
use crate::crypto::TAG_LEN;

/// Entropy that gives the one key it was made with.
struct Drawn([u8; 32]);
impl Entropy for Drawn {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.chunks_mut(32).for_each(|chunk| chunk.copy_from_slice(&self.0));
    }
}

fn pair() -> (Identity, Identity) {
    let mut initiator = Identity::new(PrivateKey::from_bytes([1; 32]));
    let mut responder = Identity::new(PrivateKey::from_bytes([2; 32]));
    initiator.know(responder.public()).unwrap();
    responder.know(initiator.public()).unwrap();
    (initiator, responder)
}

fn begin(identity: &Identity, to: &PublicKey) -> (Initiator, [u8; NOISE_INITIATION_LEN]) {
    let mut message = [0; NOISE_INITIATION_LEN];
    let initiator =
        Initiator::begin(identity, to, Tai64n::default(), &mut Drawn([3; 32]), &mut message).unwrap();
    (initiator, message)
}

#[test]
fn handshakes_equal_an_independent_computation() {
    let vectors = include_str!("../../../tests/vectors/noise-ikpsk2.txt");
    let mut count = 0;
    for vector in vectors.split_terminator("\n\n") {
        let bytes = |name: &str| -> Vec<u8> {
            let line = vector.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
            let text = line.split(' ').nth(1).unwrap();
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
        };
        let key = |name: &str| -> [u8; 32] { bytes(name).try_into().unwrap() };
        let mut ours = Identity::new(PrivateKey::from_bytes(key("initiator")));
        let mut theirs = Identity::new(PrivateKey::from_bytes(key("responder")));
        ours.know(theirs.public()).unwrap();
        theirs.know(ours.public()).unwrap();
        let preshared = PresharedKey::from_bytes(key("preshared"));
        let timestamp = Tai64n::from_bytes(bytes("timestamp").try_into().unwrap());

        let mut first = [0; NOISE_INITIATION_LEN];
        let mut ephemeral = Drawn(key("initiator_ephemeral"));
        let initiator =
            Initiator::begin(&ours, &theirs.public(), timestamp, &mut ephemeral, &mut first).unwrap();
        assert_eq!(first.to_vec(), bytes("first"));
        let responder = Responder::read(&theirs, &mut Drawn(key("responder_ephemeral")), &first).unwrap();
        assert_eq!((responder.remote(), responder.timestamp()), (ours.public(), timestamp));
        let mut second = [0; NOISE_RESPONSE_LEN];
        let responder = responder.respond(&preshared, &mut second).unwrap();
        assert_eq!(second.to_vec(), bytes("second"));
        let mut began = initiator;
        let initiator = began.finish(&preshared, &second).unwrap();
        let shown = began.state.dangerously_get_raw_split();
        assert_ne!(shown.0.to_vec(), bytes("to_responder"), "snow sees session keys masked");
        assert_ne!(shown.1.to_vec(), bytes("to_initiator"), "snow sees session keys masked");

        let mut data = b"a payload".to_vec();
        data.extend([0; TAG_LEN]);
        initiator.send.seal(7, &[], &mut data);
        assert_eq!(data, bytes("data"));
        assert_eq!(responder.receive.open(7, &[], &mut data).unwrap(), b"a payload");
        let mut back = [0; TAG_LEN];
        AeadKey::new(&key("to_initiator")).seal(0, &[], &mut back);
        assert!(initiator.receive.open(0, &[], &mut back).is_ok());
        let mut sent = [0; TAG_LEN];
        responder.send.seal(1, &[], &mut sent);
        assert!(initiator.receive.open(1, &[], &mut sent).is_ok());
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn a_forged_answer_leaves_the_initiator_as_it_was() {
    let (ours, theirs) = pair();
    let (mut initiator, first) = begin(&ours, &theirs.public());
    let mut second = [0; NOISE_RESPONSE_LEN];
    let psk = PresharedKey::absent();
    Responder::read(&theirs, &mut Drawn([4; 32]), &first).unwrap().respond(&psk, &mut second).unwrap();
    for at in 0..second.len() {
        let mut forged = second;
        forged[at] ^= 0x40;
        assert!(initiator.finish(&psk, &forged).is_err(), "byte {at}");
    }
    assert_eq!(initiator.finish(&psk, &[0; NOISE_RESPONSE_LEN]).err(), Some(Discard::LowOrder));
    assert_eq!(
        initiator.finish(&PresharedKey::from_bytes([1; 32]), &second).err(),
        Some(Discard::NotAuthentic)
    );
    assert!(initiator.finish(&psk, &second).is_ok());
}

#[test]
fn an_altered_first_message_is_refused_wherever_it_was_altered() {
    let (ours, theirs) = pair();
    let (_, first) = begin(&ours, &theirs.public());
    for at in 0..first.len() {
        let mut altered = first;
        altered[at] ^= 0x40;
        assert_eq!(
            Responder::read(&theirs, &mut Drawn([4; 32]), &altered).err(),
            Some(Discard::NotAuthentic),
            "byte {at}"
        );
    }
    assert!(Responder::read(&theirs, &mut Drawn([4; 32]), &first).is_ok());
}

#[test]
fn a_stranger_is_recognised_as_one() {
    let (_, theirs) = pair();
    let mut stranger = Identity::new(PrivateKey::from_bytes([9; 32]));
    stranger.know(theirs.public()).unwrap();
    let (_, first) = begin(&stranger, &theirs.public());
    assert_eq!(Responder::read(&theirs, &mut Drawn([4; 32]), &first).err(), Some(Discard::UnknownPeer));
}

#[test]
fn low_order_ephemerals_are_refused() {
    let (ours, theirs) = pair();
    let (_, mut first) = begin(&ours, &theirs.public());
    first[..32].fill(0);
    assert_eq!(Responder::read(&theirs, &mut Drawn([4; 32]), &first).err(), Some(Discard::LowOrder));
    assert_eq!(
        Identity::new(PrivateKey::from_bytes([1; 32])).know(PublicKey::from_bytes([0; 32])),
        Err(LowOrderKey)
    );
}

#[test]
fn what_nobody_knows_cannot_be_called() {
    let (ours, _) = pair();
    let mut message = [0; NOISE_INITIATION_LEN];
    let begun = Initiator::begin(
        &ours,
        &PublicKey::from_bytes([5; 32]),
        Tai64n::default(),
        &mut Drawn([3; 32]),
        &mut message,
    );
    assert_eq!(begun.err(), Some(Discard::NoSuchPeer));
}
