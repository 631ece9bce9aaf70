//! Slow consumers: what a session gets of a channel in which it fell behind, by the policy of the channel, and that
//! whatever is left out is told.

use throughline::session::{LinkId, SessionConfig, SlowPolicy, SlowRule, SlowRules};
use throughline_wire::SubscribeFrom;

use super::bench::*;

/// Whoever has more than three unsent events of `p:a`, or more than 100 bytes of them, is behind.
fn behind_after_three(policy: SlowPolicy) -> impl FnOnce(&mut SessionConfig) {
    let rule = SlowRule { events: 3, bytes: 100, ..SlowRule::new(policy) };
    move |config| config.slow = SlowRules::new([("p", rule)])
}

/// Subscribed to `p:a` and `p:b`, which brought items 1 and 2, on a stream.
fn subscribed(policy: SlowPolicy) -> (World, LinkId) {
    with(behind_after_three(policy))
}

fn with(adjust: impl FnOnce(&mut SessionConfig)) -> (World, LinkId) {
    let (mut world, stream) =
        World::open_with(adjust, websocket(1).saying(commands(1, [subscribe("p:a"), subscribe("p:b")])));
    world.prove_after_reading(stream);
    world.ack(stream, 2);
    (world, stream)
}

#[test]
fn replay_gives_everything_however_far_a_session_is_behind() {
    let (mut world, stream) = subscribed(SlowPolicy::Replay);
    world.publish_keys("p:a", "x x x x x x x x");
    assert_eq!(world.items(stream).len(), 8);
}

#[test]
fn a_session_that_is_not_behind_gets_everything_under_each_policy() {
    for policy in [SlowPolicy::Latest, SlowPolicy::Gap] {
        let (mut world, stream) = subscribed(policy);
        world.publish_keys("p:a", "x x x");
        assert_eq!(world.items(stream), ["3 event p:a 1", "4 event p:a 2", "5 event p:a 3"], "{policy}");
        world.publish_keys("p:a", "x x x");
        assert_eq!(world.items(stream), ["6 event p:a 4", "7 event p:a 5", "8 event p:a 6"], "{policy}");
    }
}

#[test]
fn latest_gives_the_newest_of_each_key_each_behind_a_gap_of_those_before_it() {
    let (mut world, stream) = subscribed(SlowPolicy::Latest);
    world.publish_keys("p:a", "x y x z z y w");
    assert_eq!(
        world.items(stream),
        [
            "3 gap p:a e1:0-e1:2 conflated",
            "4 event p:a 3",
            "5 gap p:a e1:3-e1:4 conflated",
            "6 event p:a 5",
            "7 event p:a 6",
            "8 event p:a 7"
        ]
    );
    let tally = world.tally();
    assert_eq!((tally.gaps_conflated, tally.left_out_latest, tally.left_out_gap), (2, 3, 0));
    world.publish_keys("p:a", "x x");
    assert_eq!(world.items(stream), ["9 event p:a 8", "10 event p:a 9"], "it has caught up");
}

#[test]
fn latest_takes_events_without_a_key_for_the_latest_of_their_channel() {
    let (mut world, stream) = subscribed(SlowPolicy::Latest);
    world.publish_keys("p:a", "- x - - -");
    assert_eq!(
        world.items(stream),
        ["3 gap p:a e1:0-e1:1 conflated", "4 event p:a 2", "5 gap p:a e1:2-e1:4 conflated", "6 event p:a 5"]
    );
}

#[test]
fn latest_leaves_nothing_out_where_each_event_is_of_a_key_of_its_own() {
    let (mut world, stream) = subscribed(SlowPolicy::Latest);
    world.publish_keys("p:a", "a b c d e f");
    assert_eq!(world.items(stream).len(), 6);
    assert_eq!(world.tally().gaps_conflated, 0);
}

#[test]
fn gap_skips_to_the_newest_and_tells_exactly_what_is_left_out() {
    let (mut world, stream) = subscribed(SlowPolicy::Gap);
    world.publish_keys("p:a", "x y z x y z");
    assert_eq!(world.items(stream), ["3 gap p:a e1:0-e1:5 overflow", "4 event p:a 6"]);
    let tally = world.tally();
    assert_eq!((tally.gaps_overflow, tally.left_out_latest, tally.left_out_gap), (1, 0, 5));
}

