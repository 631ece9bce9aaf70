//! The commands that have no reply yet, numbered.
//!
//! A command is kept until its reply, not until its acknowledgement (C2): a session rebuilt after a crash wants it
//! again. What is numbered keeps its number for as long as the session lives; a number whose reply is known is
//! filled by a `noop` where it has to be said again.

use std::collections::VecDeque;

use throughline_wire::{ChannelName, Command, Payload, frame::VolatileUp};

use super::{Time, names::Ticket};

/// What a command or a volatile costs beside what it carries: its name for numbers, braces and member names.
const OVERHEAD_BYTES: usize = 160;

/// Who waits for a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The application.
    Application(Ticket),
    /// The client itself: a subscription that its configuration names.
    Configured,
    /// The client itself: a subscription made anew after its session was lost.
    Renewal,
    /// The client itself: presence in a channel that the session holds, asked for again after it was rebuilt.
    Wish,
}

/// A run of commands to say.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) items: Vec<Command>,
}

impl Run {
    /// The last number of the run.
    pub(crate) const fn last(&self) -> u64 {
        self.first + self.items.len() as u64 - 1
    }
}

#[derive(Debug)]
struct Entry {
    command: Command,
    owner: Option<Owner>,
    bytes: usize,
    /// When it was first said.
    said: Option<Time>,
}

/// The commands that have no reply yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// The number of the front entry, which is unreplied; where there is none, the next number.
    low: u64,
    entries: VecDeque<Entry>,
    unreplied: usize,
    /// The last number that the gateway took.
    taken: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { low: 1, entries: VecDeque::new(), unreplied: 0, taken: 0 }
    }
}

impl Outbox {
    /// The lowest unreplied number; one past the last when all are replied.
    pub(crate) const fn low(&self) -> u64 {
        self.low
    }

    /// The last number that the gateway took.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// The number that the next command gets.
    pub(crate) fn next(&self) -> u64 {
        self.low + self.entries.len() as u64
    }

    /// How many numbers are held.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether a reply is still to come.
    pub(crate) const fn awaits_replies(&self) -> bool {
        self.unreplied > 0
    }

    /// Numbers a command.
    pub(crate) fn push(&mut self, command: Command, owner: Owner) {
        let bytes = size_of(&command);
        self.entries.push_back(Entry { command, owner: Some(owner), bytes, said: None });
        self.unreplied += 1;
    }

    /// The commands to say after `after`: within the window of `ahead` unreplied ones and `budget_bytes`.
    ///
    /// `None` where there is nothing to say.
    pub(crate) fn run(&mut self, now: Time, after: u64, ahead: u64, budget_bytes: usize) -> Option<Run> {
        let first = after + 1;
        let end = self.next().min(self.low.saturating_add(ahead.max(1))).min(first.saturating_add(4_096));
        let (mut items, mut bytes) = (Vec::new(), 0);
        for number in first..end {
            // C2: the gateway wants a number again whose reply has come.
            let Some(entry) = number.checked_sub(self.low).and_then(|i| self.entries.get_mut(i as usize))
            else {
                items.push(Command::Noop);
                continue;
            };
            bytes += entry.bytes;
            if bytes > budget_bytes && !items.is_empty() {
                break;
            }
            entry.said.get_or_insert(now);
            items.push(entry.command.clone());
        }
        (!items.is_empty()).then_some(Run { first, items })
    }

    /// The commands to say in the message that opens a session: those before the first `send` (C5).
    pub(crate) fn opening_run(&mut self, now: Time, ahead: u64, budget_bytes: usize) -> Option<Run> {
        let may_open = |entry: &&Entry| !matches!(entry.command, Command::Send(_));
        let count = self.entries.iter().take_while(may_open).count() as u64;
        if count == 0 {
            return None;
        }
        self.run(now, self.low - 1, ahead.min(count), budget_bytes)
    }

    /// Whether [`run`](Self::run) has something to say after `after`.
    pub(crate) fn has_run(&self, after: u64, ahead: u64) -> bool {
        after + 1 < self.next().min(self.low.saturating_add(ahead.max(1)))
    }

    /// Notes the reply of a number; tells who waited for it and what it was, once.
    pub(crate) fn reply(&mut self, number: u64) -> Option<(Owner, Command)> {
        let index = number.checked_sub(self.low)?;
        let entry = self.entries.get_mut(index as usize)?;
        let owner = entry.owner.take()?;
        let command = std::mem::replace(&mut entry.command, Command::Noop);
        entry.bytes = OVERHEAD_BYTES;
        self.unreplied -= 1;
        while self.entries.front().is_some_and(|entry| entry.owner.is_none()) {
            self.entries.pop_front();
            self.low += 1;
        }
        Some((owner, command))
    }

