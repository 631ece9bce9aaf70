//! Who may subscribe, send, see presence and read history, as a client meets it.

use serde_json::{Value, json};
use throughline::{
    Builder,
    auth::{Namespace, Rules, Who},
};
use throughline_wire::Codec;

use super::{hello_by, plan, seconds, token, token_with};
use crate::kit::{
    running::{Plan, Running},
    speech::Known,
    websocket::Socket,
};

fn ruled(builder: Builder) -> Builder {
    let news = Namespace { publish: Who::Nobody, ..Namespace::default() };
    let inbox = Namespace { subscribe: Who::Owner, history: Who::Owner, ..Namespace::default() };
    let room = Namespace { subscribe: Who::Granted, ..Namespace::default() };
    let live = Namespace { history: Who::Nobody, ..Namespace::default() };
    let rules = Rules::new([("news", news), ("inbox", inbox), ("room", room), ("live", live)]);
    builder.authenticate(super::tokens()).authorize(rules.with_tokens(super::tokens()))
}

async fn gateway() -> Running {
    Running::with(Plan { build: ruled, ..plan() }).await
}

/// Enters, says one command after the other, and gives the error of each, or nothing.
async fn asked(gateway: &Running, token: &str, commands: &[Value]) -> Vec<Option<String>> {
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    let said = json!({"type": "commands", "first": 1, "items": commands});
    socket.say_frames(&[hello_by(token)]).await;
    assert!(socket.hear(|frame| frame["type"] == "welcome").await, "{:?}", socket.heard.0);
    socket.say_frames(&[said]).await;
    let mut answers = vec![None; commands.len()];
    for number in 1..=commands.len() as u64 {
        let answers_it = |item: &Value| item["command"] == number;
        let is_there =
            |frame: &Value| frame["items"].as_array().is_some_and(|items| items.iter().any(answers_it));
        if !socket.heard.0.iter().any(is_there) {
            assert!(socket.hear(is_there).await, "{:?}", socket.heard.0);
        }
        let mut items = socket.heard.0.iter().filter_map(|frame| frame["items"].as_array()).flatten();
        let answer = items.find(|item| answers_it(item)).unwrap();
        answers[number as usize - 1] = answer["error"]["code"].as_str().map(Into::into);
    }
    answers
}

fn subscribe(channel: &str) -> Value {
    json!({"type": "subscribe", "channel": channel})
}

fn with(mut command: Value, member: &str, value: Value) -> Value {
    command[member] = value;
    command
}

fn send(channel: &str) -> Value {
    json!({"type": "send", "channel": channel, "data": 1})
}

const FORBIDDEN: Option<&str> = Some("forbidden");

async fn assert_answers(gateway: &Running, token: &str, table: &[(Value, Option<&str>)]) {
    let commands: Vec<Value> = table.iter().map(|(command, _)| command.clone()).collect();
    for (answer, (command, expected)) in asked(gateway, token, &commands).await.iter().zip(table) {
        assert_eq!(answer.as_deref(), *expected, "{command}");
    }
}

#[tokio::test]
async fn a_user_may_what_the_rules_say_and_no_more() {
    let gateway = gateway().await;
    let table = [
        (subscribe("news:world"), None),
        (send("news:world"), FORBIDDEN),
        (subscribe("inbox:ann"), None),
        (with(subscribe("inbox:ann"), "from", json!({"last": 5})), None),
        (subscribe("inbox:bob"), FORBIDDEN),
        (subscribe("inbox"), None), // no namespace: the rule of all others
        (subscribe("room:7"), FORBIDDEN),
        (send("room:7"), FORBIDDEN),
        (with(subscribe("news:sport"), "presence", json!(true)), FORBIDDEN),
        (subscribe("live:match"), None),
        (with(subscribe("live:other"), "from", json!({"last": 5})), FORBIDDEN),
        (subscribe("$user:ann"), None),
        (subscribe("$user:bob"), FORBIDDEN),
        (subscribe("$health"), FORBIDDEN),
        (send("$user:ann"), Some("reserved_channel")),
    ];
    assert_answers(&gateway, &token("ann"), &table).await;
    let refused = table.iter().filter(|(_, expected)| *expected == FORBIDDEN).count() as u64;
    assert_eq!(gateway.refusals("forbidden"), refused);
}

