//! Links: attach numbers, probes, signs of life, goodbyes.

use std::time::Duration;

use throughline_wire::{Command, DownFrame, RetryReason, SubscribeFrom, UpFrame};

use super::super::{End, Standing, testing::*};
use super::{commands, lost};
use crate::{
    core::{Outcome, Output, Time, negotiation::pace::Pace},
    error::MigrateError,
    incoming::{Incoming, LinkChange, LostReason},
};

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
    let (link, opening) = bench.opening();
    let UpFrame::Hello(hello) = &opening[0] else { panic!("{opening:?}") };
    assert_eq!(hello.resume, None, "never again with that token");
    assert!(bench.taken().contains(&Incoming::SessionLost { reason: LostReason::Superseded }));
    let renewal = Command::Subscribe {
        channel: channel("a"),
        from: SubscribeFrom::Position(position("e", 4)),
        token: None,
        presence: false,
    };
    assert_eq!(commands(&opening).unwrap().items, [renewal], "it travels with the hello");
    bench.welcome(link, welcome(2, false));
    assert!(bench.said().is_empty(), "and is said once");
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
    assert!(bench.run().is_empty(), "confirmed: not said again");
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
fn a_goodbye_by_a_poll_is_said_before_the_session_is_over_though_the_poll_before_it_is_answered_meanwhile() {
    let (mut bench, link) = Bench::up(POLLING);
    let before = bench.polled().attach.unwrap();
    bench.core.close(bench.now);
    let goodbye = bench.polled().attach.unwrap();
    bench.core.handle_answer(bench.now, link, before, vec![DownFrame::Ack { up_to: 0 }]);
    assert!(!bench.core.is_closed());
    bench.core.handle_answer(bench.now, link, goodbye, Vec::new());
    assert!(bench.core.is_closed());
}

#[test]
fn l12_a_welcome_is_followed_once() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    let other = throughline_wire::frame::Welcome { incarnation: 9, ..welcome(2, false) };
    bench.welcome(link, other);
    assert_eq!((bench.core.state().incarnation, bench.core.active()), (Some(1), Some(link)));
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
fn on_a_network_that_seems_slow_the_round_trip_is_measured_again_with_each_heartbeat() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    let heartbeat = || DownFrame::Ping { nonce: None, window_ms: None };
    let answer = || DownFrame::Pong { nonce: None, window_ms: None };
    let (ping, pong) = (UpFrame::Ping { nonce: None }, UpFrame::Pong { nonce: None });
    bench.command(send());
    bench.run();
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.said(), std::slice::from_ref(&ping));
    bench.pass(Duration::from_secs(2));
    bench.down(link, [answer(), heartbeat()]);
    assert_eq!(bench.said(), [pong.clone(), ping]);
    bench.down(link, [heartbeat()]);
    assert_eq!(bench.said(), std::slice::from_ref(&pong), "one question at a time");
    bench.pass(Duration::from_millis(50));
    bench.down(link, [answer(), heartbeat()]);
    assert_eq!(bench.said(), [pong], "it was the client that was slow");
}

#[test]
fn a_pong_is_measured_from_the_first_ping_that_it_may_answer_and_on_another_network_not_at_all() {
    let asked = || {
        let (mut bench, link) = Bench::up(WEBSOCKET);
        bench.command(send());
        bench.run();
        bench.pass(Duration::from_millis(750));
        assert_eq!(bench.said(), [UpFrame::Ping { nonce: None }]);
        bench.pass(Duration::from_millis(400));
        (bench, link)
    };
    let measured = |bench: &Bench| bench.core.negotiation.pace.silence(Time::ZERO) / 3;
    let pong = || DownFrame::Pong { nonce: None, window_ms: None };
    let (mut bench, link) = asked();
    bench.down(link, [items(1, [])]);
    bench.run();
    bench.pass(Duration::from_millis(1_500));
    assert_eq!(bench.said(), [UpFrame::Ping { nonce: None }]);
    bench.core.negotiation.pace = Pace::default(); // the welcome came at once
    bench.pass(Duration::from_millis(100));
    bench.down(link, [pong()]);
    assert!(measured(&bench) > Time::from_secs(1), "it took two seconds, and not a tenth of one");

    let (mut bench, link) = asked();
    bench.core.network_changed(bench.now);
    assert_eq!(bench.said(), [UpFrame::Ping { nonce: None }]);
    bench.pass(Duration::from_millis(90));
    bench.down(link, [pong(), pong()]);
    assert_eq!(measured(&bench), Time::ZERO, "who knows");
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
    // Held for 25 s, and a second of grace.
    bench.pass(Duration::from_secs(26));
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
fn a_link_whose_polls_go_astray_while_its_posts_get_through_is_given_up() {
    let (mut bench, link) = Bench::up(POLLING);
    bench.polled();
    bench.command(send());
    let (_, post, _) = bench.posted();
    bench.core.handle_post(bench.now, link, post, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    for _ in 0..600 {
        bench.pass(Duration::from_millis(500));
        bench.run();
    }
    assert!(!bench.core.links.contains_key(&link));
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
fn a_goodbye_is_not_undone_by_what_still_comes() {
    // Advice on the link that it was said on.
    let (mut bench, link) = Bench::up(SSE);
    bench.run();
    bench.core.close(bench.now);
    bench.run();
    bench.down(link, [retry(RetryReason::Overload, 60_000, false)]);
    bench.pass(Duration::from_secs(1));
    bench.run();
    assert!(bench.core.is_closed());
    // The first words of a link that was to take over.
    let (mut bench, _) = Bench::up(POLLING);
    bench.run();
    bench.migrate(SSE);
    let (newer, _) = bench.opening();
    bench.core.close(bench.now);
    bench.run();
    bench.welcome(newer, welcome(1, true));
    bench.down(newer, [items(1, [])]);
    bench.pass(Duration::from_secs(1));
    bench.run();
    assert!(bench.core.is_closed());
}

#[test]
fn people_can_watch_links_come_and_go() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.pass(Duration::from_secs(1));
    bench.core.handle_ended(bench.now, link, lost());
    let session = welcome(1, true).session;
    let up = LinkChange::Up { via: WEBSOCKET, session, resumed: false, why: "it was welcomed first".into() };
    let down = LinkChange::Down { via: WEBSOCKET, reason: "cut".into(), retry_in: Time::ZERO };
    assert_eq!(bench.taken(), [Incoming::Link(up), Incoming::Link(down)]);
}
