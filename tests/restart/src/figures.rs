//! What a run comes to: who knocked when, and when everybody was back.

use std::collections::{BTreeMap, HashMap};

use crate::{
    dial::{Attempt, By},
    log::Events,
};

/// Times are milliseconds since another gateway was there.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Figures {
    /// Connections that were begun while nobody was there.
    pub while_down: usize,
    /// Connections that were begun afterwards, by what for.
    pub attempts: BTreeMap<By, usize>,
    /// The same, by tenths of a second.
    pub tenths: Vec<u32>,
    /// Connections that a client began while another of its own was there, before it was back, by what for: a poll may
    /// join one that is silent; anything else is a race.
    pub beside: BTreeMap<By, usize>,
    /// When each was back, in order.
    pub back: Vec<u64>,
    /// When each was on what it wants, in order.
    pub wanted: Vec<u64>,
    /// How many were back on what they want at once.
    pub straight: usize,
    /// How many moved to what they want later, by seconds.
    pub upgrades: Vec<u32>,
}

impl Figures {
    /// Of what happened since the crash. Times of `events` count from the run's beginning, as these do.
    pub fn of(events: &Events, crash_ms: u64, recovered_ms: u64) -> Self {
        let mut figures = Self::default();
        // Whoever heard late that the gateway is gone: its link of before does not count.
        let mut downs = HashMap::new();
        for down in events.downs.iter().filter(|down| down.at_ms >= crash_ms) {
            downs.entry(down.client).or_insert(down.at_ms);
        }
        let mut first = HashMap::new();
        let mut wanted = HashMap::new();
        for up in &events.ups {
            // Whoever had no link when it crashed lost none.
            if up.at_ms < downs.get(&up.client).copied().unwrap_or(crash_ms) {
                continue;
            }
            let since = up.at_ms.saturating_sub(recovered_ms);
            first.entry(up.client).or_insert((since, up.is_wanted));
            if up.is_wanted {
                wanted.entry(up.client).or_insert(since);
            }
        }
        for attempt in events.attempts.iter().filter(|attempt| attempt.begun_ms >= crash_ms) {
            match attempt.begun_ms.checked_sub(recovered_ms) {
                None => figures.while_down += 1,
                Some(since) => {
                    *figures.attempts.entry(attempt.by).or_default() += 1;
                    count(&mut figures.tenths, since / 100);
                }
            }
        }
        let back_at = |client| first.get(&client).map_or(u64::MAX, |(since, _)| recovered_ms + since);
        figures.beside = beside(&events.attempts, crash_ms, back_at);
        figures.straight = first.values().filter(|(_, is_wanted)| *is_wanted).count();
        for (client, since) in &wanted {
            if first.get(client).is_some_and(|(_, is_wanted)| !is_wanted) {
                count(&mut figures.upgrades, since / 1_000);
            }
        }
        figures.back = first.into_values().map(|(since, _)| since).collect();
        figures.wanted = wanted.into_values().collect();
        figures.back.sort_unstable();
        figures.wanted.sort_unstable();
        figures
    }

    /// All connections that were begun after another gateway was there.
    pub fn after(&self) -> usize {
        self.attempts.values().sum()
    }

    /// How many clients raced to be back.
    pub fn races(&self) -> usize {
        self.beside
            .iter()
            .filter(|(by, _)| !matches!(by, By::Polling | By::Post))
            .map(|(_, count)| count)
            .sum()
    }

    /// The most connections that were begun in a tenth of a second, and in which.
    pub fn peak(&self) -> (u32, u64) {
        let peak = self.tenths.iter().zip(0..).max_by_key(|(count, _)| **count);
        peak.map_or((0, 0), |(count, tenth)| (*count, tenth * 100))
    }
}

/// When this many in a hundred of so many had come, if they have.
pub fn percent(times: &[u64], of: usize, percent: usize) -> Option<u64> {
    times.get((of * percent).div_ceil(100).checked_sub(1)?).copied()
}

fn count(bins: &mut Vec<u32>, at: u64) {
    let at = at as usize;
    if bins.len() <= at {
        bins.resize(at + 1, 0);
    }
    bins[at] += 1;
}

