//! Clients that do what nobody should.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use throughline_conformance::{Bounds, Client, Event, Harness, ScriptedGate, settle};
use throughline_link::{Fault, LinkEnd};
use throughline_wire::Codec;
use tokio::runtime;

use crate::support::{Running, browser::say_settings};

/// The trap: a code that is not mapped does not reach the page.
#[tokio::test(start_paused = true)]
async fn whatever_else_a_client_opens_is_refused_with_a_mapped_code() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let mut page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    script.next().await;
    // 1003, by the formula of the draft.
    let mapped = 0x52e4_a40f_a8db + 1_003 + 1_003 / 0x1e;
    // More than may be open at once: each that is refused makes room.
    for _ in 0..20 {
        let (down, mut up) = page.browser.stream().await;
        assert_eq!(down.stopped().await.unwrap().unwrap().into_inner(), mapped);
        let reset = up.read(&mut [0; 10]).await.unwrap_err();
        assert!(reset.to_string().contains(&mapped.to_string()), "{reset}");
        let one_way = page.browser.one_way_stream().await;
        assert_eq!(one_way.stopped().await.unwrap().unwrap().into_inner(), mapped);
    }
    page.send(Bytes::from_static(b"still here")).await;
    assert_eq!(script.next().await, Event::Received(Bytes::from_static(b"still here")));
}

/// A stream that never says what it is holds a place, and holds up nothing else.
#[tokio::test(start_paused = true)]
async fn streams_that_never_say_what_they_are_hold_up_nothing() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let mut page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    script.next().await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        let (mut both_ways, up) = page.browser.connection.open_bi().await.unwrap();
        both_ways.write_all(&[0x40]).await.unwrap();
        let mut one_way = page.browser.connection.open_uni().await.unwrap();
        one_way.write_all(&[0x40]).await.unwrap();
        silent.push((both_ways, up, one_way));
    }
    settle().await;
    page.send(Bytes::from_static(b"still here")).await;
    page.browser.send_datagram(b"and here");
    let mut heard = [script.next().await, script.next().await];
    heard.sort_by_key(|event| matches!(event, Event::ReceivedDatagram(_)));
    assert_eq!(heard[0], Event::Received(Bytes::from_static(b"still here")));
    assert_eq!(heard[1], Event::ReceivedDatagram(Bytes::from_static(b"and here")));
}

/// They would overflow what decodes them.
#[tokio::test(start_paused = true)]
async fn a_request_with_an_integer_of_too_many_bytes_is_a_breach_of_protocol() {
    let running = Running::start(ScriptedGate::default(), Bounds::default());
    let endless = [&[0xff][..], &[0x80; 12], &[0x01]].concat();
    // How much of the dynamic table it wants, a place in the static one, and the length of a name.
    let name = [&[0, 0, 0x27][..], &endless[1..]].concat();
    for section in [endless.clone(), [&[0, 0][..], &endless].concat(), name] {
        let (_socket, _endpoint, connection) = running.dial().await;
        let _control = say_settings(&connection).await;
        let (mut request, _answer) = connection.open_bi().await.unwrap();
        request.write_all(&[&[0x01, section.len() as u8][..], &section].concat()).await.unwrap();
        let closed = connection.closed().await.to_string();
        // QPACK_DECOMPRESSION_FAILED
        assert!(closed.contains("512"), "{closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_is_none_is_refused_and_ends_the_link() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let mut page = running.open(Codec::Bincode, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    script.next().await;
    page.stream.0.write_all(&[255]).await.unwrap();
    assert_eq!(script.next().await, Event::Refused(Fault::Protocol));
    // 1002, mapped.
    let mapped = 0x52e4_a40f_a8db + 1_002 + 1_002 / 0x1e;
    assert_eq!(page.stream.0.stopped().await.unwrap().unwrap().into_inner(), mapped);
    assert_eq!(page.stream.1.read_to_end(100).await.unwrap(), b"malformed_frame");
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Protocol));
}

#[tokio::test(start_paused = true)]
async fn a_second_control_stream_ends_the_link_as_a_breach_of_protocol() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    script.next().await;
    let _control = say_settings(&page.browser.connection).await;
    assert_eq!(script.next().await, Event::Ended(LinkEnd::Protocol));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A panic would drop the peer, and the link would be lost.
    #[test]
    fn random_bytes_on_the_stream_never_panic(
        pieces in vec(vec(prop_oneof![any::<u8>(), Just(b'\n'), 0..6_u8], 0..300), 0..6),
        is_text: bool,
        datagram in vec(any::<u8>(), 0..50),
    ) {
        paused(async {
            let gate = ScriptedGate::default();
            let running = Running::start(gate.clone(), Bounds::default());
            let codec = if is_text { Codec::Json } else { Codec::Bincode };
            let mut page = running.open(codec, Bytes::from_static(b"hello")).await;
            let mut script = gate.next().await;
            for piece in &pieces {
                // It may have been refused already.
                let _ = page.stream.0.write_all(piece).await;
                page.browser.send_datagram(&datagram);
                settle().await;
            }
            page.leave().await;
            let end = loop {
                if let Event::Ended(end) = script.next().await {
                    break end;
                }
            };
            assert_ne!(end, LinkEnd::Lost);
        });
    }

    #[test]
    fn random_bytes_in_place_of_http_3_never_panic(
        control in vec(any::<u8>(), 0..60),
        request in vec(any::<u8>(), 0..60),
        knows_its_type: bool,
        datagram in vec(any::<u8>(), 0..20),
    ) {
        paused(async {
            let gate = ScriptedGate::default();
            let running = Running::start(gate.clone(), Bounds::default());
            let (_socket, _endpoint, connection) = running.dial().await;
            if let Ok(mut stream) = connection.open_uni().await {
                let first: &[u8] = if knows_its_type { &[0x00] } else { &[] };
                let _ = stream.write_all(&[first, &control].concat()).await;
                if let Ok((mut send, _recv)) = connection.open_bi().await {
                    let first: &[u8] = if knows_its_type { &[0x01] } else { &[] };
                    let _ = send.write_all(&[first, &request].concat()).await;
                    let _ = connection.send_datagram(datagram.into());
                    settle().await;
                }
            }
            connection.close(0_u32.into(), b"");
            // The endpoint is as it was.
            let _page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
            gate.next().await;
            assert!(!running.serving.is_finished());
        });
    }
}

/// Runs with the clock paused.
fn paused(test: impl Future<Output = ()>) {
    runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test);
}
