//! The items that came down: counted, turned into positions, and held until the application takes them.
//!
//! Items are counted on receipt, replies are resolved on receipt (L15). What an application has to see in order
//! waits in the backlog while its queue is full; acknowledgements go no further than what has left the backlog, so
//! the gateway's windows bound it.

use std::collections::VecDeque;

use throughline_wire::{Item, Position, Positions};

use crate::incoming::Incoming;

/// How many things may wait for the application before what need not be heard is dropped.
const HINTS: usize = 64;

/// What to do with an item of some number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is the next one.
    Take,
    /// L11: it came before and is dropped.
    Seen,
    /// L11: one before it is missing, which a gateway never lets happen.
    Ahead,
}

#[derive(Debug)]
struct Waiting {
    incoming: Incoming,
    /// The item behind it, and the session it was counted in.
    counted: Option<(u32, u64)>,
    bytes: usize,
}

/// The items that came down.
#[derive(Debug)]
pub(crate) struct Inbox {
    next: u64,
    /// Which of the client's sessions, one after the other, `next` counts in.
    session: u32,
    positions: Positions,
    backlog: VecDeque<Waiting>,
    backlog_items: usize,
    backlog_bytes: usize,
    /// The bytes of all items that left the backlog.
    taken_bytes: u64,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            next: 1,
            session: 0,
            positions: Positions::new(),
            backlog: VecDeque::new(),
            backlog_items: 0,
            backlog_bytes: 0,
            taken_bytes: 0,
        }
    }
}

impl Inbox {
    /// The last item that came.
    pub(crate) const fn received(&self) -> u64 {
        self.next - 1
    }

    /// The last item that may be acknowledged: the application has it and all before it, or need not see them.
    pub(crate) fn taken(&self) -> u64 {
        let oldest = self.backlog.iter().find_map(|waiting| {
            waiting.counted.filter(|(session, _)| *session == self.session).map(|(_, number)| number - 1)
        });
        oldest.unwrap_or_else(|| self.received())
    }

    /// The bytes of all items taken so far.
    pub(crate) const fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// How many items and bytes wait for the application.
    pub(crate) const fn behind(&self) -> (usize, usize) {
        (self.backlog_items, self.backlog_bytes)
    }

    /// The place in each channel, after every item that came.
    pub(crate) const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// What to do with an item of this number.
    pub(crate) const fn verdict(&self, number: u64) -> Verdict {
        if number == self.next {
            Verdict::Take
        } else if number < self.next {
            Verdict::Seen
        } else {
            Verdict::Ahead
        }
    }

    /// Counts the next item, moves positions, and queues what the application has to see.
    pub(crate) fn take(&mut self, item: Item) {
        let number = self.next;
        self.next += 1;
        let (incoming, bytes) = match item {
            Item::Event(event) => {
                let epoch = self.positions.get_mut(&event.channel).map(|position| {
                    position.offset = event.offset;
                    position.epoch
                });
                let bytes = event.payload.len();
                (Incoming::Event { number, epoch, event }, bytes)
            }
            Item::Subscribed(subscribed) => {
                self.positions.insert(subscribed.channel.clone(), subscribed.position);
                (Incoming::Subscribed { number, subscribed }, 0)
            }
            Item::Unsubscribed(unsubscribed) => {
                self.positions.remove(&unsubscribed.channel);
                (Incoming::Unsubscribed { number: Some(number), unsubscribed }, 0)
            }
            Item::Gap(gap) => {
                if let Some(position) = gap.channel.as_ref().and_then(|c| self.positions.get_mut(c)) {
                    *position = gap.to;
                }
                (Incoming::Gap { number, gap }, 0)
            }
            Item::Presence(presence) => (Incoming::Presence { number, presence }, 0),
            // Resolved on receipt, or of a later version: counted, and nothing for the application's queue.
            Item::Reply(_) | Item::Unknown => return,
        };
        self.backlog.push_back(Waiting { incoming, counted: Some((self.session, number)), bytes });
        self.backlog_items += 1;
        self.backlog_bytes += bytes;
    }

    /// Queues something that is no item. Of news that the application is behind with, only the last is kept.
    pub(crate) fn note(&mut self, incoming: Incoming) {
        if matches!(incoming, Incoming::Link(_))
            && let Some(last) = self.backlog.back_mut()
            && matches!(last.incoming, Incoming::Link(_))
            && self.backlog_items > 0
        {
            last.incoming = incoming;
            return;
        }
        self.backlog.push_back(Waiting { incoming, counted: None, bytes: 0 });
    }

