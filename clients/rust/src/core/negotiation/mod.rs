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

pub(crate) mod candidates;
pub(crate) mod history;
pub(crate) mod pace;
#[cfg(test)]
mod tests;
pub(crate) mod verdict;

use std::{collections::BTreeMap, sync::Arc};

use throughline_wire::{AttemptOutcome, frame::TransportOffer};

use super::{Time, names::LinkKey, random::Random};
use crate::config::{Config, Timing, Transport, Via};
use candidates::Candidates;
use history::History;
use pace::Pace;
use verdict::Verdict;

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    /// Open a link to carry the session: its hello attaches. A poll beside a link that works is kept beside it until
    /// it is answered.
    Carry(Via),
    /// Open a link beside the one that works, or will: its hello does not attach.
    Probe(Via),
    /// Say hello on a link whose handshake is done.
    Greet { link: LinkKey, attach: bool },
    /// Give a link up, which ended like this.
    Drop { link: LinkKey, outcome: AttemptOutcome },
}

/// How far a link has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Reached {
    /// It is being opened.
    Begun,
    /// Its handshake is done, and nothing said.
    Opened,
    /// Its hello is said.
    Greeted,
    /// A welcome has come down it.
    Welcomed,
    /// It carries the session, and that was confirmed.
    Up,
}

