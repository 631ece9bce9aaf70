//! How links and sessions are lost, and when to come back.

use std::time::Duration;

use throughline_wire::{AttemptOutcome, CloseCode, ErrorCode, RetryReason};

use super::{Core, Outcome, Output, Standing};
use crate::{
    core::{Time, backoff::least_wait, link::Link, names::LinkKey, outbox::Owner},
    error::MigrateError,
    incoming::{Incoming, LinkChange, LostReason},
};

/// A link that achieved nothing and was gone again within this counts as an attempt that failed.
const SHORT_LIFE: Time = Time::from_secs(1);

/// A link that was there for this long was worth being sent away for.
const LASTING: Time = Time::from_secs(30);

/// How a link ended, as its transport saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It broke, or just ended.
    Lost(Box<str>),
    /// It could not be opened: how far the attempt came, and why it came no further, for a person.
    Failed { outcome: AttemptOutcome, reason: Box<str> },
    /// The gateway closed it with this code.
    Closed(u16),
    /// It was refused with this HTTP status, and when to come back where that was said.
    Refused { status: u16, retry_after: Option<Duration> },
    /// What came could not be read.
    Protocol(Box<str>),
}

impl End {
    /// How the use of a transport went that ended like this, and why.
    fn told(&self, link: &Link) -> (AttemptOutcome, Box<str>) {
        let broken =
            if link.greeted || link.is_polling() { AttemptOutcome::Lost } else { AttemptOutcome::Refused };
        match self {
            Self::Lost(reason) => (broken, reason.clone()),
            Self::Failed { outcome, reason } => (*outcome, reason.clone()),
            Self::Closed(code) if (4000..4400).contains(code) => {
                (AttemptOutcome::Drained, format!("closed with code {code}").into())
            }
            Self::Closed(code) => (broken, format!("closed with code {code}").into()),
            Self::Refused { status, .. } => {
                (AttemptOutcome::Refused, format!("refused with status {status}").into())
            }
            Self::Protocol(reason) => (broken, reason.clone()),
        }
    }
}

impl Core {
    /// A link has ended.
    pub(crate) fn handle_ended(&mut self, now: Time, key: LinkKey, end: End) {
        let Some(link) = self.links.get(&key) else { return };
        if matches!(self.standing, Standing::Closing { .. }) {
            self.links.remove(&key);
            if self.active == Some(key) {
                self.stop(None);
            }
            return;
        }
        let newest = link.attach.is_some_and(|attach| attach == self.attach);
        let current = self.active == Some(key) || (self.active.is_none() && link.carries);
        let (outcome, why) = end.told(link);
        if !current {
            let via = link.via;
            self.link_failed(now, key, outcome, &why);
            if let End::Refused { retry_after: Some(wait), .. } = end {
                self.negotiation.leave_alone(via, now + wait);
            }
            if end == End::Closed(CloseCode::SUPERSEDED.0)
                && let Some(active) = self.active
            {
                // L7: so the gateway has taken the newer attach.
                self.confirm(now, active, true);
            }
            return;
        }
        if outcome != AttemptOutcome::Drained {
            self.negotiation.ended(now, key, outcome, &why);
        }
        if let Some(fault) = link.fault {
            // The advice that followed a fatal error has been taken by now, if there was any.
            return self.come_back(now, key, fault, None);
        }
        match end {
            End::Lost(reason) | End::Failed { reason, .. } => self.come_back(now, key, &reason, None),
            End::Protocol(reason) => self.protocol_error(now, key, &reason),
            End::Refused { status, retry_after } => {
                self.come_back(now, key, &format!("refused with status {status}"), retry_after);
            }
            End::Closed(code) => self.closed(now, key, code, newest),
        }
    }

    /// A close code speaks where no `retry` did; an unknown one is read by its range.
    fn closed(&mut self, now: Time, key: LinkKey, code: u16, newest: bool) {
        let reason = format!("closed with code {code}");
        match CloseCode(code) {
            CloseCode::SUPERSEDED if newest => {
                self.lose_session(key, LostReason::Superseded, false);
                self.come_back(now, key, &reason, None);
            }
            CloseCode::SUPERSEDED => self.come_back(now, key, &reason, None),
            CloseCode::TOO_LARGE => {
                self.refuse(None, ErrorCode::MessageTooLarge, reason.as_str().into());
                self.come_back(now, key, &reason, None);
            }
            CloseCode::PROTOCOL_ERROR | CloseCode::UNSUPPORTED_DATA | CloseCode::INVALID_DATA => {
                self.refused(now, key, &reason, None);
            }
            CloseCode::POSITIONS => {
                self.positions_wanted = true;
                self.come_back(now, key, &reason, None);
            }
            CloseCode(4100..=4199) => {
                self.lose_session(key, LostReason::Gone, false);
                self.come_back(now, key, &reason, None);
            }
            CloseCode(4200..=4299) => self.need_credentials(now, key),
            CloseCode(4300..=4399) => self.stop(Some(LostReason::Final(None))),
            _ => self.come_back(now, key, &reason, None),
        }
    }

