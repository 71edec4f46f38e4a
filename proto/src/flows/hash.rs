//! SipHash-1-3 over the words of a key.
//!
//! Peers choose addresses, ports and identifiers: under a hash that they could compute, they would choose them such
//! that all land in one place of the index. With a seed that they do not know, they cannot. The seed comes in at
//! construction, so that a run replays.

/// The seed of a table.
#[derive(Clone, Copy)]
pub(super) struct Seed(u64, u64);

impl Seed {
    pub(super) fn new(seed: u128) -> Self {
        Self(seed as u64, (seed >> 64) as u64)
    }

    /// The hash of `words` and of the seven low bytes of `tail`, as the standard SipHash-1-3 has it for these bytes in
    /// little-endian order.
    #[inline(always)]
    pub(super) fn hash<const N: usize>(self, words: [u64; N], tail: u64) -> u64 {
        debug_assert!(tail >> 56 == 0, "seven bytes");
        let mut v = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        for word in words {
            absorb(&mut v, word);
        }
        absorb(&mut v, tail | (8 * N as u64 + 7) << 56);
        v[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[inline]
fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    v[0] ^= word;
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;
    use std::hash::DefaultHasher;

    use super::*;

    #[test]
    fn it_is_siphash_1_3() {
        // The standard library's hasher is SipHash-1-3 with a seed of zero.
        let mut words = [0_u64, 1, u64::MAX, 0x0123_4567_89ab_cdef, 42];
        for turn in 0..100_u64 {
            words[usize::try_from(turn % 5).expect("small")] ^= turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let tail = words[3] >> 8;
            let mut theirs = DefaultHasher::new();
            for word in words {
                theirs.write(&word.to_le_bytes());
            }
            theirs.write(&tail.to_le_bytes()[..7]);
            assert_eq!(Seed::new(0).hash(words, tail), theirs.finish(), "{words:x?}");
        }
        let mut theirs = DefaultHasher::new();
        theirs.write(&[1; 23]);
        let ones = u64::from_le_bytes([1; 8]);
        assert_eq!(Seed::new(0).hash([ones; 2], ones >> 8), theirs.finish(), "the length is hashed too");
        assert_ne!(Seed::new(1).hash(words, 0), Seed::new(0).hash(words, 0));
        assert_ne!(Seed::new(1 << 64).hash(words, 0), Seed::new(0).hash(words, 0));
    }
}
