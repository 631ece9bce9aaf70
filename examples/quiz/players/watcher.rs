//! The host of a rehearsal: makes the game, moves it on, and notes when the leaderboard's deltas come.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use serde_json::{Value, json};
use throughline_client::{
    Config, Events, Session, SubscribeFrom,
    wire::{ChannelName, Token},
};

use super::performer::{Cutting, heard, micros, say};
use crate::{game::News, view::View};

/// A host whose game is open.
pub(crate) struct Watcher {
    /// The game.
    pub code: String,
    session: Session,
    events: Events,
    channel: ChannelName,
    cut: Duration,
}

/// What a host has seen.
pub(crate) struct Watched {
    /// When the delta of an answer came, by question and player.
    pub seen: BTreeMap<(usize, u32), Seen>,
    /// The scores by the deltas.
    pub scores: BTreeMap<u32, u64>,
    /// The game as it was at the end.
    pub last: View,
    /// How many links were cut.
    pub cuts: u64,
}

/// The delta of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When it was published, in milliseconds since the Unix epoch.
    pub published_ms: u64,
    /// When the host had it, in microseconds since the Unix epoch.
    pub at_us: u64,
}

impl Watcher {
    /// Makes a game of so many questions.
    ///
    /// # Errors
    /// Where the quiz refuses.
    pub(crate) async fn open(url: &str, questions: usize, cut: Duration) -> anyhow::Result<Self> {
        let auth = Token::new(format!("host.rehearsal-{:016x}", micros()));
        let (session, events) = Session::connect(Config { auth: Some(auth), ..Config::new(url) })?;
        let created =
            say(&session, &named("quiz")?, "create", json!({ "seconds": 20, "questions": questions }))
                .await?;
        let code = created["code"].as_str().unwrap_or_default().to_owned();
        let channel = named(&format!("host:{code}"))?;
        session.subscribe(channel.clone(), SubscribeFrom::Now).await?;
        Ok(Self { code, session, events, channel, cut })
    }

    /// Waits for the players, plays the game with them, and says what was seen.
    ///
    /// # Errors
    /// Where the gateway or the game is not as it should be.
    pub(crate) async fn watch(mut self, players: usize) -> anyhow::Result<Watched> {
        let (mut seen, mut scores) = (BTreeMap::new(), BTreeMap::new());
        let mut asked = 0;
        while scores.len() < players {
            if let News::Joined { player, .. } = heard(&mut self.events).await?.0 {
                scores.insert(player, 0);
            }
        }
        let cutting = Cutting::begin(&self.session, self.cut, 50);
        self.say("start", Value::Null).await?;
        loop {
            let (news, published_ms) = heard(&mut self.events).await?;
            match news {
                News::Asked { question, .. } => asked = question.index,
                News::Scored { player, points, score, .. } => {
                    let now = Seen { published_ms, at_us: micros() };
                    ensure!(seen.insert((asked, player), now).is_none(), "scored twice");
                    let sum = scores.entry(player).or_default();
                    *sum += points;
                    ensure!(*sum == score, "{sum} by the deltas, {score} by the game");
                }
                News::Closed { step, .. } | News::Standings { step } => {
                    self.say("next", json!({ "step": step })).await?;
                }
                News::Over { .. } => break,
                _ => {}
            }
        }
        let snapshot = self.say("state", Value::Null).await?;
        let last = serde_json::from_value(snapshot["state"].clone())?;
        let cuts = cutting.end();
        self.session.close().await;
        Ok(Watched { seen, scores, last, cuts })
    }

    async fn say(&self, name: &str, data: Value) -> anyhow::Result<Value> {
        say(&self.session, &self.channel, name, data).await
    }
}

fn named(name: &str) -> anyhow::Result<ChannelName> {
    ChannelName::parse(name).map_err(|code| anyhow::anyhow!("{name}: {code:?}"))
}
