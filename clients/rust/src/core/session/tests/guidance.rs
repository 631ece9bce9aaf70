//! What the gateway says of when and where to come, and what a slow or a rebuilt session makes of links beside it.

use std::time::Duration;

use throughline_wire::{
    DownFrame, RetryReason, UpFrame,
    frame::{Limits, Welcome},
};

use super::super::testing::*;
use super::{commands, lost, subscribe};
use crate::{
    config::{Config, Transport, Via},
    core::{Output, names::LinkKey, negotiation::verdict::Verdict},
};

/// A client of a gateway with which a WebSocket was proven before.
fn remembering() -> Bench {
    let mut config = Config::new("http://gateway");
    config.transports = vec![WEBSOCKET, POLLING];
    let verdict = Verdict::new(Transport::WebSocket, None, Duration::from_secs(999_000));
    config.verdicts.remember("http://gateway", Some(verdict));
    Bench::with(config)
}

fn link(bench: &Bench, via: Via) -> LinkKey {
    let found = bench.core.links.iter().find(|(_, link)| link.via == via).map(|(key, _)| *key);
    found.unwrap_or_else(|| panic!("a link on {via}: {:?}", bench.core.links))
}

fn opens(outputs: &[Output], wanted: Via) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Open { via, .. } if *via == wanted))
}

/// A session on a poll, with a WebSocket beside it that has said hello.
fn polling_beside_a_probe() -> (Bench, LinkKey, LinkKey) {
    let mut config = Config::new("http://gateway");
    config.transports = vec![WEBSOCKET, POLLING];
    let mut bench = Bench::with(config);
    bench.run();
    let (poll, socket) = (link(&bench, POLLING), link(&bench, WEBSOCKET));
    bench.welcome(poll, welcome(1, false));
    bench.run();
    assert!(bench.core.links[&socket].greeted);
    (bench, poll, socket)
}

#[test]
fn advice_counts_also_where_another_link_was_tried_beside_the_one_that_it_came_on() {
    let mut bench = remembering();
    bench.run();
    bench.pass(Duration::from_millis(250));
    bench.run();
    let (socket, poll) = (link(&bench, WEBSOCKET), link(&bench, POLLING));
    bench.down(poll, [retry(RetryReason::Overload, 30_000, false)]);
    bench.run();
    assert!(bench.core.links.contains_key(&socket), "it may still do");
    bench.pass(Duration::from_secs(1));
    bench.core.handle_ended(bench.now, socket, lost());
    bench.core.network_changed(bench.now);
    let is_open = |output: &Output| matches!(output, Output::Open { .. });
    assert!(!bench.run().iter().any(is_open));
    bench.pass(Duration::from_millis(28_999));
    assert!(!bench.run().iter().any(is_open), "not before the gateway said");
    bench.pass(Duration::from_millis(1));
    assert!(bench.run().iter().any(is_open));
}

#[test]
fn a_fleet_comes_back_by_one_connection_each_for_as_long_as_the_window() {
    let mut bench = remembering();
    let (socket, _) = bench.opened();
    bench.welcome(socket, Welcome { window_ms: 5_000, ..welcome(1, false) });
    bench.run();
    bench.pass(Duration::from_secs(60));
    bench.down(socket, [DownFrame::Ack { up_to: 0 }]);
    bench.core.handle_ended(bench.now, socket, lost());
    bench.run();
    bench.now = bench.core.deadline().unwrap();
    assert!(opens(&bench.run(), WEBSOCKET));
    bench.pass(Duration::from_millis(4_999));
    assert!(!opens(&bench.run(), POLLING));
    bench.pass(Duration::from_millis(1));
    assert!(opens(&bench.run(), POLLING));
}

#[test]
fn a_probe_that_is_sent_away_waits_as_long_as_it_was_told_and_is_remembered_all_the_same() {
    let mut bench = remembering();
    bench.run();
    bench.pass(Duration::from_millis(250));
    bench.run();
    let poll = link(&bench, POLLING);
    bench.welcome(poll, welcome(1, false));
    let mut outputs = bench.run();
    let probe = link(&bench, WEBSOCKET);
    bench.down(probe, [retry(RetryReason::Overload, 60_000, false)]);
    assert!(!bench.core.links.contains_key(&probe));
    for _ in 0..6 {
        outputs.extend(bench.run());
        assert!(!bench.core.links.values().any(|link| link.via == WEBSOCKET), "at {:?}", bench.now);
        bench.pass(Duration::from_secs(10));
        bench.down(poll, [DownFrame::Ack { up_to: 0 }]);
    }
    assert!(opens(&bench.run(), WEBSOCKET));
    let forgets = |output: &Output| matches!(output, Output::Remember(None));
    assert!(!outputs.iter().any(forgets), "it has not failed");
}

#[test]
fn the_first_poll_of_a_link_is_never_held_so_it_is_not_believed_for_long() {
    let (mut bench, poll, socket) = polling_beside_a_probe();
    bench.core.handle_ended(bench.now, socket, lost());
    bench.core.handle_ended(bench.now, poll, lost());
    bench.now = bench.core.deadline().unwrap();
    bench.run();
    let poll = link(&bench, POLLING);
    bench.pass(bench.core.config.timing.welcome);
    bench.run();
    assert!(!bench.core.links.contains_key(&poll), "something else is tried");
}

#[test]
fn an_answer_that_comes_in_pieces_is_waited_for() {
    let (mut bench, poll) = Bench::up(POLLING);
    bench.command(send());
    let attach = bench.polled().attach;
    // For longer than a poll is held.
    for _ in 0..60 {
        bench.pass(Duration::from_millis(700));
        bench.core.handle_sign_of_life(bench.now, poll);
        let outputs = bench.run();
        assert!(!outputs.iter().any(|output| matches!(output, Output::Poll { .. })), "at {:?}", bench.now);
    }
    assert_eq!(bench.core.links[&poll].attach, attach);
}

#[test]
fn n4_a_probe_of_the_incarnation_before_never_carries_the_session() {
    let (mut bench, poll, socket) = polling_beside_a_probe();
    bench.welcome(socket, welcome(1, true));
    bench.run();
    bench.welcome(poll, Welcome { incarnation: 2, ..welcome(1, true) });
    bench.run();
    // It was on its way.
    bench.down(socket, [DownFrame::Ping { nonce: Some(7), window_ms: None }]);
    let said = bench.said();
    assert!(!said.iter().any(|frame| matches!(frame, UpFrame::Attach { .. })), "{said:?}");
    assert_eq!(bench.core.active(), Some(poll));
    assert_ne!(link(&bench, WEBSOCKET), socket, "and is tried anew");
}

#[test]
fn what_opened_a_session_and_was_more_than_the_gateway_keeps_is_said_again() {
    let mut bench = Bench::new(&[WEBSOCKET]);
    let names: Vec<_> = (1..=30).map(|n| format!("c{n}")).collect();
    for name in &names {
        bench.command(subscribe(name));
    }
    let (socket, opening) = bench.opening();
    assert_eq!(commands(&opening).map(|said| said.items.len()), Some(30));
    let limits = Limits { commands_ahead: 10, ..Limits::default() };
    bench.welcome(socket, Welcome { limits: Some(limits), received: 10, ..welcome(1, false) });
    let made = names.iter().zip(1..=10).map(|(name, n)| subscribed(name, Some(n), 0));
    bench.down(socket, [items(1, made.collect::<Vec<_>>())]);
    let said = bench.said();
    let again = commands(&said).unwrap_or_else(|| panic!("commands in {said:?}"));
    assert_eq!((again.first, again.items.len()), (11, 10));
}
