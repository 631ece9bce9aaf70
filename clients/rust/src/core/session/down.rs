//! What the gateway's frames mean.

use throughline_wire::{
    AttemptOutcome, Command, DownFrame, ErrorCode, Item, ReplyError, RetryReason, UpFrame,
    frame::{ErrorFrame, Items, Retry, VolatileDown},
    item::{UnsubscribeReason, Unsubscribed},
};

use super::{Core, Outcome, Output, Standing};
use crate::{
    core::{
        Time,
        backoff::appointment,
        inbox::Verdict,
        link::{Link, Stage},
        names::LinkKey,
        outbox::Owner,
    },
    error::MigrateError,
    incoming::{Incoming, LostReason},
};

impl Core {
    /// Something came down a stream.
    pub(crate) fn handle_frames(&mut self, now: Time, key: LinkKey, frames: Vec<DownFrame>) {
        for frame in frames {
            if !self.links.contains_key(&key) {
                return;
            }
            self.handle_frame(now, key, frame);
        }
    }

    /// A stream's handshake is done.
    pub(crate) fn handle_opened(&mut self, now: Time, key: LinkKey) {
        if let Some(link) = self.links.get_mut(&key) {
            link.heard = now;
            self.negotiation.opened(now, key);
        }
    }

    /// A link showed that it lives, without a word.
    pub(crate) fn handle_sign_of_life(&mut self, now: Time, key: LinkKey) {
        let patience = 4 * self.negotiation.pace.silence(self.config.timing.poll_grace);
        let Some(link) = self.links.get_mut(&key) else { return };
        link.heard = now;
        (link.pinged, link.moved) = (None, false);
        if let Some(poll) = &mut link.poll {
            // Its answer has begun, and may be large.
            poll.until = poll.until.max(now + patience);
        }
        self.negotiation.heard(now, key);
    }

    /// A poll is answered.
    pub(crate) fn handle_answer(&mut self, now: Time, key: LinkKey, attach: u64, frames: Vec<DownFrame>) {
        let Some(link) = self.links.get_mut(&key) else { return };
        // An answer to a poll that was given up is ignored.
        let Some(poll) = link.poll.filter(|poll| poll.attach == attach) else { return };
        if matches!(self.standing, Standing::Closing { .. }) {
            // The goodbye may be on another link.
            if self.active == Some(key) {
                self.stop(None);
            }
            return;
        }
        link.poll = None;
        (link.heard, link.late_polls, link.hedged_polls) = (now, 0, 0);
        let before = (self.inbox.received(), self.outbox.taken());
        let welcomed = frames.iter().any(|frame| matches!(frame, DownFrame::Welcome(_)));
        for frame in frames {
            if !self.links.contains_key(&key) {
                return;
            }
            self.handle_frame(now, key, frame);
        }
        let news = welcomed || (self.inbox.received(), self.outbox.taken()) != before;
        let Some(link) = self.links.get_mut(&key) else { return };
        if let Some(fault) = link.fault {
            return self.come_back(now, key, fault, None);
        }
        if !link.is_attached() {
            return self.protocol_error(now, key, "the opening poll was answered without a welcome");
        }
        let at_once = now.saturating_sub(poll.since) < Time::from_millis(100);
        link.idle_answers = if news || !at_once { 0 } else { link.idle_answers + 1 };
        if link.idle_answers > 2 {
            // A gateway that has nothing to say holds a poll; whoever answers for it at once is not to be hammered.
            let wait = Time::from_millis(100 << (link.idle_answers - 3).min(5));
            link.poll_not_before = link.poll_not_before.max(now + wait);
        }
        if !link.retrying {
            self.followed = self.followed.max(attach);
            self.confirm(now, key, true);
        }
        if self.active != Some(key) {
            self.drop_link(key, MigrateError::Replaced);
        }
    }

