//! First starts, hedges and the way back up, frame by frame.

use std::time::Duration;

use throughline_wire::{ChannelName, Command, DownFrame, SubscribeFrom, UpFrame, frame::TransportOffer};

use super::super::{End, testing::*};
use super::{commands, lost, subscribe};
use crate::{
    config::{Config, Transport, Via},
    core::{Outcome, Output, negotiation::verdict::Verdict},
    error::MigrateError,
    incoming::{Incoming, LinkChange},
};

const ALL: [Via; 4] = [Via::json(Transport::WebTransport), WEBSOCKET, SSE, POLLING];

fn configured() -> Config {
    let mut config = Config::new("http://gateway");
    config.transports = ALL.to_vec();
    config
}

/// What is opened now.
fn opened(outputs: &[Output]) -> Vec<Via> {
    let opened = outputs.iter().filter_map(|output| match output {
        Output::Open { via, .. } => Some(*via),
        _ => None,
    });
    opened.collect()
}

fn link(bench: &Bench, via: Via) -> crate::core::names::LinkKey {
    let found = bench.core.links.iter().find(|(_, link)| link.via == via).map(|(key, _)| *key);
    found.unwrap_or_else(|| panic!("a link on {via}: {:?}", bench.core.links))
}

fn nonce(nonce: u64) -> DownFrame {
    DownFrame::Ping { nonce: Some(nonce), window_ms: None }
}

#[test]
fn a_first_start_polls_at_once_with_its_subscriptions_and_races_beside_it() {
    let mut config = configured();
    config.subscriptions = vec![(channel("news"), SubscribeFrom::Last(1))];
    let mut bench = Bench::with(config);
    bench.command(subscribe("more"));
    bench.command(send());
    let outputs = bench.run();
    // WebTransport needs an offer, and an event stream the token.
    assert_eq!(opened(&outputs), [POLLING, WEBSOCKET]);
    let poll = outputs.iter().find_map(|output| match output {
        Output::Poll { message, .. } => Some(message),
        _ => None,
    });
    let [UpFrame::Hello(hello), UpFrame::Commands(said)] = &poll.unwrap()[..] else { panic!("{poll:?}") };
    assert_eq!((hello.attach, &hello.resume), (Some(1), &None));
    let channel: ChannelName = channel("news");
    let first = Command::Subscribe { channel, from: SubscribeFrom::Last(1), token: None, presence: false };
    assert_eq!(said.items, [first, subscribe("more")], "C5: all but the send");

    // The handshake of the WebSocket is done, and it keeps still until there is a session.
    let (poll, socket) = (link(&bench, POLLING), link(&bench, WEBSOCKET));
    assert!(!bench.core.links[&socket].greeted);
    let mut first = welcome(1, false);
    first.received = 2;
    bench.down(poll, [DownFrame::Welcome(Box::new(first)), items(1, [subscribed("news", Some(1), 0)])]);
    let outputs = bench.run();
    let said = outputs.iter().find_map(|output| match output {
        Output::Transmit { link, message } if *link == socket => Some(message),
        _ => None,
    });
    let Some([UpFrame::Hello(hello)]) = said.map(|message| &message[..]) else { panic!("{outputs:?}") };
    assert_eq!((hello.attach, hello.resume.is_some()), (None, true), "a probe");
    let again = outputs.iter().any(|output| match output {
        Output::Post { message, .. } => commands(message).is_some_and(|commands| commands.first == 3),
        _ => false,
    });
    assert!(again, "only the send is left to say: {outputs:?}");

    bench.welcome(socket, welcome(1, true));
    bench.down(socket, [nonce(7)]);
    bench.run();
    bench.down(socket, [DownFrame::Pong { nonce: None, window_ms: None }]);
    assert_eq!(bench.core.state().via, Some(WEBSOCKET));
    let outputs = bench.run();
    assert!(outputs.iter().any(|output| matches!(output, Output::Remember(Some(verdict)) if verdict.transport == Transport::WebSocket)), "{outputs:?}");
    assert_eq!(bench.core.links.len(), 1, "the poll is left");
}

#[test]
fn a_probe_that_swallows_what_comes_down_never_displaces_the_link_that_works() {
    for swallowed in [WEBSOCKET, Via::json(Transport::WebTransport)] {
        let mut config = configured();
        config.transports = vec![swallowed, POLLING];
        config.url = "https://gateway".into();
        let mut bench = Bench::with(config);
        bench.run();
        let (poll, probe) = (link(&bench, POLLING), link(&bench, swallowed));
        bench.welcome(poll, welcome(1, false));
        bench.run();
        assert!(bench.core.links[&probe].greeted);
        // Nothing comes down; then a welcome without a nonce.
        for _ in 0..40 {
            bench.pass(Duration::from_millis(250));
            bench.run();
            assert_eq!(bench.core.active(), Some(poll), "{swallowed}");
        }
        assert!(!bench.core.links.contains_key(&probe), "its patience is over");
        assert!(bench.core.links[&poll].poll.is_some(), "the poll goes on");
    }
}

