//! Whoever is too many is told when to come back, in its transport's own way, and is let in on its slot.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use throughline::{gateway::GatewayConfig, session::TokenKeys, wire::Codec};
use throughline_wire::SessionId;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use crate::kit::{
    PATIENCE,
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, Known, frames},
    websocket::Socket,
};

const KEY: [u8; 32] = [7; 32];

/// One a second, and no two at once.
async fn narrow(key: [u8; 32]) -> Running {
    let mut plan = Plan::default();
    plan.session.keys = TokenKeys::from_random(key);
    plan.gateway = GatewayConfig { admission_rate: 1, admission_burst: 1, ..plan.gateway };
    Running::with(plan).await
}

/// The hello of a client whose session is gone: after a crash these are the many.
fn hello(n: u8, key: [u8; 32], slot: Option<&str>) -> Value {
    let token = TokenKeys::from_random(key).token(SessionId::from_random([n; 16]), None);
    let mut hello = json!({
        "type": "hello", "version": 0, "instance": "test", "attach": 2,
        "resume": {"token": token.reveal(), "incarnation": 1, "after": 0, "low": 1, "positions": {}},
    });
    if let Some(slot) = slot {
        hello["slot"] = slot.into();
    }
    hello
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Polling,
    Events,
    WebSocket,
}

impl Way {
    /// Says hello; gives what was heard, and how the transport said it: its head, its `retry:`, its close code.
    async fn say(self, gateway: &Running, hello: Value) -> (Heard, String) {
        let hello = [hello];
        match self {
            Self::Polling => {
                let answer = Ask::frames("/v1/poll", frames(&hello)).to(gateway.clients).await;
                (Heard::read(&answer.body), answer.head)
            }
            Self::Events => {
                let mut stream = Ask::frames("/v1/events", frames(&hello)).open(gateway.clients).await;
                let text = read(&mut stream).await;
                (Heard::read(text.as_bytes()), text)
            }
            Self::WebSocket => {
                let mut socket = Socket::open(gateway.clients, Codec::Json).await;
                socket.say_frames(&hello).await;
                socket.hear(|frame| frame["type"] == "welcome" || frame["type"] == "retry").await;
                if socket.heard.retry().is_some() {
                    socket.hear(|_| false).await;
                }
                let close = format!("{:?}", socket.close);
                (socket.heard, close)
            }
        }
    }

    fn tells(self, said: &str) -> bool {
        match self {
            Self::Polling => said.contains("retry-after: 1"),
            Self::Events => {
                said.to_ascii_lowercase().contains("retry-after: 1") || said.contains("\nretry: ")
            }
            Self::WebSocket => said == "Some(4001)",
        }
    }
}

/// Reads a stream until the gateway has decided.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("an answer in time");
        let length = read.unwrap_or(0);
        text.extend_from_slice(&piece[..length]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let has_decided = so_far.contains("\"type\":\"welcome\"") || so_far.contains("\"type\":\"retry\"");
        if length == 0 || (has_decided && so_far.ends_with('\n')) {
            return so_far;
        }
    }
}

/// Comes as one after the other until one is too many: its number, and what it was told.
async fn too_many(way: Way, gateway: &Running, key: [u8; 32]) -> (u8, Heard, String) {
    for n in 1.. {
        let (heard, said) = way.say(gateway, hello(n, key, None)).await;
        if heard.retry().is_some() {
            return (n, heard, said);
        }
        assert!(heard.first("welcome").is_some(), "{heard:?}");
    }
    unreachable!("each took a second of its own")
}

fn slot(heard: &Heard) -> &str {
    heard.first("retry").and_then(|retry| retry["slot"].as_str()).unwrap_or_else(|| panic!("{heard:?}"))
}

fn admissions(gateway: &Running, class: &str, verdict: &str) -> u64 {
    gateway.metric(&format!("throughline_admissions_total{{class=\"{class}\",verdict=\"{verdict}\"}}"))
}

fn ignored(gateway: &Running, reason: &str) -> u64 {
    gateway.metric(&format!("throughline_slots_ignored_total{{reason=\"{reason}\"}}"))
}

/// How many of a class were charged.
fn charged(gateway: &Running, class: &str) -> u64 {
    ["admitted", "appointed", "windowed"].map(|verdict| admissions(gateway, class, verdict)).iter().sum()
}

