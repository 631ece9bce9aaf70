//! What goes up by requests of its own, beside a poll or an event stream.

use throughline_wire::{
    DownFrame, ErrorCode, RetryReason, UpFrame,
    frame::{Commands, ErrorFrame, SessionName},
};

use super::{Core, Output, Standing};
use crate::core::{
    Time,
    backoff::appointment,
    link::{Link, Post},
    names::LinkKey,
    outbox::size_of,
};

/// The slowest way up that a post is still given the time for.
const UPLOAD_BYTES_PER_MS: u64 = 8;

/// Posts in a row that may fail before their link is given up.
const FAILED_POSTS: u32 = 6;

/// What the history takes, told at its longest.
const TOLD_BYTES: usize = 2_048;

impl Core {
    /// Posts what a link without an upward direction has to say.
    pub(super) fn post(&mut self, now: Time, key: LinkKey) {
        let due = self.ack_due_by_post(now, key);
        let (ahead, budget) = (self.limits.commands_ahead, self.budget());
        let (taken, bytes) = (self.inbox.taken(), self.inbox.taken_bytes());
        if self.links.get(&key).is_some_and(|link| self.comes_back_by(link)) {
            return;
        }
        let (Some(known), Some(link)) = (self.known.clone(), self.links.get_mut(&key)) else { return };
        if link.is_duplex() || link.posts.in_flight.is_some() || now < link.posts.not_before {
            return;
        }
        let active = self.active == Some(key);
        let commands = active && self.outbox.has_run(self.outbox.taken(), ahead);
        let ping = std::mem::take(&mut link.ping_by_post);
        let volatiles = active && self.volatiles.is_waiting();
        if !commands && !due && !ping && !volatiles && link.pong.is_none() && !link.attach_by_post {
            return;
        }
        let name = SessionName { token: known.token, incarnation: known.incarnation, link: link.name };
        let mut message = vec![UpFrame::Session(name)];
        if let Some(nonce) = link.pong {
            message.push(UpFrame::Pong { nonce });
        }
        if ping {
            // Answered down the stream.
            message.push(UpFrame::Ping { nonce: None });
        }
        if link.attach_by_post {
            // L6: said again until confirmed, with numbers of the moment.
            self.attach += 1;
            self.followed = self.attach;
            link.attach = Some(self.attach);
            (link.acked, link.acked_bytes) = (taken, bytes);
            message.push(UpFrame::Attach { number: self.attach, after: taken });
        }
        // What is late goes out again, on another connection; each time it has longer, and what is large has too.
        let timing = &self.config.timing;
        let pace = &self.negotiation.pace;
        let late = (pace.late(timing) + pace.patience(timing)) * (1 << link.posts.failures.min(5));
        let mut ack = (!link.is_polling() && active && taken > link.acked).then_some(taken);
        let said_ack = ack.map(|up_to| (up_to, bytes));
        let run = if commands { self.outbox.run(now, self.outbox.taken(), ahead, budget) } else { None };
        let bytes = run.as_ref().map_or(0, |run| run.items.iter().map(size_of).sum::<usize>());
        let patience = timing.post.min(late + Time::from_millis(bytes as u64 / UPLOAD_BYTES_PER_MS));
        if let Some(run) = run {
            message.push(UpFrame::Commands(Commands { first: run.first, items: run.items, ack: ack.take() }));
        }
        if let Some(up_to) = ack {
            message.push(UpFrame::Ack { up_to });
        }
        // What need not be said now takes what room is left.
        let mut room = budget.saturating_sub(bytes);
        if volatiles {
            message.extend(self.volatiles.drain(&mut room, budget).map(UpFrame::Volatile));
        }
        if room >= TOLD_BYTES {
            message.extend(self.negotiation.history.tell(now).map(UpFrame::Tried));
        }
        let post = Post {
            id: link.posts.next,
            since: now,
            until: now + patience,
            ack: said_ack,
            commands,
            pong: link.pong,
            attach: link.attach_by_post,
            bye: false,
        };
        self.send_post(key, post, message);
    }

    /// Whether this is the poll by which it comes back. It does so by one connection: what there is to post waits until
    /// that poll is answered, and no other goes out beside it.
    pub(super) fn comes_back_by(&self, link: &Link) -> bool {
        self.attempts > 0 && link.is_polling() && !link.confirmed
    }

    fn send_post(&mut self, key: LinkKey, post: Post, message: Vec<UpFrame>) {
        let Some(link) = self.links.get_mut(&key) else { return };
        link.posts.next += 1;
        link.posts.in_flight = Some(post);
        self.outputs.push_back(Output::Post { link: key, post: post.id, message });
    }

