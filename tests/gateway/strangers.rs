//! Pages of other origins, names that were pointed here, and connections that only wait.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::kit::{
    PATIENCE,
    http::Ask,
    panics,
    running::{Plan, Running},
    speech::{Heard, frames, hello},
};

/// Every way to the gateway that a page could try, on either listener.
fn ways(gateway: &Running) -> Vec<(SocketAddr, Ask)> {
    let websocket = Ask::get("/v1/websocket")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==")
        .header("sec-websocket-protocol", "throughline.v1.json");
    let clients = [
        websocket,
        Ask::frames("/v1/poll", frames(&[hello()])),
        Ask::frames("/v1/events", frames(&[hello()])),
        Ask::get("/v1/events?channel=news"),
        Ask::frames("/v1/send", "{}"),
        Ask::frames("/v1/tickets", "{}"),
        Ask::get("/v1/negotiate"),
        Ask::new("OPTIONS", "/v1/poll").header("access-control-request-method", "POST"),
    ];
    let admin = [
        Ask::json("/api/v1/publish", r#"{"channel":"news","data":1}"#),
        Ask::json("/api/v1/tickets", "{}"),
        Ask::frames("/api/v1/publish", r#"{"channel":"news","data":1}"#),
        Ask::get("/api/v1/channels/news/history"),
        Ask::get("/api/v1/sessions"),
        Ask::get("/metrics"),
        Ask::get("/healthz"),
        Ask::new("OPTIONS", "/api/v1/publish").header("access-control-request-method", "POST"),
    ];
    let clients = clients.into_iter().map(|ask| (gateway.clients, ask));
    clients.chain(admin.into_iter().map(|ask| (gateway.admin, ask))).collect()
}

#[tokio::test]
async fn a_page_of_another_origin_reaches_neither_a_session_nor_the_admin_api() {
    let gateway = Running::start().await;
    for origin in
        ["http://evil.example", "https://127.0.0.1.evil.example", "null", "http://evil.example:7080"]
    {
        for (address, ask) in ways(&gateway) {
            let answer = ask.clone().header("origin", origin).to(address).await;
            assert_eq!(answer.status, 403, "{origin} {ask:?}");
            assert!(answer.text().contains("origin_refused"), "{origin} {ask:?} {answer:?}");
            assert!(!answer.head.contains("access-control-allow"), "{origin} {ask:?} {answer:?}");
        }
    }
    assert_eq!(gateway.handle.session_count(), 0);
    assert_eq!(gateway.metric("throughline_events_published_total"), 0);
    assert!(gateway.refusals("origin_refused") >= 64);
    panics::assert_none();
}

#[tokio::test]
async fn a_page_of_the_client_listener_does_not_reach_the_admin_api() {
    let gateway = Running::start().await;
    let origin = format!("http://{}", gateway.clients);
    let publish = Ask::json("/api/v1/publish", r#"{"channel":"news"}"#).header("origin", &origin);
    assert_eq!(publish.to(gateway.admin).await.code(), "origin_refused");
    let own = format!("http://{}", gateway.admin);
    let publish = Ask::json("/api/v1/publish", r#"{"channel":"news"}"#).header("origin", &own);
    assert_eq!(publish.to(gateway.admin).await.status, 200);
}

#[tokio::test]
async fn a_name_that_was_pointed_at_loopback_is_refused_with_and_without_an_origin() {
    let gateway = Running::start().await;
    for (address, ask) in ways(&gateway) {
        let host = format!("evil.example:{}", address.port());
        let rebound = ask.clone().header("host", &host);
        let with_origin = rebound.clone().header("origin", &format!("http://{host}"));
        for ask in [rebound, with_origin] {
            let answer = ask.clone().to(address).await;
            assert_eq!(answer.status, 403, "{ask:?}");
            assert!(answer.text().contains("origin_refused"), "{ask:?} {answer:?}");
        }
    }
    assert_eq!(gateway.handle.session_count(), 0);
    assert_eq!(gateway.metric("throughline_events_published_total"), 0);
}

#[tokio::test]
async fn an_image_of_another_page_opens_no_session_and_reads_nothing() {
    let gateway = Running::start().await;
    for (address, ask) in ways(&gateway).into_iter().filter(|(_, ask)| format!("{ask:?}").contains("GET")) {
        let ask = ask.header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors");
        let answer = ask.clone().to(address).await;
        assert_eq!(answer.status, 403, "{ask:?}");
    }
    assert_eq!(gateway.handle.session_count(), 0);
}

#[tokio::test]
async fn a_page_on_loopback_may_connect_while_the_gateway_is_there_too() {
    let gateway = Running::start().await;
    let ask = Ask::frames("/v1/poll", frames(&[hello()])).header("origin", "http://localhost:3000");
    let answer = ask.header("sec-fetch-site", "same-site").to(gateway.clients).await;
    assert_eq!(answer.value("access-control-allow-origin"), Some("http://localhost:3000"));
    assert!(Heard::read(&answer.body).first("welcome").is_some());
}

#[tokio::test]
async fn a_head_that_trickles_is_cut() {
    let gateway = Running::with(Plan::impatient()).await;
    for address in [gateway.clients, gateway.admin] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut read, mut write) = stream.split();
        let trickle = async {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            write.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
            loop {
                every.tick().await;
                if write.write_all(b"x").await.is_err() {
                    return;
                }
            }
        };
        let cut = async {
            let mut rest = Vec::new();
            let _ = read.read_to_end(&mut rest).await;
            rest
        };
        let rest = timeout(PATIENCE, async {
            tokio::select! {
                rest = cut => rest,
                () = trickle => Vec::new(),
            }
        });
        let rest = rest.await.expect("it is cut");
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(gateway.metric("throughline_limited_total{limit=\"header_time\"}"), 1);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut() {
    let gateway = Running::with(Plan::impatient()).await;
    let mut stream = TcpStream::connect(gateway.clients).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is cut").unwrap();
}

#[tokio::test]
async fn a_body_that_trickles_is_cut_and_its_client_told() {
    let gateway = Running::with(Plan::impatient()).await;
    for path in ["/v1/poll", "/v1/send", "/v1/events"] {
        let ask =
            Ask::new("POST", path).header("content-type", "text/plain").header("content-length", "1000");
        let mut stream = ask.open(gateway.clients).await;
        let (mut read, mut write) = stream.split();
        let trickle = async {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            loop {
                every.tick().await;
                if write.write_all(b" ").await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let answer = async {
            let mut answer = Vec::new();
            let mut piece = [0; 1024];
            while let Ok(length @ 1..) = read.read(&mut piece).await {
                answer.extend_from_slice(&piece[..length]);
                if String::from_utf8_lossy(&answer).contains("timed_out") {
                    return true;
                }
            }
            false
        };
        let told = timeout(PATIENCE, async {
            tokio::select! {
                told = answer => told,
                () = trickle => false,
            }
        });
        assert!(told.await.expect("an answer in time"), "{path}");
    }
    assert_eq!(gateway.metric("throughline_limited_total{limit=\"body_time\"}"), 3);
    assert_eq!(gateway.handle.session_count(), 0);
    panics::assert_none();
}

#[tokio::test]
async fn an_answer_that_did_not_wait_for_the_body_is_the_last_of_its_connection_and_says_so() {
    let gateway = Running::start().await;
    let awaited =
        |path| Ask::new("POST", path).header("content-type", "text/plain").header("content-length", "9");
    let early = [
        (gateway.clients, awaited("/v1/poll").header("origin", "http://evil.example"), 403),
        (gateway.clients, awaited("/nowhere"), 404),
        (gateway.clients, Ask::new("POST", "/v1/poll").header("content-length", "99999999"), 413),
        (gateway.admin, awaited("/nowhere"), 404),
    ];
    for (address, ask, status) in early {
        let mut stream = ask.clone().open(address).await;
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an end in time").expect("text");
        let answer = answer.to_ascii_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{ask:?} {answer}");
        assert!(answer.contains("connection: close\r\n"), "{ask:?} {answer}");
    }
    // One that did, and one to which there is none, are not: the next request has its answer on the same connection.
    let hello = frames(&[hello()]);
    let chunked = format!("{:x}\r\n{hello}\r\n0\r\n\r\n", hello.len());
    let said = |path, body: &str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\n", gateway.clients);
        if body.ends_with("0\r\n\r\n") {
            format!("{head}transfer-encoding: chunked\r\n\r\n{body}")
        } else {
            format!("{head}content-length: {}\r\n\r\n{body}", body.len())
        }
    };
    let last = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", gateway.clients);
    for first in [said("/v1/poll", &hello), said("/v1/poll", &chunked), said("/nowhere", "")] {
        let mut stream = TcpStream::connect(gateway.clients).await.expect("a listener");
        stream.write_all(format!("{first}{last}").as_bytes()).await.expect("a connection");
        let mut answers = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answers)).await.expect("an end in time").expect("text");
        let closes = answers.to_ascii_lowercase().matches("connection: close").count();
        assert_eq!((answers.matches("HTTP/1.1 ").count(), closes), (2, 1), "{first} {answers}");
    }
}
