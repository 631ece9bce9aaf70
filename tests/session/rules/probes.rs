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

/// The two transports that go both ways: to the session they are one.
const PROBES: [fn() -> Arrival; 2] = [probe, webtransport_probe];

#[test]
fn l10_a_probe_whose_downward_half_is_swallowed_never_displaces_what_works() {
    for standing_by in PROBES {
        for works in [sse, websocket, webtransport] {
            let mut world = subscribed();
            let active = world.come(works(2).after(1));
            world.prove_after_reading(active);
            let swallowed = world.come(standing_by().after(1));
            // All that it says arrives; what is written to it is swallowed, so it has no nonce to say.
            world.read(swallowed);
            for number in 3..6 {
                assert_eq!(world.say(swallowed, attach(number, 1)), Err(ErrorCode::FrameNotAllowed));
                world.say(swallowed, UpFrame::Pong { nonce: Some(number + 100) }).unwrap();
                world.say(swallowed, UpFrame::Pong { nonce: None }).unwrap();
                world.publish("a", 1);
                assert_eq!(world.items(active).len(), 1, "what works goes on");
                assert_eq!(world.session().active().map(|(id, _)| id), Some(active));
            }
            world.prove(active);
            world.wait(14_999);
            world.prove(active);
            assert!(!world.read(swallowed).iter().any(|line| line.starts_with("close")), "it stands by");
            world.wait(1);
            assert_eq!(world.read(swallowed).last().map(String::as_str), Some("close silence"));
            world.publish("a", 1);
            assert_eq!(world.items(active), ["5 event a 4"]);
            assert_eq!(world.session().incarnation(), 1);
        }
    }
}

#[test]
fn l10_a_probe_that_says_nothing_at_all_is_forgotten_and_what_works_goes_on() {
    for standing_by in PROBES {
        let mut world = subscribed();
        let mut parked = world.come(poll(2).after(1));
        let silent = world.come(standing_by().after(1));
        world.wait(15_000);
        world.publish("a", 1);
        assert_eq!(world.read(parked), ["2 event a 1", "ping"], "a heartbeat was due, too");
        assert_eq!(world.read(silent).last().map(String::as_str), Some("close silence"));
        parked = world.come(poll(3).after(2));
        world.publish("a", 1);
        assert_eq!(world.read(parked), ["3 event a 2"], "and no number was lost on it");
    }
}

#[test]
fn l10_a_probe_on_webtransport_is_one_on_websocket() {
    let story = |standing_by: fn() -> Arrival| {
        let mut world = subscribed();
        let parked = world.come(poll(2).after(1));
        let standby = world.come(standing_by().after(1));
        let mut told = vec![world.read(standby)];
        told.push(vec![format!("{:?}", world.say(standby, attach(3, 1)))]);
        world.publish("a", 2);
        told.push(world.read(standby));
        told.push(world.read(parked));
        world.prove(standby);
        world.say(standby, attach(3, 2)).unwrap();
        told.push(world.read(standby));
        let late = world.come(standing_by().after(3));
        world.prove_after_reading(late);
        world.say(late, attach(3, 3)).unwrap();
        told.push(world.read(late));
        world.cut(standby);
        let copied = world.come(standing_by().after(3).of("copy"));
        world.prove_after_reading(copied);
        world.say(copied, attach(4, 3)).unwrap();
        told.push(world.read(copied));
        told
    };
    assert_eq!(story(webtransport_probe), story(probe));
}
