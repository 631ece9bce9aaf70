//! Opening links: attempts, probes, moves.
//!
//! Which transport, and when, is for the [negotiation](crate::core::negotiation) to decide; what is said on it is
//! decided here. While the session has no link, whoever is opened attaches in its `hello`. While it has one, another
//! stream is only a probe (L10): it displaces nothing until a nonce has come down it. A poll is an attach by itself;
//! the link before it is kept until the poll is known to have arrived.

use throughline_wire::{
    AttemptOutcome, UpFrame,
    frame::{ClientInfo, Commands, Hello, Resume},
};

use super::{Core, Outcome, Output, Planned, Standing};
use crate::{
    config::Via,
    core::{
        Time,
        link::{Link, Stage, Stated},
        names::LinkKey,
        names::Ticket,
        negotiation::Decision,
    },
    error::MigrateError,
};

/// What a position takes in a message, with the name of its channel, at most.
const POSITION_BYTES: usize = 300;

impl Core {
    /// Begins to look for a link for a session that has none.
    pub(super) fn attempt(&mut self, now: Time) {
        self.stand(Standing::Opening);
        self.attempted = now;
        self.negotiation.attempt(now, self.known.is_some(), self.guidance.window());
    }

    /// Does what the negotiation decides.
    pub(super) fn negotiate(&mut self, now: Time) {
        loop {
            let links = &self.links;
            let Some(decision) = self.negotiation.decide(now, |link| links.contains_key(&link)) else {
                return;
            };
            match decision {
                Decision::Carry(via) => self.open(now, via, true, None),
                Decision::Probe(via) => self.open(now, via, false, None),
                Decision::Greet { link, attach } => self.greet(now, link, attach),
                Decision::Drop { link, outcome } => self.give_up(now, link, outcome),
            }
        }
    }

