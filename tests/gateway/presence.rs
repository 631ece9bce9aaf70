//! Who takes part in a channel, and what is told of them.

use serde_json::{Value, json};
use throughline::{
    broker::Pending,
    gateway::{Authenticate, Credentials, Denied, Identity},
    session::SessionConfig,
};
use throughline_wire::{Codec, Json};

use crate::kit::{
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames, hello},
    websocket::Socket,
};

/// Takes whatever a client shows for its name, nothing for nobody's, and tells it to the others as one to show.
struct Gullible;

impl Authenticate for Gullible {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let name = credentials.token.as_ref().map_or("", |token| token.reveal());
        let info = Json::parse(json!({"name": name.to_uppercase()}).to_string().as_bytes());
        let user = (!name.is_empty()).then(|| name.into());
        let identity = Identity { user, info: info.ok(), ..Identity::default() };
        Box::pin(std::future::ready(Ok(identity)))
    }
}

fn gullible() -> Plan {
    Plan { build: |builder| builder.authenticate(Gullible), ..Plan::default() }
}

fn hello_of(name: &str) -> Value {
    let mut hello = hello();
    hello["auth"] = json!(name);
    hello
}

fn take_part(command: u64) -> Value {
    let subscribe = json!({"type": "subscribe", "channel": "room", "presence": true});
    json!({"type": "commands", "first": command, "items": [subscribe]})
}

/// A client that is known to the gateway and takes part in `room`.
async fn taking_part(gateway: &Running, codec: Codec, name: &str) -> Socket {
    let mut socket = Socket::open(gateway.clients, codec).await;
    socket.say_frames(&[hello_of(name)]).await;
    assert!(socket.hear(|frame| frame["type"] == "ping").await);
    let nonce = socket.heard.first("ping").unwrap()["nonce"].clone();
    socket.say_frames(&[json!({"type": "pong", "nonce": nonce}), take_part(1)]).await;
    socket
}

fn met(gateway: &Running, limit: &str) -> u64 {
    gateway.metric(&format!("throughline_limited_total{{limit=\"{limit}\"}}"))
}

/// The presence in a frame.
fn presence(frame: &Value) -> Option<&Value> {
    frame["items"].as_array()?.iter().find(|item| item["type"] == "presence")
}

fn last(heard: &Heard) -> &Value {
    heard.0.iter().rev().find_map(presence).expect("a presence")
}

#[tokio::test]
async fn what_the_application_says_of_a_user_is_told_to_whoever_takes_part() {
    let gateway = Running::with(gullible()).await;
    let mut ada = taking_part(&gateway, Codec::Json, "ada").await;
    assert!(ada.hear(|frame| presence(frame).is_some()).await);
    let mut bob = taking_part(&gateway, Codec::Bincode, "bob").await;
    assert!(bob.hear(|frame| presence(frame).is_some()).await);
    let state = last(&bob.heard);
    let told = |member: &Value| (member["user"].clone(), member["info"].clone());
    let members: Vec<_> = state["members"].as_array().unwrap().iter().map(told).collect();
    let both = [(json!("ada"), json!({"name": "ADA"})), (json!("bob"), json!({"name": "BOB"}))];
    assert_eq!((members, &state["kind"], &state["count"]), (both.to_vec(), &json!("state"), &json!(2)));
    ada.say_frames(&[json!({"type": "ack", "upTo": 2})]).await;
    assert!(ada.hear(|frame| presence(frame).is_some()).await);
    let join = last(&ada.heard);
    assert_eq!((&join["kind"], told(&join["members"][0])), (&json!("join"), both[1].clone()));
}

#[tokio::test]
async fn the_admin_api_lists_who_takes_part() {
    let gateway = Running::with(gullible()).await;
    let list = || Ask::get("/api/v1/channels/room/presence").to(gateway.admin);
    assert_eq!(list().await.json(), json!({"channel": "room", "count": 0, "members": []}));
    let mut ada = taking_part(&gateway, Codec::Json, "ada").await;
    assert!(ada.hear(|frame| presence(frame).is_some()).await);
    let session = ada.heard.first("welcome").unwrap()["session"].clone();
    let member = json!({"session": session, "user": "ada", "info": {"name": "ADA"}});
    assert_eq!(list().await.json(), json!({"channel": "room", "count": 1, "members": [member]}));
    let refused = Ask::get("/api/v1/channels/ro%20om/presence").to(gateway.admin).await;
    assert_eq!(refused.status, 400);
    ada.say_frames(&[json!({"type": "bye"})]).await;
    assert!(!ada.hear(|_| false).await, "it is closed");
    assert_eq!(list().await.json()["count"], 0);
}

