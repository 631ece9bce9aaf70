//! The sentences. Three groups, by what a link can do: `links` for all; `streams` for those that stay open; `requests`
//! for those that open with the body of an HTTP request.

use std::time::Duration;

use bytes::Bytes;
use throughline_link::{Advice, Fault, LinkEnd, Opening, Shape, answer::READ_ON};
use throughline_wire::{CloseCode, Codec};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    time::Instant,
};

use crate::{Bounds, Client, Event, Goodbye, Harness, Heard, Script, ScriptedGate, advice_after, settle};

/// Makes a test of each sentence of the named groups: `suite!(Adapter, links, streams, requests)`.
#[macro_export]
macro_rules! suite {
    (@links $harness:ty) => { $crate::suite!(@tests $harness:
        a_link_opens_with_what_is_known_of_it
        every_message_arrives_whole_and_in_order_up
        every_message_arrives_whole_and_in_order_down
        a_close_carries_its_advice
        a_close_without_a_message_carries_its_advice_too
        an_oversized_message_is_refused_by_name
        a_message_in_the_wrong_codec_is_refused_by_name
        a_client_that_is_cut_off_loses_its_link_at_once
        a_client_that_leaves_ends_its_link
    ); };
    (@streams $harness:ty) => { $crate::suite!(@tests $harness:
        what_comes_while_a_write_is_under_way_goes_out_in_one_batch
        a_stalled_reader_stops_the_pulls
        a_stalled_reader_that_is_cut_off_loses_its_link
        a_message_larger_than_the_budget_arrives_whole
        a_close_waits_for_what_was_said_before
        a_peer_that_rests_is_handed_nothing_and_heard_all_the_same
    ); };
    (@requests $harness:ty) => { $crate::suite!(@tests $harness:
        a_message_that_takes_too_long_is_refused_by_name
        an_oversized_message_is_heard_out_but_not_for_ever
        a_client_that_breaks_off_while_it_sends_is_lost
        a_message_in_many_pieces_arrives_whole
        another_method_is_refused_and_opens_no_link
        a_message_without_a_type_is_text
        every_answer_forbids_caches_and_buffers
    ); };
    (@tests $harness:ty: $($sentence:ident)+) => { $(
        #[tokio::test(start_paused = true)]
        async fn $sentence() {
            $crate::suite::$sentence::<$harness>().await;
        }
    )+ };
    ($harness:ty $(, $group:ident)+) => { $($crate::suite!(@$group $harness);)+ };
}

/// The gate learns the transport, its shape, the codec and the request's headers.
pub async fn a_link_opens_with_what_is_known_of_it<H: Harness>() {
    for &codec in H::CODECS {
        let (_client, script) = open::<H>(codec, "hello").await;
        assert_eq!(script.request.transport, H::NAME);
        assert_eq!(script.request.shape, H::SHAPE);
        assert_eq!(script.request.codec, codec);
        assert!(script.request.headers.contains_key("host"));
    }
}

/// From no byte to as many as are allowed.
pub async fn every_message_arrives_whole_and_in_order_up<H: Harness>() {
    let sizes = [0, 1, 125, 126, 4_096, 65_535, Bounds::default().max_message_bytes];
    for &codec in H::CODECS {
        let gate = ScriptedGate::default();
        let harness = H::start(gate.clone(), Bounds::default());
        let mut duplex = None;
        for size in sizes {
            let message = Bytes::from("m".repeat(size));
            let (client, mut script) = match duplex.take() {
                None => opened(&harness, &gate, codec, message.clone()).await,
                Some((client, script)) => {
                    let mut client: H::Client = client;
                    client.send(message.clone()).await;
                    (client, script)
                }
            };
            if let Some(message) = H::arrives(codec, &message) {
                assert_eq!(script.next().await, Event::Received(message), "{size} bytes");
            }
            if H::SHAPE == Shape::Duplex {
                duplex = Some((client, script));
            }
        }
    }
}

/// Frames of many sizes, over one link where it stays open, and a few to a request where it does not.
pub async fn every_message_arrives_whole_and_in_order_down<H: Harness>() {
    for &codec in H::CODECS {
        let gate = ScriptedGate::default();
        let harness = H::start(gate.clone(), Bounds::default());
        let mut frames = (0..500).map(|n| frame(n, n * 7 % 3_000));
        let per_link = if is_stream::<H>() { 500 } else { 5 };
        for _ in 0..500 / per_link {
            let (mut client, script) = opened(&harness, &gate, codec, Bytes::new()).await;
            let mut expected = String::new();
            for frame in frames.by_ref().take(per_link) {
                expected += &frame;
                script.say(frame);
            }
            hears(&mut client, &expected).await;
        }
    }
}

