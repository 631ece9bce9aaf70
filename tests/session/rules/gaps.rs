//! G1-G5, and the gap of a numbered event: nothing is missed without a word.

use throughline::session::Ending;
use throughline_wire::{MAX_INTEGER, SubscribeFrom};

use super::bench::*;

/// Subscribed to `a`, which brought item 1, on a stream.
fn subscribed() -> (World, throughline::session::LinkId) {
    let (mut world, stream) = World::open(websocket(1).saying(commands(1, [subscribe("a")])));
    world.prove_after_reading(stream);
    (world, stream)
}

#[test]
fn g1_an_event_that_took_the_place_of_a_lost_one_is_told_from_it_by_its_epoch() {
    let (mut world, stream) = subscribed();
    // 1. e1:1 is delivered. 2. The log loses it and begins anew. 3. Another event gets offset 1.
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["2 event a 1"]);
    world.begin_epoch("a", "e2");
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["3 gap a e1:1-e2:0 epoch at most", "4 event a 1"]);
    assert_eq!(world.places(), ["a e2:1"]);
}

#[test]
fn g2_a_gap_begins_where_the_client_is_and_the_next_event_follows_it() {
    let (mut world, stream) = subscribed();
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2"]);
    world.cut(stream);
    world.publish("a", 8);
    world.trim("a", 5);
    let link = world.come(poll(2).after(3));
    assert_eq!(
        world.items(link),
        [
            "4 gap a e1:2-e1:5 trimmed",
            "5 event a 6",
            "6 event a 7",
            "7 event a 8",
            "8 event a 9",
            "9 event a 10"
        ]
    );
}

#[test]
fn g2_a_gap_of_everything_is_told_with_nothing_after_it() {
    let (mut world, stream) = subscribed();
    world.cut(stream);
    world.publish("a", 3);
    world.trim("a", 3);
    let link = world.come(poll(2).after(1));
    assert_eq!(world.items(link), ["2 gap a e1:0-e1:3 trimmed"]);
    world.publish("a", 1);
    let link = world.come(poll(3).after(2));
    assert_eq!(world.items(link), ["3 event a 4"]);
}

#[test]
fn g2_what_was_numbered_is_no_part_of_a_gap() {
    let (mut world, stream) = subscribed();
    world.publish("a", 2);
    world.items(stream);
    world.trim("a", 2);
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["4 event a 3"], "what was sent and not sent again is not missing");
}

#[test]
fn g2_no_gap_is_told_twice() {
    let (mut world, stream) = subscribed();
    world.cut(stream);
    world.publish("a", 3);
    world.trim("a", 2);
    let link = world.come(poll(2).after(1));
    assert_eq!(world.items(link), ["2 gap a e1:0-e1:2 trimmed", "3 event a 3"]);
    let link = world.come(poll(3).after(3));
    assert!(world.items(link).is_empty());
}

#[test]
fn g3_after_a_change_of_epoch_all_that_is_held_of_the_new_one_follows() {
    let (mut world, stream) = subscribed();
    world.cut(stream);
    world.publish("a", 5);
    world.begin_epoch("a", "e2");
    world.publish("a", 4);
    world.trim("a", 1);
    let link = world.come(poll(2).after(1));
    assert_eq!(
        world.items(link),
        ["2 gap a e1:0-e2:1 epoch at most", "3 event a 2", "4 event a 3", "5 event a 4"]
    );
}

#[test]
fn g3_two_changes_of_epoch_while_away_are_one_gap() {
    let (mut world, stream) = subscribed();
    world.publish("a", 1);
    world.items(stream);
    world.cut(stream);
    world.begin_epoch("a", "e2");
    world.publish("a", 7);
    world.begin_epoch("a", "e3");
    let link = world.come(poll(2).after(2));
    assert_eq!(world.items(link), ["3 gap a e1:1-e3:0 epoch at most"]);
}

#[test]
fn g4_a_place_above_the_head_of_its_epoch_is_a_gap_and_not_the_future() {
    let (mut world, stream) = subscribed();
    world.publish("b", 2);
    world.say(stream, commands(2, [subscribe_at("b", "e1:9")])).unwrap();
    world.publish("b", 1);
    assert_eq!(
        world.items(stream),
        ["2 subscribed b e1:9 behind a gap", "3 gap b ?-e1:3 epoch at most"],
        "and what comes next is not mistaken for what was seen"
    );
    world.publish("b", 1);
    assert_eq!(world.items(stream), ["4 event b 4"]);
}

