//! The table "late and repeated requests", row by row, as far as one node decides it.

use throughline::session::{Ending, Goodbye};
use throughline_wire::{ErrorCode, UpFrame};

use super::bench::*;

/// Opened by poll 1, which brought `subscribed a` as item 1.
fn subscribed() -> World {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    assert_eq!(world.items(link), ["1 subscribed a e1:0"]);
    world
}

#[test]
fn a_poll_of_a_lower_attach_is_refused_with_its_commands() {
    let mut world = subscribed();
    let parked = world.come(poll(3).after(1));
    let late = poll(2).after(1).saying(commands(2, [send()]));
    assert_eq!(world.try_come(late), Err(Goodbye::Superseded));
    assert_eq!((world.session().received(), &world.sent[..]), (1, &[][..]), "they are sent again");
    assert!(world.read(parked).is_empty());
}

#[test]
fn a_poll_of_an_equal_attach_takes_the_place_of_the_one_that_is_parked() {
    let mut world = subscribed();
    let first = world.come(poll(2).after(1).saying(UpFrame::Extension));
    let second = world.come(poll(2).after(1));
    assert_eq!(world.read(first), ["ack 1"]);
    assert!(world.read(second).is_empty());
}

#[test]
fn a_poll_of_an_equal_attach_whose_answer_was_written_is_answered_again() {
    let mut world = subscribed();
    world.publish("a", 1);
    let first = world.come(poll(2).after(1).saying(commands(2, [send()])));
    assert_eq!(world.read(first), ["2 event a 1", "ack 2"]);
    let second = world.come(poll(2).after(1).saying(commands(2, [send()])));
    assert_eq!(world.read(second), ["2 event a 1", "ack 2"]);
    assert_eq!(world.sent, [2]);
}

#[test]
fn whoever_comes_to_a_session_that_has_ended_gets_another_one() {
    let mut world = subscribed();
    world.wait(120_000);
    assert_eq!(world.ended, Some(Ending::Provisional));
    for late in [poll(2).after(1), websocket(2).after(1), probe().after(1), event_source().after(1)] {
        assert_eq!(world.try_come(late), Err(Goodbye::Gone));
    }
    let anew = poll(2).after(1).saying(commands(2, [send()])).instead(ErrorCode::SessionUnknown);
    let (_ended, link) = world.open_another(anew);
    assert_eq!(world.read(link), ["welcome new 1 next 1 received 0 session_unknown"]);
    assert!(world.session().is_provisional());
    assert_eq!(world.sent, Vec::<u64>::new());
}

#[test]
fn commands_that_were_taken_are_dropped_and_the_ack_says_so() {
    let mut world = subscribed();
    let link = world.come(poll(2).after(1).saying(commands(1, [subscribe("b")])));
    assert_eq!(world.read(link), ["ack 1"]);
    assert_eq!(world.places(), ["a e1:0"]);
}

#[test]
fn commands_beyond_the_next_are_held_and_the_ack_says_so() {
    let mut world = subscribed();
    let link = world.come(poll(2).after(1).saying(commands(3, [send()])));
    assert_eq!(world.read(link), ["ack 1"]);
    assert_eq!(world.sent, Vec::<u64>::new());
}

#[test]
fn acknowledgements_never_go_back() {
    let mut world = subscribed();
    world.publish("a", 3);
    let stream = world.come(websocket(2).after(1));
    world.items(stream);
    for up_to in [4, 2, 0, 3] {
        world.ack(stream, up_to);
        world.post(stream, UpFrame::Ack { up_to }).unwrap();
    }
    assert_eq!(world.session().acknowledged(), 4);
    world.cut(stream);
    world.come(poll(3).after(2));
    assert_eq!(world.session().acknowledged(), 4, "nor by an attach");
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_an_error_and_acknowledges_nothing() {
    let mut world = subscribed();
    world.publish("a", 1);
    let stream = world.come(websocket(2).after(1));
    world.read(stream);
    assert_eq!(world.say(stream, UpFrame::Ack { up_to: 3 }), Err(ErrorCode::AckOutOfRange));
    assert_eq!(world.read(stream), ["error ack_out_of_range"], "the link lives on");
    assert_eq!(world.session().acknowledged(), 1);
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["3 event a 2"]);
}

