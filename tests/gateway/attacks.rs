//! Clients that mean harm: what they state, what they leave out, and how long they wait.

use std::time::Duration;

use serde_json::json;
use throughline_wire::{Codec, MAX_INTEGER};

use crate::kit::{
    http::Ask,
    panics,
    running::{Plan, Running},
    speech::{Heard, Known, frames},
    websocket::Socket,
};

#[tokio::test]
async fn the_last_numbers_there_can_be_are_stated_in_vain() {
    let gateway = Running::start().await;
    let publish = Ask::json("/api/v1/publish", r#"{"channel":"news","data":1}"#);
    let published = publish.to(gateway.admin).await.json();
    let epoch = &published["results"][0][0]["position"]["epoch"];
    let mut known = Known::open(&gateway).await;
    // The item that says so is the last that has a number; the events after the place have none.
    let mut hello = known.resume();
    hello["resume"]["after"] = json!(MAX_INTEGER - 1);
    hello["resume"]["positions"] = json!({"news": {"epoch": epoch, "offset": MAX_INTEGER}});
    let answer = Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
    assert_eq!(Heard::read(&answer.body).retry(), Some("ended"), "{answer:?}");
    let history = Ask::get(&format!("/api/v1/channels/news/history?after={MAX_INTEGER}"));
    assert_eq!(history.to(gateway.admin).await.json()["events"], json!([]));
    panics::assert_none();
}

#[tokio::test]
async fn a_websocket_that_never_says_hello_is_let_go() {
    let mut plan = Plan::default();
    plan.gateway.body_timeout = Duration::from_millis(50);
    let gateway = Running::with(plan).await;
    let mut silent = Socket::open(gateway.clients, Codec::Json).await;
    assert!(silent.hear(|frame| frame["code"] == "timed_out").await, "{:?}", silent.heard.0);
    let mut known = Known::open(&gateway).await;
    assert!(known.look(&gateway).await.1, "others are served");
}
