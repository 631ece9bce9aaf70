//! Channels that the server gives: told like others, kept over rebuilds, and gone when either side says so.

use throughline::session::{LinkId, SessionConfig};
use throughline_wire::ErrorCode;

use super::bench::*;

/// A stream whose client is known.
fn on_a_stream() -> (World, LinkId) {
    let (mut world, stream) = World::open(websocket(1));
    world.prove_after_reading(stream);
    (world, stream)
}

#[test]
fn a_channel_that_the_server_gives_is_told_without_a_command_and_its_events_follow() {
    let (mut world, stream) = on_a_stream();
    world.publish("a", 2);
    assert_eq!(world.assign("a"), Ok(true));
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["1 subscribed a e1:2", "2 event a 3"]);
    assert_eq!(world.assign("a"), Ok(false), "it is held");
    assert!(world.items(stream).is_empty());
}

#[test]
fn what_the_server_takes_away_is_told_once() {
    let (mut world, stream) = on_a_stream();
    world.assign("a").unwrap();
    assert!(world.revoke("a"));
    assert!(!world.revoke("a"));
    assert_eq!(world.items(stream), ["1 subscribed a e1:0", "2 unsubscribed a revoked"]);
    assert!(!world.is_assigned("a"));
}

#[test]
fn a_resume_keeps_it_and_says_nothing() {
    let (mut world, stream) = on_a_stream();
    world.assign("a").unwrap();
    world.items(stream);
    world.cut(stream);
    world.publish("a", 1);
    let link = world.come(poll(2).after(1));
    assert_eq!(world.items(link), ["2 event a 1"]);
}

#[test]
fn a_rebuild_takes_it_up_from_where_the_client_was() {
    let (mut world, stream) = on_a_stream();
    world.assign("a").unwrap();
    world.publish("a", 3);
    world.items(stream);
    let link = world.come(poll(2).of("another page").after(2).at([("a", "e1:1")]));
    assert!(world.is_assigned("a"));
    assert_eq!(world.items(link), ["3 subscribed a e1:1", "4 event a 2", "5 event a 3"]);
}

#[test]
fn a_rebuild_that_does_not_name_it_takes_it_up_from_now() {
    let (mut world, stream) = on_a_stream();
    world.assign("a").unwrap();
    world.say(stream, commands(1, [subscribe("b")])).unwrap();
    world.publish("a", 3);
    world.items(stream);
    let link = world.come(poll(2).of("another page").at([]));
    assert_eq!(world.items(link), ["1 subscribed a e1:3"], "and not what the client asked for itself");
}

#[test]
fn a_client_may_leave_it_and_it_does_not_come_back() {
    let (mut world, stream) = on_a_stream();
    world.assign("a").unwrap();
    world.say(stream, commands(1, [unsubscribe("a")])).unwrap();
    assert_eq!(world.items(stream)[1..], ["2 unsubscribed a requested"]);
    let link = world.come(poll(2).of("another page").after(2).at([]));
    assert!(world.items(link).is_empty());
}

#[test]
fn what_is_taken_away_while_a_rebuild_asks_for_it_is_not_given_again() {
    let (mut world, stream) = on_a_stream();
    world.assign("a").unwrap();
    world.items(stream);
    world.hold = true;
    world.come(poll(2).of("another page").after(1).at([("a", "e1:0")]));
    assert!(world.is_assigned("a"), "the gateway asks nobody");
    assert!(!world.revoke("a"));
    assert!(!world.is_assigned("a"), "the gateway asks whether its user may");
}

#[test]
fn it_counts_among_the_channels_that_a_session_may_hold() {
    let one = |config: &mut SessionConfig| config.limits.subscriptions = 1;
    let (mut world, stream) = World::open_with(one, websocket(1));
    world.prove_after_reading(stream);
    world.assign("a").unwrap();
    assert_eq!(world.assign("b"), Err(ErrorCode::TooManySubscriptions));
    assert_eq!(world.places(), ["a e1:0"]);
}

#[test]
fn a_client_that_acknowledges_nothing_is_given_no_more_than_the_reserve_holds() {
    let few = |config: &mut SessionConfig| config.reserve_items = 8;
    let (mut world, stream) = World::open_with(few, websocket(1));
    world.prove_after_reading(stream);
    let mut given = 0;
    while world.assign("a").is_ok() {
        assert!(world.revoke("a"));
        given += 1;
        assert!(given <= 4);
    }
    assert_eq!(world.assign("a"), Err(ErrorCode::Overloaded));
    world.items(stream);
    assert_eq!(world.assign("a"), Err(ErrorCode::Overloaded), "sent, and not acknowledged");
    world.ack(stream, 8);
    assert_eq!(world.assign("a"), Ok(true));
}

#[test]
fn where_users_have_their_own_channel_each_of_their_sessions_holds_it() {
    let own = |config: &mut SessionConfig| config.user_channel = true;
    let (mut world, stream) = World::open_with(own, websocket(1).by("ann"));
    world.prove_after_reading(stream);
    assert!(world.is_assigned("$user:ann"));
    assert_eq!(world.items(stream), Vec::<String>::new(), "read with the welcome");
    assert_eq!(world.places(), ["$user:ann e1:0"]);
    // A new session in place of one that is gone goes on from where its client was.
    world.publish("$user:ann", 2);
    let resumed = websocket(1).by("ann").instead(ErrorCode::SessionUnknown).at([("$user:ann", "e1:1")]);
    let link = world.open_beside(resumed);
    assert_eq!(world.items(link), ["1 subscribed $user:ann e1:1", "2 event $user:ann 2"]);
    // Nobody, and a name that no channel may have.
    for arrival in [websocket(1), websocket(1).by("ann b")] {
        world.open_beside(arrival);
        assert!(world.places().is_empty());
    }
}
