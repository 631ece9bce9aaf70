//! What was missed comes back: paged, as far as it is held, and the rest is named.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use throughline::{
    broker::MemoryConfig,
    channel::{NewEvent, Retention},
    session::{SessionConfig, SlowPolicy, SlowRule, SlowRules},
    upstream::Intent,
};
use throughline_client::{
    Config, Events, Incoming, LinkChange, Session, SubscribeFrom, Timing, Transport, Via,
    wire::{ChannelName, GapReason, Json, Meta, Payload, item::Accepted},
};
use tower::Service;

use super::support::{
    fault_plan::{Fault, Plan},
    front::Front,
    gateway::{TestGateway, quick_sessions},
    udp_proxy::Noise,
};

const EVERY: [Via; 7] = [
    Via::json(Transport::WebTransport),
    Via::bincode(Transport::WebTransport),
    Via::json(Transport::WebSocket),
    Via::bincode(Transport::WebSocket),
    Via::json(Transport::Polling),
    Via::bincode(Transport::Polling),
    Via::json(Transport::Sse),
];

/// A log that holds all that the tests say.
fn roomy() -> MemoryConfig {
    let retention = Retention { events: 20_000, bytes: 64 << 20, ..Retention::default() };
    MemoryConfig { retention, ..MemoryConfig::default() }
}

fn channel() -> ChannelName {
    ChannelName::parse("news").expect("a legal name")
}

fn event(number: u64, bytes: usize) -> NewEvent {
    let text = format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(bytes));
    NewEvent {
        payload: Payload::Json(Json::parse(text.as_bytes()).expect("legal JSON")),
        ..NewEvent::default()
    }
}

/// A session that is subscribed, behind proxies, and away.
struct Away {
    gateway: TestGateway,
    front: Front,
    session: Session,
    events: Events,
}

async fn away(via: Via, memory: MemoryConfig) -> Away {
    away_in(via, quick_sessions(), memory).await
}

async fn away_in(via: Via, sessions: SessionConfig, memory: MemoryConfig) -> Away {
    let gateway =
        TestGateway::start_with_webtransport(|builder| builder.session(sessions).memory(memory)).await;
    let front = Front::peaceful(gateway.address).await;
    let (session, mut events) = connect(&front, via);
    session.subscribe(channel(), SubscribeFrom::Now).await.expect("everybody may");
    gateway.handle.publish(&channel(), event(0, 0)).await.expect("there is room");
    loop {
        if let Some(Incoming::Event { .. }) = events.next().await {
            break;
        }
    }
    // No connection gets through until the test says so, and no datagram.
    let nothing = Plan { cut_after_bytes: 0..=0, cut_percent: 100, half_open_percent: 0, ..Plan::cutting(1) };
    front.tcp.follow(nothing);
    front.udp.block();
    cut(&front, &session).await;
    Away { gateway, front, session, events }
}

fn connect(front: &Front, via: Via) -> (Session, Events) {
    let timing = Timing { connect: Duration::from_secs(1), ..Timing::default() };
    let config = Config { negotiate: false, timing, ..Config::new(front.url()).only(via) };
    Session::connect(config).expect("a legal configuration")
}

/// Cuts the link. QUIC hears of no reset, so the client is told.
async fn cut(front: &Front, session: &Session) {
    front.tcp.cut_all(Fault::Reset);
    if front.udp.cut_all(Fault::Reset) > 0 {
        session.cut().await;
    }
}

impl Away {
    async fn publish(&self, count: u64, bytes: usize) {
        for number in 1..=count {
            self.gateway.handle.publish(&channel(), event(number, bytes)).await.expect("there is room");
        }
    }

    fn come_back(&self) {
        self.front.tcp.follow(Plan::peaceful());
        self.front.udp.heal();
    }

    /// Reads until the event at `offset`; gives the offsets that came and the gaps that were told.
    async fn read_until(&mut self, offset: u64) -> (Vec<u64>, Vec<throughline_client::Gap>) {
        let (mut offsets, mut gaps) = (Vec::new(), Vec::new());
        while offsets.last() != Some(&offset) {
            match self.events.next().await.expect("the client goes on") {
                Incoming::Event { event, .. } => offsets.push(event.offset.get()),
                Incoming::Gap { gap, .. } => gaps.push(gap),
                Incoming::SessionLost { reason } => panic!("the session is lost: {reason:?}"),
                _ => {}
            }
        }
        (offsets, gaps)
    }
}

#[tokio::test]
async fn ten_thousand_missed_events_are_paged_in() {
    for via in EVERY {
        let mut away = away(via, roomy()).await;
        away.publish(10_000, 0).await;
        away.come_back();
        let (offsets, gaps) = away.read_until(10_001).await;
        assert_eq!(offsets, (2..=10_001).collect::<Vec<_>>(), "{via}");
        assert!(gaps.is_empty(), "{via}: {gaps:?}");
        let info = away.gateway.handle.sessions(None, 10).sessions;
        assert!(info[0].unacknowledged <= 1_024 + 64, "{via}: the window holds");
    }
}

#[tokio::test]
async fn five_megabytes_missed_are_paged_in() {
    for via in EVERY {
        let mut away = away(via, roomy()).await;
        away.publish(500, 10_000).await;
        away.come_back();
        let (offsets, gaps) = away.read_until(501).await;
        assert_eq!(offsets, (2..=501).collect::<Vec<_>>(), "{via}");
        assert!(gaps.is_empty(), "{via}: {gaps:?}");
    }
}

