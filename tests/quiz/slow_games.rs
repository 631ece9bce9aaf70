//! A game that is slow, on a real gateway: it refuses what it has no room for, and another goes on.

use std::sync::Arc;

use serde_json::{Value, json};
use throughline::{
    broker::{Broker, BrokerError, Memory, MemoryConfig, Pending, Tail, Usage},
    channel::{Channel, NewEvent},
    session::Now,
};
use throughline_client::{
    Config, SendError, Session,
    wire::{ChannelName, Json, Meta, Payload, Position, Token},
};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::{
    quiz::QuizConfig,
    record::Record,
    server::{self, Server},
};

/// A broker in memory that is slow with the events of one game, from when it is told until it is let go.
struct SlowWith {
    memory: Memory,
    /// The game.
    slow: watch::Receiver<Option<String>>,
    /// A permit for each event that has come to wait.
    waits: Arc<Semaphore>,
}

impl Broker for SlowWith {
    fn open<'a>(&'a self, channel: &'a ChannelName) -> Pending<'a, Result<Arc<Channel>, BrokerError>> {
        self.memory.open(channel)
    }

    fn publish<'a>(
        &'a self,
        channel: &'a ChannelName,
        event: NewEvent,
    ) -> Pending<'a, Result<Position, BrokerError>> {
        Box::pin(async move {
            let is_quick = |slow: &Option<String>| slow.as_deref() != channel.as_str().split(':').nth(1);
            let mut slow = self.slow.clone();
            if !is_quick(&slow.borrow()) {
                self.waits.add_permits(1);
                slow.wait_for(is_quick).await.expect("whoever slows it lives");
            }
            self.memory.publish(channel, event).await
        })
    }

    fn report_to(&self, tail: Arc<dyn Tail>) {
        self.memory.report_to(tail);
    }

    fn maintain(&self, now: Now) {
        self.memory.maintain(now);
    }

    fn usage(&self) -> &Usage {
        self.memory.usage()
    }
}

async fn connect(server: &Server, credential: &str) -> Session {
    let config =
        Config { auth: Some(Token::new(credential)), ..Config::new(format!("http://{}", server.address)) };
    Session::connect(config).unwrap().0
}

async fn say(session: &Session, channel: &str, name: &str, data: Value) -> Result<Value, SendError> {
    let payload = Payload::Json(Json::parse(data.to_string().as_bytes()).unwrap());
    let channel = ChannelName::parse(channel).unwrap();
    let accepted = session.send(channel, Some(name), None, Meta::default(), payload).await?;
    let Payload::Json(json) = accepted.payload else { panic!("no JSON") };
    Ok(serde_json::from_str(json.as_str()).unwrap())
}

fn code_of(error: &SendError) -> (&str, bool) {
    let SendError::Rejected(error) = error else { panic!("{error:?}") };
    (&error.code, error.retryable)
}

