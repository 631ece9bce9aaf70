//! Other systems on the same networks: their own server and their own client, as their documentation sets them up. A server
//! that cannot be had where the clients come from is a stub of its protocol.
//!
//! A peer is a program of Node (`peers/peer.mjs`): it serves, it starts again and again, or it stays and tells of each event.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::join_all;
use serde_json::Value;

use crate::faults::{Strike, TcpFaults, Upgrades, Whom};
use crate::figures::Figures;
use crate::hostile::{Hostile, from_the_start};
use crate::network::Network;
use crate::node::Node;

/// Those that can be run here.
pub const PEERS: [&str; 5] = ["socket.io", "socket.io, WebSocket first", "sockjs", "signalr", "centrifuge"];
/// Those of them whose server is a stub.
pub(crate) const STUBS: [&str; 2] = ["signalr", "centrifuge"];

/// Node, and the folder that holds `peer.mjs` and what it imports.
#[derive(Clone, Debug)]
pub struct Peers {
    /// The folder.
    pub folder: PathBuf,
    /// Rounds of each cold start.
    pub rounds: usize,
}

/// How a peer's cold start went.
#[derive(Clone, Debug)]
pub struct PeerStart {
    /// The first event; none if it never came.
    pub first_event: Option<Figures>,
    /// Rounds in which no event came in time.
    pub failed: usize,
}

/// How a peer came through a silence: after what time since an event was due the next came; none if none did.
pub type PeerSilence = Option<Duration>;

/// What peers made of it all.
#[derive(Clone, Debug, Default)]
pub struct PeerRows {
    /// Versions, as their packages state them.
    pub versions: Vec<String>,
    /// Cold starts: the network's name, and what each peer made of it.
    pub cold: Vec<(&'static str, Vec<Result<PeerStart, String>>)>,
    /// Silences in mid-session.
    pub silences: Vec<(&'static str, Vec<Result<PeerSilence, String>>)>,
}

impl Peers {
    /// Plays what concerns peers; UDP does not.
    pub async fn play(&self, say: &dyn Fn(&str)) -> PeerRows {
        let mut rows = PeerRows { versions: self.versions(), ..PeerRows::default() };
        let hostile = from_the_start().into_iter().filter(|hostile| COLD.contains(&hostile.name));
        for hostile in hostile {
            say(&format!("peers, cold start: {}", hostile.name));
            let starts = join_all(PEERS.map(|peer| self.start(peer, &hostile))).await;
            rows.cold.push((hostile.name, starts.into_iter().map(in_words).collect()));
        }
        // They wait nearly all of their time.
        let silenced = TcpFaults { upgrades: Upgrades::Silenced, ..TcpFaults::default() };
        let silences = [
            ("WebSockets silenced", silenced, Whom::Upgraded),
            ("the path falls silent, another works", TcpFaults::default(), Whom::All),
        ];
        rows.silences = join_all(silences.map(async |(name, faults, whom)| {
            say(&format!("peers, mid-session: {name}"));
            let silences = join_all(PEERS.map(|peer| self.silence(peer, faults.clone(), whom))).await;
            (name, silences.into_iter().map(in_words).collect())
        }))
        .await;
        rows
    }

    fn versions(&self) -> Vec<String> {
        let version = |package: &str| {
            let text =
                std::fs::read(self.folder.join("node_modules").join(package).join("package.json")).ok()?;
            let text: Value = serde_json::from_slice(&text).ok()?;
            Some(format!("{package} {}", text["version"].as_str()?))
        };
        let packages =
            ["socket.io", "socket.io-client", "sockjs", "sockjs-client", "@microsoft/signalr", "centrifuge"];
        packages.into_iter().filter_map(version).collect()
    }

    async fn start(&self, peer: &str, hostile: &Hostile) -> Result<PeerStart> {
        let server = self.serve(peer, hostile).await?;
        let url = format!("http://{}", server.network.address());
        let mut client = self.node(&["start", peer, &url, &self.rounds.to_string()])?;
        let said = client.next(ROUND * u32::try_from(self.rounds)?).await?;
        let took = said["first"].as_array().context("it says how long it took")?;
        let times: Vec<_> =
            took.iter().filter_map(Value::as_f64).map(|ms| Duration::from_secs_f64(ms / 1e3)).collect();
        Ok(PeerStart { failed: took.len() - times.len(), first_event: Figures::of(times) })
    }

    async fn silence(&self, peer: &str, faults: TcpFaults, whom: Whom) -> Result<PeerSilence> {
        let server = self.serve(peer, &from_the_start()[1]).await?;
        let mut client = self.node(&["stay", peer, &format!("http://{}", server.network.address())])?;
        let deadline = Instant::now() + Duration::from_secs(3);
        // It is given time to get to its best transport.
        while Instant::now() < deadline {
            client.next(Duration::from_secs(10)).await?;
        }
        server.network.tcp.meddle(faults);
        server.network.strike(whom, Strike::Silence);
        let struck = Instant::now();
        // Of what was under way some may still be read; then an event is due.
        let due = struck + EVENTS_EVERY + server.round_trip;
        loop {
            match client.next(PATIENCE).await {
                Ok(_) if Instant::now() <= due => {}
                Ok(_) => return Ok(Some(due.elapsed())),
                Err(_) if client.is_running() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    async fn serve(&self, peer: &str, hostile: &Hostile) -> Result<Server> {
        let mut process = self.node(&["serve", peer])?;
        let said = process.next(Duration::from_secs(10)).await?;
        let port =
            said["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("it says its port")?;
        let address = (std::net::Ipv4Addr::LOCALHOST, port).into();
        let network = Network::start(address, address, &hostile.line).await?;
        hostile.befall(&network);
        Ok(Server { _process: process, network, round_trip: hostile.line.round_trip() })
    }

    fn node(&self, arguments: &[&str]) -> Result<Node> {
        Node::start(&self.folder.join("peer.mjs"), arguments, &[])
    }
}

struct Server {
    _process: Node,
    network: Network,
    round_trip: Duration,
}

fn in_words<T>(played: Result<T>) -> Result<T, String> {
    played.map_err(|error| format!("{error:#}"))
}

/// The networks that they are started on: what becomes of UDP is nothing to them.
const COLD: [&str; 6] = [
    "UDP dropped",
    "UDP dropped, upgrade never answered",
    "UDP dropped, upgrade refused with 403",
    "UDP dropped, upgrade accepted, then silent",
    "UDP dropped, streams held back",
    "all but POST: UDP dropped, upgrade never answered, streams held back",
];
/// How often their servers say something.
const EVENTS_EVERY: Duration = Duration::from_millis(100);
/// How long a round of a cold start may take: what `peer.mjs` waits for an event, and a second.
const ROUND: Duration = Duration::from_secs(16);
/// How long a peer may take to find out that nothing comes any more.
const PATIENCE: Duration = Duration::from_secs(60);
