//! What is said and not kept: it comes soon, at most once, in order, or not at all.

use throughline::session::{Dropped, LinkId};
use throughline_wire::{Payload, UpFrame, frame::VolatileUp};

use super::bench::*;

/// A session that holds `a` on this link and has read all there is.
fn listening(arrival: Arrival) -> (World, LinkId) {
    let (mut world, link) = World::open(arrival.saying(commands(1, [subscribe("a")])));
    world.read(link);
    world.prove(link);
    (world, link)
}

#[test]
fn a_volatile_comes_after_the_items_and_has_no_number() {
    let (mut world, link) = listening(websocket(1));
    world.whisper("a", 1);
    world.publish("a", 1);
    world.whisper("a", 1);
    assert_eq!(world.read(link), ["2 event a 1", "volatile a 1", "volatile a 2"]);
    world.publish("a", 1);
    assert_eq!(world.read(link), ["3 event a 2"]);
}

#[test]
fn a_poll_that_is_held_is_answered_with_it_and_the_next_one_misses_nothing() {
    let (mut world, first) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    world.read(first);
    let parked = world.come(poll(2).after(1));
    assert!(world.read(parked).is_empty());
    world.whisper("a", 1);
    assert_eq!(world.read(parked), ["volatile a 1"]);
    world.whisper("a", 2);
    let next = world.come(poll(3).after(1));
    assert_eq!(world.read(next), ["volatile a 2", "volatile a 3"]);
}

#[test]
fn what_is_no_news_any_more_is_never_told() {
    let (mut world, first) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    world.read(first);
    world.whisper("a", 3);
    world.wait(999);
    world.whisper("a", 1);
    world.wait(1);
    let late = world.come(poll(2).after(1));
    assert_eq!(world.read(late), ["volatile a 4"], "three are a second old");
    world.whisper("a", 1);
    world.wait(60_000);
    let late = world.come(poll(3).after(1));
    assert!(world.read(late).is_empty());
}

#[test]
fn whoever_comes_to_a_channel_hears_nothing_of_before() {
    let (mut world, link) = World::open(websocket(1));
    world.prove_after_reading(link);
    world.whisper("a", 3);
    world.say(link, commands(1, [subscribe("a")])).unwrap();
    world.whisper("a", 1);
    assert_eq!(world.read(link), ["1 subscribed a e1:0", "ack 1", "volatile a 4"]);
    world.say(link, commands(2, [unsubscribe("a")])).unwrap();
    world.whisper("a", 1);
    assert_eq!(world.read(link), ["2 unsubscribed a requested", "ack 2"]);
}

#[test]
fn nothing_is_said_of_a_channel_before_its_subscribed_has_gone_down() {
    let (mut world, link) = World::open(websocket(1));
    world.prove_after_reading(link);
    world.budget_bytes = 1; // one item a message
    world.say(link, commands(1, [subscribe("a"), subscribe("b")])).unwrap();
    world.whisper("b", 1);
    world.publish("a", 2);
    let said = world.read(link);
    let place = |line: &str| said.iter().position(|said| said == line).unwrap_or_else(|| panic!("{said:?}"));
    assert!(place("volatile b 1") > place("2 subscribed b e1:0"));
    assert_eq!(said.iter().filter(|line| line.starts_with("volatile")).count(), 1);
}

#[test]
fn a_link_that_cannot_be_written_to_does_without_and_costs_nothing() {
    let (mut world, link) = listening(websocket(1));
    world.whisper("a", 1_000);
    let said = world.read(link);
    assert_eq!((said.len(), said.first().map(String::as_str)), (64, Some("volatile a 937")));
    assert_eq!(world.session().unacknowledged(), 1, "only the subscribed");
}

#[test]
fn a_migration_neither_repeats_nor_reorders() {
    let (mut world, link) = listening(websocket(1));
    world.whisper("a", 2);
    assert_eq!(world.read(link), ["volatile a 1", "volatile a 2"]);
    world.whisper("a", 1);
    let next = world.come(sse(2).after(1));
    assert_eq!(world.read(link), ["retry superseded", "close superseded"]);
    let said = world.read(next);
    assert_eq!(said.last().map(String::as_str), Some("volatile a 3"));
    assert_eq!(said.iter().filter(|line| line.starts_with("volatile")).count(), 1);
}

