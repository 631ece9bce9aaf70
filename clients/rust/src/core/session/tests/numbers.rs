//! The two numbered streams over changing links.

use std::time::Duration;

use throughline_wire::{Codec, Command, DownFrame, ErrorCode, Payload, RetryReason, UpFrame};

use super::super::testing::*;
use super::{commands, lost};
use crate::{
    core::{Outcome, Output},
    incoming::Incoming,
    transport::encode,
};

#[test]
fn l5_a_link_that_takes_over_hears_again_what_was_acknowledged_elsewhere() {
    let (mut bench, poll) = Bench::up(POLLING);
    bench.polled();
    bench.migrate(WEBSOCKET);
    let (probe, hello) = bench.opened();
    assert_eq!(hello.attach, None);
    bench.welcome(probe, welcome(1, true));
    bench.down(probe, [DownFrame::Ping { nonce: Some(7), window_ms: None }]);
    let attach = bench.said();
    assert!(attach.contains(&UpFrame::Attach { number: 3, after: 0 }), "{attach:?}");
    // The item comes by the old link, after the attach has said `after: 0`.
    bench.down(poll, [items(1, [subscribed("a", None, 0)])]);
    bench.taken();
    bench.run();
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.said(), [UpFrame::Ack { up_to: 1 }]);
}

#[test]
fn l6_a_post_that_was_not_confirmed_is_said_again_with_numbers_of_the_moment() {
    let (mut bench, stream) = Bench::up(SSE);
    bench.command(send());
    let (link, first, frames) = bench.posted();
    assert_eq!(commands(&frames).unwrap().items.len(), 1);
    bench.command(send());
    bench.down(stream, [items(1, [subscribed("a", None, 0)])]);
    bench.taken();
    bench.core.handle_post(bench.now, link, first, Err("lost".into()));
    assert!(bench.run().is_empty(), "not in a rush");
    bench.pass(Duration::from_secs(1));
    let (_, second, frames) = bench.posted();
    let again = commands(&frames).unwrap();
    assert_eq!((again.first, again.items.len(), again.ack), (1, 2, Some(1)));
    // The late answer of the first confirms nothing any more.
    bench.core.handle_post(bench.now, link, first, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    assert_eq!(bench.core.outbox.taken(), 0);
    bench.core.handle_post(bench.now, link, second, Ok(vec![DownFrame::Ack { up_to: 2 }]));
    assert_eq!(bench.core.outbox.taken(), 2);
    bench.pass(Duration::from_millis(400));
    assert!(bench.run().is_empty(), "all is confirmed");
}

#[test]
fn l6_an_acknowledgement_by_post_counts_only_once_it_is_confirmed() {
    let (mut bench, stream) = Bench::up(SSE);
    bench.down(stream, [items(1, [subscribed("a", None, 0)])]);
    bench.taken();
    bench.run();
    bench.pass(Duration::from_millis(200));
    let (link, post, frames) = bench.posted();
    assert!(frames.contains(&UpFrame::Ack { up_to: 1 }));
    bench.core.handle_post(bench.now, link, post, Err("lost".into()));
    bench.pass(Duration::from_secs(1));
    let (_, post, frames) = bench.posted();
    assert!(frames.contains(&UpFrame::Ack { up_to: 1 }));
    bench.core.handle_post(bench.now, link, post, Ok(vec![]));
    assert!(bench.run().is_empty());
    bench.pass(Duration::from_secs(1));
    assert!(bench.run().is_empty());
}

#[test]
fn l11_items_below_the_next_are_dropped_and_one_above_it_ends_the_link() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.down(link, [items(1, [subscribed("a", None, 0), event("a", 1)])]);
    bench.down(link, [items(1, [subscribed("a", None, 0), event("a", 1), event("a", 2)])]);
    let numbers: Vec<_> = bench.taken().iter().filter_map(number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    bench.down(link, [items(5, [event("a", 4)])]);
    assert_eq!(bench.core.active(), None);
    assert_eq!(bench.core.inbox.received(), 3);
}

fn number(incoming: &Incoming) -> Option<u64> {
    match incoming {
        Incoming::Event { number, .. } | Incoming::Subscribed { number, .. } => Some(*number),
        _ => None,
    }
}

#[test]
fn l15_a_reply_is_heard_while_the_application_is_behind_and_nothing_more_is_acknowledged() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    let ticket = bench.command(send());
    bench.run();
    bench.down(link, [items(1, [subscribed("a", None, 0), event("a", 1), reply(1)])]);
    assert!(matches!(bench.outcome(ticket), Some(Outcome::Accepted(_))));
    bench.run();
    bench.pass(Duration::from_secs(1));
    assert!(bench.said().is_empty());
    bench.taken();
    bench.run();
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.said(), [UpFrame::Ack { up_to: 3 }]);
}

