//! Which transports a session was on, and how each ended: the answer to "why is this user on polling?".
//!
//! It has two witnesses. The gateway sees its own links come and go; what never reached it (an upgrade that a proxy
//! swallowed, datagrams that nobody answered) only the client can tell, by `tried`. Both are kept in one short list,
//! in the order in which the gateway learned of them, and a run of the like, as polls are, is one entry.
//!
//! It is small, and there only once there is something to tell. No text of a client is kept: transports and outcomes
//! are words of a table, and what is not in it is `other`.

use throughline_wire::{AttemptOutcome, ChannelName, Codec, SessionId, frame::Tried};

use super::{Dropped, Effect, Goodbye, Link, Now, Session, leave::Leave};

/// The most entries: enough for a bad hour, few enough to read.
const ENTRIES: usize = 16;

/// How many `tried` of one session count in [`TRIED_PERIOD_MS`]: more than a client has transports to try.
const TRIED: u32 = 20;
const TRIED_PERIOD_MS: u64 = 10_000;

/// One use of a transport, or a run of the like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// When it began, the first one of a run, in milliseconds since the Unix epoch.
    pub at: u64,
    /// Who tells of it.
    pub by: Witness,
    /// The transport's name; `other` for one that this version does not know.
    pub transport: &'static str,
    /// The form of its messages, where the gateway saw them.
    pub codec: Option<Codec>,
    /// How it ended: one of [`AttemptOutcome`] where the client tells it, else one of [`Parting`] or of [`Goodbye`].
    pub outcome: &'static str,
    /// How long it took until then, in milliseconds, at most 49 days. Of a run: from the first beginning to the last
    /// end.
    pub took_ms: u64,
    /// How many there were, one after the other, at most 65,535.
    pub times: u64,
}

/// The transport that a session is on, and those that it was on or tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransportHistory {
    /// The link that items flow on; `None` while the session is detached.
    pub now: Option<Attached>,
    /// The last 16 attempts, in the order in which the gateway learned of them, a run of the like as one.
    pub history: Vec<Attempt>,
}

/// The link that items flow on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached {
    /// The transport's name.
    pub transport: &'static str,
    /// The form of its messages.
    pub codec: Codec,
    /// How long its link has been open, in milliseconds.
    pub since_ms: u64,
}

/// Who tells of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Witness {
    /// The client, by `tried`.
    Client,
    /// The gateway, of a link of its own.
    Gateway,
}

impl Witness {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
        }
    }
}

/// How a link came to its end without a [`Goodbye`] of the gateway's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Parting {
    /// The answer was given: a poll is over as it should be.
    Answered,
    /// The client closed it.
    ClosedByClient,
    /// It broke, or its client is gone.
    Lost,
    /// The client broke the transport's own protocol.
    Protocol,
}

impl Parting {
    /// Every way to part.
    pub const ALL: &[Self] = &[Self::Answered, Self::ClosedByClient, Self::Lost, Self::Protocol];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ClosedByClient => "closed_by_client",
            Self::Lost => "lost",
            Self::Protocol => "protocol_error",
        }
    }
}

/// What most sessions have little of, kept apart so that they stay small.
#[derive(Debug, Default)]
pub(super) struct Aside {
    entries: Vec<Entry>,
    tried: Rate,
    pub(super) volatiles: Rate,
    /// What its client is told once nothing of what it said is under way any more.
    pub(super) leave: Option<Leave>,
    /// The session that its client had before, until it is told.
    pub(super) replaces: Option<SessionId>,
    /// The channels that the server gave it.
    pub(super) assigned: Vec<ChannelName>,
}

/// An [`Attempt`], in 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    took_ms: u32,
    times: u16,
    transport: Word,
    outcome: Word,
    by: Witness,
    codec: Option<Codec>,
}

/// A word of [`words`], by its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word(u8);

/// How much of something there was in the present period.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    period: u32,
    count: u32,
}

impl Rate {
    /// Takes one more, at most `most` in each period of `period_ms`; says whether there was room for it.
    pub(super) const fn take(&mut self, mono_ms: u64, period_ms: u64, most: u32) -> bool {
        let period = (mono_ms / period_ms) as u32;
        if period != self.period {
            *self = Self { period, count: 0 };
        }
        let has_room = self.count < most;
        if has_room {
            self.count += 1;
        }
        has_room
    }
}

