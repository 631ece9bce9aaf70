//! Schedules, each named by the rule that it would break.

use std::time::Duration;

use proptest::prelude::*;
use throughline_wire::{
    Command, DownFrame, ErrorCode, RetryReason, SubscribeFrom, UpFrame,
    frame::{Commands, ErrorFrame},
};

use super::{End, Standing, testing::*};
use crate::{
    core::{Outcome, Output, Time},
    error::MigrateError,
    incoming::{Incoming, LinkChange, LostReason},
};

fn lost() -> End {
    End::Lost("cut".into())
}

fn commands(frames: &[UpFrame]) -> Option<&Commands> {
    frames.iter().find_map(|frame| match frame {
        UpFrame::Commands(commands) => Some(commands),
        _ => None,
    })
}

fn subscribe(name: &str) -> Command {
    Command::Subscribe { channel: channel(name), from: SubscribeFrom::Now, token: None, presence: false }
}

#[test]
fn l1_every_poll_attaches_with_a_higher_number_and_states_what_it_has() {
    let (mut bench, link) = Bench::up(POLLING);
    let second = bench.polled();
    assert_eq!(second.attach, Some(2));
    bench.down(link, [items(1, [subscribed("a", None, 0), event("a", 1)])]);
    bench.taken();
    let third = bench.polled();
    assert_eq!(third.attach, Some(3));
    assert_eq!(third.resume.unwrap().after, 2);
    assert!(third.client.is_none(), "a poll that goes on says nothing twice");
}

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
    bench.pass(Duration::from_secs(1));
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
    bench.pass(Duration::from_secs(1));
    assert!(bench.run().is_empty());
}

#[test]
fn l8_superseded_below_the_newest_attach_is_ignored() {
    let (mut bench, old) = Bench::up(WEBSOCKET);
    let ticket = bench.migrate(POLLING);
    let (_, hello) = bench.opened();
    assert_eq!(hello.attach, Some(2));
    bench.down(old, [retry(RetryReason::Superseded, 0, false)]);
    assert_eq!(bench.outcome(ticket), Some(Outcome::Migrated(Ok(()))));
    assert_eq!(bench.core.state().session, Some(welcome(1, true).session));
}

#[test]
fn l8_superseded_for_the_newest_attach_is_final_and_a_new_session_takes_its_place() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.down(link, [items(1, [subscribed("a", None, 4)])]);
    bench.down(link, [retry(RetryReason::Superseded, 0, false)]);
    let (link, hello) = bench.opened();
    assert_eq!(hello.resume, None, "never again with that token");
    assert!(bench.taken().contains(&Incoming::SessionLost { reason: LostReason::Superseded }));
    bench.welcome(link, welcome(2, false));
    let said = bench.said();
    let renewal = Command::Subscribe {
        channel: channel("a"),
        from: SubscribeFrom::Position(position("e", 4)),
        token: None,
        presence: false,
    };
    assert_eq!(commands(&said).unwrap().items, [renewal]);
}

