//! L1-L9: which link is the newest, and what it goes on with.

use throughline::session::Goodbye;

use super::bench::*;

/// Opened by poll 1, which brought `subscribed a` as item 1.
fn subscribed() -> World {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    assert_eq!(world.items(link), ["1 subscribed a e1:0"]);
    world
}

#[test]
fn l1_a_late_poll_does_not_fence_the_stream_that_overtook_it() {
    let mut world = subscribed();
    // 1. Poll 2 is sent and delayed. 2. A WebSocket attaches.
    let stream = world.come(websocket(3).after(0));
    // 3. The poll arrives: refused, with all that it says.
    let late = poll(2).after(1).saying(commands(2, [send()]));
    assert_eq!(world.try_come(late), Err(Goodbye::Superseded));
    assert_eq!((world.session().acknowledged(), world.session().received()), (0, 1));
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["1 subscribed a e1:0", "2 event a 1"]);
}

#[test]
fn l1_an_attach_frame_that_was_overtaken_ends_its_own_link_only() {
    let mut world = subscribed();
    let standby = world.come(probe().after(1));
    world.prove_after_reading(standby);
    let parked = world.come(poll(4).after(1));
    world.say(standby, attach(3, 1)).unwrap();
    assert_eq!(world.read(standby), ["retry superseded", "close superseded"]);
    world.publish("a", 1);
    assert_eq!(world.read(parked), ["2 event a 1"]);
}

#[test]
fn l1_attach_numbers_may_jump() {
    let mut world = subscribed();
    let parked = world.come(poll(1_000).after(1));
    assert_eq!(world.try_come(poll(999).after(1)), Err(Goodbye::Superseded));
    world.publish("a", 1);
    assert_eq!(world.read(parked), ["2 event a 1"]);
}

#[test]
fn l2_the_later_copy_of_a_repeated_poll_parks_and_the_earlier_is_answered_empty() {
    let mut world = subscribed();
    let first = world.come(poll(2).after(1));
    assert!(world.read(first).is_empty(), "parked");
    let second = world.come(poll(2).after(1));
    assert_eq!(world.read(first), ["ack 1"], "empty, and not superseded");
    let third = world.come(poll(2).after(1));
    assert_eq!(world.read(second), ["ack 1"]);
    world.publish("a", 1);
    assert_eq!(world.read(third), ["2 event a 1"]);
}

#[test]
fn l2_a_repeated_poll_that_was_answered_is_answered_again_from_the_journal() {
    let mut world = subscribed();
    world.publish("a", 2);
    for _ in 0..2 {
        let link = world.come(poll(2).after(1));
        assert_eq!(world.read(link), ["2 event a 1", "3 event a 2"]);
    }
}

#[test]
fn l2_an_equal_number_is_no_repetition_on_a_stream() {
    let mut world = subscribed();
    let stream = world.come(websocket(2).after(1));
    assert_eq!(world.try_come(websocket(2).after(1)), Err(Goodbye::Superseded));
    assert_eq!(world.try_come(poll(2).after(1)), Err(Goodbye::Superseded), "the stream took number 2");
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["2 event a 1"]);
}

#[test]
fn l2_a_stream_does_not_repeat_a_poll() {
    let mut world = subscribed();
    let parked = world.come(poll(2).after(1));
    for stream in [websocket(2), sse(2)] {
        assert_eq!(world.try_come(stream.after(1)), Err(Goodbye::Superseded));
    }
    world.publish("a", 1);
    assert_eq!(world.read(parked), ["2 event a 1"]);
}

#[test]
fn l2_an_equal_number_of_another_instance_is_another_client() {
    let mut world = subscribed();
    let parked = world.come(poll(2).after(1));
    assert_eq!(world.try_come(poll(2).after(1).of("copy")), Err(Goodbye::Superseded));
    world.publish("a", 1);
    assert_eq!(world.read(parked), ["2 event a 1"]);
}

#[test]
fn l3_a_poll_whose_answer_was_lost_is_answered_again() {
    let mut world = subscribed();
    world.publish("a", 1);
    // 1. A poll is answered with item 2, the answer is lost. 2. The next says the same: it is owed, not parked.
    for number in 2..5 {
        let link = world.come(poll(number).after(1));
        assert_eq!(world.read(link), ["2 event a 1"]);
    }
}

#[test]
fn l3_a_stream_that_was_cut_is_followed_from_what_the_client_has() {
    let mut world = subscribed();
    let stream = world.come(websocket(2).after(1));
    world.publish("a", 3);
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2", "4 event a 3"]);
    world.cut(stream);
    let stream = world.come(sse(3).after(2));
    assert_eq!(world.items(stream), ["3 event a 2", "4 event a 3"]);
}

#[test]
fn l3_a_welcome_names_the_first_number_that_its_link_carries() {
    let mut world = subscribed();
    world.publish("a", 3);
    let lost = world.come(poll(2).after(1));
    assert_eq!(world.items(lost).len(), 3);
    let stream = world.come(websocket(3).after(2));
    let said = world.read(stream);
    assert_eq!(said[0], "welcome back 1 next 3 received 1", "not 5, the next to be made");
    assert_eq!(said[2..], ["3 event a 2", "4 event a 3"]);
}

#[test]
fn l4_an_acknowledgement_that_overtook_a_poll_makes_no_gap() {
    let mut world = subscribed();
    world.publish("a", 2);
    let stream = world.come(websocket(2).after(1));
    // 1. The WebSocket carries item 2. 2. The client writes a poll. 3. Item 2 comes and is acknowledged.
    assert_eq!(world.items(stream), ["2 event a 1", "3 event a 2"]);
    world.ack(stream, 2);
    // 5. The poll asks for what the journal has dropped.
    let poll = world.come(poll(3).after(1));
    assert_eq!(world.read(poll), ["3 event a 2"]);
    assert_eq!(world.session().incarnation(), 1);
}

