//! The memory broker: all logs in this process. Needs nothing, and is the reference.

use std::{
    collections::BTreeSet,
    ops::Bound,
    sync::{Arc, OnceLock},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use throughline_wire::{ChannelName, Epoch, Position};

use super::{Broker, BrokerError, Pending, Tail, Usage};
use crate::{
    channel::{Channel, NewEvent, NewVolatile, Retention},
    session::Now,
};

/// What the memory broker keeps.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// How much each channel's log keeps.
    pub retention: Retention,
    /// What all logs and journals may cost together, in bytes. Past it the oldest events of the largest log are
    /// trimmed, and whoever has not read them is told a gap. Volatiles may cost a sixteenth of it beside; past that
    /// they are dropped. Default: 256 MiB.
    pub budget_bytes: u64,
    /// How many channels there may be. An idle one costs some 300 bytes until its events are too old. Past it a new
    /// name is refused: `too_many_channels`. Default: 65,536.
    pub channels: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { retention: Retention::default(), budget_bytes: 256 << 20, channels: 65_536 }
    }
}

/// Logs in this process.
pub struct Memory {
    config: MemoryConfig,
    channels: Mutex<Channels>,
    usage: Usage,
    tail: OnceLock<Arc<dyn Tail>>,
    clock: fn() -> Now,
    random: fn() -> u64,
}

/// All channels: by name for those who know it, and in the order of names for those who look around.
#[derive(Default)]
struct Channels {
    by_name: HashMap<ChannelName, Arc<Channel>>,
    names: BTreeSet<ChannelName>,
}

impl Memory {
    /// An empty broker. `clock` tells the time of day that events are stamped with; `random` draws epochs.
    pub fn new(config: MemoryConfig, clock: fn() -> Now, random: fn() -> u64) -> Self {
        // Journals have three quarters at most: clients that acknowledge nothing must not cost all others their events.
        let usage = Usage::new(config.budget_bytes - config.budget_bytes / 4);
        let (channels, tail) = (Mutex::default(), OnceLock::new());
        Self { config, channels, usage, tail, clock, random }
    }

    fn channel(&self, name: &ChannelName) -> Result<Arc<Channel>, BrokerError> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.by_name.get(name) {
            return Ok(Arc::clone(channel));
        }
        if channels.by_name.len() >= self.config.channels {
            return Err(BrokerError::TooManyChannels);
        }
        let channel = Arc::new(Channel::new(name.clone(), Epoch::from_random((self.random)())));
        channels.by_name.insert(name.clone(), Arc::clone(&channel));
        channels.names.insert(name.clone());
        self.usage.change_channels(1);
        Ok(channel)
    }

    fn append(&self, name: &ChannelName, event: NewEvent) -> Result<Position, BrokerError> {
        let channel = self.channel(name)?;
        let position = channel.change(|log| {
            if log.is_exhausted() {
                self.usage.change_logs(log.bytes(), 0);
                log.begin_epoch(Epoch::from_random((self.random)()));
            }
            let before = log.bytes();
            let position = log.append(name, event, (self.clock)().wall_ms, &self.config.retention);
            self.usage.change_logs(before, log.bytes());
            position
        });
        if self.used() > self.config.budget_bytes {
            self.trim_largest();
        }
        if let Some(tail) = self.tail.get() {
            tail.appended(&channel);
        }
        Ok(position)
    }

    /// What counts against the budget.
    fn used(&self) -> u64 {
        self.usage.log_bytes() + self.usage.journal_bytes().min(self.usage.journals_at_most())
    }

    /// Brings logs and journals back below the budget, by a sixteenth more than needed, so that the next append does
    /// not have to search again.
    fn trim_largest(&self) {
        let mut by_size: Vec<(usize, Arc<Channel>)> = {
            let channels = self.channels.lock();
            channels.by_name.values().map(|channel| (channel.log().bytes(), Arc::clone(channel))).collect()
        };
        by_size.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let target = self.config.budget_bytes - self.config.budget_bytes / 16;
        for at in 0..by_size.len() {
            let used = self.used();
            let Some(excess) = used.checked_sub(target).filter(|excess| *excess > 0) else { return };
            // Not below the next largest: the largest logs give way together.
            let floor = by_size.get(at + 1).map_or(0, |(bytes, _)| *bytes / 2);
            let (bytes, channel) = &by_size[at];
            let take = (excess as usize).min(bytes.saturating_sub(floor));
            channel.change(|log| {
                let before = log.bytes();
                log.trim_bytes(take);
                self.usage.change_logs(before, log.bytes());
            });
        }
    }
}

