//! How wide the reconnect window is, also while a herd comes back.
//!
//! Sessions over rate is right for a gateway that holds its sessions. One that has just taken the place of another
//! holds none: whoever comes back first would be told a window of next to nothing, and if it went away again all those
//! would be at the door of the next one at once. How many are still to come it cannot know, since a herd of any size
//! comes at the rate. So whoever has just come back counts for more than one.

use super::evenly_ms;

/// How long whoever came back counts for more than one, in milliseconds: two periods.
const PERIOD_MS: u64 = 5_000;

/// For how many more. With five for each, those who came back in the beginning are no more than two in five of what a
/// window of the right size sends to the door.
const MORE: u64 = 4;

/// What the window is not made longer than for their sake, in milliseconds.
const WIDEST_MS: u64 = 60_000;

/// Sessions that came back lately from a gateway that is gone.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Returns {
    /// Which period is the newer one.
    period: u64,
    older: u64,
    newer: u64,
}

impl Returns {
    /// One came back.
    pub(super) const fn note(&mut self, now_ms: u64) {
        self.roll(now_ms);
        self.newer += 1;
    }

    /// The window in milliseconds, for so many sessions of which one is let in every `every_ns`.
    pub(super) fn window_ms(&mut self, now_ms: u64, sessions: u64, every_ns: u64) -> u64 {
        self.roll(now_ms);
        let lately = (self.older + self.newer).min(sessions);
        let wider = evenly_ms(sessions.saturating_add(lately.saturating_mul(MORE)), every_ns);
        evenly_ms(sessions, every_ns).max(wider.min(WIDEST_MS))
    }

    const fn roll(&mut self, now_ms: u64) {
        let period = now_ms / PERIOD_MS;
        if period != self.period {
            self.older = if period == self.period + 1 { self.newer } else { 0 };
            self.newer = 0;
            self.period = period;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::NS;

    const EVERY_NS: u64 = 400_000; // 2,500 a second

    #[test]
    fn who_is_held_counts_for_one_and_who_has_just_come_back_for_five() {
        let mut returns = Returns::default();
        assert_eq!(returns.window_ms(1_000, 2_500, EVERY_NS), 1_050);
        (0..500).for_each(|_| returns.note(1_000));
        assert_eq!(returns.window_ms(1_000, 2_500, EVERY_NS), 1_890);
        assert_eq!(
            returns.window_ms(1_000, 100, EVERY_NS),
            210,
            "those who left meanwhile count for nothing"
        );
    }

    #[test]
    fn ten_seconds_later_it_is_as_wide_as_the_sessions_ask_for() {
        let mut returns = Returns::default();
        (0..2_500).for_each(|_| returns.note(4_999));
        assert_eq!(returns.window_ms(9_999, 2_500, EVERY_NS), 5_250);
        assert_eq!(returns.window_ms(10_000, 2_500, EVERY_NS), 1_050);
        (0..2_500).for_each(|_| returns.note(11_000));
        assert_eq!(returns.window_ms(60_000, 2_500, EVERY_NS), 1_050);
    }

    #[test]
    fn it_is_not_made_longer_than_a_minute_unless_the_sessions_ask_for_more() {
        let mut returns = Returns::default();
        (0..200_000).for_each(|_| returns.note(1_000));
        assert_eq!(returns.window_ms(1_000, 100_000, EVERY_NS), 60_000);
        assert_eq!(returns.window_ms(1_000, 200_000, EVERY_NS), 84_000);
    }

    /// How many of a herd are expected at the door in the first tenth of a second, if the gateway goes away again the
    /// moment that the last of them is back: each waits a random part of the window that it was last told, when it came
    /// back or by a heartbeat.
    fn expected_at_once(herd: u64, window_ms: impl Fn(&mut Returns, u64, u64) -> u64) -> f64 {
        let mut returns = Returns::default();
        let told = (1..=herd).map(|sessions| {
            let now_ms = sessions * EVERY_NS / NS;
            returns.note(now_ms);
            window_ms(&mut returns, now_ms, sessions).max(100)
        });
        let told: Vec<_> = told.collect();
        let come_in_a_heartbeat = (15_000 * NS / EVERY_NS) as usize;
        let last = told.len() - 1;
        let last_told = |at| told[last - (last - at) % come_in_a_heartbeat];
        (0..told.len()).map(|at| 100.0 / last_told(at) as f64).sum()
    }

    #[test]
    fn a_gateway_that_goes_away_again_does_not_send_those_who_came_first_all_at_once() {
        for herd in [1_000, 15_000, 100_000] {
            let told =
                |returns: &mut Returns, now_ms, sessions| returns.window_ms(now_ms, sessions, EVERY_NS);
            let expected = expected_at_once(herd, told);
            assert!(expected < 500.0, "{expected:.0} of {herd}");
        }
        let plain = |_: &mut Returns, _, sessions: u64| sessions * EVERY_NS / NS;
        assert!(expected_at_once(15_000, plain) > 1_000.0, "what it is for");
    }
}
