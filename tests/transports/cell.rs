//! One cell of the matrix: a session under cuts, and what it must show at the end.
//!
//! Ten thousand items go down and two thousand commands go up through proxies that cut every connection and every flow of
//! datagrams after some bytes, a third of the time so that one end does not learn of it; of the datagrams between, some
//! are lost, doubled or late. Where the cell has two transports the session moves from the first to the second when half
//! is through, with items in flight. In the end nothing may be lost, twice, or out of order, the session must be the same
//! throughout, and enough cuts must have fallen.

use std::time::{Duration, Instant};

use throughline_client::{Config, MigrateError, Phase, Session, SubscribeFrom, Via, wire::Codec};

use super::{
    support::{
        fault_plan::Plan,
        front::Front,
        gateway::{TestGateway, quick_sessions},
        udp_proxy::Noise,
    },
    traffic::{Applied, Pace, Traffic, news, quick},
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

/// How long a test waits for something that happens soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a cell.
pub(crate) async fn run(from: Via, to: Option<Via>, seed: u64) {
    let cell = format!("{from} -> {}, seed {seed}", to.unwrap_or(from));
    let applied = Applied::default();
    let handler = applied.clone();
    let began = Instant::now();
    let gateway =
        TestGateway::start_with_webtransport(|builder| builder.session(quick_sessions()).handler(handler))
            .await;
    let is_text = |via: &Via| via.codec == Codec::Json;
    let flows = flows(seed, [Some(from), to].iter().flatten().any(is_text));
    let front = Front::start(gateway.address, connections(seed), flows, NOISE).await;
    let config =
        Config { negotiate: false, seed: Some(seed), timing: quick(), ..Config::new(front.url()).only(from) };
    let (session, events) = Session::connect(config).expect("a legal configuration");
    let telling = front.tell(session.clone());

    session.subscribe(news(), SubscribeFrom::Now).await.expect("everybody may");
    // The last quarter waits until the session has moved.
    let pace = Pace { events: ITEMS * 3 / 4, commands: COMMANDS, ahead: AHEAD, pause: Duration::ZERO };
    let traffic = Traffic::begin(&cell, gateway.handle.clone(), applied, (session.clone(), events), pace);
    if let Some(to) = to {
        traffic.seen(ITEMS / 2).await;
        migrate(&session, to, &cell).await;
    }
    traffic.let_flow(ITEMS);
    // A client whose newest transport fails falls back to the one before: it is moved again, as often as it does.
    let keeping = to.map(|to| tokio::spawn(keep_on(session.clone(), to)));
    let heard = traffic.finish().await;

    telling.abort();
    keeping.inspect(|keeping| keeping.abort());
    for via in [Some(from), to].into_iter().flatten() {
        let carried = heard.carried.get(&via).copied().unwrap_or_default();
        assert!(carried >= ITEMS / 20, "{cell}: {via} carried {carried} items");
    }
    let (tcp, udp) = (front.tcp.counters(), front.udp.counters());
    let (cuts, half_open) = (tcp.cuts + udp.cuts, tcp.half_open + udp.half_open);
    assert!(cuts >= CUTS, "{cell}: {cuts} cuts fell: {tcp:?}, {udp:?}");
    assert!(half_open >= HALF_OPEN, "{cell}: {half_open} of {cuts} cuts were half-open: {tcp:?}, {udp:?}");
    println!(
        "{cell}: {cuts} cuts ({} of flows), {half_open} half-open, {} links, {} datagrams disturbed, {:.1} s",
        udp.cuts,
        heard.path.len(),
        udp.noise,
        began.elapsed().as_secs_f64()
    );
    let closing = tokio::time::timeout(PATIENCE, session.close()).await;
    assert!(closing.is_ok(), "{cell}: the goodbye comes to no end: {:?}", session.state());
    front.tcp.stop().await;
}

/// The fates of connections.
fn connections(seed: u64) -> Plan {
    Plan {
        cut_after_bytes: 2_500..=14_000,
        cut_after_bytes_up: 2_000..=9_000,
        counted_both_ways: true,
        half_open_for: Duration::from_millis(400),
        ..Plan::cutting(seed)
    }
}

/// The fates of flows: more passes than on a connection, since handshakes, acknowledgements and padding count too, and
/// more yet in the text codec, since it says less in as many bytes.
fn flows(seed: u64, is_text: bool) -> Plan {
    let bytes = |least: u64, most: u64| {
        let text = |bytes| if is_text { bytes * 3 / 2 } else { bytes };
        HANDSHAKE_BYTES + text(least)..=HANDSHAKE_BYTES + text(most)
    };
    Plan {
        cut_after_bytes: bytes(5_500, 27_000),
        cut_after_bytes_up: bytes(4_000, 18_000),
        ..connections(seed)
    }
}

/// What QUIC and HTTP/3 need until a session stands, each way, padding included.
const HANDSHAKE_BYTES: u64 = 4_000;

/// What happens to datagrams between cuts.
const NOISE: Noise = Noise { lost: 5, doubled: 10, late: 20 };

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
