//! How refusals are told: a flood of packets, whose senders nobody knows, must not become a flood of log lines.

use std::time::Duration;

use tokio::time::Instant;

/// Clients that were refused and not told of.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    clients: u64,
    told: Option<Instant>,
}

impl Refusals {
    /// Counts one more; gives how many there were since the last line, if it is time for another.
    pub(crate) fn count(&mut self, now: Instant) -> Option<u64> {
        self.clients += 1;
        if self.told.is_some_and(|told| now < told + PAUSE) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.clients))
    }
}

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refusal_is_told_at_once_and_the_others_together() {
        let (mut refusals, began) = (Refusals::default(), Instant::now());
        let mut count = |after_s| refusals.count(began + Duration::from_secs(after_s));
        assert_eq!(
            [count(0), count(0), count(9), count(10), count(30)],
            [Some(1), None, None, Some(3), Some(1)]
        );
    }
}