#[test]
fn bytes_count_as_well_as_events_but_never_one_event_alone() {
    for (policy, gap) in [(SlowPolicy::Latest, "conflated"), (SlowPolicy::Gap, "overflow")] {
        let (mut world, stream) = subscribed(policy);
        world.publish_bytes("p:a", 1, 1_000);
        assert_eq!(world.items(stream), ["3 event p:a 1"], "{policy}: there is nothing newer");
        world.publish_bytes("p:a", 2, 51);
        assert_eq!(
            world.items(stream),
            [format!("4 gap p:a e1:1-e1:2 {gap}"), "5 event p:a 3".into()],
            "{policy}"
        );
    }
}

#[test]
fn each_channel_is_behind_by_itself() {
    let (mut world, stream) = subscribed(SlowPolicy::Gap);
    world.publish_keys("p:a", "x x x x");
    world.publish_keys("p:b", "x x x");
    assert_eq!(
        world.items(stream),
        ["3 gap p:a e1:0-e1:3 overflow", "4 event p:a 4", "5 event p:b 1", "6 event p:b 2", "7 event p:b 3"]
    );
}

#[test]
fn l14_what_is_numbered_stays_although_it_is_not_the_latest_any_more() {
    let (mut world, stream) = subscribed(SlowPolicy::Latest);
    world.publish_keys("p:a", "x");
    assert_eq!(world.items(stream), ["3 event p:a 1"]);
    world.cut(stream);
    world.publish_keys("p:a", "x x x x x");
    // Item 3 is the old price, whatever came since; it is sent again as it is.
    let link = world.come(poll(2).after(2).low(3));
    let told = ["3 event p:a 1", "4 gap p:a e1:1-e1:5 conflated", "5 event p:a 6"];
    assert_eq!(world.items(link), told);
    world.publish_keys("p:a", "x x x x x");
    // So is what was left out: the gap stays where it is, and what it stands for does not come back.
    let link = world.come(poll(3).after(2).low(3));
    let later = ["6 gap p:a e1:6-e1:10 conflated", "7 event p:a 11"];
    assert_eq!(world.items(link), [&told[..], &later].concat());
    let link = world.come(websocket(4).after(5).low(3));
    assert_eq!(world.items(link), later);
}

#[test]
fn what_is_left_out_grows_while_the_window_is_closed_and_is_told_once() {
    let (mut world, stream) = with(|config| {
        behind_after_three(SlowPolicy::Latest)(config);
        config.limits.unacknowledged_items = 1;
    });
    world.publish_keys("p:a", "x y");
    assert_eq!(world.items(stream), ["3 event p:a 1"]);
    world.publish_keys("p:a", "x y x y");
    assert!(world.items(stream).is_empty());
    world.publish_keys("p:a", "x y");
    world.ack(stream, 3);
    assert_eq!(world.items(stream), ["4 gap p:a e1:1-e1:6 conflated", "5 event p:a 7"]);
    // The window closed again behind it, with one to go: meanwhile there is a newer one.
    world.publish_keys("p:a", "y");
    world.ack(stream, 5);
    assert_eq!(
        world.items(stream),
        ["6 gap p:a e1:7-e1:8 conflated", "7 event p:a 9"],
        "it had not caught up"
    );
}

#[test]
fn what_the_log_has_lost_is_told_apart_from_what_is_left_out() {
    let cases = [(SlowPolicy::Latest, "conflated"), (SlowPolicy::Gap, "overflow")];
    for (policy, gap) in cases {
        let (mut world, stream) = subscribed(policy);
        world.cut(stream);
        world.publish_keys("p:a", "y x x x x x");
        world.trim("p:a", 1); // y is lost, and nothing newer stands for it
        let link = world.come(poll(2).after(2).low(3));
        assert_eq!(
            world.items(link),
            [
                "3 gap p:a e1:0-e1:1 trimmed".to_owned(),
                format!("4 gap p:a e1:1-e1:5 {gap}"),
                "5 event p:a 6".into()
            ],
            "{policy}"
        );
    }
}