    /// The gateway says that this client breaks the protocol: once more on another transport, then never again.
    pub(super) fn refused(&mut self, now: Time, key: LinkKey, reason: &str, wait: Option<Time>) {
        self.refusals += 1;
        if self.refusals > 1 {
            return self.stop(Some(LostReason::Final(Some(RetryReason::ProtocolError))));
        }
        self.negotiation.turn();
        self.come_back(now, key, reason, wait);
    }

    /// A link that does not carry the session has failed.
    pub(super) fn link_failed(&mut self, now: Time, key: LinkKey, outcome: AttemptOutcome, reason: &str) {
        self.negotiation.ended(now, key, outcome, reason);
        self.drop_link(key, MigrateError::Unproven);
    }

    /// Gives a link up that took too long.
    pub(super) fn give_up(&mut self, now: Time, key: LinkKey, outcome: AttemptOutcome) {
        let reason = match outcome {
            AttemptOutcome::Late => "another was faster",
            AttemptOutcome::Blocked => "nothing came back",
            AttemptOutcome::Hung => "its handshake was not answered",
            AttemptOutcome::Buffered => "it was welcomed, and nothing more came",
            _ => "what was due did not come",
        };
        self.negotiation.ended(now, key, outcome, reason);
        if self.active == Some(key) {
            self.come_back(now, key, reason, None);
        } else {
            self.drop_link(key, MigrateError::Unproven);
        }
    }

    /// The gateway broke the protocol: the link ends, and its successor is in no hurry.
    pub(super) fn protocol_error(&mut self, now: Time, key: LinkKey, reason: &str) {
        tracing::warn!(reason, "a link ends for a broken protocol");
        self.strikes = self.strikes.saturating_add(1);
        self.come_back(now, key, reason, None);
    }

    /// The gateway's count of commands or items cannot be this client's.
    pub(super) fn mismatch(&mut self, now: Time, key: LinkKey) {
        self.strikes = self.strikes.saturating_add(1);
        self.lose_session(key, LostReason::Mismatch, false);
        self.come_back(now, key, "the counts do not fit together", None);
    }

    /// Ends a link; if no other carries the session, comes back after `wait`, or as the guidance says.
    pub(super) fn come_back(&mut self, now: Time, key: LinkKey, reason: &str, wait: Option<Time>) {
        let Some(link) = self.links.remove(&key) else { return };
        // What the gateway had something to say about did not fail.
        let outcome = if wait.is_some() { AttemptOutcome::Drained } else { AttemptOutcome::Lost };
        self.negotiation.ended(now, key, outcome, reason);
        self.outputs.push_back(Output::Close { link: key, in_peace: false });
        if let Some(ticket) = link.migration {
            self.tell(ticket, Outcome::Migrated(Err(MigrateError::Unproven)));
        }
        let opening = self.active.is_none() && link.carries;
        if self.active != Some(key) && !opening {
            return;
        }
        self.active = None;
        self.ack_at = None;
        // The link before, where it is still there, goes on.
        let before =
            self.links.iter().filter(|(_, link)| link.is_attached()).max_by_key(|(_, link)| link.attach);
        if let Some(before) = before.map(|(key, _)| *key) {
            return self.fall_back(now, before);
        }
        // What the gateway said counts all the same where another way in is being tried beside this one.
        self.not_before = self.not_before.max(wait.map_or(Time::ZERO, |wait| now + wait));
        let links = &self.links;
        let advised = wait.is_some() || self.not_before > now;
        if self.negotiation.goes_on(advised, |link| links.contains_key(&link)) {
            self.stand(Standing::Opening);
            return;
        }
        self.negotiation.rest();
        self.advised = advised;
        self.drop_probes(MigrateError::Unproven);
        self.plan(None, MigrateError::NoLink);
        if !link.confirmed && wait.is_none() {
            self.negotiation.turn();
        }
        self.attempts = self.attempts.saturating_add(1);
        let lived = now.saturating_sub(link.since);
        if link.useful || lived >= SHORT_LIFE {
            self.strikes = 0;
        } else if link.confirmed {
            self.strikes = self.strikes.saturating_add(1);
        }
        if lived >= LASTING {
            self.sent_away = 0;
        }
        let attempt = self.attempts.saturating_add(self.strikes);
        let wait = match wait {
            Some(advice) => {
                self.sent_away = self.sent_away.saturating_add(1);
                advice.max(least_wait(self.sent_away, self.random.next()))
            }
            None => self.wait_for(now, attempt),
        };
        let wait = wait.max(self.not_before.saturating_sub(now));
        self.stand(Standing::Waiting { until: now + wait });
        let via = link.via;
        tracing::debug!(%via, reason, ?wait, attempt, "a link is lost");
        self.inbox.note(Incoming::Link(LinkChange::Down { via, reason: reason.into(), retry_in: wait }));
    }