#[test]
fn l15_a_poll_of_an_application_that_is_behind_is_held_back_unless_a_reply_is_due() {
    let (mut bench, link) = Bench::up(POLLING);
    bench.polled();
    bench.down(link, [items(1, [subscribed("a", None, 0), event("a", 1)])]);
    assert!(bench.run().is_empty());
    bench.command(send());
    let (link, post, _) = bench.posted();
    bench.core.handle_post(bench.now, link, post, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.polled().resume.unwrap().after, 0, "what was not taken is not acknowledged");
}

#[test]
fn half_a_window_is_acknowledged_at_once_and_less_after_a_while() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.down(link, [items(1, [subscribed("a", None, 0)])]);
    bench.taken();
    assert!(bench.said().is_empty());
    let many: Vec<_> = (1..=511).map(|offset| event("a", offset)).collect();
    bench.down(link, [items(2, many)]);
    bench.taken();
    assert_eq!(bench.said(), [UpFrame::Ack { up_to: 512 }]);
    bench.down(link, [items(513, [event("a", 512)])]);
    bench.taken();
    assert!(bench.said().is_empty());
    bench.pass(Duration::from_millis(200));
    assert_eq!(bench.said(), [UpFrame::Ack { up_to: 513 }]);
}

#[test]
fn n1_items_of_another_incarnation_mean_nothing() {
    let (mut bench, old) = Bench::up(WEBSOCKET);
    bench.migrate(POLLING);
    let (poll, _) = bench.opened();
    let rebuilt = throughline_wire::frame::Welcome { incarnation: 2, ..welcome(1, true) };
    bench.welcome(poll, rebuilt);
    bench.down(old, [items(1, [subscribed("a", None, 0)])]);
    assert_eq!(bench.core.inbox.received(), 0);
}

#[test]
fn n3_positions_are_stated_when_they_are_asked_for() {
    let (mut bench, link) = Bench::up(POLLING);
    bench.polled();
    bench.down(link, [items(1, [subscribed("a", None, 4)])]);
    bench.taken();
    assert_eq!(bench.polled().resume.unwrap().positions, None);
    bench.down(link, [retry(RetryReason::Positions, 0, false)]);
    let resume = bench.polled().resume.unwrap();
    assert_eq!((resume.after, resume.low), (1, 1));
    assert_eq!(resume.positions.unwrap()[&channel("a")], position("e", 4));
    let rebuilt = throughline_wire::frame::Welcome { incarnation: 2, next: 2, ..welcome(1, true) };
    bench.welcome(link, rebuilt);
    let resume = bench.polled().resume.unwrap();
    assert_eq!((resume.incarnation, resume.positions), (2, None));
}

#[test]
fn n4_a_rebuilt_session_is_followed_only_if_nothing_stated_has_moved() {
    let (mut bench, old) = Bench::up(WEBSOCKET);
    bench.migrate(POLLING);
    let (poll, _) = bench.opened();
    // What was stated moves before the answer comes.
    bench.down(old, [items(1, [subscribed("a", None, 4)])]);
    let rebuilt = throughline_wire::frame::Welcome { incarnation: 2, ..welcome(1, true) };
    bench.welcome(poll, rebuilt.clone());
    let outputs = bench.run();
    assert!(outputs.iter().any(|output| matches!(output, Output::Close { link, .. } if *link == old)));
    let again = outputs.iter().find_map(|output| match output {
        Output::Poll { message, .. } => message.first(),
        _ => None,
    });
    let Some(UpFrame::Hello(hello)) = again else { panic!("{outputs:?}") };
    let resume = hello.resume.clone().unwrap();
    assert_eq!((resume.incarnation, resume.after), (1, 1));
    assert_eq!(resume.positions.unwrap()[&channel("a")], position("e", 4));
    bench.welcome(poll, throughline_wire::frame::Welcome { incarnation: 3, next: 2, ..rebuilt });
    assert_eq!(bench.core.state().incarnation, Some(3));
}