#[test]
fn a_probe_is_told_nothing() {
    let (mut world, link) = listening(websocket(1));
    let standby = world.come(webtransport_probe().after(1));
    world.prove_after_reading(standby);
    world.whisper("a", 1);
    assert!(world.read(standby).is_empty());
    assert_eq!(world.read(link), ["volatile a 1"]);
}

#[test]
fn a_link_with_datagrams_gets_each_alone_once_it_has_its_items() {
    let (mut world, link) = listening(webtransport(1));
    world.whisper("a", 2);
    world.publish("a", 1);
    assert_eq!(world.read(link), ["2 event a 1", "datagram volatile a 1", "datagram volatile a 2"]);
    world.say(link, volatile("a", 1)).unwrap();
    assert!(world.read(link).is_empty(), "its own");
}

#[test]
fn a_volatile_goes_to_everybody_who_holds_the_channel_but_its_sender() {
    let (mut world, link) = listening(websocket(1));
    world.say(link, volatile("a", 7)).unwrap();
    world.say(link, volatile("a", 8)).unwrap();
    assert!(world.read(link).is_empty(), "it is never answered, and not told to its sender");
    assert_eq!(world.spoken, [7, 8]);
    let (_, other) = world.open_another(websocket(1).saying(commands(1, [subscribe("a")])));
    world.read(other);
    world.say(other, volatile("a", 1)).unwrap();
    assert!(world.read(other).is_empty());
    world.whisper("a", 1);
    assert_eq!(world.read(other), ["volatile a 4"]);
}

#[test]
fn a_volatile_comes_by_post_and_with_a_poll() {
    let (mut world, first) = World::open(poll(1).saying(commands(1, [subscribe("a")])));
    world.read(first);
    let parked = world.come(poll(2).after(1).saying(volatile("a", 1)));
    world.post(parked, volatile("a", 2)).unwrap();
    assert!(world.read(parked).is_empty(), "a poll is not answered for what it says itself");
    assert_eq!(world.spoken, [1, 2]);
}

#[test]
fn permission_is_asked_for_once_and_the_newest_waits_for_it() {
    let (mut world, link) = listening(websocket(1));
    world.may_send = None;
    for seq in 1..=5 {
        world.say(link, volatile("a", seq)).unwrap();
    }
    assert_eq!((&world.asked[..], &world.spoken[..]), (&["a".to_owned()][..], &[][..]));
    world.permit("a", Some(true));
    world.say(link, volatile("a", 6)).unwrap();
    assert_eq!((world.asked.len(), &world.spoken[..]), (1, &[5, 6][..]));
    // Another subscription asks again.
    world.say(link, commands(2, [unsubscribe("a"), subscribe("a")])).unwrap();
    world.say(link, volatile("a", 7)).unwrap();
    assert_eq!(world.asked.len(), 2);
    world.permit("a", Some(false));
    world.say(link, volatile("a", 8)).unwrap();
    assert_eq!((world.asked.len(), world.spoken.len()), (2, 2));
    assert_eq!(world.dropped, [Dropped::VolatileForbidden; 2]);
}

#[test]
fn a_right_that_was_taken_away_or_given_counts_half_a_minute_later() {
    let (mut world, link) = listening(websocket(1));
    world.may_send = Some(true);
    world.say(link, volatile("a", 1)).unwrap();
    world.may_send = Some(false);
    world.say(link, volatile("a", 2)).unwrap();
    let half_a_minute = |world: &mut World| {
        for _ in 0..3 {
            world.wait(10_000);
            world.read(link);
            world.say(link, UpFrame::Pong { nonce: None }).unwrap();
        }
    };
    half_a_minute(&mut world);
    world.say(link, volatile("a", 3)).unwrap();
    world.say(link, volatile("a", 4)).unwrap();
    assert_eq!(world.spoken, [1, 2]);
    world.may_send = Some(true);
    world.say(link, volatile("a", 5)).unwrap();
    half_a_minute(&mut world);
    world.say(link, volatile("a", 6)).unwrap();
    assert_eq!(world.spoken, [1, 2, 6]);
    assert_eq!(world.dropped, [Dropped::VolatileForbidden; 3]);
}