#[test]
fn l4_a_copied_token_is_rebuilt_where_another_page_acknowledged_more() {
    let mut world = subscribed();
    world.publish("a", 2);
    let stream = world.come(websocket(2).after(1));
    world.items(stream);
    world.ack(stream, 3);
    let copy = || poll(3).after(1).low(2).of("copy");
    assert_eq!(world.try_come(copy()), Err(Goodbye::Positions));
    let link = world.come(copy().at([("a", "e1:0")]));
    assert_eq!(
        world.read(link),
        ["welcome back 2 next 2 received 1", "2 subscribed a e1:0", "3 event a 1", "4 event a 2"]
    );
}

#[test]
fn l4_a_copied_token_is_rebuilt_where_nothing_was_acknowledged_beyond_it_too() {
    let mut world = subscribed();
    world.publish("a", 2);
    let lost = world.come(poll(2).after(1));
    world.read(lost);
    // The older page may still acknowledge what the copy does not have: only the incarnation tells whose words they are.
    let reloaded = || poll(3).after(1).low(2).of("reloaded");
    assert_eq!(world.try_come(reloaded()), Err(Goodbye::Positions));
    let link = world.come(reloaded().at([("a", "e1:0")]));
    assert_eq!(
        world.read(link),
        ["welcome back 2 next 2 received 1", "2 subscribed a e1:0", "3 event a 1", "4 event a 2"]
    );
}

#[test]
fn l4_a_copied_token_on_a_probe_is_rebuilt_too() {
    let mut world = subscribed();
    world.publish("a", 2);
    let parked = world.come(poll(2).after(1));
    world.read(parked);
    let standby = world.come(probe().after(1).of("copy"));
    world.prove_after_reading(standby);
    world.come(poll(3).after(3));
    world.say(standby, attach(4, 1)).unwrap();
    assert_eq!(world.read(standby), ["retry positions", "close positions"]);
}

#[test]
fn l5_the_acknowledgement_made_again_on_the_new_link_opens_the_window() {
    let arrival = poll(1).saying(commands(1, [subscribe("a")]));
    let (mut world, link) = World::open_with(|config| config.limits.unacknowledged_items = 1, arrival);
    world.read(link);
    world.publish("a", 2);
    // 1. Item 2 comes by poll. 2. A WebSocket that has item 1 is on its way.
    let poll = world.come(poll(2).after(1));
    assert_eq!(world.read(poll), ["2 event a 1"]);
    // 3. The poll with `after: 2` is lost. 4. The WebSocket becomes active; the window is full.
    let stream = world.come(websocket(3).after(1));
    assert_eq!(world.items(stream), ["2 event a 1"]);
    assert!(world.read(stream).is_empty());
    world.ack(stream, 2);
    assert_eq!(world.items(stream), ["3 event a 2"]);
}

#[test]
fn l6_a_post_made_again_is_taken_once() {
    let mut world = subscribed();
    let stream = world.come(sse(2).after(1));
    world.read(stream);
    for _ in 0..3 {
        world.post(stream, commands(2, [send()])).unwrap();
        world.post(stream, throughline_wire::UpFrame::Ack { up_to: 1 }).unwrap();
    }
    assert_eq!((&world.sent[..], world.session().received()), (&[2][..], 2));
}

#[test]
fn l6_an_acknowledgement_by_post_opens_the_window_of_a_stream() {
    let arrival = sse(1).saying(commands(1, [subscribe("a")]));
    let (mut world, stream) = World::open_with(|config| config.limits.unacknowledged_items = 1, arrival);
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["1 subscribed a e1:0", "2 event a 1"]);
    // A post with the acknowledgement is lost; made again with current numbers it does the same.
    world.post(stream, throughline_wire::UpFrame::Ack { up_to: 2 }).unwrap();
    assert_eq!(world.items(stream), ["3 event a 2"]);
}

#[test]
fn l7_an_attach_ends_every_older_link_at_once() {
    let mut world = subscribed();
    let stream = world.come(websocket(2).after(1));
    world.read(stream);
    world.publish("a", 1);
    // The WebSocket, healthy and with something to say, is told nothing but that.
    let poll = world.come(poll(3).after(1));
    assert_eq!(world.read(stream), ["retry superseded", "close superseded"]);
    assert_eq!(world.read(poll), ["2 event a 1"]);
    assert_eq!(world.read(stream), ["close superseded"], "the link is no longer the session's");
}

#[test]
fn l7_a_parked_poll_that_a_stream_supersedes_is_answered() {
    let mut world = subscribed();
    let parked = world.come(poll(2).after(1));
    assert!(world.read(parked).is_empty());
    let stream = world.come(websocket(3).after(1));
    assert_eq!(world.read(parked), ["retry superseded", "close superseded"]);
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["2 event a 1"]);
}

#[test]
fn l8_of_two_pages_with_one_token_the_older_is_told_once() {
    let mut world = subscribed();
    let first = world.come(websocket(2).after(1));
    world.read(first);
    let second = world.come(websocket(3).after(1).low(2).of("copy").at([("a", "e1:0")]));
    assert_eq!(world.read(first), ["retry superseded", "close superseded"]);
    world.publish("a", 1);
    assert_eq!(world.items(second), ["2 subscribed a e1:0", "3 event a 1"]);
}
