//! Deadlines: heartbeats and silence, the hold of a poll, a probe's patience, and how long a session waits.

use throughline::session::{Ending, LinkId};
use throughline_wire::UpFrame;

use super::bench::*;

const HEARTBEAT_MS: u64 = 15_000;
const HOLD_MS: u64 = 25_000;
const RESUME_MS: u64 = 120_000;

/// Opened by a WebSocket whose client has confirmed the nonce.
fn on_a_stream() -> (World, LinkId) {
    let (mut world, stream) = World::open(websocket(1));
    world.prove_after_reading(stream);
    (world, stream)
}

fn answer_ping(world: &mut World, stream: LinkId) {
    let said = world.read(stream);
    let [ping] = &said[..] else { panic!("{said:?}") };
    let nonce = ping.strip_prefix("ping ").expect("a ping with a nonce").parse().unwrap();
    world.say(stream, UpFrame::Pong { nonce: Some(nonce) }).unwrap();
}

#[test]
fn a_stream_is_pinged_and_lives_while_it_answers() {
    let (mut world, stream) = on_a_stream();
    for _ in 0..50 {
        assert!(world.read(stream).is_empty());
        world.wait(HEARTBEAT_MS);
        answer_ping(&mut world, stream);
    }
    assert_eq!(world.ended, None);
}

#[test]
fn a_stream_that_does_not_answer_a_ping_ends_and_the_session_waits() {
    let (mut world, stream) = on_a_stream();
    world.wait(HEARTBEAT_MS);
    assert_eq!(world.read(stream).len(), 1);
    world.wait(HEARTBEAT_MS - 1);
    assert!(world.read(stream).is_empty());
    world.wait(1);
    assert_eq!(world.read(stream), ["retry silence", "close silence"]);
    assert_eq!(world.due_in(), Some(RESUME_MS));
    let link = world.come(poll(2));
    assert!(world.read(link).is_empty());
}

#[test]
fn whatever_is_heard_on_a_stream_counts_as_an_answer() {
    let (mut world, stream) = on_a_stream();
    for _ in 0..4 {
        world.wait(HEARTBEAT_MS);
        world.read(stream);
        world.say(stream, UpFrame::Extension).unwrap();
    }
    world.wait(HEARTBEAT_MS);
    assert!(world.read(stream)[0].starts_with("ping"));
}

#[test]
fn what_is_posted_says_nothing_about_a_stream() {
    let (mut world, stream) = on_a_stream();
    world.wait(HEARTBEAT_MS);
    world.read(stream);
    world.post(stream, UpFrame::Ack { up_to: 0 }).unwrap();
    world.wait(HEARTBEAT_MS);
    assert_eq!(world.read(stream), ["retry silence", "close silence"]);
}

#[test]
fn a_stream_without_a_way_up_is_pinged_and_nobody_has_to_answer() {
    let (mut world, stream) = World::open(sse(1).saying(commands(1, [subscribe("a")])));
    world.read(stream);
    world.post(stream, UpFrame::Ack { up_to: 1 }).unwrap();
    for _ in 0..20 {
        world.wait(HEARTBEAT_MS);
        assert_eq!(world.read(stream), ["ping"]);
    }
}

#[test]
fn a_parked_poll_has_no_heartbeat_and_is_answered_when_its_hold_is_over() {
    let (mut world, _) = on_a_stream();
    let parked = world.come(poll(2));
    assert_eq!(world.due_in(), Some(HOLD_MS));
    world.wait(HOLD_MS - 1);
    assert!(world.read(parked).is_empty());
    world.wait(1);
    assert_eq!(world.read(parked), ["ack 0", "ping"], "and is told the window");
    assert_eq!(world.ended, None);
}

#[test]
fn a_client_that_polls_is_told_the_window_once_a_heartbeat_however_often_it_is_answered() {
    // Answered soon, as often as there is a heartbeat, and less often.
    for every_ms in [1_000, HEARTBEAT_MS, 20_000] {
        let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
        world.read(link);
        let mut told = 0;
        for number in 1..=60_000 / every_ms {
            let link = world.come(poll(number + 1).after(number));
            world.wait(every_ms);
            world.publish("a", 1);
            told += world.read(link).iter().filter(|line| *line == "ping").count();
        }
        assert_eq!(told as u64, (60_000 / every_ms).min(60_000 / HEARTBEAT_MS), "each {every_ms} ms");
    }
}

