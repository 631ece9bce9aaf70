//! A connection of HTTP/2 in a drain, frame by frame: what is under way on it is finished, and nothing more begins there.

use std::time::SystemTime;

use http::StatusCode;
use throughline::certificates::Certificates;
use tokio::io::AsyncWriteExt as _;

use crate::kit::{
    http2::{ACK, Caller, DATA, END_HEADERS, END_STREAM, Frame, HEADERS, PING, frame, preface},
    panics,
    secure::{EITHER, Secure, connect},
    speech::{Heard, frames, hello},
};

/// An event stream, and a poll whose body has not come yet.
const EVENTS: u32 = 1;
const POLL: u32 = 3;
/// What is asked once the connection has been told to go away.
const LATE: u32 = 5;

/// The head of a request in the indices of RFC 7541, appendix A: its method, `https`, and a path at `localhost`.
fn head(method: u8, path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).expect("it is short");
    [&[method, 0x87, 0x04, length], path.as_bytes(), b"\x01\x09localhost"].concat()
}
const GET: u8 = 0x82;
const POST: u8 = 0x83;

#[tokio::test]
async fn streams_under_way_are_finished_and_the_next_request_needs_a_new_connection() {
    let gateway =
        Secure::start(&Certificates::development(["localhost"], SystemTime::now()).expect("randomness"))
            .await;
    let mut stream = connect(gateway.clients, &[b"h2"], EITHER).await;
    let begun = [
        preface(),
        frame(HEADERS, END_HEADERS | END_STREAM, EVENTS, &head(GET, "/v1/events?channel=news")),
        frame(HEADERS, END_HEADERS, POLL, &head(POST, "/v1/poll")),
        frame(PING, 0, 0, b"are here"),
    ];
    stream.write_all(&begun.concat()).await.unwrap();
    let (mut events, mut is_heard) = (Vec::new(), false);
    while !is_heard || !String::from_utf8_lossy(&events).contains("subscribed") {
        let frame = Frame::read(&mut stream).await.expect("it is open");
        is_heard |= (frame.of_type, frame.flags) == (PING, ACK);
        if (frame.of_type, frame.stream) == (DATA, EVENTS) {
            events.extend(frame.payload);
        }
    }

    gateway.handle.drain(None);
    let (mut goodbyes, mut polled, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(heard) = Frame::read(&mut stream).await {
        if let Some((last, error)) = heard.goaway() {
            goodbyes.push((last, error));
            if last == POLL {
                // Now the body of the one, and another, which comes too late.
                let body = frame(DATA, END_STREAM, POLL, frames(&[hello()]).as_bytes());
                let late = frame(HEADERS, END_HEADERS | END_STREAM, LATE, &head(GET, "/healthz"));
                stream.write_all(&[late, body].concat()).await.unwrap();
            }
        }
        if (heard.of_type, heard.flags) == (PING, 0) {
            stream.write_all(&frame(PING, ACK, 0, &heard.payload)).await.unwrap();
        }
        if [DATA, HEADERS].contains(&heard.of_type) {
            assert_ne!(heard.stream, LATE, "nothing begins any more");
            if heard.flags & END_STREAM != 0 {
                ended.push(heard.stream);
            }
            if heard.of_type == DATA {
                if heard.stream == POLL { &mut polled } else { &mut events }.extend(heard.payload);
            }
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [EVENTS, POLL], "both are finished");
    // First that there will be an end, then, once that has been heard, where.
    assert_eq!(goodbyes, [(u32::MAX >> 1, 0), (POLL, 0)]);
    assert_eq!(Heard::read(&polled).retry(), Some("drain"), "{}", String::from_utf8_lossy(&polled));
    assert!(String::from_utf8_lossy(&events).contains("\"drain\""), "{}", String::from_utf8_lossy(&events));
    assert_eq!(Caller::connect(gateway.clients).await.get("/healthz").await.0, StatusCode::OK);
    panics::assert_none();
}
