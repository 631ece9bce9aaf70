//! Each session is told on its own transport when to leave, and comes back once.

use std::time::Duration;

use serde_json::{Value, json};
use throughline::{Handle, gateway::GatewayConfig, wire::Codec};
use throughline_wire::ChannelName;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use crate::kit::{
    PATIENCE,
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, Known, frames, hello},
    websocket::Socket,
};

/// A gateway that lets `rate` in a second, and whose clients may come back at once.
async fn gateway(rate: u64) -> Running {
    let mut plan = Plan::default();
    plan.session.poll_hold_ms = 20_000;
    plan.gateway = GatewayConfig {
        admission_rate: rate,
        admission_burst: 100,
        drain_return_after: Duration::ZERO,
        ..plan.gateway
    };
    Running::with(plan).await
}

async fn attached(gateway: &Running, count: usize) {
    let attached = async {
        while gateway.handle.sessions(None, 100).sessions.iter().filter(|s| s.transport.is_some()).count()
            < count
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, attached).await.expect("attached in time");
}

async fn drained(handle: &Handle) -> bool {
    timeout(PATIENCE, handle.drained()).await.expect("it ends in time")
}

/// A WebSocket with a session on it.
async fn socket(gateway: &Running) -> Socket {
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    assert!(socket.hear(|frame| frame["type"] == "ping").await);
    let nonce = socket.heard.first("ping").unwrap()["nonce"].clone();
    socket.say_frames(&[json!({"type": "pong", "nonce": nonce})]).await;
    assert!(socket.hear_all().await);
    socket
}

/// The hello with which whoever was told comes back to `gateway`, all that it needs said at once.
fn coming_back(welcome: &Value, retry: &Value) -> Value {
    json!({
        "type": "hello", "version": 0, "instance": "test", "attach": 2,
        "resume": {"token": welcome["token"], "incarnation": 1, "after": 0, "low": 1, "positions": {}},
        "slot": retry["slot"],
    })
}

fn value(gateway: &Running, class: &str, verdict: &str) -> u64 {
    gateway.metric(&format!("throughline_admissions_total{{class=\"{class}\",verdict=\"{verdict}\"}}"))
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let reading = stream.read_to_string(&mut text);
    timeout(PATIENCE, reading).await.expect("an end in time").expect("text");
    text
}

#[tokio::test]
async fn each_transport_is_told_and_its_client_is_let_in_on_its_slot() {
    let gateway = gateway(1).await;
    let mut websocket = socket(&gateway).await;
    let mut events = Ask::frames("/v1/events", frames(&[hello()])).open(gateway.clients).await;
    let mut known = Known::open(&gateway).await;
    let poll = Ask::frames("/v1/poll", frames(&[known.resume()]));
    let address = gateway.clients;
    let poll = tokio::spawn(async move { poll.to(address).await });
    attached(&gateway, 3).await;

    let progress = gateway.handle.drain(None);
    assert_eq!(progress.sessions, 3);
    let answer = timeout(PATIENCE, poll).await.unwrap().unwrap();
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    let polled = Heard::read(&answer.body);
    let streamed = rest(&mut events).await;
    assert!(streamed.to_ascii_lowercase().contains("connection: close"), "{streamed}");
    let streamed = Heard::read(streamed.as_bytes());
    assert!(!websocket.hear(|_| false).await, "it ends");
    assert_eq!(websocket.close, Some(4000));
    assert!(drained(&gateway.handle).await, "all have left");

    // One place a second: the WebSocket, which is told last, stays until its own has come.
    let mut delays = Vec::new();
    let mut slots = Vec::new();
    let token = json!({"token": known.token});
    for (heard, welcome) in [
        (&polled, &token),
        (&streamed, streamed.first("welcome").unwrap()),
        (&websocket.heard, websocket.heard.first("welcome").unwrap()),
    ] {
        let retry = heard.first("retry").unwrap_or_else(|| panic!("{heard:?}"));
        assert_eq!((&retry["reason"], &retry["spreadMs"]), (&json!("drain"), &json!(0)), "{retry}");
        delays.push(retry["delayMs"].as_u64().unwrap());
        slots.push(coming_back(welcome, retry));
    }
    assert!(delays[2] <= 1, "a WebSocket stays until its place: {delays:?}");
    let successor = self::gateway(1_000).await;
    for hello in slots {
        let answer = Ask::frames("/v1/poll", frames(&[hello])).to(successor.clients).await;
        let heard = Heard::read(&answer.body);
        if let Some(retry) = heard.first("retry") {
            panic!("sent away: {retry}");
        }
    }
    let come = value(&successor, "resume", "kept") + value(&successor, "resume", "admitted");
    assert_eq!(come, 3, "each came back once, as one who resumes");
    assert!(value(&successor, "resume", "kept") >= 2, "slots whose time has come were kept");
}

#[tokio::test]
async fn nobody_new_is_welcomed_and_everybody_is_told_why() {
    let gateway = gateway(1_000).await;
    let mut known = Known::open(&gateway).await;
    gateway.handle.drain(None);
    for address in ["/v1/poll", "/v1/events"] {
        let answer = Ask::frames(address, frames(&[hello()])).to(gateway.clients).await;
        let heard = Heard::read(&answer.body);
        assert_eq!((answer.status, heard.retry()), (200, Some("drain")), "{heard:?}");
        assert!(heard.first("welcome").is_none() && heard.first("retry").unwrap().get("slot").is_none());
    }
    let answer = Ask::get("/v1/events?channel=news").to(gateway.clients).await;
    assert!(answer.text().contains("\nretry: "), "{answer:?}");
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    assert!(!socket.hear(|_| false).await);
    assert_eq!((socket.heard.retry(), socket.close), (Some("drain"), Some(4000)));
    assert_eq!(gateway.handle.session_count(), 1);

    // Whoever was between two polls gets what there is, and is told behind it.
    let (heard, lives) = known.look(&gateway).await;
    assert!(lives && heard.retry() == Some("drain"), "{heard:?}");
    assert!(heard.first("retry").unwrap()["slot"].is_string(), "{heard:?}");
    // So is whoever shows a genuine token of a session that is gone; nothing is kept of it, so it gets no place.
    let token = json!({"token": known.token});
    gateway.handle.disconnect(throughline_wire::SessionId::parse(&known.id).unwrap());
    let hello = coming_back(&token, &json!({"slot": "none"}));
    let answer = Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
    let heard = Heard::read(&answer.body);
    assert!(
        heard.retry() == Some("drain") && heard.first("retry").unwrap().get("slot").is_none(),
        "{heard:?}"
    );
}

