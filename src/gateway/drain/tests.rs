//! A hand-over on a virtual clock: who is told when, and when the listeners may change hands. Links are played without a
//! network.

use std::{
    pin::Pin,
    sync::atomic::AtomicUsize,
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use serde_json::{Value, json};
use throughline_link::{Gate as _, LinkEnd, LinkRequest, Opening, Peer as _, Shape, Transmit};
use throughline_wire::{ChannelName, Codec, Position, item::Accepted};
use tokio::{sync::Notify, task::JoinHandle};

use super::*;
use crate::{
    Gateway, Handle,
    broker::{Broker, BrokerError, Memory, MemoryConfig, Pending, Tail, Usage},
    channel::{Channel, NewEvent},
    gateway::{
        Authenticate, Credentials, Denied, GatewayConfig, Identity,
        peer::{GatewayGate, GatewayPeer},
    },
    session::{Now, SessionConfig, TokenKeys},
    upstream::Intent,
};

/// A gateway that hands over, and what its clients have to do with it.
struct Scene {
    handle: Handle,
    gate: GatewayGate,
}

/// A client that speaks request by request.
struct Client {
    welcome: Value,
    attach: u64,
    after: u64,
}

impl Scene {
    fn new() -> Self {
        Self::of(GatewayConfig::default(), |builder| builder)
    }

    fn of(config: GatewayConfig, build: impl FnOnce(crate::Builder) -> crate::Builder) -> Self {
        let session = SessionConfig::new(TokenKeys::from_random([1; 32]));
        let gateway = build(Gateway::builder().config(config).session(session)).build();
        let handle = gateway.handle();
        let gate = GatewayGate { shared: Arc::clone(&handle.shared) };
        Self { handle, gate }
    }

    /// A link on which this was said.
    fn says(&self, transport: &'static str, shape: Shape, frames: &[Value]) -> GatewayPeer {
        let mut peer = self.gate.open(LinkRequest {
            transport,
            codec: Codec::Json,
            shape,
            datagrams: false,
            opening: Opening::Message,
            remote: None,
            headers: http::HeaderMap::new(),
        });
        let message: String = frames.iter().map(|frame| format!("{frame}\n")).collect();
        peer.receive(message.as_bytes());
        peer
    }

    /// A client whose first poll was answered.
    fn between_polls(&self) -> Client {
        let mut poll = self.says("polling", Shape::Answer, &[hello(), subscribe()]);
        let heard = heard(&mut poll);
        poll.end(LinkEnd::Answered);
        Client { welcome: first(&heard, "welcome").clone(), attach: 1, after: last(&heard) }
    }

    /// The next poll of a client.
    fn polls(&self, client: &mut Client) -> GatewayPeer {
        client.attach += 1;
        self.says("polling", Shape::Answer, &[client.resume()])
    }

    /// What a post says in answer.
    fn posts(&self, welcome: &Value, frames: &[Value]) -> Vec<Value> {
        let name = json!({"type": "session", "token": welcome["token"], "incarnation": welcome["incarnation"], "link": 1});
        let mut post = self.says("send", Shape::Post, &[&[name], frames].concat());
        let heard = heard(&mut post);
        post.end(LinkEnd::Answered);
        heard
    }

    /// Begins to hand over; the task ends when the listeners may change hands.
    fn hand_over(&self) -> JoinHandle<Instant> {
        let handle = self.handle.clone();
        handle.hand_over();
        tokio::spawn(async move {
            handle.may_change_hands().await;
            Instant::now()
        })
    }

    /// Waits until the drain has looked at everybody for the first time.
    async fn begun(&self) {
        tokio::time::sleep(TICK).await;
    }

    async fn told(&self, count: u64) {
        while self.handle.drain_progress().is_none_or(|drain| drain.told < count) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Client {
    fn resume(&self) -> Value {
        json!({
            "type": "hello", "version": 0, "instance": "me", "attach": self.attach,
            "resume": {"token": self.welcome["token"], "incarnation": 1, "after": self.after, "low": 1},
        })
    }
}

fn hello() -> Value {
    json!({"type": "hello", "version": 0, "instance": "me", "attach": 1})
}

fn subscribe() -> Value {
    json!({"type": "commands", "first": 1, "items": [{"type": "subscribe", "channel": "news"}]})
}

fn send(number: u64) -> Value {
    json!({"type": "commands", "first": number, "items": [{"type": "send", "channel": "news", "data": number}]})
}

/// All that is to be said on a link now.
fn heard(peer: &mut GatewayPeer) -> Vec<Value> {
    let mut heard = Vec::new();
    loop {
        let mut buffer = BytesMut::new();
        let said = peer.poll_transmit(&mut Context::from_waker(Waker::noop()), 65_536, &mut buffer);
        let text = std::str::from_utf8(&buffer).expect("text");
        heard.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
        if !matches!(said, Poll::Ready(Transmit::Message | Transmit::Datagram)) {
            return heard;
        }
    }
}

fn first<'a>(heard: &'a [Value], of_type: &str) -> &'a Value {
    heard.iter().find(|frame| frame["type"] == of_type).unwrap_or_else(|| panic!("no {of_type}: {heard:?}"))
}

/// The last item that was heard.
fn last(heard: &[Value]) -> u64 {
    let items = heard.iter().filter(|frame| frame["type"] == "items");
    let lasts = items.map(|frame| {
        frame["first"].as_u64().expect("a number") + frame["items"].as_array().expect("items").len() as u64
            - 1
    });
    lasts.max().unwrap_or(0)
}

/// When whoever was told this is to come back, and that it has a slot.
fn place(heard: &[Value]) -> Instant {
    let retry = first(heard, "retry");
    assert_eq!(retry["reason"], "drain", "{retry}");
    assert!(retry["slot"].is_string(), "{retry}");
    Instant::now() + Duration::from_millis(retry["delayMs"].as_u64().expect("a number"))
}

#[tokio::test]
async fn an_answer_is_the_last_on_its_connection_from_the_moment_when_it_may_tell_to_leave() {
    let scene = Scene::new();
    scene.handle.drain(None);
    assert!(scene.handle.retiring().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_between_two_polls_is_told_before_the_listeners_change_hands() {
    let scene = Scene::new();
    let mut client = scene.between_polls();
    let change = scene.hand_over();
    tokio::time::sleep(BETWEEN_POLLS / 2).await;
    assert!(!change.is_finished(), "its next poll comes by a connection of its own");
    assert!(scene.handle.is_ready().await, "whoever connects is served in a moment");
    let mut poll = scene.polls(&mut client);
    let place = place(&heard(&mut poll));
    poll.end(LinkEnd::Answered);
    let told = Instant::now();
    let changed = change.await.expect("it waits");
    assert!(changed >= told + TRIP, "what it says until it hears that comes here");
    assert!(place >= changed + MOMENT, "and itself comes later");
    scene.handle.changed_hands();
    assert!(!scene.handle.is_ready().await);
    assert!(scene.handle.drained().await);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_too_early_is_told_the_same_again() {
    let scene = Scene::new();
    let mut client = scene.between_polls();
    let change = scene.hand_over();
    scene.begun().await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let mut poll = scene.polls(&mut client);
        let heard = heard(&mut poll);
        told.push((place(&heard), first(&heard, "retry")["slot"].clone()));
        poll.end(LinkEnd::Answered);
        tokio::time::sleep(TRIP / 2).await;
    }
    let near = |one: Instant, other: Instant| one.max(other) - one.min(other) <= Duration::from_millis(2);
    assert!(told.iter().all(|(place, slot)| near(*place, told[0].0) && *slot == told[0].1), "{told:?}");
    let progress = || scene.handle.drain_progress().expect("it drains");
    assert_eq!(progress().told, 1, "it has one place, however often it asks");
    assert!(told[0].0 > change.await.expect("it waits"));
    scene.handle.changed_hands();

    tokio::time::sleep_until(told[0].0 + LOOK).await;
    place(&heard(&mut scene.polls(&mut client)));
    assert_eq!(progress().told, 2, "its place has come, and it gets another");
}

#[tokio::test(start_paused = true)]
async fn the_listeners_do_not_change_hands_before_a_goodbye_is_heard_that_nobody_looked_at() {
    let scene = Scene::new();
    let mut client = scene.between_polls();
    let change = scene.hand_over();
    // Before the drain has looked at anybody.
    let mut poll = scene.polls(&mut client);
    place(&heard(&mut poll));
    poll.end(LinkEnd::Answered);
    let told = Instant::now();
    assert!(change.await.expect("it waits") >= told + TRIP);

    // On its way out before the drain looks again.
    let scene = Scene::new();
    let mut stream = scene.says("sse", Shape::DownStream, &[hello()]);
    heard(&mut stream);
    let change = scene.hand_over();
    scene.begun().await;
    place(&heard(&mut stream));
    stream.end(LinkEnd::Closed);
    let told = Instant::now();
    assert!(change.await.expect("it waits") >= told + TRIP);
}

#[tokio::test(start_paused = true)]
async fn a_post_beside_an_event_stream_that_has_ended_is_heard_and_nothing_of_it_is_taken() {
    let scene = Scene::new();
    let mut stream = scene.says("sse", Shape::DownStream, &[hello(), subscribe()]);
    let welcome = first(&heard(&mut stream), "welcome").clone();
    let change = scene.hand_over();
    scene.told(1).await;
    let place = place(&heard(&mut stream));
    stream.end(LinkEnd::Closed);
    let answer = scene.posts(&welcome, &[send(2)]);
    assert_eq!(answer, [json!({"type": "ack", "upTo": 1})], "it has the command still, for the next gateway");
    assert!(!change.is_finished());
    assert!(place > change.await.expect("it waits"));
}

#[tokio::test(start_paused = true)]
async fn a_post_for_a_session_of_the_successor_is_sent_to_it() {
    let scene = Scene::new();
    let client = scene.between_polls();
    let id = SessionId::parse(client.welcome["session"].as_str().expect("an id"));
    assert!(scene.handle.disconnect(id.expect("an id")));
    assert_eq!(first(&scene.posts(&client.welcome, &[send(2)]), "error")["code"], "session_ended");
    scene.hand_over().await.expect("nobody is waited for");
    let answer = scene.posts(&client.welcome, &[send(2)]);
    assert_eq!(first(&answer, "error")["code"], "session_ended", "the successor has none yet");
    scene.handle.changed_hands();
    let answer = scene.posts(&client.welcome, &[send(2)]);
    assert_eq!(first(&answer, "retry")["reason"], "drain", "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_answered_before_the_last_reply_is_not_the_last() {
    let scene = Scene::of(GatewayConfig::default(), |builder| builder.handler(Slow));
    let mut client = scene.between_polls();
    let mut poll = scene.polls(&mut client);
    assert!(heard(&mut poll).is_empty());
    assert_eq!(scene.posts(&client.welcome, &[send(2)]), [json!({"type": "ack", "upTo": 2})]);
    let change = scene.hand_over();
    scene.told(1).await;
    let news = ChannelName::parse("news").expect("a name");
    scene.handle.publish(&news, Default::default()).await.expect("it is taken");
    let answer = heard(&mut poll);
    poll.end(LinkEnd::Answered);
    assert!(answer.iter().all(|frame| frame["type"] != "retry"), "a reply is owed yet: {answer:?}");
    client.after = last(&answer);
    tokio::time::sleep(BETWEEN_POLLS / 2).await;
    assert!(!change.is_finished(), "it polls again");
    let mut poll = scene.polls(&mut client);
    assert!(heard(&mut poll).is_empty());
    GO.notify_one();
    tokio::time::sleep(LOOK).await;
    let answer = heard(&mut poll);
    poll.end(LinkEnd::Answered);
    assert_eq!(first(&answer, "items")["items"][0]["command"], 2, "{answer:?}");
    assert!(place(&answer) > change.await.expect("it waits"));
}

static GO: Notify = Notify::const_new();

/// Answers when it is told to.
#[derive(Clone)]
struct Slow;

impl tower::Service<Intent> for Slow {
    type Response = Accepted;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Accepted, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Intent) -> Self::Future {
        Box::pin(async {
            GO.notified().await;
            Ok(Accepted::default())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_who_closed_a_page_long_ago_nor_longer_than_a_moment() {
    let scene = Scene::new();
    let _client = scene.between_polls();
    tokio::time::sleep(BETWEEN_POLLS + LOOK).await;
    let began = Instant::now();
    assert_eq!(scene.hand_over().await.expect("it waits"), began);

    // One that does not read its goodbye; its deadline leaves a quarter of it.
    for (drain_deadline, most) in [(25, CHANGE), (4, Duration::from_secs(1))] {
        let drain_deadline = Duration::from_secs(drain_deadline);
        let scene =
            Scene::of(GatewayConfig { drain_deadline, ..GatewayConfig::default() }, |builder| builder);
        let mut stream = scene.says("sse", Shape::DownStream, &[hello()]);
        heard(&mut stream);
        let began = Instant::now();
        let waited = scene.hand_over().await.expect("it waits") - began;
        assert!(waited >= most && waited < most + 2 * LOOK, "{waited:?}");
        stream.end(LinkEnd::Lost);
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_connects_in_the_moment_of_the_change_finds_a_gateway() {
    let scene = Scene::new();
    let _vanished = scene.between_polls();
    let began = Instant::now();
    assert!(scene.hand_over().await.expect("it waits") >= began + CHANGE, "as late as can be");
    assert!(scene.handle.is_ready().await, "the successor is being told");
    tokio::time::sleep_until(began + CHANGE + MOMENT).await;
    assert!(!scene.handle.is_ready().await, "it did not take them");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_drains_by_the_time_the_broker_answers_is_not_ready() {
    let broker = Arc::new(Sluggish::default());
    let scene = Scene::of(GatewayConfig::default(), |builder| builder.broker(broker));
    let handle = scene.handle.clone();
    let asked = tokio::spawn(async move { handle.is_ready().await });
    tokio::time::sleep(TICK).await;
    scene.handle.drain(None);
    assert!(!asked.await.expect("it is answered"));
}

/// A broker that takes its time.
struct Sluggish {
    memory: Memory,
    /// What drains from beginning to end while it is asked how full it is.
    drains: Mutex<Option<Handle>>,
}

impl Default for Sluggish {
    fn default() -> Self {
        let memory = Memory::new(MemoryConfig::default(), clock::now, clock::random_u64);
        Self { memory, drains: Mutex::default() }
    }
}

impl Broker for Sluggish {
    fn open<'a>(&'a self, channel: &'a ChannelName) -> Pending<'a, Result<Arc<Channel>, BrokerError>> {
        self.memory.open(channel)
    }

    fn publish<'a>(
        &'a self,
        channel: &'a ChannelName,
        event: NewEvent,
    ) -> Pending<'a, Result<Position, BrokerError>> {
        Box::pin(async move {
            tokio::time::sleep(LOOK).await;
            self.memory.publish(channel, event).await
        })
    }

    fn report_to(&self, tail: Arc<dyn Tail>) {
        self.memory.report_to(tail);
    }

    fn maintain(&self, now: Now) {
        self.memory.maintain(now);
    }

    fn usage(&self) -> &Usage {
        if let Some(handle) = self.drains.lock().take() {
            while !handle.drain(None).is_over {
                std::thread::yield_now();
            }
        }
        self.memory.usage()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_opened_once_the_drain_has_ended_is_over() {
    let broker = Arc::new(Sluggish::default());
    let scene = Scene::of(GatewayConfig::default(), |builder| builder.broker(Arc::clone(&broker) as _));
    *broker.drains.lock() = Some(scene.handle.clone());
    let mut late = scene.says("websocket", Shape::Duplex, &[hello()]);
    let heard = heard(&mut late);
    assert_eq!(scene.handle.session_count(), 0, "{heard:?}");
    late.end(LinkEnd::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_stays_until_the_listeners_have_changed_hands() {
    let scene = Scene::new();
    let mut socket = scene.says("websocket", Shape::Duplex, &[hello(), subscribe()]);
    heard(&mut socket);
    scene.hand_over().await.expect("nobody is waited for");
    tokio::time::sleep(CHANGE).await;
    assert!(heard(&mut socket).is_empty(), "its successor does not accept yet");
    scene.handle.changed_hands();
    scene.told(1).await;
    assert!(place(&heard(&mut socket)) <= Instant::now() + TICK, "it may come back at once");
    socket.end(LinkEnd::Closed);
    assert!(scene.handle.drained().await);
}

#[tokio::test(start_paused = true)]
async fn where_no_successor_comes_everybody_is_told_before_the_deadline() {
    let drain_deadline = Duration::from_secs(12);
    let scene = Scene::of(GatewayConfig { drain_deadline, ..GatewayConfig::default() }, |builder| builder);
    let mut socket = scene.says("websocket", Shape::Duplex, &[hello()]);
    heard(&mut socket);
    scene.handle.hand_over();
    let began = Instant::now();
    scene.told(1).await;
    assert!(began.elapsed() <= telling_time(drain_deadline) + LOOK);
    assert!(place(&heard(&mut socket)) >= Instant::now() + MOMENT, "and does not come back in a rush");
    assert!(!scene.handle.is_ready().await, "nobody serves whoever connects");
    socket.end(LinkEnd::Closed);
    assert!(scene.handle.drained().await);
}

#[tokio::test(start_paused = true)]
async fn where_no_successor_comes_nobody_comes_back_before_this_process_has_ended() {
    let scene = Scene::new();
    let mut client = scene.between_polls();
    let mut socket = scene.says("websocket", Shape::Duplex, &[hello()]);
    heard(&mut socket);
    let began = Instant::now();
    let deadline = scene.handle.hand_over().deadline;
    tokio::time::sleep(CHANGE).await;
    let comes = |client: &mut Client| {
        let mut poll = scene.polls(client);
        let place = place(&heard(&mut poll));
        poll.end(LinkEnd::Answered);
        place
    };
    let soon = comes(&mut client);
    assert!(soon <= Instant::now() + MOMENT + LOOK, "the change may be under way");
    tokio::time::sleep_until(soon + LOOK).await;
    assert!(comes(&mut client) >= began + deadline);
}

#[tokio::test(start_paused = true)]
async fn where_the_deadline_presses_those_in_turn_are_told_early_and_keep_their_places() {
    let config = GatewayConfig { admission_rate: 1, ..GatewayConfig::default() };
    let scene = Scene::of(config, |builder| builder);
    let sockets = (0..10).map(|_| {
        let mut socket = scene.says("websocket", Shape::Duplex, &[hello()]);
        heard(&mut socket);
        socket
    });
    let mut sockets: Vec<_> = sockets.collect();
    let deadline = Duration::from_secs(8);
    let began = Instant::now();
    scene.handle.drain(Some(deadline));
    let mut places = Vec::new();
    while places.len() < sockets.len() {
        scene.told(places.len() as u64 + 1).await;
        let told = sockets.iter_mut().map(heard).filter(|heard| !heard.is_empty());
        places.extend(told.map(|heard| place(&heard) - began));
    }
    assert!(began.elapsed() <= telling_time(deadline) + LOOK);
    assert!(places.windows(2).all(|two| two[1] - two[0] >= Duration::from_millis(990)), "{places:?}");
    sockets.into_iter().for_each(|socket| socket.end(LinkEnd::Closed));
    assert!(scene.handle.drained().await);
}

/// Knows everybody by the same name, and counts how often it is asked.
#[derive(Clone, Default)]
struct Porter(Arc<AtomicUsize>);

impl Authenticate for Porter {
    fn authenticate<'a>(&'a self, _: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Identity { user: Some("ada".into()), ..Identity::default() })))
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_session_is_gone_takes_no_place_however_often_it_is_shown() {
    let scene = Scene::new();
    let mut client = scene.between_polls();
    let id = SessionId::parse(client.welcome["session"].as_str().expect("an id"));
    assert!(scene.handle.disconnect(id.expect("an id")));
    scene.handle.drain(None);
    for _ in 0..100 {
        let told = heard(&mut scene.polls(&mut client));
        let retry = first(&told, "retry");
        assert!(retry["reason"] == "drain" && retry.get("slot").is_none(), "{retry}");
    }
    assert_eq!(scene.handle.shared.drain().expect("it drains").ahead(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn newcomers_get_a_place_behind_the_change_and_are_the_successors_to_ask_afterwards() {
    let porter = Porter::default();
    let asked = Arc::clone(&porter.0);
    let scene = Scene::of(GatewayConfig::default(), |builder| builder.authenticate(porter));
    let mut socket = scene.says("websocket", Shape::Duplex, &[hello()]);
    heard(&mut socket);
    let change = scene.hand_over();
    scene.begun().await;
    let comes = || heard(&mut scene.says("websocket", Shape::Duplex, &[hello()]));
    let place = place(&comes());
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert!(place > change.await.expect("it waits"));
    scene.handle.changed_hands();
    let told = comes();
    assert_eq!((first(&told, "retry")["slot"].as_str(), asked.load(Ordering::Relaxed)), (None, 2));

    // Whoever has no name gets no slot, but is sent behind the change all the same.
    let scene = Scene::new();
    let mut stream = scene.says("sse", Shape::DownStream, &[hello()]);
    heard(&mut stream);
    let change = scene.hand_over();
    scene.told(1).await;
    let told = heard(&mut scene.says("polling", Shape::Answer, &[hello()]));
    let retry = first(&told, "retry");
    assert!(retry.get("slot").is_none(), "{retry}");
    let back = Instant::now() + Duration::from_millis(retry["delayMs"].as_u64().expect("a number"));
    assert!(back > change.await.expect("it waits"));
}
