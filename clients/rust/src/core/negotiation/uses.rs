//! A link as far as the negotiation sees it: how far it has come, how long it may take for that, and who is to blame for its
//! end.

use throughline_wire::AttemptOutcome;

use crate::{
    config::{Timing, Transport, Via},
    core::Time,
};

/// How far a link has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Reached {
    /// It is being opened.
    Begun,
    /// Its handshake is done, and nothing said.
    Opened,
    /// Its hello is said.
    Greeted,
    /// A welcome has come down it.
    Welcomed,
    /// It carries the session, and that was confirmed.
    Up,
}

/// A link, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) via: Via,
    /// Whether its hello attaches.
    pub(super) carries: bool,
    pub(super) since: Time,
    pub(super) reached: Reached,
    /// When it got there.
    pub(super) at: Time,
    /// How long its handshake took.
    pub(super) handshake: Time,
    /// When something was last heard on it.
    pub(super) heard: Time,
}

impl Use {
    /// A link that is begun now.
    pub(super) const fn new(now: Time, via: Via, carries: bool, reached: Reached) -> Self {
        Self { via, carries, since: now, reached, at: now, handshake: Time::ZERO, heard: now }
    }

    /// It has come that far.
    pub(super) const fn reach(&mut self, reached: Reached, now: Time) {
        (self.reached, self.at) = (reached, now);
    }

    /// Until when a probe that is under way has the network to itself.
    pub(super) fn busy_until(&self, timing: &Timing) -> Option<Time> {
        let is_probe = self.reached < Reached::Up && self.via.transport != Transport::Polling;
        is_probe.then(|| self.at + timing.stagger.max(self.handshake))
    }

    /// When the patience with a probe is over.
    pub(super) fn expires_at(&self, timing: &Timing) -> Option<Time> {
        if self.carries {
            return None;
        }
        match self.reached {
            // Its transport gives up by itself after as long, and knows better why.
            Reached::Begun => Some(self.at + timing.probe + timing.stagger),
            // It waits for the session's token.
            Reached::Opened | Reached::Up => None,
            Reached::Greeted | Reached::Welcomed => Some(self.at + timing.probe),
        }
    }

    /// What a probe ended with whose patience is over.
    pub(super) fn expiry(&self) -> AttemptOutcome {
        match (self.reached, self.via.transport) {
            (Reached::Begun, Transport::WebTransport) => AttemptOutcome::Blocked,
            (Reached::Begun, _) => AttemptOutcome::Hung,
            (Reached::Welcomed, _) => AttemptOutcome::Buffered,
            _ => AttemptOutcome::Silent,
        }
    }

    /// How long it took to come this far; how long it carried the session, if it did.
    pub(super) fn took(&self, now: Time) -> Time {
        now.saturating_sub(if self.reached == Reached::Up { self.at } else { self.since })
    }

    /// Whether it carried the session for long.
    pub(super) fn is_settled(&self, now: Time, timing: &Timing) -> bool {
        self.reached == Reached::Up && self.took(now) >= timing.settled
    }

    /// Whether an end like this is held against its transport (`docs/negotiation.md`, Blame).
    pub(super) fn is_blamed(&self, now: Time, outcome: AttemptOutcome, timing: &Timing) -> bool {
        use AttemptOutcome as O;
        let was_up = self.reached == Reached::Up;
        match outcome {
            _ if self.via.transport == Transport::Polling => false,
            O::Late | O::Preferred | O::Proven | O::Unsupported => false,
            // A gateway that stops is no fault of the transport; a probe that it sends away must wait all the same.
            O::Drained => !was_up && !self.carries,
            O::Silent if was_up => true,
            // What broke after a long life is not to blame, nor what had been idle for as long as it would be left alone:
            // somebody on the way cuts idle connections of every kind.
            _ if was_up => !self.is_settled(now, timing) && now.saturating_sub(self.heard) < timing.reprobe,
            // Nor what failed while nothing else worked.
            _ => !self.carries,
        }
    }
}
