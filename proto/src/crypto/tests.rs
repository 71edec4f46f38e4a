//! The primitives against their RFCs, and the fast AEAD against the slow one.

use alloc::vec::Vec;

use chacha20poly1305::ChaCha20Poly1305;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn rfc_8439_appendix_a_5_opens() {
    let key: [u8; 32] =
        hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0").try_into().unwrap();
    // That vector's nonce is 00000000 0102030405060708: WireGuard's form.
    let counter = u64::from_le_bytes([1, 2, 3, 4, 5, 6, 7, 8]);
    let associated = hex("f33388860000000000004e91");
    let ciphertext = hex(concat!(
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf",
        "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4",
        "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a",
        "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29",
        "a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38",
    ));
    let tag = hex("eead9d67890cbb22392336fea1851f38");
    assert!(ciphertext.ends_with(&tag));
    let mut buffer = ciphertext.clone();
    let plaintext = AeadKey::new(&key).open(counter, &associated, &mut buffer).unwrap();
    assert!(plaintext.starts_with(b"Internet-Drafts are draft documents valid for"), "{plaintext:02x?}");
    assert_eq!(plaintext.len(), 265);
    let mut sealed = plaintext.to_vec();
    sealed.extend([0; TAG_LEN]);
    AeadKey::new(&key).seal(counter, &associated, &mut sealed);
    assert_eq!(sealed, ciphertext);
}

#[test]
fn rfc_7693_appendix_b_hashes() {
    let expected = hex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
    assert_eq!(hash(&[b"abc"]).to_vec(), expected);
    assert_eq!(hash(&[b"a", b"", b"bc"]).to_vec(), expected);
}

#[test]
fn a_hasher_begins_anew_after_it_finished() {
    let mut hasher = Hasher::new();
    hasher.update(b"x");
    assert_eq!(hasher.finish(), hash(&[b"x"]));
    assert_eq!(hasher.finish(), hash(&[]));
}

#[test]
fn the_fast_aead_agrees_with_the_oracle() {
    let key: [u8; 32] = core::array::from_fn(|at| at as u8);
    let fast = AeadKey::new(&key);
    let oracle = ChaCha20Poly1305::new((&key).into());
    for len in (0..200).chain([255, 256, 257, 1023, 1420, 1500, 9000, 65_000]) {
        let plaintext: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
        let counter = (len as u64) << 33 | 5;
        let mut sealed = plaintext.clone();
        sealed.extend([0; TAG_LEN]);
        fast.seal(counter, b"aad", &mut sealed);
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_le_bytes());
        let mut expected = plaintext.clone();
        let tag = oracle.encrypt_in_place_detached((&nonce).into(), b"aad", &mut expected).unwrap();
        expected.extend(tag);
        assert_eq!(sealed, expected, "length {len}");
        sealed[len / 2] ^= 1;
        assert_eq!(fast.open(counter, b"aad", &mut sealed.clone()).unwrap_err(), Discard::NotAuthentic);
        sealed[len / 2] ^= 1;
        assert_eq!(fast.open(counter + 1, b"aad", &mut sealed.clone()).unwrap_err(), Discard::NotAuthentic);
        assert_eq!(fast.open(counter, b"aad", &mut sealed).unwrap(), plaintext);
    }
}

#[test]
fn what_is_shorter_than_a_tag_does_not_open() {
    for len in 0..TAG_LEN {
        assert!(AeadKey::new(&[1; 32]).open(0, &[], &mut [0; TAG_LEN][..len]).is_err(), "length {len}");
    }
}

#[test]
fn a_cookie_opens_only_for_the_message_it_answers() {
    let (key, nonce, mac1, cookie) = ([1; 32], [2; 24], [3; 16], [4; 16]);
    let sealed = seal_cookie(&key, &nonce, &mac1, &cookie);
    assert_eq!(open_cookie(&key, &nonce, &mac1, &sealed), Ok(cookie.into()));
    assert_eq!(open_cookie(&key, &nonce, &[9; 16], &sealed), Err(Discard::NotAuthentic));
    assert_eq!(open_cookie(&[9; 32], &nonce, &mac1, &sealed), Err(Discard::NotAuthentic));
    let mut forged = sealed;
    forged[0] ^= 1;
    assert_eq!(open_cookie(&key, &nonce, &mac1, &forged), Err(Discard::NotAuthentic));
}

#[test]
fn macs_differ_by_key_and_by_content() {
    assert!(equal(&mac(&[1; 32], &[b"ab"]), &mac(&[1; 32], &[b"a", b"b"])));
    assert!(!equal(&mac(&[1; 32], &[b"ab"]), &mac(&[2; 32], &[b"ab"])));
    assert!(!equal(&mac(&[1; 16], &[b"ab"]), &mac(&[1; 16], &[b"ac"])));
}
