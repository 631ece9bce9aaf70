//! A session's place in one channel.

use std::sync::Arc;

use throughline_wire::{Gap, GapReason, Offset, Position};

use super::{
    slow::{Kept, SlowRule},
    volatile::Speech,
};
use crate::channel::{Channel, Listener, Log};

/// A cursor: events after it have no number yet. Listens to the channel for as long as it lives.
pub(super) struct Subscription {
    pub(super) channel: Arc<Channel>,
    pub(super) cursor: Position,
    /// The channel's version that was read to its end; another one says that there may be more.
    pub(super) seen: u64,
    /// The last volatile that was passed on or passed over.
    pub(super) heard: u64,
    /// What the session says in the channel that is not kept.
    pub(super) speech: Option<Box<Speech>>,
    /// What it gets when it falls behind; none: everything.
    slow: Option<Arc<SlowRule>>,
    /// Whether it fell behind where it gets the latest, and has not caught up since.
    pub(super) is_conflating: bool,
    key: u32,
}

impl Subscription {
    /// Listens to a channel. Nothing that is appended from now on is missed: the cursor is set afterwards.
    pub(super) fn new(
        channel: Arc<Channel>,
        listener: Arc<dyn Listener>,
        slow: Option<Arc<SlowRule>>,
    ) -> Self {
        let key = channel.listen(listener);
        let (cursor, heard) = (channel.log().head(), channel.said());
        Self { channel, cursor, seen: 0, heard, speech: None, slow, is_conflating: false, key }
    }

    /// Whether the channel has changed since it was read to its end.
    pub(super) fn is_behind(&self) -> bool {
        self.seen != self.channel.version()
    }

    /// What the log does not hold between the cursor and what it does hold.
    ///
    /// The gap begins exactly at the cursor (G2); within an epoch it is exact, over a change of epoch it is not (G3).
    pub(super) fn gap(&self, log: &Log) -> Option<Gap> {
        let head = log.head();
        let to = |offset: Offset| Position { epoch: head.epoch, offset };
        let channel = || Some(self.channel.name().clone());
        if self.cursor.epoch != head.epoch {
            let from = Some(self.cursor);
            return Some(Gap {
                channel: channel(),
                from,
                to: to(log.base()),
                exact: false,
                reason: GapReason::Epoch,
            });
        }
        if self.cursor.offset > head.offset {
            // G4: a place above the head of its own epoch was never given, or its tail was lost.
            return Some(Gap {
                channel: channel(),
                from: None,
                to: head,
                exact: false,
                reason: GapReason::Epoch,
            });
        }
        if self.cursor.offset < log.base() {
            let from = Some(self.cursor);
            return Some(Gap {
                channel: channel(),
                from,
                to: to(log.base()),
                exact: true,
                reason: GapReason::Trimmed,
            });
        }
        None
    }

    /// What it still gets where it fell behind; none where it gets everything. There is no [gap](Self::gap) before.
    pub(super) fn kept(&self, log: &Log) -> Option<Kept> {
        let rule = self.slow.as_deref()?;
        Kept::by(rule, log, self.cursor.offset, self.is_conflating)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.channel.unlisten(self.key);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("channel", &self.channel.name())
            .field("cursor", &self.cursor)
            .finish()
    }
}
