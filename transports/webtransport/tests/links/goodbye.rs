//! How links end.

use bytes::Bytes;
use throughline_conformance::{
    Bounds, Client, Event, Goodbye, Harness, Heard, ScriptedGate, advice_after, settle,
};
use throughline_link::LinkEnd;
use throughline_webtransport::Config;
use throughline_wire::{CloseCode, Codec};
use tokio::time::Instant;

use crate::support::{Page, Running};
use throughline_conformance::Script;

/// The trap: a page that is closed from this side is told neither code nor reason.
#[tokio::test(start_paused = true)]
async fn the_goodbye_is_a_frame_then_fin_and_the_client_closes_first() {
    let (running, mut page, mut script) = open().await;
    script.close("farewell", advice_after(CloseCode::DRAIN, "drain", 1_000));
    assert_eq!(page.stream.1.read_to_end(100).await.unwrap(), b"farewell\n");
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
    settle().await;
    assert!(page.browser.connection.close_reason().is_none(), "the client is the first to close");
    page.browser.close(0, "").await;
    running.links.close();
    let waited = Instant::now();
    running.links.wait().await;
    assert!(waited.elapsed() < Config::default().close_grace, "and is not waited for thereafter");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_is_closed_by_force_after_the_grace() {
    let (_running, mut page, mut script) = open().await;
    script.close("farewell", advice_after(CloseCode::DRAIN, "drain", 1_000));
    page.stream.1.read_to_end(100).await.unwrap();
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
    let parted = Instant::now();
    assert_eq!(page.browser.closed().await, Some((4_000, "drain".into())));
    assert!(parted.elapsed() >= Config::default().close_grace - std::time::Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_nobody_acknowledges_is_no_goodbye() {
    let (_running, page, mut script) = open().await;
    page.browser.socket.cut();
    let said = Instant::now();
    script.close("farewell", advice_after(CloseCode::DRAIN, "drain", 1_000));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
    assert!(said.elapsed() >= Config::default().close_grace);
}

/// The trap: after a client's close every call says `LocallyClosed`, but for the first accept that fails.
#[tokio::test(start_paused = true)]
async fn a_page_that_closes_its_session_is_known_to_have_closed_it() {
    for code in [0, 1_000, 4_294_967_295] {
        let (_running, mut page, mut script) = open().await;
        page.browser.close(code, "enough").await;
        assert_eq!(script.next().await, Event::Ended(LinkEnd::ClosedByClient));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_its_connection_has_closed_its_link() {
    let (_running, page, mut script) = open().await;
    page.browser.connection.close(7_u32.into(), b"enough");
    assert_eq!(script.next().await, Event::Ended(LinkEnd::ClosedByClient));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_stream_has_closed_its_link_and_gets_an_end_too() {
    let (_running, mut page, mut script) = open().await;
    page.stream.0.write_all(b"last\nhalf").await.unwrap();
    page.stream.0.finish().unwrap();
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"last")));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::ClosedByClient), "half a frame is none");
    assert_eq!(page.stream.1.read_to_end(100).await.unwrap(), b"");
    assert_eq!(page.browser.closed().await, Some((1_000, String::new())));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_broken_off_loses_its_link() {
    for stops in [false, true] {
        let (_running, mut page, mut script) = open().await;
        if stops {
            page.stream.1.stop(9_u32.into()).unwrap();
            settle().await;
            script.say("never read");
        } else {
            page.stream.0.reset(9_u32.into()).unwrap();
        }
        assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
        assert!(page.browser.closed().await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_has_stalled_after_the_write_timeout() {
    let (_running, page, mut script) = open().await;
    let stalled = Instant::now();
    script.say("m".repeat(10_000));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Stalled));
    assert!(stalled.elapsed() >= Config::default().write_timeout);
    assert_eq!(page.browser.closed().await, Some((4_002, "silence".into())));
}

/// Two that read slower than the timeout would have it, but do read.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_in_time_is_not_lost() {
    let (_running, mut page, mut script) = open().await;
    for _ in 0..3 {
        let message = "m".repeat(10_000);
        script.say(message.clone());
        tokio::time::sleep(Config::default().write_timeout * 2 / 3).await;
        let mut heard = vec![0; 10_001];
        page.stream.1.read_exact(&mut heard).await.unwrap();
    }
    assert!(script.is_quiet());
    script.close("", advice_after(CloseCode::DRAIN, "drain", 1_000));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
}

/// The trap: while nobody accepts, new clients hang.
#[tokio::test(start_paused = true)]
async fn a_draining_gateway_tells_new_clients_so_in_frames() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    gate.refuse_all("come back later", advice_after(CloseCode::DRAIN, "drain", 1_000));
    let mut page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    assert_eq!(page.next().await, Heard::Message(Bytes::from_static(b"come back later\n")));
    let close = Some((4_000, "drain".into()));
    assert_eq!(page.next().await, Heard::Goodbye(Goodbye { close, ..Goodbye::default() }));
}

#[tokio::test(start_paused = true)]
async fn after_stop_new_clients_are_refused_and_links_have_time_for_their_goodbye() {
    let (running, mut page, mut script) = open().await;
    running.stop.cancel();
    settle().await;
    let (_socket, endpoint) = running.device();
    let refused = endpoint.connect(running.server(), "localhost").unwrap().await;
    assert!(refused.is_err(), "refused, and not left to wait");
    script.close("farewell", advice_after(CloseCode::DRAIN, "drain", 1_000));
    assert_eq!(page.stream.1.read_to_end(100).await.unwrap(), b"farewell\n");
    page.browser.close(0, "").await;
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
    running.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_link_that_does_not_end_is_closed_after_stop() {
    let (running, page, mut script) = open().await;
    running.stop.cancel();
    assert_eq!(page.browser.closed().await, Some((4_000, "drain".into())));
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
    running.serving.await.unwrap();
}

/// The trap: `wtransport::Endpoint::accept` panics when the endpoint is closed under it.
#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_socket_fails_ends_and_does_not_panic() {
    let (running, _page, mut script) = open().await;
    running.socket.fail();
    running.serving.await.unwrap();
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
}

/// A link in text that has said hello.
async fn open() -> (Running, Page, Script) {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"hello")));
    (running, page, script)
}