    /// Queues something that need not be heard: dropped while the application has enough to do.
    pub(crate) fn hint(&mut self, incoming: Incoming) {
        if self.backlog.len() < HINTS {
            self.backlog.push_back(Waiting { incoming, counted: None, bytes: 0 });
        }
    }

    /// Whether something waits for the application.
    pub(crate) fn is_behind(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// What the application takes next.
    pub(crate) fn poll(&mut self) -> Option<Incoming> {
        let waiting = self.backlog.pop_front()?;
        if waiting.counted.is_some() {
            self.backlog_items -= 1;
            self.backlog_bytes -= waiting.bytes;
            self.taken_bytes += waiting.bytes as u64;
        }
        Some(waiting.incoming)
    }

    /// Numbers go on from `next`, in another incarnation of the session.
    pub(crate) const fn renumber(&mut self, next: u64) {
        self.next = next;
    }

    /// Another session begins: numbers from `next`, nothing subscribed yet. Returns the places that the lost one had.
    pub(crate) fn begin_anew(&mut self) -> Positions {
        self.session += 1;
        self.next = 1;
        std::mem::take(&mut self.positions)
    }

    /// Holds a place that is subscribed anew, so that it is stated should the answer be lost.
    pub(crate) fn hold(
        &mut self,
        positions: impl IntoIterator<Item = (throughline_wire::ChannelName, Position)>,
    ) {
        self.positions.extend(positions);
    }

    /// Whether a channel is subscribed, or was and is asked for anew.
    pub(crate) fn holds(&self, channel: &throughline_wire::ChannelName) -> bool {
        self.positions.contains_key(channel)
    }

    /// A channel is not subscribed any more, though no item says so.
    pub(crate) fn forget(&mut self, channel: &throughline_wire::ChannelName) {
        self.positions.remove(channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::session::testing::{channel, event, position, subscribed};
    use throughline_wire::{Gap, GapReason, Reply, item::Accepted};

    fn reply(command: u64) -> Item {
        Item::Reply(Reply { command, result: Ok(Accepted::default()) })
    }

    #[test]
    fn l11_an_item_below_the_next_was_seen_and_one_above_it_is_ahead() {
        let mut inbox = Inbox::default();
        inbox.take(subscribed("a", None, 0));
        assert_eq!([1, 2, 3].map(|n| inbox.verdict(n)), [Verdict::Seen, Verdict::Take, Verdict::Ahead]);
    }

    #[test]
    fn a_position_follows_subscribed_event_gap_and_unsubscribed() {
        let mut inbox = Inbox::default();
        inbox.take(subscribed("a", None, 7));
        assert_eq!(inbox.positions()[&channel("a")], position("e", 7));
        inbox.take(event("a", 8));
        assert_eq!(inbox.positions()[&channel("a")], position("e", 8));
        let to = position("f", 3);
        let (channel, from, reason) = (Some(channel("a")), None, GapReason::Epoch);
        inbox.take(Item::Gap(Gap { channel: channel.clone(), from, to, exact: false, reason }));
        inbox.take(event("a", 4));
        assert_eq!(inbox.positions()[&channel.unwrap()], position("f", 4));
    }

    #[test]
    fn an_event_carries_the_epoch_of_what_preceded_it() {
        let mut inbox = Inbox::default();
        inbox.take(subscribed("a", None, 0));
        inbox.take(event("a", 1));
        inbox.poll();
        let Some(Incoming::Event { number: 2, epoch: Some(epoch), .. }) = inbox.poll() else {
            panic!("an event")
        };
        assert_eq!(epoch.as_str(), "e");
    }

    #[test]
    fn only_what_the_application_took_may_be_acknowledged() {
        let mut inbox = Inbox::default();
        inbox.take(reply(1));
        assert_eq!(inbox.taken(), 1);
        inbox.take(subscribed("a", None, 0));
        inbox.take(event("a", 1));
        inbox.take(reply(2));
        assert_eq!((inbox.received(), inbox.taken()), (4, 1));
        inbox.poll();
        assert_eq!(inbox.taken(), 2);
        inbox.poll();
        assert_eq!(inbox.taken(), 4);
        assert_eq!(inbox.behind(), (0, 0));
    }

    #[test]
    fn what_waits_of_a_lost_session_holds_no_acknowledgement_of_the_new_one_back() {
        let mut inbox = Inbox::default();
        inbox.take(subscribed("a", None, 0));
        inbox.begin_anew();
        inbox.take(reply(1));
        assert_eq!(inbox.taken(), 1);
        assert!(inbox.is_behind());
    }
}
