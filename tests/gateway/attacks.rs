//! Clients that mean harm: what they state, what they leave out, and how long they wait.

use std::time::Duration;

use serde_json::json;
use throughline::{
    broker::Pending,
    gateway::{Authenticate, Credentials, Denied, Identity},
};
use throughline_wire::{Codec, MAX_INTEGER};
use tokio::io::AsyncReadExt as _;

use crate::kit::{
    http::Ask,
    panics,
    running::{Plan, Running},
    speech::{Heard, Known, frames, hello},
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
async fn a_websocket_that_never_says_hello_is_let_go_and_may_come_back() {
    let mut plan = Plan::default();
    plan.gateway.body_timeout = Duration::from_millis(50);
    let gateway = Running::with(plan).await;
    let mut silent = Socket::open(gateway.clients, Codec::Json).await;
    assert!(silent.hear(|frame| frame["code"] == "timed_out").await, "{:?}", silent.heard.0);
    // To a slow client that is none of its fault: told of a broken protocol it would stop for good.
    silent.hear(|_| false).await;
    assert_eq!((silent.heard.retry(), silent.close), (Some("overload"), Some(4001)), "{:?}", silent.heard.0);
    let mut known = Known::open(&gateway).await;
    assert!(known.look(&gateway).await.1, "others are served");
}

/// Not an attack, but as large as an address may be: each channel counts, however many commands may be under way.
#[tokio::test]
async fn an_address_with_as_many_channels_as_may_be_gets_them_all() {
    let gateway = Running::start().await;
    let channels: Vec<String> = (0..256).map(|number| format!("channel=c{number}")).collect();
    let mut stream = Ask::get(&format!("/v1/events?{}", channels.join("&"))).open(gateway.clients).await;
    let mut text = String::new();
    while text.matches(r#""type":"subscribed""#).count() < 256 {
        let mut bytes = [0; 4_096];
        let read = stream.read(&mut bytes).await.expect("the stream stands");
        assert_ne!(read, 0, "the stream ended: {text}");
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    assert!(!text.contains("commands_ahead"));
}

/// Takes whatever a client shows for its name.
struct Gullible;

impl Authenticate for Gullible {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let user = credentials.token.as_ref().map(|token| token.reveal().into());
        Box::pin(std::future::ready(Ok(Identity { user, ..Identity::default() })))
    }
}

/// Whatever such a user said, no receiver would take.
#[tokio::test]
async fn a_user_with_a_longer_name_than_receivers_take_does_not_enter() {
    let plan = Plan { build: |builder| builder.authenticate(Gullible), ..Plan::default() };
    let gateway = Running::with(plan).await;
    for (bytes, reason) in [(256, None), (257, Some("forbidden"))] {
        let mut hello = hello();
        hello["auth"] = json!("x".repeat(bytes));
        let answer = Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
        assert_eq!(Heard::read(&answer.body).retry(), reason, "{answer:?}");
    }
}
