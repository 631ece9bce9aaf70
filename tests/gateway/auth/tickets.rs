//! Tickets: what stands in the address of an event stream, and what it is not good for.

use std::time::Duration;

use serde_json::{Value, json};
use throughline::{
    Builder,
    auth::{Namespace, Rules, Who},
    channel::NewEvent,
};
use throughline_wire::{ChannelName, SessionId};
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use super::{plan, seconds, token, token_with};
use crate::kit::{
    PATIENCE,
    http::{Answer, Ask},
    panics,
    running::{Plan, Running},
    speech::Heard,
};

fn ruled(builder: Builder) -> Builder {
    let room = Namespace { subscribe: Who::Granted, ..Namespace::default() };
    let rules = Rules::new([("news", Namespace::default()), ("room", room)]);
    builder.authenticate(super::tokens()).authorize(rules)
}

async fn gateway() -> Running {
    Running::with(Plan { build: ruled, ..plan() }).await
}

/// An event stream that is open.
struct Stream {
    socket: TcpStream,
    text: String,
}

impl Stream {
    async fn open(gateway: &Running, ask: Ask) -> Self {
        Self { socket: ask.open(gateway.clients).await, text: String::new() }
    }

    /// Reads until there is such a frame.
    async fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(frame) = Heard::read(self.text.as_bytes()).0.into_iter().find(|frame| is_it(frame)) {
                return frame;
            }
            assert!(self.more().await, "it ended: {}", self.text);
        }
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4_096];
        let read = timeout(PATIENCE, self.socket.read(&mut piece)).await.expect("something in time");
        let length = read.unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&piece[..length]));
        length > 0
    }

    /// Reads until the gateway has ended it: with its last chunk, the connection stays.
    async fn ends(&mut self) {
        while !self.text.ends_with("\r\n0\r\n\r\n") {
            assert!(self.more().await, "the connection was cut: {}", self.text);
        }
    }

    /// What its client repeats.
    fn id(&self) -> String {
        let last = self.text.lines().rfind(|line| line.starts_with("id: ")).expect("an id");
        last.trim_start_matches("id: ").trim().into()
    }
}

fn welcome(frame: &Value) -> bool {
    frame["type"] == "welcome"
}

async fn buy(gateway: &Running, ask: Ask) -> Value {
    let answer = ask.to(gateway.clients).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn ticket_of(gateway: &Running, user: &str) -> String {
    let body = json!({"auth": token(user)}).to_string();
    text(&buy(gateway, Ask::frames("/v1/tickets", body)).await)
}

/// The application's.
async fn made(gateway: &Running, asked: Value) -> Answer {
    Ask::json("/api/v1/tickets", &asked.to_string()).to(gateway.admin).await
}

fn text(given: &Value) -> String {
    given["ticket"].as_str().expect("a ticket").into()
}

fn by(ticket: &str) -> Ask {
    Ask::get(&format!("/v1/events?channel=news&ticket={ticket}"))
}

/// Asks for a stream that is refused for good, and gives the error's name.
async fn refused(gateway: &Running, ask: Ask) -> String {
    let answer = ask.to(gateway.clients).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (204, &[][..]),
        "the one word that stops an EventSource: {answer:?}"
    );
    answer.value("throughline-error").unwrap_or_default().into()
}

#[tokio::test]
async fn a_ticket_opens_its_session_once_and_is_good_for_that_session_alone() {
    let gateway = gateway().await;
    let asks = [
        Ask::frames("/v1/tickets", json!({"auth": token("ann"), "more": 1}).to_string()),
        Ask::new("POST", "/v1/tickets").header("authorization", &format!("Bearer {}", token("ann"))),
    ];
    for (count, ask) in (1..).zip(asks) {
        let given = buy(&gateway, ask).await;
        assert_eq!(given["expiresInMs"], 30_000);
        let mut stream = Stream::open(&gateway, by(&text(&given))).await;
        let told = stream.until(welcome).await;
        assert_eq!((&told["user"], &told["session"]), (&json!("ann"), &given["session"]));
        stream.until(|frame| frame["items"][0]["type"] == "subscribed").await;

        assert_eq!(refused(&gateway, by(&text(&given))).await, "ticket_used", "while it is open");
        let id = stream.id();
        drop(stream);
        assert_eq!(refused(&gateway, by(&text(&given))).await, "ticket_used", "and after it was cut");
        let mut again = Stream::open(&gateway, by(&text(&given)).header("last-event-id", &id)).await;
        let told = again.until(welcome).await;
        assert_eq!((&told["session"], &told["resumed"]), (&given["session"], &json!(true)));
        assert_eq!(gateway.refusals("ticket_used"), 2 * count);
    }
}