    /// Notes that the gateway took everything up to `number`. Returns whether that was news.
    pub(crate) fn confirm(&mut self, number: u64) -> bool {
        let news = number > self.taken && number < self.next();
        if news {
            self.taken = number;
        }
        news
    }

    /// Begins again after `received`, as a session of another incarnation says.
    pub(crate) const fn restart(&mut self, received: u64) {
        self.taken = received;
    }

    /// Whether the client itself asks for this channel anew at this moment.
    pub(crate) fn is_renewing(&self, channel: &ChannelName) -> bool {
        self.entries.iter().any(|entry| {
            let renewed =
                matches!(&entry.command, Command::Subscribe { channel: asked, .. } if asked == channel);
            renewed && matches!(entry.owner, Some(Owner::Renewal | Owner::Wish))
        })
    }

    /// Since when the oldest unreplied command is out.
    pub(crate) fn unreplied_since(&self) -> Option<Time> {
        self.entries.front()?.said
    }

    /// The number of the largest command that is on its way.
    pub(crate) fn largest_on_its_way(&self) -> Option<u64> {
        let numbered = (self.low..).zip(&self.entries);
        let on_its_way =
            numbered.filter(|(n, entry)| *n > self.taken && entry.owner.is_some() && entry.said.is_some());
        on_its_way.max_by_key(|(_, entry)| entry.bytes).map(|(n, _)| n)
    }

    /// Begins anew for a new session: numbers from 1, `renewals` first, then what is left.
    ///
    /// C6: a `send` that was said and has no reply is not said again; its owner is returned, its outcome unknown.
    pub(crate) fn begin_anew(&mut self, renewals: impl IntoIterator<Item = Command>) -> Vec<Owner> {
        let old = std::mem::take(self);
        for command in renewals {
            self.push(command, Owner::Renewal);
        }
        let mut unknown = Vec::new();
        for entry in old.entries {
            match (entry.owner, &entry.command, entry.said) {
                (None | Some(Owner::Renewal | Owner::Wish), ..) => {}
                (Some(owner), Command::Send(_), Some(_)) => unknown.push(owner),
                (Some(owner), ..) => self.push(entry.command, owner),
            }
        }
        unknown
    }

    /// Everyone who still waits, and whether the outcome is unknown: a `send` that was said. Nothing is left.
    pub(crate) fn abandon(&mut self) -> Vec<(Owner, bool)> {
        let next = self.next();
        let unknown = |entry: &Entry| entry.said.is_some() && matches!(entry.command, Command::Send(_));
        let owners =
            self.entries.drain(..).filter_map(|entry| Some((entry.owner?, unknown(&entry)))).collect();
        (self.low, self.unreplied) = (next, 0);
        owners
    }
}

/// At most how many bytes a command takes in either codec.
pub(crate) fn size_of(command: &Command) -> usize {
    OVERHEAD_BYTES
        + match command {
            Command::Subscribe { channel, token, .. } => {
                channel.as_str().len() + token.as_ref().map_or(0, |token| token.reveal().len())
            }
            Command::Unsubscribe { channel } => channel.as_str().len(),
            Command::Send(send) => {
                let meta: usize =
                    send.meta.iter().map(|(name, value)| name.len() + 2 * value.len() + 6).sum();
                size_of_payload(&send.payload)
                    + size_of_text(&send.name)
                    + size_of_text(&send.id)
                    + meta
                    + send.channel.as_str().len()
            }
            Command::Noop | Command::Unknown => 0,
        }
}

/// At most how many bytes a volatile takes in either codec.
pub(crate) fn size_of_volatile(volatile: &VolatileUp) -> usize {
    let channel = volatile.channel.as_str().len();
    OVERHEAD_BYTES + size_of_payload(&volatile.payload) + size_of_text(&volatile.name) + channel
}

fn size_of_payload(payload: &Payload) -> usize {
    match payload {
        Payload::Bytes(bytes) => bytes.len().div_ceil(3) * 4,
        payload => payload.len(),
    }
}

