//! The application: a [`tower::Service`] of intents that hands each to the lane of its game.
//!
//! Three kinds of channels. To `quiz` a host says `create`. `game:CODE` is what all in a game hear; players say `join`,
//! `answer` and `state` to it. `host:CODE` is what the game's host alone hears, and where `start`, `next`, `kick` and `state`
//! are said. Nobody but the game publishes to any of them, and each game publishes from its lane alone. So `state` is
//! answered with a game as it is *at a position of the channel*: what comes after the one comes after the other.
//!
//! An intent's time is that at which the gateway took it, so neither a full lane nor a slow one costs a player points.

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use throughline::{
    broker::{Broker, BrokerError},
    channel::{Channel, NewEvent},
    session::Now,
    upstream::{Intent, IntentResult},
    wire::{ChannelName, ErrorCode, Json, Payload, Position, ReplyError, item::Accepted},
};
use tokio::sync::oneshot;
use tower::Service;

use crate::{
    game::{Audience, Bounds, Effect, Game, News, Who, Wish},
    lanes::{Lane, Refused, Work},
    questions,
    record::Record,
    refusal::Refusal,
};

/// What bounds a quiz.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuizConfig {
    /// How many games there may be. Default: 500.
    pub games: usize,
    /// How many of them one host may have. Default: 3.
    pub games_of_host: usize,
    /// How many of them may be of hosts from one address, as one host may be many by name. Default: 50.
    pub games_of_address: usize,
    /// How many intents of one game may wait; one more is refused as `busy`. Default: 512.
    pub room: usize,
    /// What bounds each game.
    pub bounds: Bounds,
}

impl Default for QuizConfig {
    fn default() -> Self {
        Self { games: 500, games_of_host: 3, games_of_address: 50, room: 512, bounds: Bounds::default() }
    }
}

/// All games. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Quiz {
    shared: Arc<Shared>,
}

struct Shared {
    config: QuizConfig,
    broker: Arc<dyn Broker>,
    record: Record,
    clock: fn() -> Now,
    random: fn() -> u64,
    games: Mutex<HashMap<String, Hosted>>,
    /// Where hosts came from that were let in: all who have a game, and some who have none yet.
    hosts: Mutex<HashMap<Box<str>, IpAddr>>,
}

/// A game, from outside its lane.
struct Hosted {
    host: Box<str>,
    address: IpAddr,
    lane: Lane<Job>,
}

impl Quiz {
    /// A quiz without games, which publishes to this broker.
    pub(crate) fn new(
        config: QuizConfig,
        broker: Arc<dyn Broker>,
        record: Record,
        clock: fn() -> Now,
        random: fn() -> u64,
    ) -> Self {
        let (games, hosts) = Default::default();
        Self { shared: Arc::new(Shared { config, broker, record, clock, random, games, hosts }) }
    }

    /// A host is let in from this address.
    pub(crate) fn let_in(&self, host: &str, address: IpAddr) {
        let Shared { config, games, hosts, .. } = &*self.shared;
        let mut hosts = hosts.lock();
        if hosts.len() >= 4 * config.games {
            let games = games.lock();
            hosts.retain(|host, _| games.values().any(|game| game.host == *host));
        }
        hosts.insert(host.into(), address);
    }

    /// Whether there is a game of this code.
    pub(crate) fn has_game(&self, code: &str) -> bool {
        self.shared.games.lock().get(code).is_some_and(|game| !game.lane.is_over())
    }

    /// Whether this user made the game.
    pub(crate) fn is_host(&self, code: &str, user: &str) -> bool {
        self.shared.games.lock().get(code).is_some_and(|game| *game.host == *user)
    }

    async fn create(&self, intent: Intent) -> IntentResult {
        #[derive(Deserialize)]
        struct Create {
            seconds: u64,
            questions: usize,
        }
        let user = intent.user.filter(|user| user.starts_with("host:")).ok_or(Refusal::Forbidden)?;
        let Create { seconds, questions } = read(&intent.said.payload)?;
        if !(5..=120).contains(&seconds) || !(1..=questions::COUNT).contains(&questions) {
            return Err(Refusal::Malformed.into());
        }
        let shared = &self.shared;
        // Before a channel is opened for it: the broker keeps channels for a while, and has room for so many.
        // Of whom nothing is known, or no more, all count as of one address.
        let address = shared.hosts.lock().get(&user).copied().unwrap_or(UNKNOWN);
        drop(self.room(&user, address)?);
        let code = loop {
            let code = code((shared.random)());
            if !shared.games.lock().contains_key(&code) {
                break code;
            }
        };
        let open = async |namespace: &str| {
            let name = ChannelName::parse(&format!("{namespace}:{code}")).map_err(ReplyError::from)?;
            shared.broker.open(&name).await.map_err(failed)
        };
        let work = GameWork {
            game: Game::new(
                &code,
                questions::deck(questions),
                seconds * 1_000,
                shared.config.bounds,
                intent.time,
            ),
            channel: open("game").await?,
            host_channel: open("host").await?,
            broker: Arc::clone(&shared.broker),
            record: shared.record.clone(),
            clock: shared.clock,
        };
        // Others may have been made meanwhile.
        let mut games = self.room(&user, address)?;
        let lane = Lane::open(work, shared.config.room);
        games.insert(code.clone(), Hosted { host: user, address, lane });
        Ok(Accepted { position: None, payload: json(&serde_json::json!({ "code": code }))? })
    }

