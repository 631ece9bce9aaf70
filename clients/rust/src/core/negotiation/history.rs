//! What was tried, and how it went: for the application, and for the gateway.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use throughline_wire::{AttemptOutcome, frame::Tried};

use crate::{config::Via, core::Time};

/// How many attempts an application can look back on.
const KEPT: usize = 32;

/// How many wait to be told; past it the oldest are not.
const UNTOLD: usize = 16;

/// One use of a transport that came to an end, or to its proof.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// What was tried.
    pub via: Via,
    /// How it went.
    pub outcome: AttemptOutcome,
    /// Why, for a person.
    pub reason: Box<str>,
    /// How long it took until then.
    pub took: Duration,
    /// When that was, since the client was made.
    pub at: Duration,
}

/// What was tried, newest last.
#[derive(Debug, Default)]
pub(crate) struct History {
    kept: Arc<[Attempt]>,
    untold: VecDeque<(Via, AttemptOutcome, Time, Time)>,
}

impl History {
    /// All that is kept, oldest first.
    pub(crate) fn attempts(&self) -> Arc<[Attempt]> {
        Arc::clone(&self.kept)
    }

    /// Notes how an attempt went.
    pub(crate) fn note(&mut self, now: Time, via: Via, outcome: AttemptOutcome, took: Time, reason: &str) {
        tracing::debug!(%via, outcome = outcome.as_str(), reason, ?took, "a transport was tried");
        let attempt = Attempt { via, outcome, reason: reason.into(), took, at: now };
        let from = (self.kept.len() + 1).saturating_sub(KEPT);
        self.kept = self.kept[from..].iter().cloned().chain([attempt]).collect();
        if self.untold.len() >= UNTOLD {
            self.untold.pop_front();
        }
        self.untold.push_back((via, outcome, took, now));
    }

    /// Whether the gateway has not heard of something.
    pub(crate) fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// What the gateway has not heard of; it is told once.
    pub(crate) fn tell(&mut self, now: Time) -> impl Iterator<Item = Tried> + '_ {
        self.untold.drain(..).map(move |(via, outcome, took, at)| Tried {
            transport: via.transport.name().into(),
            outcome,
            took_ms: milliseconds(took),
            ago_ms: milliseconds(now.saturating_sub(at)),
        })
    }
}

fn milliseconds(time: Time) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min((1 << 53) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::session::testing::WEBSOCKET;

    #[test]
    fn the_newest_are_kept_and_each_is_told_once() {
        let mut history = History::default();
        for n in 0..40 {
            history.note(Time::from_secs(n), WEBSOCKET, AttemptOutcome::Hung, Time::from_millis(n), "");
        }
        assert_eq!(history.attempts().len(), KEPT);
        assert_eq!(history.attempts().last().map(|attempt| attempt.at), Some(Time::from_secs(39)));
        let told: Vec<_> = history.tell(Time::from_secs(40)).collect();
        assert_eq!((told.len(), told[15].took_ms, told[15].ago_ms), (UNTOLD, 39, 1_000));
        assert!(!history.has_untold());
    }
}
