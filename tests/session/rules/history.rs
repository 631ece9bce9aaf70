//! What is remembered of the transports that a session was on or tried.

use throughline::session::{Attempt, Parting};
use throughline_wire::{AttemptOutcome, UpFrame, frame::Tried};

use super::bench::*;

fn tried(transport: &str, outcome: AttemptOutcome, took_ms: u64, ago_ms: u64) -> UpFrame {
    UpFrame::Tried(Tried { transport: transport.into(), outcome, took_ms, ago_ms })
}

fn attempts(world: &World) -> Vec<Attempt> {
    world.session().transports(world.now()).history
}

fn now(world: &World) -> Option<&'static str> {
    world.session().transports(world.now()).now.map(|link| link.transport)
}

/// The history as a person would write it down: `client websocket refused 41 x1`.
fn history(world: &World) -> Vec<String> {
    let line = |attempt: &Attempt| {
        let (by, transport, outcome) = (attempt.by.as_str(), attempt.transport, attempt.outcome);
        format!("{by} {transport} {outcome} {} x{}", attempt.took_ms, attempt.times)
    };
    attempts(world).iter().map(line).collect()
}

#[test]
fn a_run_of_polls_is_one_entry_that_spans_it() {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    world.read(link);
    for number in 2..7 {
        world.wait(100);
        let link = world.come(poll(number).after(1));
        world.wait(25_000);
        assert_eq!(world.read(link), ["ack 1", "ping"]);
    }
    assert_eq!(history(&world), ["gateway polling answered 125500 x6"]);
}

#[test]
fn every_link_is_remembered_by_how_it_ended() {
    let (mut world, first) = World::open(websocket(1));
    world.prove_after_reading(first);
    assert!(history(&world).is_empty(), "a session that has moved nowhere has no history");
    assert_eq!(now(&world), Some("websocket"));
    world.wait(1_000);
    let second = world.come(sse(2));
    world.read(first);
    world.wait(500);
    world.part(second, Parting::ClosedByClient);
    let third = world.come(websocket(3));
    world.wait(200_000); // it says nothing
    world.read(third);
    assert_eq!(
        history(&world),
        [
            "gateway websocket superseded 1000 x1",
            "gateway sse closed_by_client 500 x1",
            "gateway websocket silence 200000 x1",
        ]
    );
    assert_eq!(now(&world), None);
}

#[test]
fn a_link_that_breaks_before_it_is_told_goodbye_is_remembered_by_the_goodbye() {
    let (mut world, first) = World::open(websocket(1));
    world.prove_after_reading(first);
    world.come(poll(2));
    world.cut(first);
    assert_eq!(history(&world), ["gateway websocket superseded 0 x1"]);
}

#[test]
fn what_the_client_tells_stands_beside_what_the_gateway_saw() {
    let (mut world, link) = World::open(
        poll(1).saying(tried("webtransport", AttemptOutcome::Blocked, 3_000, 100)).saying(tried(
            "websocket",
            AttemptOutcome::Refused,
            41,
            900,
        )),
    );
    world.read(link);
    let began: Vec<_> = attempts(&world).iter().map(|attempt| world.now().wall_ms - attempt.at).collect();
    assert_eq!(began, [3_100, 941, 0], "an attempt is dated by its beginning");
    assert_eq!(
        history(&world),
        [
            "client webtransport blocked 3000 x1",
            "client websocket refused 41 x1",
            "gateway polling answered 0 x1",
        ]
    );
    assert_eq!(
        world.told,
        [("webtransport", AttemptOutcome::Blocked), ("websocket", AttemptOutcome::Refused)]
    );
}

#[test]
fn a_parked_poll_is_not_answered_for_what_a_client_tells() {
    let (mut world, link) = World::open(poll(1));
    world.read(link);
    let parked = world.come(poll(2).saying(tried("sse", AttemptOutcome::Buffered, 2_000, 0)));
    assert!(world.read(parked).is_empty());
    world.post(parked, tried("websocket", AttemptOutcome::Hung, 5_000, 0)).unwrap();
    assert!(world.read(parked).is_empty());
    assert_eq!(world.told.len(), 2);
}

#[test]
fn no_text_of_a_client_is_kept() {
    let (mut world, link) = World::open(websocket(1));
    world.say(link, tried("carrier-pigeon", AttemptOutcome::Other, u64::MAX >> 11, u64::MAX >> 11)).unwrap();
    assert_eq!(history(&world), [format!("client other other {} x1", u32::MAX)]);
    assert_eq!(world.told, [("other", AttemptOutcome::Other)]);
}

#[test]
fn the_oldest_entries_go_first() {
    let (mut world, link) = World::open(websocket(1));
    world.prove_after_reading(link);
    for round in 0..20 {
        world.wait(10_000);
        world.prove(link);
        let outcome = if round % 2 == 0 { AttemptOutcome::Lost } else { AttemptOutcome::Silent };
        world.say(link, tried("webtransport", outcome, round, 0)).unwrap();
    }
    let history = history(&world);
    assert_eq!(history.len(), 16);
    assert_eq!(
        (&*history[0], &*history[15]),
        ("client webtransport lost 4 x1", "client webtransport silent 19 x1")
    );
}

#[test]
fn whoever_tells_too_much_is_not_listened_to_for_a_while() {
    let (mut world, link) = World::open(websocket(1));
    world.prove_after_reading(link);
    for _ in 0..100 {
        world.say(link, tried("webtransport", AttemptOutcome::Lost, 1, 0)).unwrap();
    }
    assert_eq!((world.told.len(), world.dropped.len()), (20, 80));
    world.wait(10_000);
    world.say(link, tried("webtransport", AttemptOutcome::Lost, 1, 0)).unwrap();
    assert_eq!(world.told.len(), 21);
    assert!(world.read(link).iter().all(|line| !line.starts_with("error")), "it is never answered");
}
