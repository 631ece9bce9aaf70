//! Which transport, and when: races, probes, hedges, and the way back up.
//!
//! Time and what became of links come in; what to open, to say first, and to give up comes out. There is no I/O here, no
//! clock, and no randomness but what was handed in, so that the table in `docs/negotiation.md` is this module in other
//! words, and a client in another language is a third way to say it.
//!
//! Three ideas carry it. *Nothing that may hang is waited for*: a poll works everywhere, so it goes first, or soon
//! beside. *A transport is proven, not assumed*: a probe displaces the link that works only once a nonce has come down
//! it. *What falls silent is hedged*: a poll goes out at once, and the silent link is kept until it is answered.
//!
//! The conductor ([`Core`](super::session::Core)) owns the protocol: numbers, welcomes, nonces. It tells this module what
//! happened ([`opened`](Negotiation::opened), [`up`](Negotiation::up), [`ended`](Negotiation::ended) …), and carries out
//! what [`decide`](Negotiation::decide) says until it says nothing more.
//!
//! What happened comes in here; the table is in [`decision`], what is known of one link in [`uses`], and of each transport in
//! [`candidates`].

pub(crate) mod candidates;
mod decision;
pub(crate) mod history;
pub(crate) mod pace;
#[cfg(test)]
mod tests;
mod uses;
pub(crate) mod verdict;

use std::{collections::BTreeMap, sync::Arc};

use throughline_wire::{AttemptOutcome, frame::TransportOffer};

use super::{Time, names::LinkKey, random::Random};
use crate::config::{Config, Timing, Transport, Via};
use candidates::Candidates;
pub(crate) use decision::Decision;
use history::History;
use pace::Pace;
use uses::{Reached, Use};
use verdict::Verdict;

/// How a round of opening goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Round {
    /// Nothing is known: a poll at once, and everything better raced beside it.
    Cold,
    /// The best that was proven before at once, and a poll beside it when it stays silent for this long.
    ///
    /// On a first start the poll does not even wait for that once the lead has failed; later on, whoever comes back
    /// does so one link at a time, as the gateway asks.
    Led { join: Time, is_first: bool },
    /// One link, and nothing beside it.
    Alone,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    /// Nothing is wanted: waiting, closed, or closing.
    Resting,
    /// No link carries the session yet.
    Opening { round: Round, lead: Option<Via>, joined: bool, quiet_since: Time },
    /// This one does.
    Up { link: LinkKey },
}

/// What decides on transports.
#[derive(Debug)]
pub(crate) struct Negotiation {
    /// Whether more than one link at a time is wanted at all.
    negotiates: bool,
    timing: Timing,
    candidates: Candidates,
    uses: BTreeMap<LinkKey, Use>,
    mode: Mode,
    /// What carried the session last.
    carried: Option<Via>,
    /// What was proven before this client was made, or has been since.
    verdict: Option<Transport>,
    news: Option<Option<Transport>>,
    /// Why the session is on what it is on, for a person.
    pub(crate) why: Arc<str>,
    /// How far down the list the next attempt looks.
    rotation: usize,
    /// Whether an attempt was ever made.
    begun: bool,
    /// Over how long all clients come back, where this one does: it opens one link in as much time.
    window: Time,
    /// When it may open the next beside the one that works.
    rises_at: Time,
    /// The gateway asked for the next move.
    is_asked: bool,
    /// The link that is late with something, and the one that was hedged for it.
    overdue: Option<LinkKey>,
    hedged: Option<LinkKey>,
    pub(crate) pace: Pace,
    pub(crate) history: History,
    random: Random,
}