#[test]
fn a_hold_begins_with_its_poll() {
    let (mut world, _) = on_a_stream();
    let first = world.come(poll(2));
    world.wait(HOLD_MS - 1);
    let second = world.come(poll(2));
    assert_eq!(world.read(first), ["ack 0"]);
    world.wait(HOLD_MS - 1);
    assert!(world.read(second).is_empty());
}

#[test]
fn a_probe_that_is_never_confirmed_is_told_so_and_the_link_that_works_is_not() {
    let (mut world, _) = on_a_stream();
    let parked = world.come(poll(2));
    let standby = world.come(probe());
    world.read(standby);
    world.wait(HEARTBEAT_MS);
    assert_eq!(world.read(standby), ["retry silence", "close silence"]);
    assert!(world.read(parked).is_empty());
}

#[test]
fn a_probe_that_took_over_is_kept_by_heartbeats() {
    let (mut world, _) = on_a_stream();
    let standby = world.come(probe());
    world.read(standby);
    world.prove(standby);
    world.wait(HEARTBEAT_MS - 1);
    world.say(standby, attach(2, 0)).unwrap();
    world.wait(1);
    assert!(world.read(standby).is_empty(), "its patience as a probe is over, not its life");
    world.wait(HEARTBEAT_MS - 1);
    answer_ping(&mut world, standby);
}

#[test]
fn a_ping_is_confirmed_on_its_own_link_alone() {
    let (mut world, stream) = on_a_stream();
    let standby = world.come(probe());
    world.read(standby);
    // A pong with the probe's nonce, on the other stream.
    world.say(stream, UpFrame::Pong { nonce: Some(standby.0) }).unwrap();
    assert!(world.say(standby, attach(2, 0)).is_err());
}

#[test]
fn a_detached_session_waits_for_the_resume_window_and_ends() {
    let (mut world, stream) = on_a_stream();
    world.wait(5_000);
    world.cut(stream);
    assert_eq!(world.due_in(), Some(RESUME_MS));
    world.wait(RESUME_MS - 1);
    assert_eq!(world.ended, None);
    world.wait(1);
    assert_eq!((world.ended, world.due_in()), (Some(Ending::Expired), None));
}

#[test]
fn each_detach_begins_the_resume_window_anew() {
    let (mut world, stream) = on_a_stream();
    world.cut(stream);
    for number in 2..6 {
        world.wait(RESUME_MS - 1);
        let link = world.come(poll(number).asking());
        world.read(link);
    }
    world.wait(RESUME_MS - 1);
    assert_eq!(world.ended, None);
}

#[test]
fn an_answer_that_is_written_detaches_and_a_parked_poll_does_not() {
    let (mut world, _) = on_a_stream();
    let parked = world.come(poll(2));
    world.wait(20_000);
    assert_eq!(world.due_in(), Some(5_000), "the hold, not the session's end");
    world.wait(5_000);
    world.read(parked);
    assert_eq!(world.due_in(), Some(RESUME_MS));
}

#[test]
fn a_probe_does_not_keep_a_session_that_nobody_attaches_to() {
    let (mut world, stream) = on_a_stream();
    world.cut(stream);
    for _ in 0..12 {
        let standby = world.come(probe());
        world.read(standby);
        world.wait(10_000);
        world.cut(standby);
    }
    assert_eq!(world.ended, Some(Ending::Expired));
}

#[test]
fn a_session_that_ends_tells_each_of_its_links() {
    let (mut world, stream) = on_a_stream();
    let standby = world.come(probe());
    world.read(standby);
    world.say(stream, UpFrame::Bye).unwrap();
    assert_eq!(world.read(stream), ["close ended"]);
    assert_eq!(world.read(standby), ["close ended"]);
    assert_eq!(world.due_in(), None);
}

#[test]
fn a_link_that_was_fenced_waits_for_nothing() {
    let (mut world, stream) = on_a_stream();
    let parked = world.come(poll(2));
    world.wait(HEARTBEAT_MS);
    assert_eq!(world.due_in(), Some(HOLD_MS - HEARTBEAT_MS));
    assert_eq!(world.read(stream), ["retry superseded", "close superseded"]);
    assert!(world.read(parked).is_empty());
}
