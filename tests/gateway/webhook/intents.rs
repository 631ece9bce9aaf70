//! What clients send, handled by an application over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use throughline::upstream::webhook::{Webhook, WebhookConfig};
use throughline_wire::Codec;

use super::application::{Application, Asked};
use crate::kit::{
    running::{Plan, Running},
    speech::hello,
    websocket::Socket,
};

async fn gateway(config: WebhookConfig) -> Running {
    Running::with(Plan { webhook: Some(Webhook::new(config).unwrap()), ..Plan::default() }).await
}

/// A client that is known.
pub(super) async fn client(gateway: &Running) -> Socket {
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    assert!(socket.hear(|frame| frame["type"] == "ping").await);
    let nonce = socket.heard.first("ping").unwrap()["nonce"].clone();
    socket.say_frames(&[json!({"type": "pong", "nonce": nonce})]).await;
    socket
}

pub(super) async fn say(socket: &mut Socket, command: u64, said: Value) {
    socket.say_frames(&[json!({"type": "commands", "first": command, "items": [said]})]).await;
}

pub(super) fn send(channel: &str, data: Value) -> Value {
    json!({"type": "send", "channel": channel, "data": data})
}

/// The result of a command.
pub(super) async fn result(socket: &mut Socket, command: u64) -> Value {
    let find =
        |frame: &Value| frame["items"].as_array()?.iter().find(|item| item["command"] == command).cloned();
    if !socket.heard.0.iter().any(|frame| find(frame).is_some()) {
        assert!(socket.hear(|frame| find(frame).is_some()).await, "{:?}", socket.heard);
    }
    socket.heard.0.iter().find_map(find).unwrap()
}

fn session(socket: &Socket) -> Value {
    socket.heard.first("welcome").unwrap()["session"].clone()
}

#[tokio::test]
async fn the_application_is_told_everything_that_was_said_and_its_answer_is_the_reply() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let mut socket = client(&gateway).await;
    let said = json!({
        "type": "send", "channel": "game:1", "name": "move", "id": "k1", "meta": {"trace": "1"},
        "data": {"to": [1, 2.50]},
    });
    say(&mut socket, 1, said).await;
    let asked = application.asked().await;
    let Value::String(id) = session(&socket) else { panic!("no id") };
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(asked.header("idempotency-key"), format!("{id}.1"));
    let mut event = asked.event.clone();
    assert!(event["time"].take().as_u64().is_some_and(|time| time > 1_700_000_000_000));
    assert_eq!(
        event,
        json!({
            "type": "intent", "id": format!("{id}.1"), "time": null, "session": id, "command": 1,
            "channel": "game:1", "name": "move", "sendId": "k1", "meta": {"trace": "1"},
            "data": {"to": [1, 2.50]},
        })
    );
    asked.answer(&json!({"data": {"accepted": true}}));
    let reply = result(&mut socket, 1).await;
    assert_eq!((&reply["ok"], &reply["data"]), (&json!(true), &json!({"accepted": true})));
    assert_eq!(reply.get("position"), None, "nothing was published");
}

#[tokio::test]
async fn bytes_go_both_ways_as_base64() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, json!({"type": "send", "channel": "a", "bytes": "AAEC"})).await;
    let asked = application.asked().await;
    assert_eq!((&asked.event["bytes"], asked.event.get("data")), (&json!("AAEC"), None));
    asked.answer(&json!({"bytes": "/w=="}));
    assert_eq!(result(&mut socket, 1).await["bytes"], "/w==");
}

#[tokio::test]
async fn an_answer_may_publish_what_was_said_or_something_else() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, json!({"type": "subscribe", "channel": "chat"})).await;
    result(&mut socket, 1).await;
    say(&mut socket, 2, send("chat", json!("hello"))).await;
    application.asked().await.answer(&json!({"publish": true}));
    let reply = result(&mut socket, 2).await;
    assert_eq!(reply["position"]["offset"], 1, "{reply}");
    say(&mut socket, 3, send("chat", json!("again"))).await;
    let events =
        json!([{"channel": "log", "data": 1}, {"channel": "chat", "name": "shout", "data": "AGAIN"}]);
    application.asked().await.answer(&json!({"publish": events}));
    assert_eq!(result(&mut socket, 3).await["position"]["offset"], 2);
    let is_second = |item: &Value| item["type"] == "event" && item["offset"] == 2;
    let has = |frame: &Value| frame["items"].as_array().is_some_and(|items| items.iter().any(is_second));
    assert!(socket.heard.0.iter().any(has) || socket.hear(has).await);
    let items = socket.heard.0.iter().filter_map(|frame| frame["items"].as_array()).flatten();
    let events: Vec<&Value> = items.filter(|item| item["type"] == "event").collect();
    assert_eq!((&events[0]["data"], &events[0]["sender"]["session"]), (&json!("hello"), &session(&socket)));
    assert_eq!((&events[1]["data"], &events[1]["name"]), (&json!("AGAIN"), &json!("shout")));
    assert_eq!(events[1].get("sender"), None, "the application said that");
}

#[tokio::test]
async fn a_refusal_of_the_application_is_the_clients_own() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, send("a", json!(1))).await;
    application
        .asked()
        .await
        .answer(&json!({"error": {"code": "not_your_turn", "message": "wait", "retryable": true}}));
    let reply = result(&mut socket, 1).await;
    assert_eq!(
        reply["error"],
        json!({"code": "not_your_turn", "message": "wait", "retryable": true}),
        "{reply}"
    );
}

