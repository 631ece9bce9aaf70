//! What HTTP/3 says beside the session.

use bytes::Bytes;
use throughline_conformance::{Bounds, Event, Harness, Script, ScriptedGate, settle};
use throughline_link::LinkEnd;
use throughline_wire::Codec;

use crate::support::{Page, Running};

#[tokio::test(start_paused = true)]
async fn a_close_that_comes_in_pieces_behind_frames_that_mean_nothing_is_a_close() {
    let (_running, mut page, mut script) = open().await;
    // A frame of a reserved type (RFC 9114, 7.2.8), a capsule that is not known, and half a close.
    let close = [0x00, 0x0a, 0x68, 0x43, 0x07, 0, 0, 0x03, 0xe8, b'b', b'y', b'e'];
    let before = [&[0x21, 0x02, 1, 2][..], &[0x00, 0x03, 0x17, 0x01, 0]].concat();
    for byte in [&before[..], &close[..11]].concat() {
        page.browser.request.0.write_all(&[byte]).await.unwrap();
        settle().await;
    }
    assert!(script.is_quiet());
    page.browser.request.0.write_all(&close[11..]).await.unwrap();
    assert_eq!(script.next().await, Event::Ended(LinkEnd::ClosedByClient));
    // H3_NO_ERROR
    assert_eq!(page.browser.closed().await, Some((0x100, String::new())));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ends_without_a_word_closes_the_session() {
    let (_running, mut page, mut script) = open().await;
    page.browser.request.0.finish().unwrap();
    assert_eq!(script.next().await, Event::Ended(LinkEnd::ClosedByClient));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_broken_off_loses_the_link() {
    let (_running, mut page, mut script) = open().await;
    page.browser.request.0.reset(0x10c_u32.into()).unwrap();
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_frame_without_end_behind_the_request_is_a_breach_of_protocol() {
    let (_running, mut page, mut script) = open().await;
    page.browser.request.0.write_all(&[0x00, 0xbf, 0xff, 0xff, 0xff]).await.unwrap();
    let _ = page.browser.request.0.write_all(&[0; 8_000]).await;
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Protocol));
    // H3_EXCESSIVE_LOAD
    assert_eq!(page.browser.closed().await, Some((0x107, String::new())));
}

/// Browsers open them whenever they like, and streams of types that mean nothing too (RFC 9114, 6.2.3).
#[tokio::test(start_paused = true)]
async fn qpack_streams_may_come_late_and_once_and_others_are_refused() {
    let (_running, page, mut script) = open().await;
    let mut kept = Vec::new();
    for kind in [0x02, 0x03] {
        let mut stream = page.browser.connection.open_uni().await.unwrap();
        stream.write_all(&[kind]).await.unwrap();
        kept.push(stream);
    }
    let mut reserved = page.browser.connection.open_uni().await.unwrap();
    reserved.write_all(&[0x21]).await.unwrap();
    // H3_STREAM_CREATION_ERROR
    assert_eq!(reserved.stopped().await.unwrap().unwrap().into_inner(), 0x103);
    settle().await;
    assert!(script.is_quiet());
    let mut third = page.browser.connection.open_uni().await.unwrap();
    third.write_all(&[0x02]).await.unwrap();
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Protocol));
}

#[tokio::test(start_paused = true)]
async fn datagrams_of_another_session_are_nobodys() {
    let (_running, page, mut script) = open().await;
    for other in [&b"\x01other"[..], b"", b"\x40"] {
        page.browser.connection.send_datagram(Bytes::from_static(other)).unwrap();
    }
    page.browser.send_datagram(b"ours");
    assert_eq!(script.next().await, Event::ReceivedDatagram(Bytes::from_static(b"ours")));
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