impl Negotiation {
    pub(crate) fn new(config: &Config, verdict: Option<Verdict>, seed: u64) -> Self {
        let mut candidates = Candidates::new(&config.transports, config.url.starts_with("https:"));
        let verdict = verdict.filter(|verdict| candidates.listed(verdict.transport).is_some());
        let transport = verdict.as_ref().map(|verdict| verdict.transport);
        verdict.and_then(|verdict| verdict.offer).into_iter().for_each(|offer| candidates.recall(offer));
        Self {
            negotiates: config.negotiate,
            timing: config.timing.clone(),
            candidates,
            uses: BTreeMap::new(),
            mode: Mode::Resting,
            carried: None,
            verdict: transport,
            news: None,
            why: "".into(),
            rotation: 0,
            begun: false,
            window: Time::ZERO,
            rises_at: Time::ZERO,
            is_asked: false,
            overdue: None,
            hedged: None,
            pace: Pace::default(),
            history: History::default(),
            random: Random::from_seed(seed),
        }
    }

    /// Begins a round: the session has no link, and one is due now. `window` is over how long all clients that lost this
    /// gateway come back.
    pub(crate) fn attempt(&mut self, now: Time, is_known: bool, window: Time) {
        let first = !std::mem::replace(&mut self.begun, true);
        let remembered = self.verdict.and_then(|transport| self.candidates.listed(transport));
        let order = self.candidates.order();
        // A gateway that a fleet comes back to is slow; it has enough to do with one connection each.
        let join = self.pace.silence(self.timing.join_back).max(window);
        let (round, lead) = match remembered.filter(|_| first && !is_known) {
            _ if !self.negotiates => (Round::Alone, self.next_in_turn(&order)),
            Some(remembered) => {
                (Round::Led { join: self.timing.join_first, is_first: true }, Some(remembered))
            }
            None if first && !is_known => {
                (Round::Cold, self.candidates.polling().or_else(|| order.first().copied()))
            }
            None => (Round::Led { join, is_first: false }, self.next_in_turn(&order)),
        };
        self.window = window;
        self.mode = Mode::Opening { round, lead, joined: false, quiet_since: now };
    }

    /// The lead of a round: what the gateway asked for as it sent us away, or what the session last ran on, unless it is
    /// failing, and a poll, in turn: an event stream costs two connections, and gets through nowhere that a poll does not.
    /// Without either of the two it is the list, one per attempt.
    fn next_in_turn(&self, order: &[Via]) -> Option<Via> {
        let polling = self.candidates.polling().filter(|_| self.negotiates);
        let first = if self.is_asked { order.first().copied() } else { self.carried };
        let first = first.filter(|via| !self.negotiates || !self.candidates.is_failing(*via));
        let mut turns: Vec<Via> = Vec::new();
        let rest = if first.is_some() && polling.is_some() { &[] } else { order };
        for via in first.into_iter().chain(polling).chain(rest.iter().copied()) {
            if !turns.contains(&via) {
                turns.push(via);
            }
        }
        (!turns.is_empty()).then(|| turns[self.rotation % turns.len()])
    }

    /// The next attempt looks further down the list.
    pub(crate) const fn turn(&mut self) {
        self.rotation = self.rotation.wrapping_add(1);
    }

    /// Nothing is wanted until the next [`attempt`](Self::attempt).
    pub(crate) fn rest(&mut self) {
        self.mode = Mode::Resting;
        (self.overdue, self.hedged) = (None, None);
    }

    /// A link was begun.
    pub(crate) fn began(&mut self, now: Time, link: LinkKey, via: Via, carries: bool, greeted: bool) {
        let reached = if greeted { Reached::Greeted } else { Reached::Begun };
        self.rises_at = now + self.window;
        self.uses.insert(link, Use::new(now, via, carries, reached));
    }

    /// A link's handshake is done.
    pub(crate) fn opened(&mut self, now: Time, link: LinkKey) {
        if let Some(used) = self.uses.get_mut(&link)
            && used.reached == Reached::Begun
        {
            used.handshake = now.saturating_sub(used.since);
            used.reach(Reached::Opened, now);
            self.heard(now, link);
        }
    }