    /// Waits for the next attempt where nobody is left that could open the session, however that came about.
    pub(super) fn wait_if_alone(&mut self, now: Time) {
        let links = &self.links;
        if self.standing != Standing::Opening
            || self.active.is_some()
            || self.negotiation.goes_on(self.not_before > now, |link| links.contains_key(&link))
        {
            return;
        }
        self.drop_probes(MigrateError::NoLink);
        self.negotiation.turn();
        self.negotiation.rest();
        self.advised = self.not_before > now;
        self.attempts = self.attempts.saturating_add(1);
        let until = now + self.wait_for(now, self.attempts);
        self.stand(Standing::Waiting { until: until.max(self.not_before) });
    }

    /// How long attempt `attempt` waits, where the gateway gave no advice.
    pub(super) fn wait_for(&mut self, now: Time, attempt: u32) -> Time {
        let random = self.random.next();
        self.guidance.wait(attempt, now.saturating_sub(self.attempted), random)
    }

    /// N4: ends this link and attaches again at once, with fresh state.
    pub(super) fn attach_afresh(&mut self, now: Time, key: LinkKey) {
        if let Some(link) = self.links.get_mut(&key).filter(|link| link.is_polling()) {
            link.retrying = true;
            self.active = Some(key);
            return;
        }
        self.active = self.active.filter(|active| *active != key);
        self.come_back(now, key, "the session was rebuilt from what has moved since", Some(Time::ZERO));
    }

    /// An older link carries the session again: what the newer one was told counts for nothing (L5).
    fn fall_back(&mut self, now: Time, key: LinkKey) {
        let taken = self.outbox.taken();
        if let Some(link) = self.links.get_mut(&key) {
            link.said = taken;
            self.active = Some(key);
            self.stand(Standing::Up);
            self.negotiation.fell_back(key);
            self.blame_silence(now, key);
        }
    }

    /// A link that was asked for a sign of life, and gave none, is late. On another network it says nothing of the gateway.
    pub(super) fn blame_silence(&mut self, now: Time, key: LinkKey) {
        let patience = self.negotiation.pace.patience(&self.config.timing);
        let Some(link) = self.links.get(&key) else { return };
        if link.pinged.is_some_and(|at| at + patience <= now) {
            let window = if link.moved { Time::ZERO } else { self.guidance.window() };
            self.negotiation.overdue(key, window);
        }
    }

    /// The session is lost, as link `key` says; its successor is subscribed where it was: the gateway has
    /// `taken_up` the stated positions, or is asked to (C6).
    pub(super) fn lose_session(&mut self, key: LinkKey, reason: LostReason, taken_up: bool) {
        // All other links are of the lost session.
        for other in self.links.keys().copied().filter(|other| *other != key).collect::<Vec<_>>() {
            self.drop_link(other, MigrateError::NoLink);
        }
        tracing::info!(?reason, "the session is lost");
        self.known = None;
        self.positions_wanted = false;
        let positions = self.inbox.begin_anew();
        let renewals = if taken_up { Vec::new() } else { self.presence.renewals(&positions, true) };
        let unknown = self.outbox.begin_anew(renewals);
        self.inbox.hold(positions);
        if taken_up {
            self.take_part_again();
        }
        for owner in unknown {
            self.tell_owner(owner, Outcome::Unknown);
        }
        self.inbox.note(Incoming::SessionLost { reason });
    }

    /// The credentials that a link has shown are refused. Where others were given meanwhile, those are shown.
    pub(super) fn need_credentials(&mut self, now: Time, key: LinkKey) {
        if self.links.get(&key).is_some_and(|link| link.stated.auth != self.config.auth) {
            return self.come_back(now, key, "unauthorized", Some(Time::ZERO));
        }
        if let Some(link) = self.links.remove(&key) {
            self.outputs.push_back(Output::Close { link: key, in_peace: false });
            let change =
                LinkChange::Down { via: link.via, reason: "unauthorized".into(), retry_in: Time::MAX };
            self.inbox.note(Incoming::Link(change));
        }
        self.drop_all();
        self.stand(Standing::NeedsCredentials);
    }

    fn drop_all(&mut self) {
        self.active = None;
        self.ack_at = None;
        self.negotiation.rest();
        for key in self.links.keys().copied().collect::<Vec<_>>() {
            self.drop_link(key, MigrateError::Closed);
        }
        self.plan(None, MigrateError::Closed);
    }

    /// Over, for good.
    pub(crate) fn stop(&mut self, reason: Option<LostReason>) {
        self.drop_all();
        for (owner, unknown) in self.outbox.abandon() {
            let outcome = if unknown { Outcome::Unknown } else { Outcome::Closed };
            if let Owner::Application(_) = owner {
                self.tell_owner(owner, outcome);
            }
        }
        if let Some(reason) = reason {
            self.inbox.note(Incoming::SessionLost { reason });
        }
        self.standing = Standing::Closed;
    }
}