#[tokio::test]
async fn when_the_log_is_trimmed_what_is_held_is_replayed_and_the_gap_names_what_is_not() {
    for via in EVERY {
        let retention = Retention { events: 100, ..Retention::default() };
        let mut away = away(via, MemoryConfig { retention, ..MemoryConfig::default() }).await;
        away.publish(1_000, 0).await;
        away.come_back();
        let (offsets, gaps) = away.read_until(1_001).await;
        assert_eq!(offsets, (902..=1_001).collect::<Vec<_>>(), "{via}");
        let [gap] = &gaps[..] else { panic!("{via}: one gap, not {gaps:?}") };
        assert_eq!(gap.from.map(|from| from.offset.get()), Some(1), "{via}");
        assert_eq!((gap.to.offset.get(), gap.exact, gap.reason), (901, true, GapReason::Trimmed), "{via}");
    }
}

/// What a client that fell behind is not sent it is told, whatever carries it, and goes on from there.
#[tokio::test]
async fn of_a_channel_of_which_the_latest_counts_the_newest_of_each_key_comes_back() {
    for via in EVERY {
        let rule = SlowRule { events: 10, ..SlowRule::new(SlowPolicy::Latest) };
        let sessions = SessionConfig { slow: SlowRules::new([("*", rule)]), ..quick_sessions() };
        let mut away = away_in(via, sessions, roomy()).await;
        for number in 1..=1_000 {
            let key = Some(format!("k{}", number % 2).into());
            let event = NewEvent { key, ..event(number, 0) };
            away.gateway.handle.publish(&channel(), event).await.expect("there is room");
        }
        away.come_back();
        let (offsets, gaps) = away.read_until(1_001).await;
        assert_eq!(offsets, [1_000, 1_001], "{via}");
        let [gap] = &gaps[..] else { panic!("{via}: one gap, not {gaps:?}") };
        assert_eq!(gap.from.map(|from| from.offset.get()), Some(1), "{via}");
        assert_eq!((gap.to.offset.get(), gap.exact, gap.reason), (999, true, GapReason::Conflated), "{via}");
    }
}

/// The position is the session's from the subscription on, not from the first event.
#[tokio::test]
async fn a_cut_before_the_first_event_is_recovered() {
    for via in EVERY {
        let gateway = TestGateway::start_with_webtransport(|builder| builder.session(quick_sessions())).await;
        let front = Front::peaceful(gateway.address).await;
        let (session, events) = connect(&front, via);
        session.subscribe(channel(), SubscribeFrom::Now).await.expect("everybody may");
        cut(&front, &session).await;
        let mut away = Away { gateway, front, session, events };
        away.publish(3, 0).await;
        let (offsets, gaps) = away.read_until(3).await;
        assert_eq!((offsets, gaps.len()), (vec![1, 2, 3], 0), "{via}");
        away.session.close().await;
    }
}

/// The first answers are lost on the way, so the client opens again; sessions that it never heard of go by themselves.
#[tokio::test]
async fn a_lost_first_answer_leaves_one_session_and_applies_no_command_twice() {
    for via in EVERY {
        let applied = Applied::default();
        let handler = applied.clone();
        let sessions = SessionConfig { provisional_ms: 3_000, ..quick_sessions() };
        let gateway =
            TestGateway::start_with_webtransport(|builder| builder.session(sessions).handler(handler)).await;
        // The request goes up whole; of the answer nothing, or not all, comes down.
        let losing = Plan {
            cut_after_bytes: 0..=300,
            half_open_percent: 0,
            counted_up_percent: 0,
            ..Plan::cutting(3)
        };
        // Of a flow, QUIC's handshake comes down, so that the request goes up at all.
        let losing_flows = Plan { cut_after_bytes: 2_500..=4_500, ..losing.clone() };
        let (tcp, udp) = match via.transport {
            // What is on offer is asked for over TCP.
            Transport::WebTransport => (Plan::peaceful(), losing_flows),
            _ => (losing, Plan::peaceful()),
        };
        let front = Front::start(gateway.address, tcp, udp, Noise::default()).await;
        let (session, mut events) = connect(&front, via);
        let sender = session.clone();
        let sent = tokio::spawn(async move {
            for number in 0..20 {
                let payload = event(number, 0).payload;
                sender
                    .send(channel(), None, None, Meta::default(), payload)
                    .await
                    .expect("it gets through in the end");
            }
        });
        match via.transport {
            Transport::WebTransport => drop(front.udp.until(|counters| counters.cuts >= 3).await),
            _ => drop(front.tcp.until(|counters| counters.cuts >= 3).await),
        }
        front.follow(Plan::peaceful());
        sent.await.expect("the sender does not panic");
        let commands = applied.0.lock().expect("nobody panics").clone();
        assert_eq!(commands.len(), 20, "{via}: each once");
        assert_eq!(commands.iter().collect::<HashSet<_>>().len(), 20, "{via}: none twice");
        while gateway.handle.session_count() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await; // provisional sessions end by their timer
        }
        let mut sessions = HashSet::new();
        session.close().await;
        while let Some(incoming) = events.next().await {
            if let Incoming::Link(LinkChange::Up { session, .. }) = incoming {
                sessions.insert(session);
            }
        }
        assert_eq!(sessions.len(), 1, "{via}: the client has known one session");
    }
}

/// An application that notes what it is told.
#[derive(Clone, Default)]
struct Applied(Arc<Mutex<Vec<String>>>);

impl Service<Intent> for Applied {
    type Response = Accepted;
    type Error = Infallible;
    type Future = Ready<Result<Accepted, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        self.0.lock().expect("nobody panics").push(format!("{:?}", intent.said.payload));
        ready(Ok(Accepted::default()))
    }
}
