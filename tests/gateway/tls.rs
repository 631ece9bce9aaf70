//! TLS on the clients' listener, HTTP/2 within it, and WebTransport beside it: what each may draw out, and who may come.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::ext::Protocol;
use rustls::version::{TLS12, TLS13};
use throughline::{
    certificates::Certificates,
    channel::NewEvent,
    http::listener::{ListenerConfig, TlsConfig},
};
use throughline_client::{Config, Incoming, LinkChange, Session, Transport, Via};
use throughline_wire::{ChannelName, Json, Payload};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use wtransport::{ClientConfig, Endpoint, endpoint::ConnectOptions};

use crate::kit::{
    PATIENCE,
    http::Ask,
    http2::{self, Caller, frame},
    panics,
    process::{Serve, run},
    secure::{EITHER, Secure, config, connect},
    speech::{Heard, frames, hello},
};

fn certificates() -> Certificates {
    Certificates::development(["localhost", "127.0.0.1"], SystemTime::now()).expect("randomness")
}

async fn impatient(tls: TlsConfig) -> Secure {
    let listener = ListenerConfig {
        header_timeout: Duration::from_millis(300),
        keep_alive: Duration::from_millis(300),
        write_timeout: Duration::from_millis(300),
        ..ListenerConfig::default()
    };
    Secure::with(&certificates(), listener, tls).await
}

