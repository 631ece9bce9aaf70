//! What happens when a token ends, or another is handed in before it does.

use serde_json::json;
use throughline_wire::Codec;

use super::{hello_by, known, plan, seconds, token, token_with};
use crate::kit::{
    http::Ask,
    running::Running,
    speech::{Heard, frames},
    websocket::Socket,
};

/// How long the shortest token counts here. Long enough for its session to be opened, whatever else the machine does.
const SHORT_SECONDS: f64 = 3.0;

async fn publish(gateway: &Running, data: u64) {
    let body = json!({"channel": "news", "data": data}).to_string();
    assert_eq!(Ask::json("/api/v1/publish", &body).to(gateway.admin).await.status, 200);
}

#[tokio::test]
async fn at_its_tokens_end_a_session_loses_its_links_and_a_fresh_token_brings_it_back_without_a_loss() {
    let gateway = Running::with(plan()).await;
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    let subscribe =
        json!({"type": "commands", "first": 1, "items": [{"type": "subscribe", "channel": "news"}]});
    let short = token_with("ann", json!({"exp": seconds() + SHORT_SECONDS}));
    socket.say_frames(&[hello_by(&short), subscribe]).await;
    assert!(socket.hear(|frame| frame["items"][0]["type"] == "subscribed").await);
    publish(&gateway, 1).await;
    assert!(socket.hear(|frame| frame["items"][0]["data"] == 1).await);
    let left_ms = socket.heard.first("welcome").unwrap()["authExpiresInMs"].as_u64().expect("told");
    assert!((1..=3_000).contains(&left_ms), "{left_ms}");

    assert!(!socket.hear(|_| false).await, "the link ends");
    assert_eq!((socket.heard.retry(), socket.close), (Some("unauthorized"), Some(4200)));
    assert_eq!(gateway.refusals("unauthorized"), 1);
    publish(&gateway, 2).await;
    let mut known = known(&socket.heard);
    // Whoever has the session's token alone can no more say anything in it.
    let send =
        json!({"type": "commands", "first": 2, "items": [{"type": "send", "channel": "news", "data": 9}]});
    let posted = Ask::frames("/v1/send", frames(&[known.named(), send])).to(gateway.clients).await;
    assert_eq!(Heard::read(&posted.body).codes(), ["unauthorized"]);

    let mut resume = known.resume();
    resume["auth"] = json!(short);
    let refused = Ask::frames("/v1/poll", frames(std::slice::from_ref(&resume))).to(gateway.clients).await;
    assert_eq!(Heard::read(&refused.body).codes(), ["unauthorized"], "the old token is none any more");
    resume["auth"] = json!(token("ann"));
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[resume]).await;
    assert!(socket.hear(|frame| frame["type"] == "items").await, "{:?}", socket.heard.0);
    let items = socket.heard.first("items").unwrap();
    assert_eq!(items["first"], known.after + 1);
    assert_eq!(items["items"].as_array().unwrap().len(), 1, "what was said meanwhile, and no gap: {items}");
    assert_eq!(items["items"][0]["data"], 2);
}

#[tokio::test]
async fn a_held_poll_is_answered_when_its_token_ends() {
    let mut plan = plan();
    plan.session.poll_hold_ms = 60_000;
    let gateway = Running::with(plan).await;
    let short = token_with("ann", json!({"exp": seconds() + SHORT_SECONDS}));
    let opened = Ask::frames("/v1/poll", frames(&[hello_by(&short)])).to(gateway.clients).await;
    let mut resume = known(&Heard::read(&opened.body)).resume();
    resume["auth"] = json!(short);
    let answer = Ask::frames("/v1/poll", frames(&[resume])).to(gateway.clients).await;
    assert_eq!(Heard::read(&answer.body).retry(), Some("unauthorized"), "{answer:?}");
}

#[tokio::test]
async fn a_fresh_token_that_is_handed_in_in_time_keeps_the_link() {
    let gateway = Running::with(plan()).await;
    let short = token_with("ann", json!({"exp": seconds() + SHORT_SECONDS}));
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut socket = Socket::open(gateway.clients, Codec::Json).await;
        socket.say_frames(&[hello_by(&short)]).await;
        assert!(socket.hear(|frame| frame["type"] == "welcome").await, "{:?}", socket.heard.0);
        sockets.push(socket);
    }
    let [mut renewed, mut careless] = <[Socket; 2]>::try_from(sockets).ok().unwrap();
    renewed.say_frames(&[json!({"type": "auth", "token": token("ann")})]).await;
    assert!(renewed.hear_all().await);
    assert!(!careless.hear(|_| false).await, "the other's token ends");
    assert_eq!(careless.close, Some(4200));
    assert!(renewed.hear_all().await, "this one goes on");
    assert!(renewed.heard.codes().is_empty());
}

#[tokio::test]
async fn a_fresh_token_has_to_be_good_and_of_the_same_user() {
    let gateway = Running::with(plan()).await;
    let wrong = [token("bob"), token_with("ann", json!({"aud": "elsewhere"})), "ann".into()];
    for (token_handed_in, count) in wrong.into_iter().zip(1..) {
        let mut socket = Socket::open(gateway.clients, Codec::Json).await;
        socket.say_frames(&[hello_by(&token("ann"))]).await;
        assert!(socket.hear(|frame| frame["type"] == "welcome").await);
        socket.say_frames(&[json!({"type": "auth", "token": token_handed_in})]).await;
        assert!(!socket.hear(|_| false).await);
        assert_eq!((socket.heard.retry(), socket.close), (Some("unauthorized"), Some(4200)));
        assert_eq!(gateway.refusals("unauthorized"), count);
    }
}
