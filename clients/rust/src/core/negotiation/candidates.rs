//! What could carry the session: in which order it is wanted, what the gateway offers, and how each has done.
//!
//! A transport that failed is left alone for a while, twice as long each time, up to a cap. It has to live for as long as
//! [`settled`](crate::Timing::settled) before its failures are forgotten: one that is proven and soon falls silent,
//! again and again, costs its session less each time.

use throughline_wire::frame::TransportOffer;

use crate::{
    config::{Timing, Transport, Via},
    core::{Time, backoff::part_of, random::Random},
};

/// What is known of a transport's being there.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Offered {
    /// The gateway has not said.
    Unknown,
    Yes(TransportOffer),
    No,
}

/// One way to carry the session.
#[derive(Clone, Debug)]
struct Candidate {
    via: Via,
    offered: Offered,
    /// How often in a row it failed, since it last lived long enough.
    failures: u32,
    not_before: Time,
}

/// All ways to carry the session.
#[derive(Clone, Debug)]
pub(crate) struct Candidates {
    /// In the application's order.
    listed: Vec<Candidate>,
    /// What the application asked for by name.
    pinned: Option<Via>,
    /// What the gateway asked for, in its order.
    asked: Vec<Transport>,
    /// Whether the gateway is called by `https`, so that WebTransport needs no offer.
    secure: bool,
}

impl Candidates {
    pub(crate) fn new(transports: &[Via], secure: bool) -> Self {
        let candidate = |via: &Via| Candidate {
            via: *via,
            offered: Offered::Unknown,
            failures: 0,
            not_before: Time::ZERO,
        };
        Self { listed: transports.iter().map(candidate).collect(), pinned: None, asked: Vec::new(), secure }
    }

    /// What may be tried, best first: what the application asked for, what the gateway asked for, what is listed.
    pub(crate) fn order(&self) -> Vec<Via> {
        let asked = self.asked.iter().filter_map(|transport| self.listed(*transport));
        let listed = self.listed.iter().map(|candidate| candidate.via);
        let mut order: Vec<Via> = self.pinned.into_iter().collect();
        for via in asked.chain(listed) {
            if !order.contains(&via) && self.may_try(via) {
                order.push(via);
            }
        }
        if order.is_empty() {
            // Nothing else is wanted: then it is tried, whatever was said of it.
            order.extend(self.listed.iter().map(|candidate| candidate.via));
        }
        order
    }

    /// Its place in the order; past the end where it has none.
    pub(crate) fn rank(&self, via: Via) -> usize {
        self.order().iter().position(|other| *other == via).unwrap_or(usize::MAX)
    }

    /// Long-polling, where it may be used.
    pub(crate) fn polling(&self) -> Option<Via> {
        self.order().into_iter().find(|via| via.transport == Transport::Polling)
    }

    /// What the application listed of this transport.
    pub(crate) fn listed(&self, transport: Transport) -> Option<Via> {
        self.listed.iter().map(|candidate| candidate.via).find(|via| via.transport == transport)
    }

    /// What the gateway last said of it.
    pub(crate) fn offer(&self, via: Via) -> Option<TransportOffer> {
        match self.of(via.transport).map(|candidate| &candidate.offered) {
            Some(Offered::Yes(offer)) => Some(offer.clone()),
            _ => None,
        }
    }

    /// When it may be tried again.
    pub(crate) fn not_before(&self, via: Via) -> Time {
        self.of(via.transport).map_or(Time::ZERO, |candidate| candidate.not_before)
    }

    /// Whether it failed lately.
    pub(crate) fn is_failing(&self, via: Via) -> bool {
        self.of(via.transport).is_some_and(|candidate| candidate.failures > 0)
    }

    /// The application asks for this one by name.
    pub(crate) fn pin(&mut self, via: Via) {
        self.pinned = Some(via);
    }

    /// The gateway asks for these, in this order; nothing undoes it but another such word, or another session.
    pub(crate) fn ask_for(&mut self, transports: Vec<Transport>) {
        self.asked = transports;
    }

    /// The gateway says what is on offer. Returns what was listed and is not.
    pub(crate) fn offer_all(&mut self, offers: &[TransportOffer]) -> Vec<Via> {
        let mut missing = Vec::new();
        // A gateway that names nothing has said nothing.
        for candidate in self.listed.iter_mut().filter(|_| !offers.is_empty()) {
            let offer = offers.iter().find(|offer| *offer.name == *candidate.via.transport.name());
            let offered = offer.cloned().map_or(Offered::No, Offered::Yes);
            if offered == Offered::No && candidate.offered != Offered::No {
                missing.push(candidate.via);
            }
            candidate.offered = offered;
        }
        missing
    }

    /// An offer that is remembered from an earlier session.
    pub(crate) fn recall(&mut self, offer: TransportOffer) {
        for candidate in &mut self.listed {
            if *offer.name == *candidate.via.transport.name() {
                candidate.offered = Offered::Yes(offer.clone());
            }
        }
    }

