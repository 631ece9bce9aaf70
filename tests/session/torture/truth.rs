//! What was truly published: the history of each channel, kept by the model itself.
//!
//! Nothing here asks a log what it holds. The model does the sum that retention does, and compares; whoever tells a
//! client of an event or a gap is measured by this.

use std::sync::Arc;

use throughline::{
    channel::{Channel, NewEvent, NewVolatile, Retention},
    session::{Now, SlowPolicy, SlowRule},
};
use throughline_wire::{ChannelName, Epoch, Json, Payload, Position};

use super::random::Random;

/// Every channel, how much their logs keep, and who is behind in them.
pub(super) struct Truth {
    pub(super) channels: Vec<History>,
    retention: Retention,
    /// The bounds past which a session is behind, whatever the policy of the channel.
    pub(super) behind: SlowRule,
    published: u64,
}

/// All that was ever said in one channel.
pub(super) struct History {
    pub(super) channel: Arc<Channel>,
    /// What a session gets that falls behind: its namespace says so.
    pub(super) policy: SlowPolicy,
    eras: Vec<Era>,
}

/// What one epoch numbered.
struct Era {
    epoch: Epoch,
    events: Vec<Published>,
    /// How many of its events are gone.
    trimmed: usize,
}

struct Published {
    id: u64,
    time: u64,
    key: Option<&'static str>,
    bytes: u64,
}

/// A position, in an order: epochs by age, then offsets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) era: usize,
    pub(super) offset: u64,
}

impl Truth {
    pub(super) fn new(channels: usize, random: &mut Random) -> Self {
        let retention = Retention {
            events: random.within(2..=40) as usize,
            bytes: usize::MAX,
            age_ms: *random.pick(&[1_000, 60_000, u64::MAX]),
        };
        let behind = SlowRule {
            events: random.within(1..=6),
            bytes: *random.pick(&[1, 100, u64::MAX]),
            ..SlowRule::new(SlowPolicy::Replay)
        };
        let channels = (0..channels).map(|index| History::new(index, random)).collect();
        Self { channels, retention, behind, published: 0 }
    }

    /// Which channel has this name.
    pub(super) fn index(&self, name: &ChannelName) -> usize {
        let index = name.as_str().split_once(':').and_then(|(_, digits)| digits.parse().ok());
        index.filter(|index| *index < self.channels.len()).expect("a channel of the model")
    }

    /// Publishes an event that no other is like.
    pub(super) fn publish(&mut self, index: usize, time: u64, random: &mut Random) {
        self.published += 1;
        let id = self.published;
        let most = if random.chance(1, 8) { 300 } else { 20 };
        let padding = random.within(0..=most) as usize;
        let payload = if random.chance(1, 2) {
            let text = format!("{{\"id\":{id},\"pad\":\"{}\"}}", "x".repeat(padding));
            Payload::Json(Json::parse(text.as_bytes()).expect("a JSON text"))
        } else {
            let mut bytes = id.to_be_bytes().to_vec();
            bytes.resize(8 + padding, 0xfe);
            Payload::Bytes(bytes.into())
        };
        let key = *random.pick(&[None, Some("a"), Some("b"), Some("c")]);
        let bytes = payload.len() as u64;
        let history = &mut self.channels[index];
        let event = NewEvent { payload, key: key.map(Into::into), ..NewEvent::default() };
        let position = history.channel.append(event, time, &self.retention);
        history.era_mut().events.push(Published { id, time, key, bytes });
        history.keep(time, &self.retention);
        assert_eq!(position, history.position(history.head()), "an event gets the next offset");
        history.compare();
        history.channel.wake();
    }

    /// Says something that is not kept.
    pub(super) fn whisper(&self, index: usize, now: Now) {
        let channel = &self.channels[index].channel;
        channel.say(NewVolatile::default(), now.mono_ms, now.wall_ms);
        channel.wake();
    }

    /// Lets time do what it does to logs.
    pub(super) fn age(&mut self, index: usize, time: u64) {
        let history = &mut self.channels[index];
        history.channel.change(|log| log.trim(time, &self.retention));
        history.keep(time, &self.retention);
        history.compare();
    }
}

impl History {
    fn new(index: usize, random: &mut Random) -> Self {
        let policy = *random.pick(SlowPolicy::ALL);
        let name = ChannelName::parse(&format!("{policy}:{index}")).expect("a legal name");
        let epoch = Epoch::from_random(random.number());
        let channel = Arc::new(Channel::new(name, epoch));
        Self { channel, policy, eras: vec![Era { epoch, events: Vec::new(), trimmed: 0 }] }
    }

