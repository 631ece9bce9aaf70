//! What is said, and when: polls, commands, acknowledgements, signs of life.

use throughline_wire::{UpFrame, frame::Commands};

use super::{Core, End, Output, Standing};
use crate::core::{
    Time,
    link::{Link, Poll},
    names::LinkKey,
};

/// Room that a message of commands leaves for the frames around them: a token, an acknowledgement, a pong.
const FRAMING_BYTES: usize = 512;

/// Polls in a row that may be late before their link is given up.
const LATE_POLLS: u32 = 2;

impl Core {
    /// Says what there is to say.
    pub(super) fn speak(&mut self, now: Time) {
        let Some((key, link)) = self.active.and_then(|key| Some((key, self.links.get(&key)?))) else {
            return;
        };
        if link.is_duplex() {
            self.doubt(now, key);
            self.transmit(now, key);
            return;
        }
        if link.is_polling() {
            self.poll_if_due(now, key);
        } else {
            self.doubt(now, key);
        }
        self.post(now, key);
    }

    /// Says commands and an acknowledgement on a duplex link.
    fn transmit(&mut self, now: Time, key: LinkKey) {
        let due = self.ack_due(now, key);
        let (ahead, budget) = (self.limits.commands_ahead, self.budget());
        let (taken, bytes) = (self.inbox.taken(), self.inbox.taken_bytes());
        let Some(link) = self.links.get_mut(&key) else { return };
        // An acknowledgement travels with commands for nothing.
        let mut ack = (due || (taken > link.acked && self.outbox.has_run(link.said, ahead))).then_some(taken);
        if ack.is_some() {
            (link.acked, link.acked_bytes) = (taken, bytes);
            self.ack_at = None;
        }
        while let Some(run) = self.outbox.run(now, link.said, ahead, budget) {
            link.said = run.last();
            let commands = Commands { first: run.first, items: run.items, ack: ack.take() };
            self.outputs
                .push_back(Output::Transmit { link: key, message: vec![UpFrame::Commands(commands)] });
        }
        if let Some(up_to) = ack {
            self.outputs.push_back(Output::Transmit { link: key, message: vec![UpFrame::Ack { up_to }] });
        }
        self.tell_history(now, key);
    }

    /// Tells the gateway how transports did, once it is known that it listens.
    fn tell_history(&mut self, now: Time, key: LinkKey) {
        if self.negotiation.history.has_untold() && self.links.get(&key).is_some_and(|link| link.confirmed) {
            let message = self.negotiation.history.tell(now).map(UpFrame::Tried).collect();
            self.outputs.push_back(Output::Transmit { link: key, message });
        }
    }

    /// Whether an acknowledgement is due on a stream: at half the window, or some time after the first item.
    ///
    /// L5: what was acknowledged on another link does not count.
    pub(super) fn ack_due(&mut self, now: Time, key: LinkKey) -> bool {
        let (taken, bytes) = (self.inbox.taken(), self.inbox.taken_bytes());
        let Some(link) = self.links.get(&key) else { return false };
        if taken <= link.acked {
            self.ack_at = None;
            return false;
        }
        let at = *self.ack_at.get_or_insert(now + self.config.timing.ack_delay);
        at <= now
            || taken - link.acked >= (self.limits.unacknowledged_items / 2).max(1)
            || bytes - link.acked_bytes >= (self.limits.unacknowledged_bytes / 2).max(1)
    }

    pub(super) fn budget(&self) -> usize {
        usize::try_from(self.limits.message_bytes).unwrap_or(usize::MAX).saturating_sub(FRAMING_BYTES)
    }

    /// Asks for a sign of life where something is due and nothing is heard.
    fn doubt(&mut self, now: Time, key: LinkKey) {
        let at = self.links.get(&key).and_then(|link| self.doubt_at(link));
        if at.is_some_and(|at| at <= now) {
            if let Some(link) = self.links.get_mut(&key) {
                link.doubts += 1;
            }
            self.ask_for_life(now);
        }
    }

