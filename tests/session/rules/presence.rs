//! P1-P8: who takes part in a channel is told to all who do, without flapping, and never as a difference to nothing.
//!
//! Sessions are named by the order in which they opened. The present one is the last that opened; the others wait aside
//! in that order.

use throughline::{
    limits::Limit,
    session::{Ending, LinkId},
};
use throughline_wire::{ErrorCode, UpFrame};

use super::bench::*;

/// Session 1 takes part in `a` on this link, which needs no sign of life, and has acknowledged that it is alone.
fn one() -> (World, LinkId) {
    one_with(|_| {})
}

fn one_with(adjust: impl FnOnce(&mut throughline::session::SessionConfig)) -> (World, LinkId) {
    let (mut world, link) = World::open_with(adjust, sse(1).saying(commands(1, [take_part("a")])));
    world.prove_after_reading(link);
    assert_eq!(world.items(link), ["2 presence a state 1 of 1"]);
    world.ack(link, 2);
    (world, link)
}

/// Sessions 1 and 2 take part in `a`; 2 is the present one, and both are up to date.
fn two() -> (World, LinkId, LinkId) {
    let (mut world, first) = one();
    let second = another(&mut world);
    assert_eq!(world.presences(second), ["a state 1 2 of 2"]);
    world.ack(second, 2);
    world.as_session(0, |world| {
        assert_eq!(world.items(first), ["3 presence a join 2 of 2"]);
        world.ack(first, 3);
    });
    (world, first, second)
}

/// Another session opens beside, and takes part in `a`.
fn another(world: &mut World) -> LinkId {
    another_like(world, websocket(1))
}

fn another_like(world: &mut World, arrival: Arrival) -> LinkId {
    let link = world.open_beside(arrival.saying(commands(1, [take_part("a")])));
    world.prove_after_reading(link);
    link
}

#[test]
fn p1_whoever_takes_part_is_listed_and_told_and_nobody_else_is_either() {
    let (mut world, first) = one();
    let onlooker = world.open_beside(websocket(1).saying(commands(1, [subscribe("a")])));
    world.prove_after_reading(onlooker);
    let third = another(&mut world);
    assert_eq!(world.items(third), ["2 presence a state 1 3 of 2"], "and not session 2");
    world.as_session(0, |world| assert_eq!(world.items(first), ["3 presence a join 3 of 2"]));
    world.as_session(1, |world| assert!(world.items(onlooker).is_empty()));
}

#[test]
fn p1_a_subscribe_of_a_channel_that_is_held_changes_the_wish() {
    let (mut world, first, second) = two();
    world.say(second, commands(2, [subscribe("a")])).unwrap();
    assert_eq!(world.items(second), ["3 subscribed a e1:0"]);
    world.as_session(0, |world| {
        assert_eq!(world.presences(first), ["a leave 2 of 1"]);
        world.ack(first, 4);
    });
    world.say(second, commands(3, [take_part("a")])).unwrap();
    assert_eq!(world.items(second), ["4 subscribed a e1:0", "5 presence a state 1 2 of 2"]);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a join 2 of 2"]));
    // Asked again it is told everybody again, and nobody else is told anything.
    world.ack(second, 5);
    world.say(second, commands(4, [take_part("a")])).unwrap();
    assert_eq!(world.items(second), ["6 subscribed a e1:0", "7 presence a state 1 2 of 2"]);
    world.as_session(0, |world| {
        world.ack(first, 5);
        assert!(world.items(first).is_empty());
    });
}

#[test]
fn p2_the_state_follows_subscribed_and_comes_before_any_difference() {
    let (mut world, _) = one();
    let second = world.open_beside(websocket(1));
    world.prove_after_reading(second);
    world.budget_bytes = 1; // one item a message
    world.say(second, commands(1, [take_part("b"), take_part("a")])).unwrap();
    let third = another(&mut world);
    assert!(!world.read(third).is_empty());
    world.turn(1);
    let said = world.items(second);
    assert_eq!(
        said,
        [
            "1 subscribed b e1:0",
            "2 subscribed a e1:0",
            "3 presence b state 2 of 1",
            "4 presence a state 1 2 3 of 3"
        ]
    );
}

