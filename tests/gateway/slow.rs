//! Slow consumers over real sockets: a client that reads nothing while much is published gets, once it reads, what the
//! channel's policy keeps for it, and is told of the rest.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use throughline::{
    broker::MemoryConfig,
    channel::{NewEvent, Retention},
    session::{SlowPolicy, SlowRule, SlowRules},
};
use throughline_wire::{ChannelName, Codec, Json, Payload};
use tokio::{io::AsyncReadExt as _, net::TcpStream, task::yield_now, time::timeout};

use crate::kit::{
    PATIENCE,
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, frames, hello},
    websocket::Socket,
};

/// More than both ends of a connection hold for one that does not read.
const EVENTS: u64 = 1_500;
const BYTES: usize = 16_000;
const KEYS: u64 = 4;

/// One channel for each policy. Nothing but the policy leaves anything out: the log holds it all, and no window closes.
async fn gateway() -> Running {
    let mut plan = Plan::default();
    let rules = SlowPolicy::ALL.iter().map(|policy| (policy.as_str(), SlowRule::new(*policy)));
    plan.session.slow = SlowRules::new(rules);
    plan.session.limits.unacknowledged_items = 1 << 30;
    plan.session.limits.unacknowledged_bytes = 1 << 40;
    plan.build = |builder| {
        let retention = Retention { events: 1 << 20, bytes: 1 << 30, ..Retention::default() };
        builder.memory(MemoryConfig { retention, budget_bytes: 1 << 30, ..MemoryConfig::default() })
    };
    Running::with(plan).await
}

fn channel(policy: SlowPolicy) -> ChannelName {
    ChannelName::parse(&format!("{policy}:a")).expect("a legal name")
}

/// Publishes everything, while the gateway may write whatever can be written.
async fn publish(gateway: &Running, policy: SlowPolicy) {
    for number in 1..=EVENTS {
        let text = format!("\"{}\"", "x".repeat(BYTES));
        let payload = Payload::Json(Json::parse(text.as_bytes()).expect("JSON"));
        let key = Some(format!("k{}", number % KEYS).into());
        let event = NewEvent { key, payload, ..NewEvent::default() };
        gateway.handle.publish(&channel(policy), event).await.expect("there is room");
        yield_now().await;
    }
}

fn opening(policy: SlowPolicy) -> String {
    let subscribe = json!({"type": "subscribe", "channel": channel(policy).as_str()});
    frames(&[hello(), json!({"type": "commands", "first": 1, "items": [subscribe]})])
}

fn has_item(frame: &Value, is_it: impl Fn(&Value) -> bool) -> bool {
    frame["items"].as_array().is_some_and(|items| items.iter().any(is_it))
}

fn is_newest(frame: &Value) -> bool {
    has_item(frame, |item| item["type"] == "event" && item["offset"] == EVENTS)
}

fn is_subscribed(frame: &Value) -> bool {
    has_item(frame, |item| item["type"] == "subscribed")
}

#[derive(Clone, Copy, Debug)]
enum Way {
    WebSocket(Codec),
    /// Our clients' event stream.
    Events,
    /// An `EventSource`, which cannot acknowledge.
    EventSource,
    Polling,
}

const WAYS: [Way; 5] = [
    Way::WebSocket(Codec::Json),
    Way::WebSocket(Codec::Bincode),
    Way::Events,
    Way::EventSource,
    Way::Polling,
];

impl Way {
    /// Subscribes, reads nothing while everything is published, and then reads up to the newest.
    async fn hear(self, gateway: &Running, policy: SlowPolicy) -> Heard {
        match self {
            Self::WebSocket(codec) => {
                let mut socket = Socket::open(gateway.clients, codec).await;
                let opening: Vec<Value> =
                    opening(policy).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
                socket.say_frames(&opening).await;
                assert!(socket.hear(is_subscribed).await);
                publish(gateway, policy).await;
                assert!(socket.hear(is_newest).await);
                socket.heard
            }
            Self::Events => {
                let ask = Ask::frames("/v1/events", opening(policy));
                stream(ask.open(gateway.clients).await, gateway, policy).await
            }
            Self::EventSource => {
                let ask = Ask::get(&format!("/v1/events?channel={}", channel(policy)));
                stream(ask.open(gateway.clients).await, gateway, policy).await
            }
            Self::Polling => poll(gateway, policy).await,
        }
    }
}

async fn stream(mut stream: TcpStream, gateway: &Running, policy: SlowPolicy) -> Heard {
    let mut text = Vec::new();
    read_until(&mut stream, &mut text, is_subscribed).await;
    publish(gateway, policy).await;
    read_until(&mut stream, &mut text, is_newest).await;
    Heard::read(&text)
}