#[tokio::test]
async fn a_game_that_is_slow_refuses_what_it_has_no_room_for_and_another_goes_on() {
    let (slow, of_broker) = watch::channel(None);
    let waits = Arc::new(Semaphore::new(0));
    let broker = Arc::new(SlowWith {
        memory: Memory::new(MemoryConfig::default(), server::now, server::random),
        slow: of_broker,
        waits: Arc::clone(&waits),
    });
    let config = QuizConfig { room: 2, ..QuizConfig::default() };
    let server = Server::start_on("127.0.0.1:0", config, Record::default(), broker).await.unwrap();
    let host = connect(&server, "host.of-both-the-games").await;
    let create = async || {
        let created = say(&host, "quiz", "create", json!({ "seconds": 20, "questions": 1 })).await.unwrap();
        format!("game:{}", created["code"].as_str().unwrap())
    };
    let (stuck, free) = (create().await, create().await);
    slow.send(stuck.split_once(':').map(|(_, code)| code.to_owned())).unwrap();

    // One join holds the lane, two wait, and one is too many. Each is of a player of their own, as a gateway hands over
    // one intent of a session and a channel after the other.
    let mut players = Vec::new();
    for number in 0..4 {
        players.push(connect(&server, &format!("player.who-has-the-number-{number}")).await);
    }
    let (to, mut results) = mpsc::unbounded_channel();
    for (number, player) in players.iter().enumerate() {
        let (player, stuck, to) = (player.clone(), stuck.clone(), to.clone());
        tokio::spawn(async move {
            let joined = say(&player, &stuck, "join", json!({ "name": format!("player {number}") })).await;
            let _ = to.send(joined);
        });
        if number == 0 {
            waits.acquire().await.unwrap().forget(); // it holds the lane
        }
    }
    let refused = results.recv().await.unwrap().unwrap_err();
    assert_eq!(code_of(&refused), ("busy", true), "three are in its lane, and no more");

    let elsewhere = connect(&server, "player.of-the-other-game").await;
    let joined = say(&elsewhere, &free, "join", json!({ "name": "Ann" })).await.unwrap();
    assert_eq!(joined["player"], 1, "another game goes on");
    assert!(results.try_recv().is_err(), "the slow one is slow yet");

    slow.send(None).unwrap();
    let mut seats = Vec::new();
    for _ in 0..3 {
        seats.push(results.recv().await.unwrap().unwrap()["player"].as_u64().unwrap());
    }
    seats.sort_unstable();
    assert_eq!(seats, [1, 2, 3], "what waited is done");
}

#[tokio::test]
async fn there_are_as_many_games_as_there_may_be() {
    for config in [
        QuizConfig { games: 1, ..QuizConfig::default() },
        QuizConfig { games_of_host: 1, ..QuizConfig::default() },
        QuizConfig { games_of_address: 1, ..QuizConfig::default() },
    ] {
        one_game_and_no_more(config).await;
    }
}

#[tokio::test]
async fn a_host_has_as_many_games_as_it_may_and_leaves_the_rest_to_others() {
    let config = QuizConfig { games_of_host: 1, ..QuizConfig::default() };
    let server = Server::start("127.0.0.1:0", config, Record::default()).await.unwrap();
    let create = json!({ "seconds": 20, "questions": 1 });
    for secret in ["host.one-of-two-hosts-here", "host.the-other-host-of-both"] {
        let host = connect(&server, secret).await;
        say(&host, "quiz", "create", create.clone()).await.unwrap();
        let refused = say(&host, "quiz", "create", create.clone()).await.unwrap_err();
        assert_eq!(code_of(&refused), ("too_many_games", true));
    }
}

#[tokio::test]
async fn a_host_who_came_before_many_others_makes_a_game_as_they_do() {
    let config = QuizConfig { games: 1, ..QuizConfig::default() };
    let server = Server::start("127.0.0.1:0", config, Record::default()).await.unwrap();
    let mut hosts = Vec::new();
    for number in 0..4 * config.games + 1 {
        let host = connect(&server, &format!("host.who-has-the-number-{number}")).await;
        let refused = say(&host, "quiz", "dance", json!({})).await.unwrap_err();
        assert_eq!(code_of(&refused), ("malformed", false), "it is here");
        hosts.push(host);
    }
    say(&hosts[0], "quiz", "create", json!({ "seconds": 20, "questions": 1 })).await.unwrap();
}

async fn one_game_and_no_more(config: QuizConfig) {
    let broker = Arc::new(Memory::new(MemoryConfig::default(), server::now, server::random));
    let server = Server::start_on("127.0.0.1:0", config, Record::default(), broker.clone()).await.unwrap();
    let host = connect(&server, "host.with-too-many-games").await;
    let create = json!({ "seconds": 20, "questions": 1 });
    say(&host, "quiz", "create", create.clone()).await.unwrap();
    for _ in 0..3 {
        let refused = say(&host, "quiz", "create", create.clone()).await.unwrap_err();
        assert_eq!(code_of(&refused), ("too_many_games", true));
    }
    assert_eq!(broker.usage().channels(), 2, "those of the game; what is refused takes no room");
}