    /// A welcome has come down a link.
    pub(crate) fn welcomed(&mut self, now: Time, link: LinkKey) {
        if let Some(used) = self.uses.get_mut(&link)
            && used.reached < Reached::Welcomed
        {
            let took = now.saturating_sub(used.at);
            if used.handshake > Time::ZERO {
                self.pace.measure(took);
            } else {
                // Its hello went with the request, and a new connection may be in it.
                self.pace.measure_at_most(took);
            }
            used.reach(Reached::Welcomed, now);
        }
    }

    /// Something was heard on a link.
    pub(crate) fn heard(&mut self, now: Time, link: LinkKey) {
        if let Some(used) = self.uses.get_mut(&link) {
            used.heard = now;
        }
        self.overdue = self.overdue.filter(|overdue| *overdue != link);
        // It was slow, and nothing came of the poll beside it: it may be hedged again.
        let is_hedging = self.uses.iter().any(|(other, used)| *other != link && used.carries);
        self.hedged = self.hedged.filter(|hedged| *hedged != link || is_hedging);
        if let Mode::Opening { quiet_since, .. } = &mut self.mode
            && self.uses.get(&link).is_some_and(|used| used.carries)
        {
            *quiet_since = now;
        }
    }

    /// A link carries the session, and that is confirmed: whatever carried it before is left.
    pub(crate) fn up(&mut self, now: Time, link: LinkKey) {
        let Some(used) = self.uses.get_mut(&link) else { return };
        let took = now.saturating_sub(used.since);
        let via = used.via;
        used.reach(Reached::Up, now);
        used.carries = true;
        let before = match std::mem::replace(&mut self.mode, Mode::Up { link }) {
            Mode::Up { link: before } if before == link => return,
            Mode::Up { link: before } => Some(before),
            _ => None,
        };
        let why = match before.and_then(|before| Some((before, self.uses.get(&before)?.via))) {
            Some((before, silent)) if self.hedged == Some(before) => {
                format!("{} fell silent", silent.transport)
            }
            Some(_) if self.is_asked => "the gateway asked for it".to_owned(),
            Some((_, before)) => format!("it is proven, and preferred to {}", before.transport),
            None => "it was welcomed first".to_owned(),
        };
        self.history.note(now, via, AttemptOutcome::Proven, took, &why);
        self.why = why.into();
        (self.carried, self.rotation) = (Some(via), 0);
        // Whoever has not said hello yet says it as a probe.
        self.uses
            .values_mut()
            .filter(|used| used.reached < Reached::Greeted)
            .for_each(|used| used.carries = false);
        if let Some(before) = before {
            let (outcome, reason) = if self.hedged == Some(before) {
                (AttemptOutcome::Silent, "what was due did not come, and a poll was answered")
            } else if self.is_asked {
                (AttemptOutcome::Drained, "the gateway asked for the move")
            } else {
                (AttemptOutcome::Preferred, "another is preferred")
            };
            self.ended(now, before, outcome, reason);
        }
        self.is_asked = false;
        if self.rank_of(link) == 0 {
            self.window = Time::ZERO; // it is all the way back
        }
        (self.hedged, self.overdue) = (None, None);
        if via.transport != Transport::Polling && self.candidates.listed(via.transport).is_some() {
            self.verdict = Some(via.transport);
            self.news = Some(self.verdict);
        }
    }

    /// A newer link came to nothing, and an older one carries the session again.
    pub(crate) fn fell_back(&mut self, link: LinkKey) {
        if self.uses.contains_key(&link) {
            self.mode = Mode::Up { link };
        }
    }

    /// A link is over.
    pub(crate) fn ended(&mut self, now: Time, link: LinkKey, outcome: AttemptOutcome, reason: &str) {
        let Some(used) = self.uses.remove(&link) else { return };
        self.overdue = self.overdue.filter(|overdue| *overdue != link);
        self.history.note(now, used.via, outcome, used.took(now), reason);
        if used.is_settled(now, &self.timing) {
            self.candidates.forgive(used.via);
        }
        if outcome == AttemptOutcome::Unsupported {
            self.candidates.withdraw(used.via);
        }
        if !used.is_blamed(now, outcome, &self.timing) {
            return;
        }
        self.candidates.blame(now, used.via, &self.timing, &mut self.random);
        if self.verdict == Some(used.via.transport) && outcome != AttemptOutcome::Drained {
            self.verdict = None;
            self.news = Some(None);
        }
    }