#[test]
fn p2_whoever_missed_more_than_is_remembered_is_told_everybody() {
    let (mut world, first, second) = two();
    let mut number = 2;
    let mut go_and_come = |world: &mut World, times| {
        for _ in 0..times {
            world.say(second, commands(number, [subscribe("a"), take_part("a")])).unwrap();
            world.read(second);
            world.ack(second, world.session().acknowledged() + world.session().unacknowledged());
            number += 2;
        }
    };
    go_and_come(&mut world, 8); // 16 changes: what is remembered where few take part
    world.as_session(0, |world| assert!(world.presences(first).is_empty(), "their net is nothing"));
    go_and_come(&mut world, 9);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a state 1 2 of 2"]));
}

#[test]
fn p3_who_came_and_went_between_is_not_told() {
    let (mut world, first, second) = two();
    let third = another(&mut world);
    let fourth = another(&mut world);
    world.say(fourth, UpFrame::Bye).unwrap();
    world.as_session(1, |world| world.say(second, UpFrame::Bye)).unwrap();
    world.turn(0);
    assert_eq!(world.items(first), ["4 presence a leave 2 of 1", "5 presence a join 3 of 2"]);
    world.turn(0);
    world.turn(2);
    assert_eq!(world.items(third), ["2 presence a state 1 3 of 2"]);
}

#[test]
fn p4_the_next_is_told_once_the_last_is_acknowledged_so_that_a_burst_costs_few_items() {
    let (mut world, first) = one();
    for _ in 0..100 {
        another(&mut world);
        world.as_session(0, |world| world.read(first));
    }
    world.turn(0);
    assert_eq!(world.session().unacknowledged(), 1, "the first newcomer alone");
    world.ack(first, 3);
    let burst = world.presences(first);
    assert_eq!(burst.len(), 1);
    assert!(burst[0].starts_with("a join 3 4 5") && burst[0].ends_with("of 101"), "{burst:?}");
}

#[test]
fn p4_whoever_leaves_and_comes_back_is_told_once_the_last_is_acknowledged_too() {
    for leave in [subscribe, unsubscribe] {
        let (mut world, link) = one();
        for round in 0..5 {
            world.say(link, commands(2 + 2 * round, [leave("a"), take_part("a")])).unwrap();
            let told: &[&str] = if round == 0 { &["a state 1 of 1"] } else { &[] };
            assert_eq!(world.presences(link), told);
        }
        world.ack(link, world.session().unacknowledged() + 2);
        assert_eq!(world.presences(link), ["a state 1 of 1"]);
    }
}

#[test]
fn p4_a_numbered_presence_is_sent_again_as_it_was() {
    let (mut world, first) = one();
    let second = another(&mut world);
    world.turn(0);
    assert_eq!(world.items(first), ["3 presence a join 2 of 2"]);
    world.cut(first);
    world.as_session(0, |world| world.say(second, UpFrame::Bye)).unwrap();
    let again = world.come(poll(2).after(2));
    assert_eq!(world.items(again), ["3 presence a join 2 of 2"]);
    let next = world.come(poll(3).after(3));
    assert_eq!(world.items(next), ["4 presence a leave 2 of 1"]);
}

#[test]
fn p5_nobody_is_told_of_a_link_that_was_lost_and_came_back_within_the_grace() {
    let (mut world, first, second) = two();
    world.cut(second);
    world.wait(29_999);
    let back = world.come(websocket(2).after(2));
    assert!(world.presences(back).is_empty());
    world.wait(60_000);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
}

#[test]
fn p5_nobody_is_told_of_polls_and_migrations() {
    let (mut world, first, second) = two();
    world.cut(second);
    for attach in 2..8 {
        let poll = world.come(poll(attach).after(2));
        assert_eq!(world.read(poll), [""; 0], "it is held");
        world.wait(25_000);
        assert_eq!(world.read(poll), ["ack 1", "ping"]);
        world.wait(5_000); // until the next one comes
        world.as_session(0, |world| {
            assert!(world.presences(first).is_empty());
        });
    }
    let probe = world.come(probe().after(2));
    world.prove_after_reading(probe);
    world.say(probe, attach(8, 2)).unwrap();
    assert!(world.presences(probe).is_empty());
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
}