    /// It turned out not to be there: it is not tried until it is offered again.
    pub(crate) fn withdraw(&mut self, via: Via) {
        if let Some(candidate) = self.of_mut(via.transport) {
            candidate.offered = Offered::No;
        }
    }

    /// It failed: it is left alone for a while.
    pub(crate) fn blame(&mut self, now: Time, via: Via, timing: &Timing, random: &mut Random) {
        let draw = random.next();
        let Some(candidate) = self.of_mut(via.transport) else { return };
        let doubled = timing.reprobe * (1 << candidate.failures.min(16));
        let wait = doubled.min(timing.reprobe_cap.max(timing.reprobe));
        candidate.failures = candidate.failures.saturating_add(1);
        // Jittered by a quarter, so that what failed together is not tried together.
        let quarter = part_of(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) / 4, draw);
        candidate.not_before = now + wait.saturating_sub(Time::from_millis(quarter));
    }

    /// The gateway says that it is not to be tried before then.
    pub(crate) fn leave_alone(&mut self, via: Via, until: Time) {
        if let Some(candidate) = self.of_mut(via.transport) {
            candidate.not_before = candidate.not_before.max(until);
        }
    }

    /// It lived for long: its failures are forgotten.
    pub(crate) fn forgive(&mut self, via: Via) {
        if let Some(candidate) = self.of_mut(via.transport) {
            (candidate.failures, candidate.not_before) = (0, Time::ZERO);
        }
    }

    /// The network is another one: nothing that was learnt of it holds any more.
    pub(crate) fn forgive_all(&mut self) {
        for candidate in &mut self.listed {
            (candidate.failures, candidate.not_before) = (0, Time::ZERO);
        }
    }

    fn may_try(&self, via: Via) -> bool {
        match self.of(via.transport).map(|candidate| &candidate.offered) {
            Some(Offered::No) => false,
            // Its certificate is in the offer, unless it is one that everybody trusts.
            Some(Offered::Unknown) => via.transport != Transport::WebTransport || self.secure,
            Some(Offered::Yes(_)) | None => true,
        }
    }

    fn of(&self, transport: Transport) -> Option<&Candidate> {
        self.listed.iter().find(|candidate| candidate.via.transport == transport)
    }

    fn of_mut(&mut self, transport: Transport) -> Option<&mut Candidate> {
        self.listed.iter_mut().find(|candidate| candidate.via.transport == transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::session::testing::{POLLING, SSE, WEBSOCKET};

    const WEBTRANSPORT: Via = Via::json(Transport::WebTransport);

    fn offer(name: &str) -> TransportOffer {
        TransportOffer { name: name.into(), url: None, certificate_hashes: Vec::new() }
    }

    fn all() -> Candidates {
        Candidates::new(&[WEBTRANSPORT, WEBSOCKET, SSE, POLLING], false)
    }

    #[test]
    fn web_transport_waits_for_its_offer_unless_the_address_is_https() {
        let mut candidates = all();
        assert_eq!(candidates.order(), [WEBSOCKET, SSE, POLLING]);
        candidates.recall(offer("webtransport"));
        assert_eq!(candidates.order(), [WEBTRANSPORT, WEBSOCKET, SSE, POLLING]);
        assert_eq!(Candidates::new(&[WEBTRANSPORT], false).order(), [WEBTRANSPORT], "nothing else is wanted");
        assert_eq!(Candidates::new(&[WEBTRANSPORT, POLLING], true).order(), [WEBTRANSPORT, POLLING]);
    }

    #[test]
    fn what_is_not_offered_is_not_tried_and_is_told_once() {
        let mut candidates = all();
        let offers = [offer("websocket"), offer("polling")];
        assert_eq!(candidates.offer_all(&offers), [WEBTRANSPORT, SSE]);
        assert_eq!(candidates.order(), [WEBSOCKET, POLLING]);
        assert!(candidates.offer_all(&offers).is_empty());
        assert!(candidates.offer_all(&[]).is_empty(), "a gateway that names nothing has said nothing");
    }

    #[test]
    fn what_is_asked_for_comes_first() {
        let mut candidates = all();
        candidates.ask_for(vec![Transport::Polling, Transport::Sse]);
        assert_eq!(candidates.order(), [POLLING, SSE, WEBSOCKET]);
        candidates.pin(WEBSOCKET);
        assert_eq!(candidates.order(), [WEBSOCKET, POLLING, SSE]);
    }

    #[test]
    fn a_failure_is_left_alone_twice_as_long_each_time_up_to_the_cap() {
        let (mut candidates, timing) = (all(), Timing::default());
        let mut random = Random::from_seed(1);
        for n in 0..10 {
            candidates.blame(Time::ZERO, WEBSOCKET, &timing, &mut random);
            let longest = (timing.reprobe * (1 << n)).min(timing.reprobe_cap);
            let wait = candidates.not_before(WEBSOCKET);
            assert!(wait <= longest && wait >= longest * 3 / 4, "{n}: {wait:?}");
        }
        candidates.forgive(WEBSOCKET);
        assert!(!candidates.is_failing(WEBSOCKET));
        assert_eq!(candidates.not_before(WEBSOCKET), Time::ZERO);
    }
}
