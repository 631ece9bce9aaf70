//! P8: positions do not say where a client takes part, so it does.

use std::time::Duration;

use throughline_wire::{
    Command, ErrorCode, Item, Presence, PresenceKind, Reply, SubscribeFrom, frame::Welcome,
};

use super::super::{End, LinkKey, testing::*};
use super::{commands, lost, subscribe};
use crate::incoming::{Incoming, LostReason};

fn take_part(name: &str) -> Command {
    Command::Subscribe { channel: channel(name), from: SubscribeFrom::Now, token: None, presence: true }
}

/// A client that takes part in `a`, and holds `b` too.
fn taking_part() -> (Bench, LinkKey) {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.command(take_part("a"));
    bench.command(subscribe("b"));
    bench.run();
    bench.down(link, [items(1, [subscribed("a", Some(1), 4), subscribed("b", Some(2), 7)])]);
    bench.taken();
    (bench, link)
}

/// The link is lost, and the client states its positions when it comes back.
fn states_positions(bench: &mut Bench, link: LinkKey) -> LinkKey {
    bench.taken();
    bench.core.handle_ended(bench.now, link, lost());
    bench.pass(Duration::from_secs(60));
    let (link, hello) = bench.opened();
    assert!(hello.resume.is_some_and(|resume| resume.positions.is_some()));
    link
}

fn rebuilt(incarnation: u64) -> Welcome {
    Welcome { incarnation, next: 3, received: 2, ..welcome(1, true) }
}

fn asked(bench: &mut Bench) -> Vec<Command> {
    commands(&bench.said()).map_or_else(Vec::new, |commands| commands.items.clone())
}

fn again(name: &str, at: u64, presence: bool) -> Command {
    let from = SubscribeFrom::Position(position("e", at));
    Command::Subscribe { channel: channel(name), from, token: None, presence }
}

#[test]
fn in_a_new_incarnation_it_asks_again_once_where_it_takes_part() {
    let (mut bench, link) = taking_part();
    let link = states_positions(&mut bench, link);
    bench.welcome(link, rebuilt(2));
    assert_eq!(asked(&mut bench), [again("a", 4, true)]);
    let link = states_positions(&mut bench, link);
    bench.welcome(link, rebuilt(3));
    assert_eq!(asked(&mut bench), [again("a", 4, true)], "the same command, said again");
    bench.down(link, [items(3, [subscribed("a", Some(3), 4)])]);
    assert!(!bench.core.outbox.awaits_replies());
}

#[test]
fn in_a_new_session_that_took_up_its_positions_it_asks_where_it_takes_part() {
    let (mut bench, link) = taking_part();
    let link = states_positions(&mut bench, link);
    bench.welcome(link, welcome(2, false));
    assert_eq!(asked(&mut bench), [again("a", 4, true)]);
}

#[test]
fn in_a_new_session_that_knows_nothing_it_asks_for_all_as_it_was() {
    let (mut bench, link) = taking_part();
    bench.core.handle_ended(bench.now, link, End::Closed(4100));
    let (_, opening) = bench.opening();
    let asked = commands(&opening).map(|commands| &commands.items[..]);
    assert_eq!(asked, Some(&[again("a", 4, true), again("b", 7, false)][..]));
    assert!(bench.taken().contains(&Incoming::SessionLost { reason: LostReason::Gone }));
}

#[test]
fn where_it_takes_part_no_longer_it_does_not_ask() {
    for leaving in [subscribed("a", Some(3), 4), unsubscribed("a", Some(3)), unsubscribed("a", None)] {
        let (mut bench, link) = taking_part();
        bench.command(subscribe("a"));
        bench.run();
        bench.down(link, [items(3, [leaving])]);
        bench.taken();
        let link = states_positions(&mut bench, link);
        bench.welcome(link, Welcome { next: 4, received: 3, ..rebuilt(2) });
        assert!(asked(&mut bench).is_empty());
    }
}

#[test]
fn what_is_told_reaches_the_application_in_its_place() {
    let (mut bench, link) = taking_part();
    let kind = PresenceKind::State;
    let presence = Presence { channel: channel("a"), kind, members: Vec::new(), count: 0 };
    bench.down(link, [items(3, [event("a", 5), Item::Presence(presence.clone())])]);
    let taken = bench.taken();
    assert!(matches!(taken[..], [Incoming::Event { number: 3, .. }, Incoming::Presence { number: 4, .. }]));
    assert!(matches!(&taken[1], Incoming::Presence { presence: told, .. } if *told == presence));
}

#[test]
fn where_there_is_no_room_any_more_it_keeps_the_channel_and_says_so() {
    let (mut bench, link) = taking_part();
    let link = states_positions(&mut bench, link);
    bench.welcome(link, welcome(2, false));
    bench.run();
    let refusal = Reply { command: 1, result: Err(ErrorCode::TooManyMembers.into()) };
    bench.down(link, [items(1, [subscribed("a", None, 4), subscribed("b", None, 7), Item::Reply(refusal)])]);
    let told = bench.taken();
    assert!(told.iter().any(|incoming| matches!(incoming, Incoming::PresenceLost { .. })), "{told:?}");
    assert!(bench.core.inbox.holds(&channel("a")));
    let link = states_positions(&mut bench, link);
    bench.welcome(link, Welcome { incarnation: 2, next: 4, received: 1, ..welcome(2, true) });
    assert!(asked(&mut bench).is_empty(), "it does not ask for ever");
}

#[test]
fn where_a_new_session_does_not_hold_the_channel_it_is_had_without_presence() {
    let (mut bench, link) = taking_part();
    bench.core.handle_ended(bench.now, link, End::Closed(4100));
    let (link, _) = bench.opened();
    bench.welcome(link, welcome(2, false));
    bench.run();
    bench.taken();
    let refusal = Reply { command: 1, result: Err(ErrorCode::TooManyMembers.into()) };
    bench.down(link, [items(1, [Item::Reply(refusal), subscribed("b", Some(2), 7)])]);
    assert_eq!(asked(&mut bench), [again("a", 4, false)]);
    let told = bench.taken();
    assert!(matches!(told[0], Incoming::PresenceLost { .. }), "{told:?}");
    bench.down(link, [items(3, [subscribed("a", Some(3), 4)])]);
    assert!(matches!(bench.taken()[..], [Incoming::Subscribed { number: 3, .. }]));
}
