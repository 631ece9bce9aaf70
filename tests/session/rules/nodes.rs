//! N1-N4, on the node that has the session: a rebuilt session is another numbering.

use throughline::session::Goodbye;
use throughline_wire::{ErrorCode, UpFrame};

use super::bench::*;

/// Two channels, one event in each; poll 1 brought all four items, and nothing is acknowledged.
fn two_channels() -> World {
    let (mut world, link) = World::open(poll(1).saying(commands(1, [subscribe("a"), subscribe("b")])));
    assert_eq!(world.items(link), ["1 subscribed a e1:0", "2 subscribed b e1:0"]);
    world
}

#[test]
fn n1_a_rebuilt_session_counts_in_a_new_incarnation() {
    let mut world = two_channels();
    // 1. b1 is item 3, its answer on its way. 2. The client, asked for positions, states them.
    world.publish("b", 1);
    let late = world.come(poll(2).after(2).low(3));
    assert_eq!(world.read(late), ["3 event b 1"]);
    world.publish("a", 1);
    let places = [("a", "e1:0"), ("b", "e1:0")];
    let rebuilt = world.come(poll(3).after(2).low(3).incarnation(9).at(places));
    assert_eq!(
        world.read(rebuilt),
        [
            "welcome back 2 next 3 received 2",
            "3 subscribed a e1:0",
            "4 subscribed b e1:0",
            "5 event a 1",
            "6 event b 1"
        ],
        "item 3 is another one, and the welcome says so"
    );
}

#[test]
fn n1_each_rebuild_has_its_own_incarnation() {
    let mut world = two_channels();
    for number in 2..5 {
        let incarnation = world.session().incarnation();
        let link = world.come(poll(number).after(1).incarnation(9).low(3).at([("a", "e1:0")]));
        assert_eq!(world.session().incarnation(), incarnation + 1);
        assert!(world.read(link)[0].starts_with(&format!("welcome back {number} next 2")));
    }
}

#[test]
fn n2_a_number_of_another_incarnation_means_nothing() {
    let mut world = two_channels();
    let lost = world.come(poll(2).after(2).low(3).incarnation(9).at([("a", "e1:0")]));
    assert_eq!(world.items(lost), ["3 subscribed a e1:0"]);
    // 1. The welcome was lost. 2. The client attaches again with what it counted in incarnation 1.
    world.publish("a", 1);
    assert_eq!(world.try_come(poll(3).after(2).low(3)), Err(Goodbye::Positions));
    assert_eq!(world.session().acknowledged(), 2, "nothing has changed by it");
    let link = world.come(poll(3).after(2).low(3).at([("a", "e1:0")]));
    assert_eq!(world.read(link), ["welcome back 3 next 3 received 2", "3 subscribed a e1:0", "4 event a 1"]);
}

#[test]
fn n2_an_acknowledgement_on_a_link_of_another_incarnation_means_nothing() {
    let mut world = two_channels();
    let stream = world.come(websocket(2).after(2).low(3));
    world.publish("a", 3);
    assert_eq!(world.items(stream).len(), 3); // items 3 to 5, and the client has them
    let rebuilt = world.come(poll(3).after(2).low(3).incarnation(9).at([("a", "e1:0"), ("b", "e1:0")]));
    assert_eq!(world.items(rebuilt).len(), 5); // items 3 to 7, and the answer is lost
    // The acknowledgement of what the WebSocket brought is late; its link was not told yet that it is over.
    world.say(stream, UpFrame::Ack { up_to: 5 }).unwrap();
    assert_eq!(world.session().acknowledged(), 2);
    world.read(stream);
    world.say(stream, UpFrame::Ack { up_to: 5 }).unwrap(); // nor when it was
    assert_eq!(world.session().acknowledged(), 2);
}

#[test]
fn n2_an_acknowledgement_among_commands_of_another_incarnation_means_nothing() {
    let mut world = two_channels();
    let stream = world.come(websocket(2).after(2).low(3));
    world.publish("a", 1);
    world.read(stream);
    world.come(poll(3).after(2).low(3).incarnation(9).at([("a", "e1:0")]));
    let late = throughline_wire::frame::Commands { first: 3, items: vec![send()], ack: Some(3) };
    let _ = world.say(stream, UpFrame::Commands(late));
    assert_eq!((world.session().acknowledged(), world.session().received()), (2, 2));
    assert_eq!(world.sent, Vec::<u64>::new());
}

#[test]
fn n2_a_probe_of_another_incarnation_is_asked_for_positions() {
    let mut world = two_channels();
    assert_eq!(world.try_come(probe().after(2).incarnation(9)), Err(Goodbye::Positions));
}

#[test]
fn n2_a_place_that_was_never_numbered_is_rebuilt() {
    let mut world = two_channels();
    assert_eq!(world.try_come(poll(2).after(3)), Err(Goodbye::Positions));
    let link = world.come(poll(2).after(3).low(3).at([("a", "e1:0")]));
    assert_eq!(world.read(link), ["welcome back 2 next 4 received 2", "4 subscribed a e1:0"]);
}

