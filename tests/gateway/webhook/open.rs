//! Who may enter, as the application says.

use serde_json::{Value, json};
use throughline::upstream::webhook::Webhook;
use throughline_wire::Codec;

use super::application::Application;
use crate::kit::{
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames, hello},
    websocket::Socket,
};

async fn gateway(application: &Application) -> Running {
    let door = Some(Webhook::new(application.config()).unwrap());
    Running::with(Plan { door, ..Plan::default() }).await
}

/// Polls once with these headers, while the application answers by `status` and `body`; gives what it was asked, and
/// what the client heard.
async fn poll(headers: &[(&str, &str)], status: u16, body: &str) -> (Value, Heard) {
    let mut application = Application::start().await;
    let gateway = gateway(&application).await;
    let mut hello = hello();
    hello["auth"] = json!("a token");
    let ask = Ask::frames("/v1/poll", frames(&[hello]));
    let ask = headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value));
    let answering = async {
        let asked = application.asked().await;
        let event = asked.event.clone();
        asked.answer_by(status, &[], body);
        event
    };
    let (event, answer) = tokio::join!(answering, ask.to(gateway.clients));
    (event, Heard::read(&answer.body))
}

#[tokio::test]
async fn the_application_is_shown_what_the_client_shows_and_says_who_it_is() {
    let shown = [("user-agent", "tests/1"), ("authorization", "Bearer x"), ("x-other", "y")];
    let (event, heard) = poll(&shown, 200, r#"{"user":"ada","info":{"name":"Ada"}}"#).await;
    assert_eq!((&event["type"], &event["token"]), (&json!("open"), &json!("a token")));
    assert_eq!(event["headers"], json!({"authorization": "Bearer x", "user-agent": "tests/1"}));
    assert!(event["remote"].as_str().is_some_and(|remote| remote.starts_with("127.0.0.1:")), "{event}");
    assert!(event["id"].as_str().is_some_and(|id| id.starts_with("open.")), "{event}");
    assert_eq!(heard.first("welcome").unwrap()["user"], "ada");
}

#[tokio::test]
async fn an_application_may_let_somebody_in_as_nobody() {
    let (_, heard) = poll(&[], 200, "{}").await;
    assert_eq!(heard.first("welcome").unwrap().get("user"), None);
}

#[tokio::test]
async fn whoever_is_turned_away_is_told_what_to_do_about_it() {
    for (status, body, code) in [
        (401, "", "unauthorized"),
        (403, "", "forbidden"),
        (500, "", "overloaded"),
        (204, "", "overloaded"),
        (200, r#"{"usr":"ada"}"#, "overloaded"),
        (302, "", "overloaded"),
    ] {
        let (_, heard) = poll(&[], status, body).await;
        assert_eq!(heard.codes(), [code], "{status} {body}: {heard:?}");
        assert!(heard.first("welcome").is_none(), "{status} {body}");
    }
}

#[tokio::test]
async fn a_cookie_counts_only_with_a_page_that_may_connect() {
    let cookie = ("cookie", "sid=1");
    for (with, is_shown) in [
        (None, false),
        (Some(("origin", "http://127.0.0.1:3000")), true),
        (Some(("sec-fetch-site", "same-origin")), true),
        (Some(("sec-fetch-site", "none")), false),
    ] {
        let headers: Vec<_> = [Some(cookie), with].into_iter().flatten().collect();
        let (event, _) = poll(&headers, 200, "{}").await;
        assert_eq!(event["headers"].get("cookie").is_some(), is_shown, "{with:?}");
    }
}

#[tokio::test]
async fn fresh_credentials_are_asked_about_too() {
    let mut application = Application::start().await;
    let gateway = gateway(&application).await;
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    application.asked().await.answer(&json!({"user": "ada"}));
    assert!(socket.hear(|frame| frame["type"] == "welcome").await);
    for user in ["ada", "bob"] {
        socket.say_frames(&[json!({"type": "auth", "token": user})]).await;
        let asked = application.asked().await;
        assert_eq!((&asked.event["token"], &asked.event["headers"]), (&json!(user), &json!({})));
        asked.answer(&json!({"user": user}));
    }
    assert!(socket.hear(|frame| frame["type"] == "error").await, "bob is somebody else");
    assert_eq!(socket.heard.codes(), ["unauthorized"]);
}