#[test]
fn p5_after_the_grace_it_is_gone_and_comes_back_by_a_join_and_hears_what_it_missed() {
    let (mut world, first, second) = two();
    world.cut(second);
    world.wait(30_000);
    world.as_session(0, |world| {
        assert_eq!(world.presences(first), ["a leave 2 of 1"]);
        world.ack(first, 4);
    });
    let third = another(&mut world);
    assert_eq!(world.presences(third), ["a state 1 3 of 2"]);
    world.turn(1);
    let back = world.come(websocket(2).after(2));
    assert_eq!(world.presences(back), ["a join 3 of 3"], "that it was away itself is no news to it");
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a join 3 2 of 3"]));
}

#[test]
fn p5_a_probe_or_a_post_is_no_return() {
    let (mut world, first, second) = two();
    world.cut(second);
    world.wait(30_000);
    let probe = world.come(probe().after(2));
    world.prove_after_reading(probe);
    world.post(probe, commands(2, [take_part("b")])).unwrap();
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a leave 2 of 1"]));
    world.say(probe, attach(2, 2)).unwrap();
    assert_eq!(world.presences(probe), ["b state 2 of 1"]);
    world.as_session(0, |world| {
        world.ack(first, 4);
        assert_eq!(world.presences(first), ["a join 2 of 2"]);
    });
}

#[test]
fn p5_a_post_of_a_session_that_is_away_lists_it_nowhere() {
    let (mut world, first) = one();
    let second = world.open_beside(websocket(1).known());
    world.prove_after_reading(second);
    world.cut(second);
    world.wait(30_000);
    world.post(second, commands(1, [take_part("a")])).unwrap();
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    let back = world.come(websocket(2));
    assert_eq!(world.presences(back), ["a state 1 2 of 2"]);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a join 2 of 2"]));
}

#[test]
fn p6_whoever_leaves_for_good_is_gone_at_once() {
    let leaving: [fn(&mut World, LinkId); 4] = [
        |world, link| world.say(link, UpFrame::Bye).unwrap(),
        |world, link| world.say(link, commands(2, [unsubscribe("a")])).unwrap(),
        |world, _| assert!(world.revoke("a")),
        |world, _| world.disconnect(),
    ];
    for leave in leaving {
        let (mut world, first, second) = two();
        leave(&mut world, second);
        world.as_session(0, |world| assert_eq!(world.presences(first), ["a leave 2 of 1"]));
    }
}

#[test]
fn p6_a_session_that_expires_before_the_grace_is_over_is_gone_with_it() {
    let (mut world, first) = one_with(|config| config.resume_window_ms = 10_000);
    let second = another(&mut world);
    world.read(second);
    world.cut(second);
    world.wait(10_000);
    assert_eq!(world.ended, Some(Ending::Expired));
    world.as_session(0, |world| assert!(world.presences(first).is_empty(), "it came and went"));
}

#[test]
fn p7_a_provisional_session_takes_no_part_until_it_is_confirmed() {
    let (mut world, first) = one();
    let lost = world.open_beside(poll(1).saying(commands(1, [take_part("a")])));
    assert_eq!(world.items(lost), ["1 subscribed a e1:0"]);
    let second = world.open_beside(poll(1).saying(commands(1, [take_part("a")])));
    assert_eq!(world.items(second), ["1 subscribed a e1:0"]);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    let confirming = world.come(poll(2).after(1));
    assert_eq!(world.items(confirming), ["2 presence a state 1 3 of 2"]);
    world.wait(10_000);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a join 3 of 2"]));
}

#[test]
fn p8_a_rebuild_keeps_the_wishes_of_the_channels_that_it_keeps_and_nobody_sees_it_go() {
    let (mut world, first, second) = two();
    world.say(second, commands(2, [take_part("b"), subscribe("c")])).unwrap();
    world.read(second);
    world.hold = true;
    let places = [("a", "e1:0"), ("c", "e1:0")];
    let reloaded = world.come(poll(2).of("the page, loaded again").after(4).low(4).at(places));
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    world.grant();
    assert_eq!(
        world.items(reloaded),
        ["5 subscribed a e1:0", "6 subscribed c e1:0", "7 presence a state 1 2 of 2"]
    );
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
}

