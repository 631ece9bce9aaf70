//! Who may hear and say what, on a real gateway; and that a snapshot and the events after it are the whole game.

use serde_json::{Value, json};
use throughline_client::{
    Config, Events, Incoming, SendError, Session, SubscribeError, SubscribeFrom,
    wire::{ChannelName, Epoch, Json, Meta, Offset, Payload, Position, Token},
};

use crate::{door, quiz::QuizConfig, record::Record, server::Server};

struct Guest {
    session: Session,
    events: Events,
}

impl Guest {
    fn of(server: &Server, credential: &str) -> Self {
        let config = Config {
            auth: Some(Token::new(credential)),
            ..Config::new(format!("http://{}", server.address))
        };
        let (session, events) = Session::connect(config).unwrap();
        Self { session, events }
    }

    async fn says(&self, channel: &str, name: &str, data: Value) -> Result<Value, String> {
        let payload = Payload::Json(Json::parse(data.to_string().as_bytes()).unwrap());
        let said = self.session.send(named(channel), Some(name), None, Meta::default(), payload).await;
        match said {
            Ok(accepted) => {
                let Payload::Json(json) = accepted.payload else { panic!("no JSON") };
                Ok(serde_json::from_str(json.as_str()).unwrap())
            }
            Err(SendError::Rejected(error)) => Err(error.code.into()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn hears(&self, channel: &str, from: SubscribeFrom) -> Result<(), String> {
        match self.session.subscribe(named(channel), from).await {
            Ok(_) => Ok(()),
            Err(SubscribeError::Rejected(error)) => Err(error.code.into()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn creates(&self) -> String {
        let created = self.says("quiz", "create", json!({ "seconds": 20, "questions": 2 })).await.unwrap();
        created["code"].as_str().unwrap().to_owned()
    }

    /// The names of the next events, up to this one.
    async fn hears_until(&mut self, last: &str) -> Vec<String> {
        let mut names = Vec::new();
        while names.last().map(String::as_str) != Some(last) {
            match self.events.next().await.unwrap() {
                Incoming::Event { event, .. } => names.push(event.name.unwrap().into()),
                Incoming::Gap { gap, .. } => panic!("{gap:?}"),
                _ => {}
            }
        }
        names
    }
}

fn named(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

async fn served() -> Server {
    Server::start("127.0.0.1:0", QuizConfig::default(), Record::default()).await.unwrap()
}

const HOST: &str = "host.0123456789abcdef";
const OTHER_HOST: &str = "host.fedcba9876543210";
const PLAYER: &str = "player.0123456789abcdef";

#[test]
fn a_user_is_a_digest_of_a_secret_that_is_long_enough() {
    assert_eq!(door::user(HOST), door::user(HOST));
    assert_ne!(door::user(HOST), door::user(OTHER_HOST));
    assert!(!door::user(HOST).unwrap().contains("0123456789abcdef"));
    for credential in ["", "host", "host.short", "admin.0123456789abcdef", "player.0123456789 abcdef"] {
        assert_eq!(door::user(credential), None, "{credential:?}");
    }
}

#[tokio::test]
async fn only_the_host_of_a_game_hears_and_speaks_on_its_hosts_channel() {
    let server = served().await;
    let (host, other, player) =
        (Guest::of(&server, HOST), Guest::of(&server, OTHER_HOST), Guest::of(&server, PLAYER));
    let code = host.creates().await;
    let (game, hosts) = (format!("game:{code}"), format!("host:{code}"));
    for guest in [&other, &player] {
        assert_eq!(guest.hears(&hosts, SubscribeFrom::Now).await.unwrap_err(), "forbidden");
        assert_eq!(guest.says(&hosts, "start", json!({})).await.unwrap_err(), "forbidden");
        assert_eq!(guest.says(&game, "start", json!({})).await.unwrap_err(), "forbidden");
    }
    assert_eq!(
        player.says("quiz", "create", json!({ "seconds": 20, "questions": 1 })).await.unwrap_err(),
        "forbidden"
    );
    assert_eq!(host.says(&game, "join", json!({ "name": "host" })).await.unwrap_err(), "forbidden");
    player.says(&game, "join", json!({ "name": "Ann" })).await.unwrap();
    host.hears(&hosts, SubscribeFrom::Now).await.unwrap();
    host.says(&hosts, "start", json!({})).await.unwrap();
}

#[tokio::test]
async fn nobody_reaches_games_that_are_not_and_channels_that_are_nobodys() {
    let server = served().await;
    let player = Guest::of(&server, PLAYER);
    for channel in ["game:NONE", "host:NONE"] {
        assert_eq!(player.hears(channel, SubscribeFrom::Now).await.unwrap_err(), "game_unknown");
        assert_eq!(player.says(channel, "state", json!({})).await.unwrap_err(), "game_unknown");
    }
    for channel in ["quiz", "elsewhere", "news:today"] {
        assert_eq!(player.hears(channel, SubscribeFrom::Now).await.unwrap_err(), "forbidden");
    }
    assert_eq!(player.says("elsewhere", "state", json!({})).await.unwrap_err(), "forbidden");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let server = served().await;
    let (host, player) = (Guest::of(&server, HOST), Guest::of(&server, PLAYER));
    let game = format!("game:{}", host.creates().await);
    for (name, data) in [("dance", json!({})), ("join", json!({})), ("answer", json!({ "question": "one" }))]
    {
        assert_eq!(player.says(&game, name, data).await.unwrap_err(), "malformed", "{name}");
    }
    for data in [json!({ "seconds": 1, "questions": 1 }), json!({ "seconds": 20, "questions": 999 })] {
        assert_eq!(host.says("quiz", "create", data).await.unwrap_err(), "malformed");
    }
}

#[tokio::test]
async fn players_hear_no_score_before_the_question_closes_and_the_host_hears_each() {
    let server = served().await;
    let (mut host, mut player, other) =
        (Guest::of(&server, HOST), Guest::of(&server, PLAYER), Guest::of(&server, "player.fedcba9876543210"));
    let code = host.creates().await;
    let (game, hosts) = (format!("game:{code}"), format!("host:{code}"));
    player.hears(&game, SubscribeFrom::Now).await.unwrap();
    host.hears(&hosts, SubscribeFrom::Now).await.unwrap();
    player.says(&game, "join", json!({ "name": "Ann" })).await.unwrap();
    other.says(&game, "join", json!({ "name": "Bob" })).await.unwrap();
    host.says(&hosts, "start", json!({})).await.unwrap();
    player.says(&game, "answer", json!({ "question": 0, "choice": 1 })).await.unwrap();
    host.says(&hosts, "next", json!({ "step": 1 })).await.unwrap();
    assert_eq!(player.hears_until("closed").await, ["joined", "joined", "asked", "answered", "closed"]);
    assert_eq!(host.hears_until("closed").await, ["joined", "joined", "asked", "scored", "closed"]);
}

#[tokio::test]
async fn a_snapshot_and_what_follows_its_position_are_the_whole_game() {
    let server = served().await;
    let (host, player, mut late) =
        (Guest::of(&server, HOST), Guest::of(&server, PLAYER), Guest::of(&server, "player.fedcba9876543210"));
    let code = host.creates().await;
    let (game, hosts) = (format!("game:{code}"), format!("host:{code}"));
    player.says(&game, "join", json!({ "name": "Ann" })).await.unwrap();
    let snapshot = late.says(&game, "state", json!({})).await.unwrap();
    assert_eq!(snapshot["state"]["players"][0]["name"], "Ann");
    assert_eq!(snapshot["state"]["phase"], "lobby");
    // What happens between the snapshot and the subscription is behind the snapshot's position.
    host.says(&hosts, "start", json!({})).await.unwrap();
    let position = Position {
        epoch: Epoch::parse(snapshot["position"]["epoch"].as_str().unwrap()).unwrap(),
        offset: Offset::new(snapshot["position"]["offset"].as_u64().unwrap()).unwrap(),
    };
    late.hears(&game, SubscribeFrom::Position(position)).await.unwrap();
    assert_eq!(late.hears_until("asked").await, ["asked"]);
}
