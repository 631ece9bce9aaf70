//! The conductor: one session, however many links it takes.
//!
//! Four kinds of method: getters; `handle_*` for what the world did; the application's wishes ([`command`](Core::command),
//! [`migrate`](Core::migrate), [`close`](Core::close)); and what to do next ([`settle`](Core::settle), then
//! `poll_*` and [`deadline`](Core::deadline)). Inputs only change what is known; `settle` alone decides what to say,
//! so that news which comes together goes out in one message.
//!
//! The rooms beside this one: [`opening`] links, probes and attempts; [`welcome`] how a session stands on one; [`down`]
//! what frames mean; [`up`] what is said and when, [`post`] what of it goes beside a link; [`ending`] how links and sessions
//! are lost.

mod down;
mod ending;
mod opening;
mod post;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod up;
mod welcome;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use throughline_wire::{
    ChannelName, Command, ErrorCode, Payload, SessionId, Token, UpFrame,
    frame::{Limits, TransportOffer},
};

use super::{
    Outcome, Output, Time,
    backoff::{Guidance, appointment},
    inbox::Inbox,
    link::Link,
    names::LinkKey,
    names::Ticket,
    negotiation::{
        Negotiation,
        verdict::{self, Verdicts},
    },
    outbox::{Outbox, Owner, size_of, size_of_volatile},
    presence::Presence,
    random::Random,
    volatile::Volatiles,
};
use crate::{
    config::{Config, Via},
    error::MigrateError,
    incoming::Incoming,
    state::{Phase, State},
};

pub(crate) use ending::End;

/// What the gateway calls this session.
#[derive(Clone, Debug)]
struct Known {
    id: SessionId,
    token: Token,
    incarnation: u64,
}

/// Where the session stands with its links.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// No link; the next attempt is due then.
    Waiting { until: Time },
    /// A link is being opened.
    Opening,
    /// A link carries the session.
    Up,
    /// No link until there are new credentials.
    NeedsCredentials,
    /// The goodbye is being said.
    Closing { until: Time },
    /// Over.
    Closed,
}

/// A move to another transport that has to wait for its time.
#[derive(Clone, Copy, Debug)]
struct Planned {
    at: Time,
    via: Via,
    ticket: Option<Ticket>,
}

/// One session of one client.
#[derive(Debug)]
pub(crate) struct Core {
    config: Config,
    instance: Box<str>,
    random: Random,
    outputs: VecDeque<Output>,
    inbox: Inbox,
    outbox: Outbox,
    known: Option<Known>,
    guidance: Guidance,
    limits: Limits,
    heartbeat: Time,
    links: BTreeMap<LinkKey, Link>,
    /// The newest attached link: where things are said. The one before it may carry the session until it is confirmed.
    active: Option<LinkKey>,
    next_link: u32,
    /// L1: the newest attach number.
    attach: u64,
    /// L12: the attach number of the last welcome that was followed.
    followed: u64,
    positions_wanted: bool,
    slot: Option<Box<str>>,
    standing: Standing,
    /// Attempts since a link was up.
    attempts: u32,
    /// When the last one began.
    attempted: Time,
    /// Links in a row that came up, achieved nothing, and were gone again.
    strikes: u32,
    /// Links in a row that did not last, and whose end said when to come back.
    sent_away: u32,
    /// Links in a row that the gateway closed for a broken protocol.
    refusals: u32,
    /// Whether the gateway said when to come back.
    advised: bool,
    /// When the gateway said to come back, on a link beside which another was still being tried.
    not_before: Time,
    ack_at: Option<Time>,
    planned: Option<Planned>,
    negotiation: Negotiation,
    volatiles: Volatiles,
    presence: Presence,
    /// The time since the Unix epoch when the client was made.
    wall: Time,
}

