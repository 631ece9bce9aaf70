//! One cell of the matrix: a session under cuts, and what it must show at the end.
//!
//! Ten thousand items go down and two thousand commands go up through a proxy that cuts every connection after some
//! bytes, a third of the time so that one end does not learn of it. Where the cell has two transports the session
//! moves from the first to the second when half is through, with items in flight. In the end nothing may be lost,
//! twice, or out of order, the session must be the same throughout, and enough cuts must have fallen.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use throughline::{channel::NewEvent, upstream::Intent};
use throughline_client::{
    Config, Events, Incoming, LinkChange, MigrateError, Phase, Session, SubscribeFrom, Timing, Via,
    wire::{ChannelName, Json, Meta, Payload, Send, item::Accepted},
};
use tower::Service;

use super::support::{
    fault_plan::Plan,
    fault_proxy::FaultProxy,
    gateway::{TestGateway, quick_sessions},
};

/// How many items go down.
const ITEMS: u64 = 10_000;
/// How many commands go up.
const COMMANDS: u64 = 2_000;
/// How many cuts have to fall, and how many of them half-open.
const CUTS: u64 = 100;
const HALF_OPEN: u64 = CUTS / 3;
/// How many events may be published ahead of what the client has.
const AHEAD: u64 = 400;

/// Runs a cell.
pub(crate) async fn run(from: Via, to: Option<Via>, seed: u64) {
    let cell = format!("{from} -> {}, seed {seed}", to.unwrap_or(from));
    let applied = Applied::default();
    let handler = applied.clone();
    let gateway = TestGateway::start(|builder| builder.session(quick_sessions()).handler(handler)).await;
    let plan = Plan {
        cut_after_bytes: 2_500..=14_000,
        cut_after_bytes_up: 2_000..=9_000,
        counted_both_ways: true,
        half_open_for: Duration::from_millis(400),
        ..Plan::cutting(seed)
    };
    let proxy = FaultProxy::start(gateway.address, plan).await.expect("a free port");
    let config = Config {
        negotiate: false,
        seed: Some(seed),
        timing: quick(),
        ..Config::new(format!("http://{}", proxy.address())).only(from)
    };
    let (session, events) = Session::connect(config).expect("a legal configuration");

    let news = ChannelName::parse("news").expect("a legal name");
    session.subscribe(news.clone(), SubscribeFrom::Now).await.expect("everybody may");
    let (seen_to, seen) = tokio::sync::watch::channel(0);
    let reading = tokio::spawn(read(events, seen_to, cell.clone()));
    let (moved_to, moved) = tokio::sync::watch::channel(to.is_none());
    let publishing = tokio::spawn(publish(gateway.handle.clone(), news, seen.clone(), moved));
    let sending = tokio::spawn(send(session.clone()));
    if let Some(to) = to {
        let mut half = seen.clone();
        half.wait_for(|seen| *seen >= ITEMS / 2).await.expect("the reader goes on");
        migrate(&session, to, &cell).await;
        moved_to.send_replace(true);
    }
    // A client whose newest transport fails falls back to the one before: it is moved again, as often as it does.
    let keeping = to.map(|to| tokio::spawn(keep_on(session.clone(), to)));
    publishing.await.expect("the publisher does not panic");
    sending.await.expect("the sender does not panic");
    let heard = reading.await.expect("the reader does not panic");

    let counters = proxy.counters();
    assert_eq!(heard.sessions.len(), 1, "{cell}: the session is the same throughout: {:?}", heard.sessions);
    assert_eq!(applied.commands(), (1..=COMMANDS).collect::<Vec<_>>(), "{cell}: each command once, in order");
    if let Some(keeping) = keeping {
        keeping.abort();
    }
    for via in [Some(from), to].into_iter().flatten() {
        let carried = heard.carried.get(&via).copied().unwrap_or_default();
        assert!(carried >= ITEMS / 20, "{cell}: {via} carried {carried} items");
    }
    assert!(counters.cuts >= CUTS, "{cell}: {} cuts fell", counters.cuts);
    assert!(
        counters.half_open >= HALF_OPEN,
        "{cell}: {} of {} cuts were half-open",
        counters.half_open,
        counters.cuts
    );
    println!("{cell}: {} cuts, {} half-open, {} links", counters.cuts, counters.half_open, heard.links);
    session.close().await;
    proxy.stop().await;
}

/// Waits that find a dead link within a second.
fn quick() -> Timing {
    Timing {
        connect: Duration::from_secs(1),
        welcome: Duration::from_secs(1),
        poll_hold: Duration::from_millis(500),
        poll_grace: Duration::from_millis(300),
        post: Duration::from_millis(600),
        doubt: Duration::from_millis(400),
        pong: Duration::from_millis(200),
        ack_delay: Duration::from_millis(20),
        probe: Duration::from_secs(1),
        goodbye: Duration::from_secs(1),
        ..Timing::default()
    }
}

