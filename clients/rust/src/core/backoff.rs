//! When to come back: full jitter, never tighter than the window that the gateway asked for.

use std::time::Duration;

use throughline_wire::frame::Backoff;

/// The longest that any wait from the network is believed: a client told more asks again by then.
const LONGEST_MS: u64 = 3_600_000;

/// What the gateway last said about coming back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guidance {
    /// Over how long clients that lost this gateway spread their first attempt.
    pub(crate) window_ms: u64,
    /// How later attempts back off.
    pub(crate) backoff: Backoff,
}

impl Guidance {
    /// The longest that attempt `attempt` (from 1) may wait.
    pub(crate) fn bound_ms(&self, attempt: u32) -> u64 {
        let window = self.window_ms.min(LONGEST_MS);
        if attempt <= 1 {
            return window;
        }
        let doubled = 1_u64.checked_shl(attempt - 2).unwrap_or(u64::MAX);
        let backoff = self.backoff.base_ms.saturating_mul(doubled).min(self.backoff.cap_ms).min(LONGEST_MS);
        window.max(backoff)
    }

    /// How long attempt `attempt` (from 1) waits, for a random number.
    pub(crate) fn wait(&self, attempt: u32, random: u64) -> Duration {
        Duration::from_millis(part_of(self.bound_ms(attempt), random))
    }
}

/// `delay_ms` and a random part of `spread_ms`, as a `retry` or a `migrate` says.
pub(crate) fn appointment(delay_ms: u64, spread_ms: u64, random: u64) -> Duration {
    let spread = part_of(spread_ms.min(LONGEST_MS), random);
    Duration::from_millis(delay_ms.min(LONGEST_MS) + spread)
}

/// A uniform part of 0 to `bound` for a random number.
pub(crate) fn part_of(bound: u64, random: u64) -> u64 {
    ((u128::from(random) * (u128::from(bound) + 1)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_attempt_waits_within_the_window_and_later_ones_double_up_to_the_cap() {
        let guidance = Guidance { window_ms: 1_500, backoff: Backoff { base_ms: 1_000, cap_ms: 30_000 } };
        let bounds: Vec<_> = (1..=9).map(|attempt| guidance.bound_ms(attempt)).collect();
        assert_eq!(bounds, [1_500, 1_500, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn without_a_window_the_first_attempt_does_not_wait() {
        assert_eq!(Guidance::default().wait(1, u64::MAX), Duration::ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_wait_stays_within_its_bound_and_reaches_both_ends(
            window_ms: u64, base_ms: u64, cap_ms: u64, attempt: u32, random: u64,
        ) {
            let guidance = Guidance { window_ms, backoff: Backoff { base_ms, cap_ms } };
            let bound = guidance.bound_ms(attempt);
            prop_assert!(bound <= LONGEST_MS);
            prop_assert!(bound >= window_ms.min(LONGEST_MS));
            prop_assert!(guidance.wait(attempt, random).as_millis() <= u128::from(bound));
            prop_assert_eq!(guidance.wait(attempt, 0), Duration::ZERO);
            prop_assert_eq!(guidance.wait(attempt, u64::MAX).as_millis(), u128::from(bound));
        }

        #[test]
        fn attempts_are_never_tighter_than_the_formula(
            window_ms in 0_u64..100_000, base_ms in 0_u64..10_000, cap_ms in 0_u64..60_000, attempt in 2_u32..200,
        ) {
            let guidance = Guidance { window_ms, backoff: Backoff { base_ms, cap_ms } };
            let exact = u128::from(base_ms) * (1_u128 << (attempt - 2).min(100));
            let expected = exact.min(u128::from(cap_ms)).max(u128::from(window_ms));
            prop_assert_eq!(u128::from(guidance.bound_ms(attempt)), expected);
        }

        #[test]
        fn an_appointment_lies_between_its_delay_and_its_delay_and_spread(delay_ms: u64, spread_ms: u64, random: u64) {
            let wait = appointment(delay_ms, spread_ms, random).as_millis() as u64;
            prop_assert!(wait >= delay_ms.min(LONGEST_MS));
            prop_assert!(wait <= delay_ms.min(LONGEST_MS) + spread_ms.min(LONGEST_MS));
        }
    }
}