#[test]
fn c1_what_a_gateway_did_not_take_is_said_again() {
    let (mut bench, poll) = Bench::up(POLLING);
    for _ in 0..3 {
        bench.command(send());
    }
    let (link, post, frames) = bench.posted();
    assert_eq!(commands(&frames).unwrap().items.len(), 3);
    bench.core.handle_post(bench.now, link, post, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    let (_, _, frames) = bench.posted();
    assert_eq!((commands(&frames).unwrap().first, commands(&frames).unwrap().items.len()), (2, 2));
    assert_eq!(link, poll);
}

#[test]
fn c2_a_resume_states_the_lowest_unreplied_command_and_sends_from_what_was_received() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    for _ in 0..3 {
        bench.command(send());
    }
    bench.run();
    bench.down(link, [DownFrame::Ack { up_to: 3 }, items(1, [reply(2)])]);
    bench.core.handle_ended(bench.now, link, lost());
    let (link, hello) = bench.opened();
    assert_eq!(hello.resume.unwrap().low, 1);
    // Live memory: all were received.
    bench.welcome(link, throughline_wire::frame::Welcome { next: 2, received: 3, ..welcome(1, true) });
    assert!(commands(&bench.said()).is_none());
    bench.core.handle_ended(bench.now, link, lost());
    bench.pass(Duration::from_secs(60));
    let (link, _) = bench.opened();
    // Rebuilt: from `low` again, the replied one as a noop.
    let rebuilt =
        throughline_wire::frame::Welcome { incarnation: 2, next: 2, received: 0, ..welcome(1, true) };
    bench.welcome(link, rebuilt);
    assert_eq!(commands(&bench.said()).unwrap().items, [send(), Command::Noop, send()]);
}

#[test]
fn c5_the_message_that_opens_a_session_carries_no_command() {
    for via in [WEBSOCKET, POLLING, SSE] {
        let mut bench = Bench::new(&[via]);
        bench.command(send());
        let outputs = bench.run();
        let frames: Vec<_> = outputs
            .iter()
            .flat_map(|output| match output {
                Output::Open { hello, .. } => &hello[..],
                Output::Poll { message, .. } => &message[..],
                _ => panic!("{output:?}"),
            })
            .collect();
        assert!(matches!(frames[..], [UpFrame::Hello(_)]), "{frames:?}");
    }
}

#[test]
fn n4_a_new_session_is_not_followed_if_a_position_has_moved_since_it_was_stated() {
    let (mut bench, old) = Bench::up(WEBSOCKET);
    bench.down(old, [items(1, [subscribed("a", None, 4)])]);
    bench.core.positions_wanted = true;
    bench.migrate(POLLING);
    let (poll, hello) = bench.opened();
    assert!(hello.resume.unwrap().positions.is_some());
    bench.down(old, [items(2, [event("a", 5)])]);
    bench.welcome(poll, welcome(2, false));
    assert_eq!(bench.core.state().session, Some(welcome(1, true).session));
    assert_eq!(bench.polled().resume.unwrap().positions.unwrap()[&channel("a")], position("e", 5));
    bench.welcome(poll, welcome(2, false));
    assert_eq!(bench.core.state().session, Some(welcome(2, true).session));
}

#[test]
fn a_command_larger_than_a_message_is_refused_at_once() {
    let (mut bench, _) = Bench::up(WEBSOCKET);
    let Command::Send(mut large) = send() else { unreachable!() };
    large.payload = Payload::Bytes(vec![0; 64 * 1024].into());
    let ticket = bench.command(Command::Send(large));
    let refusal = Outcome::Rejected(ErrorCode::MessageTooLarge.into());
    assert_eq!(bench.outcome(ticket), Some(refusal));
}

#[test]
fn what_need_not_be_said_now_takes_what_room_a_post_has_left() {
    let (mut bench, _) = Bench::up(SSE);
    for name in ["cursor", "typing"] {
        let payload = Payload::Bytes(vec![0; 4_096].into());
        bench.core.say_volatile(bench.now, channel("room"), Some(name.into()), payload);
    }
    let Command::Send(mut large) = send() else { unreachable!() };
    large.payload = Payload::Bytes(vec![0; 45_000].into());
    bench.command(Command::Send(large));
    let (link, post, message) = bench.posted();
    assert_eq!(commands(&message).unwrap().items.len(), 1);
    let bytes = encode(Codec::Json, &message).len();
    assert!(bytes <= 65_536, "{bytes} bytes");
    bench.core.handle_post(bench.now, link, post, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    let (_, _, message) = bench.posted();
    assert_eq!(message.iter().filter(|frame| matches!(frame, UpFrame::Volatile(_))).count(), 2);
}

#[test]
fn a_volatile_larger_than_a_message_is_not_said() {
    for via in [WEBSOCKET, SSE] {
        let (mut bench, _) = Bench::up(via);
        bench.run();
        let payload = Payload::Bytes(vec![0; 64 * 1024].into());
        bench.core.say_volatile(bench.now, channel("room"), None, payload);
        assert!(bench.run().is_empty());
    }
}