impl Broker for Memory {
    fn open<'a>(&'a self, channel: &'a ChannelName) -> Pending<'a, Result<Arc<Channel>, BrokerError>> {
        Box::pin(std::future::ready(self.channel(channel)))
    }

    fn publish<'a>(
        &'a self,
        channel: &'a ChannelName,
        event: NewEvent,
    ) -> Pending<'a, Result<Position, BrokerError>> {
        Box::pin(std::future::ready(self.append(channel, event)))
    }

    fn volatile(&self, now: Now, channel: &ChannelName, volatile: NewVolatile) -> bool {
        let channel = self.channels.lock().by_name.get(channel).map(Arc::clone);
        let Some(channel) = channel.filter(|channel| channel.listeners() > 0) else { return true };
        if self.usage.volatile_bytes() > self.config.budget_bytes / 16 {
            return false;
        }
        let (before, after) = channel.say(volatile, now.mono_ms, now.wall_ms);
        self.usage.change_volatiles(before, after);
        if let Some(tail) = self.tail.get() {
            tail.appended(&channel);
        }
        true
    }

    fn channels(&self, prefix: &str, after: Option<&ChannelName>, limit: usize) -> Vec<Arc<Channel>> {
        let from = match after.map(ChannelName::as_str) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let channels = self.channels.lock();
        let named = channels.names.range::<str, _>((from, Bound::Unbounded));
        let named = named.take_while(|name| name.as_str().starts_with(prefix)).take(limit);
        named.filter_map(|name| channels.by_name.get(name).map(Arc::clone)).collect()
    }

    fn report_to(&self, tail: Arc<dyn Tail>) {
        if self.tail.set(tail).is_err() {
            tracing::error!("a broker reports to one gateway; the second was ignored");
        }
    }

    fn maintain(&self, now: Now) {
        let held: Vec<Arc<Channel>> = self.channels.lock().by_name.values().map(Arc::clone).collect();
        for channel in held {
            let is_idle = channel.listeners() == 0;
            let (before, after) = channel.trim_volatiles(now.mono_ms);
            self.usage.change_volatiles(before, after);
            let is_stale = channel.log().is_stale(now.wall_ms, self.config.retention.age_ms);
            if is_stale {
                channel.change(|log| {
                    let before = log.bytes();
                    log.trim(now.wall_ms, &self.config.retention);
                    self.usage.change_logs(before, log.bytes());
                });
            }
            if is_idle && channel.log().is_empty() {
                self.forget(&channel);
            }
        }
    }

    fn usage(&self) -> &Usage {
        &self.usage
    }
}

