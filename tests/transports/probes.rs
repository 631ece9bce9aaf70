//! A probe that swallows what comes down never displaces the link that works.
//!
//! The network lets the probe's handshake through, and all that goes up: the gateway has its hello, and says welcome. Of
//! what comes down after the handshake nothing arrives. So nothing is proven, and nothing may move.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use throughline::{
    Handle,
    broker::Pending,
    gateway::{Authenticate, Credentials, Denied, Identity},
    session::{Attempt, Witness},
};
use throughline_client::{
    Config, Session, SubscribeFrom, Timing, Transport, Via,
    wire::{AttemptOutcome, SessionId},
};

use super::{
    support::{
        fault_plan::Plan,
        front::Front,
        gateway::{TestGateway, quick_sessions},
        udp_proxy::Noise,
        upgrades::Upgrades,
    },
    traffic::{Applied, Pace, Traffic, news, on, quick},
};

/// How many probes are swallowed at least, one after the other.
const PROBES: u64 = 3;
/// How many events have to come while probes hang. How many come in the time of one is the machine's.
const FLOWING: u64 = 10;

const POLLING: Via = Via::bincode(Transport::Polling);

#[tokio::test]
async fn a_websocket_that_swallows_what_comes_down_never_displaces_a_poll() {
    swallowed(Via::json(Transport::WebSocket)).await;
}

#[tokio::test]
async fn a_webtransport_session_that_swallows_what_comes_down_never_displaces_a_poll() {
    swallowed(Via::json(Transport::WebTransport)).await;
}

async fn swallowed(probe: Via) {
    let name = format!("{probe} swallowed");
    let (applied, doorkeeper) = (Applied::default(), Doorkeeper::default());
    let (handler, authenticate) = (applied.clone(), doorkeeper.clone());
    let gateway = TestGateway::start_with_webtransport(|builder| {
        builder.session(quick_sessions()).handler(handler).authenticate(authenticate)
    })
    .await;
    let plan = Plan { upgrades: Upgrades::Swallow, ..Plan::peaceful() };
    let front = Front::start(gateway.address, plan, Plan::peaceful(), Noise::default()).await;
    let front = doorkeeper.stand_at(front);
    let config = Config {
        transports: vec![probe, POLLING],
        timing: Timing {
            probe: Duration::from_millis(400),
            reprobe: Duration::from_millis(100),
            reprobe_cap: Duration::from_millis(200),
            ..quick()
        },
        ..Config::new(front.url())
    };
    let (session, events) = Session::connect(config).expect("a legal configuration");
    session.subscribe(news(), SubscribeFrom::Now).await.expect("everybody may");
    let id = session.state().borrow().session.expect("it is subscribed");
    let traffic =
        Traffic::begin(&name, gateway.handle.clone(), applied, (session.clone(), events), Pace::STEADY);
    let looking = tokio::spawn(look_on(gateway.handle.clone(), id));

    let (mut probes, mut came) = (0, 0);
    while probes < PROBES || came < FLOWING {
        probes += 1;
        front.swallowed(probe.transport, probes).await;
        while told(&gateway.handle, id, probe.transport) < probes {
            traffic.flows(1).await;
            let state = session.state().borrow().clone();
            assert_eq!(state.via, Some(POLLING), "{name}: the session stays where it works");
            came += u64::from(told(&gateway.handle, id, probe.transport) < probes);
        }
        assert_eq!(superseded(&gateway.handle, id), 0, "{name}: no link took over from another");
    }
    assert!(!looking.is_finished(), "{name}: the gateway has taken it for the session's link");
    looking.abort();

    // The same probe, let through, moves the session: it was the network that kept it from that.
    doorkeeper.rest();
    front.tcp.follow(Plan::peaceful());
    on(&session, probe.transport).await;
    traffic.flows(FLOWING).await;
    traffic.stop();
    let heard = traffic.finish().await;
    assert_eq!(heard.path, [POLLING, probe], "{name}: link by link");
    session.close().await;
}

/// How often the client has told the gateway that the transport was silent.
fn told(handle: &Handle, id: SessionId, transport: Transport) -> u64 {
    let told = (Witness::Client, transport.name(), AttemptOutcome::Silent.as_str());
    times(handle, id, |attempt| (attempt.by, attempt.transport, attempt.outcome) == told)
}

/// How often the gateway has seen a link take over from another.
fn superseded(handle: &Handle, id: SessionId) -> u64 {
    times(handle, id, |attempt| (attempt.by, attempt.outcome) == (Witness::Gateway, "superseded"))
}

fn times(handle: &Handle, id: SessionId, which: impl Fn(&Attempt) -> bool) -> u64 {
    let transports = handle.session(id).and_then(|info| info.transports).expect("the session lives");
    transports.history.iter().filter(|attempt| which(attempt)).map(|attempt| attempt.times).sum()
}

/// Looks at the session as often as anything happens, and returns once the gateway has it on anything but a poll.
async fn look_on(handle: Handle, id: SessionId) {
    while handle.session(id).is_some_and(|info| info.transport.is_none_or(|on| on == "polling")) {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await; // there is no event for what must not happen
    }
}

/// Lets everybody in, and sees to it that a flow whose hello has come carries nothing down from then on.
#[derive(Clone, Default)]
struct Doorkeeper {
    front: Arc<OnceLock<Arc<Door>>>,
    rests: Arc<AtomicBool>,
}

/// The proxies, and how many flows were swallowed.
struct Door {
    front: Front,
    swallowed: tokio::sync::watch::Sender<u64>,
}

impl std::ops::Deref for Door {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

impl Door {
    /// Waits until so many probes have had an answer that did not come down.
    async fn swallowed(&self, transport: Transport, probes: u64) {
        match transport {
            Transport::WebTransport => {
                let mut swallowed = self.swallowed.subscribe();
                swallowed.wait_for(|swallowed| *swallowed >= probes).await.expect("the door stands");
                let before = self.front.udp.counters().withheld_down;
                self.front.udp.until(|counters| counters.withheld_down > before).await;
            }
            _ => drop(self.front.tcp.until(|counters| counters.swallows >= probes).await),
        }
    }
}

impl Doorkeeper {
    fn stand_at(&self, front: Front) -> Arc<Door> {
        let door = Arc::new(Door { front, swallowed: tokio::sync::watch::Sender::new(0) });
        assert!(self.front.set(Arc::clone(&door)).is_ok(), "it stands at one door");
        door
    }

    /// Swallows no more.
    fn rest(&self) {
        self.rests.store(true, Ordering::Relaxed);
    }

    fn look(&self, client: Option<SocketAddr>) {
        if let (Some(client), Some(door)) = (client, self.front.get())
            && !self.rests.load(Ordering::Relaxed)
            && door.front.udp.swallow(client)
        {
            door.swallowed.send_modify(|swallowed| *swallowed += 1);
        }
    }
}

impl Authenticate for Doorkeeper {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        self.look(credentials.remote);
        Box::pin(std::future::ready(Ok(Identity::default())))
    }
}
