//! How links begin.

use std::collections::BTreeMap;

use bytes::Bytes;
use throughline_conformance::{Bounds, Client, Event, Harness, ScriptedGate};
use throughline_webtransport::{Config, HandshakeConfig};
use throughline_wire::Codec;
use tokio::time::timeout;

use crate::support::{
    Page, Running, Switch,
    browser::{Browser, request_bytes, say_settings},
    client_config,
};

/// The trap: Chromium wants one of these, Safari another, and both go without a word where theirs is missing.
#[tokio::test(start_paused = true)]
async fn the_settings_are_those_that_browsers_need() {
    let running = Running::start(ScriptedGate::default(), Bounds::default());
    let (_socket, _endpoint, connection) = running.dial().await;
    let mut control = connection.accept_uni().await.unwrap();
    let mut bytes = vec![0; 1_000];
    let read = control.read(&mut bytes).await.unwrap().unwrap();
    let mut rest = &bytes[..read];
    // RFC 9114, 6.2.1 and 7.2.4: a control stream, whose first frame is SETTINGS.
    assert_eq!(varint(&mut rest), 0x00);
    assert_eq!(varint(&mut rest), 0x04);
    assert_eq!(varint(&mut rest), rest.len() as u64);
    let mut settings = BTreeMap::new();
    while !rest.is_empty() {
        let (name, value) = (varint(&mut rest), varint(&mut rest));
        assert!(settings.insert(name, value).is_none(), "{name:#x} is said twice");
    }
    // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220), SETTINGS_H3_DATAGRAM (RFC 9297).
    assert_eq!(settings.get(&0x08), Some(&1));
    assert_eq!(settings.get(&0x33), Some(&1));
    // SETTINGS_ENABLE_WEBTRANSPORT (draft 2, Chromium), SETTINGS_WEBTRANSPORT_MAX_SESSIONS (draft 7, Safari).
    assert_eq!(settings.get(&0x2b60_3742), Some(&1));
    assert_eq!(settings.get(&0xc671_706a), Some(&1));
}