    /// Drops the oldest events, so many as are there.
    pub(super) fn trim(&mut self, count: usize) {
        for _ in 0..count {
            self.channel.change(|log| log.trim_bytes(1));
        }
        let era = self.era_mut();
        era.trimmed = era.events.len().min(era.trimmed + count);
        self.compare();
    }

    /// Begins the log anew.
    pub(super) fn begin_epoch(&mut self, random: &mut Random) {
        let epoch = Epoch::from_random(random.number());
        self.channel.change(|log| log.begin_epoch(epoch));
        self.eras.push(Era { epoch, events: Vec::new(), trimmed: 0 });
        self.compare();
        self.channel.wake();
    }

    /// The place of the newest event.
    pub(super) fn head(&self) -> Place {
        Place { era: self.eras.len() - 1, offset: self.era().events.len() as u64 }
    }

    /// How many events are held.
    pub(super) fn held(&self) -> usize {
        self.era().events.len() - self.era().trimmed
    }

    /// The place that a position means.
    pub(super) fn place(&self, position: Position) -> Place {
        let era = self.eras.iter().position(|era| era.epoch == position.epoch);
        let place = Place { era: era.expect("an epoch that began"), offset: position.offset.get() };
        let last = self.eras[place.era].events.len() as u64;
        assert!(place.offset <= last, "{position:?} was never given: the last is {last}");
        place
    }

    pub(super) fn position(&self, place: Place) -> Position {
        let offset = throughline_wire::Offset::new(place.offset).expect("a small offset");
        Position { epoch: self.eras[place.era].epoch, offset }
    }

    /// Whether nothing at or before a place can be had any more.
    pub(super) fn is_gone(&self, place: Place) -> bool {
        place.era + 1 < self.eras.len() || place.offset <= self.eras[place.era].trimmed as u64
    }

    /// Whether a newer event of the same key stands for each event after `from` up to `to`, which are of one epoch.
    pub(super) fn are_outdated(&self, from: Place, to: Place) -> bool {
        let events = &self.eras[to.era].events;
        (from.offset..to.offset).all(|at| {
            let at = at as usize;
            events[at + 1..].iter().any(|later| later.key == events[at].key)
        })
    }

    /// Whether somebody who has everything up to a place may have been behind by these bounds, at some time until now.
    pub(super) fn may_be_behind(&self, place: Place, bounds: &SlowRule) -> bool {
        let unsent = &self.eras[place.era].events[place.offset as usize..];
        let bytes = || unsent.iter().map(|event| event.bytes).sum::<u64>();
        unsent.len() as u64 > bounds.events || unsent.len() > 1 && bytes() > bounds.bytes
    }

    /// Whether everything after a position is held.
    pub(super) fn has_all_after(&self, position: Position) -> bool {
        let place = self.place(position);
        place.era + 1 == self.eras.len() && place.offset >= self.era().trimmed as u64
    }

    /// The event at a place.
    pub(super) fn id(&self, place: Place) -> Option<u64> {
        let index = usize::try_from(place.offset.checked_sub(1)?).ok()?;
        self.eras[place.era].events.get(index).map(|event| event.id)
    }

    fn era(&self) -> &Era {
        self.eras.last().expect("a channel has an epoch")
    }

    fn era_mut(&mut self) -> &mut Era {
        self.eras.last_mut().expect("a channel has an epoch")
    }

    /// Retention by count and age, done again.
    fn keep(&mut self, time: u64, retention: &Retention) {
        let era = self.era_mut();
        let mut held = &era.events[era.trimmed..];
        while let [oldest, rest @ ..] = held {
            let aged = oldest.time.saturating_add(retention.age_ms) < time;
            if !aged && held.len() <= retention.events {
                break;
            }
            held = rest;
        }
        era.trimmed = era.events.len() - held.len();
    }

    fn compare(&self) {
        let log = self.channel.log();
        assert_eq!(log.head(), self.position(self.head()), "the log's head");
        assert_eq!(log.base().get(), self.era().trimmed as u64, "the log's base");
    }
}

/// What a payload of [`Truth::publish`] names.
pub(super) fn event_id(payload: &Payload) -> u64 {
    match payload {
        Payload::Json(json) => number_in(json.as_str(), "{\"id\":"),
        Payload::Bytes(bytes) => {
            u64::from_be_bytes(bytes.get(..8).and_then(|id| id.try_into().ok()).expect("an event's id"))
        }
        Payload::Empty => panic!("an event lost its payload"),
    }
}

/// The number that follows `prefix`, where a text begins with it.
pub(super) fn number_in(text: &str, prefix: &str) -> u64 {
    let digits = text.strip_prefix(prefix).unwrap_or_else(|| panic!("no {prefix} in {text}"));
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().expect("a number")
}
