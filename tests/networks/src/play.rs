//! Plays everything, and keeps what came of it for [`report`](crate::report).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures_util::{StreamExt, future::join_all, stream};
use throughline_client::SubscribeFrom;

use crate::chromium::{Browser, Chromium};
use crate::client::Client;
use crate::cold::{ColdStart, cold_start};
use crate::faults::{Passage, TcpFaults};
use crate::gateway::Gateway;
use crate::hostile::{Hostile, Turn, from_the_start, in_mid_session};
use crate::ledger::Account;
use crate::line::Line;
use crate::midsession::{MidSession, Scene};
use crate::network::Network;
use crate::peers::{PeerRows, Peers};
use crate::proxies::{Kind, Programs, Proxy};
use crate::route::{By, Route};
use crate::traffic::{Arrivals, Publisher, Sender};

/// What to play, and with what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway's executable.
    pub gateway: PathBuf,
    /// The proxies' programs.
    pub programs: Programs,
    /// A browser for the client in TypeScript, if there is one on this machine.
    pub browser: Option<Browser>,
    /// Other systems, if they are on this machine.
    pub peers: Option<Peers>,
    /// Rounds of each cold start; twice as many where the network is rough.
    pub rounds: usize,
    /// Sessions that each fault falls on in mid-session, all at once.
    pub sessions: usize,
    /// Only what has this in its name.
    pub only: Option<String>,
}

/// A row that could not be played says why.
pub type Played<T> = Result<T, String>;

/// Everything that was played.
#[derive(Debug, Default)]
pub struct Plays {
    /// By the client in Rust.
    pub rust: Side,
    /// By the client in TypeScript, and in which browser.
    pub chromium: Option<(String, Side)>,
    /// By other systems.
    pub peers: Option<PeerRows>,
}

/// What one client made of it all.
#[derive(Debug, Default)]
pub struct Side {
    /// Cold starts.
    pub cold: Vec<(Hostile, Played<ColdStart>)>,
    /// Faults in mid-session: on a busy link, on an idle one.
    pub mid: Vec<(Turn, [Played<Vec<MidSession>>; 2])>,
    /// Real proxies.
    pub proxied: Vec<(Way, Played<ThroughProxy>)>,
}

/// A way through a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// In a few words.
    pub name: &'static str,
    /// The proxy.
    pub kind: Kind,
    asked: Asked,
}

/// How the proxy is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// It stands in front of the gateway, and nobody knows.
    NotAtAll,
    /// For whole addresses.
    Forwarding,
    /// For a tunnel.
    Tunnel,
}

/// What came of going through a proxy.
#[derive(Clone, Debug)]
pub struct ThroughProxy {
    /// The proxy's version.
    pub version: String,
    /// How the cold start went.
    pub cold: ColdStart,
    /// Events that came down a session that ran for a while, and commands that went up.
    pub account: Account,
    /// How many there were of both.
    pub items: u64,
    /// Lines of the proxy's own log about them.
    pub log_lines: usize,
    /// One of them.
    pub log_line: String,
}

/// The ways that are played.
pub(crate) const WAYS: &[Way] = &[
    Way { name: "squid, asked for whole addresses", kind: Kind::Squid, asked: Asked::Forwarding },
    Way { name: "squid, asked for a tunnel", kind: Kind::Squid, asked: Asked::Tunnel },
    Way { name: "tinyproxy, asked for whole addresses", kind: Kind::Tinyproxy, asked: Asked::Forwarding },
    Way { name: "tinyproxy, asked for a tunnel", kind: Kind::Tinyproxy, asked: Asked::Tunnel },
    Way { name: "HAProxy in front", kind: Kind::Haproxy, asked: Asked::NotAtAll },
    Way { name: "nginx in front, `proxy_pass` alone", kind: Kind::NginxPlain, asked: Asked::NotAtAll },
    Way {
        name: "nginx in front, upgrades passed, under `/realtime/`",
        kind: Kind::NginxUpgrade,
        asked: Asked::NotAtAll,
    },
    Way { name: "mitmdump, TLS signed anew, bodies held", kind: Kind::Mitmdump, asked: Asked::Tunnel },
];

