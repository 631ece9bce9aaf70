//! What tests say through a session, and the checker that accounts for all of it: events down, each the next, and
//! commands up, each answered, and applied once in its order. The session has to be one throughout.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use throughline::{Handle, channel::NewEvent, upstream::Intent};
use throughline_client::{
    Events, Incoming, LinkChange, Phase, Sending, Session, State, Timing, Transport, Via,
    wire::{ChannelName, Json, Meta, Payload, Send, item::Accepted},
};
use tokio::{sync::watch, task::JoinHandle};
use tower::Service;

/// How long a test waits for something that happens soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many commands stay unreplied all the time, as those of an application that pipelines do.
const PIPELINED: usize = 40;

/// How much is said, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How many events may be published, the first for now.
    pub(crate) events: u64,
    /// How many commands may be sent.
    pub(crate) commands: u64,
    /// How many events may be published ahead of what the client has.
    pub(crate) ahead: u64,
    /// The time from one to the next.
    pub(crate) pause: Duration,
}

impl Pace {
    /// A few hundred things a second, both ways, until it is stopped.
    pub(crate) const STEADY: Self =
        Self { events: u64::MAX, commands: u64::MAX, ahead: 20, pause: Duration::from_millis(4) };
}

/// All that is said through one session.
pub(crate) struct Traffic {
    name: String,
    applied: Applied,
    seen: watch::Receiver<u64>,
    until: watch::Sender<Until>,
    said: watch::Sender<Option<u64>>,
    publishing: JoinHandle<u64>,
    sending: JoinHandle<u64>,
    reading: JoinHandle<Heard>,
}

/// How far it goes.
#[derive(Clone, Copy, Debug)]
struct Until {
    events: u64,
    commands: u64,
    /// Whether it goes no further.
    is_last: bool,
}

/// What a client heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    sessions: Vec<String>,
    /// What the session was on, link by link.
    pub(crate) path: Vec<Via>,
    /// How many items came while the session was on which transport.
    pub(crate) carried: HashMap<Via, u64>,
}

/// The channel that events are published to.
pub(crate) fn news() -> ChannelName {
    ChannelName::parse("news").expect("a legal name")
}

impl Traffic {
    /// Begins, on a session that is subscribed to [`news`], of a gateway whose commands go to `applied`.
    pub(crate) fn begin(
        name: &str,
        gateway: Handle,
        applied: Applied,
        (session, events): (Session, Events),
        pace: Pace,
    ) -> Self {
        let (seen_to, seen) = watch::channel(0);
        let (until, may) =
            watch::channel(Until { events: pace.events, commands: pace.commands, is_last: false });
        let (said, all) = watch::channel(None);
        Self {
            name: name.to_owned(),
            applied,
            publishing: tokio::spawn(publish(gateway, pace, seen.clone(), may.clone())),
            sending: tokio::spawn(send(session, pace, may)),
            reading: tokio::spawn(read(name.to_owned(), events, seen_to, all)),
            seen,
            until,
            said,
        }
    }

    /// Waits until the client has so many events.
    pub(crate) async fn seen(&self, events: u64) {
        self.seen.clone().wait_for(|seen| *seen >= events).await.expect("the reader goes on");
    }

    /// How many events the client has.
    pub(crate) fn events(&self) -> u64 {
        *self.seen.borrow()
    }

    /// Waits until the client has so many more.
    pub(crate) async fn flows(&self, events: u64) {
        self.seen(self.events() + events).await;
    }

    /// Lets so many events be published in all; then no more.
    pub(crate) fn let_flow(&self, events: u64) {
        self.until.send_modify(|until| (until.events, until.is_last) = (events, true));
    }

    /// Says no more than was said.
    pub(crate) fn stop(&self) {
        self.until.send_replace(Until { events: 0, commands: 0, is_last: true });
    }

    /// Waits until all that is said has arrived, and checks it.
    pub(crate) async fn finish(self) -> Heard {
        let name = &self.name;
        let published = self.publishing.await.expect("the publisher does not panic");
        self.said.send_replace(Some(published));
        let sent = self.sending.await.expect("the sender does not panic");
        let heard = self.reading.await.expect("the reader does not panic");
        assert_eq!(
            heard.sessions.len(),
            1,
            "{name}: the session is the same throughout: {:?}",
            heard.sessions
        );
        assert_eq!(
            self.applied.commands(),
            (1..=sent).collect::<Vec<_>>(),
            "{name}: each command once, in order"
        );
        heard
    }
}

/// Publishes, a little ahead of the reader; says how much.
async fn publish(
    handle: Handle,
    pace: Pace,
    mut seen: watch::Receiver<u64>,
    mut may: watch::Receiver<Until>,
) -> u64 {
    for said in 0.. {
        let until = may.wait_for(|until| until.events > said || until.is_last).await;
        if until.expect("the test goes on").events <= said {
            return said;
        }
        seen.wait_for(|seen| seen + pace.ahead > said).await.expect("the reader goes on");
        let event = NewEvent { payload: payload(said + 1), ..NewEvent::default() };
        handle.publish(&news(), event).await.expect("there is room");
        rest(pace.pause).await;
    }
    u64::MAX
}

