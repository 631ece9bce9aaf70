//! A session stands on a link: what a welcome makes of it, and of the links beside it.

use std::sync::Arc;

use throughline_wire::{AttemptOutcome, Command, frame::Welcome};

use super::{Core, Known, Outcome, Standing};
use crate::{
    core::{Time, backoff::Guidance, link::Stage, names::LinkKey, outbox::Owner},
    error::MigrateError,
    incoming::{Incoming, LinkChange, LostReason},
};

impl Core {
    /// A session stands, on this link.
    pub(super) fn handle_welcome(&mut self, now: Time, key: LinkKey, welcome: Welcome) {
        self.guidance = Guidance { window_ms: welcome.window_ms, backoff: welcome.backoff };
        self.heartbeat = Time::from_millis(welcome.heartbeat_ms.clamp(1, 3_600_000));
        if self.links.get(&key).is_some_and(|link| !link.greeted) {
            return self.protocol_error(now, key, "welcomed before hello");
        }
        self.negotiation.welcomed(now, key);
        if let Some(offers) = &welcome.transports {
            self.negotiation.offered(now, offers);
        }
        let Some(link) = self.links.get_mut(&key) else { return };
        link.name = welcome.link;
        link.until = Time::MAX;
        let Some(attach) = link.attach else {
            // L10: a probe. It is one of this session, or of no use.
            let same = self.known.as_ref().map(|known| (known.id, known.incarnation));
            if link.stage == Stage::Opening
                && welcome.resumed
                && same == Some((welcome.session, welcome.incarnation))
            {
                link.stage = Stage::Probing;
            } else if link.stage == Stage::Opening {
                self.link_failed(now, key, AttemptOutcome::Refused, "it was welcomed to another session");
            }
            return;
        };
        // L12: only a welcome of a later attach than the last one is followed.
        if attach <= self.followed {
            // A later one has overtaken it while it was on its way.
            if link.stage == Stage::Opening {
                self.drop_link(key, MigrateError::Replaced);
            }
            return;
        }
        if let Some(limits) = welcome.limits {
            self.limits = limits;
        }
        let stated = link.stated.clone();
        let incarnation = self.known.as_ref().map(|known| known.incarnation);
        if stated.resume && !welcome.resumed {
            let taken_up =
                stated.positions.as_ref().is_some_and(|positions| positions == self.inbox.positions());
            if stated.positions.is_some() && !taken_up {
                // As N4: what came meanwhile by an older link would come again.
                self.drop_others(key);
                self.positions_wanted = true;
                self.followed = attach;
                return self.attach_afresh(now, key);
            }
            self.lose_session(key, LostReason::NotResumed(welcome.reason), taken_up);
            self.begin(key, &welcome);
        } else if self.known.is_none() {
            self.begin(key, &welcome);
        } else if incarnation == Some(welcome.incarnation) {
            if welcome.next > self.inbox.received() + 1 || welcome.received >= self.outbox.next() {
                return self.mismatch(now, key);
            }
            self.outbox.confirm(welcome.received);
        } else {
            // N4: another incarnation ends older links; and it is not this session if that moved meanwhile.
            self.drop_others(key);
            if self.has_moved(&stated) {
                self.positions_wanted = true;
                self.followed = attach;
                return self.attach_afresh(now, key);
            }
            if welcome.received >= self.outbox.next() {
                return self.mismatch(now, key);
            }
            self.inbox.renumber(welcome.next.max(1));
            self.outbox.restart(welcome.received);
            self.take_part_again();
        }
        self.followed = attach;
        self.positions_wanted = false;
        self.known =
            Some(Known { id: welcome.session, token: welcome.token, incarnation: welcome.incarnation });
        let (taken, bytes) = (self.outbox.taken(), self.inbox.taken_bytes());
        let after = stated.after.min(self.inbox.received());
        let Some(link) = self.links.get_mut(&key) else { return };
        link.stage = Stage::Attached;
        link.stated.incarnation = welcome.incarnation;
        // L5: this link knows of nothing but what its hello said.
        // What travelled behind the hello that opened the session is said, as far as the gateway keeps it.
        let kept = stated.commands.min((self.outbox.low() - 1).saturating_add(self.limits.commands_ahead));
        (link.acked, link.acked_bytes, link.said) = (after, bytes, taken.max(kept));
        self.active = Some(key);
        self.ack_at = None;
        self.confirm(now, key, welcome.resumed && stated.resume);
    }

    /// A new session begins, on this link.
    fn begin(&mut self, key: LinkKey, welcome: &Welcome) {
        // Whoever else has said hello has opened a session of its own, which nobody follows.
        let strangers = self.links.iter().filter(|(other, link)| **other != key && link.greeted);
        for stranger in strangers.map(|(other, _)| *other).collect::<Vec<_>>() {
            self.drop_link(stranger, MigrateError::NoLink);
        }
        self.negotiation.begin_anew();
        self.volatiles.forget_all();
        let said = self.links.get(&key).map_or(0, |link| link.stated.commands);
        self.inbox.renumber(welcome.next.max(1));
        self.outbox.restart(welcome.received.min(said.max(self.outbox.low() - 1)));
    }

    /// A link that was attached has shown that the gateway follows it.
    pub(super) fn confirm(&mut self, now: Time, key: LinkKey, resumed: bool) {
        let Some(link) = self.links.get_mut(&key) else { return };
        if link.confirmed || self.active != Some(key) {
            return;
        }
        link.confirmed = true;
        let (via, ticket) = (link.via, link.migration.take());
        if let Some(ticket) = ticket {
            self.tell(ticket, Outcome::Migrated(Ok(())));
        }
        self.negotiation.up(now, key);
        // L7: the gateway ends writing to older links; nothing more is wanted from them.
        self.drop_others(key);
        self.stand(Standing::Up);
        (self.attempts, self.not_before) = (0, Time::ZERO);
        if let Some(known) = &self.known {
            let session = known.id;
            self.inbox.note(Incoming::Link(LinkChange::Up {
                via,
                session,
                resumed,
                why: Arc::clone(&self.negotiation.why),
            }));
        }
    }

    /// Drops the links before this one. A poll with a higher number is on its way to take over, and stays.
    pub(super) fn drop_others(&mut self, key: LinkKey) {
        let Some(attach) = self.links.get(&key).map(|link| link.attach) else { return };
        let others = self
            .links
            .iter()
            .filter(|(other, link)| **other != key && link.is_attached() && link.attach < attach);
        let others: Vec<_> = others.map(|(other, _)| *other).collect();
        for other in others {
            self.drop_link(other, MigrateError::Replaced);
        }
    }

    /// P8: positions do not say where it takes part, so where they were taken up it asks again wherever it does.
    pub(super) fn take_part_again(&mut self) {
        for renewal in self.presence.renewals(self.inbox.positions(), false) {
            let is_asked = |channel| self.outbox.is_renewing(channel);
            if !matches!(&renewal, Command::Subscribe { channel, .. } if is_asked(channel)) {
                self.outbox.push(renewal, Owner::Wish);
            }
        }
    }
}