    /// The games, where there is room for one more of this host. Those that have ended take none.
    fn room(&self, host: &str, address: IpAddr) -> Result<MutexGuard<'_, HashMap<String, Hosted>>, Refusal> {
        let QuizConfig { games: all, games_of_host, games_of_address, .. } = self.shared.config;
        let mut games = self.shared.games.lock();
        games.retain(|_, game| !game.lane.is_over());
        let of_host = games.values().filter(|game| *game.host == *host).count();
        let of_address = games.values().filter(|game| game.address == address).count();
        let has_room = games.len() < all && of_host < games_of_host && of_address < games_of_address;
        if has_room { Ok(games) } else { Err(Refusal::TooManyGames) }
    }

    /// Puts an intent into the lane of its game, and waits for what comes of it.
    async fn hand_over(&self, intent: Intent) -> IntentResult {
        let (namespace, code) = intent.said.channel.as_str().split_once(':').ok_or(Refusal::GameUnknown)?;
        let user = intent.user.ok_or(Refusal::Forbidden)?;
        let wish = wish(&intent.said.name, &intent.said.payload)?;
        let (answer, answered) = oneshot::channel();
        {
            let games = self.shared.games.lock();
            let game = games.get(code).ok_or(Refusal::GameUnknown)?;
            let is_host = *game.host == *user;
            if is_host != (namespace == "host") {
                return Err(Refusal::Forbidden.into());
            }
            let job = Job { time: intent.time, user, is_host, wish, answer };
            game.lane.put(job).map_err(|refused| match refused {
                Refused::Full => Refusal::Busy,
                Refused::Over => Refusal::GameEnded,
            })?;
        }
        answered.await.unwrap_or_else(|_| Err(Refusal::GameEnded.into()))
    }
}

impl Service<Intent> for Quiz {
    type Response = Accepted;
    type Error = ReplyError;
    type Future = Pin<Box<dyn Future<Output = IntentResult> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ReplyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        let quiz = self.clone();
        Box::pin(async move {
            match (intent.said.channel.as_str(), intent.said.name.as_deref()) {
                ("quiz", Some("create")) => quiz.create(intent).await,
                ("quiz", _) => Err(Refusal::Malformed.into()),
                _ => quiz.hand_over(intent).await,
            }
        })
    }
}

/// What a lane does for one user; `wish` is absent where it only shows the game.
struct Job {
    time: u64,
    user: Box<str>,
    is_host: bool,
    wish: Option<Wish>,
    answer: oneshot::Sender<IntentResult>,
}

/// A game in its lane.
struct GameWork {
    game: Game,
    /// Held, so that the broker keeps the channels and their epochs for as long as the game.
    channel: Arc<Channel>,
    host_channel: Arc<Channel>,
    broker: Arc<dyn Broker>,
    record: Record,
    clock: fn() -> Now,
}

impl Work for GameWork {
    type Job = Job;

    async fn carry_out(&mut self, job: Job) {
        let Job { time, user, is_host, wish, answer } = job;
        let who = if is_host { Who::Host } else { Who::User(&user) };
        let result = self.answer(time, who, wish).await;
        // Whoever asked may be told `timed_out` already.
        let _ = answer.send(result);
    }

    fn rest(&self) -> Option<Duration> {
        let deadline = self.game.deadline()?;
        Some(Duration::from_millis(deadline.saturating_sub((self.clock)().wall_ms)))
    }

    async fn wake(&mut self) {
        let effects = self.advance((self.clock)().wall_ms);
        if let Err(error) = self.carry(effects).await {
            tracing::warn!(%error, "what a game says is lost");
        }
    }
}

impl GameWork {
    fn advance(&mut self, now: u64) -> Vec<Effect> {
        // Its page hears the host's channel, also while it has no link for a moment.
        self.game.attend(now, self.host_channel.listeners() > 0);
        self.game.advance(now)
    }