/// Whoever says too much is not read for a while, and nothing of it is lost. Where nothing more comes up, nothing rests.
pub async fn a_peer_that_rests_is_handed_nothing_and_heard_all_the_same<H: Harness>() {
    for &codec in H::CODECS.iter().filter(|_| H::SHAPE == Shape::Duplex) {
        let (mut client, mut script) = open::<H>(codec, "hello").await;
        has_opened(&mut script).await;
        script.rest(true);
        settle().await;
        for n in 0..3 {
            client.send(frame(n, 100).into()).await;
        }
        script.say("still here");
        hears(&mut client, "still here").await;
        settle().await;
        assert!(script.is_quiet());
        script.rest(false);
        for n in 0..3 {
            let message = H::arrives(codec, &frame(n, 100).into()).expect("a message that arrives");
            assert_eq!(script.next().await, Event::Received(message));
        }
    }
}

/// The last message, then what the transport can say of the advice.
pub async fn a_close_carries_its_advice<H: Harness>() {
    for &codec in H::CODECS {
        let (mut client, mut script) = open::<H>(codec, "hello").await;
        has_opened(&mut script).await;
        script.close("farewell", advice_after(CloseCode::DRAIN, "drain", 2_500));
        hears(&mut client, "farewell").await;
        says_to_come_back(client.next().await);
        assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
    }
}

/// There need be no last message.
pub async fn a_close_without_a_message_carries_its_advice_too<H: Harness>() {
    let (mut client, mut script) = open::<H>(H::CODECS[0], "hello").await;
    has_opened(&mut script).await;
    script.close("", advice_after(CloseCode::DRAIN, "drain", 2_500));
    let mut heard = client.next().await;
    if heard == Heard::Message(Bytes::new()) {
        heard = client.next().await;
    }
    says_to_come_back(heard);
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
}

/// One byte too many. The advice reaches the client although it was still sending.
pub async fn an_oversized_message_is_refused_by_name<H: Harness>() {
    for &codec in H::CODECS {
        for excess in [1, 1_000, 200_000] {
            let message = "m".repeat(Bounds::default().max_message_bytes + excess);
            let (client, script) = open::<H>(codec, &message).await;
            is_refused(client, script, Fault::TooLarge, CloseCode::TOO_LARGE, 413).await;
        }
    }
}

/// Binary on a text link, text on a binary one, a media type that is neither.
pub async fn a_message_in_the_wrong_codec_is_refused_by_name<H: Harness>() {
    let gate = ScriptedGate::default();
    let client = H::start(gate.clone(), Bounds::default()).open_in_wrong_codec().await;
    is_refused(client, gate.next().await, Fault::WrongCodec, CloseCode::UNSUPPORTED_DATA, 415).await;
}

/// Nobody has to write to find out.
pub async fn a_client_that_is_cut_off_loses_its_link_at_once<H: Harness>() {
    let (client, mut script) = open::<H>(H::CODECS[0], "hello").await;
    has_opened(&mut script).await;
    settle().await;
    assert!(script.is_quiet());
    drop(client);
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
}

/// A transport without a word for it loses the link.
pub async fn a_client_that_leaves_ends_its_link<H: Harness>() {
    let (client, mut script) = open::<H>(H::CODECS[0], "hello").await;
    has_opened(&mut script).await;
    client.leave().await;
    let end = if H::SHAPE == Shape::Duplex { LinkEnd::ClosedByClient } else { LinkEnd::Lost };
    assert_eq!(script.next().await, Event::Ended(end));
}

/// The pull is the coalescing.
pub async fn what_comes_while_a_write_is_under_way_goes_out_in_one_batch<H: Harness>() {
    for &codec in H::CODECS {
        let (mut client, script) = open::<H>(codec, "hello").await;
        let mut expected = fill(&script).await;
        let pulls = script.pulls();
        for n in 0..50 {
            let frame = frame(n, 20);
            expected += &frame;
            script.say(frame);
            settle().await;
        }
        assert_eq!(script.pulls(), pulls, "nothing is pulled while a write is under way");
        hears(&mut client, &expected).await;
        assert!(script.pulls() <= pulls + 2, "{} pulls for what waited", script.pulls() - pulls);
    }
}

/// However much there is to say, the link holds a message or two.
pub async fn a_stalled_reader_stops_the_pulls<H: Harness>() {
    for &codec in H::CODECS {
        let (_client, script) = open::<H>(codec, "hello").await;
        let total = 1_000;
        for n in 0..total {
            script.say(frame(n, 4_000));
        }
        settle().await;
        let waiting = script.waiting();
        let held_bytes = (total - waiting) * 4_000;
        assert!(held_bytes <= 64 * 1024, "{held_bytes} bytes left the peer for a client that does not read");
        script.say(frame(total, 4_000));
        settle().await;
        assert_eq!(script.waiting(), waiting + 1);
    }
}

