//! The table "ambiguities, decided", as far as the session decides it.

use throughline::session::LinkId;
use throughline_wire::{SubscribeFrom, UpFrame};

use super::bench::*;

/// On a stream, nothing subscribed.
fn on_a_stream() -> (World, LinkId) {
    let (mut world, stream) = World::open(websocket(1));
    world.prove_after_reading(stream);
    (world, stream)
}

/// On a stream that has brought `subscribed a` as item 1.
fn subscribed() -> (World, LinkId) {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [subscribe("a")])).unwrap();
    assert_eq!(world.items(stream), ["1 subscribed a e1:0"]);
    (world, stream)
}

#[test]
fn a_poll_that_goes_on_is_told_no_welcome_and_parks() {
    let (mut world, _) = subscribed();
    let link = world.come(poll(2).after(1));
    assert!(world.read(link).is_empty());
}

#[test]
fn a_poll_that_asks_is_told_a_welcome_and_does_not_park() {
    let (mut world, _) = subscribed();
    let link = world.come(poll(2).after(1).asking());
    assert_eq!(world.read(link), ["welcome back 1 next 2 received 1"]);
}

#[test]
fn a_poll_of_another_client_object_is_told_a_welcome() {
    let (mut world, _) = subscribed();
    let link = world.come(poll(2).after(1).low(2).of("reloaded").at([]));
    assert_eq!(world.read(link), ["welcome back 2 next 2 received 1"]);
}

#[test]
fn subscribed_comes_before_every_event_of_its_channel_and_after_its_position() {
    let (mut world, stream) = on_a_stream();
    world.publish("a", 2);
    world.hold = true;
    world.say(stream, commands(1, [subscribe("a")])).unwrap();
    world.publish("a", 1); // while it is authorised
    world.grant();
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["1 subscribed a e1:3", "2 event a 4"]);
}

#[test]
fn a_subscribe_whose_result_was_cut_off_is_told_from_the_journal() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [subscribe("a")])).unwrap();
    world.items(stream);
    world.cut(stream);
    world.publish("a", 1);
    let link = world.come(poll(2).saying(commands(1, [subscribe("a")])));
    assert_eq!(world.read(link), ["1 subscribed a e1:0", "2 event a 1", "ack 1"]);
}

#[test]
fn a_subscribe_whose_result_was_cut_off_is_applied_again_by_a_rebuilt_session() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [subscribe("a")])).unwrap();
    world.items(stream);
    world.cut(stream);
    world.publish("a", 1);
    let resume = poll(2).low(1).incarnation(9).at([]);
    let link = world.come(resume.saying(commands(1, [subscribe("a")])));
    assert_eq!(world.items(link), ["1 subscribed a e1:1"], "a later place; the client never saw the first");
}

#[test]
fn a_subscribe_to_a_channel_that_is_held_tells_its_present_place() {
    let (mut world, stream) = subscribed();
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2"]);
    world
        .say(stream, commands(2, [subscribe_at("a", "e1:0"), subscribe_from("a", SubscribeFrom::Last(2))]))
        .unwrap();
    assert_eq!(world.items(stream), ["4 subscribed a e1:2", "5 subscribed a e1:2"], "`from` is ignored");
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["6 event a 3"]);
}

#[test]
fn to_rewind_is_to_unsubscribe_first() {
    let (mut world, stream) = subscribed();
    world.publish("a", 2);
    world.items(stream);
    world.say(stream, commands(2, [unsubscribe("a"), subscribe_at("a", "e1:1")])).unwrap();
    assert_eq!(world.items(stream), ["4 unsubscribed a requested", "5 subscribed a e1:1", "6 event a 2"]);
}

#[test]
fn events_that_are_numbered_come_although_the_channel_was_left() {
    let (mut world, stream) = subscribed();
    world.publish("a", 2);
    world.items(stream); // 2 and 3, lost
    world.publish("a", 1); // not numbered yet
    world.say(stream, commands(2, [unsubscribe("a")])).unwrap();
    world.publish("a", 1);
    world.cut(stream);
    let link = world.come(poll(2).after(1));
    assert_eq!(world.items(link), ["2 event a 1", "3 event a 2", "4 unsubscribed a requested"]);
    assert!(world.places().is_empty());
}