    fn handle_frame(&mut self, now: Time, key: LinkKey, frame: DownFrame) {
        self.handle_sign_of_life(now, key);
        // What comes down a link before it is attached says nothing about its attach.
        let attached = self.active == Some(key);
        let is_welcome = matches!(frame, DownFrame::Welcome(_));
        match frame {
            DownFrame::Welcome(welcome) => self.handle_welcome(now, key, *welcome),
            DownFrame::Items(items) => self.handle_items(now, key, items),
            DownFrame::Ack { up_to } => self.handle_ack(key, up_to),
            DownFrame::Retry(retry) => return self.handle_retry(now, key, retry),
            DownFrame::Error(error) => self.handle_error(key, error),
            DownFrame::Migrate { transports, delay_ms, spread_ms } => {
                self.handle_migrate(now, &transports, delay_ms, spread_ms);
            }
            DownFrame::Ping { nonce, window_ms } => {
                self.handle_window(window_ms);
                self.handle_ping(now, key, nonce);
            }
            DownFrame::Pong { window_ms, .. } => {
                self.handle_window(window_ms);
                if let Some(Some(asked)) = self.links.get_mut(&key).and_then(|link| link.asked.take()) {
                    self.negotiation.pace.measure(now.saturating_sub(asked));
                }
            }
            DownFrame::Volatile(volatile) => self.handle_volatile(now, key, volatile),
            DownFrame::Extension => {}
        }
        let stream = self.links.get(&key).is_some_and(|link| !link.is_polling());
        if stream && !is_welcome && attached {
            self.confirm(now, key, true);
        }
    }

    /// Something that is not kept: of a channel that is held, and newer than the last of its sender.
    fn handle_volatile(&mut self, now: Time, key: LinkKey, volatile: VolatileDown) {
        let is_held = self.inbox.positions().contains_key(&volatile.channel);
        let is_attached = self.links.get(&key).is_some_and(Link::is_attached);
        if is_held && is_attached && self.volatiles.is_news(now, &volatile) {
            self.inbox.hint(Incoming::Volatile(volatile));
        }
    }

    pub(super) fn handle_window(&mut self, window_ms: Option<u64>) {
        if let Some(window_ms) = window_ms {
            self.guidance.window_ms = window_ms;
        }
    }

    fn handle_ping(&mut self, now: Time, key: LinkKey, nonce: Option<u64>) {
        let is_moving_by_name = self.is_moving_by_name();
        let Some(link) = self.links.get_mut(&key) else { return };
        match link.stage {
            Stage::Opening => {}
            // Its attach would overtake that of a move by name, which would be answered with no; of two such moves the later
            // wins.
            Stage::Probing if nonce.is_some() && link.migration.is_none() && is_moving_by_name => {
                let via = link.via;
                self.link_failed(now, key, AttemptOutcome::Late, "another link took its place");
                self.negotiation.leave_alone(via, now + self.config.timing.reprobe);
            }
            Stage::Probing if nonce.is_some() => self.prove(now, key, nonce),
            Stage::Probing | Stage::Attached if link.is_duplex() => {
                let mut message = vec![UpFrame::Pong { nonce }];
                let timing = &self.config.timing;
                // Times stretch: then the round trip is worth another look.
                if link.asked.is_none() && self.negotiation.pace.patience(timing) > timing.pong {
                    link.asked = Some(Some(now));
                    message.push(UpFrame::Ping { nonce: None });
                }
                self.outputs.push_back(Output::Transmit { link: key, message });
            }
            // A pong by post is a request: worth it only where the gateway waits for this very nonce.
            Stage::Probing | Stage::Attached => {
                if nonce.is_some() && !link.is_polling() {
                    link.pong = Some(nonce);
                }
            }
        }
    }

    fn handle_items(&mut self, now: Time, key: LinkKey, items: Items) {
        if let Some(ack) = items.ack {
            self.handle_ack(key, ack);
        }
        let Some(link) = self.links.get_mut(&key) else { return };
        let incarnation = self.known.as_ref().map(|known| known.incarnation);
        // N1: numbers of another incarnation mean nothing here.
        if !link.is_attached() || Some(link.stated.incarnation) != incarnation {
            return;
        }
        for (number, item) in (items.first..).zip(items.items) {
            match self.inbox.verdict(number) {
                Verdict::Seen => {}
                Verdict::Take => self.take(item),
                Verdict::Ahead => return self.protocol_error(now, key, "an item is missing"),
            }
            if let Some(link) = self.links.get_mut(&key) {
                (link.useful, link.doubts) = (true, 0);
            }
        }
        self.refusals = 0;
        let (count, bytes) = self.inbox.behind();
        let (most, most_bytes) = (self.limits.unacknowledged_items, self.limits.unacknowledged_bytes);
        let most = 2 * most.min(1 << 20) + 8_192 + self.config.incoming as u64;
        let most_bytes = 2 * most_bytes.min(1 << 30) + 2 * self.config.limits.frame_bytes as u64;
        if count as u64 > most || bytes as u64 > most_bytes {
            self.protocol_error(now, key, "the gateway sends beyond its windows");
        }
    }