/// Plays everything; `say` hears how far it is.
///
/// # Errors
/// When the gateway does not start. What cannot be played is in the rows.
pub async fn play(options: &Options, say: &dyn Fn(&str)) -> Result<Plays> {
    let mut plays = Plays { rust: side(Client::Rust, options, say).await, ..Plays::default() };
    if let Some(browser) = &options.browser {
        let chromium = Chromium::start(browser, None).await?;
        let played = side(Client::Chromium(&chromium), options, say).await;
        plays.chromium = Some((chromium.version.clone(), played));
        chromium.quit().await;
    }
    if let Some(peers) = options.peers.as_ref().filter(|_| options.wants("peers")) {
        plays.peers = Some(peers.play(say).await);
    }
    Ok(plays)
}

/// Everything that one client plays.
async fn side(client: Client<'_>, options: &Options, say: &dyn Fn(&str)) -> Side {
    let (prefix, at_once) = match client {
        Client::Rust => ("rust", AT_ONCE),
        Client::Chromium(_) => ("chromium", AT_ONCE_IN_CHROMIUM),
    };
    let wanted = |name: String| {
        let name = format!("{prefix} {name}");
        options.wants(&name).then(|| say(&name)).is_some()
    };
    let mut side = Side::default();
    for hostile in from_the_start() {
        if wanted(format!("cold {}", hostile.name)) {
            let played = cold(client, options, &hostile).await;
            side.cold.push((hostile, played.map_err(in_words)));
        }
    }
    // They wait nearly all of their time, so some are played at once.
    side.mid = stream::iter(in_mid_session())
        .filter(|turn| std::future::ready(options.wants(&format!("{prefix} mid {} {}", turn.on, turn.name))))
        .map(async |turn: Turn| {
            say(&format!("{prefix} mid {} {}", turn.on, turn.name));
            let (busy, idle) =
                tokio::join!(mid(client, options, &turn, true), mid(client, options, &turn, false));
            let played = [busy.map_err(in_words), idle.map_err(in_words)];
            (turn, played)
        })
        .buffered(at_once)
        .collect()
        .await;
    for way in WAYS {
        if wanted(format!("proxy {}", way.name)) {
            side.proxied.push((*way, proxied(client, options, way).await.map_err(in_words)));
        }
    }
    side
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn in_words(error: anyhow::Error) -> String {
    format!("{error:#}")
}

async fn cold(client: Client<'_>, options: &Options, hostile: &Hostile) -> Result<ColdStart> {
    let gateway = Gateway::start(&options.gateway, &[]).await?;
    let network = Network::start(gateway.clients(), gateway.clients(), &hostile.line).await?;
    hostile.befall(&network);
    let rounds = if hostile.line.is_rough() { 2 * options.rounds } else { options.rounds };
    cold_start(client, gateway.admin(), &Route::to(network.address()), rounds, WATCHED).await
}

/// Each session has a network of its own; they share the gateway.
async fn mid(client: Client<'_>, options: &Options, turn: &Turn, is_busy: bool) -> Result<Vec<MidSession>> {
    let heartbeat = format!("session.heartbeat_ms={}", turn.heartbeat.as_millis());
    let hold = format!("session.poll_hold_ms={}", turn.heartbeat.as_millis());
    let gateway = Gateway::start(&options.gateway, &[&heartbeat, &hold]).await?;
    let line = &turn.before.line;
    let session = async |number: usize| {
        let network = Network::start(gateway.clients(), gateway.clients(), line).await?;
        turn.before.befall(&network);
        let scene = Scene {
            admin: gateway.admin(),
            network: &network,
            line,
            name: &format!("mid-{number}"),
            client,
            on: turn.on,
            strike: &|network| turn.strike(network),
            heal: &|network| turn.heal(network),
            is_busy,
            quiet: turn.quiet,
            heartbeat: turn.heartbeat,
        };
        let played = tokio::time::timeout(SCENE_TAKES, scene.play()).await;
        played.unwrap_or_else(|_| bail!("it takes longer than {} s", SCENE_TAKES.as_secs()))
    };
    let sessions = match client {
        Client::Rust => options.sessions,
        Client::Chromium(_) => options.sessions.min(PAGES),
    };
    join_all((0..sessions).map(session)).await.into_iter().collect()
}

async fn proxied(client: Client<'_>, options: &Options, way: &Way) -> Result<ThroughProxy> {
    let folder = std::env::temp_dir().join(format!("throughline-networks-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let played = through(client, options, way, &folder).await;
    let _ = std::fs::remove_dir_all(&folder);
    played
}

async fn through(
    client: Client<'_>,
    options: &Options,
    way: &Way,
    folder: &std::path::Path,
) -> Result<ThroughProxy> {
    let line = Line::default();
    let certificate = crate::certificate::Files::make(folder)?;
    // A browser asks for a tunnel only where it is to speak TLS in it.
    let is_tls =
        way.kind == Kind::Mitmdump || matches!(client, Client::Chromium(_)) && way.asked == Asked::Tunnel;
    let settings = certificate.settings();
    let settings: Vec<&str> = if is_tls { settings.iter().map(String::as_str).collect() } else { Vec::new() };
    let gateway = Gateway::start(&options.gateway, &settings).await?;
    let proxy = Proxy::start(way.kind, &options.programs, gateway.clients(), folder).await?;
    let network = Network::start(proxy.address, gateway.clients(), &line).await?;
    network.meddle(TcpFaults::default(), Passage::Dropped);
    let route = Route {
        gateway: if way.asked == Asked::NotAtAll { network.address() } else { gateway.clients() },
        base: way.kind.base().to_owned(),
        by: match way.asked {
            Asked::NotAtAll => By::Itself,
            Asked::Forwarding => By::Forwarding(network.address()),
            Asked::Tunnel => By::Tunnel(network.address()),
        },
        trust: match way.kind {
            Kind::Mitmdump => Some(proxy.certificate()?),
            _ if is_tls => Some(certificate.pem()?),
            _ => None,
        },
    };
    let trusting = match (client, &route.trust) {
        (Client::Chromium(chromium), Some(pem)) => Some(chromium.trusting(pem).await?),
        _ => None,
    };
    let client = trusting.as_ref().map_or(client, Client::Chromium);
    let cold = cold_start(client, gateway.admin(), &route, options.rounds, WATCHED).await?;
    let (account, items) = flow(client, &gateway, &route).await?;
    if let Some(trusting) = trusting {
        trusting.quit().await;
    }
    drop((network, gateway)); // what still stands ends, and is logged
    tokio::time::sleep(Duration::from_millis(500)).await;
    let lines = proxy.lines();
    ensure!(!lines.is_empty(), "{} has nothing of it in its log", way.kind.name());
    let version = proxy.version.clone();
    Ok(ThroughProxy {
        version,
        cold,
        account,
        items,
        log_lines: lines.len(),
        log_line: lines[lines.len() / 2].clone(),
    })
}

/// A session that runs for a while: what came of its events and commands, and how many there were.
async fn flow(client: Client<'_>, gateway: &Gateway, route: &Route) -> Result<(Account, u64)> {
    let (session, arriving) = client.connect(route, "flow-down", SubscribeFrom::Now, None).await?;
    let session = Arc::new(session);
    let arrivals = Arrivals::begin(arriving);
    let mut publisher = Publisher::new(gateway.admin(), "flow-down".to_owned());
    ensure!(session.runs_on(PATIENCE, |_| true).await.is_some(), "the session does not run");
    publisher.go_on(Duration::from_millis(20));
    let sender = Sender::go_on(Arc::clone(&session), "flow-up".to_owned(), Duration::from_millis(50));
    tokio::time::sleep(FLOWS_FOR).await;
    let published = publisher.stop().await;
    let mut account = arrivals.account(published, PATIENCE).await;
    let (up, sent) = sender.stop(gateway.admin(), PATIENCE).await?;
    account += up;
    session.close(FLOWS_FOR).await?;
    Ok((account, published + sent))
}

/// How many sessions of each cold start are watched for what they choose.
const WATCHED: usize = 3;
/// How many faults in mid-session are played at once.
const AT_ONCE: usize = 6;
/// How many sessions a fault falls on at most in a browser, where each is a page with a process of its own.
pub(crate) const PAGES: usize = 3;
/// How many faults are played at once there: pages that load beside those that are measured would slow them.
const AT_ONCE_IN_CHROMIUM: usize = 1;
/// How long one fault in mid-session may be played.
const SCENE_TAKES: Duration = Duration::from_secs(150);
/// How long events and commands flow through a proxy.
const FLOWS_FOR: Duration = Duration::from_secs(4);
/// How long the last of them may take.
const PATIENCE: Duration = Duration::from_secs(20);