async fn read_until(stream: &mut TcpStream, text: &mut Vec<u8>, is_it: fn(&Value) -> bool) {
    let (mut piece, mut looked_at) = (vec![0; 1 << 16], 0);
    loop {
        let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("more in time");
        let length = read.expect("a connection");
        assert!(length > 0, "the stream ended: {}", String::from_utf8_lossy(text));
        text.extend_from_slice(&piece[..length]);
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole > looked_at && Heard::read(&text[looked_at..whole]).0.iter().any(is_it) {
            return;
        }
        looked_at = whole.max(looked_at);
    }
}

async fn poll(gateway: &Running, policy: SlowPolicy) -> Heard {
    let mut heard = Heard::read(&Ask::frames("/v1/poll", opening(policy)).to(gateway.clients).await.body);
    let welcome = heard.first("welcome").expect("a welcome").clone();
    publish(gateway, policy).await;
    for attach in 2.. {
        let items = heard.0.iter().filter_map(|frame| frame["items"].as_array());
        let after: usize = items.map(Vec::len).sum();
        let resume = json!({
            "token": welcome["token"], "incarnation": welcome["incarnation"], "after": after, "low": 2,
        });
        let mut hello = hello();
        (hello["attach"], hello["resume"]) = (attach.into(), resume);
        let answer = Heard::read(&Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await.body);
        heard.0.extend(answer.0);
        if heard.0.iter().any(is_newest) {
            break;
        }
    }
    heard
}

/// What came of the channel, each place accounted for: how many events, how many events by the reason of the gap that told
/// of them, and the last event of each key.
fn account(heard: &Heard) -> (u64, BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let (mut place, mut events) = (0, 0);
    let (mut left_out, mut newest) = (BTreeMap::new(), BTreeMap::new());
    for item in heard.0.iter().filter_map(|frame| frame["items"].as_array()).flatten() {
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("a number in {item}"));
        let word = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a word in {item}")).to_owned();
        match item["type"].as_str() {
            Some("event") => {
                assert_eq!(number(&item["offset"]), place + 1, "the next after {place}");
                place += 1;
                events += 1;
                newest.insert(word(&item["key"]), place);
            }
            Some("gap") => {
                assert_eq!(number(&item["from"]["offset"]), place, "a gap begins where the client is");
                assert_eq!(item["exact"], true, "{item}");
                let to = number(&item["to"]["offset"]);
                *left_out.entry(word(&item["reason"])).or_default() += to - place;
                place = to;
            }
            _ => {}
        }
    }
    assert_eq!(place, EVENTS, "every event came or was told");
    (events, left_out, newest)
}

fn metric(gateway: &Running, name: &str, labels: &str) -> u64 {
    gateway.metric(&format!("throughline_{name}_total{{{labels}}}"))
}

#[tokio::test]
async fn replay_brings_everything_to_a_client_that_did_not_read() {
    for way in WAYS {
        let gateway = gateway().await;
        let (events, left_out, _) = account(&way.hear(&gateway, SlowPolicy::Replay).await);
        assert_eq!((events, left_out.len()), (EVENTS, 0), "{way:?}");
    }
}

#[tokio::test]
async fn latest_brings_the_newest_of_each_key_to_a_client_that_did_not_read_and_tells_of_the_rest() {
    for way in WAYS {
        let gateway = gateway().await;
        let (events, left_out, newest) = account(&way.hear(&gateway, SlowPolicy::Latest).await);
        assert_eq!(left_out.keys().collect::<Vec<_>>(), ["conflated"], "{way:?}");
        assert_eq!(newest.len() as u64, KEYS, "{way:?}");
        assert!(newest.values().all(|place| *place > EVENTS - KEYS), "{way:?}: {newest:?}");
        assert_eq!(metric(&gateway, "events_left_out", "policy=\"latest\""), EVENTS - events, "{way:?}");
        assert!(metric(&gateway, "gaps", "reason=\"conflated\"") > 0, "{way:?}");
    }
}

#[tokio::test]
async fn gap_brings_the_newest_to_a_client_that_did_not_read_behind_a_gap() {
    for way in WAYS {
        let gateway = gateway().await;
        let (events, left_out, _) = account(&way.hear(&gateway, SlowPolicy::Gap).await);
        assert_eq!(left_out.keys().collect::<Vec<_>>(), ["overflow"], "{way:?}");
        assert_eq!(metric(&gateway, "events_left_out", "policy=\"gap\""), EVENTS - events, "{way:?}");
        assert!(metric(&gateway, "gaps", "reason=\"overflow\"") > 0, "{way:?}");
    }
}
