//! What to do next: the table of `docs/negotiation.md`.

use throughline_wire::AttemptOutcome;

use super::{Mode, Negotiation, Round, uses::Reached};
use crate::{
    config::{Transport, Via},
    core::{Time, names::LinkKey},
};

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

impl Negotiation {
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
        if let Some(expired) = self.give_up(now) {
            return Some(expired);
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
        if let Some(expired) = self.give_up(now) {
            return Some(expired);
        }
        let (via, at) = self.next_probe()?;
        (at <= now).then_some(Decision::Probe(via))
    }

    /// When there is something to decide though nothing happens.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let is_cold = matches!(self.mode, Mode::Opening { round: Round::Cold, .. });
        let probes = is_cold || matches!(self.mode, Mode::Up { .. });
        let next = self.next_probe().filter(|_| probes).map(|(_, at)| at);
        let expires = self.uses.values().filter_map(|used| used.expires_at(&self.timing));
        next.into_iter().chain(self.joins_at()).chain(expires).min()
    }

    fn greet(&mut self, now: Time, link: LinkKey, attach: bool) -> Decision {
        if let Some(used) = self.uses.get_mut(&link) {
            used.reach(Reached::Greeted, now);
            used.carries = attach;
        }
        Decision::Greet { link, attach }
    }

    /// When a poll joins a lead that stays silent.
    pub(super) fn joins_at(&self) -> Option<Time> {
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
        let busy = self.uses.values().filter_map(|used| used.busy_until(&self.timing));
        let earliest = busy.max().unwrap_or(Time::ZERO).max(self.rises_at);
        order[..better]
            .iter()
            .filter(|via| !is_used(**via))
            .filter(|via| !is_opening || via.is_duplex())
            .map(|via| (*via, self.candidates.not_before(*via)))
            .min_by_key(|(_, not_before)| *not_before)
            .map(|(via, not_before)| (via, earliest.max(not_before)))
    }

    /// Drops the first probe whose patience is over.
    fn give_up(&self, now: Time) -> Option<Decision> {
        let is_over = |at: Option<Time>| at.is_some_and(|at| at <= now);
        let expired = self.uses.iter().find(|(_, used)| is_over(used.expires_at(&self.timing)));
        expired.map(|(link, used)| Decision::Drop { link: *link, outcome: used.expiry() })
    }
}