    /// Moves to another transport if that is planned.
    pub(super) fn move_if_due(&mut self, now: Time) {
        if self.planned.is_none_or(|planned| planned.at > now) {
            return;
        }
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

    /// Opens a link: to carry the session, or as a probe.
    fn open(&mut self, now: Time, via: Via, carries: bool, ticket: Option<Ticket>) {
        let key = LinkKey(self.next_link);
        self.next_link += 1;
        let mut link = Link::new(via, now, Time::MAX);
        link.migration = ticket;
        link.carries = carries || link.is_polling();
        if link.carries && !link.is_polling() {
            link.until = now + self.config.timing.welcome;
        }
        let offer = self.negotiation.offer(via);
        self.negotiation.began(now, key, via, link.carries, !via.is_duplex());
        if link.is_polling() {
            link.greeted = true;
            // A poll needs no welcome where there is a session, so commands need not wait for its answer.
            if self.known.is_some() {
                link.stage = Stage::Attached;
                self.active = Some(key);
            }
            self.links.insert(key, link);
            self.outputs.push_back(Output::Open { link: key, via, offer, hello: Vec::new() });
            return self.poll_again(now, key);
        }
        self.links.insert(key, link);
        // A duplex link says hello when its handshake is done: only then is it known as what, and from where on.
        let hello = if via.is_duplex() { Vec::new() } else { self.opening(now, key, carries) };
        self.outputs.push_back(Output::Open { link: key, via, offer, hello });
    }

    /// Says hello on a duplex link whose handshake is done.
    fn greet(&mut self, now: Time, key: LinkKey, attach: bool) {
        let message = self.opening(now, key, attach);
        self.outputs.push_back(Output::Transmit { link: key, message });
    }

    /// What a stream says first: `hello`, and behind one that opens a session what may travel with it.
    fn opening(&mut self, now: Time, key: LinkKey, attach: bool) -> Vec<UpFrame> {
        if attach {
            // L10: a client with no working link may attach in its hello.
            self.attach += 1;
        }
        let attach = attach.then_some(self.attach);
        let (hello, mut stated) = self.hello(attach, true);
        let mut message = vec![hello];
        self.say_with_hello(now, attach, &mut stated, &mut message);
        let until = attach.map_or(Time::MAX, |_| now + self.config.timing.welcome);
        if let Some(link) = self.links.get_mut(&key) {
            (link.attach, link.carries, link.greeted) = (attach, attach.is_some(), true);
            (link.stated, link.until) = (stated, until);
        }
        message
    }

    /// What the message that opens a session carries beside its `hello` (C5): subscriptions, so that the first event
    /// comes with the answer.
    pub(super) fn say_with_hello(
        &mut self,
        now: Time,
        attach: Option<u64>,
        stated: &mut Stated,
        message: &mut Vec<UpFrame>,
    ) {
        if stated.resume || attach.is_none() {
            return;
        }
        let (ahead, budget) = (self.limits.commands_ahead, self.budget());
        if let Some(run) = self.outbox.opening_run(now, ahead, budget) {
            stated.commands = run.last();
            message.push(UpFrame::Commands(Commands { first: run.first, items: run.items, ack: None }));
        }
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
            auth: stated.auth.clone(),
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
        let auth = self.config.auth.clone();
        let Some(known) = &self.known else { return Stated { auth, ..Stated::default() } };
        let states_positions = self.positions_wanted || self.volunteers_positions();
        let positions = states_positions.then(|| self.inbox.positions().clone());
        Stated {
            resume: true,
            incarnation: known.incarnation,
            after: if positions.is_some() { self.inbox.received() } else { self.inbox.taken() },
            low: self.outbox.low(),
            positions,
            commands: 0,
            auth,
        }
    }

    /// Whether it states its positions though nobody asked: it comes back, and a gateway that crashed holds no session,
    /// so it would have to ask. Not where that would acknowledge what the application has not taken, nor where there
    /// are many.
    fn volunteers_positions(&self) -> bool {
        let bytes = self.inbox.positions().len() * POSITION_BYTES;
        self.attempts > 0
            && self.inbox.taken() == self.inbox.received()
            && bytes as u64 <= self.limits.message_bytes / 2
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

    /// Whether the newest attached link is one that the application asked for by name, and nothing has confirmed it yet.
    pub(super) fn is_moving_by_name(&self) -> bool {
        self.active.and_then(|key| self.links.get(&key)).is_some_and(|link| link.migration.is_some())
    }

    /// L10: the nonce has come down a probe, which becomes the active link.
    ///
    /// Number and `after` are taken at this moment: polls that ran meanwhile have used higher ones. What follows the
    /// nonce may be swallowed all the same, so the link is asked for a sign at once.
    pub(super) fn prove(&mut self, now: Time, key: LinkKey, nonce: Option<u64>) {
        let (after, taken) = (self.inbox.taken(), self.outbox.taken());
        let bytes = self.inbox.taken_bytes();
        let incarnation = self.known.as_ref().map(|known| known.incarnation);
        let Some(link) = self.links.get_mut(&key) else { return };
        if Some(link.stated.incarnation) != incarnation {
            // N1, N4: nothing that it counts would be heard.
            return self.link_failed(now, key, AttemptOutcome::Late, "the session was rebuilt meanwhile");
        }
        link.stage = Stage::Attached;
        (link.said, link.acked, link.acked_bytes) = (taken, after, bytes);
        if link.is_duplex() {
            self.attach += 1;
            self.followed = self.attach;
            link.attach = Some(self.attach);
            link.pinged = Some(now);
            link.asked.get_or_insert(Some(now));
            let attach = UpFrame::Attach { number: self.attach, after };
            let message = vec![UpFrame::Pong { nonce }, attach, UpFrame::Ping { nonce: None }];
            self.outputs.push_back(Output::Transmit { link: key, message });
        } else {
            (link.pong, link.attach_by_post) = (Some(nonce), true);
        }
        self.active = Some(key);
        self.ack_at = None;
    }
}
