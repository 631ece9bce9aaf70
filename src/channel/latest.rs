//! The newest event of each key: what is left of a channel for somebody who fell behind in it.
//!
//! Nothing is kept for this. A log is bounded and whoever asks is behind, so what it holds is looked through once, from
//! its end: an index would cost every publish, and serve those alone who are slow.

use hashbrown::HashSet;
use throughline_wire::Offset;

use super::Log;

impl Log {
    /// The places after `offset` of the events that are the newest held of their key, rising. Events without a key are of
    /// one key together.
    pub fn latest_after(&self, offset: Offset) -> Vec<Offset> {
        let held = offset.max(self.base()).get() + 1..=self.head().offset.get();
        let mut seen = HashSet::new();
        let mut latest: Vec<Offset> = held
            .rev()
            .filter_map(Offset::new)
            .filter(|offset| self.entry(*offset).is_some_and(|entry| seen.insert(entry.key())))
            .collect();
        latest.reverse();
        latest
    }
}

#[cfg(test)]
mod tests {
    use throughline_wire::{ChannelName, Epoch};

    use crate::channel::{NewEvent, Retention};

    use super::*;

    #[test]
    fn the_newest_of_each_key_is_left_in_the_order_of_the_log() {
        let channel = ChannelName::parse("price").unwrap();
        let mut log = Log::new(Epoch::from_random(1));
        let retention = Retention { events: 6, ..Retention::default() };
        for key in ["c", "a", "b", "a", "", "b", ""] {
            let key = Some(key).filter(|key| !key.is_empty()).map(Into::into);
            log.append(&channel, NewEvent { key, ..NewEvent::default() }, 1, &retention);
        }
        let latest = |after| -> Vec<u64> {
            log.latest_after(Offset::new(after).unwrap()).into_iter().map(Offset::get).collect()
        };
        assert_eq!(latest(1), [4, 6, 7], "a, b, and what has no key; c is not held any more");
        assert_eq!(latest(5), [6, 7]);
        assert!(latest(7).is_empty());
    }
}