#[test]
fn a_log_that_began_anew_is_told_first() {
    let (mut world, stream) = subscribed(SlowPolicy::Gap);
    world.cut(stream);
    world.publish_keys("p:a", "x");
    world.begin_epoch("p:a", "e2");
    world.publish_keys("p:a", "x x x x");
    let link = world.come(poll(2).after(2).low(3));
    assert_eq!(
        world.items(link),
        ["3 gap p:a e1:0-e2:0 epoch at most", "4 gap p:a e2:0-e2:3 overflow", "5 event p:a 4"]
    );
}

#[test]
fn after_a_rebuild_what_is_left_out_is_derived_again_from_the_position() {
    let (mut world, stream) = subscribed(SlowPolicy::Latest);
    world.cut(stream);
    world.publish_keys("p:a", "x x x x");
    let lost = world.come(poll(2).after(2).low(3));
    assert_eq!(world.items(lost), ["3 gap p:a e1:0-e1:3 conflated", "4 event p:a 4"]);
    world.publish_keys("p:a", "x");
    let link = world.come(poll(3).after(2).low(3).incarnation(9).at([("p:a", "e1:0")]));
    assert_eq!(
        world.items(link),
        ["3 subscribed p:a e1:0", "4 gap p:a e1:0-e1:4 conflated", "5 event p:a 5"]
    );
}

#[test]
fn a_place_that_was_asked_for_is_behind_like_any_other() {
    let (mut world, stream) = subscribed(SlowPolicy::Latest);
    world.publish_keys("p:c", "x y x y x y");
    world.say(stream, commands(3, [subscribe_from("p:c", SubscribeFrom::Last(5))])).unwrap();
    assert_eq!(
        world.items(stream),
        ["3 subscribed p:c e1:1", "4 gap p:c e1:1-e1:4 conflated", "5 event p:c 5", "6 event p:c 6"]
    );
}

#[test]
fn a_gap_and_its_event_go_together_or_not_at_all() {
    let (mut world, stream) = subscribed(SlowPolicy::Latest);
    world.publish_keys("p:a", "x y z x y z");
    world.budget_bytes = 1; // one alone always has room
    let message = world.read_message(stream).unwrap();
    assert_eq!(message, ["3 gap p:a e1:0-e1:3 conflated", "4 event p:a 4"]);
    world.publish_keys("p:a", "y y");
    let rest = world.items(stream);
    assert_eq!(
        rest,
        ["5 gap p:a e1:4-e1:5 conflated", "6 event p:a 6", "7 gap p:a e1:6-e1:7 conflated", "8 event p:a 8"]
    );
}

#[test]
fn a_client_that_cannot_acknowledge_is_told_the_same() {
    for (policy, gap) in [(SlowPolicy::Latest, "conflated"), (SlowPolicy::Gap, "overflow")] {
        let arrival = event_source().saying(commands(1, [subscribe("p:a")]));
        let (mut world, stream) = World::open_with(behind_after_three(policy), arrival);
        world.items(stream);
        world.publish_keys("p:a", "x x x x x");
        assert_eq!(
            world.items(stream),
            [format!("2 gap p:a e1:0-e1:4 {gap}"), "3 event p:a 5".into()],
            "{policy}"
        );
    }
}

#[test]
fn gaps_past_the_reserve_wait_for_an_acknowledgement() {
    let (mut world, stream) = with(|config| {
        behind_after_three(SlowPolicy::Latest)(config);
        config.reserve_items = 2;
    });
    world.say(stream, commands(3, [unsubscribe("p:c")])).unwrap(); // its reply takes the other place
    world.items(stream);
    world.publish_keys("p:a", "x y y x z z");
    assert_eq!(world.items(stream), ["4 gap p:a e1:0-e1:2 conflated", "5 event p:a 3", "6 event p:a 4"]);
    world.ack(stream, 3);
    assert_eq!(world.items(stream), ["7 gap p:a e1:4-e1:5 conflated", "8 event p:a 6"]);
}
