//! The numbered items that a client has not acknowledged.
//!
//! Events are not kept here but *runs* of them, `{first item, channel, first offset, count}`: their bytes stay in
//! the channel's log, so a fan-out extends the last run in place and a slow client costs a few dozen bytes. What
//! the log has dropped meanwhile is told when it is sent again: the item becomes a gap of exactly that event, with
//! the same number (docs/decisions: a numbered item may turn into its own loss, never into another item).
//!
//! Replies, subscription results and gaps exist nowhere else, so they are kept whole. Presences are shared with all the
//! journals of sessions that are told the same.

use std::{collections::VecDeque, sync::Arc};

use throughline_wire::{ChannelName, Epoch, Item, MAX_INTEGER, Offset, Reply};

use crate::{
    channel::{Channel, Told},
    limits::{Booking, Meter},
};

/// Numbered, unacknowledged items, oldest first, without a hole.
#[derive(Debug)]
pub(super) struct Journal {
    /// The highest number that is acknowledged, or has slid out.
    floor: u64,
    /// The next number to be given.
    next: u64,
    entries: VecDeque<Numbered>,
    events: u64,
    event_bytes: u64,
    /// What the items cost that are kept whole.
    control_bytes: usize,
}

/// One entry of the journal.
#[derive(Debug)]
pub(super) enum Numbered {
    /// Events of one channel whose offsets and numbers rise together.
    Run(Run),
    /// An item that exists nowhere else.
    Control { number: u64, item: Box<Item> },
    /// A presence, and its cost with whoever the session counts for.
    Presence { number: u64, told: Arc<Told>, _booking: Option<Booking> },
}

/// Consecutive events of one channel.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) channel: Arc<Channel>,
    pub(super) epoch: Epoch,
    pub(super) offset: Offset,
    pub(super) count: u64,
    bytes: u64,
}

impl Journal {
    /// An empty journal after item `floor`.
    pub(super) const fn after(floor: u64) -> Self {
        Self { floor, next: floor + 1, entries: VecDeque::new(), events: 0, event_bytes: 0, control_bytes: 0 }
    }

    /// The number that the next item will get.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// Whether there is no number left to give (G5).
    pub(super) const fn is_exhausted(&self) -> bool {
        self.next > MAX_INTEGER
    }

    /// The highest number that is acknowledged or has slid out: what lies above it can be sent again.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// How many event items are unacknowledged.
    pub(super) const fn events(&self) -> u64 {
        self.events
    }

    /// How many bytes of event payload are unacknowledged.
    pub(super) const fn event_bytes(&self) -> u64 {
        self.event_bytes
    }

    /// How many items that are no events are unacknowledged.
    pub(super) const fn controls(&self) -> u64 {
        self.next - 1 - self.floor - self.events
    }

    /// Numbers an event. `offset` follows that of the last run, or begins a new one.
    pub(super) fn number_event(&mut self, channel: &Arc<Channel>, epoch: Epoch, offset: Offset, bytes: u64) {
        let number = self.take_number();
        self.events += 1;
        self.event_bytes += bytes;
        if let Some(Numbered::Run(run)) = self.entries.back_mut()
            && Arc::ptr_eq(&run.channel, channel)
            && run.epoch == epoch
            && run.offset.get() + run.count == offset.get()
        {
            run.count += 1;
            run.bytes += bytes;
            return;
        }
        let channel = Arc::clone(channel);
        self.entries.push_back(Numbered::Run(Run { first: number, channel, epoch, offset, count: 1, bytes }));
    }

    /// Numbers an item that is no event.
    pub(super) fn number_control(&mut self, item: Item) -> &Item {
        let number = self.take_number();
        self.control_bytes += cost(&item);
        self.entries.push_back(Numbered::Control { number, item: Box::new(item) });
        match self.entries.back() {
            Some(Numbered::Control { item, .. }) => item,
            _ => unreachable!("pushed above"),
        }
    }

    /// Numbers a presence, and books it with `payer`.
    pub(super) fn number_presence(&mut self, told: Arc<Told>, payer: Option<&Arc<Meter>>) -> &Told {
        let number = self.take_number();
        let _booking = payer.map(|payer| payer.book(told.cost()));
        self.entries.push_back(Numbered::Presence { number, told, _booking });
        match self.entries.back() {
            Some(Numbered::Presence { told, .. }) => told,
            _ => unreachable!("pushed above"),
        }
    }

    /// Forgets everything up to `up_to`, which must have been given. Less than before changes nothing.
    pub(super) fn acknowledge(&mut self, up_to: u64) {
        debug_assert!(up_to < self.next, "only numbers that were given can be acknowledged");
        while let Some(entry) = self.entries.front_mut() {
            if entry.first() > up_to {
                break;
            }
            match entry {
                Numbered::Run(run) if run.last() > up_to => {
                    let count = up_to + 1 - run.first;
                    // A window counts bytes; which event of the run had how many the log may no longer know.
                    let bytes = run.bytes * count / run.count;
                    run.drop_first(count, bytes);
                    self.events -= count;
                    self.event_bytes -= bytes;
                    break;
                }
                Numbered::Run(run) => {
                    self.events -= run.count;
                    self.event_bytes -= run.bytes;
                }
                Numbered::Control { item, .. } => self.control_bytes -= cost(item),
                Numbered::Presence { .. } => {}
            }
            self.entries.pop_front();
        }
        self.floor = self.floor.max(up_to);
    }