#[tokio::test]
async fn what_fails_for_now_is_asked_again_under_the_same_id() {
    let mut application = Application::start().await;
    let gateway = gateway(WebhookConfig { attempts: 5, ..application.config() }).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, send("a", json!(1))).await;
    let mut ids = Vec::new();
    for status in [502, 503, 504, 429] {
        let asked = application.asked().await;
        ids.push((asked.header("idempotency-key").to_owned(), asked.event.clone()));
        asked.answer_by(status, &[("retry-after", "0")], "");
    }
    let asked = application.asked().await;
    assert!(ids.iter().all(|(id, event)| id == asked.header("idempotency-key") && *event == asked.event));
    asked.answer(&json!({"data": "at last"}));
    assert_eq!(result(&mut socket, 1).await["data"], "at last");
}

#[tokio::test]
async fn an_application_that_cannot_be_reached_is_given_up() {
    let mut application = Application::start().await;
    let config = WebhookConfig { attempts: 2, ..application.config() };
    let gateway = gateway(config).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, send("a", json!(1))).await;
    for _ in 0..2 {
        application.asked().await.answer_by(503, &[("retry-after", "0")], "");
    }
    assert_eq!(result(&mut socket, 1).await["error"]["code"], "handler_failed");
    drop(application);
    say(&mut socket, 2, send("a", json!(1))).await;
    assert_eq!(result(&mut socket, 2).await["error"]["code"], "handler_failed");
}

#[tokio::test]
async fn a_wait_that_would_outlast_the_intent_is_not_begun() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, send("a", json!(1))).await;
    application.asked().await.answer_by(503, &[("retry-after", "3600")], "");
    assert_eq!(result(&mut socket, 1).await["error"]["code"], "handler_failed");
    assert!(!application.is_asked());
}

#[tokio::test]
async fn an_answer_that_stays_away_is_a_time_out() {
    let application = Application::start().await;
    let config = WebhookConfig { attempts: 2, timeout: Duration::from_millis(100), ..application.config() };
    let gateway = gateway(config).await;
    let mut socket = client(&gateway).await;
    // Nobody takes what the application is asked meanwhile, so nobody answers.
    say(&mut socket, 1, send("a", json!(1))).await;
    assert_eq!(result(&mut socket, 1).await["error"]["code"], "timed_out");
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure_at_once() {
    let mut application = Application::start().await;
    let gateway = gateway(WebhookConfig { answer_bytes: 1_000, ..application.config() }).await;
    let mut socket = client(&gateway).await;
    let large = format!("{{\"data\":\"{}\"}}", "x".repeat(1_000));
    let answers = [(200, &*large), (200, "<html>"), (200, "{\"dta\": 1}"), (500, ""), (307, "")];
    for (command, (status, body)) in (1..).zip(answers) {
        say(&mut socket, command, send("a", json!(1))).await;
        application.asked().await.answer_by(status, &[("location", "/hook")], body);
        let reply = result(&mut socket, command).await;
        assert_eq!(reply["error"]["code"], "handler_failed", "{status} {body}");
        assert!(!application.is_asked(), "{status} {body}");
    }
}

#[tokio::test]
async fn a_slow_answer_holds_up_neither_another_session_nor_another_channel() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let (mut slow, mut quick) = (client(&gateway).await, client(&gateway).await);
    say(&mut slow, 1, send("a", json!("first"))).await;
    let held = application.asked().await;
    say(&mut slow, 2, send("a", json!("second"))).await;
    say(&mut slow, 3, send("b", json!("beside"))).await;
    let beside = application.asked().await;
    assert_eq!(beside.event["data"], "beside");
    beside.answer(&json!({}));
    assert_eq!(result(&mut slow, 3).await["ok"], true);
    say(&mut quick, 1, send("a", json!("other"))).await;
    let other = application.asked().await;
    assert_eq!(other.event["data"], "other");
    other.answer(&json!({}));
    assert_eq!(result(&mut quick, 1).await["ok"], true);
    assert!(!application.is_asked(), "the second waits for the first");
    held.answer(&json!({}));
    let second = application.asked().await;
    assert_eq!(second.event["data"], "second");
    second.answer(&json!({}));
    assert_eq!(result(&mut slow, 2).await["ok"], true);
}

#[tokio::test]
async fn where_as_many_wait_as_may_the_next_is_told_at_once() {
    let mut application = Application::start().await;
    let gateway = gateway(WebhookConfig { requests: 1, waiting: 1, ..application.config() }).await;
    let mut socket = client(&gateway).await;
    say(&mut socket, 1, send("a", json!(1))).await;
    let first = application.asked().await;
    say(&mut socket, 2, send("b", json!(2))).await;
    say(&mut socket, 3, send("c", json!(3))).await;
    let reply = result(&mut socket, 3).await;
    assert_eq!((&reply["error"]["code"], &reply["error"]["retryable"]), (&json!("overloaded"), &json!(true)));
    let answer = |asked: Asked| asked.answer(&json!({}));
    answer(first);
    answer(application.asked().await);
    assert_eq!(result(&mut socket, 1).await["ok"], true);
    assert_eq!(result(&mut socket, 2).await["ok"], true);
}
