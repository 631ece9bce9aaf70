//! What the gateway says of when and where to come, and what a slow or a rebuilt session makes of links beside it.

use std::time::Duration;

use throughline_wire::{
    DownFrame, RetryReason, UpFrame,
    frame::{Limits, TransportOffer, Welcome},
};

use super::super::testing::*;
use super::{commands, lost, subscribe};
use crate::{
    config::{Config, Transport, Via},
    core::{Output, names::LinkKey, negotiation::verdict::Verdict},
};

/// A client of a gateway with which a WebSocket was proven before.
fn remembering() -> Bench {
    remembering_of(&[WEBSOCKET, POLLING])
}

/// The same, of a client of these transports.
fn remembering_of(transports: &[Via]) -> Bench {
    with_proven(Transport::WebSocket, transports)
}

/// The same, where another was proven.
fn with_proven(proven: Transport, transports: &[Via]) -> Bench {
    let mut config = Config::new("http://gateway");
    config.transports = transports.to_vec();
    let verdict = Verdict::new(proven, None, Duration::from_secs(999_000));
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

/// The session is up, on a link that has lived long enough to count as proven; it is lost, and the wait is over.
fn lose_after_a_minute(bench: &mut Bench, link: LinkKey, window_ms: u64) {
    bench.welcome(link, Welcome { window_ms, ..welcome(1, false) });
    bench.run();
    bench.pass(Duration::from_secs(60));
    bench.down(link, [DownFrame::Ack { up_to: 0 }]);
    bench.core.handle_ended(bench.now, link, lost());
    bench.run();
    bench.now = bench.core.deadline().unwrap();
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
fn of_two_appointments_the_later_counts() {
    for (first_ms, second_ms) in [(30_000, 5_000), (5_000, 30_000)] {
        let mut bench = remembering();
        bench.run();
        bench.pass(Duration::from_millis(250));
        bench.run();
        let (socket, poll) = (link(&bench, WEBSOCKET), link(&bench, POLLING));
        bench.down(poll, [retry(RetryReason::Overload, first_ms, false)]);
        bench.down(socket, [retry(RetryReason::Overload, second_ms, false)]);
        bench.run();
        let is_open = |output: &Output| matches!(output, Output::Open { .. });
        bench.pass(Duration::from_millis(29_999));
        assert!(!bench.run().iter().any(is_open), "{first_ms} and {second_ms}");
        bench.pass(Duration::from_millis(1));
        assert!(bench.run().iter().any(is_open), "{first_ms} and {second_ms}");
    }
}

#[test]
fn a_fleet_comes_back_by_one_connection_each_for_as_long_as_the_window() {
    let mut bench = remembering();
    let (socket, _) = bench.opened();
    lose_after_a_minute(&mut bench, socket, 5_000);
    assert!(opens(&bench.run(), WEBSOCKET));
    bench.pass(Duration::from_millis(4_999));
    assert!(!opens(&bench.run(), POLLING));
    bench.pass(Duration::from_millis(1));
    assert!(opens(&bench.run(), POLLING));
}

#[test]
fn whoever_comes_back_opens_one_link_in_a_window_until_it_is_where_it_was() {
    let mut bench = remembering_of(&[WEBSOCKET, SSE, POLLING]);
    let (socket, _) = bench.opened();
    lose_after_a_minute(&mut bench, socket, 50_000);
    let mut begun = Vec::new();
    let mut poll = None;
    // Nobody is there at first; then polls get through, and a WebSocket only later.
    for _ in 0..200_000 {
        for output in bench.run() {
            let Output::Open { link, via, .. } = output else { continue };
            begun.push((via, bench.now));
            match (via, begun.len()) {
                (POLLING, _) => {
                    poll = Some(link);
                    bench.welcome(link, welcome(1, true));
                }
                (_, 1) | (SSE, _) => bench.core.handle_ended(bench.now, link, lost()),
                (_, 3) => {}
                _ => {
                    bench.welcome(link, welcome(1, true));
                    bench.down(link, [DownFrame::Ping { nonce: Some(7), window_ms: None }]);
                    bench.down(link, [DownFrame::Pong { nonce: None, window_ms: None }]);
                }
            }
        }
        if begun.len() == 5 {
            break;
        }
        bench.pass(Duration::from_millis(10));
        if let Some(poll) = poll {
            bench.core.handle_sign_of_life(bench.now, poll);
        }
    }
    let vias: Vec<_> = begun.iter().map(|(via, _)| *via).collect();
    assert_eq!(vias, [WEBSOCKET, POLLING, WEBSOCKET, SSE, WEBSOCKET]);
    let apart: Vec<_> = begun.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(apart.iter().all(|apart| *apart >= Duration::from_secs(50)), "{apart:?}");
    assert_eq!(bench.core.state().via, Some(WEBSOCKET));
}

#[test]
fn a_link_that_breaks_while_a_poll_goes_out_beside_it_is_followed_by_no_race() {
    let mut bench = remembering_of(&[WEBSOCKET, SSE, POLLING]);
    let (socket, _) = bench.opened();
    bench.welcome(socket, Welcome { window_ms: 50_000, ..welcome(1, false) });
    // For long enough that nobody blames it.
    for _ in 0..4 {
        bench.pass(Duration::from_secs(10));
        bench.down(socket, [DownFrame::Ping { nonce: None, window_ms: None }]);
        bench.run();
    }
    bench.pass(Duration::from_secs(16));
    bench.run();
    bench.pass(Duration::from_secs(1));
    assert!(opens(&bench.run(), POLLING), "a heartbeat is late, and no sign comes");
    let (begun, poll) = (bench.now, link(&bench, POLLING));
    bench.core.handle_ended(bench.now, socket, lost());
    let is_open = |output: &Output| matches!(output, Output::Open { .. });
    assert!(!bench.run().iter().any(is_open), "the poll alone");
    bench.pass(Duration::from_secs(1));
    bench.welcome(poll, welcome(1, true));
    while bench.now < begun + Duration::from_millis(49_900) {
        assert!(!bench.run().iter().any(is_open), "in the window, at {:?}", bench.now);
        bench.pass(Duration::from_millis(100));
        bench.core.handle_sign_of_life(bench.now, poll);
    }
    bench.pass(Duration::from_millis(100));
    assert!(opens(&bench.run(), WEBSOCKET), "after it");
}

#[test]
fn while_a_poll_beside_a_link_that_broke_has_no_answer_nothing_else_is_opened() {
    let mut bench = with_proven(Transport::Sse, &[WEBSOCKET, SSE, POLLING]);
    let (stream, _) = bench.opened();
    bench.welcome(stream, welcome(1, false));
    let mut hedged: Option<Duration> = None;
    while hedged.is_none_or(|at| bench.now < at + Duration::from_millis(9_750)) {
        if bench.now == Duration::from_secs(10) {
            bench.down(stream, [DownFrame::Ping { nonce: None, window_ms: None }]);
        }
        for output in bench.run() {
            let Output::Open { link, via, .. } = output else { continue };
            assert_eq!(hedged, None, "{via}");
            // A WebSocket is blocked here, and would be due again.
            bench.core.handle_ended(bench.now, if via == WEBSOCKET { link } else { stream }, lost());
            hedged = (via == POLLING).then_some(bench.now);
        }
        bench.pass(Duration::from_millis(250));
    }
}

#[test]
fn another_network_is_no_gateway_that_crashed_so_better_transports_are_probed_at_once() {
    let mut bench = remembering();
    let (socket, _) = bench.opened();
    lose_after_a_minute(&mut bench, socket, 5_000);
    let (socket, _) = bench.opened();
    bench.core.handle_ended(bench.now, socket, lost());
    bench.now = bench.core.deadline().unwrap();
    let (poll, _) = bench.opened();
    assert_eq!(bench.core.links[&poll].via, POLLING);
    bench.welcome(poll, welcome(1, true));
    assert!(!opens(&bench.run(), WEBSOCKET));
    bench.core.network_changed(bench.now);
    assert!(opens(&bench.run(), WEBSOCKET));
}

#[test]
fn a_link_that_is_silent_on_another_network_is_hedged_without_a_window_and_with_one_once_it_has_shown_that_it_lives()
 {
    for lives in [false, true] {
        let mut bench = remembering_of(&[WEBSOCKET, SSE, POLLING]);
        let (socket, _) = bench.opened();
        bench.welcome(socket, Welcome { window_ms: 50_000, ..welcome(1, false) });
        bench.run();
        bench.core.network_changed(bench.now);
        bench.run();
        if lives {
            bench.down(socket, [DownFrame::Pong { nonce: None, window_ms: None }]);
            bench.pass(Duration::from_millis(15_750));
            bench.run();
        }
        bench.pass(Duration::from_millis(500));
        assert!(opens(&bench.run(), POLLING));
        let poll = link(&bench, POLLING);
        bench.welcome(poll, welcome(1, true));
        assert_eq!(opens(&bench.run(), SSE), !lives);
    }
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
    bench.pass(bench.core.config.timing.join_back);
    bench.run();
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

#[test]
fn the_transport_that_a_retry_names_leads_the_next_attempt_and_a_poll_the_one_after_it() {
    let mut bench = remembering_of(&[WEBSOCKET, SSE, POLLING]);
    let (socket, _) = bench.opened();
    bench.welcome(socket, welcome(1, false));
    let mut away = retry(RetryReason::Drain, 0, false);
    if let DownFrame::Retry(retry) = &mut away {
        let offer = |name: &str| TransportOffer { name: name.into(), url: None, certificate_hashes: vec![] };
        retry.transports = Some(["sse", "polling"].map(offer).into());
    }
    bench.down(socket, [away]);
    let (first, _) = bench.opened();
    assert_eq!(bench.core.links[&first].via, SSE);
    bench.core.handle_ended(bench.now, first, lost());
    bench.pass(Duration::from_secs(60));
    let (second, _) = bench.opened();
    assert_eq!(bench.core.links[&second].via, POLLING);
}