#[test]
fn nothing_of_a_channel_comes_after_it_was_taken_away() {
    let (mut world, stream) = subscribed();
    world.publish("a", 1);
    world.revoke("a");
    world.revoke("a");
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["2 unsubscribed a revoked"]);
}

#[test]
fn the_last_n_are_resolved_to_a_place_when_they_are_asked_for() {
    let (mut world, stream) = on_a_stream();
    world.publish("a", 5);
    world.say(stream, commands(1, [subscribe_from("a", SubscribeFrom::Last(2))])).unwrap();
    assert_eq!(world.items(stream), ["1 subscribed a e1:3", "2 event a 4", "3 event a 5"]);
    world.cut(stream);
    world.publish("a", 3);
    let link = world.come(poll(2).after(3));
    assert_eq!(world.items(link), ["4 event a 6", "5 event a 7", "6 event a 8"], "a resume uses the place");
}

#[test]
fn fewer_held_than_the_last_n_is_no_gap() {
    let (mut world, stream) = on_a_stream();
    world.publish("a", 5);
    world.trim("a", 3);
    world.say(stream, commands(1, [subscribe_from("a", SubscribeFrom::Last(100))])).unwrap();
    assert_eq!(world.items(stream), ["1 subscribed a e1:3", "2 event a 4", "3 event a 5"]);
    world.say(stream, commands(2, [subscribe_from("b", SubscribeFrom::Last(0))])).unwrap();
    assert_eq!(world.items(stream), ["4 subscribed b e1:0"]);
}

#[test]
fn a_place_that_was_trimmed_is_subscribed_behind_a_gap() {
    let (mut world, stream) = on_a_stream();
    world.publish("a", 5);
    world.trim("a", 3);
    world.say(stream, commands(1, [subscribe_at("a", "e1:1")])).unwrap();
    assert_eq!(
        world.items(stream),
        ["1 subscribed a e1:1 behind a gap", "2 gap a e1:1-e1:3 trimmed", "3 event a 4", "4 event a 5"]
    );
}

#[test]
fn a_place_of_another_epoch_is_subscribed_behind_a_gap() {
    let (mut world, stream) = on_a_stream();
    world.begin_epoch("a", "e2");
    world.publish("a", 1);
    world.say(stream, commands(1, [subscribe_at("a", "e1:1")])).unwrap();
    assert_eq!(
        world.items(stream),
        ["1 subscribed a e1:1 behind a gap", "2 gap a e1:1-e2:0 epoch at most", "3 event a 1"]
    );
}

#[test]
fn a_place_that_is_held_is_recovered() {
    let (mut world, stream) = on_a_stream();
    world.publish("a", 3);
    world.say(stream, commands(1, [subscribe_at("a", "e1:1")])).unwrap();
    assert_eq!(world.items(stream), ["1 subscribed a e1:1", "2 event a 2", "3 event a 3"]);
}

#[test]
fn replies_come_in_the_order_of_their_results() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, commands(1, [send(), send()])).unwrap();
    world.reply(2);
    world.reply(1);
    assert_eq!(world.items(stream), ["1 reply 2 ok", "2 reply 1 ok"]);
}

#[test]
fn a_ping_is_answered_with_its_nonce_on_its_link() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, UpFrame::Ping { nonce: Some(77) }).unwrap();
    assert_eq!(world.read(stream), ["pong 77"]);
    world.say(stream, UpFrame::Ping { nonce: None }).unwrap();
    assert_eq!(world.read(stream), ["pong"]);
}

#[test]
fn an_extension_is_skipped() {
    let (mut world, stream) = on_a_stream();
    world.say(stream, UpFrame::Extension).unwrap();
    assert!(world.read(stream).is_empty());
}