#[tokio::test]
async fn over_any_transport_whoever_is_too_many_is_told_its_time_and_let_in_on_its_slot() {
    for way in [Way::Polling, Way::Events, Way::WebSocket] {
        let gateway = narrow(KEY).await;
        let (n, heard, said) = too_many(way, &gateway, KEY).await;
        assert_eq!(heard.codes(), ["overloaded"], "{way:?}");
        let retry = heard.first("retry").unwrap();
        assert_eq!((retry["reason"].as_str(), retry["spreadMs"].as_u64()), (Some("overload"), Some(0)));
        assert!((1..=1_000).contains(&retry["delayMs"].as_u64().unwrap()), "{way:?} {retry}");
        assert!(way.tells(&said), "{way:?} {said}");
        let sessions = gateway.handle.session_count();
        let (heard, _) = way.say(&gateway, hello(n, KEY, Some(slot(&heard)))).await;
        assert!(heard.first("welcome").is_some(), "{way:?} {heard:?}");
        assert_eq!(gateway.handle.session_count(), sessions + 1);
        assert_eq!(admissions(&gateway, "resume", "appointed"), 1);
        assert_eq!(admissions(&gateway, "resume", "kept"), 1);
    }
}

#[tokio::test]
async fn a_slot_of_another_session_a_forged_one_and_one_of_another_key_count_for_nothing() {
    let (gateway, foreign) = (narrow(KEY).await, narrow([8; 32]).await);
    let (n, heard, _) = too_many(Way::Polling, &gateway, KEY).await;
    let mine = slot(&heard).to_owned();
    let (_, heard, _) = too_many(Way::Polling, &foreign, [8; 32]).await;
    let other = if mine.starts_with('A') { "B" } else { "A" };
    let changed = format!("{}{other}", &mine[..mine.len() - 1]);
    let shown = [(n + 1, mine.as_str()), (n, changed.as_str()), (n, slot(&heard)), (n, "x")];
    for (count, (n, slot)) in (1..).zip(shown) {
        Way::Polling.say(&gateway, hello(n, KEY, Some(slot))).await;
        assert_eq!(ignored(&gateway, "forged"), count, "{slot}");
    }
    assert_eq!(admissions(&gateway, "resume", "kept"), 0);
    Way::Polling.say(&gateway, hello(n, KEY, Some(&mine))).await;
    assert_eq!(admissions(&gateway, "resume", "kept"), 1);
}

#[tokio::test]
async fn a_poll_that_goes_on_and_a_probe_beside_it_take_no_place() {
    let gateway = narrow(KEY).await;
    let mut known = Known::open(&gateway).await;
    for _ in 0..5 {
        assert!(known.look(&gateway).await.1);
    }
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    let mut probe = known.resume();
    probe.as_object_mut().unwrap().remove("attach");
    socket.say_frames(&[probe]).await;
    assert!(socket.hear(|frame| frame["type"] == "ping").await);
    let nonce = socket.heard.first("ping").unwrap()["nonce"].clone();
    let attach = json!({"type": "attach", "number": known.attach, "after": known.after});
    socket.say_frames(&[json!({"type": "pong", "nonce": nonce}), attach]).await;
    assert!(socket.hear_all().await);
    assert_eq!((charged(&gateway, "newcomer"), charged(&gateway, "resume")), (1, 0));
}

#[tokio::test]
async fn whoever_comes_back_after_its_stream_broke_takes_a_place() {
    let gateway = narrow(KEY).await;
    let mut known = Known::open(&gateway).await;
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    let hello = known.resume();
    socket.say_frames(&[hello]).await;
    assert!(socket.hear(|frame| frame["type"] == "welcome").await);
    assert_eq!(charged(&gateway, "resume"), 0, "it has moved there");
    drop(socket);
    let id = SessionId::parse(&known.id).unwrap();
    let is_attached = || gateway.handle.session(id).is_some_and(|session| session.transport.is_some());
    let left = async {
        while is_attached() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, left).await.expect("the gateway finds out");
    let hello = known.resume();
    Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
    assert_eq!(charged(&gateway, "resume"), 1);
}

#[tokio::test]
async fn strangers_and_plain_event_streams_get_no_slot() {
    let gateway = narrow(KEY).await;
    let mut told = BTreeSet::new();
    while told.len() < 2 {
        let stranger = json!({"type": "hello", "version": 0, "instance": "test", "attach": 1});
        let (heard, _) = Way::Polling.say(&gateway, stranger).await;
        if let Some(retry) = heard.first("retry") {
            assert_eq!(retry.get("slot"), None, "{retry}");
            assert!(retry["spreadMs"].as_u64() > Some(0), "{retry}");
            told.insert("stranger");
        }
        let mut stream = Ask::get("/v1/events?channel=news").open(gateway.clients).await;
        let heard = Heard::read(read(&mut stream).await.as_bytes());
        if let Some(retry) = heard.first("retry") {
            assert_eq!((retry.get("slot"), &retry["spreadMs"]), (None, &json!(0)), "{retry}");
            told.insert("plain");
        }
    }
    assert_eq!(admissions(&gateway, "newcomer", "appointed"), 0);
}
