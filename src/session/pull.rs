//! Pulling: how the events of one channel get their numbers and go into a batch, while there is room.

use throughline_wire::{Batch, Codec, GapReason, Item};

use super::{
    Session,
    transmit::{Flow, is_full},
};

impl Session {
    /// Pulls the events of one channel while there is room.
    pub(super) fn pull(
        &mut self,
        at: usize,
        plain: bool,
        codec: Codec,
        batch: &mut Batch<'_>,
        budget_bytes: usize,
    ) -> Flow {
        let held = &mut self.subscriptions[at];
        let version = held.channel.version();
        let log = held.channel.log();
        let limits = self.config.limits;
        let is_open = |journal: &super::Journal, bytes: u64| {
            journal.events() == 0
                || (journal.events() < limits.unacknowledged_items
                    && journal.event_bytes() + bytes <= limits.unacknowledged_bytes)
        };
        if !plain && !is_open(&self.journal, 0) {
            return Flow::WindowFull; // and the gap, if there is one, may yet grow: it is told once, when it is read
        }
        if let Some(gap) = held.gap(&log).filter(|_| !self.journal.is_exhausted()) {
            // A channel whose events are gone whenever they are looked for makes gaps and nothing else.
            let reserve = self.config.reserve_items.max(1) as u64;
            let has_room = |journal: &super::Journal| journal.controls() < reserve;
            if !plain && !has_room(&self.journal) {
                return Flow::WindowFull;
            }
            slide(&mut self.journal, &mut self.slid, has_room);
            match gap.reason {
                GapReason::Trimmed => self.tally.gaps_trimmed += 1,
                _ => self.tally.gaps_epoch += 1,
            }
            held.cursor = gap.to;
            let item = self.journal.number_control(Item::Gap(gap));
            batch.push(&codec.encode_item(item));
        }
        let epoch = log.head().epoch;
        for (offset, entry) in log.after(held.cursor.offset) {
            let encoded = entry.encoded(codec);
            if is_full(batch, encoded.len(), budget_bytes) || self.journal.is_exhausted() {
                return Flow::More;
            }
            if !is_open(&self.journal, entry.payload_bytes()) {
                if !plain {
                    return Flow::WindowFull;
                }
                slide(&mut self.journal, &mut self.slid, |journal| is_open(journal, entry.payload_bytes()));
            }
            self.journal.number_event(&held.channel, epoch, offset, entry.payload_bytes());
            batch.push(encoded);
            held.cursor.offset = offset;
        }
        held.seen = version;
        Flow::Done
    }
}

/// Lets the oldest half of a journal go, and again, until there is room (L13).
pub(super) fn slide(journal: &mut super::Journal, slid: &mut u64, is_open: impl Fn(&super::Journal) -> bool) {
    while !is_open(journal) {
        let held = journal.next() - 1 - journal.floor();
        journal.acknowledge(journal.floor() + held.div_ceil(2));
        *slid = journal.floor();
    }
}