    async fn answer(&mut self, time: u64, who: Who<'_>, wish: Option<Wish>) -> IntentResult {
        // What was taken after the deadline comes after the deadline.
        let passed = self.advance(time);
        self.carry(passed).await.map_err(failed)?;
        let Some(wish) = wish else { return self.show(who) };
        let (player, effects) = self.game.handle(time, who, wish)?;
        let Landed { game, host } = self.carry(effects).await.map_err(failed)?;
        let position = if who == Who::Host { host } else { game };
        Ok(Accepted { position, payload: json(&serde_json::json!({ "player": player }))? })
    }

    /// The game as it is at the newest position of the channel that was asked.
    fn show(&self, who: Who<'_>) -> IntentResult {
        #[derive(Serialize)]
        struct Snapshot<S> {
            state: S,
            position: Place,
        }
        #[derive(Serialize)]
        struct Place {
            epoch: String,
            offset: u64,
        }
        let channel = if who == Who::Host { &self.host_channel } else { &self.channel };
        let Position { epoch, offset } = channel.log().head();
        let position = Place { epoch: epoch.to_string(), offset: offset.get() };
        let state = self.game.view((self.clock)().wall_ms, who);
        Ok(Accepted { position: None, payload: json(&Snapshot { state, position })? })
    }

    /// Notes and says what followed, in order; where the first of it landed.
    async fn carry(&self, effects: Vec<Effect>) -> Result<Landed, BrokerError> {
        let mut landed = Landed::default();
        for effect in effects {
            match effect {
                Effect::Note(entry) => self.record.append(&entry),
                Effect::Say(audience, news) => {
                    if audience != Audience::Host {
                        let position = self.say(&self.channel, &news).await?;
                        landed.game.get_or_insert(position);
                    }
                    if audience != Audience::Players {
                        let position = self.say(&self.host_channel, &news).await?;
                        landed.host.get_or_insert(position);
                    }
                }
            }
        }
        Ok(landed)
    }

    async fn say(&self, channel: &Channel, news: &News) -> Result<Position, BrokerError> {
        let news = serde_json::to_value(news).expect("numbers and text");
        let payload = json(&news["data"]).expect("checked where it came in");
        let event = NewEvent { name: news["name"].as_str().map(Into::into), payload, ..NewEvent::default() };
        self.broker.publish(channel.name(), event).await
    }
}

/// Where the first piece of news landed.
#[derive(Default)]
struct Landed {
    game: Option<Position>,
    host: Option<Position>,
}

/// What an intent says; `None` is `state`.
fn wish(name: &Option<Box<str>>, payload: &Payload) -> Result<Option<Wish>, Refusal> {
    #[derive(Deserialize)]
    struct Join {
        name: String,
    }
    #[derive(Deserialize)]
    struct Answer {
        question: usize,
        choice: usize,
    }
    #[derive(Deserialize)]
    struct Next {
        step: u64,
    }
    #[derive(Deserialize)]
    struct Kick {
        player: u32,
    }
    Ok(Some(match name.as_deref().unwrap_or_default() {
        "state" => return Ok(None),
        "start" => Wish::Start,
        "join" => Wish::Join(read::<Join>(payload)?.name),
        "answer" => read(payload).map(|Answer { question, choice }| Wish::Answer { question, choice })?,
        "next" => read(payload).map(|Next { step }| Wish::Next { step })?,
        "kick" => read(payload).map(|Kick { player }| Wish::Kick(player))?,
        _ => return Err(Refusal::Malformed),
    }))
}

fn read<T: DeserializeOwned>(payload: &Payload) -> Result<T, Refusal> {
    let Payload::Json(json) = payload else { return Err(Refusal::Malformed) };
    serde_json::from_str(json.as_str()).map_err(|_| Refusal::Malformed)
}

fn json(value: &impl Serialize) -> Result<Payload, ReplyError> {
    let text = serde_json::to_vec(value).map_err(|_| ErrorCode::Internal)?;
    Ok(Payload::Json(Json::parse(&text)?))
}

fn failed(error: BrokerError) -> ReplyError {
    ErrorCode::from(error).into()
}

/// Four letters that nobody mistakes for others when they are read from a wall, and that make no words.
fn code(mut random: u64) -> String {
    const LETTERS: &[u8; 24] = b"BCDFGHJKLMNPQRSTVWXZ3479";
    let mut letter = || {
        let index = (random % LETTERS.len() as u64) as usize;
        random /= LETTERS.len() as u64;
        char::from(LETTERS[index])
    };
    (0..4).map(|_| letter()).collect()
}

/// Where hosts came from of whom nothing is known.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