impl Core {
    /// A session that has no link yet: its first attempt is due at once. `wall` is the time since the Unix epoch.
    pub(crate) fn new(config: Config, seed: u64, wall: Time) -> Self {
        let mut random = Random::from_seed(seed);
        let verdict = config.verdicts.of(verdict::origin(&config.url));
        let verdict = verdict.filter(|verdict| verdict.is_valid(wall));
        let mut outbox = Outbox::default();
        for (channel, from) in &config.subscriptions {
            let (channel, from) = (channel.clone(), *from);
            let presence = config.presence.contains(&channel);
            outbox.push(Command::Subscribe { channel, from, token: None, presence }, Owner::Configured);
        }
        Self {
            instance: random.name(),
            outputs: VecDeque::new(),
            inbox: Inbox::default(),
            outbox,
            known: None,
            guidance: Guidance::default(),
            limits: Limits::default(),
            heartbeat: Time::from_secs(15),
            links: BTreeMap::new(),
            active: None,
            next_link: 0,
            attach: 0,
            followed: 0,
            positions_wanted: false,
            slot: None,
            standing: Standing::Waiting { until: Time::ZERO },
            attempts: 0,
            attempted: Time::ZERO,
            strikes: 0,
            sent_away: 0,
            refusals: 0,
            advised: false,
            not_before: Time::ZERO,
            ack_at: None,
            planned: None,
            negotiation: Negotiation::new(&config, verdict, random.next()),
            volatiles: Volatiles::default(),
            presence: Presence::default(),
            wall,
            random,
            config,
        }
    }

    /// What an application may know of the session.
    pub(crate) fn state(&self) -> State {
        State {
            phase: match self.standing {
                Standing::Waiting { .. } => Phase::Waiting,
                Standing::Opening => Phase::Opening,
                Standing::Up => Phase::Up,
                Standing::NeedsCredentials => Phase::NeedsCredentials,
                Standing::Closing { .. } => Phase::Closing,
                Standing::Closed => Phase::Closed,
            },
            via: self.carrier().map(|link| link.via),
            why: Arc::clone(&self.negotiation.why),
            history: self.negotiation.history.attempts(),
            session: self.known.as_ref().map(|known| known.id),
            token: self.known.as_ref().map(|known| known.token.clone()),
            incarnation: self.known.as_ref().map(|known| known.incarnation),
        }
    }

    /// The link that carries the session. One whose attach nothing has confirmed may yet come to nothing: until then it is the
    /// one before it.
    fn carrier(&self) -> Option<&Link> {
        let active = self.links.get(&self.active?)?;
        if active.confirmed { None } else { self.links.values().find(|link| link.confirmed) }.or(Some(active))
    }