#[tokio::test]
async fn a_tokens_grants_add_to_the_rules() {
    let gateway = gateway().await;
    let channels = json!({"room:*": ["subscribe", "publish"], "room:7": ["presence"], "news:*": ["publish"]});
    let table = [
        (subscribe("room:8"), None),
        (send("room:8"), None),
        (with(subscribe("room:8"), "presence", json!(true)), FORBIDDEN),
        (with(subscribe("room:7"), "presence", json!(true)), None),
        (send("rooms:8"), FORBIDDEN),
        (send("news:world"), FORBIDDEN), // nobody is nobody
    ];
    assert_answers(&gateway, &token_with("ann", json!({"channels": channels})), &table).await;
}

#[tokio::test]
async fn a_subscription_may_show_a_token_of_its_own() {
    let gateway = gateway().await;
    let shown = |user: Value, changes: Value| {
        let mut changes = changes;
        changes["sub"] = user;
        with(subscribe("room:7"), "token", json!(token_with("", changes)))
    };
    let unauthorized = Some("unauthorized");
    let table = [
        (shown(json!("ann"), json!({"channel": "room:8"})), unauthorized),
        (shown(json!("bob"), json!({"channel": "room:7"})), unauthorized),
        (shown(json!("ann"), json!({"channel": "room:7", "exp": seconds() - 1.0})), unauthorized),
        (shown(json!("ann"), json!({"channel": "room:7", "aud": "elsewhere"})), unauthorized),
        (shown(json!("ann"), json!({})), unauthorized), // a user's own token is none
        (with(subscribe("room:7"), "token", json!("room:7")), unauthorized),
        (shown(json!("ann"), json!({"channel": "room:7"})), None),
        (with(shown(Value::Null, json!({"channel": "room:7"})), "presence", json!(true)), None),
    ];
    assert_answers(&gateway, &token("ann"), &table).await;
}

#[tokio::test]
async fn a_session_that_is_rebuilt_is_asked_again_and_holds_what_it_may_have_now() {
    let gateway = gateway().await;
    let granting = token_with("ann", json!({"channels": {"room:*": ["subscribe"]}}));
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    let commands =
        json!({"type": "commands", "first": 1, "items": [subscribe("room:7"), subscribe("news:a")]});
    socket.say_frames(&[hello_by(&granting), commands]).await;
    let subscribed = |channel: &'static str| {
        move |frame: &Value| {
            let items = frame["items"].as_array().into_iter().flatten();
            items.into_iter().any(|item| item["type"] == "subscribed" && item["channel"] == channel)
        }
    };
    if !socket.heard.0.iter().any(subscribed("news:a")) {
        assert!(socket.hear(subscribed("news:a")).await);
    }
    let mut positions = serde_json::Map::new();
    for frame in &socket.heard.0 {
        for item in frame["items"].as_array().into_iter().flatten() {
            positions.insert(item["channel"].as_str().unwrap().into(), item["position"].clone());
        }
    }
    assert_eq!(positions.len(), 2, "{:?}", socket.heard.0);
    let mut known: Known = super::known(&socket.heard);
    let mut resume = known.resume();
    resume["instance"] = json!("loaded again");
    resume["resume"]["positions"] = Value::Object(positions);
    resume["auth"] = json!(token("ann"));
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[resume]).await;
    let lost = |frame: &Value| {
        let items = frame["items"].as_array().into_iter().flatten();
        items.into_iter().any(|item| item["type"] == "unsubscribed" && item["channel"] == "room:7")
    };
    assert!(socket.hear(lost).await, "{:?}", socket.heard.0);
    if !socket.heard.0.iter().any(subscribed("news:a")) {
        assert!(socket.hear(subscribed("news:a")).await);
    }
    assert!(!socket.heard.0.iter().any(subscribed("room:7")));
}