#[test]
fn l10_a_probe_displaces_nothing_until_a_nonce_has_come_down() {
    let (mut bench, old) = Bench::up(WEBSOCKET);
    let ticket = bench.migrate(SSE);
    let (probe, hello) = bench.opened();
    assert_eq!((hello.attach, hello.resume.is_some()), (None, true));
    bench.welcome(probe, welcome(1, true));
    bench.command(send());
    assert!(commands(&bench.said()).is_some(), "the old link goes on");
    bench.down(old, [items(1, [subscribed("a", None, 0)])]);
    bench.taken();
    bench.down(probe, [DownFrame::Ping { nonce: Some(7), window_ms: None }]);
    let (link, post, frames) = bench.posted();
    assert_eq!(link, probe);
    assert_eq!(frames[1..3], [UpFrame::Pong { nonce: Some(7) }, UpFrame::Attach { number: 2, after: 1 }]);
    // Not confirmed: said again, with a number of its own.
    bench.core.handle_post(bench.now, link, post, Err("lost".into()));
    bench.pass(Duration::from_secs(1));
    let (link, post, frames) = bench.posted();
    assert!(frames.contains(&UpFrame::Attach { number: 3, after: 1 }), "{frames:?}");
    bench.core.handle_post(bench.now, link, post, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    bench.down(probe, [items(2, [event("a", 1)])]);
    assert_eq!(bench.outcome(ticket), Some(Outcome::Migrated(Ok(()))));
    let closed =
        bench.run().iter().any(|output| matches!(output, Output::Close { link, .. } if *link == old));
    assert!(closed);
}

#[test]
fn l10_a_probe_that_fails_leaves_the_link_that_works_alone() {
    let (mut bench, old) = Bench::up(WEBSOCKET);
    let ticket = bench.migrate(SSE);
    let (probe, _) = bench.opened();
    bench.core.handle_ended(bench.now, probe, lost());
    assert_eq!(bench.outcome(ticket), Some(Outcome::Migrated(Err(MigrateError::Unproven))));
    assert_eq!(bench.core.active(), Some(old));
    // A poll is an attach by itself: if it comes to nothing, the link before it goes on too.
    let ticket = bench.migrate(POLLING);
    let (poll, _) = bench.opened();
    bench.core.handle_ended(bench.now, poll, lost());
    assert_eq!(bench.outcome(ticket), Some(Outcome::Migrated(Err(MigrateError::Unproven))));
    assert_eq!((bench.core.active(), bench.core.standing), (Some(old), Standing::Up));
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
fn l12_a_welcome_is_followed_once() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    let other = throughline_wire::frame::Welcome { incarnation: 9, ..welcome(2, false) };
    bench.welcome(link, other);
    assert_eq!(bench.core.state().incarnation, Some(1));
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
fn c6_after_a_lost_session_sends_are_unknown_and_subscriptions_are_renewed() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    let said = bench.command(send());
    bench.run();
    bench.down(link, [items(1, [subscribed("a", None, 4), event("a", 5)])]);
    bench.core.handle_ended(bench.now, link, lost());
    let never_said = bench.command(send());
    let pending = bench.command(subscribe("b"));
    let (link, _) = bench.opened();
    let gone =
        throughline_wire::frame::Welcome { reason: Some(ErrorCode::SessionUnknown), ..welcome(2, false) };
    bench.welcome(link, gone);
    assert_eq!(bench.outcome(said), Some(Outcome::Unknown));
    assert_eq!(bench.outcome(never_said), None);
    let frames = bench.said();
    let again = commands(&frames).unwrap();
    let renewal = Command::Subscribe {
        channel: channel("a"),
        from: SubscribeFrom::Position(position("e", 5)),
        token: None,
        presence: false,
    };
    assert_eq!((again.first, &again.items[..]), (1, &[renewal, send(), subscribe("b")][..]));
    let reason = LostReason::NotResumed(Some(ErrorCode::SessionUnknown));
    assert!(bench.taken().contains(&Incoming::SessionLost { reason }));
    bench.down(link, [items(1, [subscribed("b", Some(3), 0)])]);
    assert!(matches!(bench.outcome(pending), Some(Outcome::Subscribed(_))));
}

#[test]
fn a_renewal_that_is_refused_is_told() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.down(link, [items(1, [subscribed("a", None, 4)])]);
    bench.core.handle_ended(bench.now, link, End::Closed(4100));
    let (link, hello) = bench.opened();
    assert_eq!(hello.resume, None);
    bench.welcome(link, welcome(2, false));
    bench.run();
    let refusal = throughline_wire::Reply { command: 1, result: Err(ErrorCode::Forbidden.into()) };
    bench.down(link, [items(1, [throughline_wire::Item::Reply(refusal)])]);
    let told = bench.taken();
    assert!(told.iter().any(|incoming| matches!(incoming, Incoming::Unsubscribed { number: None, .. })));
    assert!(bench.core.inbox.positions().is_empty());
}

#[test]
fn a_close_code_is_read_by_its_range() {
    #[derive(PartialEq, Debug)]
    enum Then {
        Resumes,
        OpensAnew,
        NeedsCredentials,
        Stops,
    }
    let table = [
        (1000, Then::Resumes),
        (1001, Then::Resumes),
        (1006, Then::Resumes),
        (1009, Then::Resumes),
        (1011, Then::Resumes),
        (1012, Then::Resumes),
        (1013, Then::Resumes),
        (1002, Then::Resumes),
        (4000, Then::Resumes),
        (4099, Then::Resumes),
        (4100, Then::OpensAnew),
        (4199, Then::OpensAnew),
        (4200, Then::NeedsCredentials),
        (4299, Then::NeedsCredentials),
        (4300, Then::OpensAnew),
        (4301, Then::Stops),
        (4399, Then::Stops),
        (4400, Then::Resumes),
    ];
    for (code, expected) in table {
        let (mut bench, link) = Bench::up(WEBSOCKET);
        bench.core.handle_ended(bench.now, link, End::Closed(code));
        bench.pass(Duration::from_secs(60));
        let standing = bench.core.standing;
        let then = match standing {
            Standing::Closed => Then::Stops,
            Standing::NeedsCredentials => Then::NeedsCredentials,
            _ if bench.opened().1.resume.is_some() => Then::Resumes,
            _ => Then::OpensAnew,
        };
        assert_eq!(then, expected, "{code}");
    }
}

#[test]
fn a_protocol_that_is_broken_twice_is_not_tried_again() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.core.handle_ended(bench.now, link, End::Closed(1002));
    bench.pass(Duration::from_secs(60));
    let (link, _) = bench.opened();
    bench.core.handle_ended(bench.now, link, End::Closed(1002));
    assert!(bench.core.is_closed());
}

