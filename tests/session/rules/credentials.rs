//! How long a client's credential counts, and what is left of its session then.

use throughline::session::LinkId;
use throughline_wire::{MAX_INTEGER, UpFrame};

use super::bench::*;

const MINUTE_MS: u64 = 60_000;
const LEEWAY_MS: u64 = 30_000;
const RESUME_MS: u64 = 120_000;

/// On a stream whose client answers whatever it is asked, to a minute before its end.
fn on_a_stream_for_a_minute() -> (World, LinkId) {
    let (mut world, stream) = World::open(websocket(1));
    world.prove_after_reading(stream);
    world.credentials_for(Some(MINUTE_MS));
    (world, stream)
}

/// Lets time pass on a stream that is used; gives what was said beside pings.
fn pass(world: &mut World, stream: LinkId, ms: u64) -> Vec<String> {
    let mut said = Vec::new();
    for _ in 0..ms / 1_000 {
        world.wait(1_000);
        let _ = world.say(stream, UpFrame::Extension);
        said.extend(world.read(stream).into_iter().filter(|line| !line.starts_with("ping")));
    }
    said
}

#[test]
fn links_end_a_leeway_after_the_credential_and_the_session_waits() {
    let (mut world, stream) = on_a_stream_for_a_minute();
    assert!(pass(&mut world, stream, MINUTE_MS + LEEWAY_MS - 1_000).is_empty());
    assert!(world.has_credentials());
    let said = pass(&mut world, stream, 1_000);
    assert_eq!(said.last().map(String::as_str), Some("close unauthorized"), "{said:?}");
    assert!(!world.has_credentials());
    assert_eq!((world.ended, world.due_in()), (None, Some(RESUME_MS)), "it waits, and for nothing else");
    let poll = world.come(poll(2));
    world.credentials_for(Some(MINUTE_MS));
    assert!(world.read(poll).is_empty(), "it goes on as if nothing had been");
    assert!(world.has_credentials());
}

#[test]
fn a_fresh_credential_moves_the_end() {
    let (mut world, stream) = on_a_stream_for_a_minute();
    assert!(pass(&mut world, stream, MINUTE_MS).is_empty());
    world.credentials_for(Some(MINUTE_MS));
    assert!(pass(&mut world, stream, MINUTE_MS).is_empty());
    world.credentials_for(None);
    assert!(pass(&mut world, stream, 10 * MINUTE_MS).is_empty());
    world.credentials_for(Some(0));
    assert!(pass(&mut world, stream, LEEWAY_MS - 1_000).is_empty());
    assert!(!pass(&mut world, stream, 1_000).is_empty(), "also to an earlier time");
}

#[test]
fn a_probe_is_told_so_too() {
    let (mut world, stream) = on_a_stream_for_a_minute();
    world.credentials_for(Some(0));
    pass(&mut world, stream, LEEWAY_MS - 1_000);
    let probe = world.come(probe());
    world.read(probe);
    pass(&mut world, stream, 1_000);
    assert_eq!(world.read(probe).last().map(String::as_str), Some("close unauthorized"));
}

#[test]
fn whoever_is_away_when_the_credential_ends_is_waited_for_as_ever() {
    let (mut world, stream) = on_a_stream_for_a_minute();
    world.cut(stream);
    assert_eq!(world.due_in(), Some(RESUME_MS));
    world.wait(RESUME_MS - 1);
    assert_eq!(world.ended, None);
}

#[test]
fn an_end_that_no_number_of_the_protocol_can_tell_is_none() {
    for (end_ms, told) in [(MAX_INTEGER, " ends in 9007199254740991"), (MAX_INTEGER + 1, ""), (1 << 63, "")] {
        let (mut world, stream) = World::open(websocket(1));
        world.prove_after_reading(stream);
        world.credentials_for(Some(end_ms));
        let probe = world.come(probe());
        assert_eq!(world.read(probe)[0], format!("welcome back 1 next 1 received 0{told}"));
    }
}
