//! L10, L11: a stream that may be swallowed never displaces a link that works.

use throughline_wire::{ErrorCode, UpFrame};

use super::bench::*;

/// Opened by poll 1, which brought `subscribed a` as item 1.
fn subscribed() -> World {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    assert_eq!(world.items(link), ["1 subscribed a e1:0"]);
    world
}

#[test]
fn l10_a_probe_fences_nothing_until_its_nonce_came_back() {
    let mut world = subscribed();
    let parked = world.come(poll(2).after(1));
    assert!(world.read(parked).is_empty());
    let standby = world.come(probe().after(1));
    let nonce = format!("ping {}", standby.0);
    assert_eq!(world.read(standby), ["welcome back 1 next 2 received 1", &nonce]);
    world.publish("a", 1);
    assert!(world.read(standby).is_empty(), "items go to the link that works");
    assert_eq!(world.read(parked), ["2 event a 1"]);
}

#[test]
fn l10_an_attach_before_the_nonce_came_back_is_refused_and_displaces_nothing() {
    let mut world = subscribed();
    let parked = world.come(poll(2).after(1));
    let standby = world.come(probe().after(1));
    world.read(standby);
    assert_eq!(world.say(standby, attach(3, 1)), Err(ErrorCode::FrameNotAllowed));
    world.say(standby, UpFrame::Pong { nonce: Some(standby.0 + 1) }).unwrap();
    world.say(standby, UpFrame::Pong { nonce: None }).unwrap();
    assert_eq!(world.say(standby, attach(3, 1)), Err(ErrorCode::FrameNotAllowed));
    assert_eq!(world.read(standby), ["error frame_not_allowed", "error frame_not_allowed"]);
    world.publish("a", 1);
    assert_eq!(world.read(parked), ["2 event a 1"]);
}

#[test]
fn l10_a_proven_probe_takes_over_with_the_number_and_place_of_that_moment() {
    let mut world = subscribed();
    let standby = world.come(probe().after(1));
    world.read(standby);
    // Polls that ran meanwhile have used higher numbers and brought items.
    world.publish("a", 2);
    let first = world.come(poll(2).after(1));
    assert_eq!(world.read(first), ["2 event a 1", "3 event a 2"]);
    let second = world.come(poll(3).after(3));
    assert!(world.read(second).is_empty());
    world.prove(standby);
    world.say(standby, attach(4, 3)).unwrap();
    assert_eq!(world.read(second), ["retry superseded", "close superseded"]);
    world.publish("a", 1);
    assert_eq!(world.read(standby), ["4 event a 3"]);
}

#[test]
fn l10_an_answer_that_was_lost_comes_again_on_the_probe_that_took_over() {
    let mut world = subscribed();
    let standby = world.come(probe().after(1));
    world.read(standby);
    world.prove(standby);
    world.publish("a", 2);
    let lost = world.come(poll(2).after(1));
    assert_eq!(world.read(lost), ["2 event a 1", "3 event a 2"]);
    world.say(standby, attach(3, 2)).unwrap();
    assert_eq!(world.read(standby), ["3 event a 2"]);
}

#[test]
fn l10_a_stream_without_a_way_up_is_proven_by_posts() {
    let mut world = subscribed();
    let parked = world.come(poll(2).after(1));
    let standby = world.come(sse_probe().after(1));
    world.read(standby);
    world.post(standby, UpFrame::Pong { nonce: Some(standby.0) }).unwrap();
    world.post(standby, attach(3, 1)).unwrap();
    assert_eq!(world.read(parked), ["retry superseded", "close superseded"]);
    world.publish("a", 1);
    assert_eq!(world.read(standby), ["2 event a 1"]);
}

#[test]
fn l10_the_nonce_of_one_probe_does_not_prove_another() {
    let mut world = subscribed();
    let first = world.come(probe().after(1));
    let second = world.come(probe().after(1));
    world.read(first);
    world.read(second);
    world.say(first, UpFrame::Pong { nonce: Some(second.0) }).unwrap();
    assert_eq!(world.say(first, attach(2, 1)), Err(ErrorCode::FrameNotAllowed));
    world.prove(second);
    world.say(second, attach(2, 1)).unwrap();
    assert_eq!(world.session().active().unwrap().0, second);
}

#[test]
fn l10_a_nonce_that_was_not_sent_yet_proves_nothing() {
    let mut world = subscribed();
    let standby = world.come(probe().after(1));
    world.prove(standby); // before anything went down
    assert_eq!(world.say(standby, attach(2, 1)), Err(ErrorCode::FrameNotAllowed));
}

#[test]
fn l10_a_session_may_open_on_a_probe() {
    let (mut world, standby) = World::open(probe().saying(commands(1, [subscribe("a")])));
    let nonce = format!("ping {}", standby.0);
    assert_eq!(world.read(standby), ["welcome new 1 next 1 received 1", &nonce, "ack 1"]);
    world.prove(standby);
    world.say(standby, attach(1, 0)).unwrap();
    assert_eq!(world.items(standby), ["1 subscribed a e1:0"]);
}

#[test]
fn l10_probes_are_counted_and_one_too_many_is_told_so() {
    let mut world = subscribed();
    let parked = world.come(poll(2).after(1));
    for _ in 0..3 {
        world.come(probe().after(1));
    }
    let refusal = world.try_come(probe().after(1)).unwrap_err();
    assert_eq!(refusal.error(), Some(ErrorCode::TooManyLinks));
    world.publish("a", 1);
    assert_eq!(world.read(parked), ["2 event a 1"]);
}

#[test]
fn l11_a_link_skips_what_was_acknowledged_by_way_of_another() {
    let mut world = subscribed();
    world.publish("a", 4);
    let lost = world.come(poll(2).after(1));
    assert_eq!(world.items(lost).len(), 4);
    let stream = world.come(sse(3).after(1));
    // The acknowledgement of the answer, late, by a post that names the newest link.
    world.post(stream, UpFrame::Ack { up_to: 3 }).unwrap();
    assert_eq!(world.items(stream), ["4 event a 3", "5 event a 4"]);
}

#[test]
fn l11_numbers_on_a_link_have_no_other_hole() {
    let mut world = subscribed();
    world.publish("a", 4);
    world.budget_bytes = 1; // one item a message
    let stream = world.come(websocket(2).after(1));
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2", "4 event a 3", "5 event a 4"]);
}