/// The trap: the name comes in a list of quoted strings, and goes back quoted.
#[tokio::test(start_paused = true)]
async fn the_codec_is_the_first_protocol_that_is_ours() {
    let json = Some("\"throughline.v1.json\"");
    let bincode = Some("\"throughline.v1.bincode\"");
    for (offered, answer, codec) in [
        (None, None, Codec::Json),
        (Some(""), None, Codec::Json),
        (Some("\"throughline.v1.json\""), json, Codec::Json),
        (Some("\"throughline.v1.bincode\""), bincode, Codec::Bincode),
        (
            Some("\"moqt-14\", \"throughline.v1.bincode\" ;q=1,\"throughline.v1.json\""),
            bincode,
            Codec::Bincode,
        ),
        (Some("throughline.v1.bincode, \"throughline.v1.json\""), json, Codec::Json),
    ] {
        let gate = ScriptedGate::default();
        let running = Running::start(gate.clone(), Bounds::default());
        let headers: Vec<_> =
            offered.map(|offered| ("wt-available-protocols", offered)).into_iter().collect();
        let browser = running.browser(&headers).await;
        assert_eq!(browser.response.get(":status"), Some("200"));
        assert_eq!(browser.response.get("wt-protocol"), answer, "{offered:?}");
        let _page = Page::open(browser, codec).await;
        assert_eq!(gate.next().await.request.codec, codec, "{offered:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_gate_learns_origin_host_and_address_and_no_pseudo_header() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let browser = running.browser(&[("origin", "https://page.example"), ("x", "y")]).await;
    let page = Page::open(browser, Codec::Json).await;
    let request = gate.next().await.request;
    assert_eq!(request.headers["origin"], "https://page.example");
    assert_eq!(request.headers["host"], "localhost:4000");
    assert_eq!(request.remote, Some(page.browser.socket.address));
    assert!(request.headers.keys().all(|name| !name.as_str().starts_with(':')));
}

#[tokio::test(start_paused = true)]
async fn another_path_is_not_found_and_a_query_is_no_other_path() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    for path in ["/", "/v1/websocket", "/v1/webtransport/", "/v1/webtransportx", ""] {
        let browser = running.browser(&[(":path", path)]).await;
        assert_eq!(browser.response.get(":status"), Some("404"), "{path}");
    }
    let browser = running.browser(&[(":path", "/v1/webtransport?x=/y")]).await;
    assert_eq!(browser.response.get(":status"), Some("200"));
    let _page = Page::open(browser, Codec::Json).await;
    gate.next().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_no_session_is_rejected_and_the_next_may_be_one() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let (socket, endpoint, connection) = running.dial().await;
    for (headers, code) in [
        // H3_REQUEST_REJECTED, H3_MESSAGE_ERROR.
        ([(":method", "GET")], 0x10b),
        ([(":protocol", "websocket")], 0x10e),
        ([(":scheme", "http")], 0x10e),
    ] {
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(&request_bytes(&headers)).await.unwrap();
        let stopped = send.stopped().await.unwrap();
        assert_eq!(stopped.map(|code| code.into_inner()), Some(code), "{headers:?}");
    }
    let browser = Browser::ask(socket, endpoint, connection, &[]).await;
    assert_eq!(browser.response.get(":status"), Some("200"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_no_stream_is_not_waited_for() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let browser = running.browser(&[]).await;
    assert_eq!(browser.response.get(":status"), Some("200"));
    let asked = tokio::time::Instant::now();
    assert!(browser.closed().await.is_some());
    assert!(asked.elapsed() >= HandshakeConfig::default().timeout - std::time::Duration::from_millis(50));
    assert!(timeout(HandshakeConfig::default().timeout, gate.next()).await.is_err(), "there was no link");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_for_nothing_is_not_waited_for() {
    let running = Running::start(ScriptedGate::default(), Bounds::default());
    for says_settings in [false, true] {
        let (_socket, _endpoint, connection) = running.dial().await;
        let _control = if says_settings { Some(say_settings(&connection).await) } else { None };
        connection.closed().await;
        assert!(running.links.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn handshakes_that_never_end_leave_room_for_those_that_do() {
    let handshake = HandshakeConfig { unproven: 2, pending: 4, ..HandshakeConfig::default() };
    let gate = ScriptedGate::default();
    let running = Running::with(gate.clone(), Config { handshake, ..Config::default() });
    let mut mute = Vec::new();
    for _ in 0..50 {
        let (socket, endpoint) = running.device();
        socket.deafen();
        mute.push((endpoint.connect(running.server(), "localhost").unwrap(), endpoint, socket));
    }
    throughline_conformance::settle().await;
    assert_eq!(running.links.len(), 2, "no more of those whose address nobody has seen an answer at");
    let _page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    gate.next().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_clients_are_taken_than_there_is_room_for() {
    let gate = ScriptedGate::default();
    let running = Running::with(gate.clone(), Config { connections: 1, ..Config::default() });
    let page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let (_socket, endpoint) = running.device();
    let connect = || endpoint.connect(running.server(), "localhost").unwrap();
    assert!(connect().await.is_err());
    page.leave().await;
    let mut script = gate.next().await;
    while !matches!(script.next().await, Event::Ended(_)) {}
    throughline_conformance::settle().await;
    connect().await.unwrap();
}

/// The trap: a certificate of a few days has to be replaced while links are open.
#[tokio::test(start_paused = true)]
async fn a_new_certificate_needs_no_new_endpoint_and_ends_no_link() {
    let gate = ScriptedGate::default();
    let certificates = Switch::default();
    let running = Running::with_certificates(gate.clone(), Config::default(), certificates.clone());
    let mut page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    script.next().await;

    let (_socket, mut endpoint) = running.device();
    endpoint.set_default_client_config(client_config(certificates.renew()));
    let connected = endpoint.connect(running.server(), "localhost").unwrap().await;
    assert!(connected.is_ok(), "the old one is still shown");

    page.send(Bytes::from_static(b"still here")).await;
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"still here")));
}

/// RFC 9000, 16.
fn varint(bytes: &mut &[u8]) -> u64 {
    let length = 1 << (bytes[0] >> 6);
    let (first, rest) = bytes.split_at(length);
    *bytes = rest;
    first[1..].iter().fold(u64::from(first[0] & 0x3f), |value, &byte| value << 8 | u64::from(byte))
}
