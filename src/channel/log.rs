//! What was said in one channel: events in order, numbered without holes, bounded by count, bytes and age.
//!
//! An event is encoded once, in the text codec, when it is appended; its binary form is made when the first
//! binary link asks for it. What is trimmed is gone: the log knows only how far, and whoever reads from before
//! that is told so ([`Log::base`]). There is no clock here; the time comes with each call.

use std::{collections::VecDeque, sync::OnceLock};

use bytes::Bytes;
use throughline_wire::{
    ChannelName, Codec, Epoch, Event, Item, MAX_INTEGER, Meta, Offset, Payload, Position, Sender,
};

/// How much a log keeps. Whichever bound is reached first trims the oldest events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// The most events. Default: 1,000.
    pub events: usize,
    /// The most bytes, as encoded. Default: 1 MiB.
    pub bytes: usize,
    /// The oldest event, in milliseconds. Default: 5 minutes.
    pub age_ms: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1_000, bytes: 1 << 20, age_ms: 300_000 }
    }
}

/// An event before it has its place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewEvent {
    /// The application's name for this kind of event.
    pub name: Option<Box<str>>,
    /// What it is the latest of.
    pub key: Option<Box<str>>,
    /// Who sent it; absent when the application published it.
    pub sender: Option<Sender>,
    /// What travels beside the payload.
    pub meta: Meta,
    /// What it says.
    pub payload: Payload,
}

/// A channel's events.
#[derive(Debug)]
pub struct Log {
    epoch: Epoch,
    head: Offset,
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// One event, ready to be sent.
#[derive(Debug)]
pub struct Entry {
    /// When it was taken, in milliseconds since the Unix epoch.
    time: u64,
    payload_bytes: u32,
    key: Option<Box<str>>,
    text: Bytes,
    binary: OnceLock<Bytes>,
}

impl Log {
    /// An empty log that begins an epoch.
    pub const fn new(epoch: Epoch) -> Self {
        Self { epoch, head: Offset::ZERO, entries: VecDeque::new(), bytes: 0 }
    }

    /// The place of the newest event.
    pub const fn head(&self) -> Position {
        Position { epoch: self.epoch, offset: self.head }
    }

    /// The place before the oldest event that is held: nothing at or before it can be read any more.
    pub fn base(&self) -> Offset {
        Offset::new(self.head.get() - self.entries.len() as u64).expect("no more entries than offsets")
    }

    /// How many events are held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What the held events cost, in bytes.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the epoch is used up and a new one has to begin before the next append (G5).
    pub const fn is_exhausted(&self) -> bool {
        self.head.get() >= MAX_INTEGER
    }

    /// Appends an event at `time` (milliseconds since the Unix epoch) and trims what `retention` no longer allows.
    pub fn append(
        &mut self,
        channel: &ChannelName,
        event: NewEvent,
        time: u64,
        retention: &Retention,
    ) -> Position {
        self.head = self.head.next();
        let payload_bytes = event.payload.len() as u32;
        let item = Item::Event(Event {
            channel: channel.clone(),
            offset: self.head,
            time,
            name: event.name,
            key: event.key,
            sender: event.sender,
            meta: event.meta,
            payload: event.payload,
        });
        let text = Codec::Json.encode_item(&item);
        let Item::Event(Event { key, .. }) = item else { unreachable!("made above") };
        let entry = Entry { time, payload_bytes, key, text, binary: OnceLock::new() };
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        self.trim(time, retention);
        self.head()
    }

    /// Whether the oldest event is older than `age_ms` at `time`.
    pub fn is_stale(&self, time: u64, age_ms: u64) -> bool {
        self.entries.front().is_some_and(|oldest| oldest.time.saturating_add(age_ms) < time)
    }

    /// Trims what `retention` no longer allows at `time`; returns how many bytes were freed.
    ///
    /// The newest event stays, whatever its size, until it is too old.
    pub fn trim(&mut self, time: u64, retention: &Retention) -> usize {
        let before = self.bytes;
        while let Some(oldest) = self.entries.front() {
            let aged = oldest.time.saturating_add(retention.age_ms) < time;
            let full = self.entries.len() > retention.events || self.bytes > retention.bytes;
            if !(aged || full && self.entries.len() > 1) {
                break;
            }
            self.drop_oldest();
        }
        before - self.bytes
    }

    /// Drops the oldest events until `bytes` are freed or none is left; returns how many bytes were freed.
    pub fn trim_bytes(&mut self, bytes: usize) -> usize {
        let before = self.bytes;
        while before - self.bytes < bytes && !self.entries.is_empty() {
            self.drop_oldest();
        }
        before - self.bytes
    }