/// A write that will never end does not hide that the client is gone: it is known at once, or, where a cut tells nothing,
/// once the write has taken too long.
pub async fn a_stalled_reader_that_is_cut_off_loses_its_link<H: Harness>() {
    let (client, mut script) = open::<H>(H::CODECS[0], "hello").await;
    has_opened(&mut script).await;
    fill(&script).await;
    drop(client);
    let cut = Instant::now();
    match script.next().await {
        Event::Ended(LinkEnd::Lost) => assert_eq!(cut.elapsed(), Duration::ZERO),
        event => assert_eq!(event, Event::Ended(LinkEnd::Stalled)),
    }
}

/// A budget bounds how much is gathered, never how large one item may be.
pub async fn a_message_larger_than_the_budget_arrives_whole<H: Harness>() {
    for &codec in H::CODECS {
        let (mut client, script) = open::<H>(codec, "hello").await;
        let large = frame(1, 50 * Bounds::default().budget_bytes);
        script.say(large.clone());
        hears(&mut client, &large).await;
    }
}

/// Closing cuts nothing off.
pub async fn a_close_waits_for_what_was_said_before<H: Harness>() {
    let (mut client, mut script) = open::<H>(H::CODECS[0], "hello").await;
    has_opened(&mut script).await;
    let expected = fill(&script).await;
    script.close("farewell", advice_after(CloseCode::DRAIN, "drain", 2_500));
    hears(&mut client, &(expected + "farewell")).await;
    says_to_come_back(client.next().await);
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
}

/// A body that trickles is cut.
pub async fn a_message_that_takes_too_long_is_refused_by_name<H: Harness>() {
    let gate = ScriptedGate::default();
    let mut pipe = H::start(gate.clone(), Bounds::default()).connect();
    pipe.write_all(&post("content-length: 10\r\n", b"12345")).await.unwrap();
    let mut script = gate.next().await;
    settle().await;
    assert!(script.is_quiet());
    tokio::time::sleep(Bounds::default().body_timeout).await;
    assert!(!script.is_quiet());
    assert_eq!(script.next().await, Event::Refused(Fault::TooSlow));
    let mut answer = String::new();
    pipe.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("timed_out"), "{answer}");
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
}

/// An answer to a client that is still sending is lost with the connection, so much of it is read, and none kept.
pub async fn an_oversized_message_is_heard_out_but_not_for_ever<H: Harness>() {
    let max_bytes = Bounds::default().max_message_bytes;
    for (bytes, is_heard_out) in
        [(max_bytes + 1, true), (max_bytes * READ_ON, true), (max_bytes * READ_ON * 2, false)]
    {
        for length in [format!("content-length: {bytes}\r\n"), "transfer-encoding: chunked\r\n".into()] {
            let gate = ScriptedGate::default();
            let (mut reading, mut writing) = split(H::start(gate.clone(), Bounds::default()).connect());
            let mut message = post(&length, b"");
            if length.contains("chunked") {
                message.extend_from_slice(format!("{bytes:x}\r\n").as_bytes());
            }
            message.resize(message.len() + bytes, b'm');
            if length.contains("chunked") {
                message.extend_from_slice(b"\r\n0\r\n\r\n");
            }
            let sending = tokio::spawn(async move { writing.write_all(&message).await.map(|()| writing) });
            assert_eq!(gate.next().await.next().await, Event::Refused(Fault::TooLarge));
            let mut head = [0; 12];
            reading.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 413");
            drop(tokio::io::copy(&mut reading, &mut tokio::io::sink()).await);
            assert_eq!(sending.await.unwrap().is_ok(), is_heard_out, "{bytes} bytes, {length}");
        }
    }
}

/// Half a message is none.
pub async fn a_client_that_breaks_off_while_it_sends_is_lost<H: Harness>() {
    let gate = ScriptedGate::default();
    let mut pipe = H::start(gate.clone(), Bounds::default()).connect();
    pipe.write_all(&post("content-length: 10\r\n", b"12345")).await.unwrap();
    let mut script = gate.next().await;
    drop(pipe);
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Lost));
}

/// As chunks, and as packets.
pub async fn a_message_in_many_pieces_arrives_whole<H: Harness>() {
    let gate = ScriptedGate::default();
    let mut pipe = H::start(gate.clone(), Bounds::default()).connect();
    pipe.write_all(&post("transfer-encoding: chunked\r\n", b"")).await.unwrap();
    for piece in [&b"3\r\none\r\n"[..], b"3\r\ntw", b"o\r\n5\r\nthree\r\n", b"0\r\n\r\n"] {
        pipe.write_all(piece).await.unwrap();
        settle().await;
    }
    assert_eq!(gate.next().await.next().await, Event::Received(Bytes::from_static(b"onetwothree")));
}