#[tokio::test]
async fn one_more_than_may_take_part_is_refused_by_name() {
    let session = SessionConfig { presence_members: 1, ..Plan::default().session };
    let gateway = Running::with(Plan { session, ..gullible() }).await;
    let mut ada = taking_part(&gateway, Codec::Json, "ada").await;
    assert!(ada.hear(|frame| presence(frame).is_some()).await);
    let mut bob = taking_part(&gateway, Codec::Json, "bob").await;
    assert!(bob.hear(|frame| frame["items"][0]["type"] == "reply").await);
    assert_eq!(bob.heard.codes(), ["too_many_members"]);
    assert_eq!(gateway.refusals("too_many_members"), 1);
}

#[tokio::test]
async fn a_user_who_leaves_session_after_session_behind_leaves_seats_to_others() {
    let session = SessionConfig { presence_members: 3, user_presence_members: 2, ..Plan::default().session };
    let gateway = Running::with(Plan { session, ..gullible() }).await;
    let mut first = taking_part(&gateway, Codec::Json, "ada").await;
    assert!(first.hear(|frame| presence(frame).is_some()).await);
    let mut second = taking_part(&gateway, Codec::Json, "ada").await;
    assert!(second.hear(|frame| presence(frame).is_some()).await);
    drop(second); // without a word: it is listed for the grace
    let mut third = taking_part(&gateway, Codec::Json, "ada").await;
    assert!(third.hear(|frame| frame["items"][0]["type"] == "reply").await);
    assert_eq!(third.heard.codes(), ["too_many_members"]);
    assert_eq!((met(&gateway, "user_presence_members"), met(&gateway, "presence_members")), (1, 0));
    let mut bob = taking_part(&gateway, Codec::Json, "bob").await;
    assert!(bob.hear(|frame| presence(frame).is_some()).await);
    assert_eq!(last(&bob.heard)["count"], 3);
    first.say_frames(&[json!({"type": "ack", "upTo": 2})]).await;
    assert!(first.hear(|frame| presence(frame).is_some_and(|join| join["count"] == 3)).await);
    let listen = json!({"type": "subscribe", "channel": "room"});
    third.say_frames(&[json!({"type": "commands", "first": 2, "items": [listen]})]).await;
    assert!(third.hear(|frame| frame["items"][0]["type"] == "subscribed").await, "it lives on");
    let mut carol = taking_part(&gateway, Codec::Json, "carol").await;
    assert!(carol.hear(|frame| frame["items"][0]["type"] == "reply").await);
    assert_eq!(met(&gateway, "presence_members"), 1, "now it is the channel that is full");
}

#[tokio::test]
async fn those_who_are_nobody_have_so_many_seats_of_an_address_and_users_have_their_own() {
    let mut plan = gullible();
    plan.session.address_presence_members = 1;
    plan.gateway.limits.address_exempt = Vec::new();
    let gateway = Running::with(plan).await;
    let mut nobody = taking_part(&gateway, Codec::Json, "").await;
    assert!(nobody.hear(|frame| presence(frame).is_some()).await);
    let mut another = taking_part(&gateway, Codec::Json, "").await;
    assert!(another.hear(|frame| frame["items"][0]["type"] == "reply").await);
    assert_eq!(another.heard.codes(), ["too_many_members"]);
    assert_eq!(met(&gateway, "address_presence_members"), 1);
    let mut ada = taking_part(&gateway, Codec::Json, "ada").await;
    assert!(ada.hear(|frame| presence(frame).is_some()).await);
}

/// Says more of everybody than may be told.
struct Talkative;

impl Authenticate for Talkative {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let name = credentials.token.as_ref().map_or("", |token| token.reveal());
        let identity = Identity { info: Json::parse(name.as_bytes()).ok(), ..Identity::default() };
        Box::pin(std::future::ready(Ok(identity)))
    }
}

#[tokio::test]
async fn a_user_of_whom_more_is_said_than_receivers_take_does_not_enter() {
    let plan = Plan { build: |builder| builder.authenticate(Talkative), ..Plan::default() };
    let gateway = Running::with(plan).await;
    for (bytes, reason) in [(1_024, None), (1_025, Some("forbidden"))] {
        let hello = hello_of(&format!("\"{}\"", "x".repeat(bytes - 2)));
        let answer = Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
        assert_eq!(Heard::read(&answer.body).retry(), reason, "{answer:?}");
    }
}