    /// Asks the link that carries the session for a sign of life; a poll that is parked gives none but by another.
    pub(super) fn ask_for_life(&mut self, now: Time) {
        let Some(key) = self.active else { return };
        let Some(link) = self.links.get_mut(&key).filter(|link| link.is_attached()) else { return };
        if link.is_polling() {
            if link.poll.is_some() {
                self.poll_again(now, key);
            }
            return;
        }
        link.pinged = Some(now);
        link.asked.get_or_insert(Some(now));
        if link.is_duplex() {
            let message = vec![UpFrame::Ping { nonce: None }];
            self.outputs.push_back(Output::Transmit { link: key, message });
        } else {
            link.ping_by_post = true;
        }
    }

    fn doubt_at(&self, link: &Link) -> Option<Time> {
        if link.pinged.is_some() || !link.is_attached() {
            return None;
        }
        let late = self.negotiation.pace.late(&self.config.timing);
        // What went up may have arrived though nothing comes down any more: what is missing is the reply. A handler
        // may take its time over it, so a link that answers is asked less and less often.
        let doubtful = late * (1 << link.doubts.min(5));
        let reply = self.outbox.unreplied_since().map(|since| since.max(link.heard) + doubtful);
        let heartbeat = link.heard + self.heartbeat + late;
        Some(reply.map_or(heartbeat, |reply| reply.min(heartbeat)))
    }

    /// Polls if no poll is out, and hedges one that is late with a reply.
    fn poll_if_due(&mut self, now: Time, key: LinkKey) {
        let Some(link) = self.links.get(&key) else { return };
        let due = self.poll_due(link);
        if due.is_some_and(|at| at <= now) {
            self.poll_again(now, key);
        }
    }

    /// When the next poll goes out.
    fn poll_due(&self, link: &Link) -> Option<Time> {
        let timing = &self.config.timing;
        if let Some(poll) = link.poll {
            // A parked poll may be dead while posts get through: another costs little, and fences nothing but it. Each
            // waits longer, or an answer that takes its time to arrive would never do so; in the end longer than a poll
            // is held, so that a link whose polls all go astray is given up.
            let (pace, heard) = (&self.negotiation.pace, poll.since.max(link.heard));
            let late = pace.late(timing) * (1 << link.hedged_polls.min(10));
            let reply = self.outbox.unreplied_since().filter(|_| !self.comes_back_by(link));
            // One that has no link beside it, and no welcome yet, is said once more: as late as the next attempt would be.
            let is_alone = !link.confirmed && !self.links.values().any(|other| other.confirmed);
            let again = (is_alone && link.hedged_polls == 0)
                .then(|| heard + pace.silence(timing.join_back).max(self.guidance.window()));
            let due = reply.map(|since| since.max(heard) + late).into_iter().chain(again).min();
            return due.filter(|_| link.is_attached());
        }
        let (behind, _) = self.inbox.behind();
        if behind == 0 || link.retrying {
            return Some(link.poll_not_before);
        }
        // A poll acknowledges what it has, so it may ask for more only once the application took what there is; but
        // a reply must not wait for that (L15), and the session must not be forgotten.
        let wait = if self.outbox.awaits_replies() { timing.ack_delay } else { self.heartbeat };
        Some(link.poll_not_before.max(link.heard + wait))
    }

    /// Sends a poll, with the next attach number.
    pub(super) fn poll_again(&mut self, now: Time, key: LinkKey) {
        self.attach += 1;
        let attach = self.attach;
        let first = self.links.get(&key).is_some_and(|link| !link.confirmed);
        if let Some(link) = self.links.get_mut(&key).filter(|_| first) {
            // What is said again for want of an answer has its appointment still.
            link.slot = self.slot.take().or_else(|| link.slot.take());
            self.slot.clone_from(&link.slot);
        }
        let (hello, mut stated) = self.hello(Some(attach), first);
        let mut message = vec![hello];
        self.say_with_hello(now, Some(attach), &mut stated, &mut message);
        if stated.resume && !first && self.known.is_some() {
            message.extend(self.negotiation.history.tell(now).map(UpFrame::Tried));
        }
        let timing = &self.config.timing;
        // What rebuilds or opens a session is never parked, nor is the first of a link: a welcome answers it.
        let parks = !first && stated.resume && stated.positions.is_none();
        let grace = self.negotiation.pace.silence(timing.poll_grace);
        let Some(link) = self.links.get_mut(&key) else { return };
        // One that is late is hedged by another at once, which may take longer: the network may have become slower.
        let grace = grace * 4_u32.pow(link.late_polls.min(LATE_POLLS));
        let patience = if parks { timing.poll_hold + grace } else { timing.welcome };
        if link.poll.is_some() {
            link.hedged_polls += 1;
        }
        (link.attach, link.retrying) = (Some(attach), false);
        link.acked = stated.after;
        link.stated = stated;
        link.poll = Some(Poll { attach, since: now, until: now + patience });
        self.outputs.push_back(Output::Poll { link: key, attach, message });
    }

