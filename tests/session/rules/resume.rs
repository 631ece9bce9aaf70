//! Coming back: from a number, from positions, from another epoch, with a token that is not known any more, and by
//! the tag of a client that can only repeat a string.

use throughline::session::{Goodbye, ResumeTag};
use throughline_wire::{ErrorCode, Positions};

use super::bench::*;

/// Opened by a WebSocket that brought `subscribed a` and two events, as items 1 to 3.
fn with_two_events() -> (World, throughline::session::LinkId) {
    let (mut world, stream) = World::open(websocket(1).saying(commands(1, [subscribe("a")])));
    world.publish("a", 2);
    assert_eq!(world.items(stream), ["1 subscribed a e1:0", "2 event a 1", "3 event a 2"]);
    world.prove(stream);
    (world, stream)
}

#[test]
fn from_a_number_the_rest_follows_on_any_link() {
    for arrival in [poll(2), websocket(2), sse(2)] {
        let (mut world, stream) = with_two_events();
        world.cut(stream);
        world.publish("a", 1);
        let link = world.come(arrival.after(2).low(2));
        assert_eq!(world.items(link), ["3 event a 2", "4 event a 3"]);
        assert_eq!(world.session().acknowledged(), 2, "`after` acknowledges when it arrives");
    }
}

#[test]
fn a_cut_before_the_first_event_is_recovered() {
    let (mut world, stream) = with_two_events();
    world.cut(stream);
    let link = world.come(websocket(2));
    assert_eq!(world.items(link), ["1 subscribed a e1:0", "2 event a 1", "3 event a 2"]);
}

#[test]
fn positions_that_are_stated_though_they_are_not_needed_change_nothing() {
    let (mut world, stream) = with_two_events();
    world.cut(stream);
    let link = world.come(poll(2).after(2).low(2).at([("b", "e1:0")]));
    assert_eq!(world.read(link), ["3 event a 2"]);
    assert_eq!((world.places(), world.session().incarnation()), (vec!["a e1:2".to_owned()], 1));
}

#[test]
fn from_positions_the_rest_follows_under_new_numbers() {
    let (mut world, stream) = with_two_events();
    world.cut(stream);
    world.publish("a", 1);
    let link = world.come(poll(2).after(2).low(2).incarnation(9).at([("a", "e1:1")]));
    assert_eq!(
        world.read(link),
        ["welcome back 2 next 3 received 1", "3 subscribed a e1:1", "4 event a 2", "5 event a 3"]
    );
}

#[test]
fn from_positions_of_another_epoch_a_gap_is_told_and_the_new_epoch_follows() {
    let (mut world, stream) = with_two_events();
    world.cut(stream);
    world.begin_epoch("a", "e2");
    world.publish("a", 2);
    let link = world.come(poll(2).after(3).low(2).incarnation(9).at([("a", "e1:2")]));
    assert_eq!(
        world.items(link),
        ["4 subscribed a e1:2 behind a gap", "5 gap a e1:2-e2:0 epoch at most", "6 event a 1", "7 event a 2"]
    );
}

#[test]
fn from_an_unknown_token_positions_recover_what_history_has() {
    let (mut world, _) = with_two_events();
    let anew = poll(9).after(3).low(2).at([("a", "e1:1"), ("b", "e1:0")]);
    let (_before, link) = world.open_another(anew.instead(ErrorCode::TokenInvalid));
    assert_eq!(
        world.read(link),
        [
            "welcome new 1 next 1 received 0 token_invalid",
            "1 subscribed a e1:1",
            "2 subscribed b e1:0",
            "3 event a 2"
        ],
        "a new session, numbered from 1, with a reason"
    );
    assert_eq!(world.authorised, ["a", "a", "b"]);
}

#[test]
fn a_rebuild_while_a_rebuild_is_under_way_takes_the_later_word() {
    let (mut world, stream) = with_two_events();
    world.cut(stream);
    world.hold = true;
    world.come(poll(2).after(3).low(2).incarnation(8).at([("a", "e1:2"), ("b", "e1:0")]));
    let link = world.come(poll(3).after(3).low(2).incarnation(9).at([("a", "e1:1")]));
    world.grant();
    assert_eq!(world.places(), ["a e1:1"]);
    assert_eq!(world.read(link), ["welcome back 3 next 4 received 1", "4 subscribed a e1:1", "5 event a 2"]);
}