#[test]
fn g5_a_session_ends_where_its_numbers_do() {
    let (mut world, stream) = subscribed();
    world.cut(stream);
    world.publish("a", 2);
    let last = MAX_INTEGER - 1;
    let link = world.come(poll(2).after(last).low(2).at([("a", "e1:0")]));
    let said = world.read(link);
    assert_eq!(said[0], format!("welcome back 2 next {MAX_INTEGER} received 1"));
    assert_eq!(said[1], format!("{MAX_INTEGER} subscribed a e1:0"), "the last number is used");
    assert_eq!(said[2..], ["error session_ended", "retry ended", "close session_gone"]);
    assert_eq!(world.ended, Some(Ending::Exhausted));
}

#[test]
fn g5_a_session_that_has_no_number_left_says_none_beyond_the_bound() {
    let (mut world, stream) = subscribed();
    world.cut(stream);
    let link = world.come(poll(2).after(MAX_INTEGER).low(2).at([("a", "e1:0")]));
    assert_eq!(world.read(link), ["error session_ended", "retry ended", "close session_gone"]);
    assert_eq!(world.ended, Some(Ending::Exhausted));
}

#[test]
fn an_event_that_was_trimmed_before_it_was_sent_again_becomes_its_own_gap() {
    let (mut world, stream) = subscribed();
    world.publish("a", 3);
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2", "4 event a 3"]);
    world.cut(stream);
    world.trim("a", 2);
    world.publish("a", 1);
    let again = ["2 gap a e1:0-e1:1 trimmed", "3 gap a e1:1-e1:2 trimmed", "4 event a 3", "5 event a 4"];
    let link = world.come(poll(2).after(1));
    assert_eq!(world.items(link), again);
    // It stays so, and what the client had of it is not told.
    let link = world.come(sse(3).after(2));
    assert_eq!(world.items(link), again[1..]);
}

#[test]
fn a_numbered_event_of_an_epoch_that_is_over_becomes_its_own_gap() {
    let (mut world, stream) = subscribed();
    world.publish("a", 2);
    world.items(stream);
    world.cut(stream);
    world.begin_epoch("a", "e2");
    world.publish("a", 2);
    let link = world.come(poll(2).after(1));
    assert_eq!(
        world.items(link),
        [
            "2 gap a e1:0-e1:1 epoch",
            "3 gap a e1:1-e1:2 epoch",
            "4 gap a e1:2-e2:0 epoch at most",
            "5 event a 1",
            "6 event a 2"
        ]
    );
}

#[test]
fn a_gap_is_an_item_like_any_other() {
    let (mut world, stream) = subscribed();
    world.cut(stream);
    world.publish("a", 3);
    world.trim("a", 2);
    let told = ["2 gap a e1:0-e1:2 trimmed", "3 event a 3"];
    for number in 2..4 {
        let link = world.come(poll(number).after(1));
        assert_eq!(world.items(link), told);
    }
    let link = world.come(poll(4).after(2));
    assert_eq!(world.items(link), told[1..]);
    assert_eq!(world.session().acknowledged(), 2);
}

#[test]
fn after_a_rebuild_a_gap_is_derived_again_from_the_position() {
    let (mut world, stream) = subscribed();
    world.cut(stream);
    world.publish("a", 4);
    world.trim("a", 2);
    let lost = world.come(poll(2).after(1));
    assert_eq!(world.items(lost)[0], "2 gap a e1:0-e1:2 trimmed");
    world.trim("a", 1);
    let link = world.come(poll(3).after(1).low(2).incarnation(9).at([("a", "e1:0")]));
    assert_eq!(
        world.items(link),
        ["2 subscribed a e1:0 behind a gap", "3 gap a e1:0-e1:3 trimmed", "4 event a 4"]
    );
}

#[test]
fn a_gap_that_grows_while_the_window_is_closed_is_told_once_and_whole() {
    let arrival = websocket(1).saying(commands(1, [subscribe_from("a", SubscribeFrom::Now)]));
    let (mut world, stream) = World::open_with(|config| config.limits.unacknowledged_items = 2, arrival);
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["1 subscribed a e1:0", "2 event a 1", "3 event a 2"]);
    world.publish("a", 3);
    world.trim("a", 3);
    assert!(world.items(stream).is_empty());
    world.trim("a", 1);
    world.ack(stream, 3);
    assert_eq!(world.items(stream), ["4 gap a e1:2-e1:4 trimmed", "5 event a 5"]);
}
