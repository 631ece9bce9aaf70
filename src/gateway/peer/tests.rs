//! Links as WebTransport opens them, played without a network.

mod answers;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bytes::BytesMut;
use throughline_link::{Gate as _, LinkEnd, LinkRequest, Opening, Peer as _, Shape, Transmit};
use throughline_wire::{ChannelName, Codec, SessionId};

use super::{GatewayGate, GatewayPeer};
use crate::{
    Gateway,
    broker::Pending,
    channel::{NewEvent, NewVolatile},
    gateway::{Authenticate, Credentials, Denied, GatewayConfig, Handle, Identity, clock},
    session::{SessionConfig, TRANSPORTS, TokenKeys},
};

const HELLO: &str = r#"{"type":"hello","version":0,"instance":"me","attach":1}"#;
const SUBSCRIBE: &str = r#"{"type":"commands","first":1,"items":[{"type":"subscribe","channel":"news"}]}"#;

/// The peer of a link of frames that is opened as WebTransport does it.
fn opened(gate: &GatewayGate) -> GatewayPeer {
    opened_on(gate, "webtransport")
}

/// The peer of a link by this transport.
fn opened_on(gate: &GatewayGate, transport: &'static str) -> GatewayPeer {
    let shape = match transport {
        "polling" => Shape::Answer,
        "sse" => Shape::DownStream,
        _ => Shape::Duplex,
    };
    gate.open(LinkRequest {
        transport,
        codec: Codec::Json,
        shape,
        datagrams: transport == "webtransport",
        opening: Opening::Message,
        remote: None,
        headers: http::HeaderMap::new(),
    })
}

/// One whose client holds `news`.
fn listening(gate: &GatewayGate) -> GatewayPeer {
    let mut peer = opened(gate);
    peer.receive_datagram(volatile(1).as_bytes()); // before there is a session: dropped
    peer.receive(HELLO.as_bytes());
    peer.receive(SUBSCRIBE.as_bytes());
    let told = told(&mut peer);
    assert!(told.iter().any(|line| line.contains("subscribed")), "{told:?}");
    peer
}

fn volatile(seq: u64) -> String {
    format!(r#"{{"type":"volatile","channel":"news","seq":{seq},"data":1}}"#)
}

/// All that is to be transmitted, a datagram by its name.
fn told(peer: &mut GatewayPeer) -> Vec<String> {
    told_to(peer, Waker::noop())
}

/// The same, by a task that waits for more.
fn told_to(peer: &mut GatewayPeer, waker: &Waker) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        let mut buffer = BytesMut::new();
        let text = match peer.poll_transmit(&mut Context::from_waker(waker), 65_536, &mut buffer) {
            Poll::Pending => return told,
            Poll::Ready(Transmit::Message) => String::new(),
            Poll::Ready(Transmit::Datagram) => "datagram ".into(),
            Poll::Ready(Transmit::Close(advice)) => format!("close {} ", advice.reason),
        };
        told.push(text + std::str::from_utf8(&buffer).expect("text"));
    }
}

