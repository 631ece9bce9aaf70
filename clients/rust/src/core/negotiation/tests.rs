//! The decisions alone, in a world of four transports that break and heal.

use std::collections::BTreeMap;

use proptest::prelude::*;
use throughline_wire::{AttemptOutcome, frame::TransportOffer};

use super::*;
use crate::core::session::testing::{POLLING, SSE, WEBSOCKET, WEBTRANSPORT};

const ROUND_TRIP: Time = Time::from_millis(50);
const ALL: [Via; 4] = [WEBTRANSPORT, WEBSOCKET, SSE, POLLING];

/// How a transport does at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    Works,
    /// Answered, and the answer is no.
    Refused,
    /// Never answered.
    Hangs,
    /// Its handshake is answered, and nothing more comes down.
    Swallows,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    Opened,
    Welcomed,
    Proven,
    Refused,
    /// The link that carries the session is found to be late.
    Overdue,
    /// The wait for the next attempt is over.
    Attempt,
}

/// A world around the decisions: what the conductor, the network and the gateway do, as simple as it may be.
struct World {
    negotiation: Negotiation,
    now: Time,
    health: BTreeMap<&'static str, Health>,
    links: BTreeMap<LinkKey, Via>,
    active: Option<LinkKey>,
    /// Whether there is a session.
    is_known: bool,
    next: u32,
    agenda: Vec<(Time, LinkKey, Event)>,
    decisions: Vec<(Time, Decision)>,
}

impl World {
    fn new(healths: [Health; 3]) -> Self {
        let mut config = Config::new("https://gateway");
        config.transports = ALL.to_vec();
        let names = ["webtransport", "websocket", "sse"];
        let mut health: BTreeMap<_, _> = names.into_iter().zip(healths).collect();
        health.insert("polling", Health::Works);
        let mut world = Self {
            negotiation: Negotiation::new(&config, None, 1),
            now: Time::ZERO,
            health,
            links: BTreeMap::new(),
            active: None,
            is_known: false,
            next: 0,
            agenda: vec![(Time::ZERO, LinkKey(u32::MAX), Event::Attempt)],
            decisions: Vec::new(),
        };
        world.pass(Time::ZERO);
        world
    }

    fn on(&self) -> Option<Via> {
        self.active.and_then(|link| self.links.get(&link)).copied()
    }

    fn health(&self, via: Via) -> Health {
        self.health[via.transport.name()]
    }

    fn later(&mut self, after: Time, link: LinkKey, event: Event) {
        self.agenda.push((self.now + after, link, event));
    }

    fn open(&mut self, via: Via, carries: bool) {
        let link = LinkKey(self.next);
        self.next += 1;
        self.links.insert(link, via);
        self.negotiation.began(self.now, link, via, carries, !via.is_duplex());
        match (self.health(via), via.is_duplex()) {
            (Health::Refused, _) => self.later(ROUND_TRIP, link, Event::Refused),
            (Health::Hangs, _) => {}
            (_, true) => self.later(2 * ROUND_TRIP, link, Event::Opened),
            (Health::Works, false) => self.later(2 * ROUND_TRIP, link, Event::Welcomed),
            (Health::Swallows, false) => {}
        }
    }

    fn end(&mut self, link: LinkKey, outcome: AttemptOutcome) {
        self.links.remove(&link);
        self.negotiation.ended(self.now, link, outcome, "");
        if self.active == Some(link) {
            self.active = None;
        }
        let links = &self.links;
        if self.active.is_none() && !self.negotiation.goes_on(false, |link| links.contains_key(&link)) {
            self.links.clear();
            self.negotiation.turn();
            self.negotiation.rest();
            self.later(Time::from_millis(500), LinkKey(u32::MAX), Event::Attempt);
        }
    }

    fn happen(&mut self, link: LinkKey, event: Event) {
        if event == Event::Attempt {
            return self.negotiation.attempt(self.now, self.is_known, Time::ZERO);
        }
        let Some(via) = self.links.get(&link).copied() else { return };
        match event {
            Event::Opened => self.negotiation.opened(self.now, link),
            Event::Welcomed => {
                self.negotiation.welcomed(self.now, link);
                let attaches = via.transport == Transport::Polling
                    || self.negotiation.uses.get(&link).is_some_and(|used| used.carries);
                if attaches { self.up(link) } else { self.later(ROUND_TRIP, link, Event::Proven) }
            }
            Event::Proven => self.up(link),
            Event::Refused => self.end(link, AttemptOutcome::Refused),
            // It answered after all, where it works again by then.
            Event::Overdue if self.health(via) == Health::Works => self.negotiation.heard(self.now, link),
            Event::Overdue if self.active == Some(link) => self.negotiation.overdue(link, Time::ZERO),
            Event::Overdue | Event::Attempt => {}
        }
    }