    /// Whether another command may be numbered now.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < self.config.commands.max(1)
    }

    /// Whether nothing more will happen.
    pub(crate) fn is_closed(&self) -> bool {
        self.standing == Standing::Closed
    }

    /// The newest attached link: where things are said.
    pub(crate) const fn active(&self) -> Option<LinkKey> {
        self.active
    }

    /// Takes a command of the application.
    pub(crate) fn command(&mut self, command: Command, ticket: Ticket) {
        if matches!(self.standing, Standing::Closed | Standing::Closing { .. }) {
            return self.tell(ticket, Outcome::Closed);
        }
        if size_of(&command) > self.budget() {
            return self.tell(ticket, Outcome::Rejected(ErrorCode::MessageTooLarge.into()));
        }
        self.outbox.push(command, Owner::Application(ticket));
    }

    /// Says something that is not kept: on the link there is and within a message, or not at all.
    pub(crate) fn say_volatile(
        &mut self,
        now: Time,
        channel: ChannelName,
        name: Option<Box<str>>,
        payload: Payload,
    ) {
        let Some((key, link)) = self.active.and_then(|key| Some((key, self.links.get(&key)?))) else {
            return;
        };
        let volatile = self.volatiles.number(self.wall + now, channel, name, payload);
        if size_of_volatile(&volatile) > self.budget() {
            return;
        }
        if link.is_duplex() {
            self.outputs
                .push_back(Output::Volatile { link: key, message: vec![UpFrame::Volatile(volatile)] });
        } else {
            self.volatiles.wait(volatile);
        }
    }

    /// Moves the session to another transport, while the link it has goes on.
    pub(crate) fn migrate(&mut self, now: Time, via: Via, ticket: Ticket) {
        let refusal = match self.standing {
            Standing::Closed | Standing::Closing { .. } => Some(MigrateError::Closed),
            _ if !via.is_possible() => Some(MigrateError::UnsupportedCodec),
            _ if self.active.is_none() => Some(MigrateError::NoLink),
            _ => None,
        };
        if let Some(error) = refusal {
            return self.tell(ticket, Outcome::Migrated(Err(error)));
        }
        // Whoever asks for a transport by name wants to stay on it.
        self.negotiation.pin(via);
        self.plan(Some(Planned { at: now, via, ticket: Some(ticket) }), MigrateError::Replaced);
    }

    /// The network is another one.
    pub(crate) fn network_changed(&mut self, now: Time) {
        self.negotiation.network_changed();
        for link in self.links.values_mut() {
            (link.moved, link.asked) = (true, link.asked.map(|_| None));
        }
        if let Standing::Waiting { until } = self.standing
            && !self.advised
        {
            let wait = self.wait_for(now, 1);
            self.stand(Standing::Waiting { until: until.min(now + wait) });
        }
        self.ask_for_life(now);
    }

    /// Where verdicts are kept, and under which origin.
    pub(crate) fn memory(&self) -> (Box<str>, Verdicts) {
        (verdict::origin(&self.config.url).into(), self.config.verdicts.clone())
    }

    /// New credentials, for the next links and for the one that is up.
    pub(crate) fn authenticate(&mut self, now: Time, token: Token) {
        self.config.auth = Some(token.clone());
        if self.standing == Standing::NeedsCredentials {
            self.stand(Standing::Waiting { until: now });
        } else if let Some((key, link)) = self.active.and_then(|key| Some((key, self.links.get(&key)?))) {
            if link.is_duplex() {
                let message = vec![UpFrame::Auth { token }];
                self.outputs.push_back(Output::Transmit { link: key, message });
            } else if !self.comes_back_by(link) {
                self.auth_by_post(now, key);
            }
        }
    }

    /// Ends the session.
    pub(crate) fn close(&mut self, now: Time) {
        if matches!(self.standing, Standing::Closed | Standing::Closing { .. }) {
            return;
        }
        if self.say_goodbye(now) {
            self.standing = Standing::Closing { until: now + self.config.timing.goodbye };
        } else {
            self.stop(None);
        }
    }

    /// How the session stands from now on. A goodbye is not undone by what still comes while it is said.
    fn stand(&mut self, standing: Standing) {
        if !matches!(self.standing, Standing::Closing { .. }) {
            self.standing = standing;
        }
    }

    /// The next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether something waits for the application.
    pub(crate) fn has_incoming(&self) -> bool {
        self.inbox.is_behind()
    }

    /// The next thing that the application hears.
    pub(crate) fn poll_incoming(&mut self) -> Option<Incoming> {
        self.inbox.poll()
    }

    /// Does what is due by `now` and derives what to say from what is known.
    pub(crate) fn settle(&mut self, now: Time) {
        self.expire(now);
        loop {
            match self.standing {
                Standing::Closed | Standing::Closing { .. } | Standing::NeedsCredentials => return,
                Standing::Waiting { until } if until <= now => self.attempt(now),
                _ => {}
            }
            self.move_if_due(now);
            self.negotiate(now);
            self.wait_if_alone(now);
            // What was given up may have to be replaced at once.
            if !matches!(self.standing, Standing::Waiting { until } if until <= now) {
                break;
            }
        }
        self.speak(now);
        if let Some(verdict) = self.negotiation.poll_verdict(self.wall + now) {
            self.outputs.push_back(Output::Remember(verdict));
        }
    }

    /// When [`settle`](Self::settle) has something to do though there is no news.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.standing {
            Standing::Closed | Standing::NeedsCredentials => return None,
            Standing::Closing { until } => return Some(until),
            _ => {}
        }
        let waiting = match self.standing {
            Standing::Waiting { until } => Some(until),
            _ => None,
        };
        let moves = [self.planned.map(|planned| planned.at), self.negotiation.deadline()];
        let links = self.links.iter().filter_map(|(key, link)| self.link_deadline(*key, link));
        waiting.into_iter().chain(moves.into_iter().flatten()).chain(links).min()
    }

    /// Tells one who waits.
    fn tell(&mut self, ticket: Ticket, outcome: Outcome) {
        self.outputs.push_back(Output::Settle { ticket, outcome });
    }

    fn tell_owner(&mut self, owner: Owner, outcome: Outcome) {
        if let Owner::Application(ticket) = owner {
            self.tell(ticket, outcome);
        }
    }

    /// Plans a move, or none: whoever waits for the one before is told why.
    fn plan(&mut self, planned: Option<Planned>, reason: MigrateError) {
        let replaced = std::mem::replace(&mut self.planned, planned);
        if let Some(ticket) = replaced.and_then(|planned| planned.ticket) {
            self.tell(ticket, Outcome::Migrated(Err(reason)));
        }
    }

    /// The gateway asks the client to move.
    fn handle_migrate(&mut self, now: Time, offers: &[TransportOffer], delay_ms: u64, spread_ms: u64) {
        let at = now + appointment(delay_ms, spread_ms, self.random.next());
        if let Some(via) = self.negotiation.asked(offers, at) {
            self.plan(Some(Planned { at, via, ticket: None }), MigrateError::Replaced);
        }
    }
}
