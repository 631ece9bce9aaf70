//! One simulated player: joins, thinks, answers, and adds up what the game's channel says.

// What is measured is the time of day, on one machine; thoughts are random.
#![allow(clippy::disallowed_methods)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use throughline_client::{
    Config, Events, Incoming, SendError, Session, SubscribeFrom, Transport, Via,
    wire::{ChannelName, Json, Meta, Payload, Token},
};
use tokio::{
    task::AbortHandle,
    time::{interval_at, sleep},
};

use crate::game::News;

/// A player to be.
#[derive(Clone, Debug)]
pub(crate) struct Performer {
    /// Which one: decides on the transport, and on what it thinks.
    pub number: usize,
    /// The quiz.
    pub url: String,
    /// The game.
    pub code: String,
    /// How long a link lives.
    pub cut: Duration,
    /// How long it thinks at most.
    pub think: Duration,
}

/// What became of one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Its seat.
    pub player: u32,
    /// What it ran on.
    pub transport: String,
    /// What it has by the deltas that it was told.
    pub score: u64,
    /// What it has sent and was accepted.
    pub sent: Vec<Sent>,
    /// How many of its links were cut.
    pub cuts: u64,
}

/// An answer that was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// To which question.
    pub question: usize,
    /// When it was sent, in microseconds since the Unix epoch.
    pub at_us: u64,
}

/// Plays to the end of the game.
///
/// # Errors
/// Where the gateway, the game or the count is not as it should be.
pub(crate) async fn play(performer: Performer) -> anyhow::Result<Tally> {
    let Performer { number, url, code, cut, think } = performer;
    let (transport, via) = vias(number);
    let auth = Token::new(format!("player.simulated-player-{number:04}"));
    let mut config = Config { auth: Some(auth), ..Config::new(url) };
    if let Some(via) = via {
        config = config.only(via);
    }
    let (session, mut events) = Session::connect(config)?;
    let channel = ChannelName::parse(&format!("game:{code}")).map_err(|code| anyhow::anyhow!("{code:?}"))?;
    session.subscribe(channel.clone(), SubscribeFrom::Now).await?;
    let joined = say(&session, &channel, "join", json!({ "name": format!("Player {number}") })).await?;
    let player: u32 = serde_json::from_value(joined["player"].clone())?;

    let cutting = Cutting::begin(&session, cut, number as u32);
    let mut random = number as u64 + 1;
    let (mut score, mut answering) = (0, Vec::new());
    loop {
        match heard(&mut events).await?.0 {
            News::Asked { question, .. } => {
                let (pause, choice) = (draw(&mut random) % think.as_millis() as u64, draw(&mut random) % 4);
                let (session, channel) = (session.clone(), channel.clone());
                answering.push(tokio::spawn(async move {
                    sleep(Duration::from_millis(pause)).await;
                    let at_us = micros();
                    let answer = json!({ "question": question.index, "choice": choice });
                    say(&session, &channel, "answer", answer).await?;
                    anyhow::Ok(Sent { question: question.index, at_us })
                }));
            }
            News::Closed { scores, .. } => {
                if let Some((_, points, sum)) = scores.into_iter().find(|(seat, ..)| *seat == player) {
                    score += points;
                    ensure!(score == sum, "{score} by the deltas, {sum} by the game");
                }
            }
            News::Over { .. } => break,
            _ => {}
        }
    }
    let mut sent = Vec::new();
    for answer in answering {
        sent.push(answer.await??);
    }
    let cuts = cutting.end();
    session.close().await;
    Ok(Tally { player, transport: transport.to_owned(), score, sent, cuts })
}

/// Says something to the game, again where it is asked to.
///
/// # Errors
/// Where it is refused for good, or nobody knows what became of it.
pub(crate) async fn say(
    session: &Session,
    channel: &ChannelName,
    name: &str,
    data: Value,
) -> anyhow::Result<Value> {
    loop {
        let text = Json::parse(data.to_string().as_bytes()).map_err(|code| anyhow::anyhow!("{code:?}"))?;
        let said = session.send(channel.clone(), Some(name), None, Meta::default(), Payload::Json(text));
        match said.await {
            Ok(accepted) => return payload(&accepted.payload),
            Err(SendError::Rejected(error)) if error.retryable => sleep(Duration::from_millis(20)).await,
            Err(error) => return Err(error).with_context(|| format!("{name} in {channel}")),
        }
    }
}

/// The next piece of news, and when it was published, in milliseconds since the Unix epoch; a gap would be a fault here.
///
/// # Errors
/// Where the session, or part of what was said, is lost.
pub(crate) async fn heard(events: &mut Events) -> anyhow::Result<(News, u64)> {
    loop {
        match events.next().await.context("the session has ended")? {
            Incoming::Event { event, .. } => {
                let news = json!({ "name": event.name, "data": payload::<Value>(&event.payload)? });
                match serde_json::from_value(news)? {
                    News::Kicked { .. } | News::Ended { .. } => bail!("the game was left"),
                    news => return Ok((news, event.time)),
                }
            }
            Incoming::Gap { gap, .. } => bail!("part of the game is lost: {gap:?}"),
            Incoming::SessionLost { reason } => bail!("the session is lost: {reason:?}"),
            Incoming::Unsubscribed { unsubscribed, .. } => bail!("the channel is lost: {unsubscribed:?}"),
            _ => {}
        }
    }
}

fn payload<T: DeserializeOwned>(payload: &Payload) -> anyhow::Result<T> {
    let Payload::Json(json) = payload else { bail!("no JSON") };
    Ok(serde_json::from_str(json.as_str())?)
}

/// Cuts a session's links, one after the other.
pub(crate) struct Cutting {
    task: AbortHandle,
    cuts: Arc<AtomicU64>,
}

impl Cutting {
    /// Begins; `number` spreads those of different sessions over the time between two cuts.
    pub(crate) fn begin(session: &Session, every: Duration, number: u32) -> Self {
        let (session, cuts) = (session.clone(), Arc::<AtomicU64>::default());
        let first = tokio::time::Instant::now() + every.mul_f64(f64::from(number * 61 % 100) / 100.0);
        let counted = Arc::clone(&cuts);
        let task = tokio::spawn(async move {
            let mut times = interval_at(first, every);
            loop {
                times.tick().await;
                session.cut().await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { task: task.abort_handle(), cuts }
    }

    /// Ends; how many there were.
    pub(crate) fn end(self) -> u64 {
        self.task.abort();
        self.cuts.load(Ordering::Relaxed)
    }
}

/// What the players of a game run on, one after the other; the last finds out by itself.
fn vias(number: usize) -> (&'static str, Option<Via>) {
    let all = [
        ("webtransport", Some(Via::bincode(Transport::WebTransport))),
        ("websocket", Some(Via::bincode(Transport::WebSocket))),
        ("sse", Some(Via::json(Transport::Sse))),
        ("polling", Some(Via::json(Transport::Polling))),
        ("negotiated", None),
    ];
    all[number % all.len()]
}

/// The time, in microseconds since the Unix epoch.
pub(crate) fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// The next of a series of numbers that look drawn (splitmix64).
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
