//! What is said and not kept: numbered by the sender, dropped where it is late, never said twice.

use std::collections::{BTreeMap, VecDeque, vec_deque::Drain};

use throughline_wire::{
    ChannelName, Payload, SessionId,
    frame::{VolatileDown, VolatileUp},
};

use super::{Time, outbox::size_of_volatile};

/// How many wait for the next post of a link without an upward direction of its own; past it the oldest go.
const WAITING: usize = 16;

/// Of how many senders the last number is remembered; past it the one heard longest ago goes.
const SENDERS: usize = 1_024;

#[derive(Debug)]
struct Heard {
    seq: u64,
    at: Time,
}

/// Volatiles up and down.
#[derive(Debug, Default)]
pub(crate) struct Volatiles {
    seq: u64,
    waiting: VecDeque<VolatileUp>,
    /// The last number of each sender in each channel; the application's own have none.
    heard: BTreeMap<(ChannelName, Option<SessionId>), Heard>,
}

impl Volatiles {
    /// Numbers one. `wall` is the time since the Unix epoch: numbers begin with the clock, so that they are above
    /// those of a client that was here before.
    pub(crate) fn number(
        &mut self,
        wall: Time,
        channel: ChannelName,
        name: Option<Box<str>>,
        payload: Payload,
    ) -> VolatileUp {
        let clock = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX).min(1 << 52);
        self.seq = clock.max(self.seq + 1);
        VolatileUp { channel, name, seq: self.seq, payload }
    }

    /// Lets one wait for the next post: of each channel and name, only the newest does.
    pub(crate) fn wait(&mut self, volatile: VolatileUp) {
        self.waiting.retain(|older| (&older.channel, &older.name) != (&volatile.channel, &volatile.name));
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(volatile);
    }

    /// Whether one waits.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Those that wait, oldest first, as far as there is room; the others go on waiting. `room` is what is left of it,
    /// `most` what one may take at all.
    pub(crate) fn drain(&mut self, room: &mut usize, most: usize) -> Drain<'_, VolatileUp> {
        self.waiting.retain(|volatile| size_of_volatile(volatile) <= most);
        let fits = |volatile: &&VolatileUp| {
            let left = room.checked_sub(size_of_volatile(volatile));
            *room = left.unwrap_or(*room);
            left.is_some()
        };
        let count = self.waiting.iter().take_while(fits).count();
        self.waiting.drain(..count)
    }

    /// Whether one that came down is news.
    pub(crate) fn is_news(&mut self, now: Time, volatile: &VolatileDown) -> bool {
        let sender = volatile.sender.as_ref().map(|sender| sender.session);
        let key = (volatile.channel.clone(), sender);
        if self.heard.get(&key).is_some_and(|heard| volatile.seq <= heard.seq) {
            return false;
        }
        self.heard.insert(key, Heard { seq: volatile.seq, at: now });
        if self.heard.len() > SENDERS {
            let oldest = self.heard.iter().min_by_key(|(_, heard)| heard.at).map(|(key, _)| key.clone());
            oldest.map(|key| self.heard.remove(&key));
        }
        true
    }

    /// Another session begins.
    pub(crate) fn forget_all(&mut self) {
        self.heard.clear();
        self.waiting.clear();
    }

    /// A channel is left.
    pub(crate) fn forget(&mut self, channel: &ChannelName) {
        self.heard.retain(|(other, _), _| other != channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::session::testing::channel;
    use throughline_wire::Sender;

    fn down(name: &str, session: u8, seq: u64) -> VolatileDown {
        let session = SessionId::from_random([session; 16]);
        VolatileDown {
            channel: channel(name),
            name: None,
            time: 0,
            seq,
            sender: Some(Sender { user: None, session }),
            payload: Payload::Empty,
        }
    }

    #[test]
    fn what_is_not_above_the_last_of_its_sender_is_old() {
        let mut volatiles = Volatiles::default();
        let news = [
            down("a", 1, 5),
            down("a", 1, 5),
            down("a", 1, 4),
            down("a", 2, 1),
            down("b", 1, 1),
            down("a", 1, 6),
        ]
        .map(|volatile| volatiles.is_news(Time::ZERO, &volatile));
        assert_eq!(news, [true, false, false, true, true, true]);
        volatiles.forget(&channel("a"));
        assert!(volatiles.is_news(Time::ZERO, &down("a", 1, 1)), "the channel was left");
        assert!(!volatiles.is_news(Time::ZERO, &down("b", 1, 1)));
    }

    #[test]
    fn numbers_begin_with_the_clock_and_rise_also_where_it_stands_still() {
        let mut volatiles = Volatiles::default();
        let mut number = |ms| volatiles.number(Time::from_millis(ms), channel("a"), None, Payload::Empty).seq;
        assert_eq!([number(1_000), number(1_000), number(10), number(5_000)], [1_000, 1_001, 1_002, 5_000]);
    }

    #[test]
    fn only_the_newest_of_a_name_waits_and_no_more_than_a_few_do() {
        let mut volatiles = Volatiles::default();
        for n in 0..40_u64 {
            let name = (n >= 20).then(|| n.to_string().into());
            let said = volatiles.number(Time::from_millis(n), channel("a"), name, Payload::Empty);
            volatiles.wait(said);
        }
        assert_eq!(volatiles.drain(&mut 65_536, 65_536).count(), WAITING);
        let again = volatiles.number(Time::ZERO, channel("a"), None, Payload::Empty);
        volatiles.wait(again.clone());
        volatiles.wait(VolatileUp { seq: again.seq + 1, ..again.clone() });
        let said: Vec<_> = volatiles.drain(&mut 65_536, 65_536).map(|said| said.seq).collect();
        assert_eq!(said, [again.seq + 1]);
    }

    #[test]
    fn those_that_find_no_room_wait_for_more_unless_there_can_never_be_enough() {
        let mut volatiles = Volatiles::default();
        for (n, bytes) in [300, 3_000, 300, 300].into_iter().enumerate() {
            let payload = Payload::Bytes(vec![0; bytes].into());
            let said = volatiles.number(Time::ZERO, channel("a"), Some(n.to_string().into()), payload);
            volatiles.wait(said);
        }
        let mut room = 1_200;
        assert_eq!(volatiles.drain(&mut room, 2_000).count(), 2);
        assert!(room < 300, "{room} are left");
        assert_eq!(volatiles.drain(&mut 1_200, 2_000).count(), 1);
        assert!(!volatiles.is_waiting());
    }
}