/// 405, with the methods that are allowed.
pub async fn another_method_is_refused_and_opens_no_link<H: Harness>() {
    let gate = ScriptedGate::default();
    let mut pipe = H::start(gate.clone(), Bounds::default()).connect();
    pipe.write_all(b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    pipe.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("POST"), "{answer}");
    assert!(tokio::time::timeout(Bounds::default().body_timeout, gate.next()).await.is_err());
}

/// So that it can be typed by hand.
pub async fn a_message_without_a_type_is_text<H: Harness>() {
    let gate = ScriptedGate::default();
    let mut pipe = H::start(gate.clone(), Bounds::default()).connect();
    pipe.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
    let mut script = gate.next().await;
    assert_eq!(script.request.codec, Codec::Json);
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"{}")));
}

/// The headers of docs/protocol.md, on an answer and on a refusal.
pub async fn every_answer_forbids_caches_and_buffers<H: Harness>() {
    let gate = ScriptedGate::default();
    gate.refuse_all("no", Advice { is_final: true, ..advice_after(CloseCode::FORBIDDEN, "forbidden", 0) });
    let harness = H::start(gate, Bounds::default());
    for method in ["POST", "PUT"] {
        let mut pipe = harness.connect();
        let head =
            format!("{method} / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        pipe.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        pipe.read_to_string(&mut answer).await.unwrap();
        for header in ["cache-control: no-store", "x-accel-buffering: no", "vary: origin", "content-type: "] {
            assert!(answer.contains(header), "{header} in {answer}");
        }
    }
}

async fn open<H: Harness>(codec: Codec, first: &str) -> (H::Client, Script) {
    let gate = ScriptedGate::default();
    let harness = H::start(gate.clone(), Bounds::default());
    opened(&harness, &gate, codec, Bytes::copy_from_slice(first.as_bytes())).await
}

async fn opened<H: Harness>(
    harness: &H,
    gate: &ScriptedGate,
    codec: Codec,
    first: Bytes,
) -> (H::Client, Script) {
    let client = harness.open(codec, first).await;
    (client, gate.next().await)
}

/// The message that opened the link has arrived, if one does.
async fn has_opened(script: &mut Script) {
    if script.request.opening == Opening::Message {
        assert!(matches!(script.next().await, Event::Received(_)));
    }
}

fn is_stream<H: Harness>() -> bool {
    matches!(H::SHAPE, Shape::Duplex | Shape::DownStream)
}

/// A frame that tells its number, `size` bytes and a few.
fn frame(number: usize, size: usize) -> String {
    format!("<{number}:{}>", "f".repeat(size))
}

/// Talks until the connection takes no more and a frame waits; gives what was said.
async fn fill(script: &Script) -> String {
    let mut said = String::new();
    for n in 0..64 {
        let frame = frame(n, Bounds::default().budget_bytes);
        said += &frame;
        script.say(frame);
        settle().await;
        if script.waiting() > 0 {
            return said;
        }
    }
    panic!("a megabyte left for a client that does not read");
}

/// The client hears exactly this, in however many messages.
async fn hears<C: Client>(client: &mut C, expected: &str) {
    let mut heard = String::new();
    while heard.len() < expected.len() {
        match client.next().await {
            Heard::Message(message) => {
                heard.extend(str::from_utf8(&message).expect("text").split('\n'));
            }
            end => panic!("{end:?} after {} of {} bytes", heard.len(), expected.len()),
        }
    }
    assert!(heard == expected, "{} bytes, not as they were said", heard.len());
}

/// The end of [`a_close_carries_its_advice`], in whatever words the transport has.
fn says_to_come_back(heard: Heard) {
    let Heard::Goodbye(Goodbye { close, retry_after_ms, .. }) = heard else { panic!("{heard:?}") };
    assert!(close.is_some() || retry_after_ms.is_some(), "no advice");
    assert!(close.is_none_or(|close| close == (4_000, "drain".into())));
    // In seconds it is rounded up, never down.
    assert!(retry_after_ms.is_none_or(|ms| ms == 2_500 || ms == 3_000), "{retry_after_ms:?}");
}

async fn is_refused<C: Client>(
    mut client: C,
    mut script: Script,
    fault: Fault,
    close: CloseCode,
    status: u16,
) {
    let name = fault.code().as_str();
    let event = script.next().await;
    assert_eq!(event, Event::Refused(fault));
    hears(&mut client, name).await;
    let Heard::Goodbye(goodbye) = client.next().await else { panic!("no goodbye") };
    assert!(goodbye.close.is_some() || goodbye.status.is_some(), "no advice");
    if let Some(told) = goodbye.close {
        assert_eq!(told, (close.0, name.to_owned()));
    }
    if let Some(told) = goodbye.status {
        assert_eq!(told, status);
    }
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Closed));
}

fn post(length: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n{length}connection: close\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
