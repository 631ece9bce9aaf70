//! Channels by the application's word: for a session, for a user, and each user's own.

use serde_json::{Value, json};
use throughline::{
    broker::Pending,
    gateway::{Authenticate, Authorize, Credentials, Denied, Identity, SendQuery, SubscribeQuery},
    session::SessionConfig,
};
use throughline_wire::{Codec, ErrorCode, ReplyError};

use crate::kit::{
    http::{Answer, Ask},
    running::{Plan, Running},
    speech::hello,
    websocket::Socket,
};

/// Takes whatever a client shows for its name, and lets nobody subscribe to anything.
struct Strict;

impl Authenticate for Strict {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        let user = credentials.token.as_ref().map(|token| token.reveal().into());
        Box::pin(std::future::ready(Ok(Identity { user, ..Identity::default() })))
    }
}

impl Authorize for Strict {
    fn subscribe<'a>(&'a self, _: &'a SubscribeQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(std::future::ready(Err(ErrorCode::Forbidden.into())))
    }

    fn send<'a>(&'a self, _: &'a SendQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(std::future::ready(Err(ErrorCode::Forbidden.into())))
    }
}

async fn gateway(user_channel: bool) -> Running {
    let session = SessionConfig { user_channel, ..Plan::default().session };
    let build = |builder: throughline::Builder| builder.authenticate(Strict).authorize(Strict);
    Running::with(Plan { session, build, ..Plan::default() }).await
}

/// A client of this user that is known to the gateway.
async fn client(gateway: &Running, user: &str) -> Socket {
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    let mut hello = hello();
    hello["auth"] = json!(user);
    socket.say_frames(&[hello]).await;
    assert!(socket.hear(|frame| frame["type"] == "ping").await);
    let nonce = socket.heard.first("ping").unwrap()["nonce"].clone();
    socket.say_frames(&[json!({"type": "pong", "nonce": nonce})]).await;
    assert!(socket.hear_all().await);
    socket
}

fn id(socket: &Socket) -> String {
    socket.heard.first("welcome").unwrap()["session"].as_str().unwrap().to_owned()
}

async fn post(gateway: &Running, path: &str, body: Value) -> Answer {
    Ask::json(&format!("/api/v1/{path}"), &body.to_string()).to(gateway.admin).await
}

/// Every item of a type that was heard.
fn items(socket: &Socket, of_type: &str) -> Vec<Value> {
    let items = socket.heard.0.iter().filter_map(|frame| frame["items"].as_array()).flatten();
    items.filter(|item| item["type"] == of_type).cloned().collect()
}

async fn hear(socket: &mut Socket, of_type: &str) -> Value {
    let is_there = |frame: &Value| {
        frame["items"].as_array().is_some_and(|items| items.iter().any(|item| item["type"] == of_type))
    };
    if items(socket, of_type).is_empty() {
        assert!(socket.hear(is_there).await, "{:?}", socket.heard);
    }
    items(socket, of_type).pop().unwrap()
}

#[tokio::test]
async fn a_session_is_given_a_channel_that_its_user_may_not_have_and_loses_it_again() {
    let gateway = gateway(false).await;
    let mut ann = client(&gateway, "ann").await;
    let path = format!("sessions/{}", id(&ann));
    let answer = post(&gateway, &format!("{path}/subscribe"), json!({"channel": "room"})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"subscribed": id(&ann)})));
    let subscribed = hear(&mut ann, "subscribed").await;
    assert_eq!((&subscribed["channel"], subscribed.get("command")), (&json!("room"), None));
    post(&gateway, "publish", json!({"channel": "room", "data": 1})).await;
    assert_eq!(hear(&mut ann, "event").await["data"], 1);
    let answer = post(&gateway, &format!("{path}/unsubscribe"), json!({"channel": "room"})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"unsubscribed": id(&ann)})));
    let gone = hear(&mut ann, "unsubscribed").await;
    assert_eq!((&gone["channel"], &gone["reason"]), (&json!("room"), &json!("revoked")));
    let again = post(&gateway, &format!("{path}/unsubscribe"), json!({"channel": "room"})).await;
    assert_eq!((again.status, &*again.code()), (400, "not_subscribed"));
    // By itself the client may not.
    let subscribe = json!({"type": "subscribe", "channel": "room"});
    ann.say_frames(&[json!({"type": "commands", "first": 1, "items": [subscribe]})]).await;
    assert_eq!(hear(&mut ann, "reply").await["error"]["code"], "forbidden");
}