#[tokio::test]
async fn a_datagram_is_one_volatile_and_anything_else_in_one_is_nothing() {
    let gateway = Gateway::builder().build();
    let shared = gateway.handle().shared;
    let gate = GatewayGate { shared };
    let (mut speaker, mut listener) = (listening(&gate), listening(&gate));
    let two = format!("{}\n{}", volatile(1), volatile(2));
    let ignored = ["", "\n", "{", "\u{0}", r#"{"type":"bye"}"#, r#"{"type":"ping","nonce":1}"#, HELLO, &two];
    for datagram in ignored {
        speaker.receive_datagram(datagram.as_bytes());
        speaker.receive_datagram(&[datagram.as_bytes(), b"\xff"].concat());
    }
    let news =
        gate.shared.broker.open(&ChannelName::parse("news").expect("a name")).await.expect("a channel");
    news.wake();
    assert!(told(&mut listener).is_empty() && told(&mut speaker).is_empty());
    for seq in [3, 3, 4, 2] {
        speaker.receive_datagram(format!("{}\n", volatile(seq)).as_bytes());
    }
    news.wake();
    let heard = told(&mut listener);
    assert_eq!(heard.len(), 2, "{heard:?}");
    for (line, seq) in heard.iter().zip([3, 4]) {
        assert!(line.starts_with("datagram ") && line.contains(&format!("\"seq\":{seq},")), "{line}");
    }
    assert!(told(&mut speaker).is_empty());
}

#[tokio::test]
async fn a_hello_that_no_session_takes_costs_nobody_a_place() {
    let keys = TokenKeys::from_random([1; 32]);
    let token = keys.token(SessionId::from_random([2; 16]), None);
    let shared = Gateway::builder().session(SessionConfig::new(keys)).build().handle().shared;
    let gate = GatewayGate { shared };
    let admitted = || {
        let metrics = gate.shared.metrics.encode(&gate.shared);
        metrics.contains("throughline_admissions_total{class=\"resume\",verdict=\"admitted\"} 0")
    };
    let token = token.reveal();
    for attach in ["", r#","attach":0"#] {
        let resume = format!(r#"{{"token":"{token}","incarnation":1,"after":0,"low":1,"positions":{{}}}}"#);
        let mut poll = opened_on(&gate, "polling");
        poll.receive(
            format!(r#"{{"type":"hello","version":0,"instance":"me"{attach},"resume":{resume}}}"#).as_bytes(),
        );
        let told = told(&mut poll);
        assert!(told[0].contains("protocol_error"), "{told:?}");
        assert!(admitted());
    }
}

/// How often a task was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_link_without_room_for_events_is_woken_by_the_acknowledgement_and_not_by_each_event() {
    let mut session = SessionConfig::new(TokenKeys::from_random([1; 32]));
    session.limits.unacknowledged_items = 2;
    let gateway = Gateway::builder().session(session).build();
    let gate = GatewayGate { shared: gateway.handle().shared };
    let broker = &gate.shared.broker;
    let news = broker.open(&ChannelName::parse("news").expect("a name")).await.expect("a channel");
    let mut peer = listening(&gate);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let woken = || wakes.0.swap(0, Ordering::Relaxed);
    let mut heard = Vec::new();
    for (said, event_wakes) in [(1, 1), (2, 1), (3, 1), (4, 0), (5, 0), (6, 0)] {
        heard.extend(told_to(&mut peer, &waker));
        broker.publish(news.name(), NewEvent::default()).await.expect("it is published");
        news.wake();
        assert_eq!(woken(), event_wakes, "event {said}");
    }
    heard.extend(told_to(&mut peer, &waker));
    assert_eq!(heard.concat().matches("\"event\"").count(), 2, "{heard:?}");
    assert!(broker.volatile(clock::now(), news.name(), NewVolatile::default()));
    news.wake();
    assert_eq!((woken(), told_to(&mut peer, &waker).len()), (1, 1), "what is not kept needs no room");
    peer.receive(br#"{"type":"ack","upTo":3}"#);
    assert_eq!(woken(), 1);
    let heard = told_to(&mut peer, &waker);
    assert_eq!(heard.concat().matches("\"event\"").count(), 2, "{heard:?}");
}

#[tokio::test]
async fn whoever_asked_last_is_woken_though_nothing_was_behind_the_wake_before() {
    let gateway = Gateway::builder().build();
    let gate = GatewayGate { shared: gateway.handle().shared };
    let broker = &gate.shared.broker;
    let news = broker.open(&ChannelName::parse("news").expect("a name")).await.expect("a channel");
    let mut peer = listening(&gate);
    let tasks = [(); 2].map(|()| Arc::new(Wakes::default()));
    let [first, second] = tasks.clone().map(Waker::from);
    assert!(told_to(&mut peer, &first).is_empty());
    news.wake();
    assert!(told_to(&mut peer, &second).is_empty());
    broker.publish(news.name(), NewEvent::default()).await.expect("it is published");
    news.wake();
    assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [1, 1]);
    assert_eq!(told_to(&mut peer, &second).len(), 1);
}

#[tokio::test]
async fn a_link_that_stalls_has_met_a_limit_and_its_session_waits() {
    let gateway = Gateway::builder().build();
    let gate = GatewayGate { shared: gateway.handle().shared };
    let peer = listening(&gate);
    peer.end(LinkEnd::Stalled);
    let metrics = gateway.handle().metrics();
    let says = |line: &str| metrics.lines().any(|said| said == line);
    assert!(says("throughline_limited_total{limit=\"write_time\"} 1"), "{metrics}");
    assert_eq!(gateway.handle().session_count(), 1);
}

/// Somebody who never says who a client is.
struct Undecided;

impl Authenticate for Undecided {
    fn authenticate<'a>(&'a self, _: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn what_is_kept_until_it_is_known_who_speaks_has_a_bound() {
    let gateway = Gateway::builder().authenticate(Undecided).build();
    let gate = GatewayGate { shared: gateway.handle().shared };
    let ping = "{\"type\":\"ping\"}\n";
    for (with_hello, behind, is_kept) in [(256, 256, true), (257, 0, false), (0, 257, false)] {
        let mut peer = opened(&gate);
        peer.receive(format!("{HELLO}\n{}", ping.repeat(with_hello)).as_bytes());
        for _ in 0..behind {
            peer.receive(ping.as_bytes());
        }
        let told = told(&mut peer).concat();
        assert_eq!((told.is_empty(), told.contains("message_too_large")), (is_kept, !is_kept), "{told}");
    }
}

/// A session that its client knows, with what a resume states.
struct Known {
    id: SessionId,
    token: String,
    attach: u64,
}

/// How many sessions there are by state and transport, as the metrics say and as going through all of them does.
fn counted_and_walked(handle: &Handle) -> [BTreeMap<String, usize>; 2] {
    let metrics = handle.metrics();
    let series =
        metrics.lines().filter_map(|line| line.strip_prefix("throughline_sessions{")?.split_once("} "));
    let counted = series.map(|(labels, count)| (labels.to_owned(), count.parse().expect("a number")));
    let counted = counted.filter(|(_, count)| *count != 0).collect();
    let mut walked = BTreeMap::new();
    for session in handle.sessions(None, usize::MAX).sessions {
        let (state, transport) = (session.state.as_str(), session.transport.unwrap_or("none"));
        *walked.entry(format!("state=\"{state}\",transport=\"{transport}\"")).or_default() += 1;
    }
    [counted, walked]
}

#[tokio::test]
async fn sessions_are_counted_as_going_through_all_of_them_would_count_them() {
    let config = GatewayConfig { admission_burst: 10_000, ..GatewayConfig::default() };
    let gateway = Gateway::builder().config(config).build();
    let handle = gateway.handle();
    let gate = GatewayGate { shared: handle.shared.clone() };
    let (mut known, mut peers) = (Vec::<Known>::new(), Vec::<GatewayPeer>::new());
    let mut seen = BTreeMap::new();
    let mut random = 1_u64;
    let mut below = |most: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % most
    };
    for _ in 0..2_000 {
        let (action, transport) = (below(8), TRANSPORTS[below(TRANSPORTS.len())]);
        match action {
            0 => {
                let mut peer = opened_on(&gate, transport);
                peer.receive(HELLO.as_bytes());
                let welcome = told(&mut peer).concat();
                let member = |name: &str| {
                    let (_, rest) = welcome.split_once(&format!("\"{name}\":\"")).expect("a welcome");
                    rest.split_once('"').expect("a text").0.to_owned()
                };
                let id = SessionId::parse(&member("session")).expect("an id");
                known.push(Known { id, token: member("token"), attach: 1 });
                peers.push(peer);
            }
            // By an attach while its link stands, or after.
            1..=3 if !known.is_empty() => {
                let at = below(known.len());
                let session = &mut known[at];
                session.attach += 1;
                let (attach, token) = (session.attach, &session.token);
                let mut peer = opened_on(&gate, transport);
                let resume = format!(r#"{{"token":"{token}","incarnation":1,"after":0,"low":1}}"#);
                let hello =
                    HELLO.replace(r#""attach":1"#, &format!(r#""attach":{attach},"resume":{resume}"#));
                peer.receive(hello.as_bytes());
                peers.push(peer);
            }
            4 | 5 if !peers.is_empty() => drop(peers.swap_remove(below(peers.len()))),
            6 if !peers.is_empty() => {
                let at = below(peers.len());
                peers[at].receive(br#"{"type":"bye"}"#);
            }
            7 if !known.is_empty() => _ = handle.disconnect(known.swap_remove(below(known.len())).id),
            _ => {}
        }
        peers.iter_mut().for_each(|peer| drop(told(peer)));
        let [counted, walked] = counted_and_walked(&handle);
        assert_eq!(counted, walked);
        let attached =
            handle.sessions(None, usize::MAX).sessions.iter().filter(|s| s.transport.is_some()).count();
        assert_eq!(handle.shared.metrics.census.attached(), attached);
        seen.extend(counted);
    }
    assert_eq!(seen.len(), TRANSPORTS.len() + 2, "each kind was there: {seen:?}");
}
