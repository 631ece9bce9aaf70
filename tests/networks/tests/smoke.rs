//! A few of the networks, most without a gateway: what a middlebox does to a client and a server that say little. One is
//! played whole, by the client in a browser.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use throughline_client::Transport;
use throughline_networks::{
    Browser, Chromium, Client, Gateway, Line, Network, Passage, Scene, Strike, TcpFaults, TcpProxy, UdpProxy,
    Upgrades, Whom, in_mid_session,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// A server that answers the first thing said to it as if it were an upgrade, and echoes the rest.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buffer = [0; 1_024];
                let mut answer = Some(ANSWER);
                while let Ok(read @ 1..) = client.read(&mut buffer).await {
                    let says = answer.take().unwrap_or(&buffer[..read]);
                    client.write_all(says).await.unwrap_or_default();
                }
            });
        }
    });
    address
}

async fn proxy(faults: TcpFaults) -> TcpProxy {
    TcpProxy::start(echo().await, Line::instant(), faults).await.unwrap()
}

async fn upgrade(proxy: &TcpProxy) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(UPGRADE).await.unwrap();
    client
}

async fn hears(client: &mut TcpStream, what: &[u8]) {
    let mut heard = vec![0; what.len()];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(what));
}

/// Says something; waits until the proxy has swallowed it, so that silence is known to be its doing.
async fn is_cut_off(client: &mut TcpStream) {
    client.write_all(b"is anybody there?").await.unwrap();
    let mut buffer = [0; 1];
    let nothing = tokio::time::timeout(Duration::from_millis(200), client.read(&mut buffer)).await;
    assert!(nothing.is_err(), "something came: {nothing:?}");
}

#[tokio::test]
async fn a_connection_costs_a_round_trip_and_an_answer_another() {
    let proxy = TcpProxy::start(echo().await, Line::default(), TcpFaults::default()).await.unwrap();
    let begun = Instant::now();
    let mut client = upgrade(&proxy).await;
    hears(&mut client, ANSWER).await;
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    assert_eq!(proxy.counters().upgraded, 1);
}

#[tokio::test]
async fn an_upgrade_may_pass_or_be_refused_or_be_swallowed_or_be_silenced() {
    let open = proxy(TcpFaults::default()).await;
    let mut client = upgrade(&open).await;
    hears(&mut client, ANSWER).await;
    client.write_all(b"hello").await.unwrap();
    hears(&mut client, b"hello").await;

    let of = async |upgrades| proxy(TcpFaults { upgrades, ..TcpFaults::default() }).await;
    let refusing = of(Upgrades::Refused(403)).await;
    hears(&mut upgrade(&refusing).await, b"HTTP/1.1 403 Refused\r\n").await;

    let unanswered = of(Upgrades::Unanswered).await;
    is_cut_off(&mut upgrade(&unanswered).await).await;

    let silenced = of(Upgrades::Silenced).await;
    let mut client = upgrade(&silenced).await;
    hears(&mut client, ANSWER).await;
    is_cut_off(&mut client).await;
    silenced.heal();
    hears(&mut upgrade(&silenced).await, ANSWER).await;
}

#[tokio::test]
async fn a_path_that_falls_silent_leaves_both_ends_standing_and_new_connections_pass() {
    let proxy = proxy(TcpFaults::default()).await;
    let mut client = upgrade(&proxy).await;
    hears(&mut client, ANSWER).await;
    assert_eq!(proxy.strike(Whom::Upgraded, Strike::Silence), 1);
    is_cut_off(&mut client).await;
    hears(&mut upgrade(&proxy).await, ANSWER).await;
    assert_eq!(proxy.counters().live, 2);
}

#[tokio::test]
async fn a_reset_and_an_idle_cut_end_a_connection_at_once() {
    let proxy = proxy(TcpFaults::default()).await;
    let mut client = upgrade(&proxy).await;
    hears(&mut client, ANSWER).await;
    assert_eq!(proxy.strike(Whom::All, Strike::Reset), 1);
    assert!(client.read_u8().await.is_err());

    proxy.meddle(TcpFaults { idle_cut: Some(Duration::from_millis(50)), ..TcpFaults::default() });
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(client.read_u8().await.is_err(), "it says nothing, so nothing answers it");
    assert_eq!(proxy.counters().idle_cuts, 1);
}

#[tokio::test]
async fn datagrams_pass_or_vanish_or_are_refused_and_pass_again() {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((size, from)) = server.recv_from(&mut buffer).await {
            server.send_to(&buffer[..size], from).await.unwrap_or_default();
        }
    });
    let proxy = UdpProxy::start(at, Line::instant()).await.unwrap();
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    client.connect(proxy.address()).await.unwrap();
    let mut buffer = [0; 64];
    client.send(b"one").await.unwrap();
    assert_eq!(client.recv(&mut buffer).await.unwrap(), 3);

    let mut counters = proxy.watch();
    proxy.block();
    client.send(b"lost").await.unwrap();
    counters.wait_for(|counters| counters.blocked == 1).await.unwrap();

    proxy.refuse();
    // ICMP arrives as an error of a later call, once the port is closed.
    while client.send(b"refused").await.is_ok() {
        tokio::task::yield_now().await;
    }

    proxy.pass(Passage::Open);
    let again = async {
        loop {
            let _ = client.send(b"again").await;
            let answer = tokio::time::timeout(Duration::from_millis(20), client.recv(&mut buffer)).await;
            if let Ok(Ok(size)) = answer {
                return size;
            }
        }
    };
    assert_eq!(again.await, 5);
}

/// A browser and the gateway's executable, where `cargo xtask test` has told of one and built the other.
fn browser() -> Option<(Browser, PathBuf)> {
    let told = |name| std::env::var_os(name).map(PathBuf::from);
    // Beside the folder of this test's own executable.
    let gateway = std::env::current_exe().unwrap().parent().unwrap().with_file_name("throughline");
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/page/client.js").into();
    let found = told("CHROMIUM").zip(told("PLAYWRIGHT")).filter(|_| gateway.is_file());
    if found.is_none() {
        let why = "CHROMIUM and PLAYWRIGHT have to name a browser, and the gateway has to be built";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("skipped: {why}");
    }
    found.map(|(chromium, playwright)| (Browser { chromium, playwright, client }, gateway))
}

#[tokio::test]
async fn a_session_in_a_browser_survives_a_reset_and_nothing_is_lost_doubled_or_reordered() {
    let Some((browser, program)) = browser() else { return };
    let chromium = Chromium::start(&browser, None).await.unwrap();
    let gateway = Gateway::start(&program, &[]).await.unwrap();
    let mut turns = in_mid_session().into_iter();
    let turn =
        turns.find(|turn| turn.on == Transport::WebSocket && turn.name == "all connections reset").unwrap();
    let line = &turn.before.line;
    let network = Network::start(gateway.clients(), gateway.clients(), line).await.unwrap();
    turn.before.befall(&network);
    let scene = Scene {
        admin: gateway.admin(),
        network: &network,
        line,
        name: "smoke",
        client: Client::Chromium(&chromium),
        on: turn.on,
        strike: &|network| turn.strike(network),
        heal: &|network| turn.heal(network),
        is_busy: true,
        quiet: turn.quiet,
        heartbeat: Duration::from_secs(15),
    };
    let played = scene.play().await.unwrap();
    chromium.quit().await;
    assert!(network.tcp.counters().struck > 0, "there was something to reset");
    assert!(played.healed.is_some() && played.back.is_some(), "{played:?}");
    assert!(played.down.is_clean() && played.up.is_clean(), "{played:?}");
}