#[tokio::test]
async fn where_it_begins_is_said_as_clients_say_it() {
    let gateway = gateway(false).await;
    for data in 1..=5 {
        post(&gateway, "publish", json!({"channel": "room", "data": data})).await;
    }
    let epoch =
        Ask::get("/api/v1/channels/room/history").to(gateway.admin).await.json()["head"]["epoch"].clone();
    let froms = [
        (json!({"last": 2}), 3),
        (json!({"position": {"epoch": epoch, "offset": 1}}), 1),
        (json!("now"), 5),
        (Value::Null, 5),
    ];
    for (from, offset) in froms {
        let mut ann = client(&gateway, "ann").await;
        let mut body = json!({"channel": "room"});
        if !from.is_null() {
            body["from"] = from.clone();
        }
        let path = format!("sessions/{}/subscribe", id(&ann));
        assert_eq!(post(&gateway, &path, body).await.status, 200, "{from}");
        assert_eq!(hear(&mut ann, "subscribed").await["position"]["offset"], offset, "{from}");
    }
}

#[tokio::test]
async fn a_session_that_has_to_be_rebuilt_keeps_what_it_was_given() {
    let gateway = gateway(false).await;
    let mut ann = client(&gateway, "ann").await;
    post(&gateway, &format!("sessions/{}/subscribe", id(&ann)), json!({"channel": "room"})).await;
    let position = hear(&mut ann, "subscribed").await["position"].clone();
    let welcome = ann.heard.first("welcome").unwrap().clone();
    let mut page = Socket::open(gateway.clients, Codec::Json).await;
    let mut hello = hello();
    hello["auth"] = json!("ann");
    hello["instance"] = json!("loaded again");
    hello["attach"] = json!(2);
    hello["resume"] = json!({
        "token": welcome["token"], "incarnation": 1, "after": 1, "low": 1, "positions": {"room": position},
    });
    page.say_frames(&[hello]).await;
    assert_eq!(hear(&mut page, "subscribed").await["channel"], "room");
    assert_eq!(items(&page, "unsubscribed"), [] as [Value; 0]);
}

#[tokio::test]
async fn a_user_is_given_a_channel_on_every_session_and_nobody_else_is() {
    let gateway = gateway(false).await;
    let user = "ann@example.com/7";
    let escaped = "users/ann%40example.com%2F7";
    let (mut one, mut two, bob) =
        (client(&gateway, user).await, client(&gateway, user).await, client(&gateway, "bob").await);
    let mut both = [id(&one), id(&two)];
    both.sort();
    let answer = post(&gateway, &format!("{escaped}/subscribe"), json!({"channel": "room"})).await;
    let mut subscribed: Vec<String> = serde_json::from_value(answer.json()["subscribed"].clone()).unwrap();
    subscribed.sort();
    assert_eq!((answer.status, &subscribed[..]), (200, &both[..]));
    hear(&mut one, "subscribed").await;
    hear(&mut two, "subscribed").await;
    let holding = Ask::get("/api/v1/sessions?channel=room").to(gateway.admin).await.json();
    assert_eq!(holding["sessions"].as_array().unwrap().len(), 2);
    let answer = post(&gateway, &format!("{escaped}/unsubscribe"), json!({"channel": "room"})).await;
    assert_eq!(answer.json()["unsubscribed"].as_array().unwrap().len(), 2);
    let answer = post(&gateway, &format!("{escaped}/unsubscribe"), json!({"channel": "room"})).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"unsubscribed": []})));
    assert!(items(&bob, "subscribed").is_empty());
}

#[tokio::test]
async fn a_user_is_disconnected_everywhere_and_told_whether_to_return() {
    let gateway = gateway(false).await;
    for (body, reason, code) in
        [(json!({}), "disconnected", 4300), (json!({"mayReturn": true}), "ended", 4100)]
    {
        let (mut one, mut two) = (client(&gateway, "ann").await, client(&gateway, "ann").await);
        let mut bob = client(&gateway, "bob").await;
        let answer = post(&gateway, "users/ann/disconnect", body).await;
        assert_eq!(answer.json()["disconnected"].as_array().unwrap().len(), 2);
        for ann in [&mut one, &mut two] {
            assert!(!ann.hear(|_| false).await, "it is closed");
            assert_eq!(ann.heard.retry(), Some(reason));
            assert_eq!(ann.close.map(|close| close / 100), Some(code / 100));
        }
        assert!(bob.hear_all().await);
        assert_eq!(
            post(&gateway, "users/ann/disconnect", json!({})).await.json(),
            json!({"disconnected": []})
        );
    }
}

