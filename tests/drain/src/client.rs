//! One client: a session on one transport, what it hears, and what it makes of the drain.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use throughline_client::{Config, Events, Incoming, LinkChange, SendError, Session, Transport, Via};
use throughline_wire::{ChannelName, Json, Meta, Payload, SubscribeFrom};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{MissedTickBehavior, interval_at},
};

use crate::{application::channel_of, network::Counting};

/// How a client reaches the gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    WebSocket,
    Polling,
    Events,
    /// Opens by another and moves up.
    WebTransport,
}

impl Kind {
    pub(crate) const fn of(n: usize) -> Self {
        match n % 20 {
            0..=8 => Self::WebSocket,
            9..=14 => Self::Polling,
            15..=18 => Self::Events,
            _ => Self::WebTransport,
        }
    }

    fn config(self, url: String) -> Config {
        let config = Config::new(url);
        match self {
            Self::WebSocket => config.only(Via::bincode(Transport::WebSocket)),
            Self::Polling => config.only(Via::bincode(Transport::Polling)),
            Self::Events => config.only(Via::json(Transport::Sse)),
            Self::WebTransport => config,
        }
    }
}

/// What one client has to tell.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How often it was told to leave.
    pub(crate) told: usize,
    /// How long after its time it was back.
    pub(crate) late: Option<Duration>,
    /// Links that ended otherwise.
    pub(crate) lost: Vec<String>,
    pub(crate) gaps: usize,
    /// Events that did not come, and no gap said so.
    pub(crate) silent: usize,
    pub(crate) accepted: Vec<String>,
    pub(crate) unknown: usize,
    pub(crate) refused: Vec<String>,
}

#[derive(Default)]
struct Marks {
    is_settled: AtomicBool,
    has_begun: AtomicBool,
    is_back: AtomicBool,
    is_over: AtomicBool,
}

pub(crate) struct Client {
    marks: Arc<Marks>,
    running: JoinHandle<Ledger>,
}

impl Client {
    pub(crate) fn start(n: usize, kind: Kind, gateway: SocketAddr, network: &Arc<Counting>) -> Self {
        let marks = Arc::<Marks>::default();
        let mut config = kind.config(format!("http://{gateway}"));
        config.dial = Arc::clone(network) as _;
        let channel = ChannelName::parse(&channel_of(n)).expect("a name");
        config.subscriptions = vec![(channel.clone(), SubscribeFrom::Now)];
        let (session, events) = Session::connect(config).expect("a configuration");
        let running = tokio::spawn(run(n, kind, session, events, channel, Arc::clone(&marks)));
        Self { marks, running }
    }

    /// Whether it is where it wants to be.
    pub(crate) fn is_settled(&self) -> bool {
        self.marks.is_settled.load(Ordering::Relaxed)
    }

    /// From now on what happens to it counts.
    pub(crate) fn begin(&self) {
        self.marks.has_begun.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_back(&self) -> bool {
        self.marks.is_back.load(Ordering::Relaxed)
    }

    /// Ends it, and asks what it has to tell.
    pub(crate) fn end(self) -> JoinHandle<Ledger> {
        self.marks.is_over.store(true, Ordering::Relaxed);
        self.running
    }
}

async fn run(
    n: usize,
    kind: Kind,
    session: Session,
    mut events: Events,
    channel: ChannelName,
    marks: Arc<Marks>,
) -> Ledger {
    let mut ledger = Ledger::default();
    let (mut last, mut is_gap_told, mut due) = (None, false, None);
    let first = tokio::time::Instant::now() + SEND * (n as u32 % 100) / 100;
    let mut ticks = interval_at(first, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (to, mut outcomes) = mpsc::unbounded_channel();
    let (mut sent, mut ticked, mut answered) = (0_u64, 0_u32, 0_u64);
    loop {
        let incoming = tokio::select! {
            incoming = events.next() => incoming,
            Some((key, outcome)) = outcomes.recv() => {
                answered += 1;
                match outcome {
                    Ok(_) => ledger.accepted.push(key),
                    Err(SendError::OutcomeUnknown) => ledger.unknown += 1,
                    Err(error) => ledger.refused.push(SendError::to_string(&error)),
                }
                continue;
            }
            _ = ticks.tick() => {
                let is_over = marks.is_over.load(Ordering::Relaxed);
                if is_over && answered == sent {
                    break;
                }
                ticked += 1;
                if is_over || !marks.is_settled.load(Ordering::Relaxed) || ticked % (SEND.as_millis() / TICK.as_millis()) as u32 != 0 {
                    continue;
                }
                sent += 1;
                let (session, channel, to) = (session.clone(), channel.clone(), to.clone());
                let key = format!("{n}-{sent}");
                tokio::spawn(async move {
                    let json = Json::parse(format!("\"{key}\"").as_bytes()).expect("JSON");
                    let outcome = session.send(channel, None, None, Meta::default(), Payload::Json(json)).await;
                    let _ = to.send((key, outcome));
                });
                continue;
            }
        };
        match incoming {
            None => {
                ledger.lost.push("the client has stopped".into());
                break;
            }
            Some(Incoming::Event { event, .. }) => {
                let Payload::Json(number) = &event.payload else { continue };
                let number: u64 = number.as_str().trim().parse().unwrap_or_default();
                if last.is_some_and(|last| number != last + 1) && !is_gap_told {
                    ledger.silent += 1;
                }
                (last, is_gap_told) = (Some(number), false);
            }
            Some(Incoming::Gap { .. }) => {
                is_gap_told = true;
                ledger.gaps += 1;
            }
            Some(Incoming::Link(LinkChange::Up { via, .. })) => {
                if kind != Kind::WebTransport || via.transport == Transport::WebTransport {
                    marks.is_settled.store(true, Ordering::Relaxed);
                }
                if let Some(due) = due.take() {
                    ledger.late = Some(Instant::now().saturating_duration_since(due));
                    marks.is_back.store(true, Ordering::Relaxed);
                }
            }
            Some(Incoming::Link(LinkChange::Down { reason, retry_in, .. })) => {
                if &*reason == "drain" {
                    ledger.told += 1;
                    due = Some(Instant::now() + retry_in);
                } else if marks.has_begun.load(Ordering::Relaxed) {
                    ledger.lost.push(format!("a link was lost: {reason}"));
                }
            }
            Some(_) => {}
        }
    }
    session.close().await;
    ledger
}

/// How often a client says something.
const SEND: Duration = Duration::from_secs(10);
/// How often it looks up.
const TICK: Duration = Duration::from_secs(1);
