//! How connections begin, and what may come before they have.

use super::*;

#[test]
fn only_a_connection_that_was_seen_to_open_is_told() {
    let (opener, other) = (null("SUB"), null("PUB"));
    let mut wire = Wire { recogniser: Recogniser::new() };
    wire.data(Opener, 0, &opener).must_fit();
    wire.data(Other, 0, &other).must_fit();
    assert_eq!(wire.send(Other, STARTS[1] - 1, SYN | ACK, b""), Fit::Fits);
    assert_eq!((wire.recognised(), wire.recogniser.is_open()), (Recognised::Untold, false));
    wire.send(Opener, STARTS[0].wrapping_sub(1), SYN, b"").must_fit();
    assert_eq!(wire.recognised(), Recognised::Undecided);
    assert_eq!(wire.data(Opener, 0, &opener), Fit::Gap, "before the answer");
    assert_eq!(wire.data(Other, 0, &other), Fit::Gap);
    let answer = |acknowledges| Segment { sequence: 99, acknowledges, flags: SYN | ACK, payload: b"" };
    for wrong in [STARTS[0].wrapping_sub(1), STARTS[0].wrapping_add(1), 0x1234] {
        assert_eq!(wire.recogniser.hear(Other, &answer(wrong)), Fit::Gap, "answers another SYN");
    }
    assert_eq!(wire.recogniser.hear(Opener, &answer(STARTS[0])), Fit::Gap);
    assert!(!wire.recogniser.is_open());
    wire.send(Other, STARTS[1] - 1, SYN | ACK, b"").must_fit();
    wire.send(Other, STARTS[1] - 1, SYN | ACK, b"").must_fit();
    assert_eq!(wire.send(Other, STARTS[1] + 4, SYN | ACK, b""), Fit::Gap, "a second answer");
    assert_eq!(wire.send(Other, 4, SYN, b""), Fit::Gap, "both open");
    for odd in [SYN | FIN, SYN | RST, SYN | ACK | FIN] {
        assert_eq!(wire.send(Opener, 4, odd, b""), Fit::Gap);
    }
    wire.data(Opener, 0, &opener).must_fit();
    wire.data(Other, 0, &other).must_fit();
    assert!(wire.is_decided());
}

#[test]
fn a_new_syn_is_a_new_connection_and_the_old_one_does_not_pass_through_it() {
    let (opener, other) = (null("SUB"), null("PUB"));
    let mut wire = Wire::new();
    wire.data(Opener, 0, &opener).must_fit();
    wire.data(Other, 0, &other).must_fit();
    let told = wire.recognised();
    wire.send(Opener, STARTS[0].wrapping_sub(1), SYN, b"").must_fit();
    assert_eq!((wire.recognised(), wire.is_decided()), (told, true), "the same SYN again");
    wire.send(Opener, 0x5000_0000, SYN, b"").must_fit();
    assert_eq!(wire.recognised(), Recognised::Undecided);
    assert_eq!(wire.data(Opener, opener.len(), b"of the old one"), Fit::Gap);
    assert_eq!(wire.data(Other, other.len(), b"of the old one"), Fit::Gap);
}

/// Whether the other end took it cannot be told for certain: a second SYN may move where it begins, and an acknowledgement may
/// be of an older connection. TCP sends it again without the SYN.
#[test]
fn data_with_a_syn_does_not_pass_and_comes_again_without_it() {
    let (opener, other) = (null("SUB"), null("PUB"));
    let mut wire = Wire { recogniser: Recogniser::new() };
    let before = STARTS[0].wrapping_sub(1);
    assert_eq!(wire.send(Opener, before, SYN, &opener[..30]), Fit::Gap);
    assert_eq!(wire.recogniser.state, State::Closed, "nothing has begun");
    wire.send(Opener, before, SYN, b"").must_fit();
    assert_eq!(wire.send(Opener, before, SYN, &opener[..30]), Fit::Gap);
    let second = STARTS[0].wrapping_sub(51);
    assert_eq!(wire.send(Opener, second, SYN, &[b'G'; 59]), Fit::Gap, "which moves nothing");
    assert_eq!(wire.send(Other, STARTS[1] - 1, SYN | ACK, &other[..30]), Fit::Gap);
    assert!(!wire.recogniser.is_open());
    wire.send(Other, STARTS[1] - 1, SYN | ACK, b"").must_fit();
    assert_eq!(wire.send(Opener, before, SYN, &opener[..30]), Fit::Gap);
    wire.data(Opener, 0, &opener).must_fit();
    wire.data(Other, 0, &other).must_fit();
    assert_eq!(wire.recognised(), zmtp(b"NULL", [Is(SocketType::Sub), Is(SocketType::Pub)]));
}

/// Of an older connection between the same ports, when the SYN comes.
#[test]
fn an_old_acknowledgement_before_the_answer_acknowledges_nothing() {
    let mut wire = Wire { recogniser: Recogniser::new() };
    let before = STARTS[0].wrapping_sub(1);
    wire.send(Opener, before, SYN, b"").must_fit();
    let old = Segment { sequence: 77, acknowledges: STARTS[0].wrapping_add(60), flags: ACK, payload: b"" };
    wire.recogniser.hear(Other, &old).must_fit();
    wire.send(Opener, before, SYN, b"").must_fit();
    wire.send(Other, STARTS[1] - 1, SYN | ACK, b"").must_fit();
    wire.data(Opener, 0, &null("SUB")).must_fit();
    assert_eq!(wire.data(Opener, 0, &[b'G'; 60]), Fit::Gap);
}
