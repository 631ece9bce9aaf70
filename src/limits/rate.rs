//! How often something may happen, and how much of that was used: GCRA, one number for each that is limited.
//!
//! The number is the time until which what was taken is paid for. It may run ahead of the clock by the burst; as far as
//! it is further ahead there is a wait. Nothing ticks, and whoever has not come for a while owes nothing.

use std::sync::atomic::{AtomicU64, Ordering};

const NS: u64 = 1_000_000;

/// So many a second, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rate {
    /// From one to the next; 0 where there is no bound.
    every_ns: u64,
    burst_ns: u64,
}

impl Rate {
    /// No bound.
    pub const UNLIMITED: Self = Self { every_ns: 0, burst_ns: 0 };

    /// `per_second` of them, 0 for no bound; `burst` at once, 0 for those of two seconds.
    pub const fn new(per_second: u64, burst: u64) -> Self {
        if per_second == 0 {
            return Self::UNLIMITED;
        }
        let every_ns = if per_second > 1_000 * NS { 1 } else { 1_000 * NS / per_second };
        let burst = if burst == 0 { per_second.saturating_mul(2) } else { burst };
        Self { every_ns, burst_ns: every_ns.saturating_mul(burst) }
    }

    /// Whether there is no bound.
    pub const fn is_unlimited(self) -> bool {
        self.every_ns == 0
    }
}

/// How much of a [`Rate`] was used. Shared without a lock.
#[derive(Debug, Default)]
pub struct Bucket {
    paid_until_ns: AtomicU64,
}

impl Bucket {
    /// Takes `count` if they are within the burst; takes nothing if they are not, and says for how many milliseconds.
    pub fn take(&self, mono_ms: u64, rate: Rate, count: u64) -> Result<(), u64> {
        let now_ns = mono_ms.saturating_mul(NS);
        let cost_ns = rate.every_ns.saturating_mul(count);
        let mut wait_ns = 0;
        let taken = self.paid_until_ns.fetch_update(Ordering::AcqRel, Ordering::Acquire, |paid_until_ns| {
            let next_ns = paid_until_ns.max(now_ns).saturating_add(cost_ns);
            wait_ns = (next_ns - now_ns).saturating_sub(rate.burst_ns);
            (wait_ns == 0).then_some(next_ns)
        });
        if rate.is_unlimited() || taken.is_ok() { Ok(()) } else { Err(wait_ns.div_ceil(NS)) }
    }

    /// Takes `count`, which have happened already; says for how many milliseconds nothing more should.
    pub fn charge(&self, mono_ms: u64, rate: Rate, count: u64) -> u64 {
        if rate.is_unlimited() || count == 0 {
            return 0;
        }
        let now_ns = mono_ms.saturating_mul(NS);
        let cost_ns = rate.every_ns.saturating_mul(count);
        let pay = |paid_until_ns: u64| Some(paid_until_ns.max(now_ns).saturating_add(cost_ns));
        let before = self.paid_until_ns.fetch_update(Ordering::AcqRel, Ordering::Acquire, pay);
        let after_ns = before.unwrap_or_default().max(now_ns).saturating_add(cost_ns);
        (after_ns - now_ns).saturating_sub(rate.burst_ns).div_ceil(NS)
    }

    /// For how many milliseconds nothing more should happen.
    pub fn wait_ms(&self, mono_ms: u64, rate: Rate) -> u64 {
        let ahead_ns = self.paid_until_ns.load(Ordering::Acquire).saturating_sub(mono_ms.saturating_mul(NS));
        ahead_ns.saturating_sub(rate.burst_ns).div_ceil(NS)
    }

    /// Whether all that was taken is paid for: the same as a new one.
    pub fn is_at_rest(&self, mono_ms: u64) -> bool {
        self.paid_until_ns.load(Ordering::Acquire) <= mono_ms.saturating_mul(NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_then_the_rate_holds() {
        let (bucket, rate) = (Bucket::default(), Rate::new(10, 5));
        let at = |mono_ms| (0..100).take_while(|_| bucket.take(mono_ms, rate, 1).is_ok()).count();
        assert_eq!(at(1_000), 5);
        assert_eq!(at(1_099), 0);
        assert_eq!(bucket.take(1_099, rate, 1), Err(1));
        assert_eq!(at(1_100), 1);
        assert_eq!(at(1_400), 3);
        assert_eq!(at(60_000), 5, "no more than the burst is saved up");
        assert!(!bucket.is_at_rest(60_499) && bucket.is_at_rest(60_500));
    }

    #[test]
    fn over_any_time_no_more_is_taken_than_the_burst_and_the_rate() {
        let (bucket, rate) = (Bucket::default(), Rate::new(300, 7));
        let taken = (0..10_000).filter(|mono_ms| bucket.take(*mono_ms, rate, 1).is_ok()).count();
        assert!((2_999..=3_007).contains(&taken), "{taken}");
    }

    #[test]
    fn what_was_charged_beyond_the_burst_has_to_be_waited_for() {
        let (bucket, rate) = (Bucket::default(), Rate::new(1_000, 2_000));
        assert_eq!(bucket.charge(0, rate, 2_000), 0);
        assert_eq!(bucket.charge(0, rate, 500), 500);
        assert_eq!((bucket.wait_ms(200, rate), bucket.wait_ms(500, rate)), (300, 0));
        assert_eq!(bucket.charge(500, rate, 1), 1);
    }

    #[test]
    fn without_a_bound_nothing_waits_and_nothing_is_remembered() {
        let (bucket, rate) = (Bucket::default(), Rate::new(0, 0));
        assert_eq!(bucket.take(0, rate, u64::MAX), Ok(()));
        assert_eq!((bucket.charge(0, rate, u64::MAX), bucket.wait_ms(0, rate)), (0, 0));
        assert!(bucket.is_at_rest(0));
    }

    #[test]
    fn numbers_without_sense_overflow_nothing() {
        for rate in [Rate::new(u64::MAX, u64::MAX), Rate::new(1, u64::MAX), Rate::new(1, 1)] {
            let bucket = Bucket::default();
            bucket.charge(u64::MAX, rate, u64::MAX);
            let _ = bucket.take(u64::MAX, rate, u64::MAX);
            bucket.wait_ms(0, rate);
        }
    }
}
