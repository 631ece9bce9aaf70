//! Negotiation end to end: where a session ends up on this network or that, how it moves when the network changes under
//! it, and that nothing of what is said meanwhile is lost, twice, or out of order.

use std::time::Duration;

use throughline_client::{Config, Session, SubscribeFrom, Timing, Transport, Via};

use super::{
    support::{
        fault_plan::Plan,
        front::Front,
        gateway::{TestGateway, quick_sessions},
        udp_proxy::Noise,
        upgrades::Upgrades,
    },
    traffic::{Applied, Heard, Pace, Traffic, news, on, quick},
};

use Transport::{Polling, Sse, WebSocket, WebTransport};

/// How many events come in a row on each transport that a session is to stay on.
const STAY: u64 = 50;

/// A session under way on some network, and all that is said through it.
struct Journey {
    gateway: TestGateway,
    front: Front,
    session: Session,
    traffic: Traffic,
}

impl Journey {
    /// Starts with what the default configuration lists, on a network of which `shape` has made something.
    async fn start(name: &str, plan: Plan, shape: impl FnOnce(&Front)) -> Self {
        Self::start_with(name, plan, shape, Config::new("").transports).await
    }

    async fn start_with(name: &str, plan: Plan, shape: impl FnOnce(&Front), transports: Vec<Via>) -> Self {
        let applied = Applied::default();
        let handler = applied.clone();
        let gateway = TestGateway::start_with_webtransport(|builder| {
            builder.session(quick_sessions()).handler(handler)
        })
        .await;
        let front = Front::start(gateway.address, plan, Plan::peaceful(), Noise::default()).await;
        shape(&front);
        let timing = Timing {
            stagger: Duration::from_millis(50),
            reprobe: Duration::from_millis(100),
            reprobe_cap: Duration::from_millis(300),
            ..quick()
        };
        let config = Config { transports, timing, ..Config::new(front.url()) };
        let (session, events) = Session::connect(config).expect("a legal configuration");
        session.subscribe(news(), SubscribeFrom::Now).await.expect("everybody may");
        let all = (session.clone(), events);
        let traffic = Traffic::begin(name, gateway.handle.clone(), applied, all, Pace::STEADY);
        Self { gateway, front, session, traffic }
    }

    /// Waits until the session is on a transport, and stays there while some events come.
    async fn gets_to(&self, transport: Transport) {
        let mut stayed = 0;
        while stayed < STAY {
            on(&self.session, transport).await;
            self.traffic.flows(1).await;
            stayed = if self.now() == Some(transport) { stayed + 1 } else { 0 };
        }
    }

    /// What the session is on.
    fn now(&self) -> Option<Transport> {
        self.session.state().borrow().via.map(|via| via.transport)
    }

    /// The transports that it went by, one after the other.
    async fn end(self) -> Vec<Transport> {
        self.traffic.stop();
        let Heard { path, .. } = self.traffic.finish().await;
        self.session.close().await;
        let mut went: Vec<_> = path.into_iter().map(|via| via.transport).collect();
        went.dedup();
        went
    }
}

/// Whether a session began on the first, ended on the last, and was on those between in this order. It may have been
/// elsewhere too: where the machine stands still for a while, a link that works is doubted and left.
fn went_by(went: &[Transport], steps: &[Transport]) -> bool {
    let mut way = went.iter();
    went.last() == steps.last()
        && went.first() == steps.first()
        && steps.iter().all(|step| way.any(|transport| transport == step))
}

#[tokio::test]
async fn with_everything_open_a_first_start_opens_by_a_poll_and_ends_on_webtransport() {
    let journey = Journey::start("open", Plan::peaceful(), |_| {}).await;
    journey.gets_to(WebTransport).await;
    let went = journey.end().await;
    assert!(went_by(&went, &[Polling, WebTransport]), "{went:?}");
}

#[tokio::test]
async fn where_udp_is_dropped_it_ends_on_a_websocket_and_moves_up_when_udp_passes() {
    let journey = Journey::start("no UDP", Plan::peaceful(), |front| front.udp.block()).await;
    journey.gets_to(WebSocket).await;
    journey.front.udp.heal();
    journey.gets_to(WebTransport).await;
    let went = journey.end().await;
    assert!(went_by(&went, &[Polling, WebSocket, WebTransport]), "{went:?}");
}

#[tokio::test]
async fn where_upgrades_are_refused_too_it_ends_on_server_sent_events_and_moves_up_step_by_step() {
    let plan = Plan { upgrades: Upgrades::Refuse, ..Plan::peaceful() };
    let journey = Journey::start("no UDP, no upgrade", plan, |front| front.udp.block()).await;
    journey.gets_to(Sse).await;
    assert!(journey.front.tcp.counters().refused > 0, "a WebSocket was tried");
    journey.front.tcp.follow(Plan::peaceful());
    journey.gets_to(WebSocket).await;
    journey.front.udp.heal();
    journey.gets_to(WebTransport).await;
    let went = journey.end().await;
    assert!(went_by(&went, &[Polling, Sse, WebSocket, WebTransport]), "{went:?}");
}

#[tokio::test]
async fn where_nothing_else_is_left_it_stays_on_polls_and_moves_up_when_something_is() {
    let plan = Plan { upgrades: Upgrades::Swallow, ..Plan::peaceful() };
    let transports = vec![Via::bincode(WebTransport), Via::json(WebSocket), Via::bincode(Polling)];
    let journey = Journey::start_with("polls alone", plan, |front| front.udp.block(), transports).await;
    journey.front.tcp.until(|counters| counters.swallows >= 2).await;
    journey.gets_to(Polling).await;
    journey.front.udp.heal();
    journey.gets_to(WebTransport).await;
    let went = journey.end().await;
    assert!(went_by(&went, &[Polling, WebTransport]) && !went.contains(&WebSocket), "{went:?}");
}

#[tokio::test]
async fn when_a_flow_falls_silent_in_the_middle_the_session_goes_on_and_is_back_when_udp_passes() {
    let journey = Journey::start("UDP dropped", Plan::peaceful(), |_| {}).await;
    journey.gets_to(WebTransport).await;
    journey.front.udp.block();
    journey.gets_to(WebSocket).await;
    journey.front.udp.heal();
    journey.gets_to(WebTransport).await;
    let went = journey.end().await;
    // The silent flow is hedged by a poll.
    assert!(went_by(&went, &[Polling, WebTransport, Polling, WebSocket, WebTransport]), "{went:?}");
}

#[tokio::test]
async fn a_move_that_the_gateway_asks_for_is_made_and_stays() {
    let journey = Journey::start("asked", Plan::peaceful(), |_| {}).await;
    journey.gets_to(WebTransport).await;
    let id = journey.session.state().borrow().session.expect("it is up");
    for to in [WebSocket, Polling] {
        let asked = journey.gateway.handle.migrate(id, &[to.name()], Duration::ZERO, Duration::ZERO);
        asked.expect("it is on offer, and there is a link to ask on");
        journey.gets_to(to).await;
    }
    let went = journey.end().await;
    assert!(went_by(&went, &[Polling, WebTransport, WebSocket, Polling]), "{went:?}");
}