    /// The entries from item `number` on. The first may begin before it.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = &Numbered> {
        let start = self.entries.partition_point(|entry| entry.last() < number);
        self.entries.range(start..)
    }

    /// The oldest unacknowledged run of a channel.
    pub(super) fn first_event_of(&self, channel: &Arc<Channel>) -> Option<&Run> {
        self.entries.iter().find_map(|entry| match entry {
            Numbered::Run(run) if Arc::ptr_eq(&run.channel, channel) => Some(run),
            _ => None,
        })
    }

    /// The number of the newest presence of a channel that is not acknowledged; 0 where there is none.
    pub(super) fn last_presence_of(&self, channel: &ChannelName) -> u64 {
        let newest = self.entries.iter().rev().find_map(|entry| match entry {
            Numbered::Presence { number, told, .. } if told.channel() == channel => Some(*number),
            _ => None,
        });
        newest.unwrap_or(0)
    }

    /// The number of the oldest presence that is not acknowledged.
    pub(super) fn first_presence(&self) -> Option<u64> {
        self.entries.iter().find_map(|entry| match entry {
            Numbered::Presence { number, .. } => Some(*number),
            _ => None,
        })
    }

    /// The items that exist nowhere else, oldest first, taken out: what a rebuilt session still has to say.
    pub(super) fn into_controls(self) -> impl Iterator<Item = Item> {
        self.entries.into_iter().filter_map(|entry| match entry {
            Numbered::Control { item, .. } => Some(*item),
            Numbered::Run(_) | Numbered::Presence { .. } => None,
        })
    }

    /// What it costs beyond its own size, in bytes; the payloads of replies included, but not the
    /// presences: they are booked where they are shared.
    pub(super) fn cost(&self) -> usize {
        self.entries.capacity() * size_of::<Numbered>() + self.control_bytes
    }

    /// Gives back memory that an empty journal does not need.
    pub(super) fn shrink(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    fn take_number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }
}

/// What an item costs that is kept whole.
fn cost(item: &Item) -> usize {
    let payload = match item {
        Item::Reply(Reply { result: Ok(accepted), .. }) => accepted.payload.len(),
        _ => 0,
    };
    size_of::<Item>() + payload
}

impl Numbered {
    const fn first(&self) -> u64 {
        match self {
            Self::Run(run) => run.first,
            Self::Control { number, .. } | Self::Presence { number, .. } => *number,
        }
    }

    const fn last(&self) -> u64 {
        match self {
            Self::Run(run) => run.last(),
            Self::Control { number, .. } | Self::Presence { number, .. } => *number,
        }
    }
}

impl Run {
    pub(super) const fn last(&self) -> u64 {
        self.first + self.count - 1
    }

    /// The offset of item `number` of this run.
    pub(super) fn offset_of(&self, number: u64) -> Offset {
        Offset::new(self.offset.get() + (number - self.first)).expect("an offset that was given")
    }

    fn drop_first(&mut self, count: u64, bytes: u64) {
        self.offset = self.offset_of(self.first + count);
        self.first += count;
        self.count -= count;
        self.bytes -= bytes;
    }
}

/// Lets the oldest half of a journal go, and again, until there is room (L13).
pub(super) fn slide(journal: &mut Journal, slid: &mut u64, is_open: impl Fn(&Journal) -> bool) {
    while !is_open(journal) {
        let held = journal.next() - 1 - journal.floor();
        journal.acknowledge(journal.floor() + held.div_ceil(2));
        *slid = journal.floor();
    }
}

#[cfg(test)]
mod tests {
    use throughline_wire::item::Accepted;

    use super::*;

    fn channel() -> Arc<Channel> {
        Arc::new(Channel::new(ChannelName::parse("news").unwrap(), Epoch::from_random(1)))
    }

    fn events(journal: &mut Journal, channel: &Arc<Channel>, offsets: std::ops::RangeInclusive<u64>) {
        for offset in offsets {
            journal.number_event(channel, Epoch::from_random(1), Offset::new(offset).unwrap(), 10);
        }
    }

    fn reply(command: u64) -> Item {
        Item::Reply(Reply { command, result: Ok(Accepted::default()) })
    }

    #[test]
    fn consecutive_events_are_one_run() {
        let mut journal = Journal::after(0);
        events(&mut journal, &channel(), 1..=500);
        assert_eq!(journal.entries.len(), 1);
    }

    #[test]
    fn an_acknowledgement_inside_a_run_cuts_it() {
        let mut journal = Journal::after(0);
        let channel = channel();
        events(&mut journal, &channel, 5..=9);
        journal.acknowledge(2);
        assert_eq!((journal.events(), journal.event_bytes(), journal.floor()), (3, 30, 2));
        let Some(Numbered::Run(run)) = journal.from(3).next() else { panic!("no run") };
        assert_eq!((run.first, run.offset.get(), run.offset_of(5).get()), (3, 7, 9));
        journal.acknowledge(1);
        assert_eq!(journal.floor(), 2, "an acknowledgement never goes back");
        journal.acknowledge(5);
        assert_eq!((journal.events(), journal.event_bytes()), (0, 0));
    }

    #[test]
    fn controls_and_events_are_counted_apart() {
        let mut journal = Journal::after(7);
        journal.number_control(reply(1));
        events(&mut journal, &channel(), 1..=2);
        journal.number_control(reply(2));
        assert_eq!((journal.next(), journal.events(), journal.controls()), (12, 2, 2));
        journal.acknowledge(8);
        assert_eq!((journal.events(), journal.controls()), (2, 1));
        assert_eq!(journal.into_controls().count(), 1);
    }

    #[test]
    fn reading_begins_at_any_number() {
        let mut journal = Journal::after(0);
        journal.number_control(reply(1));
        events(&mut journal, &channel(), 1..=3);
        journal.number_control(reply(2));
        let count = |from| journal.from(from).count();
        assert_eq!((count(1), count(2), count(4), count(5), count(6)), (3, 2, 2, 1, 0));
    }
}