/// Sends, a little ahead of the replies, which it checks; says how much.
async fn send(session: Session, pace: Pace, may: watch::Receiver<Until>) -> u64 {
    let channel = ChannelName::parse("up").expect("a legal name");
    let mut waiting = VecDeque::new();
    let mut sent = 0;
    while may.borrow().commands > sent {
        sent += 1;
        let said = Send {
            channel: channel.clone(),
            name: None,
            id: None,
            meta: Meta::default(),
            payload: payload(sent),
        };
        waiting.push_back((sent, session.begin_send(said).await));
        if waiting.len() >= PIPELINED {
            take_reply(&mut waiting).await;
        }
        rest(pace.pause).await;
    }
    while !waiting.is_empty() {
        take_reply(&mut waiting).await;
    }
    sent
}

async fn take_reply(waiting: &mut VecDeque<(u64, Sending)>) {
    let Some((number, sending)) = waiting.pop_front() else { return };
    let accepted = sending.outcome().await.unwrap_or_else(|error| panic!("command {number}: {error}"));
    assert_eq!(accepted.payload, payload(number), "the reply is that of its command");
}

/// Reads until all that was said is there; each must be the next.
async fn read(
    name: String,
    mut events: Events,
    seen: watch::Sender<u64>,
    mut said: watch::Receiver<Option<u64>>,
) -> Heard {
    let mut heard = Heard::default();
    let (mut next, mut last_number) = (1, 0);
    while said.borrow_and_update().is_none_or(|said| next <= said) {
        let incoming = tokio::select! {
            incoming = events.next() => incoming,
            _ = said.changed() => continue,
        };
        match incoming.unwrap_or_else(|| panic!("{name}: the client closed after {}", next - 1)) {
            Incoming::Event { number, event, .. } => {
                assert_eq!(event.offset.get(), next, "{name}: item {number} is the next event");
                assert_eq!(event.payload, payload(next), "{name}: item {number}");
                assert!(number > last_number, "{name}: item {number} comes after {last_number}");
                (next, last_number) = (next + 1, number);
                seen.send_replace(next - 1);
                if let Some(on) = heard.path.last() {
                    *heard.carried.entry(*on).or_default() += 1;
                }
            }
            Incoming::Link(LinkChange::Up { via, session, .. }) => {
                heard.path.push(via);
                let session = session.to_string();
                if !heard.sessions.contains(&session) {
                    heard.sessions.push(session);
                }
            }
            Incoming::Gap { gap, .. } => panic!("{name}: a gap, though nothing is trimmed: {gap:?}"),
            Incoming::SessionLost { reason } => panic!("{name}: the session is lost: {reason:?}"),
            _ => {}
        }
    }
    heard
}

async fn rest(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

/// Waits until the session is on a transport.
///
/// # Panics
/// When it is not in half a minute: a test that waits in vain says what it saw.
pub(crate) async fn on(session: &Session, transport: Transport) {
    let mut state = session.state();
    let there =
        |state: &State| state.phase == Phase::Up && state.via.is_some_and(|via| via.transport == transport);
    let waited = tokio::time::timeout(PATIENCE, state.wait_for(there)).await;
    assert!(waited.is_ok_and(|state| state.is_ok()), "waited in vain for {transport}: {:?}", session.state());
}

/// Waits that find a dead link within a second.
pub(crate) fn quick() -> Timing {
    Timing {
        connect: Duration::from_secs(1),
        welcome: Duration::from_secs(1),
        poll_hold: Duration::from_millis(500),
        poll_grace: Duration::from_millis(300),
        post: Duration::from_millis(600),
        doubt: Duration::from_millis(300),
        pong: Duration::from_millis(150),
        ack_delay: Duration::from_millis(20),
        probe: Duration::from_secs(1),
        goodbye: Duration::from_secs(1),
        ..Timing::default()
    }
}

fn payload(number: u64) -> Payload {
    let text = format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat((number % 80) as usize));
    Payload::Json(Json::parse(text.as_bytes()).expect("legal JSON"))
}

/// An application that notes what it is told, and answers with it.
#[derive(Clone, Default)]
pub(crate) struct Applied(Arc<Mutex<Vec<u64>>>);

impl Applied {
    fn commands(&self) -> Vec<u64> {
        self.0.lock().expect("nobody panics").clone()
    }
}

impl Service<Intent> for Applied {
    type Response = Accepted;
    type Error = Infallible;
    type Future = Ready<Result<Accepted, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        let Payload::Json(json) = &intent.said.payload else { panic!("the test sends JSON") };
        let number = json.as_str().split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty());
        let number = number.and_then(|n| n.parse().ok()).expect("the test sends numbers");
        self.0.lock().expect("nobody panics").push(number);
        ready(Ok(Accepted { position: None, payload: intent.said.payload }))
    }
}
