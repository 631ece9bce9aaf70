//! A session whose numbers are not its client's begins new ones: where each channel goes on, and what is said of what is
//! not known any more.

use throughline_wire::{
    ChannelName, Gap, GapReason, Item, Offset, Position, Positions, SubscribeFrom,
    frame::{Hello, Resume},
};

use super::{Effect, Journal, Session, SubscribeRequest, answers::taken_away, commands::duplicate};

impl Session {
    /// Whether the client's numbers are not, or may not be, those of the journal.
    ///
    /// Another client object always gets new numbers: the one before may still acknowledge and command by posts that
    /// are on their way, and only the incarnation tells theirs from its own (C8).
    pub(super) fn must_rebuild(&self, hello: &Hello, resume: &Resume) -> bool {
        resume.incarnation != self.incarnation // N2
            || resume.after >= self.journal.next()
            || resume.after < self.slid // L13
            || hello.instance != self.instance // L4
    }

    /// N1, N3: new numbers, from what the client states.
    pub(super) fn rebuild(&mut self, now_ms: u64, resume: &Resume, positions: &Positions) {
        self.subscriptions = Vec::new();
        self.keep_presence(now_ms, Some(positions));
        self.renumber(resume);
        self.commands.subscribing = 0;
        self.commands.asked_since = self.incarnation;
        self.take_up(positions);
        self.take_up_assigned(positions);
    }

    /// L13: a client that cannot state positions is told of each channel up to where it can go on.
    ///
    /// Where its number counts in another incarnation, nobody knows what it has of this one: up to the head.
    pub(super) fn rebuild_behind_a_gap(&mut self, now_ms: u64, resume: &Resume) {
        let is_counted = resume.incarnation == self.incarnation && resume.after < self.journal.next();
        let ahead_of_journal: Vec<(usize, Position)> = (0..self.subscriptions.len())
            .map(|index| {
                let held = &self.subscriptions[index];
                if !is_counted {
                    return (index, held.channel.log().head());
                }
                let first = self.journal.first_event_of(&held.channel);
                (index, first.map_or(held.cursor, |run| before(run.epoch, run.offset)))
            })
            .collect();
        // What was taken away has to be said: nobody states positions that would show it.
        let mut waiting = self.renumber(resume);
        waiting.retain(|item| matches!(item, Item::Unsubscribed(gone) if self.held(&gone.channel).is_none()));
        self.pending = waiting.into();
        self.keep_presence(now_ms, None);
        for (index, to) in ahead_of_journal {
            let held = &mut self.subscriptions[index];
            held.cursor = to;
            held.seen = 0;
            let channel = held.channel.name().clone();
            self.tell_unknown(channel, to);
        }
    }

    /// L13: what a client has of a channel up to here is not known any more.
    pub(super) fn tell_unknown(&mut self, channel: ChannelName, to: Position) {
        let gap = Gap { channel: Some(channel), from: None, to, exact: false, reason: GapReason::Overflow };
        self.tally.gap(GapReason::Overflow);
        self.pending.push_back(Item::Gap(gap));
    }

    /// Begins new numbers; returns what had one, or waited for one, and is no event and no reply.
    fn renumber(&mut self, resume: &Resume) -> Vec<Item> {
        self.incarnation += 1;
        let journal = std::mem::replace(&mut self.journal, Journal::after(resume.after));
        self.slid = resume.after;
        // Replies are the only items that cannot be had again; they wait for their command to be taken again (C2).
        // That one is a duplicate can be said again, and takes no room from those that are waited for.
        let waiting = std::mem::take(&mut self.pending);
        let mut others = Vec::new();
        for item in journal.into_controls().chain(waiting) {
            match item {
                Item::Reply(reply) if reply == duplicate(reply.command) => {}
                Item::Reply(reply) => self.commands.answered.push(reply),
                other => others.push(other),
            }
        }
        self.commands.restart(resume.low.saturating_sub(1), self.config.reserve_items); // C2
        others
    }

    /// Asks for each stated position, to be authorised again.
    pub(super) fn take_up(&mut self, positions: &Positions) {
        let most = self.config.limits.subscriptions as usize;
        for (channel, position) in positions.iter().take(most) {
            self.ask(channel.clone(), SubscribeFrom::Position(*position));
        }
        for channel in positions.keys().skip(most) {
            self.pending.push_back(taken_away(channel));
            self.leave_presence(channel);
            self.unassign(channel);
        }
    }

    /// Asks for channels that no command names, but the address that a plain client called. What is held is left alone.
    pub fn ask_for(&mut self, channels: impl IntoIterator<Item = ChannelName>) {
        for channel in channels {
            // Whoever calls again and again and reads nothing is asked for as much as the reserve holds.
            let outstanding = self.pending.len() + self.commands.subscribing as usize;
            if self.held(&channel).is_none() && outstanding < self.config.reserve_items {
                self.ask(channel, SubscribeFrom::Now);
            }
        }
    }

    pub(super) fn ask(&mut self, channel: ChannelName, from: SubscribeFrom) {
        self.commands.subscribing += 1;
        let (command, token, incarnation) = (None, None, self.incarnation);
        let presence = self.takes_part(&channel);
        let request = SubscribeRequest { command, channel, from, token, presence, incarnation };
        self.effects.push(Effect::Subscribe(request));
    }
}

fn before(epoch: throughline_wire::Epoch, offset: Offset) -> Position {
    Position { epoch, offset: Offset::new(offset.get().saturating_sub(1)).unwrap_or_default() }
}
