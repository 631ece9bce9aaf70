//! What is said in a channel and not kept: cursors, typing, positions on a map.
//!
//! A volatile has no offset, is never sent again and never missed by name. It lies in a small ring for a moment, so
//! that every link that can be written to pulls it like an event, encoded once; whoever comes later than that, or
//! cannot be written to, does without. So a slow client costs nothing, and nobody is ever told old news.

use std::{collections::VecDeque, sync::OnceLock};

use bytes::{Bytes, BytesMut};
use throughline_wire::{
    ChannelName, Codec, DecodeLimits, DownFrame, Payload, Sender, SessionId, frame::VolatileDown,
};

/// How long a volatile is news, in milliseconds: longer than a poll takes to come back, shorter than anybody would
/// call late.
pub const VOLATILE_MS: u64 = 1_000;

/// The most in one ring. The oldest make room.
const RING: usize = 64;

/// The most bytes in one ring, unless a single one is larger.
const RING_BYTES: usize = 64 * 1024;

/// Something to say that is not kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewVolatile {
    /// The application's name for this kind.
    pub name: Option<Box<str>>,
    /// Rises with each of one sender in one channel. Default: counted by the channel, for the application's own.
    pub seq: Option<u64>,
    /// Who says it; absent where the application does. Its session is not told.
    pub sender: Option<Sender>,
    /// What it says.
    pub payload: Payload,
}

/// The volatiles of one channel that are still news.
#[derive(Debug, Default)]
pub struct Ring {
    /// The number of the newest.
    head: u64,
    entries: VecDeque<Volatile>,
    bytes: usize,
}

/// One volatile, ready to be sent.
#[derive(Debug)]
pub struct Volatile {
    said_ms: u64,
    seq: u64,
    sender: Option<SessionId>,
    text: Bytes,
    binary: OnceLock<Bytes>,
}

impl Ring {
    /// An empty ring that goes on counting after `head`.
    pub(super) const fn after_head(head: u64) -> Self {
        Self { head, entries: VecDeque::new(), bytes: 0 }
    }

    /// Adds one, said at `mono_ms` and `wall_ms`; returns the number of the newest. One that a newer of its sender has
    /// overtaken on the way here is dropped, so that those of one sender are in order.
    pub(super) fn say(
        &mut self,
        channel: &ChannelName,
        volatile: NewVolatile,
        mono_ms: u64,
        wall_ms: u64,
    ) -> u64 {
        let sender = volatile.sender.as_ref().map(|sender| sender.session);
        let seq = volatile.seq.unwrap_or(self.head + 1);
        if self.entries.iter().any(|earlier| earlier.sender == sender && earlier.seq >= seq) {
            return self.head;
        }
        self.head += 1;
        let frame = DownFrame::Volatile(VolatileDown {
            channel: channel.clone(),
            name: volatile.name,
            time: wall_ms,
            seq,
            sender: volatile.sender,
            payload: volatile.payload,
        });
        let text = encode(Codec::Json, &frame);
        let entry = Volatile { said_ms: mono_ms, seq, sender, text, binary: OnceLock::new() };
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        self.trim(mono_ms);
        while self.entries.len() > RING || (self.bytes > RING_BYTES && self.entries.len() > 1) {
            self.drop_oldest();
        }
        self.head
    }

    /// Forgets what is no news any more.
    pub(super) fn trim(&mut self, mono_ms: u64) {
        while self.entries.front().is_some_and(|entry| entry.is_stale(mono_ms)) {
            self.drop_oldest();
        }
    }

    /// What follows `number`, oldest first, with the number of each.
    pub fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Volatile)> {
        let first = self.head + 1 - self.entries.len() as u64;
        let skip = usize::try_from((number + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        (first..).zip(&self.entries).skip(skip)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What they cost, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.cost();
        }
    }
}

impl Volatile {
    /// The frame, ready for a message of this codec.
    pub fn encoded(&self, codec: Codec) -> &Bytes {
        match codec {
            Codec::Json => &self.text,
            Codec::Bincode => self.binary.get_or_init(|| encode(codec, &self.frame())),
        }
    }

    /// Whether it is no news any more.
    pub const fn is_stale(&self, mono_ms: u64) -> bool {
        self.said_ms + VOLATILE_MS <= mono_ms
    }

    /// The session that said it, which is not told.
    pub const fn sender(&self) -> Option<SessionId> {
        self.sender
    }

    fn frame(&self) -> DownFrame {
        let limits = DecodeLimits { frame_bytes: usize::MAX, ..DecodeLimits::default() }; // it was let in
        match Codec::Json.down_frames(&self.text, limits).next() {
            Some(Ok(frame)) => frame,
            other => unreachable!("a ring holds the frames that it encoded, not {other:?}"),
        }
    }

    fn cost(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }
}

fn encode(codec: Codec, frame: &DownFrame) -> Bytes {
    let mut bytes = BytesMut::new();
    codec.encode_down(frame, &mut bytes);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(ring: &mut Ring, at: u64, bytes: usize) -> u64 {
        let volatile =
            NewVolatile { payload: Payload::Bytes(vec![0; bytes].into()), ..NewVolatile::default() };
        ring.say(&ChannelName::parse("a").unwrap(), volatile, at, at)
    }

    fn numbers(ring: &Ring, after: u64) -> Vec<u64> {
        ring.after(after).map(|(number, _)| number).collect()
    }

    #[test]
    fn a_ring_is_bounded_by_count_by_bytes_and_by_age() {
        let mut ring = Ring::default();
        for _ in 0..100 {
            say(&mut ring, 0, 1);
        }
        assert_eq!(numbers(&ring, 0), (37..=100).collect::<Vec<_>>());
        assert_eq!(
            (numbers(&ring, 99), numbers(&ring, 100), numbers(&ring, 200)),
            (vec![100], vec![], vec![])
        );
        for _ in 0..3 {
            say(&mut ring, 0, 30_000); // 40,000 bytes of base64
        }
        assert_eq!(numbers(&ring, 0), [103]);
        say(&mut ring, VOLATILE_MS, 1);
        assert_eq!(numbers(&ring, 0), [104]);
        ring.trim(2 * VOLATILE_MS);
        assert_eq!((ring.is_empty(), ring.bytes()), (true, 0));
        assert_eq!(say(&mut ring, 0, 1), 105);
    }

    #[test]
    fn one_that_was_overtaken_by_a_newer_of_its_sender_is_dropped() {
        let mut ring = Ring::default();
        let mut say = |session: u8, seq: u64| {
            let sender = Sender { user: None, session: SessionId::from_random([session; 16]) };
            let volatile = NewVolatile { seq: Some(seq), sender: Some(sender), ..NewVolatile::default() };
            ring.say(&ChannelName::parse("a").unwrap(), volatile, 0, 0)
        };
        assert_eq!([say(1, 5), say(1, 4), say(1, 5), say(2, 4), say(1, 6)], [1, 1, 1, 2, 3]);
    }

    #[test]
    fn both_forms_say_the_same() {
        let mut ring = Ring::default();
        let limits = DecodeLimits { frame_bytes: usize::MAX, ..DecodeLimits::default() };
        for bytes in [8, 2 << 20] {
            let number = say(&mut ring, 0, bytes);
            let (_, volatile) = ring.after(number - 1).next().unwrap();
            let frame = Codec::Bincode.down_frames(volatile.encoded(Codec::Bincode), limits).next();
            assert_eq!(frame.unwrap().unwrap(), volatile.frame());
        }
    }
}