#[test]
fn p8_a_page_that_is_loaded_again_and_asks_anew_is_not_seen_to_go() {
    let (mut world, first, _) = two();
    // It keeps its session and begins each channel anew: it states none.
    let reloaded = world.come(poll(2).of("the page, loaded again").after(2).low(2).at([]));
    assert_eq!(world.items(reloaded), [""; 0]);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    world.wait(1_000);
    let asking = world.come(poll(3).of("the page, loaded again").after(2).low(2).incarnation(2));
    world.say(asking, commands(2, [take_part("a")])).unwrap();
    assert_eq!(world.items(asking), ["3 subscribed a e1:0", "4 presence a state 1 2 of 2"]);
    let going_on = world.come(poll(4).of("the page, loaded again").after(4).low(3).incarnation(2));
    world.wait(20_000);
    assert!(world.presences(going_on).is_empty());
    world.wait(20_000);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
}

#[test]
fn p8_a_page_that_is_loaded_again_and_does_not_ask_is_gone_after_the_grace() {
    for ask in [Some(subscribe("a")), None] {
        let (mut world, first, second) = two();
        world.cut(second);
        let reloaded = world.come(sse(2).of("the page, loaded again").after(2).low(2).at([]));
        world.prove_after_reading(reloaded);
        let asks = ask.is_some();
        if let Some(ask) = ask {
            world.say(reloaded, commands(2, [ask])).unwrap();
        }
        world.wait(29_999);
        let gone: &[&str] = if asks { &["a leave 2 of 1"] } else { &[] };
        world.as_session(0, |world| assert_eq!(world.presences(first), gone));
        world.wait(1);
        let gone: &[&str] = if asks { &[] } else { &["a leave 2 of 1"] };
        world.as_session(0, |world| assert_eq!(world.presences(first), gone));
    }
}

#[test]
fn p8_a_page_that_is_loaded_again_and_again_is_gone_a_grace_after_it_last_held_the_channel() {
    let (mut world, first, _) = two();
    for (page, attach, incarnation) in [("first", 2, 1), ("second", 3, 2), ("third", 4, 3)] {
        let anew = sse(attach).of(page).after(2).low(2).incarnation(incarnation).at([]);
        let reloaded = world.come(anew);
        world.prove_after_reading(reloaded);
        world.as_session(0, |world| assert!(world.presences(first).is_empty()));
        world.wait(14_000);
    }
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a leave 2 of 1"]));
}

#[test]
fn p8_a_page_that_is_loaded_again_after_the_grace_is_listed_where_it_asks_and_nowhere_else() {
    let (mut world, first, second) = two();
    world.cut(second);
    world.wait(30_000);
    world.as_session(0, |world| {
        assert_eq!(world.presences(first), ["a leave 2 of 1"]);
        world.ack(first, 4);
    });
    let reloaded = world.come(sse(2).of("the page, loaded again").after(2).low(2).at([]));
    world.prove_after_reading(reloaded);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    world.say(reloaded, commands(2, [take_part("a")])).unwrap();
    assert_eq!(world.presences(reloaded), ["a state 1 2 of 2"]);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a join 2 of 2"]));
}

#[test]
fn p8_a_page_that_is_loaded_again_and_leaves_is_gone_at_once() {
    let (mut world, first, _) = two();
    let reloaded = world.come(sse(2).of("the page, loaded again").after(2).low(2).at([]));
    world.prove_after_reading(reloaded);
    world.say(reloaded, commands(2, [unsubscribe("a")])).unwrap();
    assert_eq!(world.items(reloaded), ["3 reply 2 not_subscribed"]);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a leave 2 of 1"]));
}

#[test]
fn p8_a_rebuild_that_is_refused_the_channel_leaves_its_presence() {
    let (mut world, first, second) = two();
    world.read(second);
    world.hold = true;
    let reloaded = world.come(poll(2).of("the page, loaded again").after(2).low(2).at([("a", "e1:0")]));
    world.refuse(ErrorCode::Forbidden);
    assert_eq!(world.items(reloaded), ["3 unsubscribed a revoked"]);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a leave 2 of 1"]));
}