    pub(super) fn ack_due_by_post(&mut self, now: Time, key: LinkKey) -> bool {
        let streams = self.links.get(&key).is_some_and(|link| !link.is_polling() && !link.is_duplex());
        streams && self.active == Some(key) && self.ack_due(now, key)
    }

    /// Fresh credentials for a link without an upward direction; its next `hello` says them again.
    pub(super) fn auth_by_post(&mut self, now: Time, key: LinkKey) {
        let Some(auth) = self.config.auth.clone() else { return };
        self.post_alone(now, key, UpFrame::Auth { token: auth }, false);
    }

    /// Posts one frame at once, in place of a post that has no answer yet: what that one said is said again later.
    pub(super) fn post_alone(&mut self, now: Time, key: LinkKey, frame: UpFrame, bye: bool) {
        let until = now + self.config.timing.post;
        let (Some(known), Some(link)) = (self.known.clone(), self.links.get(&key)) else { return };
        let name = SessionName { token: known.token, incarnation: known.incarnation, link: link.name };
        let id = link.posts.next;
        let post = Post { id, since: now, until, ack: None, commands: false, pong: None, attach: false, bye };
        self.send_post(key, post, vec![UpFrame::Session(name), frame]);
    }

    /// A post is answered, or failed.
    pub(crate) fn handle_post(
        &mut self,
        now: Time,
        key: LinkKey,
        id: u64,
        answer: Result<Vec<DownFrame>, Box<str>>,
    ) {
        let Some(link) = self.links.get_mut(&key) else { return };
        let Some(post) = link.posts.in_flight.take_if(|post| post.id == id) else { return };
        if answer.is_ok() {
            self.negotiation.pace.measure_at_most(now.saturating_sub(post.since));
        }
        if post.bye && matches!(self.standing, Standing::Closing { .. }) {
            return self.stop(None);
        }
        let before = self.outbox.taken();
        let mut delivered = answer.is_ok();
        let mut not_before = Time::ZERO;
        for frame in answer.into_iter().flatten() {
            match frame {
                DownFrame::Ack { up_to } => self.handle_ack(key, up_to),
                DownFrame::Items(items) => {
                    items.ack.into_iter().for_each(|up_to| self.handle_ack(key, up_to))
                }
                DownFrame::Pong { window_ms, .. } | DownFrame::Ping { window_ms, .. } => {
                    self.handle_window(window_ms)
                }
                DownFrame::Error(error) => {
                    delivered = false;
                    self.post_refused(now, key, error);
                }
                DownFrame::Retry(retry) => {
                    delivered = false;
                    if retry.reason == RetryReason::Superseded {
                        // Of the link that this post is about: its own downward half says what that means.
                        continue;
                    }
                    not_before = now + appointment(retry.delay_ms, retry.spread_ms, self.random.next());
                }
                _ => {}
            }
        }
        let progress = self.outbox.taken() > before;
        let random = self.random.next();
        let Some(link) = self.links.get_mut(&key) else { return };
        if delivered {
            if let Some((up_to, bytes)) = post.ack {
                // L5, L6: now it counts as made.
                link.acked = link.acked.max(up_to);
                link.acked_bytes = link.acked_bytes.max(bytes);
                self.ack_at = None;
            }
            if post.pong.is_some() && post.pong == link.pong {
                link.pong = None;
            }
            link.attach_by_post &= !post.attach;
            link.useful |= progress;
        }
        if delivered && (progress || !post.commands) {
            link.posts.failures = 0;
            link.posts.not_before = not_before;
            self.strikes = 0;
            return;
        }
        // C1, L6: what was not taken is said again, with numbers of the moment, but not in a rush.
        link.posts.failures += 1;
        let wait = appointment(0, 100 << link.posts.failures.min(6), random);
        link.posts.not_before = not_before.max(now + wait);
        if link.posts.failures > FAILED_POSTS {
            self.fail(now, key, "posts fail");
        }
    }

    fn post_refused(&mut self, now: Time, key: LinkKey, error: ErrorFrame) {
        tracing::debug!(code = %error.code, message = %error.message, "a post is refused");
        if self.refuse(error.command, error.code, error.message) {
            return;
        }
        let stale = [
            ErrorCode::SessionEnded,
            ErrorCode::SessionUnknown,
            ErrorCode::TokenInvalid,
            ErrorCode::IncarnationMismatch,
        ];
        if !stale.contains(&error.code) {
            return;
        }
        // Posts make and follow nothing (C7): an attach tells what became of the session.
        match self.links.get_mut(&key) {
            Some(link) if link.is_polling() => {
                let recent = link
                    .poll
                    .is_some_and(|poll| now.saturating_sub(poll.since) < self.config.timing.ack_delay);
                if !recent {
                    link.poll = None;
                }
            }
            Some(_) => self.fail(now, key, error.code.as_str()),
            None => {}
        }
    }
}
