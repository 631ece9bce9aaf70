//! The scaffolding of the other tests does what they rely on.

mod support;
#[path = "support/udp_selftest.rs"]
mod udp;

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use support::fault_plan::{Direction, Fault, Plan};
use support::fault_proxy::FaultProxy;
use support::random::Random;
use support::upgrades::Upgrades;

/// Both ends of one connection through the proxy.
struct Pair {
    proxy: FaultProxy,
    listener: TcpListener,
    client: TcpStream,
    gateway: TcpStream,
}

impl Pair {
    async fn join(plan: Plan) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let proxy =
            FaultProxy::start(listener.local_addr().expect("bound"), plan).await.expect("a free port");
        let (client, gateway) = connect(&proxy, &listener).await;
        Self { proxy, listener, client, gateway }
    }
}

async fn connect(proxy: &FaultProxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let before = proxy.counters().accepted;
    let client = TcpStream::connect(proxy.address()).await.expect("the proxy listens");
    let (gateway, _) = listener.accept().await.expect("the proxy connects");
    proxy.until(|counters| counters.accepted > before).await;
    (client, gateway)
}

/// A plan whose every cut is this one.
fn always(fault_after: u64, direction: Direction, half_open: bool) -> Plan {
    Plan {
        cut_after_bytes: fault_after..=fault_after,
        cut_after_bytes_up: fault_after..=fault_after,
        counted_up_percent: if direction == Direction::Up { 100 } else { 0 },
        half_open_percent: if half_open { 100 } else { 0 },
        half_open_for: Duration::from_secs(3_600),
        ..Plan::cutting(0)
    }
}

/// The same plan under a seed that gives the first connection this fault.
fn seeded(plan: Plan, fault: Fault) -> Plan {
    (0..1_000)
        .map(|seed| Plan { seed, ..plan.clone() })
        .find(|plan| plan.fate(0).cut == Some(fault))
        .expect("one seed in a thousand gives it")
}

async fn is_reset(end: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(30), end.read_to_end(&mut rest)).await;
    end.expect("it ends in half a minute").is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

