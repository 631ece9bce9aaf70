//! Coming back: retries, close codes, lost sessions, attempts.

use std::time::Duration;

use throughline_wire::{
    Command, DownFrame, ErrorCode, RetryReason, SubscribeFrom, Token,
    frame::{Backoff, ErrorFrame, Hello, Limits, Retry, Welcome},
};

use super::super::{End, Standing, testing::*};
use super::{commands, lost, subscribe};
use crate::{
    core::{Outcome, Output, Time, names::LinkKey},
    incoming::{Incoming, LostReason},
};

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
    let gone = Welcome { reason: Some(ErrorCode::SessionUnknown), ..welcome(2, false) };
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
fn c6_what_the_gateway_takes_up_from_positions_is_not_asked_for_again() {
    let (mut bench, link) = Bench::up(WEBSOCKET);
    bench.down(link, [items(1, [subscribed("a", None, 4)])]);
    bench.core.handle_ended(bench.now, link, lost());
    bench.pass(Duration::from_secs(1));
    let (link, _) = bench.opened();
    bench.down(link, [retry(RetryReason::Positions, 0, false)]);
    let (link, hello) = bench.opened();
    assert_eq!(hello.resume.unwrap().positions.unwrap()[&channel("a")], position("e", 4));
    bench.welcome(link, welcome(2, false));
    assert!(bench.said().is_empty());
    // Lost before the first item came: the place is still known.
    bench.core.handle_ended(bench.now, link, End::Closed(4003));
    assert_eq!(bench.core.inbox.positions()[&channel("a")], position("e", 4));
}

#[test]
fn whoever_comes_back_states_its_positions_though_nobody_asked() {
    for via in [WEBSOCKET, POLLING] {
        let (mut bench, link) = Bench::up(via);
        bench.down(link, [items(1, [subscribed("a", None, 4)])]);
        bench.taken();
        bench.core.handle_ended(bench.now, link, lost());
        let (link, hello) = bench.opened();
        let resume = hello.resume.unwrap();
        assert_eq!(resume.positions.unwrap()[&channel("a")], position("e", 4), "{via}");
        bench.down(link, [items(2, [event("a", 5)])]);
        bench.taken();
        if via == POLLING {
            assert_eq!(bench.polled().resume.unwrap().positions, None, "a poll that goes on does not");
        }
    }
}

#[test]
fn whoever_comes_back_by_a_poll_posts_what_it_has_to_say_once_that_is_answered() {
    let (mut bench, link) = Bench::up(POLLING);
    bench.core.handle_ended(bench.now, link, lost());
    bench.command(send());
    bench.pass(Duration::from_secs(1));
    let posts = |outputs: &[Output]| outputs.iter().any(|output| matches!(output, Output::Post { .. }));
    let outputs = bench.run();
    let opened = outputs.iter().find_map(|output| match output {
        Output::Open { link, .. } => Some(*link),
        _ => None,
    });
    assert!(opened.is_some() && !posts(&outputs), "one connection is enough to come back");
    bench.welcome(opened.unwrap(), welcome(1, true));
    assert!(posts(&bench.run()));
}

/// A client of a poll that comes back by one, with a command that was taken and has no reply.
fn coming_back_by_a_poll() -> (Bench, LinkKey) {
    let (mut bench, link) = Bench::up(POLLING);
    bench.command(send());
    let (_, post, _) = bench.posted();
    bench.core.handle_post(bench.now, link, post, Ok(vec![DownFrame::Ack { up_to: 1 }]));
    bench.core.handle_ended(bench.now, link, lost());
    bench.pass(Duration::from_secs(1));
    let (link, _) = bench.opened();
    (bench, link)
}

#[test]
fn whoever_comes_back_by_a_poll_hedges_it_for_no_reply_and_posts_no_credentials_beside_it() {
    let (mut bench, link) = coming_back_by_a_poll();
    bench.pass(Duration::from_millis(999));
    assert!(bench.run().is_empty());
    bench.core.authenticate(bench.now, Token::new("fresh"));
    assert!(bench.run().is_empty());
    bench.welcome(link, Welcome { received: 1, ..welcome(1, true) });
    let next = bench.polled();
    assert_eq!((next.auth, next.client), (Some(Token::new("fresh")), None), "the next hello says them");
    bench.pass(Duration::from_millis(750));
    bench.polled();
}