    /// Says goodbye on the link there is. Returns whether there is anything to wait for.
    pub(super) fn say_goodbye(&mut self, now: Time) -> bool {
        let Some((key, link)) = self.active.and_then(|key| Some((key, self.links.get(&key)?))) else {
            return false;
        };
        if link.is_duplex() {
            self.outputs.push_back(Output::Transmit { link: key, message: vec![UpFrame::Bye] });
            self.outputs.push_back(Output::Close { link: key, in_peace: true });
            return true;
        }
        if link.is_polling() {
            // A post could not name the link: only a poll's own answer does. So the goodbye comes behind a poll.
            self.poll_again(now, key);
            if let Some(Output::Poll { message, .. }) = self.outputs.back_mut() {
                message.push(UpFrame::Bye);
            }
            return true;
        }
        self.post_alone(now, key, UpFrame::Bye, true);
        true
    }

    pub(super) fn fail(&mut self, now: Time, key: LinkKey, reason: &str) {
        self.outputs.push_back(Output::Close { link: key, in_peace: false });
        self.handle_ended(now, key, End::Lost(reason.into()));
    }

    /// Gives up what took too long.
    pub(super) fn expire(&mut self, now: Time) {
        if let Standing::Closing { until } = self.standing {
            if until <= now {
                self.stop(None);
            }
            return;
        }
        for key in self.links.keys().copied().collect::<Vec<_>>() {
            let Some(link) = self.links.get_mut(&key) else { continue };
            if link.until <= now {
                self.fail(now, key, "silent");
                continue;
            }
            if link.poll.is_some_and(|poll| poll.until <= now) {
                link.poll = None;
                link.late_polls += 1;
                if link.late_polls >= LATE_POLLS || !link.confirmed {
                    self.fail(now, key, "polls are not answered");
                    continue;
                }
            }
            if let Some(post) = link.posts.in_flight.filter(|post| post.until <= now) {
                self.handle_post(now, key, post.id, Err("no answer".into()));
            }
            if self.active == Some(key) {
                self.blame_silence(now, key);
            }
        }
    }

    /// When something about a link is due.
    pub(super) fn link_deadline(&self, key: LinkKey, link: &Link) -> Option<Time> {
        let active = self.active == Some(key);
        let posts_wait = link.ping_by_post
            || link.pong.is_some()
            || link.attach_by_post
            || self.volatiles.is_waiting()
            || (active && self.outbox.has_run(self.outbox.taken(), self.limits.commands_ahead));
        let ack = self.ack_at.filter(|_| active && !link.is_polling());
        let post = match link.posts.in_flight {
            _ if !active => None,
            _ if link.is_duplex() => ack,
            Some(post) => Some(post.until),
            None if self.comes_back_by(link) => None,
            None if posts_wait => Some(link.posts.not_before),
            None => ack.map(|at| at.max(link.posts.not_before)),
        };
        let doubt = if active && !link.is_polling() { self.doubt_at(link) } else { None };
        let poll = if active && link.is_polling() { self.poll_due(link) } else { None };
        let patience = self.negotiation.pace.patience(&self.config.timing);
        let pong = link.pinged.filter(|_| active).map(|at| at + patience);
        let silent = (link.until != Time::MAX).then_some(link.until);
        [post, doubt, poll, pong, silent, link.poll.map(|poll| poll.until)].into_iter().flatten().min()
    }
}