#[tokio::test]
async fn a_used_ticket_does_not_bring_back_a_session_that_has_ended() {
    let gateway = gateway().await;
    let ticket = ticket_of(&gateway, "ann").await;
    let mut stream = Stream::open(&gateway, by(&ticket)).await;
    let session = stream.until(welcome).await["session"].as_str().unwrap().to_owned();
    assert!(gateway.handle.disconnect(SessionId::parse(&session).unwrap()));
    stream.ends().await;
    assert_eq!(refused(&gateway, by(&ticket).header("last-event-id", &stream.id())).await, "ticket_used");
    assert_eq!(refused(&gateway, by(&ticket)).await, "ticket_used");
    assert_eq!(gateway.handle.session_count(), 0);
}

#[tokio::test]
async fn a_ticket_does_not_go_on_with_anothers_stream() {
    let gateway = gateway().await;
    let (anns, bobs, carols) = (
        ticket_of(&gateway, "ann").await,
        ticket_of(&gateway, "bob").await,
        ticket_of(&gateway, "carol").await,
    );
    let mut ann = Stream::open(&gateway, by(&anns)).await;
    ann.until(welcome).await;
    let mut bob = Stream::open(&gateway, by(&bobs)).await;
    bob.until(welcome).await;
    for ask in [
        by(&bobs).header("last-event-id", &ann.id()),
        by(&carols).header("last-event-id", &ann.id()),
        by(&carols).header("last-event-id", "1.0.nonsense"),
    ] {
        assert_eq!(refused(&gateway, ask).await, "ticket_invalid");
    }
    let alone = Ask::get("/v1/events?channel=news").header("last-event-id", &ann.id());
    assert_eq!(
        refused(&gateway, alone).await,
        "unauthorized",
        "what a client repeats is half of a credential"
    );
    gateway.handle.publish(&ChannelName::parse("news").unwrap(), NewEvent::default()).await.unwrap();
    for stream in [&mut ann, &mut bob] {
        stream.until(|frame| frame["items"][0]["type"] == "event").await;
    }
    let mut carol = Stream::open(&gateway, by(&carols)).await;
    assert_eq!(carol.until(welcome).await["user"], "carol", "what was refused has used nothing up");
}

#[tokio::test]
async fn what_is_no_ticket_of_this_gateway_is_refused_by_name() {
    let gateway = gateway().await;
    let ticket = ticket_of(&gateway, "ann").await;
    let mut forged = ticket.clone().into_bytes();
    forged[30] = if forged[30] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    for bad in [&*forged, &token("ann"), &ticket[..40], "x", "", &"A".repeat(9_000)] {
        assert_eq!(refused(&gateway, by(bad)).await, "ticket_invalid", "{bad}");
    }
    assert_eq!(gateway.refusals("ticket_invalid"), 6);
    assert_eq!(gateway.handle.session_count(), 0);
    panics::assert_none();
}

#[tokio::test]
async fn a_ticket_ends_and_so_does_the_credential_behind_it() {
    let gateway = gateway().await;
    let late = text(&made(&gateway, json!({"user": "ann", "expiresInMs": 1})).await.json());
    let soon = seconds() + 0.005;
    while seconds() < soon {
        tokio::task::yield_now().await;
    }
    assert_eq!(refused(&gateway, by(&late)).await, "ticket_expired");

    let ends = seconds() + 1.0;
    let body = json!({"auth": token_with("ann", json!({"exp": ends}))}).to_string();
    let short = text(&buy(&gateway, Ask::frames("/v1/tickets", body)).await);
    let mut stream = Stream::open(&gateway, by(&short)).await;
    assert!(stream.until(welcome).await["authExpiresInMs"].as_u64().unwrap() <= 1_000);
    stream.ends().await; // with its credential
    let again = by(&short).header("last-event-id", &stream.id());
    assert_eq!(refused(&gateway, again).await, "ticket_expired");
}

