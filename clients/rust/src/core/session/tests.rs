//! Schedules, each named by the rule that it would break.

mod coming_back;
mod guidance;
mod links;
mod negotiation;
mod numbers;
mod presence;

use std::time::Duration;

use proptest::prelude::*;
use throughline_wire::{Command, DownFrame, RetryReason, SubscribeFrom, UpFrame, frame::Commands};

use super::{End, testing::*};

pub(super) fn lost() -> End {
    End::Lost("cut".into())
}

pub(super) fn commands(frames: &[UpFrame]) -> Option<&Commands> {
    frames.iter().find_map(|frame| match frame {
        UpFrame::Commands(commands) => Some(commands),
        _ => None,
    })
}

pub(super) fn subscribe(name: &str) -> Command {
    Command::Subscribe { channel: channel(name), from: SubscribeFrom::Now, token: None, presence: false }
}

/// Whatever comes, in whatever order, as numbers that choose it.
fn happen(bench: &mut Bench, what: u8, how: u8) {
    let links: Vec<_> = bench.core.links.keys().copied().collect();
    let link = (!links.is_empty()).then(|| links[usize::from(how) % links.len()]);
    let vias = [WEBSOCKET, POLLING, SSE, WEBTRANSPORT];
    let next = bench.core.inbox.received() + 1;
    match (what % 14, link) {
        (12, Some(link)) => bench.core.handle_opened(bench.now, link),
        (13, _) => bench.core.network_changed(bench.now),
        (0, Some(link)) => bench.core.handle_ended(bench.now, link, lost()),
        (1, _) => drop(bench.migrate(vias[usize::from(how) % 4])),
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
        negotiate: bool,
        steps in proptest::collection::vec((any::<u8>(), any::<u8>()), 1..200),
    ) {
        let mut config = crate::Config::new("https://gateway");
        config.transports = vec![WEBTRANSPORT, WEBSOCKET, SSE, POLLING];
        config.negotiate = negotiate;
        let mut bench = Bench::with(config);
        bench.hangs = true;
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
            let links = &bench.core.links;
            // L10: no probe that was not proven carries the session, nor did it say that it attaches.
            prop_assert!(links.values().all(|link| link.carries || link.is_attached() || link.attach.is_none()));
            prop_assert!(links.len() <= 8, "{} links", links.len());
        }
    }
}
