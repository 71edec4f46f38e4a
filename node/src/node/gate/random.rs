//! Random numbers for the match `random`: not for secrets, but not to be foretold by a peer either.

/// A generator, seeded with what no peer knows (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u128) -> Self {
        Self((seed >> 64) as u64 ^ seed as u64)
    }

    pub(super) const fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_numbers_are_in_the_lower_half() {
        let mut random = Random::new(7);
        let low = (0..10_000).filter(|_| random.next() <= u32::MAX / 2).count();
        assert!((4_800..5_200).contains(&low), "{low}");
    }
}