impl Session {
    /// Where the session is, and how it came to be there.
    pub fn transports(&self, now: Now) -> TransportHistory {
        let attached = |link: &Link| Attached {
            transport: link.spec.transport,
            codec: link.spec.codec,
            since_ms: now.mono_ms.saturating_sub(link.opened_ms),
        };
        let entries = self.aside.as_ref().map_or(&[][..], |aside| &aside.entries);
        TransportHistory {
            now: self.active_link().map(attached),
            history: entries.iter().map(Entry::told).collect(),
        }
    }

    pub(super) fn aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// The client tells how its use of a transport went.
    pub(super) fn handle_tried(&mut self, now: Now, tried: &Tried) {
        if !self.aside().tried.take(now.mono_ms, TRIED_PERIOD_MS, TRIED) {
            return self.effects.push(Effect::Dropped(Dropped::TriedTooOften));
        }
        let transport = Word::of(&tried.transport);
        let entry = Entry {
            at: now.wall_ms.saturating_sub(tried.ago_ms).saturating_sub(tried.took_ms),
            took_ms: u32::try_from(tried.took_ms).unwrap_or(u32::MAX),
            times: 1,
            transport,
            outcome: Word::of(tried.outcome.as_str()),
            by: Witness::Client,
            codec: None,
        };
        self.note(entry);
        let (transport, outcome) = (transport.as_str(), tried.outcome);
        self.effects.push(Effect::Tried { transport, outcome });
    }

    /// A link of the gateway's has ended.
    pub(super) fn note_end(&mut self, now: Now, link: &Link, outcome: &'static str) {
        let took_ms = now.mono_ms.saturating_sub(link.opened_ms);
        self.note(Entry {
            at: now.wall_ms.saturating_sub(took_ms),
            took_ms: u32::try_from(took_ms).unwrap_or(u32::MAX),
            times: 1,
            transport: Word(link.spec.place),
            outcome: Word::of(outcome),
            by: Witness::Gateway,
            codec: Some(link.spec.codec),
        });
    }

    fn note(&mut self, entry: Entry) {
        let entries = &mut self.aside().entries;
        if let Some(last) = entries.last_mut().filter(|last| last.is_like(&entry)) {
            let end = entry.at.saturating_add(entry.took_ms.into());
            last.took_ms = u32::try_from(end.saturating_sub(last.at)).unwrap_or(u32::MAX);
            last.times = last.times.saturating_add(1);
            return;
        }
        if entries.len() == ENTRIES {
            entries.remove(0);
        }
        entries.reserve_exact(1); // most sessions never have more than a few
        entries.push(entry);
    }
}

impl Entry {
    fn told(&self) -> Attempt {
        Attempt {
            at: self.at,
            by: self.by,
            transport: self.transport.as_str(),
            codec: self.codec,
            outcome: self.outcome.as_str(),
            took_ms: self.took_ms.into(),
            times: self.times.into(),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        let what = |entry: &Self| (entry.by, entry.transport, entry.codec, entry.outcome);
        what(self) == what(other)
    }
}

impl Word {
    fn of(text: &str) -> Self {
        let place = words().position(|word| word == text).and_then(|place| u8::try_from(place).ok());
        Self(place.unwrap_or(u8::MAX))
    }

    fn as_str(self) -> &'static str {
        words().nth(self.0.into()).unwrap_or(OTHER)
    }
}

/// Every word there is: the most frequent come first.
fn words() -> impl Iterator<Item = &'static str> {
    let parted = Parting::ALL.iter().map(|parting| parting.as_str());
    let tried = AttemptOutcome::ALL.iter().map(|outcome| outcome.as_str());
    TRANSPORTS.iter().copied().chain(parted).chain(Goodbye::WORDS.iter().copied()).chain(tried)
}

/// The transports of this version, by their names on the wire: what a client may tell of.
pub const TRANSPORTS: [&str; 4] = ["polling", "websocket", "sse", "webtransport"];

/// What there is no word for.
pub const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small_and_every_word_has_a_place() {
        assert_eq!(size_of::<Entry>(), 24);
        for word in words() {
            assert_eq!(Word::of(word).as_str(), word);
        }
        assert_eq!(Word::of("a client's own").as_str(), OTHER);
        assert!(words().count() < usize::from(u8::MAX));
    }

    #[test]
    fn a_rate_begins_anew_with_each_period() {
        let mut rate = Rate::default();
        let taken = |rate: &mut Rate, at| (0..5).filter(|_| rate.take(at, 1_000, 3)).count();
        assert_eq!((taken(&mut rate, 5_000), taken(&mut rate, 5_999), taken(&mut rate, 6_000)), (3, 0, 3));
    }
}