#[test]
fn a_poll_by_which_it_comes_back_is_said_once_more_where_nothing_is_heard_of_it() {
    for (window_ms, silence_ms) in [(0, 1_000), (5_000, 5_000)] {
        let (mut bench, old) = Bench::up(POLLING);
        bench.run();
        let DownFrame::Retry(told) = retry(RetryReason::Drain, 0, false) else { unreachable!() };
        let told = DownFrame::Retry(Retry { slot: Some("here".into()), ..told });
        bench.down(old, [DownFrame::Ping { nonce: None, window_ms: Some(window_ms) }, told]);
        let (link, first) = bench.opened();
        assert_eq!(first.slot.as_deref(), Some("here"));
        bench.pass(Duration::from_millis(silence_ms - 1));
        assert!(bench.run().is_empty());
        bench.pass(Duration::from_millis(1));
        let again = bench.polled();
        assert_eq!(again.attach, first.attach.map(|attach| attach + 1));
        assert_eq!(Hello { attach: first.attach, ..again }, first, "with its appointment");
        bench.pass(Duration::from_millis(9_999));
        assert!(bench.run().is_empty(), "once");
        bench.welcome(link, welcome(1, true));
        assert_eq!(bench.polled().slot, None, "and it is there");
    }
}

#[test]
fn a_poll_that_opens_a_session_is_said_once() {
    let mut bench = Bench::new(&[POLLING]);
    bench.opened();
    bench.pass(Duration::from_millis(9_999));
    assert!(bench.run().is_empty());
}

#[test]
fn until_a_link_has_shown_that_it_is_followed_each_of_its_polls_asks_for_a_welcome() {
    let (mut bench, _) = coming_back_by_a_poll();
    bench.core.network_changed(bench.now);
    let again = bench.polled();
    assert!(again.client.is_some() && again.resume.is_some(), "{again:?}");
}

#[test]
fn positions_that_would_acknowledge_what_is_not_taken_wait_to_be_asked_for_and_so_do_many() {
    for (is_taken, message_bytes, states) in [(true, 600, true), (false, 600, false), (true, 599, false)] {
        let mut bench = Bench::new(&[WEBSOCKET]);
        let (link, _) = bench.opened();
        let limits = Limits { message_bytes, ..Limits::default() };
        bench.welcome(link, Welcome { limits: Some(limits), ..welcome(1, false) });
        bench.down(link, [items(1, [subscribed("a", None, 4)])]);
        if is_taken {
            bench.taken();
        }
        bench.core.handle_ended(bench.now, link, lost());
        let resume = bench.opened().1.resume.unwrap();
        assert_eq!(resume.positions.is_some(), states, "{is_taken} {message_bytes}");
        assert_eq!(resume.after, u64::from(is_taken));
    }
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

/// A line of `tests/vectors/codes.json`, which every client runs.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    name: String,
    close_code: Option<u16>,
    retry_reason: Option<String>,
    #[serde(default, rename = "final")]
    is_final: bool,
    then: Option<String>,
}

#[test]
fn close_codes_and_reasons_are_read_as_the_table_says() {
    #[derive(serde::Deserialize)]
    struct File {
        vectors: Vec<Vector>,
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/codes.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for vector in file.vectors {
        let mut bench = Bench::new(&[WEBSOCKET, POLLING]);
        let (link, _) = bench.opened();
        bench.welcome(link, welcome(1, false));
        // Something is not taken, so positions are only stated where they are asked for.
        bench.down(link, [items(1, [subscribed("a", None, 4)])]);
        if let Some(code) = vector.close_code {
            bench.core.handle_ended(bench.now, link, End::Closed(code));
        } else if let Some(reason) = &vector.retry_reason {
            let reason = RetryReason::ALL.iter().find(|known| known.as_str() == reason).unwrap();
            bench.down(link, [retry(*reason, 0, vector.is_final)]);
        } else {
            continue; // an error code, which changes nothing of the link
        }
        // A client may state positions wherever it resumes; this one does where another gateway is to be there.
        let may_state = vector.retry_reason.as_deref() == Some(RetryReason::Drain.as_str());
        let expected = if may_state { Some("statesPositions") } else { vector.then.as_deref() };
        assert_eq!(Some(then(&mut bench)), expected, "{}", vector.name);
    }
}

/// What a client that lost its link does next.
fn then(bench: &mut Bench) -> &'static str {
    match bench.core.standing {
        Standing::Closed => return "staysAway",
        Standing::NeedsCredentials => return "getsCredentials",
        _ => {}
    }
    bench.pass(Duration::from_secs(60));
    let (link, hello) = bench.opened();
    match hello.resume {
        None => "opensAnew",
        Some(resume) if resume.positions.is_some() => "statesPositions",
        Some(_) if bench.core.links[&link].via != WEBSOCKET => "triesAnother",
        Some(_) => "resumes",
    }
}