#[test]
fn a_retry_says_when_to_come_back_and_whether() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.down(link, [retry(RetryReason::Drain, 2_000, false)]);
    // The close that follows says nothing new.
    bench.core.handle_ended(bench.now, link, End::Closed(4000));
    assert_eq!(bench.core.standing, Standing::Waiting { until: Duration::from_secs(2) });
    bench.pass(Duration::from_secs(2));
    let (link, _) = bench.opened();
    let waiting = bench.command(send());
    bench.down(link, [retry(RetryReason::Disconnected, 0, true)]);
    assert!(bench.core.is_closed());
    assert_eq!(bench.outcome(waiting), Some(Outcome::Closed));
    let reason = LostReason::Final(Some(RetryReason::Disconnected));
    assert!(bench.taken().contains(&Incoming::SessionLost { reason }));
}

#[test]
fn the_advice_behind_a_fatal_error_counts() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    let code = ErrorCode::TooManySessions;
    let error = ErrorFrame { code, message: "".into(), command: None, fatal: true };
    bench.down(link, [DownFrame::Error(error), retry(RetryReason::Overload, 3_000, false)]);
    assert_eq!(bench.core.standing, Standing::Waiting { until: Duration::from_secs(3) });
}

#[test]
fn attempts_back_off_and_try_the_next_transport_and_never_give_up() {
    let mut bench = Bench::new(&[WEBSOCKET, POLLING]);
    let mut tried = Vec::new();
    let mut longest = Time::ZERO;
    for _ in 0..40 {
        let (link, _) = bench.opened();
        tried.push(bench.core.links[&link].via);
        bench.core.handle_ended(bench.now, link, lost());
        let Standing::Waiting { until } = bench.core.standing else { panic!("gave up") };
        longest = longest.max(until - bench.now);
        bench.now = until;
    }
    assert_eq!(tried[..4], [WEBSOCKET, POLLING, WEBSOCKET, POLLING]);
    assert!(longest > Duration::from_secs(10) && longest <= Duration::from_secs(30), "{longest:?}");
}

#[test]
fn a_stream_that_falls_silent_is_lost_and_a_heartbeat_keeps_it() {
    let (mut bench, link) = Bench::up(SSE);
    bench.pass(Duration::from_secs(19));
    bench.down(link, [DownFrame::Ping { nonce: None, window_ms: Some(5_000) }]);
    bench.pass(Duration::from_secs(19));
    bench.run();
    assert_eq!(bench.core.active(), Some(link));
    bench.pass(Duration::from_secs(2));
    bench.run();
    assert_eq!(bench.core.active(), None);
    assert_eq!(bench.core.guidance.window_ms, 5_000);
}

#[test]
fn a_reply_that_is_missing_while_nothing_is_heard_makes_the_link_doubted() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.command(send());
    bench.run();
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.said(), [UpFrame::Ping { nonce: None }]);
    bench.down(link, [DownFrame::Pong { nonce: None, window_ms: None }]);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.said(), [UpFrame::Ping { nonce: None }]);
    bench.pass(Duration::from_secs(3));
    bench.run();
    assert_eq!(bench.core.active(), None);
}

#[test]
fn a_poll_that_is_not_answered_is_given_up_and_its_answer_ignored() {
    let (mut bench, link) = Bench::up(POLLING);
    let first = bench.polled().attach.unwrap();
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.polled().attach, Some(first + 1));
    let late = vec![items(1, [subscribed("a", None, 0)])];
    bench.core.handle_answer(bench.now, link, first, late);
    assert_eq!(bench.core.inbox.received(), 0);
    bench.pass(Duration::from_secs(30));
    bench.run();
    assert!(!bench.core.links.contains_key(&link), "twice is too often");
}

#[test]
fn a_reply_that_is_late_is_hedged_by_another_poll() {
    let (mut bench, link) = Bench::up(POLLING);
    let first = bench.polled().attach.unwrap();
    bench.command(send());
    let (_, post, _) = bench.posted();
    bench.core.handle_post(bench.now, link, post, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.polled().attach, Some(first + 1));
}

#[test]
fn answers_that_bring_nothing_at_once_are_not_asked_for_in_a_rush() {
    let (mut bench, link) = Bench::up(POLLING);
    for _ in 0..3 {
        bench.polled();
        bench.down(link, []);
    }
    assert!(bench.run().is_empty());
}

#[test]
fn a_command_larger_than_a_message_is_refused_at_once() {
    let (mut bench, _) = Bench::up(WEBSOCKET);
    let Command::Send(mut large) = send() else { unreachable!() };
    large.payload = throughline_wire::Payload::Bytes(vec![0; 64 * 1024].into());
    let ticket = bench.command(Command::Send(large));
    let refusal = Outcome::Rejected(ErrorCode::MessageTooLarge.into());
    assert_eq!(bench.outcome(ticket), Some(refusal));
}

