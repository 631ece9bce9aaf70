//! What becomes of an application's answers that are late, do not come, or are none.

use std::time::Duration;

use throughline_wire::{ErrorCode, ReplyError};
use tokio::sync::Notify;

use super::*;
use crate::gateway::{Action, Authorize, Grants, SendQuery, SubscribeQuery};

/// Does what tokens and channels are called, and knows whoever else a token names.
#[derive(Default)]
struct Actor {
    /// The late ones have their turn.
    turn: Notify,
    /// How often it was asked about channels.
    asked: AtomicUsize,
}

impl Authenticate for Arc<Actor> {
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        Box::pin(async move {
            let mut identity = Identity::default();
            let token = credentials.token.as_ref().expect("everybody shows one").reveal();
            for word in token.split(' ') {
                match word {
                    "late" => self.turn.notified().await,
                    "hangs" => std::future::pending().await,
                    "panics" => panic!("as it was told"),
                    "unavailable" => return Err(Denied::Unavailable),
                    "forbidden" => return Err(Denied::Forbidden),
                    "wrong" => return Err(Denied::Unauthorized),
                    "ended" => identity.expires_at_ms = Some(1),
                    "granted" => {
                        identity.grants = Grants::new([("*", [Action::Subscribe])]).expect("a pattern")
                    }
                    user => identity.user = Some(user.into()),
                }
            }
            Ok(identity)
        })
    }
}

impl Actor {
    /// Does the first time of two what the channel is called.
    async fn act(&self, channel: &ChannelName) {
        match channel.as_str() {
            _ if self.asked.fetch_add(1, Ordering::Relaxed) % 2 == 1 => {}
            "hangs" => std::future::pending().await,
            "panics" => panic!("as it was told"),
            _ => {}
        }
    }
}

impl Authorize for Arc<Actor> {
    fn subscribe<'a>(&'a self, query: &'a SubscribeQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(async move {
            self.act(query.channel).await;
            let is_free = query.channel.as_str() != "granted";
            let may = is_free || query.grants.allow(Action::Subscribe, query.channel);
            if may { Ok(()) } else { Err(ErrorCode::Forbidden.into()) }
        })
    }

    fn send<'a>(&'a self, query: &'a SendQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(async move {
            self.act(query.channel).await;
            Ok(())
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(1);

fn gate() -> (GatewayGate, Arc<Actor>) {
    let actor = Arc::<Actor>::default();
    let config = GatewayConfig { handler_timeout: PATIENCE, ..GatewayConfig::default() };
    let builder = Gateway::builder().config(config);
    let gateway = builder.authenticate(Arc::clone(&actor)).authorize(Arc::clone(&actor)).build();
    (GatewayGate { shared: gateway.handle().shared }, actor)
}

