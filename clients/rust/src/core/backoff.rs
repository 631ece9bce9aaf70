//! When to come back: at a random place in the window that the gateway asked for, and from then on once a window.
//!
//! All clients that lost a gateway draw their places alike, and keep them: so they knock evenly, and never faster than
//! it takes them in, whether it was away for a second or for an hour. Where the window is short, exponential backoff
//! with full jitter is the longer wait, and counts. See docs/decisions/0032-coming-back.md.

use std::time::Duration;

use throughline_wire::frame::Backoff;

/// The longest that any wait from the network is believed: a client told more asks again by then.
const LONGEST_MS: u64 = 3_600_000;

/// How often in a row advice to come back is obeyed as it is, though no link has lasted.
const OBEYED: u32 = 4;

/// What the gateway last said about coming back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guidance {
    /// Over how long clients that lost this gateway spread their first attempt.
    pub(crate) window_ms: u64,
    /// How later attempts back off.
    pub(crate) backoff: Backoff,
}

impl Guidance {
    /// The window, as far as it is believed.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms.min(LONGEST_MS))
    }

    /// The longest that attempt `attempt` (from 2) backs off.
    fn backoff_ms(&self, attempt: u32) -> u64 {
        let doubled = 1_u64.checked_shl(attempt.saturating_sub(2)).unwrap_or(u64::MAX);
        self.backoff.base_ms.saturating_mul(doubled).min(self.backoff.cap_ms).min(LONGEST_MS)
    }

    /// How long attempt `attempt` (from 1) waits, for a random number, where the one before began `ago`.
    pub(crate) fn wait(&self, attempt: u32, ago: Duration, random: u64) -> Duration {
        if attempt <= 1 {
            return Duration::from_millis(part_of(self.window_ms.min(LONGEST_MS), random));
        }
        let backoff = Duration::from_millis(part_of(self.backoff_ms(attempt), random));
        backoff.max(self.window().saturating_sub(ago))
    }
}

/// `delay_ms` and a random part of `spread_ms`, as a `retry` or a `migrate` says.
pub(crate) fn appointment(delay_ms: u64, spread_ms: u64, random: u64) -> Duration {
    let spread = part_of(spread_ms.min(LONGEST_MS), random);
    Duration::from_millis(delay_ms.min(LONGEST_MS) + spread)
}

/// The least that a client waits that is sent away for the `time`th time (from 1) since a link lasted: whatever it is told,
/// it does not knock without end. The pace is its own, and what `welcome` said of backoff does not change it.
pub(crate) fn least_wait(time: u32, random: u64) -> Duration {
    let own = Guidance::default().backoff_ms(time.saturating_sub(OBEYED) + 1);
    Duration::from_millis(if time > OBEYED { part_of(own, random) } else { 0 })
}

/// A uniform part of 0 to `bound` for a random number.
pub(crate) fn part_of(bound: u64, random: u64) -> u64 {
    ((u128::from(random) * (u128::from(bound) + 1)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZERO: Duration = Duration::ZERO;

    fn guidance(window_ms: u64, base_ms: u64, cap_ms: u64) -> Guidance {
        Guidance { window_ms, backoff: Backoff { base_ms, cap_ms } }
    }

    #[test]
    fn the_first_attempt_waits_within_the_window_and_later_ones_back_off_twice_as_long_each_up_to_the_cap() {
        let guidance = guidance(1_500, 1_000, 30_000);
        let longest = |attempt| guidance.wait(attempt, Duration::MAX, u64::MAX).as_millis();
        let waits: Vec<_> = (1..=8).map(longest).collect();
        assert_eq!(waits, [1_500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(guidance.wait(8, Duration::MAX, 0), ZERO);
    }

    #[test]
    fn a_later_attempt_begins_a_window_after_the_one_before_unless_it_backs_off_for_longer() {
        let guidance = guidance(1_500, 1_000, 30_000);
        let ago = Duration::from_millis(200);
        for random in [0, u64::MAX / 2, u64::MAX] {
            assert_eq!(guidance.wait(2, ago, random), Duration::from_millis(1_300));
        }
        assert_eq!(guidance.wait(3, ago, u64::MAX), Duration::from_millis(2_000));
        assert_eq!(guidance.wait(3, ago, 0), Duration::from_millis(1_300));
    }

    #[test]
    fn without_a_window_the_first_attempt_does_not_wait() {
        assert_eq!(Guidance::default().wait(1, ZERO, u64::MAX), ZERO);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_first_wait_reaches_both_ends_of_the_window(window_ms: u64, random: u64) {
            let (guidance, window_ms) = (guidance(window_ms, 1_000, 30_000), window_ms.min(LONGEST_MS));
            prop_assert!(guidance.wait(1, ZERO, random).as_millis() <= u128::from(window_ms));
            prop_assert_eq!(guidance.wait(1, ZERO, 0), ZERO);
            prop_assert_eq!(guidance.wait(1, ZERO, u64::MAX).as_millis(), u128::from(window_ms));
        }

        #[test]
        fn attempts_are_at_least_a_window_apart_and_back_off_by_the_formula(
            window_ms in 0_u64..100_000, base_ms in 0_u64..10_000, cap_ms in 0_u64..60_000, attempt in 2_u32..200,
            ago_ms in 0_u64..200_000, random: u64,
        ) {
            let guidance = guidance(window_ms, base_ms, cap_ms);
            let bound = (u128::from(base_ms) * (1_u128 << (attempt - 2).min(100))).min(u128::from(cap_ms));
            let ago = Duration::from_millis(ago_ms);
            let rest = u128::from(window_ms.saturating_sub(ago_ms));
            let wait = guidance.wait(attempt, ago, random).as_millis();
            prop_assert!(rest <= wait && wait <= rest.max(bound));
            prop_assert_eq!(guidance.wait(attempt, ago, 0).as_millis(), rest);
            prop_assert_eq!(guidance.wait(attempt, ago, u64::MAX).as_millis(), rest.max(bound));
        }

        #[test]
        fn whatever_the_network_says_nobody_waits_for_more_than_an_hour(
            window_ms: u64, base_ms: u64, cap_ms: u64, attempt: u32, random: u64,
        ) {
            let wait = guidance(window_ms, base_ms, cap_ms).wait(attempt, ZERO, random);
            prop_assert!(wait <= Duration::from_millis(LONGEST_MS));
        }

        #[test]
        fn an_appointment_lies_between_its_delay_and_its_delay_and_spread(delay_ms: u64, spread_ms: u64, random: u64) {
            let wait = appointment(delay_ms, spread_ms, random).as_millis() as u64;
            prop_assert!(wait >= delay_ms.min(LONGEST_MS));
            prop_assert!(wait <= delay_ms.min(LONGEST_MS) + spread_ms.min(LONGEST_MS));
        }
    }
}