#[test]
fn a_resume_that_is_refused_changes_nothing() {
    let (mut world, stream) = with_two_events();
    for refused in
        [poll(2).after(99), probe().after(1).incarnation(4), websocket(1).after(3), poll(1).after(3)]
    {
        assert!(matches!(world.try_come(refused), Err(Goodbye::Positions | Goodbye::Superseded)));
    }
    assert_eq!((world.session().acknowledged(), world.session().incarnation()), (0, 1));
    world.publish("a", 1);
    assert_eq!(world.items(stream), ["4 event a 3"]);
}

#[test]
fn many_missed_events_are_paged_in_as_the_window_allows() {
    let (mut world, stream) = with_two_events();
    world.cut(stream);
    world.publish("a", 900);
    world.budget_bytes = 4_000;
    let (mut after, mut number) = (3, 2);
    while after < 903 {
        let link = world.come(poll(number).after(after).low(2));
        let items = world.items(link);
        assert!((1..=256).contains(&items.len()));
        for line in items {
            after += 1;
            assert_eq!(line, format!("{after} event a {}", after - 1));
        }
        number += 1;
    }
    assert!(number > 5, "in several answers");
}

#[test]
fn a_tag_names_the_session_the_place_and_the_positions_of_what_its_link_carried() {
    let (mut world, stream) = World::open(event_source().saying(commands(1, [subscribe("a")])));
    world.publish("a", 2);
    world.items(stream);
    let tag = ResumeTag::verify(world.keys(), &world.tag(stream)).unwrap();
    assert_eq!((tag.session, tag.incarnation, tag.after), (world.session().id(), 1, 3));
    assert_eq!(
        tag.positions,
        Some(Positions::from_iter(world.session().subscriptions().map(|(c, p)| (c.clone(), p))))
    );
}

#[test]
fn a_tag_states_no_position_that_its_link_did_not_carry() {
    let (mut world, stream) = World::open(event_source().saying(commands(1, [subscribe("a")])));
    world.read(stream);
    world.budget_bytes = 1;
    world.publish("a", 3);
    world.read_message(stream).unwrap();
    let tag = ResumeTag::verify(world.keys(), &world.tag(stream)).unwrap();
    assert_eq!(tag.after, 2);
    assert_eq!(tag.positions.unwrap().into_values().map(|p| p.offset.get()).collect::<Vec<_>>(), [1]);
    // A second stream that repeats what the first carried is behind the cursors.
    world.read(stream);
    world.cut(stream);
    let again = world.come(event_source().after(1).low(2));
    world.read_message(again).unwrap();
    let tag = ResumeTag::verify(world.keys(), &world.tag(again)).unwrap();
    assert_eq!((tag.after, tag.positions), (2, None));
}

#[test]
fn a_tag_leaves_out_positions_that_do_not_fit() {
    let long = |n: usize| format!("{n}{}", "x".repeat(190));
    let (mut world, stream) = World::open(event_source());
    world.read(stream);
    for n in 1..=6 {
        world.say(stream, commands(n as u64, [subscribe(&long(n))])).unwrap();
    }
    world.read(stream);
    let text = world.tag(stream);
    assert!(text.len() <= ResumeTag::MAX_BYTES);
    let tag = ResumeTag::verify(world.keys(), &text).unwrap();
    assert_eq!((tag.after, tag.positions), (6, None), "all or none");
}

#[test]
fn a_tag_that_was_changed_or_is_of_other_keys_is_none() {
    let (mut world, stream) = World::open(event_source());
    world.read(stream);
    let tag = world.tag(stream);
    assert!(ResumeTag::verify(world.keys(), &tag).is_some());
    let mut forged = tag.clone();
    forged.replace_range(tag.len() - 2.., if tag.ends_with("AA") { "BB" } else { "AA" });
    assert_eq!(ResumeTag::verify(world.keys(), &forged), None);
    let other = throughline::session::TokenKeys::from_random([8; 32]);
    assert_eq!(ResumeTag::verify(&other, &tag), None);
    for nonsense in ["", ".", "1.2", "1.2.x", "x.2.y", &format!("{tag}/a"), &"1".repeat(2_000)] {
        assert_eq!(ResumeTag::verify(world.keys(), nonsense), None, "{nonsense}");
    }
}