/// Connections that were begun since the crash while another of the same client was there, before it was back.
fn beside(attempts: &[Attempt], crash_ms: u64, back_at: impl Fn(u32) -> u64) -> BTreeMap<By, usize> {
    let mut busy: HashMap<u32, u64> = HashMap::new();
    let mut beside = BTreeMap::new();
    // They were noted in the order in which they were begun.
    for attempt in attempts.iter().filter(|attempt| attempt.begun_ms >= crash_ms) {
        if attempt.begun_ms >= back_at(attempt.client) {
            continue;
        }
        let until = busy.entry(attempt.client).or_insert(0);
        if *until > attempt.begun_ms + CLOSING_MS {
            *beside.entry(attempt.by).or_default() += 1;
        }
        *until = attempt.ended_ms.unwrap_or(u64::MAX).max(*until);
    }
    beside
}

/// One that is there for no longer than this is being closed.
const CLOSING_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Down, Up};

    fn attempt(client: u32, begun_ms: u64, ended_ms: u64, by: By) -> Attempt {
        Attempt { client, begun_ms, ended_ms: Some(ended_ms), by }
    }

    fn up(client: u32, at_ms: u64, is_wanted: bool) -> Up {
        Up { client, at_ms, by: By::Polling, is_wanted }
    }

    #[test]
    fn a_client_is_back_with_its_first_link_after_it_lost_one() {
        let events = Events {
            attempts: vec![
                attempt(1, 50, 1_000, By::WebSocket),
                attempt(1, 1_010, 1_011, By::Refused),
                attempt(1, 2_100, 2_900, By::Polling),
                attempt(1, 2_350, 9_000, By::WebSocket),
                attempt(2, 2_150, 9_000, By::Polling),
            ],
            ups: vec![
                up(1, 60, true),
                up(2, 70, true),
                up(1, 2_300, false),
                up(2, 2_200, true),
                up(1, 3_400, true),
            ],
            downs: [1, 2].map(|client| Down { client, at_ms: 1_005 }).to_vec(),
            ..Events::default()
        };
        let figures = Figures::of(&events, 1_000, 2_000);
        assert_eq!((figures.while_down, figures.after()), (1, 3));
        assert_eq!(figures.attempts, BTreeMap::from([(By::Polling, 2), (By::WebSocket, 1)]));
        assert_eq!(figures.peak(), (2, 100));
        assert_eq!((figures.back, figures.straight), (vec![200, 300], 1));
        assert_eq!((figures.wanted, figures.upgrades), (vec![200, 1_400], vec![0, 1]));
        assert_eq!(figures.beside, BTreeMap::new(), "it was back when it moved on");
    }

    #[test]
    fn whoever_had_no_link_when_it_crashed_is_back_with_its_first_one_too() {
        let events = Events { ups: vec![up(1, 900, true), up(1, 2_500, true)], ..Events::default() };
        assert_eq!(Figures::of(&events, 1_000, 2_000).back, [500]);
    }

    #[test]
    fn a_connection_beside_another_counts_until_its_client_is_back() {
        let attempts = [
            attempt(1, 2_000, 2_600, By::WebSocket),
            attempt(1, 2_300, 2_700, By::Polling),
            attempt(1, 2_400, 2_800, By::Sse),
            attempt(1, 2_750, 2_900, By::Polling),
            attempt(2, 2_450, 2_460, By::Polling),
        ];
        let beside = |crash_ms, back_ms| beside(&attempts, crash_ms, |_| back_ms);
        assert_eq!(beside(1_000, 5_000), BTreeMap::from([(By::Polling, 1), (By::Sse, 1)]));
        assert_eq!(beside(1_000, 2_350), BTreeMap::from([(By::Polling, 1)]));
        assert_eq!(beside(2_500, 5_000), BTreeMap::new());
    }

    #[test]
    fn a_share_is_reached_with_the_last_that_it_needs() {
        let times = [1, 2, 3, 4];
        assert_eq!(
            [25, 50, 99, 100].map(|share| percent(&times, 4, share)),
            [Some(1), Some(2), Some(4), Some(4)]
        );
        assert_eq!(percent(&times, 8, 99), None);
    }
}
