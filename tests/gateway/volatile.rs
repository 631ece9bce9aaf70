//! What is said and not kept, between real clients.

use serde_json::json;
use throughline::{
    channel::{NewEvent, NewVolatile},
    gateway::PublishError,
};
use throughline_wire::{ChannelName, Codec, ErrorCode, MAX_INTEGER, Sender, SessionId};

use crate::kit::{
    http::Ask,
    panics,
    running::{Plan, Running},
    speech::{Heard, Known, frames, hello},
    websocket::Socket,
};

async fn listening(gateway: &Running, codec: Codec) -> Socket {
    let mut socket = Socket::open(gateway.clients, codec).await;
    let subscribe =
        json!({"type": "commands", "first": 1, "items": [{"type": "subscribe", "channel": "news"}]});
    socket.say_frames(&[hello(), subscribe]).await;
    assert!(socket.hear(|frame| frame["type"] == "items").await);
    socket
}

#[tokio::test]
async fn a_word_goes_from_one_client_to_the_others_in_their_codecs_and_not_back() {
    let gateway = Running::with(Plan::holding()).await;
    let mut speaker = listening(&gateway, Codec::Bincode).await;
    let mut text = listening(&gateway, Codec::Json).await;
    let mut binary = listening(&gateway, Codec::Bincode).await;
    let mut known = Known::open(&gateway).await;
    let (address, resume) = (gateway.clients, known.resume());
    let poll = tokio::spawn(async move { Ask::frames("/v1/poll", frames(&[resume])).to(address).await });
    let id = SessionId::parse(&known.id).unwrap();
    while gateway.handle.session(id).is_none_or(|session| session.transport.is_none()) {
        tokio::task::yield_now().await;
    }
    let said = json!({"type": "volatile", "channel": "news", "name": "typing", "seq": 9, "data": {"at": 1}});
    speaker.say_frames(&[said]).await;
    for other in [&mut text, &mut binary] {
        assert!(other.hear(|frame| frame["type"] == "volatile").await);
        let heard = other.heard.first("volatile").unwrap();
        assert_eq!(
            (&heard["seq"], &heard["name"], &heard["data"]),
            (&json!(9), &json!("typing"), &json!({"at": 1}))
        );
        assert!(heard["time"].is_u64() && heard["sender"]["session"].is_string(), "{heard}");
    }
    let answered = Heard::read(&poll.await.unwrap().body);
    assert_eq!(answered.first("volatile").map(|heard| &heard["seq"]), Some(&json!(9)), "{answered:?}");
    assert!(speaker.hear_all().await);
    assert!(speaker.heard.first("volatile").is_none(), "its own");
    assert_eq!(gateway.metric("throughline_volatiles_published_total"), 1);
    assert_eq!(gateway.metric("throughline_volatiles_sent_total"), 3);
}

#[tokio::test]
async fn the_application_says_something_by_one_request() {
    let gateway = Running::start().await;
    let mut listener = listening(&gateway, Codec::Json).await;
    for n in 1..=2 {
        let body = json!({"channels": ["news", "nobody"], "data": n}).to_string();
        let answer = Ask::json("/api/v1/volatile", &body).to(gateway.admin).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"said": 2})));
        assert!(
            listener
                .hear(|frame| frame["type"] == "volatile" && frame["data"] == n && frame["seq"] == n)
                .await
        );
    }
    assert!(listener.heard.0.iter().all(|frame| frame.get("sender").is_none()));
    let history = Ask::get("/api/v1/channels/news/history").to(gateway.admin).await.json();
    assert_eq!(history["head"]["offset"], 0, "nothing is kept");
    let large = json!({"channel": "news", "data": "x".repeat(4_096)}).to_string();
    let answer = Ask::json("/api/v1/volatile", &large).to(gateway.admin).await;
    assert_eq!((answer.status, &*answer.code()), (413, "message_too_large"));
}

#[tokio::test]
async fn what_may_not_be_said_is_counted_and_never_answered() {
    let gateway = Running::start().await;
    let mut speaker = listening(&gateway, Codec::Json).await;
    let say =
        |channel: &str, seq: u64| json!({"type": "volatile", "channel": channel, "seq": seq, "data": 1});
    speaker.say_frames(&[say("other", 1), say("news", 2), say("news", 2)]).await;
    assert!(speaker.hear_all().await);
    assert!(speaker.heard.codes().is_empty(), "{:?}", speaker.heard);
    let dropped = |reason: &str| {
        gateway.metric(&format!("throughline_frames_dropped_total{{frame=\"volatile\",reason=\"{reason}\"}}"))
    };
    assert_eq!((dropped("not_subscribed"), dropped("old"), dropped("size")), (1, 1, 0));
    assert_eq!(gateway.metric("throughline_volatiles_published_total"), 1);
}

#[tokio::test]
async fn what_no_client_would_take_is_refused_where_it_enters() {
    let gateway = Running::start().await;
    let mut listener = listening(&gateway, Codec::Bincode).await;
    let news = ChannelName::parse("news").unwrap();
    let say = |name: usize, user: usize, seq: u64| {
        let sender = Sender { user: Some("x".repeat(user).into()), session: SessionId::from_random([1; 16]) };
        let name = Some("x".repeat(name).into());
        let volatile = NewVolatile { name, seq: Some(seq), sender: Some(sender), ..NewVolatile::default() };
        gateway.handle.volatile(&news, volatile)
    };
    assert_eq!(say(201, 1, 1), Err(ErrorCode::MessageTooLarge));
    assert_eq!(say(1, 257, 1), Err(ErrorCode::MessageTooLarge));
    assert_eq!(say(1, 1, MAX_INTEGER + 1), Err(ErrorCode::NumberOutOfRange));
    assert_eq!(say(200, 256, MAX_INTEGER), Ok(()));
    assert!(listener.hear(|frame| frame["type"] == "volatile").await);
    let publish = async |name: usize, key: usize| {
        let [name, key] = [name, key].map(|bytes| Some("x".repeat(bytes).into()));
        gateway.handle.publish(&news, NewEvent { name, key, ..NewEvent::default() }).await.map(drop)
    };
    let refused = Err(PublishError::Refused(ErrorCode::MessageTooLarge));
    assert_eq!((publish(201, 1).await, publish(1, 201).await), (refused, refused));
    assert_eq!(publish(200, 200).await, Ok(()));
    assert!(listener.hear(|frame| frame["type"] == "items").await);
    panics::assert_none();
}