    fn up(&mut self, link: LinkKey) {
        let before = self.active.replace(link).filter(|before| *before != link);
        self.is_known = true;
        self.negotiation.up(self.now, link);
        before.map(|before| self.links.remove(&before));
        if self.health(self.links[&link]) != Health::Works {
            self.later(Time::from_millis(1_500), link, Event::Overdue);
        }
    }

    fn decide(&mut self) {
        for n in 0.. {
            assert!(n < 20, "spins: {:?}", &self.decisions[self.decisions.len() - 20..]);
            let links = &self.links;
            let Some(decision) = self.negotiation.decide(self.now, |link| links.contains_key(&link)) else {
                break;
            };
            self.decisions.push((self.now, decision));
            match decision {
                Decision::Carry(via) => self.open(via, true),
                Decision::Probe(via) => {
                    assert_ne!(via, POLLING, "a poll attaches by itself");
                    self.open(via, false);
                }
                Decision::Greet { link, attach } => {
                    assert!(
                        !attach || self.active.is_none(),
                        "only a client without a link attaches by hello"
                    );
                    if self.health(self.links[&link]) == Health::Works {
                        self.later(ROUND_TRIP, link, Event::Welcomed);
                    }
                }
                Decision::Drop { link, outcome } => {
                    let dead = self.active != Some(link) || self.health(self.links[&link]) != Health::Works;
                    assert!(dead, "a link that works is never given up: {:?}", self.on());
                    self.end(link, outcome);
                }
            }
        }
        let deadline = self.negotiation.deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "{deadline:?} at {:?}", self.now);
    }

    /// Lets time pass, event by event and deadline by deadline.
    fn pass(&mut self, time: Time) {
        let until = self.now + time;
        loop {
            self.agenda.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
            let event = self.agenda.last().map(|(at, ..)| *at);
            let next = event.into_iter().chain(self.negotiation.deadline()).min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.now = at.max(self.now);
            while self.agenda.last().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, link, event)) = self.agenda.pop() else { break };
                self.happen(link, event);
            }
            self.decide();
        }
        self.now = until;
    }

    /// A transport breaks or heals; a link that was on it is late a while later.
    fn set(&mut self, name: &'static str, health: Health) {
        self.health.insert(name, health);
        if let Some(link) = self.active
            && self.links[&link].transport.name() == name
            && health != Health::Works
        {
            self.later(Time::from_millis(1_500), link, Event::Overdue);
        }
    }
}

fn health() -> impl Strategy<Value = Health> {
    prop_oneof![Just(Health::Works), Just(Health::Refused), Just(Health::Hangs), Just(Health::Swallows)]
}

/// Until a session that can poll is up, whatever else is blocked.
const UP_WITHIN: Time = Time::from_millis(100);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_first_start_is_up_as_fast_as_a_poll_whatever_is_blocked(healths in [health(), health(), health()]) {
        let mut world = World::new(healths);
        world.pass(UP_WITHIN);
        prop_assert!(world.active.is_some());
    }

    #[test]
    fn a_session_that_can_poll_is_never_stuck_and_heals_to_the_best(
        first in [health(), health(), health()],
        changes in proptest::collection::vec((0_u64..20_000, 0..3_usize, health()), 0..40),
    ) {
        let mut world = World::new(first);
        for (wait, which, health) in changes {
            world.set(["webtransport", "websocket", "sse"][which], health);
            // Found late, hedged, and answered: or the next attempt's poll is.
            world.pass(Time::from_millis(wait));
        }
        world.pass(Time::from_secs(8));
        prop_assert!(world.active.is_some(), "stuck: {:?}", world.negotiation);
        for name in ["webtransport", "websocket", "sse"] {
            world.set(name, Health::Works);
        }
        let interval = world.negotiation.timing.reprobe_cap + world.negotiation.timing.probe;
        world.pass(interval + Time::from_secs(1));
        let last = world.decisions.iter().rev().take(14).rev().collect::<Vec<_>>();
        prop_assert_eq!(world.on(), Some(WEBTRANSPORT), "at {:?}: {:?} {:?}", world.now, last, world.negotiation.candidates);
    }

    #[test]
    fn what_is_broken_for_long_is_asked_for_less_and_less(healths in [health(), health(), health()]) {
        let mut world = World::new(healths);
        world.pass(Time::from_secs(600));
        let early = world.decisions.len();
        world.pass(Time::from_secs(600));
        // Three transports, each at most once in three quarters of the cap, with what it takes to give one up.
        prop_assert!(world.decisions.len() - early <= 3 * 3 * 14, "{}", world.decisions.len() - early);
    }
}