/// Reads until the other side has closed.
async fn closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("it is closed in time");
    read
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_are_spoken() {
    let gateway = Secure::start(&certificates()).await;
    for version in [&TLS12, &TLS13] {
        for protocols in [&[b"http/1.1".as_slice()][..], &[]] {
            let mut stream = connect(gateway.clients, protocols, &[version]).await;
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            let answer = closed(&mut stream).await;
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
        }
        let stream = connect(gateway.clients, &[b"h2", b"http/1.1"], &[version]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the newer one is preferred");
    }
    let mut caller = Caller::connect(gateway.clients).await;
    assert_eq!(caller.get("/healthz").await, (StatusCode::OK, Bytes::from_static(b"ok\n")));
    panics::assert_none();
}

#[tokio::test]
async fn who_speaks_no_tls_is_told_so_and_who_speaks_nonsense_is_not_heard() {
    let gateway = Secure::start(&certificates()).await;
    let answer = Ask::frames("/v1/poll", frames(&[hello()])).to(gateway.clients).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https://"), "{answer:?}");
    for nonsense in [&b"\x16\x03\x01\x00\x05hello"[..], &b"\x00\x00\x00"[..], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut stream = TcpStream::connect(gateway.clients).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(!closed(&mut stream).await.starts_with(b"HTTP"));
    }
    panics::assert_none();
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut() {
    let tls = TlsConfig { handshake_timeout: Duration::from_millis(300), ..TlsConfig::default() };
    let gateway = impatient(tls).await;
    for begun in
        [&b""[..], &b"\x16"[..], &b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03"[..], &b"GET / HT"[..]]
    {
        let mut stream = TcpStream::connect(gateway.clients).await.unwrap();
        stream.write_all(begun).await.unwrap();
        closed(&mut stream).await;
    }
    // HTTP in the clear is answered at once.
    assert_eq!(limited(&gateway, "handshake_time"), 3);
}

/// How often a limit was met.
fn limited(gateway: &Secure, limit: &str) -> u64 {
    let series = format!("throughline_limited_total{{limit=\"{limit}\"}} ");
    let metrics = gateway.handle.metrics();
    metrics.lines().find_map(|line| line.strip_prefix(&series)).expect("a series").parse().expect("a number")
}

#[tokio::test]
async fn handshakes_that_hang_make_others_wait_and_no_more() {
    let tls = TlsConfig { handshake_timeout: Duration::from_millis(300), handshakes: 1 };
    let gateway = Secure::with(&certificates(), ListenerConfig::default(), tls).await;
    let mut hanging = TcpStream::connect(gateway.clients).await.unwrap();
    hanging.write_all(b"\x16").await.unwrap();
    closed(&mut hanging).await;
    // Its place is free again.
    connect(gateway.clients, &[b"http/1.1"], EITHER).await;
}

#[tokio::test]
async fn the_bounds_of_a_connection_hold_within_tls() {
    let gateway = impatient(TlsConfig::default()).await;
    for said in
        [&b""[..], b"GET / HTTP/1.1\r\nhost: local", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"]
    {
        let mut stream = connect(gateway.clients, &[b"http/1.1"], EITHER).await;
        stream.write_all(said).await.unwrap();
        closed(&mut stream).await;
    }
    assert_eq!((limited(&gateway, "header_time"), limited(&gateway, "idle_time")), (2, 1));
}

#[tokio::test]
async fn a_connection_of_http2_is_closed_once_nothing_is_open_on_it() {
    let gateway = impatient(TlsConfig::default()).await;
    // One that never asks.
    let mut silent = connect(gateway.clients, &[b"h2"], EITHER).await;
    closed(&mut silent).await;
    // One that has asked.
    let mut caller = Caller::connect(gateway.clients).await;
    caller.get("/healthz").await;
    let closed = timeout(PATIENCE, &mut caller.connection).await.expect("it is closed in time");
    assert!(closed.unwrap().is_ok(), "with a goodbye");
    assert_eq!((limited(&gateway, "header_time"), limited(&gateway, "idle_time")), (1, 1));
}

#[tokio::test]
async fn what_is_open_keeps_a_connection_of_http2_whatever_it_is() {
    let gateway = impatient(TlsConfig::default()).await;
    let mut caller = Caller::connect(gateway.clients).await;
    // Something is open from the first answer on, so that a machine that stands still finds nothing idle.
    let request = caller.request(Method::GET, "/v1/events?channel=news").body(Full::default()).unwrap();
    let stream = caller.send(request).await;
    let mut socket = caller.socket("news").await;
    drop(stream);
    // Longer than a connection may be idle, by the clock that would close it.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(!caller.connection.is_finished(), "a WebSocket is open");
    caller.get("/healthz").await;
    publish(&gateway, "1").await;
    socket.hear("1").await;
    socket.close().await;
    timeout(PATIENCE, &mut caller.connection).await.expect("nothing is open any more").unwrap().unwrap();
}

async fn publish(gateway: &Secure, data: &str) {
    let payload = Payload::Json(Json::parse(data.as_bytes()).expect("JSON"));
    let news = ChannelName::parse("news").expect("a name");
    gateway.handle.publish(&news, NewEvent { payload, ..NewEvent::default() }).await.expect("it is taken");
}

#[tokio::test]
async fn a_client_of_http2_that_takes_nothing_is_cut() {
    let gateway = impatient(TlsConfig::default()).await;
    let mut caller = Caller::with_window(gateway.clients, 1_024).await;
    let request = caller.request(Method::GET, "/v1/events?channel=news").body(Full::default()).unwrap();
    let answer = caller.send(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let text = format!("\"{}\"", "x".repeat(4_096));
    while !caller.connection.is_finished() {
        publish(&gateway, &text).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(limited(&gateway, "write_time"), 1);
    drop(answer);
}

#[tokio::test]
async fn a_flood_of_streams_that_are_taken_back_ends_its_connection() {
    let gateway = Secure::start(&certificates()).await;
    let mut stream = connect(gateway.clients, &[b"h2"], EITHER).await;
    let mut said = http2::preface();
    for stream in (1..10_000).step_by(2) {
        // HEADERS: GET https://localhost/, in the indices of RFC 7541, appendix A; then RST_STREAM: CANCEL.
        said.extend(frame(1, 0x5, stream, b"\x82\x87\x84\x01\x09localhost"));
        said.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
    }
    // It may be cut off in the middle.
    let _ = stream.write_all(&said).await;
    let mut goodbye = None;
    while let Some(frame) = http2::Frame::read(&mut stream).await {
        goodbye = frame.goaway().or(goodbye);
    }
    assert_eq!(goodbye.map(|(_, error)| error), Some(11), "GOAWAY: ENHANCE_YOUR_CALM");
    let mut caller = Caller::connect(gateway.clients).await;
    assert_eq!(caller.get("/healthz").await.0, StatusCode::OK, "others are served");
    panics::assert_none();
}

#[tokio::test]
async fn pages_of_other_origins_open_nothing_over_http2() {
    let gateway = Secure::start(&certificates()).await;
    let mut caller = Caller::connect(gateway.clients).await;
    caller.get("/healthz").await;
    for origin in ["https://evil.example", "null"] {
        let socket = caller
            .request(Method::CONNECT, "/v1/websocket")
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13");
        let poll = caller.request(Method::POST, "/v1/poll");
        for (request, body) in [(socket, String::new()), (poll, frames(&[hello()]))] {
            let request = request.header("origin", origin).body(Full::from(body)).unwrap();
            let answer = caller.send(request).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(Heard::read(&body).codes(), ["origin_refused"]);
        }
    }
    // A host that is not the one that was called.
    let request = caller.request(Method::GET, "/v1/negotiate").header("host", "evil.example");
    let answer = caller.send(request.body(Full::default()).unwrap()).await;
    assert!(answer.status().is_client_error(), "{answer:?}");
    assert_eq!(gateway.handle.session_count(), 0);
}

/// Opens a link over WebTransport as a page of this origin would, says hello, and gives what is heard.
async fn over_webtransport(gateway: &Secure, host: &str, origin: Option<&str>) -> Heard {
    let tls =
        ClientConfig::builder().with_bind_default().with_custom_tls(config(&[b"h3"], &[&TLS13])).build();
    let endpoint = Endpoint::client(tls).unwrap();
    let mut options =
        ConnectOptions::builder(format!("https://{host}:{}/v1/webtransport", gateway.clients.port()));
    if let Some(origin) = origin {
        options = options.add_header("origin", origin);
    }
    let connection =
        timeout(PATIENCE, endpoint.connect(options.build())).await.expect("in time").expect("a session");
    let (mut up, mut down) = connection.open_bi().await.unwrap().await.unwrap();
    let _ = up.write_all(frames(&[hello()]).as_bytes()).await;
    let mut heard = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        match timeout(PATIENCE, down.read(&mut buffer)).await.expect("in time") {
            Ok(Some(read)) => heard.extend_from_slice(&buffer[..read]),
            _ => return Heard::read(&heard),
        }
        let heard = Heard::read(&heard);
        if heard.first("welcome").is_some() {
            return heard;
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_told_so_over_webtransport() {
    let gateway = Secure::start(&certificates()).await;
    for origin in ["https://evil.example", "null"] {
        let heard = over_webtransport(&gateway, "127.0.0.1", Some(origin)).await;
        assert_eq!(heard.codes(), ["origin_refused"], "{heard:?}");
        assert_eq!(heard.first("retry").expect("what to do")["final"], true, "{heard:?}");
    }
    assert_eq!(gateway.handle.session_count(), 0);
    assert_eq!(gateway.metric("throughline_refusals_total{code=\"origin_refused\"}"), 2);
    for origin in [None, Some("https://localhost:3000")] {
        let heard = over_webtransport(&gateway, "127.0.0.1", origin).await;
        let welcome = heard.first("welcome").expect("it may come");
        let offer = &welcome["transports"][0];
        assert_eq!(offer["name"], "webtransport");
        assert_eq!(offer["certificateHashes"].as_array().map(Vec::len), Some(2), "{offer}");
    }
}

#[test]
fn serve_says_what_to_do_where_the_udp_port_is_taken() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ports = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let told = format!("webtransport.listen={address}");
    let refused = run(&[&ports[..], &["--set", &told]].concat());
    assert_eq!(refused.code, Some(1));
    for part in [&*address, "UDP", "webtransport.enabled = false"] {
        assert!(refused.err.contains(part), "{refused:?}");
    }
    let serve = Serve::start(&["--set", "webtransport.enabled=false"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let offers = runtime.block_on(Ask::get("/v1/negotiate").to(serve.client_address())).json();
    assert_eq!(offers["transports"][0]["name"], "websocket");
}

#[tokio::test]
async fn a_stop_is_told_over_webtransport() {
    let certificates = certificates();
    let gateway = Secure::start(&certificates).await;
    let mut config =
        Config::new(format!("https://{}", gateway.clients)).only(Via::json(Transport::WebTransport));
    config.negotiate = false;
    config.tls.accept_hash(&certificates.present_hash()).unwrap();
    let (session, mut events) = Session::connect(config).unwrap();
    assert!(timeout(PATIENCE, session.connected()).await.expect("in time"));
    let handle = gateway.handle.clone();
    let stopping = tokio::spawn(async move { handle.shutdown(PATIENCE).await });
    let reason = loop {
        let incoming = timeout(PATIENCE, events.next()).await.expect("in time").expect("it comes back");
        if let Incoming::Link(LinkChange::Down { reason, .. }) = incoming {
            break reason;
        }
    };
    assert!(reason.contains("drain"), "{reason}");
    session.close().await;
    assert!(stopping.await.unwrap(), "all had gone");
}
