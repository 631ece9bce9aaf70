//! Who takes part in a channel, over every transport: a session that polls, moves or is cut is not seen to go.
//!
//! That nothing is told has no event to wait for. So an event is published, which comes behind whatever was to be told
//! before it, and everything that was heard until then is looked at.

use std::{collections::BTreeSet, time::Duration};

use throughline::{Handle, channel::NewEvent};
use throughline_client::{
    Config, Events, Incoming, Presence, PresenceKind, Session, SubscribeFrom, Transport, Via,
    wire::{Codec, SessionId},
};

use super::{
    support::gateway::{TestGateway, quick_sessions},
    traffic::{news, on, quick},
};

const WEBSOCKET: Via = Via::bincode(Transport::WebSocket);
const POLLING: Via = Via::json(Transport::Polling);

/// How many polls in a row nobody may notice.
const POLLS: u64 = 6;

/// How long a test waits for something that happens soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that takes part in [`news`].
struct Member {
    session: Session,
    events: Events,
    id: SessionId,
}

impl Member {
    async fn join(gateway: &TestGateway, via: Via) -> Self {
        let config = Config {
            negotiate: false,
            timing: quick(),
            ..Config::new(format!("http://{}", gateway.address)).only(via)
        };
        let (session, events) = Session::connect(config).expect("a legal configuration");
        session.take_part(news(), SubscribeFrom::Now).await.expect("everybody may");
        let id = session.state().borrow().session.expect("it is subscribed");
        Self { session, events, id }
    }

    /// The next that is told of who takes part.
    async fn told(&mut self) -> Presence {
        let told = async {
            loop {
                match self.events.next().await.expect("the client goes on") {
                    Incoming::Presence { presence, .. } => return presence,
                    Incoming::SessionLost { reason } => panic!("the session is lost: {reason:?}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("it is told in time")
    }

    /// Hears whatever comes until an event does, and is told of nobody who came or went.
    async fn hears_of_nobody(&mut self, gateway: &Handle) {
        let published = gateway.publish(&news(), NewEvent::default()).await.expect("there is room");
        let heard = async {
            loop {
                match self.events.next().await.expect("the client goes on") {
                    Incoming::Presence { presence, .. } => panic!("told of {presence:?}"),
                    Incoming::Event { event, .. } if event.offset == published.offset => return,
                    Incoming::SessionLost { reason } => panic!("the session is lost: {reason:?}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("the event comes in time");
    }
}

fn named(presence: &Presence) -> (PresenceKind, BTreeSet<SessionId>, u64) {
    (presence.kind, presence.members.iter().map(|member| member.session).collect(), presence.count)
}

#[tokio::test]
async fn over_every_transport_a_session_is_told_who_is_there_who_comes_and_who_goes() {
    let gateway = TestGateway::start_with_webtransport(|builder| builder.session(quick_sessions())).await;
    let vias = [
        Via::json(Transport::WebTransport),
        Via::bincode(Transport::WebTransport),
        Via::json(Transport::WebSocket),
        WEBSOCKET,
        Via::json(Transport::Sse),
        POLLING,
        Via::bincode(Transport::Polling),
    ];
    for via in vias {
        let mut first = Member::join(&gateway, via).await;
        let alone = (PresenceKind::State, BTreeSet::from([first.id]), 1);
        assert_eq!(named(&first.told().await), alone, "{via}");
        let mut second = Member::join(&gateway, WEBSOCKET).await;
        let both = (PresenceKind::State, BTreeSet::from([first.id, second.id]), 2);
        assert_eq!(named(&second.told().await), both, "{via}");
        let came = (PresenceKind::Join, BTreeSet::from([second.id]), 2);
        assert_eq!(named(&first.told().await), came, "{via}");
        let listed = gateway.handle.presence(&news()).await.expect("there is room");
        assert_eq!(listed.iter().map(|member| member.session).collect::<Vec<_>>(), [first.id, second.id]);
        second.session.close().await;
        let went = (PresenceKind::Leave, BTreeSet::from([second.id]), 1);
        assert_eq!(named(&first.told().await), went, "{via}");
        first.session.close().await;
        assert!(gateway.handle.presence(&news()).await.expect("there is room").is_empty(), "{via}");
    }
}

#[tokio::test]
async fn nobody_is_told_of_polls_of_moves_and_of_cuts() {
    let gateway = TestGateway::start_with_webtransport(|builder| {
        builder.session(throughline::session::SessionConfig { poll_hold_ms: 50, ..quick_sessions() })
    })
    .await;
    let mut watcher = Member::join(&gateway, WEBSOCKET).await;
    watcher.told().await;
    let mut mover = Member::join(&gateway, POLLING).await;
    assert_eq!(mover.told().await.count, 2);
    assert_eq!(named(&watcher.told().await), (PresenceKind::Join, BTreeSet::from([mover.id]), 2));

    polled(&gateway.handle, mover.id, POLLS).await;
    watcher.hears_of_nobody(&gateway.handle).await;
    mover.hears_of_nobody(&gateway.handle).await;
    let moves = [
        Via { codec: Codec::Json, ..WEBSOCKET },
        Via::json(Transport::Sse),
        Via::bincode(Transport::WebTransport),
        POLLING,
    ];
    for via in moves {
        while mover.session.migrate(via).await.is_err() {
            mover.session.connected().await;
        }
        mover.session.cut().await;
        on(&mover.session, via.transport).await;
        watcher.hears_of_nobody(&gateway.handle).await;
        mover.hears_of_nobody(&gateway.handle).await;
    }
    let (first, last) = (watcher.id, mover.id);
    let listed = gateway.handle.presence(&news()).await.expect("there is room");
    assert_eq!(listed.iter().map(|member| member.session).collect::<Vec<_>>(), [first, last]);
    mover.session.close().await;
    assert_eq!(named(&watcher.told().await), (PresenceKind::Leave, BTreeSet::from([last]), 1));
}

/// Waits until the gateway has answered so many polls of a session.
async fn polled(handle: &Handle, id: SessionId, polls: u64) {
    let answered = || {
        let transports = handle.session(id).and_then(|info| info.transports).expect("the session lives");
        let polls = transports.history.iter().filter(|attempt| attempt.outcome == "answered");
        polls.map(|attempt| attempt.times).sum::<u64>()
    };
    let until = answered() + polls;
    while answered() < until {
        tokio::time::sleep(Duration::from_millis(1)).await; // a poll that is answered tells nobody
    }
}
