//! How fast this network is, and so how long a sign may take before it is late.
//!
//! The round trip is measured where something is answered at once, and smoothed as TCP does it (RFC 6298). On a fast
//! network the configured times count; on a slow one they stretch, so that a link which only takes its time is not
//! taken for one that is dead.

use crate::{config::Timing, core::Time};

/// The longest that a slow network stretches anything.
const LONGEST: Time = Time::from_secs(5);

/// The round trip, as measured so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    smoothed: Option<Time>,
    variation: Time,
}

impl Pace {
    /// Something was answered at once, after this time. A shorter one counts as it is: nothing makes an answer come too
    /// early, but what is busy makes it late.
    pub(crate) fn measure(&mut self, took: Time) {
        match self.smoothed {
            Some(smoothed) if took >= smoothed => {
                self.variation = (3 * self.variation + took - smoothed) / 4;
                self.smoothed = Some((7 * smoothed + took) / 8);
            }
            _ => (self.smoothed, self.variation) = (Some(took), took / 2),
        }
    }

    /// The same, where a new connection may be in it: an upper bound, which says something only where it is shorter.
    pub(crate) fn measure_at_most(&mut self, took: Time) {
        if self.smoothed.is_none_or(|smoothed| took < smoothed) {
            self.measure(took);
        }
    }

    /// How long after it was due a sign is late, and the link is asked for one.
    pub(crate) fn late(&self, timing: &Timing) -> Time {
        self.stretched(timing.doubt)
    }

    /// How long a link that was asked has to answer before it is hedged.
    pub(crate) fn patience(&self, timing: &Timing) -> Time {
        self.stretched(timing.pong)
    }

    /// How long a new connection may take to bring something, before another way is tried beside it.
    pub(crate) fn silence(&self, least: Time) -> Time {
        // Connection, handshake and hello are three round trips.
        least.max(self.smoothed.map_or(Time::ZERO, |smoothed| (3 * smoothed).min(LONGEST)))
    }

    fn stretched(&self, least: Time) -> Time {
        let Some(smoothed) = self.smoothed else { return least };
        let slow = (smoothed + 4 * self.variation).max(smoothed * 3 / 2).min(LONGEST);
        least.max(slow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(round_trips: &[u64]) -> Pace {
        let mut pace = Pace::default();
        round_trips.iter().for_each(|ms| pace.measure(Time::from_millis(*ms)));
        pace
    }

    #[test]
    fn on_a_fast_network_the_configured_times_count() {
        let timing = Timing::default();
        for pace in [after(&[]), after(&[50; 8]), after(&[40, 60, 50, 45])] {
            assert_eq!((pace.late(&timing), pace.patience(&timing)), (timing.doubt, timing.pong));
        }
    }

    #[test]
    fn on_a_slow_network_they_stretch_and_on_one_that_wavers_too() {
        let timing = Timing::default();
        assert!(after(&[600; 20]).late(&timing) >= Time::from_millis(900));
        assert!(after(&[200, 900, 200, 900, 200, 900]).late(&timing) > Time::from_millis(1_200));
        assert_eq!(after(&[60_000]).late(&timing), LONGEST);
    }

    #[test]
    fn a_shorter_time_counts_as_it_is() {
        let ms = Time::from_millis;
        let mut pace = after(&[560, 580, 55]);
        let late = pace.late(&Timing::default());
        assert_eq!((pace.silence(ms(0)), late), (ms(165), Timing::default().doubt), "the client was busy");
        pace.measure_at_most(ms(40));
        assert_eq!(pace.silence(ms(0)), ms(120), "as does an upper bound");
        pace.measure_at_most(ms(900));
        assert_eq!(pace.silence(ms(0)), ms(120), "unless it is longer");
        pace.measure(ms(120));
        assert_eq!(pace.silence(ms(0)), ms(150), "a longer one is smoothed");
    }
}
