//! Random numbers that a seed repeats.

/// The seed of this run: `LOCKGATE_SEED`, or one of the process's own; printed, so that a failure can be run again.
pub(super) fn seed(test: &str) -> u64 {
    let own = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let seed =
        std::env::var("LOCKGATE_SEED").map_or(own, |text| text.parse().expect("LOCKGATE_SEED is a number"));
    eprintln!("{test}: rerun with LOCKGATE_SEED={seed}");
    seed
}

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both of them included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    /// True `percent` times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.between(0, 99) < percent
    }

    pub(super) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.between(0, choices.len() - 1)]
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.next() as u8
    }

    pub(super) fn u16(&mut self) -> u16 {
        self.next() as u16
    }

    pub(super) fn u32(&mut self) -> u32 {
        self.next() as u32
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
