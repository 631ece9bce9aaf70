//! L13-L15, and the window: what may be unacknowledged, and what happens where nobody acknowledges.

use throughline::session::{Goodbye, LinkId, SessionConfig};
use throughline_wire::UpFrame;

use super::bench::*;

/// On a WebSocket that has brought `subscribed a` as item 1.
fn subscribed(adjust: impl FnOnce(&mut SessionConfig)) -> (World, LinkId) {
    let (mut world, stream) = World::open_with(adjust, websocket(1).saying(commands(1, [subscribe("a")])));
    world.prove_after_reading(stream);
    (world, stream)
}

/// On an `EventSource`, which slides beyond so many events.
fn sliding(events: u64) -> (World, LinkId) {
    let arrival = event_source().saying(commands(1, [subscribe("a")]));
    let (mut world, stream) = World::open_with(|config| config.limits.unacknowledged_items = events, arrival);
    assert_eq!(world.items(stream), ["1 subscribed a e1:0"]);
    (world, stream)
}

#[test]
fn l13_a_journal_that_slid_serves_no_place_below_its_floor() {
    let (mut world, stream) = sliding(1);
    // 1. Two items numbered, the journal holds one. 2. The answer is lost.
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2"]);
    world.cut(stream);
    // 3. A resume below the floor: from item 3 on there would be a silent hole.
    assert_eq!(world.try_come(poll(5).after(1).low(2)), Err(Goodbye::Positions));
    let link = world.come(poll(5).after(1).low(2).at([("a", "e1:0")]));
    assert_eq!(
        world.read(link),
        ["welcome back 2 next 2 received 1", "2 subscribed a e1:0", "3 event a 1"],
        "and this link acknowledges, so the window is one again"
    );
}

#[test]
fn l13_a_floor_is_not_an_acknowledgement_and_a_place_above_it_is_served() {
    let (mut world, stream) = sliding(1);
    world.publish("a", 2);
    world.items(stream);
    world.cut(stream);
    let link = world.come(event_source().after(2).low(2));
    assert_eq!(world.items(link), ["3 event a 2"]);
    assert_eq!(world.session().incarnation(), 1);
}

#[test]
fn l13_a_client_that_cannot_state_positions_is_told_a_gap_up_to_the_floor() {
    let (mut world, stream) = sliding(1);
    world.publish("a", 3);
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2", "4 event a 3"]);
    world.cut(stream);
    world.publish("a", 1);
    let link = world.come(event_source().after(1).low(2));
    assert_eq!(
        world.items(link),
        ["2 gap a ?-e1:2 overflow at most", "3 event a 3", "4 event a 4"],
        "what the journal still has is replayed"
    );
    assert_eq!(world.session().incarnation(), 2);
}

#[test]
fn l13_each_channel_has_its_own_gap() {
    let arrival = event_source().saying(commands(1, [subscribe("a"), subscribe("b")]));
    let (mut world, stream) = World::open_with(|config| config.limits.unacknowledged_items = 1, arrival);
    world.publish("a", 2);
    world.items(stream);
    world.publish("b", 1);
    assert_eq!(world.items(stream), ["5 event b 1"]);
    world.cut(stream);
    let link = world.come(event_source().after(2).low(3));
    assert_eq!(
        world.items(link),
        ["3 gap a ?-e1:2 overflow at most", "4 gap b ?-e1:0 overflow at most", "5 event b 1"]
    );
}

#[test]
fn l13_where_its_number_counts_in_another_incarnation_the_gap_goes_up_to_the_head() {
    let (mut world, stream) = sliding(1);
    world.publish("a", 3);
    world.items(stream);
    world.cut(stream);
    let lost = world.come(event_source().after(1).low(2));
    assert_eq!(world.items(lost), ["2 gap a ?-e1:2 overflow at most", "3 event a 3"]);
    world.cut(lost);
    world.publish("a", 1);
    // It did not see the new numbers, and says again what it said. What of the new ones it has nobody can tell.
    let link = world.come(event_source().after(1).low(2));
    assert_eq!(world.items(link), ["2 gap a ?-e1:4 overflow at most"]);
    world.publish("a", 1);
    assert_eq!(world.items(link), ["3 event a 5"]);
}

#[test]
fn a_client_that_cannot_acknowledge_is_not_stalled_and_its_journal_stays_small() {
    let (mut world, stream) = sliding(4);
    world.publish("a", 1_000);
    assert_eq!(world.items(stream).len(), 1_000);
    assert!(world.session().unacknowledged() <= 4);
}

#[test]
fn a_client_that_could_acknowledge_and_does_not_is_stalled_however_long_it_is_silent() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_items = 4);
    world.publish("a", 10);
    assert_eq!(world.items(stream).len(), 4);
    for _ in 0..20 {
        world.wait(15_000);
        world.read(stream);
        world.say(stream, UpFrame::Ping { nonce: None }).unwrap();
    }
    assert!(world.items(stream).is_empty());
    assert_eq!(world.session().unacknowledged(), 1 + 4);
    world.ack(stream, 3);
    assert_eq!(world.items(stream).len(), 2);
}