#[tokio::test]
async fn what_is_published_to_a_user_reaches_each_of_its_sessions() {
    let gateway = gateway(true).await;
    let (mut one, mut two, mut bob) =
        (client(&gateway, "ann").await, client(&gateway, "ann").await, client(&gateway, "bob").await);
    let answer = post(&gateway, "publish", json!({"user": "ann", "data": 1})).await;
    assert_eq!(answer.json()["results"][0][0]["channel"], "$user:ann");
    for ann in [&mut one, &mut two] {
        assert_eq!(hear(ann, "event").await["channel"], "$user:ann");
    }
    let answer = post(&gateway, "publish", json!({"events": [{"users": ["ann", "bob"], "data": 2}]})).await;
    assert_eq!(answer.json()["results"][0].as_array().unwrap().len(), 2);
    let event = hear(&mut bob, "event").await;
    assert_eq!((&event["channel"], &event["data"]), (&json!("$user:bob"), &json!(2)));
    let said = post(&gateway, "volatile", json!({"user": "bob", "data": 3})).await;
    assert_eq!(said.json(), json!({"said": 1}));
    assert!(bob.hear(|frame| frame["type"] == "volatile").await);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_by_name() {
    let gateway = gateway(false).await;
    let ann = client(&gateway, "ann").await;
    let session = format!("sessions/{}/subscribe", id(&ann));
    let room = json!({"channel": "room"});
    for (path, body, status, code) in [
        ("publish", json!({"user": "not a name", "data": 1}), 400, "invalid_channel"),
        ("publish", json!({"user": "ann", "channel": "a", "data": 1}), 400, "malformed_request"),
        ("publish", json!({"users": [], "data": 1}), 400, "malformed_request"),
        (&session, json!({}), 400, "malformed_request"),
        (&session, json!({"channel": "not a name"}), 400, "invalid_channel"),
        (&session, json!({"channel": "room", "from": "then"}), 400, "malformed_request"),
        (&session, json!({"channel": "room", "form": "now"}), 400, "unknown_member"),
        ("sessions/EUN7nu4-UbfAPoOEW8k5AQ/subscribe", room.clone(), 404, "session_unknown"),
        ("sessions/EUN7nu4-UbfAPoOEW8k5AQ/unsubscribe", room.clone(), 404, "session_unknown"),
        ("users/%ff/subscribe", room, 400, "not_utf8"),
        ("users/ann/disconnect", json!({"mayreturn": true}), 400, "unknown_member"),
        ("users/ann/publish", json!({}), 404, "not_found"),
    ] {
        let answer = post(&gateway, path, body.clone()).await;
        assert_eq!((answer.status, &*answer.code()), (status, code), "{path} {body}: {}", answer.text());
    }
    let get = Ask::get("/api/v1/users/ann/disconnect").to(gateway.admin).await;
    assert_eq!((get.status, get.value("allow")), (405, Some("post")));
}

#[tokio::test]
async fn sessions_are_found_by_what_they_are_page_by_page() {
    let gateway = gateway(false).await;
    let mut clients = Vec::new();
    for user in ["ann", "ann", "ann", "bob"] {
        clients.push(client(&gateway, user).await);
    }
    let list =
        async |query: &str| Ask::get(&format!("/api/v1/sessions?{query}")).to(gateway.admin).await.json();
    let count = async |query: &str| list(query).await["sessions"].as_array().unwrap().len();
    let all = list("").await;
    assert_eq!((&all["count"], &all["sessions"][0]["state"]), (&json!(4), &json!("attached")));
    assert_eq!((count("user=ann").await, count("user=bob").await, count("user=eve").await), (3, 1, 0));
    assert_eq!((count("transport=websocket").await, count("transport=polling").await), (4, 0));
    assert_eq!((count("state=attached").await, count("state=detached").await), (4, 0));
    assert_eq!(count("user=ann&transport=websocket&state=attached&channel=room").await, 0);
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("user=ann&limit=2&after={after}")).await;
        assert_eq!(page.get("count"), None);
        seen.extend(
            page["sessions"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let mut anns: Vec<String> = clients[..3].iter().map(id).collect();
    anns.sort_by_key(|id| throughline_wire::SessionId::parse(id));
    assert_eq!(seen, anns);
    for (query, part) in
        [("state=lost", "attached, detached"), ("transport=carrier-pigeon", "websocket"), ("usr=ann", "user")]
    {
        let refused = Ask::get(&format!("/api/v1/sessions?{query}")).to(gateway.admin).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(part), "{}", refused.text());
    }
}

#[tokio::test]
async fn channels_are_listed_in_the_order_of_their_names_with_who_holds_them() {
    let gateway = gateway(false).await;
    for channel in ["room:b", "room:a", "news", "room:c"] {
        post(&gateway, "publish", json!({"channel": channel, "data": 1})).await;
    }
    let ann = client(&gateway, "ann").await;
    post(&gateway, &format!("sessions/{}/subscribe", id(&ann)), json!({"channel": "room:b"})).await;
    let list =
        async |query: &str| Ask::get(&format!("/api/v1/channels?{query}")).to(gateway.admin).await.json();
    let names = |page: &Value| -> Vec<String> {
        page["channels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["channel"].as_str().unwrap().into())
            .collect()
    };
    let page = list("prefix=room:&limit=2").await;
    assert_eq!((names(&page), &page["next"]), (vec!["room:a".into(), "room:b".into()], &json!("room:b")));
    let second = &page["channels"][1];
    assert_eq!(
        (&second["subscribers"], &second["members"], &second["head"]["offset"]),
        (&json!(1), &json!(0), &json!(1))
    );
    let page = list("prefix=room:&limit=2&after=room:b").await;
    assert_eq!((names(&page), page.get("next")), (vec!["room:c".into()], None));
    let all = list("").await;
    assert_eq!((names(&all).len(), &all["count"]), (4, &json!(4)));
}
