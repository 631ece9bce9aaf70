//! What is peculiar to WebSocket: the handshake, its control frames, and how long it waits.

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use support::{Running, Socket, handshake};
use throughline_conformance::{
    Bounds, Client, Event, Harness, Heard, Script, ScriptedGate, ScriptedPeer, advice_after, serve_over,
    settle,
};
use throughline_link::{Fault, LinkEnd};
use throughline_websocket::{Config, Link, WebSocket};
use throughline_wire::{CloseCode, Codec};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The head of the answer to this request, whose lines may be changed.
async fn answer(from: &str, to: &str) -> String {
    let request = HANDSHAKE.replace(from, to);
    assert!(from.is_empty() || request != HANDSHAKE);
    let mut pipe = Running::start(ScriptedGate::default(), Bounds::default()).connect();
    pipe.write_all(request.as_bytes()).await.unwrap();
    read_head(&mut pipe).await
}

async fn read_head(pipe: &mut DuplexStream) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(pipe.read_u8().await.expect("a head").into());
    }
    head
}

#[tokio::test(start_paused = true)]
async fn the_example_of_the_rfc_is_accepted() {
    let head = answer("", "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert!(!head.contains("sec-websocket-protocol"), "none was offered: {head}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_found_in_lists_and_in_any_case() {
    let head = answer("connection: Upgrade", "connection: keep-alive\r\nconnection: x , uPgrade").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = answer("upgrade: websocket", "upgrade: h2c, WebSocket").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_handshake_is_refused_with_what_is_missing() {
    for (from, to, status, says) in [
        ("GET", "POST", 405, "allow: GET"),
        ("upgrade: websocket", "x: y", 426, "upgrade: websocket"),
        ("connection: Upgrade", "connection: keep-alive", 426, "connection: upgrade"),
        ("HTTP/1.1", "HTTP/1.0", 426, "upgrade: websocket"),
        ("version: 13", "version: 8", 426, "sec-websocket-version: 13"),
        ("sec-websocket-version: 13\r\n", "", 426, "sec-websocket-version: 13"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", 400, "cache-control: no-store"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "not base64", 400, "content-type: application/x-ndjson"),
        ("host: x", "sec-websocket-protocol: soap, mqtt", 400, "content-type: application/x-ndjson"),
    ] {
        let head = answer(from, to).await;
        assert!(head.split(' ').nth(1) == Some(&status.to_string()), "{from} as {to}: {head}");
        assert!(head.contains(says), "{from} as {to}: {head}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_codec_is_the_first_of_ours_in_the_clients_order() {
    for (offered, codec) in [
        ("throughline.v1.bincode, throughline.v1.json", Codec::Bincode),
        ("mqtt,throughline.v1.json\r\nsec-websocket-protocol: throughline.v1.bincode", Codec::Json),
        ("THROUGHLINE.V1.JSON, throughline.v1.bincode", Codec::Bincode),
    ] {
        let head = answer("host: x", &format!("host: x\r\nsec-websocket-protocol: {offered}")).await;
        assert!(head.contains(&format!("sec-websocket-protocol: {}\r\n", codec.name())), "{offered}: {head}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_offers_no_protocol_speaks_text() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let (mut stream, _) = client_async(handshake(None), running.connect()).await.unwrap();
    let mut script = gate.next().await;
    assert_eq!(script.request.codec, Codec::Json);
    stream.send(Message::text("hello")).await.unwrap();
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"hello")));
}

async fn open() -> (Socket, Script) {
    open_with(Config::default()).await
}

async fn open_with(config: Config) -> (Socket, Script) {
    let gate = ScriptedGate::default();
    let socket = Running::with(gate.clone(), config).open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"hello")));
    (socket, script)
}

/// Sends raw bytes, masked with zeros by the caller, and gives the close code that they earn.
async fn close_code_for(bytes: &[u8]) -> (u16, Script) {
    let (socket, script) = open().await;
    let mut pipe = socket.stream.into_inner();
    pipe.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    pipe.read_to_end(&mut answer).await.unwrap();
    // The last message, unmasked and short, then the close frame.
    let close = answer.iter().position(|byte| *byte == 0x88).expect("a close frame");
    (u16::from_be_bytes([answer[close + 2], answer[close + 3]]), script)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_breaks_the_protocol_is_told_how() {
    for (what, bytes, code) in [
        ("a frame without a mask", &[0x81, 0x01, b'a'][..], 1002),
        ("a reserved bit", &[0xC1, 0x81, 0, 0, 0, 0, b'a'], 1002),
        ("an unknown opcode", &[0x83, 0x80, 0, 0, 0, 0], 1002),
        ("a continuation of nothing", &[0x80, 0x80, 0, 0, 0, 0], 1002),
        ("a ping in pieces", &[0x09, 0x80, 0, 0, 0, 0], 1002),
        ("text that is not UTF-8", &[0x81, 0x81, 0, 0, 0, 0, 0xFF], 1007),
    ] {
        let (told, mut script) = close_code_for(bytes).await;
        assert_eq!(told, code, "{what}");
        assert_eq!(script.next().await, Event::Refused(Fault::Protocol), "{what}");
        assert_eq!(script.next().await, Event::Ended(LinkEnd::Protocol), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_announces_too_much_is_refused_before_it_is_sent() {
    let announced = [0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let (code, mut script) = close_code_for(&announced).await;
    assert_eq!(code, 1009);
    assert_eq!(script.next().await, Event::Refused(Fault::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn fragments_that_add_up_to_too_much_are_refused() {
    let (socket, mut script) = open_with(Config { max_message_bytes: 10, ..Config::default() }).await;
    let mut pipe = socket.stream.into_inner();
    for first in [0x01, 0x00, 0x00] {
        pipe.write_all(&[first, 0x84, 0, 0, 0, 0, b'a', b'b', b'c', b'd']).await.unwrap();
    }
    assert_eq!(script.next().await, Event::Refused(Fault::TooLarge));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_wrong_kind_leaves_the_link_to_the_peer() {
    let (mut socket, mut script) = open().await;
    socket.stream.send(Message::binary(&b"binary"[..])).await.unwrap();
    assert_eq!(script.next().await, Event::Refused(Fault::WrongCodec));
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_though_the_peer_is_silent() {
    let (mut socket, script) = open().await;
    socket.stream.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert_eq!(socket.stream.next().await.unwrap().unwrap(), Message::Pong(Bytes::from_static(b"there?")));
    assert!(script.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn pings_of_a_client_that_does_not_read_are_left_unread() {
    let (socket, mut script) = open().await;
    let (mut reading, mut writing) = tokio::io::split(socket.stream.into_inner());
    let (taken, count) = tokio::sync::watch::channel(0_usize);
    let flood = tokio::spawn(async move {
        let mut ping = [0; 131];
        (ping[0], ping[1]) = (0x89, 0x80 | 125);
        for n in 1..=5_000 {
            writing.write_all(&ping).await.unwrap();
            taken.send_replace(n);
        }
        // A message behind them all.
        writing.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'a']).await.unwrap();
        writing
    });
    settle().await;
    let stalled = *count.borrow();
    assert!(stalled < 300, "{stalled} pings were taken from a client that does not read");
    assert!(script.is_quiet());
    // Once it reads, all is as it should be.
    let pongs = tokio::spawn(async move { reading.read_exact(&mut vec![0; 5_000 * 127]).await.map(drop) });
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"a")));
    pongs.await.unwrap().unwrap();
    drop(flood.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_client_that_does_not_read_arrive_all_the_same() {
    let (mut socket, mut script) = open().await;
    for _ in 0..100 {
        script.say("s".repeat(60_000));
    }
    settle().await;
    assert!(script.waiting() > 90);
    socket.send(Bytes::from_static(b"an acknowledgement")).await;
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"an acknowledgement")));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_for_long_has_stalled() {
    let (socket, mut script) = open().await;
    for _ in 0..10 {
        script.say("s".repeat(60_000));
    }
    tokio::time::sleep(Config::default().write_timeout - Duration::from_secs(1)).await;
    assert!(script.is_quiet());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!script.is_quiet());
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Stalled));
    drop(socket);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_is_not_lost() {
    let (mut socket, mut script) = open().await;
    for _ in 0..5 {
        script.say("s".repeat(60_000));
    }
    for _ in 0..5 {
        tokio::time::sleep(Config::default().write_timeout - Duration::from_secs(1)).await;
        assert!(matches!(socket.next().await, Heard::Message(_)));
    }
    script.close("", advice_after(CloseCode::NORMAL, "", 0));
    assert!(matches!(socket.next().await, Heard::Goodbye(_)));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_too_is_waited_for_and_then_cut() {
    let (socket, mut script) = open().await;
    script.close("farewell", advice_after(CloseCode::DRAIN, "drain", 0));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed), "the peer is let go at once");
    let mut pipe = socket.stream.into_inner();
    let mut rest = Vec::new();
    let almost = Config::default().close_grace - Duration::from_millis(10);
    timeout(almost, pipe.read_to_end(&mut rest)).await.expect_err("it waits");
    timeout(Duration::from_secs(1), pipe.read_to_end(&mut rest)).await.expect("it gives up").unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_client_says_after_the_close_is_not_delivered() {
    let (mut socket, mut script) = open().await;
    script.close("", advice_after(CloseCode::SUPERSEDED, "superseded", 0));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
    socket.send(Bytes::from_static(b"late")).await;
    settle().await;
    assert!(matches!(socket.next().await, Heard::Goodbye(_)));
    // The drop of the peer is all that comes.
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
    assert!(script.is_quiet());
}

/// A server that closed at once would reset the connection, and could so take its own last words back.
#[tokio::test]
async fn last_words_reach_a_client_that_is_still_sending_over_a_real_socket() {
    let gate = ScriptedGate::default();
    let websocket = WebSocket::new(gate.clone(), Config::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let websocket = websocket.clone();
            serve_over(stream, move |request| {
                let (response, link) = websocket.answer(request, None);
                link.map(tokio::spawn);
                async { response }
            });
        }
    });
    for _ in 0..5 {
        let tcp = TcpStream::connect(address).await.unwrap();
        let (stream, _) = client_async(handshake(None), tcp).await.unwrap();
        let (mut reading, mut writing) = stream.into_inner().into_split();
        // Far more than is taken, so that much of it is still under way when the server has said no.
        let sending = tokio::spawn(async move {
            writing.write_all(&[0x82, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).await?;
            writing.write_all(&vec![0; 16 << 20]).await
        });
        let mut heard = Vec::new();
        reading.read_to_end(&mut heard).await.unwrap();
        let refusal = [&[0x81, 17][..], b"message_too_large", &[0x88, 19, 0x03, 0xF1], b"message_too_large"];
        assert_eq!(heard, refusal.concat());
        sending.await.unwrap().expect("it is heard out, though not listened to");
    }
}

#[test]
fn a_link_is_small() {
    let link = size_of::<Link<ScriptedPeer>>() - size_of::<ScriptedPeer>();
    assert!(link <= 448, "{link} bytes for each link, beside its peer");
}