impl Memory {
    /// Forgets a channel that nobody holds. Made again it begins another epoch.
    fn forget(&self, channel: &Arc<Channel>) {
        let mut channels = self.channels.lock();
        // Ours, the map's, and nobody else's: nobody can get at it while the map is locked.
        if Arc::strong_count(channel) == 2
            && channel.log().is_empty()
            && channel.volatiles().is_none()
            && channels.by_name.remove(channel.name()).is_some()
        {
            channels.names.remove(channel.name());
            self.usage.change_channels(-1);
        }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("config", &self.config)
            .field("usage", &self.usage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;
    use throughline_wire::{Json, Payload};

    use super::*;
    use crate::channel::Listener;

    thread_local! {
        static NOW_MS: AtomicU64 = const { AtomicU64::new(0) };
        static DRAWN: AtomicU64 = const { AtomicU64::new(0) };
    }

    /// A clock that the test sets.
    fn clock() -> Now {
        let now = NOW_MS.with(|now| now.load(Ordering::Relaxed));
        Now { mono_ms: now, wall_ms: now }
    }

    fn draw() -> u64 {
        DRAWN.with(|drawn| drawn.fetch_add(1, Ordering::Relaxed))
    }

    fn at(ms: u64) -> Now {
        NOW_MS.with(|now| now.store(ms, Ordering::Relaxed));
        clock()
    }

    fn name(name: &str) -> ChannelName {
        ChannelName::parse(name).unwrap()
    }

    fn event(bytes: usize) -> NewEvent {
        let text = format!("\"{}\"", "x".repeat(bytes));
        NewEvent { payload: Payload::Json(Json::parse(text.as_bytes()).unwrap()), ..NewEvent::default() }
    }

    fn publish(broker: &Memory, channel: &str, bytes: usize) -> Result<Position, BrokerError> {
        broker.publish(&name(channel), event(bytes)).now_or_never().expect("memory does not wait")
    }

    fn open(broker: &Memory, channel: &str) -> Result<Arc<Channel>, BrokerError> {
        broker.open(&name(channel)).now_or_never().expect("memory does not wait")
    }

    struct Somebody;
    impl Listener for Somebody {
        fn ready(&self) {}
    }

    #[test]
    fn a_channel_numbers_its_events_densely_and_alone() {
        let broker = Memory::new(MemoryConfig::default(), clock, draw);
        let offsets =
            |channel| (0..3).map(|_| publish(&broker, channel, 1).unwrap().offset.get()).collect::<Vec<_>>();
        assert_eq!((offsets("a"), offsets("b")), (vec![1, 2, 3], vec![1, 2, 3]));
        assert_ne!(
            open(&broker, "a").unwrap().log().head().epoch,
            open(&broker, "b").unwrap().log().head().epoch
        );
    }

    #[test]
    fn an_idle_channel_is_forgotten_once_it_is_empty_and_made_again_in_another_epoch() {
        let broker = Memory::new(MemoryConfig::default(), clock, draw);
        let before = publish(&broker, "a", 1).unwrap();
        broker.maintain(at(1_000));
        assert_eq!(broker.usage().channels(), 1, "its event is held");
        broker.maintain(at(400_000));
        assert_eq!((broker.usage().channels(), broker.usage().log_bytes()), (0, 0));
        let after = publish(&broker, "a", 1).unwrap();
        assert_eq!(after.offset.get(), 1);
        assert_ne!(after.epoch, before.epoch, "no place is used twice");
    }

    #[test]
    fn channels_are_found_by_how_their_names_begin_as_long_as_they_are_there() {
        let broker = Memory::new(MemoryConfig::default(), clock, draw);
        for channel in ["room:b", "room:a", "rooms", "news", "room:c"] {
            open(&broker, channel).unwrap();
        }
        let found = |prefix: &str, after: Option<&str>, limit| -> Vec<String> {
            let channels = broker.channels(prefix, after.map(name).as_ref(), limit);
            channels.iter().map(|channel| channel.name().to_string()).collect()
        };
        assert_eq!(found("room:", None, 9), ["room:a", "room:b", "room:c"]);
        assert_eq!(found("room:", Some("room:a"), 1), ["room:b"]);
        assert_eq!(found("room:", Some("a"), 1), ["room:a"], "a place before them all");
        assert_eq!(found("room:", Some("rooms"), 9), [] as [&str; 0], "and one behind");
        assert_eq!(found("", None, 9).len(), 5);
        let held = open(&broker, "news").unwrap();
        let key = held.listen(Arc::new(Somebody));
        broker.maintain(at(400_000));
        assert_eq!(found("", None, 9), ["news"]);
        held.unlisten(key);
    }

    #[test]
    fn a_channel_that_somebody_holds_is_kept_with_its_numbering() {
        let broker = Memory::new(MemoryConfig::default(), clock, draw);
        publish(&broker, "a", 1).unwrap();
        let held = open(&broker, "a").unwrap();
        let key = held.listen(Arc::new(Somebody));
        broker.maintain(at(400_000));
        assert_eq!(publish(&broker, "a", 1).unwrap().offset.get(), 2);
        held.unlisten(key);
    }

    #[test]
    fn a_name_too_many_is_refused_by_name_and_costs_nothing() {
        let broker = Memory::new(MemoryConfig { channels: 3, ..MemoryConfig::default() }, clock, draw);
        for number in 0..100_000 {
            let published = publish(&broker, &format!("c{number}"), 1);
            assert_eq!(published.is_err(), number >= 3, "{published:?}");
        }
        assert_eq!(broker.usage().channels(), 3);
        assert_eq!(publish(&broker, "c9", 1), Err(BrokerError::TooManyChannels));
    }

    #[test]
    fn past_the_budget_the_largest_log_gives_way_and_the_small_one_keeps_its_events() {
        let retention = Retention { events: 100_000, bytes: 1 << 30, ..Retention::default() };
        let config = MemoryConfig { retention, budget_bytes: 1 << 20, channels: 10 };
        let broker = Memory::new(config, clock, draw);
        for _ in 0..50 {
            publish(&broker, "small", 100).unwrap();
        }
        for _ in 0..5_000 {
            publish(&broker, "large", 1_000).unwrap();
            assert!(broker.usage().log_bytes() <= 1 << 20, "{}", broker.usage().log_bytes());
        }
        let (small, large) = (open(&broker, "small").unwrap(), open(&broker, "large").unwrap());
        assert_eq!(small.log().len(), 50);
        assert!(large.log().base().get() > 3_000, "the oldest of the largest are gone");
        let held = small.log().bytes() + large.log().bytes();
        assert_eq!(held as u64, broker.usage().log_bytes(), "what is booked is what is held");
    }

    #[test]
    fn journals_past_the_budget_leave_the_logs_their_share() {
        let config = MemoryConfig { budget_bytes: 100_000, ..MemoryConfig::default() };
        let broker = Memory::new(config, clock, draw);
        broker.usage().change_journals(0, 1_000_000);
        for _ in 0..50 {
            publish(&broker, "a", 1_000).unwrap();
        }
        assert!(open(&broker, "a").unwrap().log().len() > 10);
    }

    #[test]
    fn volatiles_have_a_bound_of_their_own_and_are_booked_until_they_are_no_news() {
        let config = MemoryConfig { budget_bytes: 160_000, ..MemoryConfig::default() };
        let broker = Memory::new(config, clock, draw);
        let now = at(5_000);
        let channel = open(&broker, "a").unwrap();
        let key = channel.listen(Arc::new(Somebody));
        let say = |bytes: usize| {
            let payload = Payload::Bytes(vec![0; bytes].into());
            broker.volatile(now, &name("a"), NewVolatile { payload, ..NewVolatile::default() })
        };
        assert!(say(20_000), "the first has room");
        assert!(!say(1), "past a sixteenth of the budget they are dropped");
        broker.maintain(at(now.mono_ms + crate::channel::VOLATILE_MS));
        assert_eq!(broker.usage().volatile_bytes(), 0);
        assert!(say(1));
        channel.unlisten(key);
        assert!(say(20_000) && say(20_000), "nobody hears it, and it costs nothing");
        assert_eq!(channel.said(), 2);
    }

    #[test]
    fn a_volatile_is_news_by_the_time_that_the_gateway_says_whatever_the_broker_is_told() {
        at(0);
        let broker = Memory::new(MemoryConfig::default(), clock, draw);
        let key = open(&broker, "a").unwrap().listen(Arc::new(Somebody));
        let gateway = |mono_ms| Now { mono_ms, wall_ms: 7 };
        assert!(broker.volatile(gateway(90_000), &name("a"), NewVolatile::default()));
        broker.maintain(gateway(90_999));
        assert!(broker.usage().volatile_bytes() > 0);
        broker.maintain(gateway(91_000));
        assert_eq!(broker.usage().volatile_bytes(), 0);
        open(&broker, "a").unwrap().unlisten(key);
    }

    #[test]
    fn journals_count_against_the_budget_too() {
        let config = MemoryConfig { budget_bytes: 100_000, ..MemoryConfig::default() };
        let broker = Memory::new(config, clock, draw);
        for _ in 0..50 {
            publish(&broker, "a", 1_000).unwrap();
        }
        assert_eq!(open(&broker, "a").unwrap().log().len(), 50);
        broker.usage().change_journals(0, 80_000);
        publish(&broker, "a", 1_000).unwrap();
        assert!(open(&broker, "a").unwrap().log().len() < 20);
    }
}