fn hears_nothing(end: &TcpStream) -> bool {
    end.try_read(&mut [0; 16]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn the_numbers_of_a_seed_are_those_of_splitmix64() {
    let mut random = Random::new(1_234_567);
    let numbers = [random.number(), random.number(), random.number()];
    assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
}

#[test]
fn numbers_within_a_range_reach_both_ends_and_stay_inside() {
    let mut random = Random::new(7);
    let drawn: std::collections::BTreeSet<u64> = (0..1_000).map(|_| random.within(3..=9)).collect();
    assert_eq!(drawn, (3..=9).collect());
    assert_eq!(random.within(5..=5), 5);
    random.within(0..=u64::MAX);
}

#[test]
fn the_same_seed_gives_each_connection_the_same_fate_and_another_seed_another() {
    let fates = |seed| (0..100).map(|number| Plan::cutting(seed).fate(number)).collect::<Vec<_>>();
    assert_eq!(fates(1), fates(1));
    assert_ne!(fates(1), fates(2));
}

#[test]
fn about_as_many_fates_as_asked_for_are_half_open() {
    let plan = Plan::cutting(11);
    let half_open =
        (0..1_000).filter(|number| plan.fate(*number).cut.is_some_and(Fault::is_half_open)).count();
    assert!((350..450).contains(&half_open), "{half_open} of 1,000");
}

#[tokio::test]
async fn a_connection_without_a_fate_passes_every_byte_both_ways_and_ends_in_order() {
    let Pair { proxy, mut client, mut gateway, .. } = Pair::join(Plan::peaceful()).await;
    let said: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let (up, down) = (said.clone(), said.clone());
    let client = tokio::spawn(async move {
        let mut heard = Vec::new();
        let (mut reads, mut writes) = client.split();
        let (written, read) = tokio::join!(
            async { writes.write_all(&up).await.and(writes.shutdown().await) },
            reads.read_to_end(&mut heard)
        );
        (written.is_ok() && read.is_ok(), heard)
    });
    let mut heard = Vec::new();
    gateway.read_to_end(&mut heard).await.expect("the client's end comes through");
    gateway.write_all(&down).await.expect("a half-closed connection still carries the other way");
    drop(gateway);
    let (in_order, heard_below) = client.await.expect("no panic");
    assert!(in_order);
    assert_eq!((heard, heard_below), (said.clone(), said));
    let counters = proxy.until(|counters| counters.live == 0).await;
    assert_eq!((counters.bytes_up, counters.bytes_down, counters.cuts), (200_000, 200_000, 0));
}

#[tokio::test]
async fn a_cut_falls_at_its_very_byte() {
    for direction in [Direction::Up, Direction::Down] {
        let plan = seeded(always(1_000, direction, false), Fault::Close);
        let Pair { proxy, client, gateway, .. } = Pair::join(plan).await;
        let (mut speaks, mut hears) =
            if direction == Direction::Up { (client, gateway) } else { (gateway, client) };
        speaks.write_all(&[1; 1_000]).await.expect("written");
        let mut heard = vec![0; 1_000];
        hears.read_exact(&mut heard).await.expect("all that may pass has passed");
        assert_eq!(proxy.counters().cuts, 0, "nothing is withheld yet");
        speaks.write_all(&[2]).await.expect("written");
        assert_eq!(hears.read(&mut heard).await.expect("an orderly end"), 0);
        assert_eq!(proxy.until(|counters| counters.cuts == 1).await.half_open, 0);
    }
}

#[tokio::test]
async fn where_both_directions_are_counted_the_first_to_be_through_strikes() {
    for talkative in [Direction::Up, Direction::Down] {
        let plan = Plan {
            cut_after_bytes: if talkative == Direction::Down { 10..=10 } else { 1_000..=1_000 },
            cut_after_bytes_up: if talkative == Direction::Up { 10..=10 } else { 1_000..=1_000 },
            counted_both_ways: true,
            ..always(10, Direction::Down, false)
        };
        let Pair { proxy, mut client, mut gateway, .. } = Pair::join(plan).await;
        client.write_all(&[0; 10]).await.expect("written");
        gateway.write_all(&[0; 10]).await.expect("written");
        let mut heard = [0; 10];
        client.read_exact(&mut heard).await.expect("it may pass");
        gateway.read_exact(&mut heard).await.expect("it may pass");
        assert_eq!(proxy.counters().cuts, 0);
        let speaks = if talkative == Direction::Up { &mut client } else { &mut gateway };
        speaks.write_all(&[0]).await.expect("written");
        proxy.until(|counters| counters.cuts == 1).await;
    }
}

#[tokio::test]
async fn a_reset_reaches_both_ends() {
    let plan = seeded(always(10, Direction::Down, false), Fault::Reset);
    let Pair { proxy, mut client, mut gateway, .. } = Pair::join(plan).await;
    gateway.write_all(&[0; 11]).await.expect("written");
    assert!(is_reset(&mut client).await);
    assert!(is_reset(&mut gateway).await);
    assert_eq!(proxy.counters().cuts, 1);
}

#[tokio::test]
async fn a_gateway_whose_client_is_gone_hears_nothing_of_it() {
    let plan = seeded(always(10, Direction::Down, true), Fault::ClientGone);
    let Pair { proxy, mut client, mut gateway, .. } = Pair::join(plan).await;
    gateway.write_all(&[0; 11]).await.expect("written");
    assert!(is_reset(&mut client).await);
    assert_eq!(proxy.until(|counters| counters.half_open == 1).await.cuts, 1);
    assert!(hears_nothing(&gateway));
    gateway.write_all(&[0; 100]).await.expect("it still believes in the connection");
    proxy.stop().await;
    assert!(is_reset(&mut gateway).await);
}

#[tokio::test]
async fn a_client_whose_gateway_is_gone_hears_nothing_of_it() {
    let plan = seeded(always(10, Direction::Up, true), Fault::GatewayGone);
    let Pair { proxy, mut client, mut gateway, .. } = Pair::join(plan).await;
    client.write_all(&[0; 11]).await.expect("written");
    assert!(is_reset(&mut gateway).await);
    assert_eq!(proxy.until(|counters| counters.half_open == 1).await.cuts, 1);
    assert!(hears_nothing(&client));
    client.write_all(&[0; 100]).await.expect("it still believes in the connection");
    proxy.stop().await;
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_forgotten_flow_leaves_both_ends_standing_until_its_time_is_over() {
    let plan = Plan { half_open_for: Duration::ZERO, ..always(10, Direction::Down, true) };
    let Pair { proxy, mut client, mut gateway, .. } = Pair::join(seeded(plan, Fault::Forgotten)).await;
    gateway.write_all(&[0; 11]).await.expect("written");
    assert!(is_reset(&mut client).await);
    assert!(is_reset(&mut gateway).await);
    assert_eq!(proxy.counters().half_open, 1);

    let plan = always(10, Direction::Down, true);
    let Pair { proxy, client, mut gateway, .. } = Pair::join(seeded(plan, Fault::Forgotten)).await;
    gateway.write_all(&[0; 11]).await.expect("written");
    proxy.until(|counters| counters.half_open == 1).await;
    let mut heard = [0; 100];
    client.readable().await.expect("what passed before the cut");
    assert_eq!(client.try_read(&mut heard).expect("it is there"), 10);
    assert!(hears_nothing(&client));
    assert!(hears_nothing(&gateway));
}

#[tokio::test]
async fn one_half_open_connection_too_many_is_reset_instead() {
    let plan = Plan { half_open: 0, ..always(10, Direction::Down, true) };
    let Pair { proxy, mut client, mut gateway, .. } = Pair::join(plan).await;
    gateway.write_all(&[0; 11]).await.expect("written");
    assert!(is_reset(&mut client).await);
    assert!(is_reset(&mut gateway).await);
    let counters = proxy.counters();
    assert_eq!((counters.cuts, counters.half_open), (1, 0));
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away_and_room_comes_free() {
    let Pair { proxy, listener, client, .. } = Pair::join(Plan { connections: 1, ..Plan::peaceful() }).await;
    let mut second = TcpStream::connect(proxy.address()).await.expect("the proxy listens");
    assert!(is_reset(&mut second).await);
    assert_eq!(proxy.counters().turned_away, 1);
    assert!(proxy.cut_now(Fault::Reset));
    drop(client);
    proxy.until(|counters| counters.cuts == 1).await;
    connect(&proxy, &listener).await;
}

#[tokio::test]
async fn asked_to_cut_it_cuts_the_newest_that_stands() {
    let Pair { proxy, listener, mut client, mut gateway } = Pair::join(Plan::peaceful()).await;
    let (mut newer, _newer_gateway) = connect(&proxy, &listener).await;
    assert!(proxy.cut_now(Fault::Reset));
    assert!(is_reset(&mut newer).await);
    client.write_all(b"still here").await.expect("the older one stands");
    let mut heard = [0; 10];
    gateway.read_exact(&mut heard).await.expect("and carries");
    assert_eq!(proxy.cut_all(Fault::Close), 1);
    assert!(!proxy.cut_now(Fault::Close), "none is left");
    assert_eq!(proxy.until(|counters| counters.live == 0).await.accepted, 2);
}

#[tokio::test]
async fn a_stalled_and_slow_connection_loses_nothing() {
    let plan = Plan {
        stall_percent: 100,
        stall_for: Duration::from_millis(1),
        delay: Duration::from_millis(1),
        cut_percent: 0,
        ..always(100, Direction::Down, false)
    };
    let Pair { proxy, mut client, mut gateway, .. } = Pair::join(plan).await;
    gateway.write_all(&[7; 50_000]).await.expect("written");
    drop(gateway);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).await.expect("an orderly end");
    assert_eq!(heard.len(), 50_000);
    assert_eq!(proxy.counters().stalls, 1);
}

/// A pair whose client has asked for a WebSocket, and whose gateway has said yes and more.
async fn upgraded(upgrades: Upgrades) -> Pair {
    let mut pair = Pair::join(Plan { upgrades, ..Plan::peaceful() }).await;
    let asks = b"GET /v1/websocket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    pair.client.write_all(asks).await.expect("written");
    pair.gateway.read_exact(&mut vec![0; asks.len()]).await.expect("it goes up");
    pair.gateway.write_all(YES).await.expect("written");
    pair.client.read_exact(&mut [0; YES.len()]).await.expect("the answer comes down");
    pair
}

const YES: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";

#[tokio::test]
async fn swallowed_passes_of_a_websocket_the_answer_down_and_everything_up() {
    let Pair { proxy, mut client, mut gateway, .. } = upgraded(Upgrades::Swallow).await;
    gateway.write_all(b"hello").await.expect("it still believes in the connection");
    proxy.until(|counters| counters.swallowed == 5).await;
    client.write_all(b"still here").await.expect("written");
    gateway.read_exact(&mut [0; 10]).await.expect("it goes up");
    assert!(hears_nothing(&client));
    drop(upgraded(Upgrades::Pass).await);
}

#[tokio::test]
async fn refused_a_request_for_a_websocket_never_comes_to_the_gateway() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let plan = Plan { upgrades: Upgrades::Refuse, ..Plan::peaceful() };
    let proxy = FaultProxy::start(listener.local_addr().expect("bound"), plan).await.expect("a free port");
    let mut client = TcpStream::connect(proxy.address()).await.expect("the proxy listens");
    client.write_all(b"GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n").await.expect("written");
    let mut heard = String::new();
    client.read_to_string(&mut heard).await.expect("an orderly end");
    assert!(heard.starts_with("HTTP/1.1 403 "), "{heard}");
    assert_eq!(proxy.counters().refused, 1);
    let mut other = TcpStream::connect(proxy.address()).await.expect("the proxy listens");
    other.write_all(b"POST / HTTP/1.1\r\n\r\n").await.expect("written");
    proxy.until(|counters| counters.bytes_up == 19).await;
}

#[tokio::test]
async fn connections_made_later_follow_the_later_plan() {
    let Pair { proxy, listener, .. } = Pair::join(always(0, Direction::Down, false)).await;
    proxy.follow(Plan::peaceful());
    let (mut client, mut gateway) = connect(&proxy, &listener).await;
    gateway.write_all(b"safe").await.expect("written");
    let mut heard = [0; 4];
    client.read_exact(&mut heard).await.expect("nothing is cut");
    proxy.stop().await;
}