    /// Begins anew: a log that lost events it had numbered must not number others the same (G1).
    pub fn begin_epoch(&mut self, epoch: Epoch) {
        *self = Self::new(epoch);
    }

    /// The held events after `offset`, which must not lie before [`base`](Self::base), with their offsets.
    pub fn after(&self, offset: Offset) -> impl Iterator<Item = (Offset, &Entry)> {
        let base = self.base();
        let skip = (offset.events_since(base) as usize).min(self.entries.len());
        // Numbers are made for what is held only: the one after the last offset there can be is none.
        let held = self.entries.range(skip..).zip(base.get() + 1 + skip as u64..);
        held.map(|(entry, number)| (Offset::new(number).expect("below the head"), entry))
    }

    /// The event at `offset`, if it is held.
    pub fn entry(&self, offset: Offset) -> Option<&Entry> {
        let index = offset.get().checked_sub(self.base().get() + 1)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.cost();
        }
    }
}

impl Entry {
    /// The event as an item, ready for a batch of this codec.
    pub fn encoded(&self, codec: Codec) -> &Bytes {
        match codec {
            Codec::Json => &self.text,
            Codec::Bincode => self.binary.get_or_init(|| codec.encode_item(&Item::Event(self.event()))),
        }
    }

    /// The event itself, for those who ask for history.
    pub fn event(&self) -> Event {
        match Codec::Json.decode_item(&self.text) {
            Ok(Item::Event(event)) => event,
            other => unreachable!("a log holds the events that it encoded, not {other:?}"),
        }
    }

    /// The size of its payload, as it was published: what a window counts.
    pub const fn payload_bytes(&self) -> u64 {
        self.payload_bytes as u64
    }

    /// What it is the latest of.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What it is booked at: its text, its key and its place in the log. The binary form, where one is made, is of the same
    /// order and lives as long.
    fn cost(&self) -> usize {
        self.text.len() + self.key.as_ref().map_or(0, |key| key.len()) + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use throughline_wire::Json;

    use super::*;

    fn event(text: &str) -> NewEvent {
        NewEvent { payload: Payload::Json(Json::parse(text.as_bytes()).unwrap()), ..NewEvent::default() }
    }

    fn filled(count: u64, retention: &Retention) -> Log {
        let channel = ChannelName::parse("news").unwrap();
        let mut log = Log::new(Epoch::from_random(1));
        for time in 1..=count {
            log.append(&channel, event("{}"), time, retention);
        }
        log
    }

    fn offsets(log: &Log, after: u64) -> Vec<u64> {
        log.after(Offset::new(after).unwrap()).map(|(offset, _)| offset.get()).collect()
    }

    #[test]
    fn offsets_are_dense_from_one() {
        let log = filled(3, &Retention::default());
        assert_eq!(offsets(&log, 0), [1, 2, 3]);
        assert_eq!(offsets(&log, 2), [3]);
        assert!(offsets(&log, 3).is_empty());
        assert!(offsets(&log, 9).is_empty());
        assert!(offsets(&log, MAX_INTEGER).is_empty(), "the last place there can be has nothing after it");
    }

    #[test]
    fn the_oldest_go_first_by_count_and_the_base_says_how_far() {
        let log = filled(10, &Retention { events: 4, ..Retention::default() });
        assert_eq!((log.base().get(), log.head().offset.get()), (6, 10));
        assert_eq!(offsets(&log, 6), [7, 8, 9, 10]);
    }

    #[test]
    fn the_newest_event_stays_although_it_is_larger_than_the_log() {
        let log = filled(3, &Retention { bytes: 1, ..Retention::default() });
        assert_eq!(offsets(&log, 2), [3]);
    }

    #[test]
    fn an_old_event_goes_by_age_alone() {
        let mut log = filled(3, &Retention::default());
        log.trim(302 + 300_000, &Retention::default());
        assert!(log.is_empty());
        assert_eq!(log.bytes(), 0);
        assert_eq!(log.base(), log.head().offset);
    }

    #[test]
    fn the_binary_form_says_the_same_as_the_text_form() {
        let log = filled(1, &Retention::default());
        let (_, entry) = log.after(Offset::ZERO).next().unwrap();
        let binary = Codec::Bincode.decode_item(entry.encoded(Codec::Bincode)).unwrap();
        assert_eq!(binary, Item::Event(entry.event()));
    }
}