#[test]
fn l14_a_numbered_item_never_changes_whatever_codec_it_is_sent_in() {
    let (mut world, stream) = subscribed(|_| {});
    // 1. Price A is item 2, received. 2. Price B is published before the client comes back.
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["2 event a 1"]);
    world.cut(stream);
    world.publish("a", 1);
    // 3. With and without item 2, it gets B as item 3.
    let link = world.come(poll(2).after(1));
    assert_eq!(world.items(link), ["2 event a 1", "3 event a 2"]);
    let link = world.come(websocket(3).after(2));
    assert_eq!(world.items(link), ["3 event a 2"]);
}

#[test]
fn l15_replies_and_results_are_numbered_although_the_window_is_full() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_items = 1);
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["2 event a 1"]);
    // A handler of item 2 awaits its own `send`: its acknowledgement waits for the reply.
    world.say(stream, commands(2, [send(), subscribe("b"), unsubscribe("b")])).unwrap();
    world.reply(2);
    assert_eq!(world.items(stream), ["3 subscribed b e1:0", "4 unsubscribed b requested", "5 reply 2 ok"]);
    world.ack(stream, 5);
    assert_eq!(world.items(stream), ["6 event a 2"]);
}

#[test]
fn l15_events_wake_nobody_while_the_window_is_full_and_the_acknowledgement_finds_them() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_items = 1);
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["2 event a 1"]);
    world.publish("a", 1);
    assert!(!world.is_woken(stream), "it would find nothing to send");
    world.whisper("a", 1);
    assert!(world.is_woken(stream), "what is not kept needs no window");
    assert_eq!(world.read(stream).len(), 1);
    world.publish("a", 1);
    world.ack(stream, 2);
    assert_eq!(world.items(stream), ["3 event a 2"]);
    world.ack(stream, 3);
    assert_eq!(world.items(stream), ["4 event a 3"]);
    world.ack(stream, 4);
    assert_eq!(world.items(stream), ["5 event a 4"]);
    world.ack(stream, 5);
    assert!(world.items(stream).is_empty());
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["6 event a 5"], "the window has room again");
}

#[test]
fn l15_where_the_reserve_is_used_up_no_command_is_taken_until_there_is_room() {
    let (mut world, stream) = subscribed(|config| config.reserve_items = 2);
    world.ack(stream, 1);
    world.say(stream, commands(2, [unsubscribe("x"), unsubscribe("x"), send()])).unwrap();
    assert_eq!(
        world.read(stream),
        ["2 reply 2 not_subscribed", "3 reply 3 not_subscribed", "ack 3"],
        "the third waits"
    );
    assert_eq!(world.sent, Vec::<u64>::new());
    world.ack(stream, 2);
    assert_eq!(world.sent, [4]);
}

#[test]
fn l15_as_many_commands_run_as_may_be_ahead_and_the_next_waits_for_a_reply() {
    let (mut world, stream) = subscribed(|config| config.limits.commands_ahead = 2);
    world.say(stream, commands(2, [send(), send(), send()])).unwrap();
    assert_eq!(world.sent, [2, 3]);
    world.reply(3);
    assert_eq!(world.sent, [2, 3, 4]);
}

#[test]
fn a_window_counts_events_and_not_what_has_the_reserve() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_items = 3);
    world.say(stream, commands(2, [subscribe("b"), subscribe("c")])).unwrap();
    world.publish("a", 5);
    assert_eq!(world.items(stream).len(), 2 + 3);
    world.ack(stream, 3); // the three results
    assert!(world.items(stream).is_empty());
    world.ack(stream, 4); // and one event
    assert_eq!(world.items(stream), ["7 event a 4"]);
}

#[test]
fn a_window_counts_the_bytes_of_payloads() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_bytes = 100);
    world.publish_bytes("a", 5, 40);
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2"]);
    world.ack(stream, 2);
    assert_eq!(world.items(stream), ["4 event a 3"]);
}

#[test]
fn a_window_has_always_room_for_one() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_bytes = 100);
    world.publish_bytes("a", 2, 1_000);
    assert_eq!(world.items(stream), ["2 event a 1"]);
    assert!(world.items(stream).is_empty());
    world.ack(stream, 2);
    assert_eq!(world.items(stream), ["3 event a 2"]);
}

#[test]
fn a_closed_window_lets_no_other_channel_past_either() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_items = 1);
    world.say(stream, commands(2, [subscribe("b")])).unwrap();
    world.publish("a", 1);
    world.items(stream);
    world.publish("b", 1);
    assert!(world.items(stream).is_empty());
    world.ack(stream, 3);
    assert_eq!(world.items(stream), ["4 event b 1"]);
}

#[test]
fn a_busy_channel_does_not_starve_another() {
    let (mut world, stream) = subscribed(|config| config.limits.unacknowledged_items = 2);
    world.say(stream, commands(2, [subscribe("b")])).unwrap();
    world.items(stream);
    world.ack(stream, 2);
    world.publish("a", 10);
    world.publish("b", 1);
    let first = world.items(stream);
    world.ack(stream, 4);
    let second = world.items(stream);
    assert!(first.iter().chain(&second).any(|line| line.ends_with("event b 1")), "{first:?} {second:?}");
}
