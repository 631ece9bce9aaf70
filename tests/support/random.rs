//! Seeded randomness for tests: the same seed gives the same numbers on every machine, for good.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators"), written out here so that no
//! dependency's update changes what a seed means. Not for secrets.

use std::ops::RangeInclusive;

/// A stream of numbers that follows from its seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of the `index`-th thing under one seed: what one thing draws does not shift what another gets.
    pub(crate) fn of(seed: u64, index: u64) -> Self {
        let mut random = Self(seed ^ index.wrapping_mul(STEP));
        let start = random.number();
        Self(start)
    }

    /// Any 64 bits.
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range, both ends included.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        assert!(low <= high, "the range {low}..={high} is empty");
        match (high - low).checked_add(1) {
            // The bias of the remainder is below 2^-32 for the ranges that tests use.
            Some(width) => low + self.number() % width,
            None => self.number(),
        }
    }

    /// True `times` times in `of`, on average.
    pub(crate) fn chance(&mut self, times: u64, of: u64) -> bool {
        self.within(1..=of) <= times
    }

    /// One of the choices.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.within(0..=choices.len() as u64 - 1) as usize]
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