#[test]
fn a_protocol_that_is_broken_twice_is_not_tried_again() {
    let mut bench = Bench::new(&[WEBSOCKET, POLLING]);
    let (link, _) = bench.opened();
    bench.welcome(link, welcome(1, false));
    bench.core.handle_ended(bench.now, link, End::Closed(1002));
    bench.pass(Duration::from_secs(60));
    let (link, _) = bench.opened();
    assert_eq!(bench.core.links[&link].via, POLLING);
    bench.down(link, [retry(RetryReason::ProtocolError, 0, false)]);
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

/// What a client waits that is welcomed each time, gets an event, and is sent away at once.
fn waits_of_one_sent_away(times: u64, stays: Duration) -> Vec<Duration> {
    let mut bench = Bench::new(&[WEBSOCKET]);
    let wait = |n| {
        let (link, _) = bench.opened();
        let own = Welcome { backoff: Backoff { base_ms: 0, cap_ms: 0 }, ..welcome(1, n > 0) };
        bench.welcome(link, own);
        bench.down(link, [items(n + 1, [subscribed("a", None, 4)])]);
        bench.pass(stays);
        bench.down(link, [retry(RetryReason::Overload, 0, false)]);
        let Standing::Waiting { until } = bench.core.standing else { panic!("gave up") };
        let wait = until - bench.now;
        bench.now = until;
        wait
    };
    (0..times).map(wait).collect()
}

#[test]
fn whoever_is_sent_away_at_once_again_and_again_comes_back_later_and_later() {
    let waits = waits_of_one_sent_away(40, Time::ZERO);
    assert_eq!(waits[..4], [Time::ZERO; 4], "it is obeyed as far as anybody means it");
    for (n, wait) in waits.iter().enumerate().skip(4) {
        let most = Duration::from_millis(250 << (n - 4).min(7));
        assert!(*wait <= most.min(Duration::from_secs(30)), "{n}: {wait:?}");
    }
    let sum: Duration = waits.iter().sum();
    assert!(sum > Duration::from_secs(60), "40 times in {sum:?}");
}

#[test]
fn whoever_is_sent_away_after_a_while_comes_back_when_it_is_told() {
    assert_eq!(waits_of_one_sent_away(40, Duration::from_secs(30)), [Time::ZERO; 40]);
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
fn credentials_given_while_those_of_a_hello_are_refused_are_shown_at_once() {
    let mut config = crate::Config::new("http://gateway");
    (config.transports, config.negotiate) = (vec![WEBSOCKET], false);
    config.auth = Some(Token::new("old"));
    let mut bench = Bench::with(config);
    let (link, hello) = bench.opened();
    assert_eq!(hello.auth, Some(Token::new("old")));
    bench.core.authenticate(bench.now, Token::new("new"));
    bench.down(link, [retry(RetryReason::Unauthorized, 0, false)]);
    bench.pass(Duration::from_secs(60));
    let (link, hello) = bench.opened();
    assert_eq!(hello.auth, Some(Token::new("new")));
    bench.core.handle_ended(bench.now, link, End::Closed(4200));
    assert_eq!(bench.core.standing, Standing::NeedsCredentials);
}

#[test]
fn a_message_that_is_too_large_fails_its_largest_command_and_is_no_refusal_of_the_client() {
    let (mut bench, mut link) = Bench::up(WEBSOCKET);
    for _ in 0..3 {
        let large = bench.command(send());
        bench.run();
        let code = ErrorCode::MessageTooLarge;
        let error = ErrorFrame { code, message: code.message().into(), command: None, fatal: true };
        bench.down(link, [DownFrame::Error(error), retry(RetryReason::ProtocolError, 1_000, false)]);
        assert_eq!(bench.outcome(large), Some(Outcome::Rejected(code.into())));
        bench.pass(Duration::from_secs(60));
        link = bench.opened().0;
        bench.welcome(link, welcome(1, true));
    }
    assert_eq!(bench.core.standing, Standing::Up);
}