#[tokio::test]
async fn whoever_shows_nothing_good_gets_no_ticket_and_is_told_by_status_and_by_name() {
    let mut plan = Plan { build: ruled, ..plan() };
    plan.gateway.body_timeout = Duration::from_millis(300);
    let gateway = Running::with(plan).await;
    let cases = [
        (Ask::frames("/v1/tickets", ""), 401, "unauthorized"),
        (Ask::frames("/v1/tickets", json!({"auth": "x"}).to_string()), 401, "unauthorized"),
        (Ask::frames("/v1/tickets", "nonsense"), 400, "malformed_frame"),
        (Ask::frames("/v1/tickets", r#"{"auth":1}"#), 400, "malformed_frame"),
        (Ask::frames("/v1/tickets", "x".repeat(70_000)), 413, "message_too_large"),
        (Ask::new("POST", "/v1/tickets").header("content-length", "9"), 408, "timed_out"),
        (Ask::frames("/v1/tickets", "").header("origin", "https://evil.example"), 403, "origin_refused"),
    ];
    for (ask, status, code) in cases {
        let before = gateway.refusals(code);
        let answer = ask.clone().to(gateway.clients).await;
        assert_eq!(answer.status, status, "{ask:?} {answer:?}");
        assert_eq!(Heard::read(&answer.body).codes(), [code], "{ask:?}");
        assert_eq!(gateway.refusals(code), before + 1, "{ask:?}");
    }
    let answer = Ask::get("/v1/tickets").to(gateway.clients).await;
    assert_eq!((answer.status, answer.value("allow")), (405, Some("post")));
    assert_eq!(gateway.handle.session_count(), 0);
    panics::assert_none();
}

#[tokio::test]
async fn the_application_gives_tickets_to_users_with_what_it_grants_them() {
    let gateway = gateway().await;
    let asked = json!({"user": "ann", "info": {"name": "Ann"}, "channels": {"room:7": ["subscribe"]}, "expiresInMs": 5_000});
    let given = made(&gateway, asked).await.json();
    assert_eq!(given["expiresInMs"], 5_000);
    let ask = Ask::get(&format!("/v1/events?channel=room:7&channel=room:8&ticket={}", text(&given)));
    let mut stream = Stream::open(&gateway, ask).await;
    let told = stream.until(welcome).await;
    assert_eq!((&told["user"], &told["session"]), (&json!("ann"), &given["session"]));
    let of = |channel: &'static str, kind: &'static str| {
        move |frame: &Value| {
            let items = frame["items"].as_array().into_iter().flatten();
            items.into_iter().any(|item| item["type"] == kind && item["channel"] == channel)
        }
    };
    stream.until(of("room:7", "subscribed")).await;
    stream.until(of("room:8", "unsubscribed")).await;

    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("room:{n}"), json!(["subscribe"]))).collect();
    let long: serde_json::Map<_, _> =
        (0..60).map(|n| (format!("room:{n}{}", "x".repeat(100)), json!(["subscribe"]))).collect();
    for (asked, code) in [
        (json!({"user": "x".repeat(257)}), "message_too_large"),
        (json!({"info": "x".repeat(1_100)}), "message_too_large"),
        (json!({"channels": long}), "message_too_large"),
        (json!({"channels": many}), "malformed_request"),
        (json!({"channels": {"room:7": ["dance"]}}), "malformed_request"),
        (json!({"channels": {"room*": ["subscribe"]}}), "malformed_request"),
        (json!({"expiresInMs": 0}), "number_out_of_range"),
        (json!({"expiresInMs": 60_001}), "number_out_of_range"),
        (json!({"name": "ann"}), "unknown_member"),
    ] {
        assert_eq!(made(&gateway, asked.clone()).await.code(), code, "{asked}");
    }
}
