//! What an application in the same process is told of the life of sessions.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use throughline::{
    session::{Ending, Life, SessionConfig},
    upstream::SessionEvent,
};
use throughline_wire::{Codec, SessionId};
use tokio::{sync::mpsc, time::timeout};

use crate::kit::{
    PATIENCE,
    http::Ask,
    running::{Plan, Running},
    speech::{Heard, Known, frames, hello},
    websocket::Socket,
};

/// A gateway, and what it tells.
struct Told {
    gateway: Running,
    events: mpsc::UnboundedReceiver<SessionEvent>,
}

impl Told {
    async fn with(session: SessionConfig) -> Self {
        let (to, events) = mpsc::unbounded_channel();
        let listening = tower::service_fn(move |event| {
            let _ = to.send(event);
            std::future::ready(Ok::<(), Infallible>(()))
        });
        let plan = Plan { session, ..Plan::default() };
        let gateway = Running::built(plan, |builder| builder.lifecycle(listening)).await;
        Self { gateway, events }
    }

    async fn next(&mut self) -> SessionEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("it listens")
    }
}

fn grace(ms: u64) -> SessionConfig {
    SessionConfig { presence_grace_ms: ms, ..Plan::default().session }
}

/// The number of an event, and what it says.
fn said(event: &SessionEvent) -> (u32, Life) {
    (event.number, event.life)
}

#[tokio::test]
async fn the_life_of_a_session_is_told_in_order_each_turn_once() {
    let mut told = Told::with(grace(0)).await;
    let mut known = Known::open(&told.gateway).await;
    let opened = told.next().await;
    assert_eq!(opened.session, SessionId::parse(&known.id).unwrap());
    assert_eq!((opened.user.as_deref(), opened.missed), (None, 0));
    assert!(opened.time > 1_700_000_000_000);
    assert_eq!(said(&opened), (1, Life::Opened { transport: Some("polling"), replaces: None }));
    assert_eq!(said(&told.next().await), (2, Life::Lost));
    let (_, lives) = known.look(&told.gateway).await;
    assert!(lives);
    assert_eq!(said(&told.next().await), (3, Life::Resumed { transport: Some("polling") }));
    assert!(told.gateway.handle.disconnect(opened.session));
    let mut ended = told.next().await;
    if ended.life == Life::Lost {
        ended = told.next().await; // between its poll and its end
    }
    assert_eq!(ended.life, Life::Ended(Ending::Disconnected));
    let told_of = |kind| {
        told.gateway.metric(&format!("throughline_session_events_total{{kind=\"{kind}\",result=\"told\"}}"))
    };
    assert_eq!((told_of("opened"), told_of("resumed")), (1, 1));
}

#[tokio::test]
async fn polls_within_the_grace_are_no_news_and_a_bye_is() {
    let mut told = Told::with(grace(60_000)).await;
    let mut known = Known::open(&told.gateway).await;
    for _ in 0..3 {
        known.look(&told.gateway).await;
    }
    let bye = frames(&[known.named(), serde_json::json!({"type": "bye"})]);
    Ask::frames("/v1/send", bye).to(told.gateway.clients).await;
    assert!(matches!(said(&told.next().await), (1, Life::Opened { .. })));
    assert_eq!(said(&told.next().await), (2, Life::Ended(Ending::Bye)));
}

#[tokio::test]
async fn a_session_that_is_never_confirmed_is_not_told() {
    let session = SessionConfig { provisional_ms: 20, ..grace(0) };
    let mut told = Told::with(session).await;
    Ask::frames("/v1/poll", frames(&[hello()])).to(told.gateway.clients).await;
    let ended = "throughline_sessions_ended_total{reason=\"provisional\"}";
    timeout(PATIENCE, async {
        while told.gateway.metric(ended) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it ends");
    assert!(told.gateway.handle.shutdown(PATIENCE).await, "whatever was to be told is told");
    assert!(told.events.try_recv().is_err());
}

#[tokio::test]
async fn whoever_comes_back_to_a_session_that_is_gone_names_it_in_the_next() {
    let mut told = Told::with(grace(60_000)).await;
    let mut known = Known::open(&told.gateway).await;
    let before = told.next().await.session;
    told.gateway.handle.disconnect(before);
    assert_eq!(told.next().await.life, Life::Ended(Ending::Disconnected));
    let mut socket = Socket::open(told.gateway.clients, Codec::Json).await;
    let mut hello = known.resume();
    hello["resume"]["positions"] = serde_json::json!({});
    socket.say_frames(&[hello]).await;
    assert!(socket.hear(|frame| frame["type"] == "ping").await);
    let Heard(heard) = &socket.heard;
    let nonce = heard.iter().find(|frame| frame["type"] == "ping").unwrap()["nonce"].clone();
    socket.say_frames(&[serde_json::json!({"type": "pong", "nonce": nonce})]).await;
    let opened = told.next().await;
    assert_ne!(opened.session, before);
    assert_eq!(opened.life, Life::Opened { transport: Some("websocket"), replaces: Some(before) });
}

/// Timers lose sessions while polls find them again, on several threads; what is told of each is in order all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_told_of_a_session_is_in_order_whoever_changes_it() {
    let mut told = Told::with(grace(0)).await;
    let gateway = &told.gateway;
    let polling = (0..8).map(|_| async move {
        let mut known = Known::open(gateway).await;
        for _ in 0..40 {
            assert!(known.look(gateway).await.1);
        }
        gateway.handle.disconnect(SessionId::parse(&known.id).unwrap());
    });
    futures_util::future::join_all(polling).await;
    let mut last: HashMap<SessionId, SessionEvent> = HashMap::new();
    let mut over = 0;
    while over < 8 {
        let event = told.next().await;
        let before = last.insert(event.session, event.clone());
        let may_follow = match (before.as_ref().map(|before| before.life), event.life) {
            (None, Life::Opened { .. }) => event.number == 1,
            (Some(Life::Opened { .. } | Life::Resumed { .. }), Life::Lost) => true,
            (Some(Life::Lost), Life::Resumed { .. }) => true,
            (Some(Life::Opened { .. } | Life::Lost | Life::Resumed { .. }), Life::Ended(_)) => true,
            _ => false,
        };
        let rises = before.as_ref().is_none_or(|before| before.number < event.number);
        assert!(may_follow && rises, "{event:?} after {before:?}");
        over += usize::from(matches!(event.life, Life::Ended(_)));
    }
}

#[tokio::test]
async fn a_gateway_that_stops_tells_the_end_of_every_session_first() {
    let mut told = Told::with(grace(60_000)).await;
    for _ in 0..3 {
        Known::open(&told.gateway).await;
        told.next().await;
    }
    assert!(told.gateway.handle.shutdown(PATIENCE).await);
    let mut ended = Vec::new();
    while let Ok(event) = told.events.try_recv() {
        ended.push(said(&event));
    }
    assert_eq!(ended, [(2, Life::Ended(Ending::Stopped)); 3]);
}