/// A link, as far as it matters here.
#[derive(Clone, Copy, Debug)]
struct Use {
    via: Via,
    /// Whether its hello attaches.
    carries: bool,
    since: Time,
    reached: Reached,
    /// When it got there.
    at: Time,
    /// How long its handshake took.
    handshake: Time,
    /// When something was last heard on it.
    heard: Time,
}

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
        let began = Use { via, carries, since: now, reached, at: now, handshake: Time::ZERO, heard: now };
        self.uses.insert(link, began);
    }

    /// A link's handshake is done.
    pub(crate) fn opened(&mut self, now: Time, link: LinkKey) {
        if let Some(used) = self.uses.get_mut(&link)
            && used.reached == Reached::Begun
        {
            (used.reached, used.at, used.handshake) = (Reached::Opened, now, now.saturating_sub(used.since));
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
            (used.reached, used.at) = (Reached::Welcomed, now);
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
        (used.reached, used.at, used.carries) = (Reached::Up, now, true);
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
        let was_up = used.reached == Reached::Up;
        let took = now.saturating_sub(if was_up { used.at } else { used.since });
        self.history.note(now, used.via, outcome, took, reason);
        if was_up && took >= self.timing.settled {
            self.candidates.forgive(used.via);
        }
        use AttemptOutcome as O;
        let blamed = match outcome {
            O::Late | O::Preferred | O::Proven => false,
            O::Unsupported => {
                self.candidates.withdraw(used.via);
                false
            }
            // A gateway that stops is no fault of the transport; a probe that it sends away must wait all the same.
            O::Drained => !was_up && !used.carries,
            O::Silent if was_up => true,
            // What broke after a long life is not to blame, nor what failed while nothing else worked; nor what had been idle
            // for as long as it would be left alone: somebody on the way cuts idle connections of every kind.
            _ if was_up => {
                took < self.timing.settled && now.saturating_sub(used.heard) < self.timing.reprobe
            }
            _ => !used.carries,
        };
        if !blamed || used.via.transport == Transport::Polling {
            return;
        }
        self.candidates.blame(now, used.via, &self.timing, &mut self.random);
        if self.verdict == Some(used.via.transport) && outcome != O::Drained {
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

    /// The gateway asks for one of these. Returns which it is to be.
    pub(crate) fn asked(&mut self, offers: &[TransportOffer]) -> Option<Via> {
        let named: Vec<_> = offers.iter().filter_map(|offer| Transport::parse(&offer.name)).collect();
        let via = named.iter().find_map(|transport| self.candidates.listed(*transport))?;
        for offer in offers {
            if offer.url.is_some() || !offer.certificate_hashes.is_empty() {
                self.candidates.recall(offer.clone());
            }
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

    /// The next thing to do by `now`. `alive` says which links are still there: the others ended without a word.
    pub(crate) fn decide(&mut self, now: Time, alive: impl Fn(LinkKey) -> bool) -> Option<Decision> {
        let gone: Vec<_> = self.uses.keys().copied().filter(|link| !alive(*link)).collect();
        for link in gone {
            if matches!(self.mode, Mode::Up { .. }) {
                self.ended(now, link, AttemptOutcome::Late, "another was faster");
            }
            self.uses.remove(&link);
        }
        match self.mode {
            // One that was never confirmed: there is nothing to keep beside a hedge.
            Mode::Resting | Mode::Opening { .. } if self.overdue.is_some() => {
                self.overdue.take().map(|link| Decision::Drop { link, outcome: AttemptOutcome::Silent })
            }
            Mode::Resting => None,
            Mode::Opening { .. } => self.decide_opening(now),
            Mode::Up { link } => self.decide_up(now, link),
        }
    }

    fn decide_opening(&mut self, now: Time) -> Option<Decision> {
        let joins_at = self.joins_at();
        let Mode::Opening { round, lead, joined, .. } = &mut self.mode else { return None };
        if let Some(via) = lead.take() {
            *joined |= via.transport == Transport::Polling;
            return Some(Decision::Carry(via));
        }
        let is_cold = *round == Round::Cold;
        let is_carried = self.uses.values().any(|used| used.carries);
        let opened = self.uses.iter().filter(|(_, used)| used.reached == Reached::Opened);
        // Best first; a probe waits for the session that a carrier is about to bring, unless there is none.
        let mut opened: Vec<_> = opened.filter(|(_, used)| used.carries || !is_carried).collect();
        opened.sort_by_key(|(_, used)| self.candidates.rank(used.via));
        if let Some(link) = opened.first().map(|(link, _)| **link) {
            return Some(self.greet(now, link, true));
        }
        if joins_at.is_some_and(|at| at <= now) {
            let Mode::Opening { joined, .. } = &mut self.mode else { return None };
            *joined = true;
            return self.candidates.polling().map(Decision::Carry);
        }
        if let Some(link) = self.expired(now) {
            return Some(self.give_up(link));
        }
        let (via, at) = self.next_probe().filter(|_| is_cold)?;
        // Where polling is not wanted, whoever stands first opens the session.
        let has_poll = self.candidates.polling().is_some();
        (at <= now).then_some(if has_poll { Decision::Probe(via) } else { Decision::Carry(via) })
    }

    fn decide_up(&mut self, now: Time, active: LinkKey) -> Option<Decision> {
        let rank = self.rank_of(active);
        if let Some(link) = self.overdue.take() {
            let hedge = self.candidates.polling().filter(|_| self.negotiates && link == active);
            let is_hedged = self.hedged == Some(link);
            return match hedge {
                Some(polling) if !is_hedged => {
                    self.hedged = Some(link);
                    Some(Decision::Carry(polling))
                }
                _ => Some(Decision::Drop { link, outcome: AttemptOutcome::Silent }),
            };
        }
        // Late is what is no better than the link there is, and a stream whose attach another has overtaken: as a probe
        // it may be tried anew. A poll is on its way to take over.
        let late = self.uses.iter().find(|(link, used)| {
            let overtaken = used.carries && used.via.transport != Transport::Polling;
            **link != active && (overtaken || (!used.carries && self.candidates.rank(used.via) > rank))
        });
        if let Some(link) = late.map(|(link, _)| *link) {
            return Some(Decision::Drop { link, outcome: AttemptOutcome::Late });
        }
        let opened = self.uses.iter().find(|(_, used)| used.reached == Reached::Opened);
        if let Some(link) = opened.map(|(link, _)| *link) {
            return Some(self.greet(now, link, false));
        }
        if let Some(link) = self.expired(now) {
            return Some(self.give_up(link));
        }
        let (via, at) = self.next_probe()?;
        (at <= now).then_some(Decision::Probe(via))
    }

    /// When there is something to decide though nothing happens.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let is_cold = matches!(self.mode, Mode::Opening { round: Round::Cold, .. });
        let probes = is_cold || matches!(self.mode, Mode::Up { .. });
        let next = self.next_probe().filter(|_| probes).map(|(_, at)| at);
        let expires = self.uses.values().filter_map(|used| self.expires_at(used));
        next.into_iter().chain(self.joins_at()).chain(expires).min()
    }

    fn greet(&mut self, now: Time, link: LinkKey, attach: bool) -> Decision {
        if let Some(used) = self.uses.get_mut(&link) {
            (used.reached, used.at, used.carries) = (Reached::Greeted, now, attach);
        }
        Decision::Greet { link, attach }
    }

    /// When a poll joins a lead that stays silent.
    fn joins_at(&self) -> Option<Time> {
        let Mode::Opening { round: Round::Led { join, is_first }, lead, joined: false, quiet_since } =
            self.mode
        else {
            return None;
        };
        let has_failed = lead.is_none() && !self.uses.values().any(|used| used.carries);
        self.candidates
            .polling()
            .map(|_| if is_first && has_failed { Time::ZERO } else { quiet_since + join })
    }

    /// The next transport to probe, and when: the better ones, best first, each a little after the one before. Of those
    /// whose time has come what failed lately goes last.
    fn next_probe(&self) -> Option<(Via, Time)> {
        if !self.negotiates {
            return None;
        }
        let order = self.candidates.order();
        let better = match self.mode {
            // While its link is gone, the poll beside it is all that goes on.
            Mode::Up { link } if !self.uses.contains_key(&link) => 0,
            Mode::Up { link } => order.len().min(self.rank_of(link)),
            // The token of the session, which an event stream has to state, is not there yet.
            _ => order.len(),
        };
        let is_opening = matches!(self.mode, Mode::Opening { .. });
        let is_used = |via: Via| self.uses.values().any(|used| used.via.transport == via.transport);
        let earliest = self.rises_at.max(self.staggered_until());
        order[..better]
            .iter()
            .filter(|via| !is_used(**via))
            .filter(|via| !is_opening || via.is_duplex())
            .map(|via| (*via, self.candidates.not_before(*via)))
            .min_by_key(|(_, not_before)| *not_before)
            .map(|(via, not_before)| (via, earliest.max(not_before)))
    }

    /// Until when the probes that are under way have the network to themselves.
    fn staggered_until(&self) -> Time {
        let is_probe = |used: &&Use| used.reached < Reached::Up && used.via.transport != Transport::Polling;
        let probes = self.uses.values().filter(is_probe);
        probes.map(|used| used.at + self.timing.stagger.max(used.handshake)).max().unwrap_or(Time::ZERO)
    }

    /// The first probe whose patience is over.
    fn expired(&self, now: Time) -> Option<LinkKey> {
        let expired = |used: &Use| self.expires_at(used).is_some_and(|at| at <= now);
        self.uses.iter().find(|(_, used)| expired(used)).map(|(link, _)| *link)
    }

    fn expires_at(&self, used: &Use) -> Option<Time> {
        if used.carries {
            return None;
        }
        match used.reached {
            // Its transport gives up by itself after as long, and knows better why.
            Reached::Begun => Some(used.at + self.timing.probe + self.timing.stagger),
            // It waits for the session's token.
            Reached::Opened | Reached::Up => None,
            Reached::Greeted | Reached::Welcomed => Some(used.at + self.timing.probe),
        }
    }

    fn give_up(&self, link: LinkKey) -> Decision {
        let reached = self.uses.get(&link).map(|used| (used.reached, used.via.transport));
        let outcome = match reached {
            Some((Reached::Begun, Transport::WebTransport)) => AttemptOutcome::Blocked,
            Some((Reached::Begun, _)) => AttemptOutcome::Hung,
            Some((Reached::Welcomed, _)) => AttemptOutcome::Buffered,
            _ => AttemptOutcome::Silent,
        };
        Decision::Drop { link, outcome }
    }

    fn rank_of(&self, link: LinkKey) -> usize {
        self.uses.get(&link).map_or(usize::MAX, |used| self.candidates.rank(used.via))
    }
}