#[tokio::test]
async fn events_and_replies_come_until_a_session_has_left() {
    // A place each 100 ms: the second WebSocket stays that long.
    let gateway = gateway(10).await;
    let (mut first, mut second) = (socket(&gateway).await, socket(&gateway).await);
    let subscribe =
        json!({"type": "commands", "first": 1, "items": [{"type": "subscribe", "channel": "news"}]});
    for socket in [&mut first, &mut second] {
        socket.say_frames(std::slice::from_ref(&subscribe)).await;
        let is_subscribed = |frame: &Value| frame["items"][0]["type"] == "subscribed";
        assert!(socket.hear(is_subscribed).await);
    }
    gateway.handle.drain(None);
    let leaves = async {
        let (one, two) = tokio::join!(first.hear(|_| false), second.hear(|_| false));
        assert!(!one && !two);
    };
    let news = ChannelName::parse("news").unwrap();
    let publish = async {
        let mut published = 0;
        while !gateway.handle.drain_progress().unwrap().is_over {
            gateway.handle.publish(&news, Default::default()).await.unwrap();
            published += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        published
    };
    let ((), published) =
        tokio::join!(async { timeout(PATIENCE, leaves).await.expect("they leave in time") }, publish);
    let last = |socket: &Socket| {
        let items = socket.heard.0.iter().filter(|frame| frame["type"] == "items");
        let events = items.flat_map(|frame| frame["items"].as_array().unwrap());
        events.filter(|item| item["type"] == "event").count()
    };
    let counts = [last(&first), last(&second)];
    assert!(published > 0 && counts.iter().max().unwrap() > &0, "{published}: {counts:?}");
    for socket in [&first, &second] {
        assert_eq!(socket.heard.0.last().unwrap()["type"], "retry", "the goodbye is the last word");
    }
}

#[tokio::test]
async fn a_command_that_was_taken_has_its_reply_before_the_goodbye_and_none_is_taken_after() {
    let mut plan = Plan::default();
    plan.gateway.drain_return_after = Duration::ZERO;
    plan.build = |builder| builder.handler(Slow);
    let gateway = Running::with(plan).await;
    let mut socket = socket(&gateway).await;
    let send = |first: u64| json!({"type": "commands", "first": first, "items": [{"type": "send", "channel": "news", "data": first}]});
    socket.say_frames(&[send(1)]).await;
    assert!(socket.hear_all().await);
    gateway.handle.drain(None);
    // It is told to leave, and waits: what comes now is the successor's to take.
    let told = async {
        while gateway.handle.drain_progress().unwrap().told == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, told).await.expect("told in time");
    socket.say_frames(&[send(2)]).await;
    assert!(socket.hear_all().await, "it is still there");
    GO.notify_one();
    assert!(!socket.hear(|_| false).await);
    let replies: Vec<_> =
        socket.heard.0.iter().filter(|frame| frame["items"][0]["type"] == "reply").collect();
    assert_eq!(replies.len(), 1, "{:?}", socket.heard);
    assert_eq!(socket.heard.retry(), Some("drain"));
    assert_eq!(TAKEN.load(std::sync::atomic::Ordering::SeqCst), 1);
}

static GO: tokio::sync::Notify = tokio::sync::Notify::const_new();
static TAKEN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// Answers when it is told to.
#[derive(Clone)]
struct Slow;

impl tower::Service<throughline::upstream::Intent> for Slow {
    type Response = throughline_wire::item::Accepted;
    type Error = std::io::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: throughline::upstream::Intent) -> Self::Future {
        TAKEN.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async {
            GO.notified().await;
            Ok(Self::Response::default())
        })
    }
}

#[tokio::test]
async fn a_deadline_ends_what_would_not_leave() {
    let plan = Plan { build: |builder| builder.handler(Never), ..Plan::default() };
    let gateway = Running::with(plan).await;
    let mut socket = socket(&gateway).await;
    let send =
        json!({"type": "commands", "first": 1, "items": [{"type": "send", "channel": "news", "data": 1}]});
    socket.say_frames(&[send]).await;
    assert!(socket.hear_all().await);
    let handle = gateway.handle.clone();
    let stopping = tokio::spawn(async move { handle.shutdown(Duration::from_millis(50)).await });
    assert!(!socket.hear(|_| false).await, "it ends");
    assert_eq!((socket.heard.retry(), socket.close), (Some("drain"), Some(4000)));
    assert!(socket.heard.first("retry").unwrap()["slot"].is_string(), "with its slot all the same");
    assert!(!stopping.await.unwrap(), "not all had left in time");
}

/// Never answers.
#[derive(Clone)]
struct Never;

impl tower::Service<throughline::upstream::Intent> for Never {
    type Response = throughline_wire::item::Accepted;
    type Error = std::io::Error;
    type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: throughline::upstream::Intent) -> Self::Future {
        std::future::pending()
    }
}