#[test]
fn n3_a_rebuild_takes_the_clients_word_for_what_it_holds() {
    let mut world = two_channels();
    world.publish("a", 2);
    world.publish("b", 2);
    // It left `b`, joined `c` since, and has one event of `a`.
    let link = world.come(poll(2).after(2).low(3).incarnation(9).at([("a", "e1:1"), ("c", "e1:0")]));
    assert_eq!(
        world.items(link),
        ["3 subscribed a e1:1", "4 subscribed c e1:0", "5 event a 2"],
        "`b` is not brought back, `c` not dropped"
    );
    assert_eq!(world.places(), ["a e1:2", "c e1:0"]);
}

#[test]
fn n3_a_rebuild_authorises_each_channel_again() {
    let mut world = two_channels();
    world.authorised.clear();
    world.hold = true;
    let link = world.come(poll(2).after(2).low(3).incarnation(9).at([("a", "e1:0"), ("b", "e1:0")]));
    world.publish("a", 1);
    assert_eq!(world.authorised, ["a", "b"]);
    assert_eq!(world.read(link), ["welcome back 2 next 3 received 2"], "nothing before it is allowed");
    world.refuse(ErrorCode::Forbidden);
    let link = world.come(poll(3).after(2).low(3).incarnation(2));
    assert_eq!(world.read(link), ["3 unsubscribed a revoked", "4 unsubscribed b revoked"]);
    assert!(world.places().is_empty());
}

#[test]
fn n3_without_positions_they_are_asked_for_and_nothing_changes() {
    let mut world = two_channels();
    assert_eq!(world.try_come(poll(2).after(2).low(3).incarnation(9)), Err(Goodbye::Positions));
    assert_eq!(world.session().incarnation(), 1);
    let retry = Goodbye::Positions.retry().unwrap();
    assert_eq!((retry.delay_ms, retry.spread_ms), (0, 0));
    world.publish("a", 1);
    let link = world.come(poll(2).after(2).low(3));
    assert_eq!(world.read(link), ["3 event a 1"]);
}

#[test]
fn n3_positions_beyond_the_limit_are_taken_away_by_name() {
    let arrival = poll(1).saying(commands(1, [subscribe("a")]));
    let (mut world, link) = World::open_with(|config| config.limits.subscriptions = 2, arrival);
    world.read(link);
    let places = [("a", "e1:0"), ("b", "e1:0"), ("c", "e1:0")];
    let link = world.come(poll(2).after(1).low(2).incarnation(9).at(places));
    let mut items = world.items(link);
    items.sort_by_key(|line| line.split_once(' ').map(|(_, rest)| rest.to_owned()));
    let said: Vec<&str> = items.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(said, ["subscribed a e1:0", "subscribed b e1:0", "unsubscribed c revoked"]);
}

#[test]
fn n3_a_result_that_was_asked_for_before_the_rebuild_is_not_taken_for_one_of_after() {
    let mut world = two_channels();
    world.hold = true;
    world.come(poll(2).after(2).low(3).saying(commands(3, [subscribe("c"), unsubscribe("a")])));
    let link = world.come(poll(3).after(2).low(5).incarnation(9).at([]));
    world.grant();
    assert!(world.places().is_empty());
    assert_eq!(world.read(link), ["welcome back 2 next 3 received 4"]);
}

#[test]
fn n4_a_rebuild_ends_every_older_link_probes_too() {
    let mut world = two_channels();
    let stream = world.come(websocket(2).after(2).low(3));
    let standby = world.come(probe().after(2).low(3));
    world.read(stream);
    world.read(standby);
    world.prove(standby);
    let link = world.come(poll(3).after(2).low(3).incarnation(9).at([("a", "e1:0")]));
    // A probe is told so without the word that is final for the newest attach: it may be about to say that (L8).
    for (old, why) in [(stream, "superseded"), (standby, "positions")] {
        assert_eq!(world.read(old), [format!("retry {why}"), format!("close {why}")]);
    }
    assert_eq!(world.items(link), ["3 subscribed a e1:0"]);
}

#[test]
fn n4_a_probe_of_before_a_rebuild_does_not_attach_after_it() {
    let mut world = two_channels();
    let standby = world.come(probe().after(2).low(3));
    world.read(standby);
    world.prove(standby);
    let link = world.come(poll(2).after(2).low(3).incarnation(9).at([("a", "e1:0")]));
    let _ = world.say(standby, attach(3, 2));
    let _ = world.post(standby, attach(3, 2));
    assert_eq!(world.session().active().unwrap().0, link);
    assert_eq!(world.read(standby).last().unwrap(), "close positions");
}

#[test]
fn n4_what_moved_meanwhile_is_stated_again() {
    let mut world = two_channels();
    world.publish("a", 2);
    // 1. A hello with positions. 2. An earlier answer delivers a1. 3. The client does not follow: it attaches again.
    let unwanted = world.come(poll(2).after(2).low(3).incarnation(9).at([("a", "e1:0")]));
    assert_eq!(world.items(unwanted), ["3 subscribed a e1:0", "4 event a 1", "5 event a 2"]);
    let link = world.come(poll(3).after(3).low(3).at([("a", "e1:1")]));
    assert_eq!(world.read(link), ["welcome back 3 next 4 received 2", "4 subscribed a e1:1", "5 event a 2"]);
}
