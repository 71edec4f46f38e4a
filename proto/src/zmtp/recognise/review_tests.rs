//! Review 1: two ways to be heard otherwise than read, both with data in the SYN.

use super::*;
use End::{Opener, Other};

const JUNK: &[u8; 60] = &[b'G'; 60];

fn greeting() -> alloc::vec::Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL".to_vec();
    bytes.resize(64, 0);
    bytes
}

fn hear(recogniser: &mut Recogniser, from: End, numbers: (u32, u32), flags: u8, payload: &[u8]) -> Fit {
    let (sequence, acknowledges) = numbers;
    recogniser.hear(from, &Segment { sequence, acknowledges, flags, payload })
}

/// The opener does not answer the SYN-ACK, but sends another SYN, 50 before the first, with data. An end in SYN-RECEIVED leaves
/// its request as it is (Linux answers with an ACK) and sends its SYN-ACK again: it has never seen the data, and begins to hear at
/// the number of the first SYN.
#[test]
fn a_second_syn_does_not_move_the_start_of_what_the_other_end_hears() {
    let mut recogniser = Recogniser::new();
    let real = greeting();
    assert_eq!(hear(&mut recogniser, Opener, (999, 0), SYN, b""), Fit::Fits);
    assert_eq!(hear(&mut recogniser, Other, (4_999, 1_000), SYN | ACK, b""), Fit::Fits);
    let trick = [&JUNK[..50], &real[..9]].concat();
    let tricked = hear(&mut recogniser, Opener, (949, 0), SYN, &trick);
    let again = hear(&mut recogniser, Other, (4_999, 1_000), SYN | ACK, b"");
    let sent = hear(&mut recogniser, Opener, (1_000, 5_000), ACK, &real);
    let stopped = [tricked, again, sent].contains(&Fit::Gap);
    assert!(
        stopped || recogniser.recognised() != Recognised::Other,
        "the other end hears a greeting of ZMTP, and it was recognised as {:?}",
        recogniser.recognised()
    );
}

/// An ACK of an older connection of the same ports (a challenge ACK, or one from TIME-WAIT) counts as an acknowledgement of
/// what came with the SYN, so that other bytes may be sent in its place.
#[test]
fn an_old_acknowledgement_proves_nothing_about_the_data_of_a_syn() {
    let mut recogniser = Recogniser::new();
    let trick = hear(&mut recogniser, Opener, (999, 0), SYN, JUNK);
    // The other end knows another connection, and says how far it is: 1060.
    let challenge = hear(&mut recogniser, Other, (77, 1_060), ACK, b"");
    let reset = hear(&mut recogniser, Opener, (1_060, 0), RST, b"");
    let syn = hear(&mut recogniser, Opener, (999, 0), SYN, b"");
    let answer = hear(&mut recogniser, Other, (4_999, 1_000), SYN | ACK, b"");
    let sent = hear(&mut recogniser, Opener, (1_000, 5_000), ACK, &greeting());
    assert!(
        [trick, challenge, reset, syn, answer, sent].contains(&Fit::Gap),
        "the other end hears a greeting of ZMTP, and it was recognised as {:?}",
        recogniser.recognised()
    );
}
