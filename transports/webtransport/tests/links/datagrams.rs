//! What may be lost.

use bytes::Bytes;
use throughline_conformance::{Bounds, Client, Event, Harness, Heard, ScriptedGate};
use throughline_wire::Codec;

use crate::support::{Page, Running, browser::Browser, without_datagrams};

#[tokio::test(start_paused = true)]
async fn what_may_be_lost_goes_both_ways_as_datagrams() {
    for codec in [Codec::Json, Codec::Bincode] {
        let gate = ScriptedGate::default();
        let page =
            Running::start(gate.clone(), Bounds::default()).open(codec, Bytes::from_static(b"hello")).await;
        let mut script = gate.next().await;
        assert!(script.request.datagrams);
        script.next().await;
        page.browser.send_datagram(b"up");
        assert_eq!(script.next().await, Event::ReceivedDatagram(Bytes::from_static(b"up")));
        script.say_what_may_be_lost("down");
        assert_eq!(page.browser.datagram().await, "down", "and no LF: a datagram is one frame");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_a_datagram_goes_on_the_stream() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let mut page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let script = gate.next().await;
    script.say_what_may_be_lost("m".repeat(3_000));
    script.say("after");
    hears(&mut page, &("m".repeat(3_000) + "\nafter\n")).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_datagrams_gets_all_on_the_stream() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let (socket, mut endpoint) = running.device();
    endpoint.set_default_client_config(without_datagrams());
    let connection = endpoint.connect(running.server(), "localhost").unwrap().await.unwrap();
    let browser = Browser::ask(socket, endpoint, connection, &[]).await;
    let mut page = Page::open(browser, Codec::Json).await;
    page.send(Bytes::from_static(b"hello")).await;
    gate.next().await.say_what_may_be_lost("down");
    hears(&mut page, "down\n").await;
}

/// More of them than one turn takes, in one packet: nothing else comes that would wake the link again.
#[tokio::test(start_paused = true)]
async fn a_burst_of_datagrams_arrives_whole() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    script.next().await;
    for n in 0..100_u8 {
        page.browser.send_datagram(&[n]);
    }
    for n in 0..100_u8 {
        assert_eq!(script.next().await, Event::ReceivedDatagram(Bytes::copy_from_slice(&[n])));
    }
}

/// The trap: one loop that takes everything in turn holds up the rest.
#[tokio::test(start_paused = true)]
async fn a_flood_of_datagrams_and_streams_does_not_hold_up_frames() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let mut page = running.open(Codec::Json, Bytes::from_static(b"hello")).await;
    let mut script = gate.next().await;
    script.next().await;
    let connection = page.browser.connection.clone();
    let datagrams = async {
        loop {
            let _ = connection.send_datagram_wait(Bytes::from_static(b"\0flood")).await;
            tokio::task::yield_now().await;
        }
    };
    let streams = async {
        loop {
            let _both_ways = page.browser.stream().await;
            let _one_way = page.browser.one_way_stream().await;
            tokio::task::yield_now().await;
        }
    };
    let frames = async {
        for n in 0..100 {
            let frame = Bytes::from(format!("frame {n}"));
            page.stream.0.write_all(&[&frame[..], b"\n"].concat()).await.unwrap();
            let mut datagrams = 0;
            while script.next().await != Event::Received(frame.clone()) {
                datagrams += 1;
                assert!(datagrams < 10_000, "the flood starves the stream");
            }
            script.say("heard");
            let mut heard = [0; 6];
            page.stream.1.read_exact(&mut heard).await.unwrap();
        }
    };
    tokio::select! {
        () = frames => {}
        () = async { tokio::join!(datagrams, streams); } => {}
    }
}

async fn hears(page: &mut Page, expected: &str) {
    let mut heard = Vec::new();
    while heard.len() < expected.len() {
        let Heard::Message(piece) = page.next().await else { panic!("the link ended") };
        heard.extend_from_slice(&piece);
    }
    assert_eq!(heard, expected.as_bytes());
}