    /// Takes the next item; whoever waits for it hears at once, outside the application's queue (L15).
    fn take(&mut self, item: Item) {
        match &item {
            Item::Reply(reply) => {
                let result = reply.result.clone();
                if let Some((owner, command)) = self.outbox.reply(reply.command) {
                    self.replied(owner, &command, result);
                }
            }
            Item::Subscribed(subscribed) => {
                if let Some((owner, command)) =
                    subscribed.command.and_then(|number| self.outbox.reply(number))
                {
                    if let Command::Subscribe { presence, .. } = command {
                        self.presence.agreed(&subscribed.channel, presence);
                    }
                    self.tell_owner(owner, Outcome::Subscribed(subscribed.clone()));
                }
            }
            Item::Unsubscribed(unsubscribed) => {
                self.volatiles.forget(&unsubscribed.channel);
                self.presence.forget(&unsubscribed.channel);
                if let Some((owner, _)) = unsubscribed.command.and_then(|number| self.outbox.reply(number)) {
                    self.tell_owner(owner, Outcome::Unsubscribed);
                }
            }
            Item::Event(_) | Item::Gap(_) | Item::Presence(_) | Item::Unknown => {}
        }
        self.inbox.take(item);
    }

    pub(super) fn replied(
        &mut self,
        owner: Owner,
        command: &Command,
        result: Result<throughline_wire::item::Accepted, ReplyError>,
    ) {
        match (owner, result, command) {
            // P9: a channel that is held stays as it is, but for its presence.
            (Owner::Wish, Err(error), Command::Subscribe { channel, .. }) => {
                self.presence.forget(channel);
                if self.inbox.holds(channel) {
                    self.inbox.note(Incoming::PresenceLost { channel: channel.clone(), error });
                }
            }
            // One that is not held is had without presence, where that alone was refused.
            (Owner::Renewal, Err(error), Command::Subscribe { channel, from, token, presence: true })
                if *error.code == *ErrorCode::TooManyMembers.as_str() && self.inbox.holds(channel) =>
            {
                let (channel, from, token) = (channel.clone(), *from, token.clone());
                self.presence.forget(&channel);
                self.inbox.note(Incoming::PresenceLost { channel: channel.clone(), error });
                let without = Command::Subscribe { channel, from, token, presence: false };
                self.outbox.push(without, Owner::Renewal);
            }
            (Owner::Renewal | Owner::Configured, Err(_), Command::Subscribe { channel, .. }) => {
                self.inbox.forget(channel);
                self.presence.forget(channel);
                let (channel, reason) = (channel.clone(), UnsubscribeReason::Revoked);
                let unsubscribed = Unsubscribed { channel, command: None, reason };
                self.inbox.note(Incoming::Unsubscribed { number: None, unsubscribed });
            }
            (_, Err(error), _) => self.tell_owner(owner, Outcome::Rejected(error)),
            (_, Ok(_), Command::Unsubscribe { .. }) => self.tell_owner(owner, Outcome::Unsubscribed),
            // `subscribed` is the only good answer to a subscribe.
            (_, Ok(_), Command::Subscribe { .. }) => {
                self.tell_owner(owner, Outcome::Rejected(ErrorCode::Internal.into()));
            }
            (_, Ok(accepted), _) => self.tell_owner(owner, Outcome::Accepted(accepted)),
        }
    }