#[test]
fn what_is_posted_to_a_session_that_has_ended_is_refused_and_makes_nothing() {
    let mut world = subscribed();
    let link = world.come(poll(2).after(1));
    world.say(link, UpFrame::Bye).unwrap();
    for late in [commands(2, [send()]), UpFrame::Ack { up_to: 1 }, attach(3, 1), UpFrame::Bye] {
        assert_eq!(world.post(link, late), Err(ErrorCode::SessionEnded));
    }
    assert_eq!((&world.sent[..], world.ended), (&[][..], Some(Ending::Bye)));
}

#[test]
fn a_bye_of_a_link_that_was_superseded_is_ignored() {
    let mut world = subscribed();
    let old = world.come(websocket(2).after(1));
    world.read(old);
    let newest = world.come(poll(3).after(1));
    world.say(old, UpFrame::Bye).unwrap();
    world.read(old); // the link goes
    world.say(old, UpFrame::Bye).unwrap();
    assert_eq!(world.ended, None);
    world.say(newest, UpFrame::Bye).unwrap();
    assert_eq!(world.ended, Some(Ending::Bye));
    assert_eq!(world.read(newest), ["close ended"]);
}

#[test]
fn a_bye_by_post_ends_the_session_unless_it_names_a_link_that_was_superseded() {
    let mut world = subscribed();
    let old = world.come(sse(2).after(1));
    world.read(old);
    let newest = world.come(poll(3).after(1));
    world.post(old, UpFrame::Bye).unwrap();
    world.read(old); // the link goes
    world.post(old, UpFrame::Bye).unwrap();
    assert_eq!(world.ended, None);
    world.cut(newest);
    world.post(newest, UpFrame::Bye).unwrap(); // between two polls there is no link
    assert_eq!(world.ended, Some(Ending::Bye));
}

#[test]
fn commands_on_a_link_that_was_superseded_are_ignored() {
    let mut world = subscribed();
    let old = world.come(websocket(2).after(1));
    world.come(poll(3).after(1));
    world.say(old, commands(2, [send()])).unwrap();
    assert_eq!(world.sent, Vec::<u64>::new());
    world.read(old);
    world.say(old, commands(2, [send()])).unwrap();
    assert_eq!(world.sent, Vec::<u64>::new(), "nor are they when it is gone: they come again on the newest");
}

#[test]
fn the_after_of_a_superseded_poll_need_not_count() {
    let mut world = subscribed();
    world.publish("a", 2);
    let first = world.come(poll(2).after(1));
    world.read(first);
    world.come(poll(4).after(2));
    assert_eq!(world.try_come(poll(3).after(3)), Err(Goodbye::Superseded));
    assert_eq!(world.session().acknowledged(), 2);
}

#[test]
fn an_answer_that_the_client_gave_up_is_safe_either_way() {
    for taken in [false, true] {
        let mut world = subscribed();
        world.publish("a", 2);
        let slow = world.come(poll(2).after(1));
        assert_eq!(world.read(slow), ["2 event a 1", "3 event a 2"]);
        let hedge = world.come(poll(3).after(1));
        assert_eq!(world.read(hedge), ["2 event a 1", "3 event a 2"], "the same numbers mean the same items");
        world.publish("a", 1);
        // Whether it took items 2 and 3 from the slow answer or from the hedge, it goes on after 3; with only the
        // first frame of a truncated one it goes on after 2.
        let next = world.come(poll(4).after(if taken { 3 } else { 2 }));
        assert_eq!(world.read(next).last().unwrap(), "4 event a 3");
    }
}
