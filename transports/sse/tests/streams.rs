//! What is peculiar to event streams: blocks, ids, and the status that stops an `EventSource`.

mod support;

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use support::{Running, Stream};
use throughline_conformance::{Bounds, Client, Event, Heard, ScriptedGate, advice_after, settle};
use throughline_link::{Advice, LinkEnd, Opening};
use throughline_wire::{CloseCode, ErrorCode};

async fn get(gate: &ScriptedGate, query: &str) -> Stream {
    let running = Running::start(gate.clone(), Bounds::default());
    running.call(Request::get(format!("/v1/events{query}")), Bytes::new()).await
}

async fn post(gate: &ScriptedGate) -> Stream {
    let running = Running::start(gate.clone(), Bounds::default());
    running
        .call(Request::post("/v1/events").header("content-type", "text/plain"), Bytes::from_static(b"hi"))
        .await
}

async fn block(stream: &mut Stream) -> String {
    stream.block().await.unwrap().expect("a block")
}

fn final_advice() -> Advice {
    let error = Some(ErrorCode::Forbidden);
    Advice { is_final: true, error, ..advice_after(CloseCode::FORBIDDEN, "forbidden", 1_000) }
}

#[tokio::test(start_paused = true)]
async fn an_address_names_channels_a_ticket_and_where_to_go_on() {
    let gate = ScriptedGate::default();
    let running = Running::start(gate.clone(), Bounds::default());
    let request =
        Request::get("/v1/events?channel=a%3A1&ticket=t&channel=b").header("last-event-id", "tag-7");
    let _stream = running.call(request, Bytes::new()).await;
    let opening = Opening::Address {
        channels: vec!["a:1".into(), "b".into()],
        ticket: Some("t".into()),
        resume_tag: Some("tag-7".into()),
    };
    assert_eq!(gate.next().await.request.opening, opening);
}

#[tokio::test(start_paused = true)]
async fn the_first_block_has_an_id_and_no_data_although_nothing_was_said() {
    let gate = ScriptedGate::default();
    gate.with_tags();
    let mut stream = get(&gate, "").await;
    assert_eq!(block(&mut stream).await, "id: tag-0");
}

#[tokio::test(start_paused = true)]
async fn the_id_stands_in_the_last_block_of_its_message() {
    let gate = ScriptedGate::default();
    gate.with_tags();
    gate.begin_with("one");
    gate.begin_with("two");
    let mut stream = get(&gate, "").await;
    assert_eq!(block(&mut stream).await, "id: tag-0");
    // A cut here must not skip the second frame.
    assert_eq!(block(&mut stream).await, "data: one");
    assert_eq!(block(&mut stream).await, "data: two\nid: tag-2");
    gate.next().await.say("three");
    assert_eq!(block(&mut stream).await, "data: three\nid: tag-3");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opened_with_a_message_gets_no_ids() {
    let gate = ScriptedGate::default();
    gate.with_tags();
    gate.begin_with("one");
    let mut stream = post(&gate).await;
    assert_eq!(block(&mut stream).await, "data: one");
}

#[tokio::test(start_paused = true)]
async fn what_is_final_stops_an_event_source() {
    let gate = ScriptedGate::default();
    gate.refuse_all("no", final_advice());
    let mut stream = get(&gate, "").await;
    assert_eq!(stream.response().await.unwrap().status(), 204);
    assert_eq!(stream.block().await.unwrap(), None);
    assert_eq!(gate.next().await.next().await, Event::Ended(LinkEnd::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_final_tells_an_event_source_when_to_come_back() {
    let gate = ScriptedGate::default();
    gate.refuse_all("later", advice_after(CloseCode::OVERLOAD, "overload", 2_500));
    let mut stream = get(&gate, "").await;
    let response = stream.response().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(block(&mut stream).await, "data: later\nretry: 2500");
    assert_eq!(stream.block().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opened_with_a_message_is_told_by_the_status_and_the_frame() {
    let gate = ScriptedGate::default();
    gate.refuse_all("no", final_advice());
    let mut stream = post(&gate).await;
    assert_eq!(stream.response().await.unwrap().status(), 403);
    assert_eq!(stream.next().await, Heard::Message(Bytes::from_static(b"no")));
}

#[tokio::test(start_paused = true)]
async fn the_head_waits_for_the_first_message_but_not_for_ever() {
    let gate = ScriptedGate::default();
    let mut stream = get(&gate, "").await;
    let script = gate.next().await;
    settle().await;
    script.close("no", final_advice());
    assert_eq!(stream.response().await.unwrap().status(), 204);

    let mut stream = get(&gate, "").await;
    let script = gate.next().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    script.close("no", final_advice());
    assert_eq!(stream.response().await.unwrap().status(), 200);
    assert_eq!(block(&mut stream).await, "data: no\nretry: 1000");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_too_long_is_refused_by_name() {
    let gate = ScriptedGate::default();
    // What a server reads of a head bounds it too; this is within it.
    let query = format!("?{}", "channel=a&".repeat(300));
    let mut stream = get(&gate, &query).await;
    assert_eq!(stream.next().await, Heard::Message(Bytes::from_static(b"message_too_large")));
}