#[test]
fn p9_one_more_than_may_take_part_is_refused_and_may_come_when_another_goes() {
    let (mut world, first) = one_with(|config| config.presence_members = 1);
    let second = world.open_beside(websocket(1).saying(commands(1, [subscribe("a")])));
    world.prove_after_reading(second);
    world.say(second, commands(2, [take_part("a")])).unwrap();
    assert_eq!(world.items(second), ["2 reply 2 too_many_members"]);
    assert_eq!(world.places(), ["a e1:0"], "it holds the channel as it did");
    world.as_session(0, |world| world.say(first, UpFrame::Bye)).unwrap();
    world.say(second, commands(3, [take_part("a")])).unwrap();
    assert_eq!(world.items(second), ["3 subscribed a e1:0", "4 presence a state 2 of 1"]);
}

#[test]
fn p9_whoever_comes_back_and_finds_no_room_has_the_channel_taken_away() {
    let (mut world, link) = one_with(|config| config.presence_members = 1);
    world.cut(link);
    world.wait(30_000);
    let second = another(&mut world);
    assert_eq!(world.presences(second), ["a state 2 of 1"]);
    world.turn(0);
    let back = world.come(websocket(2).after(2));
    assert_eq!(world.items(back), ["3 unsubscribed a revoked"]);
    assert!(world.places().is_empty());
}

#[test]
fn p9_a_user_whose_sessions_are_left_to_expire_one_after_another_leaves_seats_to_others() {
    let (mut world, first) = one_with(|config| {
        (config.presence_members, config.user_presence_members) = (4, 2);
    });
    for _ in 0..2 {
        let link = another_like(&mut world, websocket(1).by("ada"));
        assert_eq!(world.presences(link).len(), 1);
        world.cut(link);
    }
    let third = world.open_beside(sse(1).by("ada").saying(commands(1, [take_part("a")])));
    assert_eq!(world.items(third), ["1 reply 1 too_many_members"]);
    assert_eq!(world.limited, [Limit::UserPresenceMembers]);
    world.prove(third);
    let bob = another_like(&mut world, websocket(1).by("bob"));
    assert_eq!(world.presences(bob), ["a state 1 2 3 5 of 4"]);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a join 2 3 5 of 4"]));
    world.turn(3);
    world.wait(30_000); // then those that were left are gone
    world.say(third, commands(2, [take_part("a")])).unwrap();
    assert_eq!(world.presences(third), ["a state 1 5 4 of 3"]);
}

#[test]
fn p9_a_session_that_comes_back_and_finds_the_seats_of_its_user_taken_loses_the_channel() {
    let (mut world, link) = World::open_with(
        |config| config.user_presence_members = 1,
        sse(1).by("ada").saying(commands(1, [take_part("a")])),
    );
    world.prove_after_reading(link);
    assert_eq!(world.presences(link), ["a state 1 of 1"]);
    world.ack(link, 2);
    world.cut(link);
    world.wait(30_000);
    let second = another_like(&mut world, websocket(1).by("ada"));
    assert_eq!(world.presences(second), ["a state 2 of 1"]);
    world.turn(0);
    let back = world.come(websocket(2).after(2));
    assert_eq!(world.items(back), ["3 unsubscribed a revoked"]);
    assert_eq!(world.limited, [Limit::UserPresenceMembers]);
}

#[test]
fn p9_a_user_whose_sessions_acknowledge_nothing_one_after_another_leaves_room_to_tell_others() {
    let (mut world, _) = one_with(|config| config.presence_bytes = 6_000);
    let told_and_gone = |world: &mut World| {
        let link = another_like(world, sse(1).by("ada"));
        let told = world.presences(link).len();
        world.say(link, commands(2, [unsubscribe("a")])).unwrap(); // its seat is free, what it was told is here
        told
    };
    let told: Vec<_> = (0..30).map(|_| told_and_gone(&mut world)).collect();
    let some = told.iter().sum();
    assert!((2..30).contains(&some) && told[..some].iter().all(|told| *told == 1), "{told:?}");
    let bob = another_like(&mut world, websocket(1).by("bob"));
    assert_eq!(world.presences(bob), ["a state 1 32 of 2"]);
    world.ack(bob, 2);
    let waiting = another_like(&mut world, sse(1).by("ada"));
    assert!(world.presences(waiting).is_empty());
    world.wait(61_000); // then some that acknowledge nothing are ended
    assert_eq!(world.presences(waiting), ["a state 1 32 33 of 3"]);
}