#[test]
fn a_goodbye_is_said_and_all_who_wait_hear_of_it() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    let waiting = bench.command(send());
    bench.run();
    bench.core.close(bench.now);
    assert_eq!(bench.said(), [UpFrame::Bye]);
    bench.core.handle_ended(bench.now, link, End::Closed(1000));
    assert_eq!(bench.outcome(waiting), Some(Outcome::Unknown));
    assert!(bench.core.is_closed());
    for via in [POLLING, SSE] {
        let (mut bench, _) = Bench::up(via);
        bench.run();
        bench.core.close(bench.now);
        let outputs = bench.run();
        let said = outputs.iter().any(|output| match output {
            Output::Poll { message, .. } | Output::Post { message, .. } => message.contains(&UpFrame::Bye),
            _ => false,
        });
        assert!(said, "{outputs:?}");
        bench.pass(Duration::from_secs(1));
        bench.run();
        assert!(bench.core.is_closed());
    }
}

#[test]
fn people_can_watch_links_come_and_go() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.pass(Duration::from_secs(1));
    bench.core.handle_ended(bench.now, link, lost());
    let session = welcome(1, true).session;
    let up = LinkChange::Up { via: WEBSOCKET, session, resumed: false };
    let down = LinkChange::Down { via: WEBSOCKET, reason: "cut".into(), retry_in: Time::ZERO };
    assert_eq!(bench.taken(), [Incoming::Link(up), Incoming::Link(down)]);
}

/// Whatever comes, in whatever order, as numbers that choose it.
fn happen(bench: &mut Bench, what: u8, how: u8) {
    let links: Vec<_> = bench.core.links.keys().copied().collect();
    let link = (!links.is_empty()).then(|| links[usize::from(how) % links.len()]);
    let vias = [WEBSOCKET, POLLING, SSE];
    let next = bench.core.inbox.received() + 1;
    match (what % 12, link) {
        (0, Some(link)) => bench.core.handle_ended(bench.now, link, lost()),
        (1, _) => drop(bench.migrate(vias[usize::from(how) % 3])),
        (2, _) => drop(bench.command(send())),
        (3, Some(link)) => bench.down(link, [items(next, [subscribed("a", None, u64::from(how))])]),
        (4, Some(link)) => {
            bench.down(link, [DownFrame::Ping { nonce: Some(u64::from(how)), window_ms: None }])
        }
        (5, Some(link)) => {
            let resumed = bench.core.known.is_some() && !how.is_multiple_of(8);
            let incarnation = if how.is_multiple_of(5) { 2 } else { 1 };
            let received = bench.core.outbox.taken();
            let mut welcome = welcome(if resumed { 1 } else { 2 }, resumed);
            (welcome.incarnation, welcome.next, welcome.received) = (incarnation, next, received);
            bench.welcome(link, welcome);
        }
        (6, Some(link)) => bench.down(link, [retry(RetryReason::ALL[usize::from(how) % 3], 0, false)]),
        (7, Some(link)) => {
            bench.down(link, [DownFrame::Ack { up_to: bench.core.outbox.next().saturating_sub(1) }])
        }
        (8, _) => drop(bench.taken()),
        (9, Some(link)) => {
            let post = bench.core.links[&link].posts.in_flight.map(|post| post.id);
            let taken = bench.core.outbox.next() - 1;
            let answer = if how.is_multiple_of(2) {
                Ok(vec![DownFrame::Ack { up_to: taken }])
            } else {
                Err("lost".into())
            };
            if let Some(post) = post {
                bench.core.handle_post(bench.now, link, post, answer);
            }
        }
        (10, _) => bench.now = bench.now.max(bench.core.deadline().unwrap_or_default()),
        _ => bench.pass(Duration::from_millis(u64::from(how))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_core_never_spins_and_always_waits_for_something(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..200),
    ) {
        let mut bench = Bench::new(&[WEBSOCKET, POLLING, SSE]);
        bench.run();
        let mut attach = 0;
        for (what, how) in steps {
            happen(&mut bench, what, how);
            bench.run();
            // L1: attach numbers only rise.
            prop_assert!(bench.core.attach >= attach);
            attach = bench.core.attach;
            prop_assert!(bench.core.active().is_none_or(|key| bench.core.links.contains_key(&key)));
            let deadline = bench.core.deadline();
            prop_assert!(deadline.is_some(), "nothing to wait for: {:?}", bench.core);
            prop_assert!(deadline > Some(bench.now), "spins at {:?}: {:?}", bench.now, bench.core);
        }
    }
}
