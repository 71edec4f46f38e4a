//! What snow may see of the keys that open a session: the chaining key, the preshared key and the two split keys, each
//! combined with random bytes of this handshake that are wiped when it ends.
//!
//! snow carries the chaining key from one derivation to the next and never looks at it, so the derivation (HKDF, Noise 4.3)
//! takes the mask off what comes in and puts it on what goes out.

use alloc::sync::Arc;
use core::ops::Range;

use snow::types::Hash;
use zeroize::Zeroizing;

use crate::crypto::{HASH_LEN, Hasher};
use crate::entropy::Entropy;
use crate::keys::KEY_LEN;

/// Bytes that a BLAKE2s hash takes at once.
const BLOCK_LEN: usize = 64;

/// Covers the chaining key.
const CHAINING: Range<usize> = 0..32;
/// Covers the preshared key.
pub(super) const PRESHARED: Range<usize> = 32..64;
/// Covers the first split key.
pub(super) const TO_RESPONDER: Range<usize> = 64..96;
/// Covers the second split key.
pub(super) const TO_INITIATOR: Range<usize> = 96..128;

/// The random bytes of one handshake.
pub(super) struct Mask(Zeroizing<[u8; 128]>);

impl Mask {
    /// A new one; drawn where it stays, so that there is no other copy to wipe.
    pub(super) fn draw(secret: &mut dyn Entropy) -> Arc<Self> {
        let mut mask = Arc::new(Self(Zeroizing::new([0; 128])));
        secret.fill(&mut *Arc::get_mut(&mut mask).expect("nobody else has it yet").0);
        mask
    }

    /// Puts the mask on, or takes it off.
    fn apply(&self, part: Range<usize>, key: &mut [u8]) {
        for (byte, mask) in key.iter_mut().zip(&self.0[part]) {
            *byte ^= mask;
        }
    }

    /// A key with the mask put on, or taken off.
    pub(super) fn applied(&self, part: Range<usize>, key: &[u8; KEY_LEN]) -> Zeroizing<[u8; KEY_LEN]> {
        let mut applied = Zeroizing::new(*key);
        self.apply(part, &mut *applied);
        applied
    }
}

/// BLAKE2s whose key derivation gives out masked keys.
pub(super) struct MaskedBlake2s {
    hasher: Hasher,
    mask: Arc<Mask>,
    /// The first chaining key is the protocol's name, which snow has from elsewhere.
    begun: bool,
}

impl MaskedBlake2s {
    pub(super) fn new(mask: Arc<Mask>) -> Self {
        Self { hasher: Hasher::new(), mask, begun: false }
    }

    /// HMAC (RFC 2104).
    fn hmac_of(&mut self, key: &[u8; HASH_LEN], parts: &[&[u8]]) -> Zeroizing<[u8; HASH_LEN]> {
        let mut pad = Zeroizing::new([0x36; BLOCK_LEN]);
        pad.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        self.hasher.update(&*pad);
        for part in parts {
            self.hasher.update(part);
        }
        let inner = Zeroizing::new(self.hasher.finish());
        pad.iter_mut().for_each(|pad| *pad ^= 0x36 ^ 0x5c);
        self.hasher.update(&*pad);
        self.hasher.update(&*inner);
        Zeroizing::new(self.hasher.finish())
    }
}