#[test]
fn p9_past_the_budget_nobody_is_told_more_until_something_is_acknowledged() {
    let (mut world, first) = one_with(|config| config.presence_bytes = 200);
    let second = another(&mut world); // its state costs more than that
    assert_eq!(world.presences(second), ["a state 1 2 of 2"]);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    world.ack(second, 2);
    world.as_session(0, |world| {
        world.say(first, commands(2, [noop()])).unwrap(); // whatever comes next
        assert_eq!(world.presences(first), ["a join 2 of 2"]);
    });
}

#[test]
fn p9_whoever_waits_for_the_budget_looks_again_though_nothing_else_happens() {
    let (mut world, first) = one_with(|config| config.presence_bytes = 200);
    let second = another(&mut world);
    assert_eq!(world.presences(second), ["a state 1 2 of 2"]);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    world.ack(second, 2);
    world.wait(1_000);
    world.as_session(0, |world| assert_eq!(world.presences(first), ["a join 2 of 2"]));
}

#[test]
fn p9_whoever_acknowledges_no_presence_for_a_minute_while_there_is_little_room_is_ended() {
    for (budget, ended) in [(u64::MAX, None), (200, Some(Ending::Unacknowledged))] {
        let (mut world, link) = World::open_with(
            |config| config.presence_bytes = budget,
            sse(1).saying(commands(1, [take_part("a")])),
        );
        world.prove_after_reading(link);
        assert_eq!(world.presences(link), ["a state 1 of 1"]);
        world.say(link, commands(2, [unsubscribe("a")])).unwrap();
        world.wait(59_999);
        assert_eq!(world.ended, None, "nobody has to be quick");
        world.wait(1);
        assert_eq!(world.ended, ended);
        if ended.is_some() {
            let said = world.read(link);
            assert_eq!(said[said.len() - 3..], ["error session_ended", "retry ended", "close session_gone"]);
        }
    }
}

#[test]
fn p9_whoever_acknowledges_within_a_minute_goes_on_however_little_room_there_is() {
    let (mut world, link) = one_with(|config| config.presence_bytes = 200);
    for n in 2..8 {
        world.say(link, commands(n, [take_part("a")])).unwrap();
        world.wait(59_000);
        let told = world.items(link);
        world.ack(link, 2 * n);
        assert_eq!((told.len(), world.ended), (2, None));
    }
    world.wait(600_000);
    assert_eq!(world.ended, None, "who holds nothing is not asked for it");
}

#[test]
fn p9_of_what_is_held_for_long_the_oldest_presence_counts_and_nothing_else() {
    let (mut world, link) = one_with(|config| config.presence_bytes = 600);
    world.say(link, commands(2, [take_part("a")])).unwrap();
    assert_eq!(world.items(link)[1], "4 presence a state 1 of 1");
    world.wait(30_000);
    world.say(link, commands(3, [take_part("b")])).unwrap();
    assert_eq!(world.items(link)[1], "6 presence b state 1 of 1");
    world.ack(link, 4);
    world.say(link, commands(4, [subscribe("c")])).unwrap();
    assert_eq!(world.items(link), ["7 subscribed c e1:0"]);
    world.wait(30_000);
    world.say(link, commands(5, [take_part("a")])).unwrap();
    assert_eq!(world.items(link)[1], "9 presence a state 1 of 1");
    world.ack(link, 6);
    world.wait(60_000);
    assert_eq!(world.ended, None, "7 is no presence, and 9 is told for less than two looks");
    world.wait(60_000);
    assert_eq!(world.ended, Some(Ending::Unacknowledged));
}

#[test]
fn an_event_stream_by_address_takes_no_part_whatever_is_posted_beside_it() {
    let (mut world, first) = one();
    let plain = world.open_beside(event_source());
    world.read(plain);
    world.post(plain, commands(1, [take_part("a")])).unwrap();
    assert_eq!(world.items(plain), ["1 subscribed a e1:0"]);
    world.as_session(0, |world| assert!(world.presences(first).is_empty()));
    let moved = world.come(websocket(2).after(1));
    assert_eq!(world.presences(moved), ["a state 1 2 of 2"]);
}