fn size_of_text(text: &Option<Box<str>>) -> usize {
    text.as_ref().map_or(0, |text| 2 * text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline_wire::{Meta, Send};

    const NOW: Time = Time::ZERO;

    fn send(text: &'static str) -> Command {
        Command::Send(Send {
            channel: ChannelName::parse("room").unwrap(),
            name: None,
            id: None,
            meta: Meta::default(),
            payload: Payload::Bytes(text.into()),
        })
    }

    fn owner(n: u64) -> Owner {
        Owner::Application(Ticket(n))
    }

    fn with(count: u64) -> Outbox {
        let mut outbox = Outbox::default();
        for n in 1..=count {
            outbox.push(send("x"), owner(n));
        }
        outbox
    }

    #[test]
    fn c2_an_acknowledged_command_is_kept_until_its_reply() {
        let mut outbox = with(2);
        outbox.run(NOW, 0, 64, 1_000).unwrap();
        assert!(outbox.confirm(2));
        assert_eq!((outbox.low(), outbox.len()), (1, 2));
        outbox.restart(0);
        assert_eq!(outbox.run(NOW, outbox.taken(), 64, 1_000).unwrap().items, [send("x"), send("x")]);
    }

    #[test]
    fn c2_a_number_whose_reply_is_known_is_filled_by_a_noop() {
        let mut outbox = with(3);
        outbox.run(NOW, 0, 64, 1_000);
        assert_eq!(outbox.reply(2).unwrap().0, owner(2));
        assert_eq!(outbox.low(), 1);
        outbox.restart(0);
        assert_eq!(outbox.run(NOW, 0, 64, 1_000).unwrap().items, [send("x"), Command::Noop, send("x")]);
        assert_eq!(outbox.reply(1).unwrap().0, owner(1));
        assert_eq!(outbox.low(), 3);
        assert_eq!(outbox.run(NOW, 0, 64, 1_000).unwrap().items, [Command::Noop, Command::Noop, send("x")]);
    }

    #[test]
    fn c5_what_opens_a_session_ends_before_the_first_send() {
        let mut outbox = Outbox::default();
        assert!(outbox.opening_run(NOW, 64, 1_000).is_none());
        let leave = Command::Unsubscribe { channel: ChannelName::parse("room").unwrap() };
        for command in [leave.clone(), leave.clone(), send("x"), leave.clone()] {
            outbox.push(command, owner(1));
        }
        assert_eq!(outbox.opening_run(NOW, 64, 1_000).unwrap().items, [leave.clone(), leave]);
        assert_eq!(outbox.largest_on_its_way(), Some(2), "the send is not said");
        assert!(with(1).opening_run(NOW, 64, 1_000).is_none());
    }

    #[test]
    fn a_reply_that_comes_twice_is_told_once() {
        let mut outbox = with(2);
        assert!(outbox.reply(2).is_some());
        assert!(outbox.reply(2).is_none());
        assert!(outbox.reply(1).is_some());
        assert!(outbox.reply(1).is_none());
        assert!(outbox.reply(3).is_none());
        assert!(!outbox.awaits_replies());
    }

    #[test]
    fn no_more_commands_run_ahead_than_the_gateway_allows() {
        let mut outbox = with(10);
        assert_eq!(outbox.run(NOW, 0, 4, 10_000).unwrap().last(), 4);
        assert!(!outbox.has_run(4, 4));
        outbox.reply(1);
        assert_eq!(outbox.run(NOW, 4, 4, 10_000).unwrap().first, 5);
    }

    #[test]
    fn a_run_stays_within_its_bytes_but_says_at_least_one() {
        let mut outbox = with(4);
        assert_eq!(outbox.run(NOW, 0, 64, 2 * (OVERHEAD_BYTES + 16)).unwrap().last(), 2);
        assert_eq!(outbox.run(NOW, 2, 64, 1).unwrap().last(), 3);
    }

    #[test]
    fn c6_after_a_lost_session_what_was_said_is_unknown_and_what_was_not_is_renumbered() {
        let mut outbox = with(3);
        outbox.run(NOW, 0, 2, 1_000).unwrap();
        let channel = ChannelName::parse("room").unwrap();
        outbox.push(Command::Unsubscribe { channel: channel.clone() }, owner(4));
        let renewal = Command::Unsubscribe { channel: channel.clone() };
        assert_eq!(outbox.begin_anew([renewal.clone()]), [owner(1), owner(2)]);
        let run = outbox.run(NOW, 0, 64, 1_000).unwrap();
        assert_eq!((run.first, run.items), (1, vec![renewal, send("x"), Command::Unsubscribe { channel }]));
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_numbered_is_not_believed() {
        let mut outbox = with(2);
        assert!(!outbox.confirm(3));
        assert!(outbox.confirm(2));
        assert!(!outbox.confirm(1));
        assert_eq!(outbox.taken(), 2);
    }
}