    /// Something that was due on the link that carries the session is late, and it did not answer when asked. It may be
    /// the gateway that is gone: from the poll beside it on, no link is opened within the `window` of the one before.
    pub(crate) fn overdue(&mut self, link: LinkKey, window: Time) {
        (self.overdue, self.window) = (Some(link), window);
    }

    /// The gateway says when a transport may be tried again.
    pub(crate) fn leave_alone(&mut self, via: Via, until: Time) {
        self.candidates.leave_alone(via, until);
    }

    /// The gateway says what is on offer.
    pub(crate) fn offered(&mut self, now: Time, offers: &[TransportOffer]) {
        for via in self.candidates.offer_all(offers) {
            let reason = "the gateway does not offer it";
            self.history.note(now, via, AttemptOutcome::Unsupported, Time::ZERO, reason);
        }
        // A verdict keeps the newest offer.
        if self.verdict.is_some() && !offers.is_empty() {
            self.news = Some(self.verdict);
        }
    }

    /// The gateway asks for one of these, `at` that time: none is probed before. Returns which it is to be.
    pub(crate) fn asked(&mut self, offers: &[TransportOffer], at: Time) -> Option<Via> {
        let named: Vec<_> = offers.iter().filter_map(|offer| Transport::parse(&offer.name)).collect();
        let via = named.iter().find_map(|transport| self.candidates.listed(*transport))?;
        for offer in offers {
            if offer.url.is_some() || !offer.certificate_hashes.is_empty() {
                self.candidates.recall(offer.clone());
            }
        }
        for via in named.iter().filter_map(|transport| self.candidates.listed(*transport)).collect::<Vec<_>>()
        {
            self.candidates.leave_alone(via, at);
        }
        self.candidates.ask_for(named);
        self.is_asked = true;
        Some(via)
    }

    /// The application asks for one by name, and wants to stay on it.
    pub(crate) fn pin(&mut self, via: Via) {
        self.candidates.pin(via);
    }

    /// Another session: what the gateway asked of the last one is over.
    pub(crate) fn begin_anew(&mut self) {
        self.candidates.ask_for(Vec::new());
    }

    /// The network is another one.
    pub(crate) fn network_changed(&mut self) {
        self.candidates.forgive_all();
        self.pace = Pace::default();
        (self.window, self.rises_at) = (Time::ZERO, Time::ZERO);
    }

    /// What the gateway last said of a transport.
    pub(crate) fn offer(&self, via: Via) -> Option<TransportOffer> {
        self.candidates.offer(via)
    }

    /// Whether a link is begun, or waits to say hello, that may still carry a session which has no other.
    pub(crate) fn goes_on(&mut self, advised: bool, alive: impl Fn(LinkKey) -> bool) -> bool {
        self.uses.retain(|link, _| alive(*link));
        let Mode::Opening { .. } = self.mode else { return false };
        if !advised && self.joins_at() == Some(Time::ZERO) {
            return true;
        }
        // Where the gateway has said when to come back, nobody else is sent in before that.
        self.uses.values().any(|used| used.carries || (!advised && used.reached == Reached::Opened))
    }

    /// A verdict to remember, or to forget.
    pub(crate) fn poll_verdict(&mut self, wall: Time) -> Option<Option<Verdict>> {
        let news = self.news.take()?;
        Some(news.map(|transport| {
            let offer = self.candidates.listed(transport).and_then(|via| self.candidates.offer(via));
            Verdict::new(transport, offer, wall)
        }))
    }

    fn rank_of(&self, link: LinkKey) -> usize {
        self.uses.get(&link).map_or(usize::MAX, |used| self.candidates.rank(used.via))
    }
}
