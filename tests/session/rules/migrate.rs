//! A move that the gateway asks for: it goes down the link that works, and changes nothing by itself.

use throughline_wire::frame::TransportOffer;

use super::bench::*;

fn offers() -> Vec<TransportOffer> {
    let offer = |name: &str| TransportOffer { name: name.into(), url: None, certificate_hashes: Vec::new() };
    vec![offer("webtransport"), offer("websocket")]
}

#[test]
fn a_stream_is_asked_at_once_and_goes_on() {
    let (mut world, link) = World::open(websocket(1).saying(commands(1, [subscribe("a")])));
    world.prove_after_reading(link);
    assert!(world.migrate(offers(), 100, 2_000));
    assert_eq!(world.read(link), ["migrate webtransport websocket after 100+2000"]);
    world.publish("a", 1);
    assert_eq!(world.read(link), ["2 event a 1"]);
}

#[test]
fn a_poll_that_is_held_is_answered_with_it() {
    let (mut world, link) = World::open(poll(1));
    world.read(link);
    let parked = world.come(poll(2));
    assert!(world.read(parked).is_empty());
    assert!(world.migrate(offers(), 0, 0));
    assert_eq!(world.read(parked), ["migrate webtransport websocket after 0+0"]);
    assert!(world.session().active().is_none(), "it was the poll's answer");
}

#[test]
fn nobody_is_asked_who_cannot_hear_it_or_cannot_move() {
    let (mut world, link) = World::open(poll(1));
    world.read(link);
    assert!(!world.migrate(offers(), 0, 0), "detached");
    let stream = world.come(event_source());
    world.read(stream);
    assert!(!world.migrate(offers(), 0, 0), "a plain event source");
    assert!(world.read(stream).is_empty());
}

#[test]
fn a_probe_that_stands_by_is_not_asked_and_the_newest_word_counts() {
    let (mut world, link) = World::open(sse(1));
    world.read(link);
    let standby = world.come(probe());
    world.prove_after_reading(standby);
    assert!(world.migrate(offers(), 1, 1));
    assert!(world.migrate(offers()[..1].to_vec(), 2, 2));
    assert_eq!(world.read(link), ["migrate webtransport after 2+2"]);
    assert!(world.read(standby).is_empty());
}
