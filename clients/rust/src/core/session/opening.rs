//! Opening links: attempts, probes, moves.
//!
//! While the session has no link, one is opened at a time, with the attach in its `hello`. While it has one,
//! another stream is only a probe (L10): it displaces nothing until a nonce has come down it. A poll is an attach by
//! itself; the link before it is kept until the poll is known to have arrived.

use throughline_wire::{
    UpFrame,
    frame::{ClientInfo, Hello, Resume},
};

use super::{Core, Outcome, Output, Planned, Standing};
use crate::{
    config::Via,
    core::{
        Time,
        link::{Link, Stage, Stated},
        names::LinkKey,
        names::Ticket,
    },
    error::MigrateError,
};

impl Core {
    /// Opens a link for a session that has none.
    pub(super) fn attempt(&mut self, now: Time) {
        let candidates: Vec<_> = std::iter::once(self.proven)
            .chain(self.config.transports.iter().copied().filter(|via| *via != self.proven))
            .collect();
        let via = candidates[self.candidate % candidates.len()];
        self.standing = Standing::Opening;
        self.open(now, via, true, None);
    }

    /// Moves to another transport if that is planned, or worth a try.
    pub(super) fn move_if_due(&mut self, now: Time) {
        if self.planned.is_some_and(|planned| planned.at <= now) {
            let Some(Planned { via, ticket, .. }) = self.planned.take() else { return };
            if self.active.is_none() {
                if let Some(ticket) = ticket {
                    self.tell(ticket, Outcome::Migrated(Err(MigrateError::NoLink)));
                }
                return;
            }
            self.drop_probes(MigrateError::Replaced);
            self.open(now, via, false, ticket);
        }
        if self.upgrade_at.is_some_and(|at| at <= now) {
            self.upgrade_at = None;
            let Some(link) = self.active.and_then(|key| self.links.get(&key)) else { return };
            let better = self.config.transports.iter().position(|via| *via == link.via);
            let better = better.unwrap_or(self.config.transports.len());
            if better > 0 && !self.links.values().any(|link| !link.is_attached()) {
                let via = self.config.transports[self.upgrade_failures as usize % better];
                self.open(now, via, false, None);
            }
        }
    }

    /// Looks for a better transport later.
    pub(super) fn look_up_later(&mut self, now: Time) {
        let Some(link) = self.active.and_then(|key| self.links.get(&key)) else { return };
        self.upgrade_at = None;
        if self.config.transports.first() == Some(&link.via) {
            self.upgrade_failures = 0;
        } else if self.upgrades {
            let wait = match self.upgrade_failures {
                0 => Time::ZERO,
                n => self.config.timing.upgrade * (1 << (n - 1).min(6)),
            };
            self.upgrade_at = Some(now + wait);
        }
    }

    fn open(&mut self, now: Time, via: Via, attach: bool, ticket: Option<Ticket>) -> LinkKey {
        let key = LinkKey(self.next_link);
        self.next_link += 1;
        let mut link = Link::new(via, now, now + self.config.timing.welcome);
        link.migration = ticket;
        if link.is_polling() {
            // A poll needs no welcome where there is a session, so commands need not wait for its answer.
            if self.known.is_some() {
                link.stage = Stage::Attached;
                self.active = Some(key);
            }
            link.until = Time::MAX;
            self.links.insert(key, link);
            self.outputs.push_back(Output::Open { link: key, via, offer: None, hello: Vec::new() });
            self.poll_again(now, key);
            return key;
        }
        if attach {
            // L10: a client with no working link may attach in its hello.
            self.attach += 1;
            link.attach = Some(self.attach);
        }
        let (hello, stated) = self.hello(link.attach, true);
        link.stated = stated;
        self.links.insert(key, link);
        self.outputs.push_back(Output::Open { link: key, via, offer: None, hello: vec![hello] });
        key
    }

    /// A `hello`, and what it says of the session. A poll that goes on leaves out what its first one said.
    pub(super) fn hello(&mut self, attach: Option<u64>, first: bool) -> (UpFrame, Stated) {
        let stated = self.stated();
        let resume = self.known.as_ref().map(|known| Resume {
            token: known.token.clone(),
            incarnation: stated.incarnation,
            after: stated.after,
            low: stated.low,
            positions: stated.positions.clone(),
        });
        let hello = Hello {
            version: 0,
            instance: self.instance.clone(),
            attach,
            auth: self.config.auth.clone(),
            resume,
            client: first.then(|| ClientInfo {
                name: self.config.client_name.as_str().into(),
                version: env!("CARGO_PKG_VERSION").into(),
            }),
            features: Vec::new(),
            slot: self.slot.take(),
        };
        (UpFrame::Hello(Box::new(hello)), stated)
    }

    /// What a `hello` says now.
    ///
    /// `after` is what the application took, except where positions go along: they count everything that came, and
    /// so must `after`.
    fn stated(&self) -> Stated {
        let Some(known) = &self.known else { return Stated::default() };
        let positions = self.positions_wanted.then(|| self.inbox.positions().clone());
        Stated {
            resume: true,
            incarnation: known.incarnation,
            after: if positions.is_some() { self.inbox.received() } else { self.inbox.taken() },
            low: self.outbox.low(),
            positions,
        }
    }

    /// N4: whether anything that a `hello` stated has moved since, so that a session rebuilt from it is not this one.
    pub(super) fn has_moved(&self, stated: &Stated) -> bool {
        let none = throughline_wire::Positions::new();
        stated.after != self.inbox.received()
            || stated.low != self.outbox.low()
            || stated.positions.as_ref().unwrap_or(&none) != self.inbox.positions()
    }

    /// Gives links up that have not taken over yet.
    pub(super) fn drop_probes(&mut self, error: MigrateError) {
        let probes: Vec<_> = self
            .links
            .iter()
            .filter(|(key, link)| Some(**key) != self.active && !link.is_attached())
            .map(|(key, _)| *key)
            .collect();
        for key in probes {
            self.drop_link(key, error);
        }
    }

    /// Ends a link that does not carry the session.
    pub(super) fn drop_link(&mut self, key: LinkKey, error: MigrateError) {
        if let Some(link) = self.links.remove(&key) {
            self.outputs.push_back(Output::Close { link: key, in_peace: false });
            self.active = self.active.filter(|active| *active != key);
            if let Some(ticket) = link.migration {
                self.tell(ticket, Outcome::Migrated(Err(error)));
            }
        }
    }

    /// L10: the nonce has come down a probe, which becomes the active link.
    ///
    /// Number and `after` are taken at this moment: polls that ran meanwhile have used higher ones.
    pub(super) fn prove(&mut self, key: LinkKey, nonce: Option<u64>) {
        let (after, taken) = (self.inbox.taken(), self.outbox.taken());
        let bytes = self.inbox.taken_bytes();
        let Some(link) = self.links.get_mut(&key) else { return };
        link.stage = Stage::Attached;
        (link.said, link.acked, link.acked_bytes) = (taken, after, bytes);
        if link.is_duplex() {
            self.attach += 1;
            self.followed = self.attach;
            link.attach = Some(self.attach);
            let message = vec![UpFrame::Pong { nonce }, UpFrame::Attach { number: self.attach, after }];
            self.outputs.push_back(Output::Transmit { link: key, message });
        } else {
            (link.pong, link.attach_by_post) = (Some(nonce), true);
        }
        self.active = Some(key);
        self.ack_at = None;
    }
}
