//! Randomness that is handed in once, as a seed, and repeats itself.

/// SplitMix64: enough to spread attempts over time and to name instances, no source of secrets.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A name of 26 characters that no other client is likely to have.
    pub(crate) fn name(&mut self) -> Box<str> {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let (high, low) = (self.next(), self.next());
        let bits = u128::from(high) << 64 | u128::from(low);
        (0..26).map(|i| char::from(DIGITS[(bits >> (5 * i) & 31) as usize])).collect::<String>().into()
    }
}