impl Hash for MaskedBlake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        BLOCK_LEN
    }

    fn hash_len(&self) -> usize {
        HASH_LEN
    }

    fn reset(&mut self) {
        self.hasher = Hasher::new();
    }

    fn input(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..HASH_LEN].copy_from_slice(&self.hasher.finish());
    }

    fn hkdf(
        &mut self,
        chaining_key: &[u8],
        input: &[u8],
        outputs: usize,
        out1: &mut [u8],
        out2: &mut [u8],
        out3: &mut [u8],
    ) {
        // In this pattern three outputs are for the preshared key alone, and nothing goes into the split alone.
        let (is_preshared, is_split) = (outputs == 3, input.is_empty());
        let mut key = Zeroizing::new([0; HASH_LEN]);
        key.copy_from_slice(chaining_key);
        if core::mem::replace(&mut self.begun, true) {
            self.mask.apply(CHAINING, &mut *key);
        }
        let mut material = Zeroizing::new([0; KEY_LEN]);
        let material = &mut material[..input.len()];
        material.copy_from_slice(input);
        if is_preshared {
            self.mask.apply(PRESHARED, material);
        }
        self.hasher = Hasher::new();
        let derived = self.hmac_of(&key, &[material]);
        let mut one = self.hmac_of(&derived, &[&[1]]);
        let mut two = self.hmac_of(&derived, &[&*one, &[2]]);
        if is_preshared {
            out3[..HASH_LEN].copy_from_slice(&*self.hmac_of(&derived, &[&*two, &[3]]));
        }
        self.mask.apply(if is_split { TO_RESPONDER } else { CHAINING }, &mut *one);
        if is_split {
            self.mask.apply(TO_INITIATOR, &mut *two);
        }
        out1[..HASH_LEN].copy_from_slice(&*one);
        out2[..HASH_LEN].copy_from_slice(&*two);
        // The block that the hash has buffered is none of a key's.
        self.hasher.update(&[0; BLOCK_LEN]);
        core::hint::black_box(self.hasher.finish());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Seven;
    impl Entropy for Seven {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8 + 7);
        }
    }

    /// As snow would do it by itself.
    struct Plain(Hasher);
    impl Hash for Plain {
        fn name(&self) -> &'static str {
            "BLAKE2s"
        }
        fn block_len(&self) -> usize {
            BLOCK_LEN
        }
        fn hash_len(&self) -> usize {
            HASH_LEN
        }
        fn reset(&mut self) {
            self.0 = Hasher::new();
        }
        fn input(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn result(&mut self, out: &mut [u8]) {
            out[..HASH_LEN].copy_from_slice(&self.0.finish());
        }
    }

    type Outputs = [[u8; 32]; 3];

    fn derive(hash: &mut dyn Hash, chaining_key: &[u8; 32], input: &[u8], outputs: usize) -> Outputs {
        let mut out = [[0; 32]; 3];
        let [one, two, three] = &mut out;
        hash.hkdf(chaining_key, input, outputs, one, two, three);
        out
    }

    #[test]
    fn snow_never_holds_a_chaining_key_a_preshared_key_or_a_session_key_in_clear() {
        let mask = Mask::draw(&mut Seven);
        let (mut plain, mut masked) = (Plain(Hasher::new()), MaskedBlake2s::new(Arc::clone(&mask)));
        let (mut clear_key, mut masked_key) = ([1; 32], [1; 32]);
        let preshared = mask.applied(PRESHARED, &[9; 32]);
        assert_ne!(*preshared, [9; 32]);
        for (clear_input, masked_input, outputs) in
            [([5; 32], [5; 32], 2), ([6; 32], [6; 32], 2), ([9; 32], *preshared, 3)]
        {
            let clear = derive(&mut plain, &clear_key, &clear_input, outputs);
            let shown = derive(&mut masked, &masked_key, &masked_input, outputs);
            assert_ne!(shown[0], clear[0]);
            assert_eq!(*mask.applied(CHAINING, &shown[0]), clear[0]);
            assert_eq!(shown[1..], clear[1..], "the rest of the handshake goes on as it would");
            (clear_key, masked_key) = (clear[0], shown[0]);
        }
        let clear = derive(&mut plain, &clear_key, &[], 2);
        let shown = derive(&mut masked, &masked_key, &[], 2);
        assert!(shown[0] != clear[0] && shown[1] != clear[1]);
        assert_eq!(*mask.applied(TO_RESPONDER, &shown[0]), clear[0]);
        assert_eq!(*mask.applied(TO_INITIATOR, &shown[1]), clear[1]);
    }
}
