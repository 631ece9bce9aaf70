//! What a run comes to: when clients knocked, and when they were back, by the milliseconds since the crash.

/// One run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// How many clients there were.
    pub clients: usize,
    /// How long nobody was there.
    pub down_ms: u64,
    /// Every attempt to connect, of any transport.
    pub attempts: Vec<u64>,
    /// When each client that came back was back.
    pub back: Vec<u64>,
}

impl Run {
    /// How many attempts there were after the recovery, and up to when.
    fn after(&self) -> impl Iterator<Item = u64> {
        self.attempts.iter().filter_map(|at| at.checked_sub(self.down_ms))
    }

    /// The attempts in each 100 ms, from the crash on.
    pub fn bins(&self) -> Vec<u32> {
        let last = self.attempts.iter().max().copied().unwrap_or(0);
        let mut bins = vec![0; (last / 100 + 1) as usize];
        self.attempts.iter().for_each(|at| bins[(at / 100) as usize] += 1);
        bins
    }

    /// The most attempts in 100 ms after the recovery.
    pub fn peak(&self) -> u32 {
        self.bins().into_iter().skip((self.down_ms / 100) as usize).max().unwrap_or(0)
    }

    /// How many attempts each client made after the recovery, on average.
    pub fn mean(&self) -> f64 {
        self.after().count() as f64 / self.clients as f64
    }

    /// When this many in a hundred of all clients were back, in milliseconds since the recovery; `None` if they never
    /// were.
    pub fn back_ms(&self, percent: usize) -> Option<u64> {
        let mut back = self.back.clone();
        back.sort_unstable();
        let needed = (self.clients * percent).div_ceil(100);
        Some(back.get(needed.checked_sub(1)?)?.saturating_sub(self.down_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_the_recovery_counts_in_no_figure() {
        let attempts = vec![5, 990, 1_000, 1_050, 1_099, 1_100, 2_000];
        let run = Run { clients: 4, down_ms: 1_000, attempts, back: vec![1_200, 1_100, 1_300] };
        assert_eq!((run.peak(), run.mean()), (3, 1.25));
        assert_eq!((run.back_ms(50), run.back_ms(75), run.back_ms(100)), (Some(200), Some(300), None));
    }
}