/// A link whose client has said hello with this credential.
fn came(gate: &GatewayGate, credential: &str) -> GatewayPeer {
    let mut peer = opened(gate);
    peer.receive(HELLO.replace(r#""attach""#, &format!(r#""auth":"{credential}","attach""#)).as_bytes());
    peer
}

/// One that was opened, and what a hello has to say to take its session up.
fn entered(gate: &GatewayGate, credential: &str) -> (GatewayPeer, String) {
    let mut peer = came(gate, credential);
    let welcome = told(&mut peer).concat();
    let (_, rest) = welcome.split_once(r#""token":""#).expect("a welcome");
    let token = rest.split_once('"').expect("a text").0;
    (peer, format!(r#","resume":{{"token":"{token}","incarnation":1,"after":0,"low":1}}"#))
}

fn came_back(gate: &GatewayGate, resume: &str, credential: &str) -> GatewayPeer {
    let mut peer = opened(gate);
    let attach = format!(r#""auth":"{credential}","attach":2{resume}"#);
    peer.receive(HELLO.replace(r#""attach":1"#, &attach).as_bytes());
    peer
}

fn hand_in(peer: &mut GatewayPeer, credential: &str) {
    peer.receive(format!(r#"{{"type":"auth","token":"{credential}"}}"#).as_bytes());
}

fn ask(peer: &mut GatewayPeer, number: usize, what: &str, channel: &str) {
    let command = format!(r#"{{"type":"{what}","channel":"{channel}","data":1}}"#);
    peer.receive(format!(r#"{{"type":"commands","first":{number},"items":[{command}]}}"#).as_bytes());
}

/// Lets whoever waits for its turn have it, and finish.
async fn let_go(actor: &Actor) {
    actor.turn.notify_one();
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn a_fresh_credential_that_does_not_count_is_told_as_a_hellos_is() {
    let (gate, _) = gate();
    let refusals = [
        ("unavailable", "overloaded", "close overload"),
        ("forbidden", "forbidden", "close forbidden"),
        ("wrong", "unauthorized", "close unauthorized"),
        ("bob", "unauthorized", "close unauthorized"),
    ];
    for (credential, code, close) in refusals {
        let (mut peer, _) = entered(&gate, "ann");
        hand_in(&mut peer, credential);
        let told = told(&mut peer).concat();
        assert!(told.contains(code) && told.contains(close), "{credential}: {told}");
        let counted = format!("throughline_refusals_total{{code=\"{code}\"}} ");
        let metrics = gate.shared.metrics.encode(&gate.shared);
        assert!(metrics.contains(&counted) && !metrics.contains(&(counted + "0\n")), "{credential}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_goes_on_when_the_application_panics_or_hangs() {
    let (gate, _) = gate();
    for (manner, code) in [("panics", "handler_failed"), ("hangs", "timed_out")] {
        for (what, result) in [("subscribe", r#""subscribed""#), ("send", r#""position""#)] {
            let (mut peer, _) = entered(&gate, "ann");
            ask(&mut peer, 1, what, manner);
            ask(&mut peer, 2, what, manner);
            tokio::time::sleep(PATIENCE * 2).await;
            let told = told(&mut peer).concat();
            let answers = [told.matches(code).count(), told.matches(result).count()];
            assert_eq!(answers, [1, 1], "{what} {manner}: {told}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_are_checked_again_when_the_application_has_panicked_or_hung() {
    let (gate, _) = gate();
    for manner in ["panics", "hangs"] {
        let mut newcomer = came(&gate, manner);
        let (mut peer, resume) = entered(&gate, "ann");
        hand_in(&mut peer, manner);
        let mut heard = told(&mut newcomer);
        tokio::time::sleep(PATIENCE * 2).await;
        heard.extend(told(&mut newcomer));
        heard.extend(told(&mut peer));
        assert_eq!(heard.concat().matches("close overload").count(), 2, "{manner}: {heard:?}");
        let mut again = came_back(&gate, &resume, "ann");
        told(&mut again);
        hand_in(&mut again, "forbidden");
        let told = told(&mut again).concat();
        assert!(told.contains("close forbidden"), "{manner}: {told}");
    }
}

#[tokio::test]
async fn what_comes_of_a_credential_is_nothing_to_one_that_was_shown_later() {
    for outcome in ["ann ended", "wrong", "bob"] {
        let (gate, actor) = gate();
        let (mut peer, resume) = entered(&gate, "ann");
        hand_in(&mut peer, &format!("late {outcome}"));
        let mut newer = came_back(&gate, &resume, "ann granted");
        told(&mut newer);
        let_go(&actor).await;
        ask(&mut newer, 1, "subscribe", "granted");
        let told = told(&mut newer).concat();
        assert!(told.contains(r#""subscribed""#), "{outcome}: {told}");
    }
}

#[tokio::test]
async fn a_hello_whose_credential_was_shown_before_the_newest_comes_in_and_changes_nothing() {
    let (gate, actor) = gate();
    let (mut peer, resume) = entered(&gate, "ann");
    let mut older = came_back(&gate, &resume, "late ann ended");
    assert!(told(&mut older).is_empty());
    hand_in(&mut peer, "ann granted");
    let_go(&actor).await;
    let _welcome = told(&mut older);
    ask(&mut older, 1, "subscribe", "granted");
    let told = told(&mut older).concat();
    assert!(told.contains(r#""subscribed""#), "{told}");
}