#[test]
fn l10_a_move_by_name_is_not_overtaken_by_what_is_probed_beside_it() {
    let mut config = configured();
    config.transports = vec![WEBSOCKET, SSE, POLLING];
    let mut bench = Bench::with(config);
    bench.run();
    let poll = link(&bench, POLLING);
    bench.welcome(poll, welcome(1, false));
    bench.run();
    let ticket = bench.migrate(SSE);
    bench.run();
    bench.pass(Duration::from_millis(250));
    bench.run();
    let (stream, socket) = (link(&bench, SSE), link(&bench, WEBSOCKET));
    bench.welcome(stream, welcome(1, true));
    bench.down(stream, [nonce(7)]);
    bench.run();
    bench.welcome(socket, welcome(1, true));
    bench.down(socket, [nonce(8)]);
    assert_eq!((bench.outcome(ticket), bench.core.active()), (None, Some(stream)));
    assert!(!bench.core.links.contains_key(&socket), "given up");
    assert_eq!(bench.core.state().via, Some(POLLING), "nothing has confirmed the stream yet");
    bench.down(stream, [DownFrame::Pong { nonce: None, window_ms: None }]);
    assert_eq!(bench.outcome(ticket), Some(Outcome::Migrated(Ok(()))));

    let mut config = configured();
    config.transports = vec![SSE, WEBSOCKET, POLLING];
    let mut bench = Bench::with(config);
    on_web_socket(&mut bench);
    let ticket = bench.migrate(POLLING);
    bench.run();
    let (poll, probe) = (link(&bench, POLLING), link(&bench, SSE));
    bench.welcome(probe, welcome(1, true));
    bench.down(probe, [nonce(8)]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(opened(&bench.run()), [], "it is left alone for a while");
    bench.down(poll, [DownFrame::Welcome(Box::new(welcome(1, true)))]);
    assert_eq!((bench.outcome(ticket), bench.core.active()), (Some(Outcome::Migrated(Ok(()))), Some(poll)));
}

#[test]
fn of_two_moves_by_name_the_later_wins_though_the_earlier_is_attached() {
    let (mut bench, _) = Bench::up(WEBSOCKET);
    let first = bench.migrate(POLLING);
    bench.run();
    let second = bench.migrate(SSE);
    bench.run();
    let stream = link(&bench, SSE);
    bench.welcome(stream, welcome(1, true));
    bench.down(stream, [nonce(7)]);
    bench.run();
    bench.down(stream, [DownFrame::Pong { nonce: None, window_ms: None }]);
    assert_eq!((bench.outcome(second), bench.core.active()), (Some(Outcome::Migrated(Ok(()))), Some(stream)));
    assert_eq!(bench.outcome(first), Some(Outcome::Migrated(Err(MigrateError::Replaced))));
}

#[test]
fn the_gateway_asks_for_a_move_which_is_made_when_it_said() {
    let mut config = configured();
    config.transports = vec![WEBSOCKET, SSE, POLLING];
    let mut bench = Bench::with(config);
    let socket = on_web_socket(&mut bench);
    let offer = TransportOffer { name: "sse".into(), url: None, certificate_hashes: Vec::new() };
    bench.down(socket, [DownFrame::Migrate { transports: vec![offer], delay_ms: 1_000, spread_ms: 0 }]);
    bench.pass(Duration::from_millis(999));
    assert_eq!(opened(&bench.run()), []);
    bench.pass(Duration::from_millis(1));
    assert_eq!(opened(&bench.run()), [SSE]);
}

#[test]
fn what_is_remembered_goes_first_and_a_poll_joins_it_when_it_stays_silent() {
    let config = configured();
    let verdict = Verdict::new(Transport::WebSocket, None, Duration::from_secs(999_000));
    config.verdicts.remember("http://gateway", Some(verdict));
    let mut bench = Bench::with(config.clone());
    let (socket, hello) = bench.opened();
    assert_eq!((bench.core.links[&socket].via, hello.attach), (WEBSOCKET, Some(1)));
    bench.pass(Duration::from_millis(250));
    let outputs = bench.run();
    assert_eq!(opened(&outputs), [POLLING]);
    // Both may be welcomed: to two sessions, of which only the first is followed.
    let poll = link(&bench, POLLING);
    bench.welcome(socket, welcome(1, false));
    bench.run();
    assert!(!bench.core.links.contains_key(&poll), "its session is left to die");
    assert_eq!(bench.core.state().session, Some(welcome(1, true).session));

    let mut bench = Bench::with(config);
    let (socket, _) = bench.opened();
    bench.core.handle_ended(bench.now, socket, lost());
    assert_eq!(opened(&bench.run()), [POLLING], "at once where it fails");
}

#[test]
fn a_link_that_is_late_is_hedged_and_kept_until_the_poll_is_answered() {
    let mut bench = Bench::with(configured());
    let socket = on_web_socket(&mut bench);
    bench.command(send());
    bench.run();
    bench.pass(Duration::from_millis(750));
    assert_eq!(bench.said(), [UpFrame::Ping { nonce: None }]);
    bench.pass(Duration::from_millis(750));
    let outputs = bench.run();
    assert_eq!(opened(&outputs), [POLLING]);
    let poll = link(&bench, POLLING);
    assert!(bench.core.links.contains_key(&socket), "kept");
    bench.down(socket, [items(1, [subscribed("a", None, 0)])]);
    assert_eq!(bench.core.inbox.received(), 1, "and still listened to");
    bench.welcome(poll, throughline_wire::frame::Welcome { next: 2, received: 1, ..welcome(1, true) });
    bench.run();
    assert_eq!(bench.core.active(), Some(poll));
    assert!(!bench.core.links.contains_key(&socket));
    // It is tried again, but not at once.
    bench.pass(Duration::from_millis(3_000));
    assert!(opened(&bench.run()).is_empty());
    bench.pass(Duration::from_millis(2_000));
    assert_eq!(opened(&bench.run()), [WEBSOCKET]);
}

#[test]
fn a_hedge_that_fails_too_ends_both_and_the_session_comes_back() {
    let mut bench = Bench::with(configured());
    let socket = on_web_socket(&mut bench);
    bench.pass(Duration::from_millis(15_750));
    assert_eq!(bench.said(), [UpFrame::Ping { nonce: None }], "a heartbeat is late");
    bench.pass(Duration::from_millis(750));
    bench.run();
    let poll = link(&bench, POLLING);
    bench.core.handle_ended(bench.now, poll, lost());
    bench.run();
    assert!(!bench.core.links.contains_key(&socket), "once is enough");
    assert!(bench.taken().iter().any(|incoming| matches!(incoming, Incoming::Link(LinkChange::Down { .. }))));
}

#[test]
fn one_link_comes_back_and_a_poll_joins_it_after_a_second_of_silence() {
    let mut bench = Bench::with(configured());
    let socket = on_web_socket(&mut bench);
    bench.pass(Duration::from_secs(60));
    bench.down(socket, [DownFrame::Ping { nonce: None, window_ms: None }]);
    bench.core.handle_ended(bench.now, socket, End::Lost("cut".into()));
    let outputs = bench.run();
    assert_eq!(opened(&outputs), [WEBSOCKET]);
    bench.pass(Duration::from_millis(999));
    assert!(opened(&bench.run()).is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(opened(&bench.run()), [POLLING]);
    let (socket, poll) = (link(&bench, WEBSOCKET), link(&bench, POLLING));
    // The welcome of the lead is followed, and the poll, which is on its way to take over, is waited for.
    bench.welcome(socket, welcome(1, true));
    assert_eq!(bench.core.active(), Some(socket));
    assert!(bench.core.links.contains_key(&poll));
    bench.welcome(poll, welcome(1, true));
    bench.run();
    assert_eq!(bench.core.active(), Some(poll));
}

#[test]
fn a_link_that_is_cut_when_it_was_idle_is_not_blamed() {
    for (idle_ms, leads) in [(5_000, WEBSOCKET), (4_999, POLLING)] {
        let mut bench = Bench::with(configured());
        let mut socket = on_web_socket(&mut bench);
        for _ in 0..10 {
            bench.pass(Duration::from_millis(1));
            bench.down(socket, [DownFrame::Ping { nonce: None, window_ms: None }]);
            bench.pass(Duration::from_millis(idle_ms));
            bench.core.handle_ended(bench.now, socket, lost());
            let (next, _) = bench.opened();
            assert_eq!(bench.core.links[&next].via, leads, "idle for {idle_ms} ms");
            if leads == POLLING {
                break;
            }
            bench.welcome(next, welcome(1, true));
            bench.run();
            socket = next;
        }
    }
}

/// A session that has moved to a WebSocket.
fn on_web_socket(bench: &mut Bench) -> crate::core::names::LinkKey {
    bench.run();
    let (poll, socket) = (link(bench, POLLING), link(bench, WEBSOCKET));
    bench.welcome(poll, welcome(1, false));
    bench.run();
    bench.welcome(socket, welcome(1, true));
    bench.down(socket, [nonce(7)]);
    bench.run();
    bench.down(socket, [DownFrame::Pong { nonce: None, window_ms: None }]);
    bench.run();
    assert_eq!(bench.core.active(), Some(socket));
    socket
}