#[test]
fn probes_are_staggered_best_first_and_a_failure_lets_the_next_begin() {
    let mut world = World::new([Health::Hangs, Health::Works, Health::Works]);
    world.pass(Time::from_millis(249));
    assert_eq!(world.on(), Some(POLLING));
    let begun = |world: &World| world.links.values().copied().collect::<Vec<_>>();
    assert_eq!(begun(&world), [POLLING, WEBTRANSPORT]);
    world.pass(Time::from_millis(1));
    assert_eq!(begun(&world), [POLLING, WEBTRANSPORT, WEBSOCKET]);
    world.pass(Time::from_secs(1));
    assert_eq!(world.on(), Some(WEBSOCKET));
    let mut world = World::new([Health::Refused, Health::Works, Health::Works]);
    world.pass(ROUND_TRIP);
    assert_eq!(begun(&world), [POLLING, WEBSOCKET]);
}

#[test]
fn a_transport_that_is_proven_and_falls_silent_soon_is_left_alone_longer_each_time() {
    let mut world = World::new([Health::Hangs, Health::Works, Health::Hangs]);
    let mut waits = Vec::new();
    for _ in 0..4 {
        world.pass(Time::from_secs(5));
        assert_eq!(world.on(), Some(WEBSOCKET));
        world.set("websocket", Health::Swallows);
        world.pass(Time::from_secs(2));
        assert_eq!(world.on(), Some(POLLING), "hedged");
        world.set("websocket", Health::Works);
        let silent = world.now;
        while world.on() != Some(WEBSOCKET) {
            world.pass(Time::from_millis(100));
        }
        waits.push(world.now - silent);
    }
    assert!(waits.is_sorted() && waits[3] > 4 * waits[0], "{waits:?}");
}

#[test]
fn while_nobody_listens_what_it_ran_on_and_a_poll_take_turns() {
    let mut world = World::new([Health::Refused, Health::Works, Health::Works]);
    world.pass(Time::from_secs(60));
    assert_eq!(world.on(), Some(WEBSOCKET));
    let (now, lost) = (world.now, world.active.expect("a link"));
    let negotiation = &mut world.negotiation;
    negotiation.ended(now, lost, AttemptOutcome::Lost, "cut");
    let leads = (100..105).map(|n| {
        negotiation.rest();
        negotiation.attempt(now, true, Time::ZERO);
        let Some(Decision::Carry(via)) = negotiation.decide(now, |_| true) else { panic!("it comes back") };
        negotiation.began(now, LinkKey(n), via, true, false);
        negotiation.ended(now, LinkKey(n), AttemptOutcome::Refused, "nobody listens");
        negotiation.turn();
        via
    });
    assert_eq!(leads.collect::<Vec<_>>(), [WEBSOCKET, POLLING, WEBSOCKET, POLLING, WEBSOCKET]);
}

#[test]
fn what_the_gateway_asks_for_is_where_the_session_goes_and_stays() {
    let mut world = World::new([Health::Works; 3]);
    world.pass(Time::from_secs(1));
    assert_eq!(world.on(), Some(WEBTRANSPORT));
    let offer = TransportOffer { name: "sse".into(), url: None, certificate_hashes: Vec::new() };
    assert_eq!(world.negotiation.asked(&[offer], world.now), Some(SSE));
    world.open(SSE, false);
    world.pass(Time::from_secs(120));
    assert_eq!(world.on(), Some(SSE), "nothing better is looked for");
    let left = world.negotiation.history.attempts();
    assert!(left.iter().any(|attempt| attempt.outcome == AttemptOutcome::Drained));
}

#[test]
fn what_the_gateway_asks_for_is_not_probed_before_it_is_due() {
    let mut world = World::new([Health::Works; 3]);
    world.pass(Time::from_secs(1));
    let begun = world.decisions.len();
    let offer = TransportOffer { name: "sse".into(), url: None, certificate_hashes: Vec::new() };
    let due = world.now + Time::from_secs(60);
    assert_eq!(world.negotiation.asked(&[offer], due), Some(SSE));
    world.pass(Time::from_millis(59_999));
    assert_eq!(world.decisions[begun..], []);
    world.pass(Time::from_secs(1));
    assert_eq!(world.on(), Some(SSE));
}

#[test]
fn another_network_makes_up_for_every_failure() {
    let mut world = World::new([Health::Hangs; 3]);
    world.pass(Time::from_secs(300));
    for name in ["webtransport", "websocket", "sse"] {
        world.set(name, Health::Works);
    }
    world.negotiation.network_changed();
    world.decide();
    world.pass(Time::from_secs(1));
    assert_eq!(world.on(), Some(WEBTRANSPORT));
}
