//! Lanes across sessions: where a channel's intents come one at a time, whoever sent them.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use throughline_wire::ChannelName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A lane for each channel that something is under way about.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Mutex<HashMap<ChannelName, Lane>>,
    /// The most in one lane.
    most: usize,
}

#[derive(Debug)]
struct Lane {
    turn: Arc<Semaphore>,
    /// How many are in it, the one whose turn it is among them.
    there: usize,
}

/// It is somebody's turn until this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _turn: OwnedSemaphorePermit,
    _place: Place<'a>,
}

#[derive(Debug)]
struct Place<'a> {
    lanes: &'a Lanes,
    channel: ChannelName,
}

impl Lanes {
    pub(super) fn new(most: usize) -> Self {
        Self { lanes: Mutex::default(), most }
    }

    /// Waits for a turn, behind whoever came before; `None` at once where the lane is full.
    ///
    /// # Cancel safety
    /// Whoever goes away gives its place up.
    pub(super) async fn turn(&self, channel: &ChannelName) -> Option<Turn<'_>> {
        let (place, turn) = {
            let mut lanes = self.lanes.lock();
            let lane = lanes
                .entry(channel.clone())
                .or_insert_with(|| Lane { turn: Arc::new(Semaphore::new(1)), there: 0 });
            if lane.there >= self.most {
                return None;
            }
            lane.there += 1;
            (Place { lanes: self, channel: channel.clone() }, Arc::clone(&lane.turn))
        };
        let turn = turn.acquire_owned().await.expect("never closed");
        Some(Turn { _turn: turn, _place: place })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.channel) else { return };
        lane.there -= 1;
        if lane.there == 0 {
            lanes.remove(&self.channel);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_lane_is_one_at_a_time_in_order_bounded_and_goes_with_the_last() {
        let lanes = Lanes::new(3);
        let (a, b) = (ChannelName::parse("a").unwrap(), ChannelName::parse("b").unwrap());
        let first = lanes.turn(&a).now_or_never().flatten().expect("nobody is there");
        let (mut second, mut third) = (Box::pin(lanes.turn(&a)), Box::pin(lanes.turn(&a)));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        assert!(matches!(lanes.turn(&a).now_or_never(), Some(None)), "it is full");
        assert!(matches!(lanes.turn(&b).now_or_never(), Some(Some(_))), "another channel's is not");
        drop(second);
        assert!((&mut third).now_or_never().is_none(), "the first is still there");
        drop(first);
        assert!(matches!((&mut third).now_or_never(), Some(Some(_))));
        drop(third);
        assert!(lanes.lanes.lock().is_empty());
    }
}