    pub(super) fn handle_ack(&mut self, key: LinkKey, up_to: u64) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let incarnation = self.known.as_ref().map(|known| known.incarnation);
        if !link.is_attached() || Some(link.stated.incarnation) != incarnation {
            return;
        }
        if self.outbox.confirm(up_to) {
            (link.useful, link.doubts) = (true, 0);
            self.strikes = 0;
        }
    }

    /// The gateway says when to come back.
    fn handle_retry(&mut self, now: Time, key: LinkKey, retry: Retry) {
        let wait = appointment(retry.delay_ms, retry.spread_ms, self.random.next());
        let Some(link) = self.links.get_mut(&key) else { return };
        if retry.slot.is_some() {
            self.slot = retry.slot;
        }
        let newest = link.attach.is_some_and(|attach| attach == self.attach);
        let current = self.active == Some(key) || (self.active.is_none() && link.carries);
        if retry.reason == RetryReason::Superseded {
            return self.superseded(now, key, newest, wait);
        }
        if let Some(offers) = &retry.transports {
            self.negotiation.asked(offers, now);
        }
        if !current {
            let via = link.via;
            // What is sent away for a while has not failed.
            let outcome = if retry.is_final { AttemptOutcome::Refused } else { AttemptOutcome::Drained };
            self.link_failed(now, key, outcome, retry.reason.as_str());
            return self.negotiation.leave_alone(via, now + wait);
        }
        if retry.reason == RetryReason::Unauthorized {
            return self.need_credentials(now, key);
        }
        if retry.is_final {
            return self.stop(Some(LostReason::Final(Some(retry.reason))));
        }
        match retry.reason {
            RetryReason::Positions => {
                let asked_before = link.stated.positions.is_some();
                self.positions_wanted = true;
                if link.is_polling() && link.is_attached() && !asked_before {
                    link.poll_not_before = now + wait;
                    link.retrying = true;
                } else {
                    let wait = (!asked_before).then_some(wait);
                    self.come_back(now, key, "the gateway asks for positions", wait);
                }
            }
            RetryReason::ProtocolError if !link.is_answered => {
                self.refused(now, key, "protocol_error", Some(wait))
            }
            reason => {
                // Where the session has ended, or another gateway answers, positions are asked for: they may as well go along.
                self.positions_wanted |= matches!(reason, RetryReason::Ended | RetryReason::Drain);
                self.come_back(now, key, reason.as_str(), Some(wait));
            }
        }
    }

    /// L8: below the newest attach `superseded` means nothing; for the newest, someone else holds the token.
    fn superseded(&mut self, now: Time, key: LinkKey, newest: bool, wait: Time) {
        let Some(link) = self.links.get_mut(&key) else { return };
        if newest {
            self.lose_session(key, LostReason::Superseded, false);
            return self.come_back(now, key, "superseded", Some(wait));
        }
        if self.active == Some(key) {
            if link.is_polling() {
                // The newer attach came to nothing: poll again, with a number of its own.
                link.retrying = true;
                return;
            }
            let reason = "superseded by an attach of this client";
            self.negotiation.ended(now, key, AttemptOutcome::Late, reason);
            return self.come_back(now, key, reason, Some(Time::ZERO));
        }
        let attached = link.is_attached();
        self.drop_link(key, MigrateError::Unproven);
        if let Some(active) = self.active.filter(|_| attached) {
            // L7: so the gateway has taken the newer attach.
            self.confirm(now, active, true);
        }
    }

    fn handle_error(&mut self, key: LinkKey, error: ErrorFrame) {
        tracing::warn!(code = %error.code, command = error.command, message = %error.message, "the gateway reports an error");
        let is_answered = self.refuse(error.command, error.code, error.message);
        if let Some(link) = self.links.get_mut(&key) {
            link.is_answered = is_answered;
            if error.fatal {
                link.fault = Some(error.code.as_str());
            }
        }
    }

    /// An error is the reply of the command that it is about: where a message was too large, of the largest on its way.
    /// Returns whether there is one.
    pub(super) fn refuse(&mut self, command: Option<u64>, code: ErrorCode, message: Box<str>) -> bool {
        let largest = || self.outbox.largest_on_its_way().filter(|_| code == ErrorCode::MessageTooLarge);
        let number = command.or_else(largest);
        let Some((owner, command)) = number.and_then(|number| self.outbox.reply(number)) else {
            return false;
        };
        let refusal = ReplyError { code: code.as_str().into(), message, retryable: code.is_retryable() };
        self.replied(owner, &command, Err(refusal));
        true
    }
}
