//! What became of sessions, told by webhook.

use serde_json::{Value, json};
use throughline::{
    session::SessionConfig,
    upstream::webhook::{Event, Webhook, WebhookConfig},
};
use throughline_wire::{Codec, SessionId};

use super::{
    application::Application,
    intents::{client, result, say, send},
};
use crate::kit::{
    running::{Plan, Running},
    speech::hello,
    websocket::Socket,
};

async fn gateway(config: WebhookConfig) -> Running {
    let events = vec![Event::Session];
    let webhook = Some(Webhook::new(WebhookConfig { events, ..config }).unwrap());
    let session = SessionConfig { presence_grace_ms: 60_000, ..Plan::default().session };
    Running::with(Plan { webhook, session, ..Plan::default() }).await
}

fn session(event: &Value) -> SessionId {
    SessionId::parse(event["session"].as_str().expect("an id")).expect("a legal one")
}

#[tokio::test]
async fn each_turn_of_a_life_is_posted_in_order_under_a_key_of_its_own() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let _socket = client(&gateway).await;
    let opened = application.asked().await;
    let id = opened.event["session"].as_str().unwrap().to_owned();
    assert_eq!(opened.header("idempotency-key"), format!("session.{id}.1"));
    let mut event = opened.event.clone();
    assert!(event["time"].take().as_u64().is_some_and(|time| time > 1_700_000_000_000));
    let run = event["gateway"].take();
    assert!(run.as_str().is_some_and(|run| run.len() == 12), "{run}");
    let expected = json!({
        "type": "session", "id": format!("session.{id}.1"), "time": null, "session": id, "number": 1,
        "kind": "opened", "transport": "websocket", "gateway": null,
    });
    assert_eq!(event, expected);
    gateway.handle.disconnect(session(&opened.event));
    assert!(!application.is_asked(), "the first is not answered yet");
    opened.answer(&json!({}));
    let ended = application.asked().await;
    let said = |member: &str| ended.event[member].clone();
    assert_eq!(
        (said("number"), said("kind"), said("reason")),
        (json!(2), json!("ended"), json!("disconnected"))
    );
    assert_eq!((said("gateway"), ended.event.get("missed")), (run, None));
    ended.answer_by(204, &[], "");
}

#[tokio::test]
async fn what_nobody_answered_is_told_again_under_the_same_key_until_it_is_heard() {
    let mut application = Application::start().await;
    let gateway = gateway(WebhookConfig { attempts: 1, ..application.config() }).await;
    let _socket = client(&gateway).await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        let asked = application.asked().await;
        keys.push(asked.header("idempotency-key").to_owned());
        asked.answer_by(503, &[], "");
    }
    let asked = application.asked().await;
    keys.push(asked.header("idempotency-key").to_owned());
    asked.answer(&json!({}));
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[tokio::test]
async fn what_the_application_refuses_is_given_up_and_the_next_says_so() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let _socket = client(&gateway).await;
    let opened = application.asked().await;
    gateway.handle.disconnect(session(&opened.event));
    opened.answer_by(500, &[], "");
    let ended = application.asked().await;
    assert_eq!((&ended.event["number"], &ended.event["missed"]), (&json!(2), &json!(1)));
    ended.answer(&json!({}));
    let refused = "throughline_webhook_requests_total{event=\"session\",result=\"refused\"}";
    assert_eq!(gateway.metric(refused), 1);
    assert_eq!(gateway.metric("throughline_session_events_total{kind=\"opened\",result=\"failed\"}"), 1);
}

#[tokio::test]
async fn a_slow_answer_about_one_session_holds_up_no_other_session() {
    let mut application = Application::start().await;
    let gateway = gateway(application.config()).await;
    let _one = client(&gateway).await;
    let held = application.asked().await;
    let _other = client(&gateway).await;
    let other = application.asked().await;
    assert_ne!(other.event["session"], held.event["session"]);
    other.answer(&json!({}));
    held.answer(&json!({}));
}

#[tokio::test]
async fn one_webhook_is_asked_and_told_what_it_is_configured_for() {
    let mut application = Application::start().await;
    let events = Event::ALL.to_vec();
    let webhook = Some(Webhook::new(WebhookConfig { events, ..application.config() }).unwrap());
    let gateway = Running::with(Plan { webhook, ..Plan::default() }).await;
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    let mut hello = hello();
    hello["auth"] = json!("ada");
    socket.say_frames(&[hello]).await;
    let open = application.asked().await;
    assert_eq!(open.event["type"], "open");
    open.answer(&json!({"user": "ada"}));
    assert!(socket.hear(|frame| frame["type"] == "ping").await);
    let nonce = socket.heard.first("ping").unwrap()["nonce"].clone();
    socket.say_frames(&[json!({"type": "pong", "nonce": nonce})]).await;
    let opened = application.asked().await;
    assert_eq!((&opened.event["type"], &opened.event["user"]), (&json!("session"), &json!("ada")));
    opened.answer(&json!({}));
    say(&mut socket, 1, send("a", json!(1))).await;
    let intent = application.asked().await;
    assert_eq!((&intent.event["type"], &intent.event["user"]), (&json!("intent"), &json!("ada")));
    intent.answer(&json!({}));
    assert_eq!(result(&mut socket, 1).await["ok"], true);
    for event in ["open", "intent"] {
        let series = format!("throughline_webhook_requests_total{{event=\"{event}\",result=\"accepted\"}}");
        assert_eq!(gateway.metric(&series), 1, "{event}");
        assert_eq!(gateway.metric(&format!("throughline_webhook_seconds_count{{event=\"{event}\"}}")), 1);
    }
}
