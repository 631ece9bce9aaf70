//! Pulling: how the events of one channel get their numbers and go into a batch, while there is room.
//!
//! A session that is up to date, or may fall behind as far as it likes, gets every event. One that fell behind where only
//! the newest counts (`slow`) gets some, each behind a gap that names exactly those that were left out before it: a gap
//! moves the client's place and the next event follows it, so the two take turns.

use std::sync::Arc;

use bytes::Bytes;
use throughline_wire::{Batch, ChannelName, Codec, Gap, GapReason, Item, Offset, Position, frame::Limits};

use super::{
    Journal, Session, Tally,
    journal::slide,
    slow::Kept,
    transmit::{Flow, is_full},
};
use crate::channel::{Channel, Entry, Log};

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
        let mut pull = Pull {
            journal: &mut self.journal,
            slid: &mut self.slid,
            tally: &mut self.tally,
            limits: self.config.limits,
            reserve: self.config.reserve_items.max(1) as u64,
            plain,
            codec,
            batch,
            budget_bytes,
        };
        if !plain && !is_open(pull.journal, &pull.limits, 0) {
            return Flow::WindowFull; // and the gap, if there is one, may yet grow: it is told once, when it is read
        }
        if let Some(gap) = held.gap(&log).filter(|_| !pull.journal.is_exhausted()) {
            // A channel whose events are gone whenever they are looked for makes gaps and nothing else.
            if !pull.may_tell() {
                return Flow::WindowFull;
            }
            held.cursor = gap.to;
            pull.tell(Item::Gap(gap), None);
        }
        let kept = held.kept(&log);
        held.is_conflating |= kept.as_ref().is_some_and(|kept| kept.reason == GapReason::Conflated);
        let flow = match kept {
            None => pull.all(&held.channel, &log, &mut held.cursor),
            Some(kept) => pull.some(&kept, &held.channel, &log, &mut held.cursor),
        };
        if flow == Flow::Done {
            held.is_conflating = false;
            held.seen = version;
        }
        flow
    }
}

/// What one pull changes.
struct Pull<'a, 'b> {
    journal: &'a mut Journal,
    slid: &'a mut u64,
    tally: &'a mut Tally,
    limits: Limits,
    reserve: u64,
    plain: bool,
    codec: Codec,
    batch: &'a mut Batch<'b>,
    budget_bytes: usize,
}

impl Pull<'_, '_> {
    /// Every event after the cursor.
    fn all(&mut self, channel: &Arc<Channel>, log: &Log, cursor: &mut Position) -> Flow {
        let epoch = log.head().epoch;
        for (offset, entry) in log.after(cursor.offset) {
            if let Some(flow) = self.find_room(entry, 0) {
                return flow;
            }
            self.journal.number_event(channel, epoch, offset, entry.payload_bytes());
            self.batch.push(entry.encoded(self.codec));
            cursor.offset = offset;
        }
        Flow::Done
    }

    /// The events that are kept, each behind a gap of those before it.
    fn some(&mut self, kept: &Kept, channel: &Arc<Channel>, log: &Log, cursor: &mut Position) -> Flow {
        for offset in &kept.offsets {
            let Some(entry) = log.entry(*offset) else { continue };
            let gap = left_out(channel.name(), *cursor, *offset, kept.reason).map(Item::Gap);
            let encoded = gap.as_ref().map(|gap| self.codec.encode_item(gap));
            // Together or not at all: more may be left out by the time there is room.
            if let Some(flow) = self.find_room(entry, encoded.as_ref().map_or(0, |encoded| encoded.len())) {
                return flow;
            }
            if let Some(gap) = gap {
                if !self.may_tell() {
                    return Flow::WindowFull;
                }
                self.tally.left_out(kept.reason, offset.events_since(cursor.offset) - 1);
                self.tell(gap, encoded);
                cursor.offset = before(*offset);
                if self.journal.is_exhausted() {
                    return Flow::More;
                }
            }
            self.journal.number_event(channel, cursor.epoch, *offset, entry.payload_bytes());
            self.batch.push(entry.encoded(self.codec));
            cursor.offset = *offset;
        }
        Flow::Done
    }

    /// Makes room for an event behind so many bytes, or says why there is none.
    fn find_room(&mut self, entry: &Entry, bytes_before: usize) -> Option<Flow> {
        let bytes = entry.encoded(self.codec).len() + bytes_before;
        if is_full(self.batch, bytes, self.budget_bytes) || self.journal.is_exhausted() {
            return Some(Flow::More);
        }
        let limits = self.limits;
        if !is_open(self.journal, &limits, entry.payload_bytes()) {
            if !self.plain {
                return Some(Flow::WindowFull);
            }
            slide(self.journal, self.slid, |journal| is_open(journal, &limits, entry.payload_bytes()));
        }
        None
    }

    /// Whether a gap has room in the reserve; on a link that cannot acknowledge it gets it.
    fn may_tell(&mut self) -> bool {
        let reserve = self.reserve;
        let has_room = |journal: &Journal| journal.controls() < reserve;
        if !self.plain && !has_room(self.journal) {
            return false;
        }
        slide(self.journal, self.slid, has_room);
        true
    }

    /// Numbers a gap; `encoded` is the same, where it is known already.
    fn tell(&mut self, gap: Item, encoded: Option<Bytes>) {
        if let Item::Gap(gap) = &gap {
            self.tally.gap(gap.reason);
        }
        let item = self.journal.number_control(gap);
        self.batch.push(&encoded.unwrap_or_else(|| self.codec.encode_item(item)));
    }
}

/// The gap between a place and the next event that is kept; none where that is the very next.
fn left_out(channel: &ChannelName, from: Position, next: Offset, reason: GapReason) -> Option<Gap> {
    let to = Position { offset: before(next), ..from };
    let channel = Some(channel.clone());
    (to.offset > from.offset).then_some(Gap { channel, from: Some(from), to, exact: true, reason })
}

fn before(offset: Offset) -> Offset {
    Offset::new(offset.get() - 1).expect("an event has an offset of at least one")
}

/// Whether the window of unacknowledged events has room for so many bytes of payload. It always has for one event.
fn is_open(journal: &Journal, limits: &Limits, bytes: u64) -> bool {
    journal.events() == 0
        || (journal.events() < limits.unacknowledged_items
            && journal.event_bytes() + bytes <= limits.unacknowledged_bytes)
}
