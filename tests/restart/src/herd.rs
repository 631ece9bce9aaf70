//! Many sessions in one process, on a [`Mix`] of transports; each holds two channels, one that all hold and one of its
//! room.
//!
//! Whoever began the process says what to wait for ([`Order`], a line of JSON each), and is told when it is so ([`Told`]).
//! The herd ends with its standard input, so that none outlives whoever began it.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use throughline_client::{Transport, Via};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    dial::By,
    log::{Events, Log},
    member::Running,
    sender::Sender,
    tally::Tally,
};

/// The channel that all hold.
pub(crate) const CROWD: &str = "crowd";

/// The channel of a room.
pub(crate) fn room(number: u32) -> String {
    format!("room.{number}")
}

/// How many rooms there are for so many sessions, a hundred in each.
pub(crate) fn rooms(sessions: u32) -> u32 {
    sessions.div_ceil(100).max(1)
}

/// What the clients of a herd run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Mix {
    /// Half of them on the best that there is, half on polling alone.
    Halves,
    /// 45 of 100 on WebSocket alone, 30 on polling, 20 on event streams; 5 on the best that there is, which is WebTransport.
    All,
}

impl Mix {
    /// What a client wants, and what it is told to use alone.
    pub(crate) fn wants(self, client: u32) -> (By, Option<Via>) {
        let only = |by, via| (by, Some(via));
        match (self, client % 20) {
            (Self::Halves, n) if n.is_multiple_of(2) => (By::WebSocket, None),
            (Self::Halves, _) => only(By::Polling, Via::bincode(Transport::Polling)),
            (Self::All, 0..=8) => only(By::WebSocket, Via::bincode(Transport::WebSocket)),
            (Self::All, 9..=14) => only(By::Polling, Via::bincode(Transport::Polling)),
            (Self::All, 15..=18) => only(By::Sse, Via::json(Transport::Sse)),
            (Self::All, _) => (By::WebTransport, None),
        }
    }
}

/// Who comes, and from where.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// The gateway.
    #[arg(long)]
    pub url: String,
    /// The address that connections come from.
    #[arg(long)]
    pub from: Ipv4Addr,
    /// The number of the first client.
    #[arg(long)]
    pub first: u32,
    /// How many clients there are.
    #[arg(long)]
    pub sessions: u32,
    /// What they run on.
    #[arg(long, value_enum)]
    pub mix: Mix,
    /// How many rooms they are in.
    #[arg(long)]
    pub rooms: u32,
    /// How many begin in a second.
    #[arg(long)]
    pub pace: u32,
    /// How many things clients send in a second, all of them together; the application behind the webhook takes them.
    #[arg(long)]
    pub sends: u32,
    /// When the run began, in milliseconds since the Unix epoch.
    #[arg(long)]
    pub since_ms: u64,
    /// How long anything may take, in milliseconds.
    #[arg(long)]
    pub patience_ms: u64,
}

/// What a herd is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Know that the gateway is about to go: settled is from now on who was told so of each channel.
    Unsettle,
    /// Wait until all are settled.
    Settle,
    /// Wait until all have this mark in each channel.
    Mark(u64),
    /// Send nothing more, and wait until it is known of all that was sent how it ended.
    Hush,
    /// Tell what happened.
    Tell,
}

/// What a herd answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// It is so.
    Done,
    /// It is not so, and the time is over; who is still missing, for a person.
    Missing(Vec<String>),
    /// What happened.
    Events(Box<Events>),
}

/// Runs a herd until its standard input ends.
///
/// # Errors
/// When a session cannot be made, or an order cannot be read.
pub async fn run(plan: &Plan) -> Result<()> {
    let (read, mut orders) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if read.send(line).await.is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    let (log, tally) = (Arc::new(Log::new(plan.since_ms)), Arc::new(Tally::default()));
    let mut members = Vec::new();
    let begun = Instant::now();
    for number in 0..plan.sessions {
        sleep_until(begun + Duration::from_secs(number.into()) / plan.pace.max(1)).await;
        // A machine that is slow gets no crowd at its door that it would not have otherwise.
        tally.settled_at_least(number.saturating_sub(WAVE)).await;
        members.push(Running::join(plan, number, &log, &tally)?);
    }
    let members = Arc::new(members);
    let sender = Sender::begin(plan.sends, &members, &log);
    let herd = Herd { plan, log, tally, members, sender };
    let mut out = tokio::io::stdout();
    while let Some(line) = orders.recv().await {
        let order = serde_json::from_str(&line).context("an order")?;
        let mut told = serde_json::to_vec(&herd.carry_out(order).await)?;
        told.push(b'\n');
        out.write_all(&told).await?;
        out.flush().await?;
    }
    Ok(())
}

struct Herd<'a> {
    plan: &'a Plan,
    log: Arc<Log>,
    tally: Arc<Tally>,
    members: Arc<Vec<Running>>,
    sender: Sender,
}

impl Herd<'_> {
    async fn carry_out(&self, order: Order) -> Told {
        let patience = Duration::from_millis(self.plan.patience_ms);
        let sessions = self.plan.sessions;
        let in_time = match order {
            Order::Unsettle => {
                self.tally.begin_round();
                self.members.iter().for_each(|member| member.unsettle(&self.tally));
                return Told::Done;
            }
            Order::Tell => {
                let mut events = self.log.so_far();
                self.members.iter().for_each(|member| events.account += member.account());
                return Told::Events(Box::new(events));
            }
            Order::Hush => timeout(patience, self.sender.hush()).await,
            Order::Settle => timeout(patience, self.tally.settled_at_least(sessions)).await,
            Order::Mark(mark) => timeout(patience, self.tally.all_marked(mark, sessions)).await,
        };
        match in_time {
            Ok(()) => Told::Done,
            Err(_) => {
                let missing = self.members.iter().filter(|member| !member.has(order));
                Told::Missing(missing.map(Running::describe).take(FEW).collect())
            }
        }
    }
}

/// How many may be on their way to what they want, in the beginning.
const WAVE: u32 = 250;

/// How many of those who are missing are described.
const FEW: usize = 5;