/// What a client heard.
struct Heard {
    sessions: Vec<String>,
    links: u64,
    /// How many items came while the session was on which transport.
    carried: HashMap<Via, u64>,
}

/// Reads until all items are there; each must be the next.
async fn read(mut events: Events, seen: tokio::sync::watch::Sender<u64>, cell: String) -> Heard {
    let mut heard = Heard { sessions: Vec::new(), links: 0, carried: HashMap::new() };
    let mut on = None;
    let (mut next, mut last_number) = (1, 0);
    while next <= ITEMS {
        match events.next().await.unwrap_or_else(|| panic!("{cell}: the client closed after {}", next - 1)) {
            Incoming::Event { number, event, .. } => {
                assert_eq!(event.offset.get(), next, "{cell}: item {number} is the next event");
                assert_eq!(event.payload, payload(next), "{cell}: item {number}");
                assert!(number > last_number, "{cell}: item {number} comes after {last_number}");
                (next, last_number) = (next + 1, number);
                seen.send_replace(next - 1);
                if let Some(on) = on {
                    *heard.carried.entry(on).or_default() += 1;
                }
            }
            Incoming::Link(LinkChange::Up { via, session, .. }) => {
                heard.links += 1;
                on = Some(via);
                let session = session.to_string();
                if !heard.sessions.contains(&session) {
                    heard.sessions.push(session);
                }
            }
            Incoming::Gap { gap, .. } => panic!("{cell}: a gap, though nothing is trimmed: {gap:?}"),
            Incoming::SessionLost { reason } => panic!("{cell}: the session is lost: {reason:?}"),
            _ => {}
        }
    }
    heard
}

/// Publishes, a little ahead of the reader. The last quarter waits until the session has moved.
async fn publish(
    handle: throughline::Handle,
    channel: ChannelName,
    mut seen: tokio::sync::watch::Receiver<u64>,
    mut moved: tokio::sync::watch::Receiver<bool>,
) {
    for number in 1..=ITEMS {
        if number > ITEMS * 3 / 4 {
            moved.wait_for(|moved| *moved).await.expect("the test goes on");
        }
        seen.wait_for(|seen| seen + AHEAD > number).await.expect("the reader goes on");
        let event = NewEvent { payload: payload(number), ..NewEvent::default() };
        handle.publish(&channel, event).await.expect("there is room");
    }
}

async fn send(session: Session) {
    let channel = ChannelName::parse("up").expect("a legal name");
    let mut waiting = std::collections::VecDeque::new();
    for number in 1..=COMMANDS {
        let said = Send {
            channel: channel.clone(),
            name: None,
            id: None,
            meta: Meta::default(),
            payload: payload(number),
        };
        waiting.push_back((number, session.begin_send(said).await));
        // Some stay unreplied all the time, as those of an application that pipelines do.
        if waiting.len() >= 40 {
            take_reply(&mut waiting).await;
        }
    }
    while !waiting.is_empty() {
        take_reply(&mut waiting).await;
    }
}

async fn take_reply(waiting: &mut std::collections::VecDeque<(u64, throughline_client::Sending)>) {
    let Some((number, sending)) = waiting.pop_front() else { return };
    let accepted = sending.outcome().await.unwrap_or_else(|error| panic!("command {number}: {error}"));
    assert_eq!(accepted.payload, payload(number), "the reply is that of its command");
}

/// Moves the session back to a transport whenever it is up on another.
async fn keep_on(session: Session, to: Via) {
    let mut state = session.state();
    while state.wait_for(|state| state.phase == Phase::Up && state.via != Some(to)).await.is_ok() {
        let _ = session.migrate(to).await;
    }
}

async fn migrate(session: &Session, to: Via, cell: &str) {
    // A link that is cut while it moves is no reason to give up.
    for _ in 0..200 {
        match session.migrate(to).await {
            Ok(()) => return,
            Err(MigrateError::Closed) => panic!("{cell}: the client closed"),
            Err(_) => {
                session.connected().await;
            }
        }
    }
    panic!("{cell}: the session does not get to {to}");
}

fn payload(number: u64) -> Payload {
    let text = format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat((number % 80) as usize));
    Payload::Json(Json::parse(text.as_bytes()).expect("legal JSON"))
}

/// An application that notes what it is told, and answers with it.
#[derive(Clone, Default)]
struct Applied(Arc<Mutex<Vec<u64>>>);

impl Applied {
    fn commands(&self) -> Vec<u64> {
        self.0.lock().expect("nobody panics").clone()
    }
}

impl Service<Intent> for Applied {
    type Response = Accepted;
    type Error = Infallible;
    type Future = Ready<Result<Accepted, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        let Payload::Json(json) = &intent.said.payload else { panic!("the test sends JSON") };
        let number = json.as_str().split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
        let number = number.and_then(|n| n.parse().ok()).expect("the test sends numbers");
        self.0.lock().expect("nobody panics").push(number);
        ready(Ok(Accepted { position: None, payload: intent.said.payload }))
    }
}
