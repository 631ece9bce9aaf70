//! What the application is told of a session's life: each turn once, in order, and none of those between two polls.

use throughline::session::SessionConfig;
use throughline_wire::{SessionId, UpFrame};

use super::bench::*;

const GRACE_MS: u64 = 30_000;
const RESUME_MS: u64 = 120_000;

fn listening(config: &mut SessionConfig) {
    config.reports_life = true;
}

fn open(arrival: Arrival) -> (World, throughline::session::LinkId) {
    World::open_with(listening, arrival)
}

#[test]
fn a_session_is_opened_when_its_client_has_shown_that_it_knows_it() {
    let (mut world, stream) = open(websocket(1));
    assert!(world.read(stream).len() > 1);
    assert!(world.lived.is_empty(), "it is provisional");
    world.prove(stream);
    assert_eq!(world.lived, ["1 opened websocket"]);
    world.say(stream, UpFrame::Bye).unwrap();
    assert_eq!(world.lived, ["1 opened websocket", "2 ended bye"]);
}

#[test]
fn a_session_that_stays_provisional_has_no_life() {
    let (mut world, stream) = open(websocket(1));
    world.cut(stream);
    world.wait(10_000);
    assert!(world.ended.is_some());
    assert!(world.lived.is_empty());
}

#[test]
fn an_event_stream_by_address_is_opened_at_once_since_it_can_show_nothing() {
    let (world, _) = open(event_source());
    assert_eq!(world.lived, ["1 opened sse"]);
}

#[test]
fn polls_that_follow_each_other_are_one_opened() {
    let (mut world, first) = open(poll(1));
    world.read(first);
    world.part(first, throughline::session::Parting::Answered);
    for number in 2..20 {
        let link = world.come(poll(number).asking());
        world.read(link);
        world.part(link, throughline::session::Parting::Answered);
        world.wait(GRACE_MS - 1);
    }
    assert_eq!(world.lived, ["1 opened polling"]);
}

#[test]
fn a_session_without_a_link_is_lost_after_the_grace_and_resumed_by_the_next_attach() {
    let (mut world, stream) = open(websocket(1));
    world.prove_after_reading(stream);
    world.cut(stream);
    assert_eq!(world.due_in(), Some(GRACE_MS));
    world.wait(GRACE_MS - 1);
    assert_eq!(world.lived.len(), 1);
    world.wait(1);
    assert_eq!(world.lived[1..], ["2 lost"]);
    assert_eq!(world.due_in(), Some(RESUME_MS - GRACE_MS));
    let standby = world.come(probe());
    world.prove_after_reading(standby);
    assert_eq!(world.lived.len(), 2, "a probe is no return");
    world.say(standby, attach(2, 0)).unwrap();
    assert_eq!(world.lived[2..], ["3 resumed websocket"]);
    world.cut(standby);
    world.wait(GRACE_MS);
    let link = world.come(poll(3));
    world.read(link);
    assert_eq!(world.lived[3..], ["4 lost", "5 resumed polling"]);
}

#[test]
fn a_migration_and_a_page_that_is_loaded_again_are_no_news() {
    let (mut world, stream) = open(sse(1));
    world.prove_after_reading(stream);
    let standby = world.come(probe());
    world.prove_after_reading(standby);
    world.say(standby, attach(2, 0)).unwrap();
    world.cut(stream);
    world.cut(standby);
    world.wait(GRACE_MS - 1);
    let link = world.come(websocket(3).of("another page").at([]));
    world.read(link);
    assert_eq!(world.lived, ["1 opened sse"]);
}

#[test]
fn a_session_that_expires_was_lost_before_it_ended() {
    let (mut world, stream) = open(websocket(1));
    world.prove_after_reading(stream);
    world.cut(stream);
    world.wait(RESUME_MS);
    assert_eq!(world.lived[1..], ["2 lost", "3 ended expired"]);
}

#[test]
fn a_window_within_the_grace_ends_a_session_that_was_never_lost() {
    let within = |config: &mut SessionConfig| {
        listening(config);
        config.resume_window_ms = GRACE_MS;
    };
    let (mut world, stream) = World::open_with(within, websocket(1));
    world.prove_after_reading(stream);
    world.cut(stream);
    world.wait(GRACE_MS);
    assert_eq!(world.lived[1..], ["2 ended expired"]);
}

#[test]
fn presence_and_the_application_lose_a_session_at_the_same_moment() {
    let (mut world, stream) = open(websocket(1).saying(commands(1, [take_part("a")])));
    world.prove_after_reading(stream);
    let watching = world.open_beside(sse(1).saying(commands(1, [take_part("a")])));
    world.prove_after_reading(watching);
    assert_eq!(world.presences(watching), ["a state 1 2 of 2"]);
    world.ack(watching, 2);
    world.lived.clear();
    world.as_session(0, |world| world.cut(stream));
    world.wait(GRACE_MS);
    assert_eq!(world.lived, ["2 lost"]);
    assert_eq!(world.presences(watching), ["a leave 1 of 1"]);
}

#[test]
fn the_session_that_a_client_had_before_is_named_once() {
    let (mut world, stream) = open(websocket(1));
    let before = SessionId::from_random([9; 16]);
    world.replace(before);
    world.prove_after_reading(stream);
    assert_eq!(world.lived, [format!("1 opened websocket for {before}")]);
}

#[test]
fn where_nobody_listens_nothing_is_told_and_no_deadline_is_added() {
    let (mut world, stream) = World::open(websocket(1));
    world.replace(SessionId::from_random([9; 16]));
    world.prove_after_reading(stream);
    world.cut(stream);
    assert_eq!(world.due_in(), Some(RESUME_MS));
    world.wait(RESUME_MS);
    assert!(world.lived.is_empty());
}
