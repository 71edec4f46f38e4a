//! SipHash-1-3 over the six words of a key.
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

    /// The hash of `words`, as the standard SipHash-1-3 has it for their 48 little-endian bytes.
    pub(super) fn hash(self, words: &[u64; 6]) -> u64 {
        let mut v = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        for word in words {
            absorb(&mut v, *word);
        }
        absorb(&mut v, LENGTH << 56);
        v[2] ^= 0xff;
        for _ in 0..3 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    v[0] ^= word;
}

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

/// Of a key, in bytes.
const LENGTH: u64 = 48;

#[cfg(test)]
mod tests {
    use core::hash::Hasher;
    use std::hash::DefaultHasher;

    use super::*;

    #[test]
    fn it_is_siphash_1_3() {
        // The standard library's hasher is SipHash-1-3 with a seed of zero.
        let mut words = [0_u64, 1, u64::MAX, 0x0123_4567_89ab_cdef, 42, 1 << 63];
        for turn in 0..100_u64 {
            words[usize::try_from(turn % 6).expect("small")] ^= turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut theirs = DefaultHasher::new();
            for word in words {
                theirs.write(&word.to_le_bytes());
            }
            assert_eq!(Seed::new(0).hash(&words), theirs.finish(), "{words:x?}");
        }
        assert_ne!(Seed::new(1).hash(&words), Seed::new(0).hash(&words));
        assert_ne!(Seed::new(1 << 64).hash(&words), Seed::new(0).hash(&words));
    }
}