#[test]
fn whoever_could_not_say_is_asked_again_a_second_later() {
    let (mut world, link) = listening(websocket(1));
    world.may_send = None;
    world.say(link, volatile("a", 1)).unwrap();
    world.permit("a", None);
    world.say(link, volatile("a", 2)).unwrap();
    assert_eq!((world.asked.len(), &world.dropped[..]), (1, &[Dropped::VolatileForbidden; 2][..]));
    world.wait(1_000);
    world.say(link, volatile("a", 3)).unwrap();
    world.permit("a", Some(true));
    assert_eq!((world.asked.len(), &world.spoken[..]), (2, &[3][..]));
}

#[test]
fn what_may_not_be_said_is_dropped_and_named() {
    let (mut world, link) = listening(websocket(1));
    let standby = world.come(probe().after(1));
    world.prove_after_reading(standby);
    let mut dropped = |frame: UpFrame, on: LinkId| {
        world.say(on, frame).unwrap();
        world.dropped.pop()
    };
    assert_eq!(dropped(volatile("b", 1), link), Some(Dropped::VolatileNotSubscribed));
    assert_eq!(dropped(volatile("a", 1), standby), Some(Dropped::VolatileNotAttached));
    assert_eq!(dropped(volatile("a", 2), link), None);
    assert_eq!(dropped(volatile("a", 2), link), Some(Dropped::VolatileOld));
    assert_eq!(dropped(volatile("a", 1), link), Some(Dropped::VolatileOld));
    let large = |bytes: usize| {
        let UpFrame::Volatile(said) = volatile("a", 3) else { unreachable!() };
        UpFrame::Volatile(VolatileUp { payload: Payload::Bytes(vec![0; bytes].into()), ..said })
    };
    assert_eq!(dropped(large(4_097), link), Some(Dropped::VolatileTooLarge));
    assert_eq!(dropped(large(4_096), link), None);
    assert!(world.read(link).is_empty(), "nothing is ever answered");
    assert_eq!(world.spoken, [2, 3]);
}

#[test]
fn a_session_may_say_so_much_a_second() {
    let (mut world, link) = listening(webtransport(1));
    for seq in 1..=150 {
        world.fling(link, volatile("a", seq));
    }
    assert_eq!((world.spoken.len(), &world.dropped[..]), (100, &[Dropped::VolatileTooOften; 50][..]));
    world.wait(1_000);
    world.fling(link, volatile("a", 151));
    assert_eq!(world.spoken.last(), Some(&151));
}

#[test]
fn a_datagram_is_no_sign_of_life_of_the_stream() {
    let (mut world, link) = listening(webtransport(1));
    for seq in 1..=3 {
        world.wait(10_000);
        world.fling(link, volatile("a", seq));
    }
    assert_eq!(world.read(link).last().map(String::as_str), Some("close silence"));
    world.fling(link, volatile("a", 4));
    assert_eq!(world.dropped, [Dropped::VolatileNotAttached]);
}

#[test]
fn c7_a_volatile_behind_a_resume_that_failed_is_dropped() {
    let (mut world, _) = World::open(poll(1));
    let gone = websocket(1).after(0).at([("a", "e1:0")]).instead(throughline_wire::ErrorCode::SessionUnknown);
    let (_, link) = world.open_another(gone);
    world.say(link, volatile("a", 1)).unwrap();
    assert_eq!(world.dropped, [Dropped::VolatileNotAttached]);
    world.prove_after_reading(link);
    world.say(link, volatile("a", 2)).unwrap();
    assert_eq!(world.spoken, [2]);
}
