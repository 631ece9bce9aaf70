//! Malformed, oversized, out-of-order, forged, expired and premature input, on each transport, each with its error.
//!
//! One session goes through all of it and is there at the end; what is forged reaches none. Nothing panics.

use std::fmt;

use serde_json::json;
use throughline::{
    broker::MemoryConfig,
    session::{SessionConfig, TokenKeys},
};
use throughline_wire::Codec;
use tokio::{io::AsyncReadExt as _, time::timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::kit::{
    PATIENCE,
    http::Ask,
    panics,
    running::{Plan, Running},
    speech::{Heard, Known, frames, hello},
    websocket::{Socket, compressed_frame, lonely_frame, text_frame},
};

/// A way in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// A message on a WebSocket that stands.
    WebSocket,
    /// Behind the hello of a poll.
    Poll,
    /// Behind the hello of a stream.
    Stream,
    /// A post beside another link.
    Send,
}

const WAYS: [Way; 4] = [Way::WebSocket, Way::Poll, Way::Stream, Way::Send];

/// What is said on a session that stands, by name; `N` is the number of its next command.
fn bad_words() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let command = |command: &str| format!(r#"{{"type":"commands","first":N,"items":[{command}]}}"#);
    let send = |members: &str| command(&format!(r#"{{"type":"send","channel":"news",{members}}}"#));
    let deep = format!(r#""data":{}{}"#, "[".repeat(129), "]".repeat(129));
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        // Malformed.
        ("no JSON", text(r#"{"type":"#), "malformed_frame"),
        ("no object", text("[]"), "malformed_frame"),
        ("no type", text("{}"), "malformed_frame"),
        ("a member too few", text(r#"{"type":"ack"}"#), "malformed_frame"),
        ("a member of another type", text(r#"{"type":"ack","upTo":"1"}"#), "malformed_frame"),
        ("an unknown frame", text(r#"{"type":"jump"}"#), "unknown_frame"),
        ("a member twice", text(r#"{"type":"ack","upTo":0,"upTo":0}"#), "duplicate_member"),
        ("2^53", text(r#"{"type":"ack","upTo":9007199254740992}"#), "number_out_of_range"),
        ("a negative number", text(r#"{"type":"ack","upTo":-1}"#), "number_out_of_range"),
        ("a fraction", text(r#"{"type":"ack","upTo":0.5}"#), "number_out_of_range"),
        ("not UTF-8", b"{\"type\":\"ack\",\"upTo\":0,\"x\":\"\xff\"}".to_vec(), "not_utf8"),
        ("129 levels", text(&send(&deep)), "payload_too_deep"),
        ("half a surrogate pair", text(&send(r#""data":"\ud800""#)), "lone_surrogate"),
        ("two payloads", text(&send(r#""data":1,"bytes":"""#)), "malformed_payload"),
        ("no base64", text(&send(r#""bytes":"AAH""#)), "malformed_payload"),
        ("no channel name", text(&command(r#"{"type":"subscribe","channel":"a b"}"#)), "invalid_channel"),
        ("meta with a capital", text(&send(r#""meta":{"A":"1"}"#)), "invalid_meta"),
        (
            "no position",
            text(&command(
                r#"{"type":"subscribe","channel":"a","from":{"position":{"epoch":"","offset":0}}}"#,
            )),
            "invalid_position",
        ),
        // Oversized.
        ("a long name", text(&send(&format!(r#""name":"{}""#, "x".repeat(201)))), "message_too_large"),
        ("a large message", text(&send(&format!(r#""data":"{}""#, "x".repeat(70_000)))), "message_too_large"),
        // Out of order.
        (
            "far ahead",
            text(r#"{"type":"commands","first":4000,"items":[{"type":"noop"}]}"#),
            "commands_ahead",
        ),
        (
            "command 0",
            text(r#"{"type":"commands","first":0,"items":[{"type":"noop"}]}"#),
            "number_out_of_range",
        ),
        ("a second hello", text(r#"{"type":"hello","version":0,"instance":"test"}"#), "hello_repeated"),
        (
            "a post's first frame",
            text(r#"{"type":"session","token":"x","incarnation":1,"link":0}"#),
            "frame_not_allowed",
        ),
        // Premature.
        (
            "an acknowledgement of what was not sent",
            text(r#"{"type":"ack","upTo":4000}"#),
            "ack_out_of_range",
        ),
        (
            "leaving what is not held",
            text(&command(r#"{"type":"unsubscribe","channel":"other"}"#)),
            "not_subscribed",
        ),
        // Not to be had.
        (
            "the gateway's channel",
            text(&command(r#"{"type":"subscribe","channel":"$user:1"}"#)),
            "reserved_channel",
        ),
        (
            "a word in it",
            text(&command(r#"{"type":"send","channel":"$user:1","data":1}"#)),
            "reserved_channel",
        ),
        ("an unknown command", text(&command(r#"{"type":"jump"}"#)), "unsupported"),
        (
            "a volatile without its number",
            text(r#"{"type":"volatile","channel":"news","data":1}"#),
            "malformed_frame",
        ),
    ]
}

#[tokio::test]
async fn what_is_wrong_is_told_by_name_on_each_transport_and_the_session_survives() {
    let gateway = Running::start().await;
    let mut known = Known::open(&gateway).await;
    let mut wrong = Vec::new();
    for way in WAYS {
        for (name, words, code) in bad_words() {
            // RFC 6455 has a rule of its own for text that is none: the connection fails, with code 1007.
            let code = if (way, code) == (Way::WebSocket, "not_utf8") { "malformed_frame" } else { code };
            let number = known.next_command(&gateway).to_string();
            let words = replace(&words, b"\"first\":N", format!("\"first\":{number}").as_bytes());
            let before = gateway.refusals(code);
            let mut heard = way.say(&gateway, &mut known, &words, code).await;
            known.note(&heard);
            let (more, lives) = known.look(&gateway).await;
            heard.0.extend(more.0);
            let counted = gateway.refusals(code) - before;
            if heard.codes() != [code] || !lives || counted != 1 {
                wrong.push(Case { way, name, code, heard: heard.clone(), lives, counted });
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    panics::assert_none();
}

/// A case that went otherwise.
struct Case {
    way: Way,
    name: &'static str,
    code: &'static str,
    heard: Heard,
    lives: bool,
    counted: u64,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, name, code, heard, lives, counted } = self;
        write!(f, "{way:?}, {name}: {code} expected, heard {:?}", heard.codes())?;
        write!(f, " (lives: {lives}, counted: {counted}) {:?}", heard.retry())
    }
}

impl Way {
    /// Says these words in the session's name, and gives what was heard until the code came or all was answered.
    async fn say(self, gateway: &Running, known: &mut Known, words: &[u8], code: &str) -> Heard {
        let behind = |first: &serde_json::Value| {
            [frames(std::slice::from_ref(first)).as_bytes(), words, b"\n"].concat()
        };
        match self {
            Self::WebSocket => {
                let mut socket = Socket::open(gateway.clients, Codec::Json).await;
                socket.say_frames(&[known.resume()]).await;
                // The same instance gets no welcome again; an answer to a ping says that the link stands.
                assert!(socket.hear_all().await);
                socket.say(text_frame(words)).await;
                socket.hear_all().await;
                socket.heard
            }
            Self::Poll => {
                let answer = Ask::frames("/v1/poll", behind(&known.resume())).to(gateway.clients).await;
                Heard::read(&answer.body)
            }
            Self::Send => {
                let answer = Ask::frames("/v1/send", behind(&known.named())).to(gateway.clients).await;
                Heard::read(&answer.body)
            }
            Self::Stream => stream(gateway, Ask::frames("/v1/events", behind(&known.resume())), code).await,
        }
    }
}

/// Reads a stream until the code comes, or to its end.
async fn stream(gateway: &Running, ask: Ask, code: &str) -> Heard {
    let mut stream = ask.open(gateway.clients).await;
    let mut bytes = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            bytes.extend_from_slice(&piece[..length]);
            if Heard::read(&bytes).codes().contains(&code) {
                return;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("a code or an end in time");
    Heard::read(&bytes)
}

fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    match bytes.windows(what.len()).position(|window| window == what) {
        Some(at) => [&bytes[..at], by, &bytes[at + what.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[tokio::test]
async fn what_is_no_beginning_opens_no_session() {
    let gateway = Running::start().await;
    let send =
        json!({"type": "commands", "first": 1, "items": [{"type": "send", "channel": "news", "data": 1}]});
    let large = "x".repeat(70_000);
    let beginnings: &[(&str, &str)] = &[
        (r#"{"type":"ping"}"#, "hello_required"),
        (r#"{"type":"commands","first":1,"items":[]}"#, "hello_required"),
        (r#"{"type":"session","token":"x","incarnation":1,"link":0}"#, "hello_required"),
        ("hello", "malformed_frame"),
        (r#"{"type":"hello","version":0}"#, "malformed_frame"),
        (r#"{"type":"jump"}"#, "unknown_frame"),
        ("{\"type\":\"hello\",\"version\":0,\"instance\":\"test\"}\n{\"type\":", "malformed_frame"),
        (&large, "message_too_large"),
    ];
    for (words, code) in beginnings {
        let mut socket = Socket::open(gateway.clients, Codec::Json).await;
        socket.say(text_frame(words.as_bytes())).await;
        assert!(!socket.hear(|_| false).await);
        assert_eq!(socket.heard.codes(), [*code], "websocket {words:.60}");
        assert!(socket.close.is_some(), "websocket {words:.60}");
        for path in ["/v1/poll", "/v1/events"] {
            let answer = Ask::frames(path, words).to(gateway.clients).await;
            assert_eq!(Heard::read(&answer.body).codes(), [*code], "{path} {words:.60} {answer:?}");
        }
    }
    for words in [r#"{"type":"hello","version":0,"instance":"test"}"#, r#"{"type":"ping"}"#] {
        let answer = Ask::frames("/v1/send", words).to(gateway.clients).await;
        assert_eq!(Heard::read(&answer.body).codes(), ["hello_required"], "{words}");
    }
    assert_eq!(gateway.handle.session_count(), 0);
    // C5: the opening stands, what it carried does not.
    let answer = Ask::frames("/v1/poll", frames(&[hello(), send])).to(gateway.clients).await;
    assert_eq!(Heard::read(&answer.body).codes(), ["send_in_opening"]);
    assert_eq!(gateway.metric("throughline_channels"), 0, "nothing was published");
    panics::assert_none();
}

#[tokio::test]
async fn what_is_in_neither_codec_or_in_the_wrong_one_is_refused() {
    let gateway = Running::start().await;
    for (path, media_type) in [
        ("/v1/poll", "image/png"),
        ("/v1/send", "application/x-www-form-urlencoded"),
        ("/v1/events", "multipart/form-data"),
        ("/v1/events", "application/vnd.throughline.v1.bincode"),
    ] {
        let ask = Ask::new("POST", path).header("content-type", media_type).body(b"{}");
        let answer = ask.to(gateway.clients).await;
        assert_eq!(answer.status, 415, "{path} {media_type} {answer:?}");
        assert_eq!(
            Heard::read(&answer.body).codes(),
            ["unsupported_codec"],
            "{path} {media_type} {answer:?}"
        );
    }
    let mut known = Known::open(&gateway).await;
    for (codec, message, code) in [
        (Codec::Json, Message::binary(vec![1, 2, 3]), "unsupported_codec"),
        (Codec::Bincode, Message::text("{}"), "unsupported_codec"),
        // Frame number 100 without a body; a length beyond the message; a body too short for its frame.
        (Codec::Bincode, Message::binary(vec![1, 100]), "unknown_frame"),
        (Codec::Bincode, Message::binary(vec![200, 1]), "malformed_frame"),
        (Codec::Bincode, Message::binary(vec![1, 1]), "malformed_frame"),
        (Codec::Bincode, Message::binary(vec![255; 64]), "malformed_frame"),
    ] {
        let mut socket = Socket::open(gateway.clients, codec).await;
        socket.say_frames(&[known.resume()]).await;
        assert!(socket.hear_all().await);
        socket.say(message.clone()).await;
        socket.hear_all().await;
        assert_eq!(socket.heard.codes(), [code], "{codec:?} {message:?}");
        known.note(&socket.heard);
        assert!(known.look(&gateway).await.1, "{codec:?} {message:?}");
    }
    panics::assert_none();
}

#[tokio::test]
async fn a_broken_websocket_ends_the_link_and_not_the_session() {
    let gateway = Running::start().await;
    let mut known = Known::open(&gateway).await;
    for frame in [compressed_frame("{}"), lonely_frame()] {
        let mut socket = Socket::open(gateway.clients, Codec::Json).await;
        socket.say_frames(&[known.resume()]).await;
        assert!(socket.hear_all().await);
        socket.say(frame).await;
        assert!(!socket.hear(|_| false).await);
        assert_eq!(socket.close, Some(1002));
        assert!(known.look(&gateway).await.1);
    }
    panics::assert_none();
}

#[tokio::test]
async fn what_is_forged_reaches_no_session() {
    let gateway = Running::start().await;
    let mut known = Known::open(&gateway).await;
    let stranger = TokenKeys::from_random([8; 32]);
    let id = throughline_wire::SessionId::parse(&known.id).unwrap();
    let mut changed = known.token.clone().into_bytes();
    let last = changed.last_mut().unwrap();
    *last = if *last == b'A' { b'B' } else { b'A' };
    let forged = [
        stranger.token(id, None).reveal().to_owned(),
        String::from_utf8(changed).unwrap(),
        known.token.replace(&known.id, "AAAAAAAAAAAAAAAAAAAAAA"),
        format!("0.{}.", known.id),
        known.id.clone(),
        "x".repeat(8_192),
    ];
    for token in forged {
        let mut forger = Known { token: token.clone(), ..known.clone() };
        // Without positions a new session could not go on: they are asked for, and nothing is opened.
        let (heard, lives) = forger.look(&gateway).await;
        assert!(!lives && heard.retry() == Some("positions"), "{token:.60} {heard:?}");
        let mut hello = forger.resume();
        hello["resume"]["positions"] = json!({"news": {"epoch": "e", "offset": 0}});
        let words = json!({"type": "commands", "first": 2, "items": [{"type": "send", "channel": "news", "data": 1}]});
        let answer =
            Ask::frames("/v1/poll", frames(&[hello.clone(), words.clone()])).to(gateway.clients).await;
        let heard = Heard::read(&answer.body);
        assert_eq!(heard.codes(), ["token_invalid"], "{token:.60} {heard:?}");
        let welcome = heard.first("welcome").unwrap();
        assert_ne!(welcome["session"], json!(known.id));
        assert_eq!(welcome["resumed"], json!(false));

        let answer = Ask::frames("/v1/send", frames(&[forger.named(), words])).to(gateway.clients).await;
        let codes = Heard::read(&answer.body).codes().join(" ");
        assert!(["token_invalid", "session_ended"].contains(&&*codes), "{token:.60} {codes}");

        let mut socket = Socket::open(gateway.clients, Codec::Json).await;
        socket.say_frames(&[hello]).await;
        assert!(socket.hear(|frame| frame["type"] == "welcome").await);
        assert_eq!(socket.heard.codes(), ["token_invalid"], "{token:.60}");
    }
    for tag in ["1.1.AAAA", "", "1.1.", "x", &"9".repeat(2_000), &format!("1.1.{}", known.id), &known.token] {
        let opened = gateway.metric("throughline_sessions_opened_total");
        let ask = Ask::get("/v1/events?channel=news").header("last-event-id", tag);
        let mut stream = ask.open(gateway.clients).await;
        let mut piece = [0; 4096];
        let length = timeout(PATIENCE, stream.read(&mut piece)).await.expect("an answer in time").unwrap();
        assert!(length > 0);
        let head = String::from_utf8_lossy(&piece[..length]).into_owned();
        let refused = !head.starts_with("HTTP/1.1 200");
        let more = gateway.metric("throughline_sessions_opened_total") - opened;
        assert!(refused || more == 1, "{tag:.60} {head}");
    }
    assert!(known.look(&gateway).await.1, "the session itself knows nothing of it");
    assert_eq!(gateway.handle.session(id).unwrap().received, 1, "no forged command was taken");
    panics::assert_none();
}

#[tokio::test]
async fn what_comes_after_the_session_has_expired_is_told_so() {
    let session = SessionConfig {
        resume_window_ms: 1,
        poll_hold_ms: 100,
        ..SessionConfig::new(TokenKeys::from_random([7; 32]))
    };
    let gateway = Running::with(Plan { session, ..Plan::default() }).await;
    let answer = Ask::frames("/v1/poll", frames(&[hello()])).to(gateway.clients).await;
    let heard = Heard::read(&answer.body);
    let welcome = heard.first("welcome").unwrap();
    let mut known = Known {
        id: welcome["session"].as_str().unwrap().into(),
        token: welcome["token"].as_str().unwrap().into(),
        incarnation: 1,
        attach: 1,
        after: 0,
    };
    // Confirms it: from here on it is held for the resume window, which is over at once.
    Ask::frames("/v1/send", frames(&[known.named()])).to(gateway.clients).await;
    let gone = async {
        while gateway.handle.session_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it expires");

    let answer = Ask::frames("/v1/send", frames(&[known.named()])).to(gateway.clients).await;
    assert_eq!(Heard::read(&answer.body).codes(), ["session_ended"]);
    let mut hello = known.resume();
    hello["resume"]["positions"] = json!({});
    let answer = Ask::frames("/v1/poll", frames(&[hello])).to(gateway.clients).await;
    assert_eq!(Heard::read(&answer.body).codes(), ["session_unknown"]);
    panics::assert_none();
}

#[tokio::test]
async fn an_older_attach_number_is_refused_and_its_words_ignored() {
    let gateway = Running::start().await;
    let mut known = Known::open(&gateway).await;
    let number = known.next_command(&gateway);
    let mut old = known.resume();
    old["attach"] = json!(1);
    let words = json!({"type": "commands", "first": number, "items": [{"type": "send", "channel": "news", "data": 1}]});
    let answer = Ask::frames("/v1/poll", frames(&[old.clone(), words.clone()])).to(gateway.clients).await;
    assert_eq!(Heard::read(&answer.body).retry(), Some("superseded"), "{answer:?}");
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[old, words]).await;
    assert!(!socket.hear(|_| false).await);
    assert_eq!((socket.heard.retry(), socket.close), (Some("superseded"), Some(4300)));
    assert_eq!(known.next_command(&gateway), number, "no command of it was taken");
    assert!(known.look(&gateway).await.1);
}

#[tokio::test]
async fn a_stream_by_address_is_refused_by_name() {
    let gateway = Running::start().await;
    let long = format!("/v1/events?channel={}", "x".repeat(201));
    for path in ["/v1/events?channel=a%20b", "/v1/events?channel=", &long] {
        let answer = Ask::get(path).to(gateway.clients).await;
        assert_eq!(Heard::read(&answer.body).codes(), ["invalid_channel"], "{path} {answer:?}");
    }
    let heard = stream(&gateway, Ask::get("/v1/events?channel=%24health"), "reserved_channel").await;
    assert_eq!(heard.codes(), ["reserved_channel"]);
    for ask in [
        Ask::new("DELETE", "/v1/poll"),
        Ask::get("/v1/poll"),
        Ask::get("/v1/send"),
        Ask::new("PUT", "/v1/events"),
    ] {
        assert_eq!(ask.clone().to(gateway.clients).await.status, 405, "{ask:?}");
    }
    assert_eq!(Ask::get("/v1/nothing").to(gateway.clients).await.status, 404);
    panics::assert_none();
}

#[tokio::test]
async fn a_hundred_thousand_channel_names_by_one_client_cost_no_more_than_may_be() {
    const NAMES: u64 = 100_000;
    const CHANNELS: u64 = 500;
    const BATCH: u64 = 50;
    let build = |builder: throughline::Builder| {
        builder.memory(MemoryConfig { channels: CHANNELS as usize, ..Default::default() })
    };
    let mut plan = Plan { build, ..Plan::default() };
    plan.session.limits.commands_per_second = 0; // it is to be as fast as it can
    plan.gateway.limits.bytes_per_second = 0;
    let gateway = Running::with(plan).await;
    let mut socket = Socket::open(gateway.clients, Codec::Json).await;
    socket.say_frames(&[hello()]).await;
    assert!(socket.hear(|frame| frame["type"] == "welcome").await);
    let (mut refused, mut held) = (0, 0);
    let (mut logs_at_tenth, mut series_at_tenth) = (0, 0);
    for first in (1..=NAMES).step_by(BATCH as usize) {
        let command = |number: u64| match number % 2 {
            0 => json!({"type": "subscribe", "channel": format!("name-{number}")}),
            _ => json!({"type": "send", "channel": format!("name-{number}"), "data": number}),
        };
        let items: Vec<_> = (first..first + BATCH).map(command).collect();
        socket.heard.0.clear();
        let last = first + BATCH - 1;
        socket.say_frames(&[json!({"type": "commands", "first": first, "items": items})]).await;
        let answers_last = |frame: &serde_json::Value| {
            frame["items"].as_array().is_some_and(|items| items.iter().any(|item| item["command"] == last))
        };
        assert!(socket.hear(answers_last).await);
        for code in socket.heard.codes() {
            assert!(["too_many_channels", "too_many_subscriptions"].contains(&code), "{code}");
            refused += 1;
        }
        let heard = socket.heard.0.iter().filter(|frame| frame["type"] == "items");
        let up_to = heard.clone().map(|items| {
            items["first"].as_u64().unwrap() + items["items"].as_array().unwrap().len() as u64 - 1
        });
        held += socket
            .heard
            .0
            .iter()
            .filter(|frame| frame["type"] == "items")
            .flat_map(|frame| frame["items"].as_array().unwrap())
            .filter(|item| item["type"] == "subscribed" || item["ok"] == true)
            .count() as u64;
        socket.say_frames(&[json!({"type": "ack", "upTo": up_to.max().unwrap()})]).await;
        assert!(gateway.metric("throughline_channels") <= CHANNELS);
        if first > NAMES / 10 && logs_at_tenth == 0 {
            logs_at_tenth = gateway.metric("throughline_logs_bytes");
            series_at_tenth = gateway.handle.metrics().lines().count();
        }
    }
    assert_eq!(refused + held, NAMES);
    assert!(refused >= NAMES - CHANNELS, "{refused}");
    assert!(socket.hear_all().await, "the link stands");
    // Flat: nine tenths of the names came after this was looked at.
    assert_eq!(gateway.metric("throughline_logs_bytes"), logs_at_tenth);
    assert_eq!(gateway.handle.metrics().lines().count(), series_at_tenth);
    assert!(gateway.metric("throughline_journals_bytes") < 64 * 1024);
    assert!(gateway.refusals("too_many_channels") > 0);
    panics::assert_none();
}
