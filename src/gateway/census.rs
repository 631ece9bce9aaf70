//! How many sessions there are, by their state and the transport that they are on.
//!
//! A session is counted where it changes, under the lock of its [cell](super::cell::Cell), so nobody who asks has to go
//! through all of them: a gateway of 100,000 sessions is looked at every few seconds.

use std::sync::atomic::{AtomicU8, Ordering};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::{
    labels::Labels,
    session::{Session, TRANSPORTS},
};

/// Where a session is in its life, as far as an application is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionState {
    /// It has a link that items flow on.
    Attached,
    /// It waits for its client.
    Detached,
    /// It has no such link, and its client has not come back with its token yet.
    Provisional,
}

impl SessionState {
    /// Every state.
    pub const ALL: &[Self] = &[Self::Attached, Self::Detached, Self::Provisional];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Provisional => "provisional",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.as_str() == word)
    }

    pub(super) fn of(session: &Session) -> Self {
        match session.active() {
            Some(_) => Self::Attached,
            None if session.is_provisional() => Self::Provisional,
            None => Self::Detached,
        }
    }
}

/// How many sessions there are of each kind: attached ones by their transport, then the others.
#[derive(Debug)]
pub(crate) struct Census {
    kinds: [Gauge; KINDS],
    family: Family<Labels<2>, Gauge>,
}

/// What a session is counted as.
#[derive(Debug)]
pub(super) struct Counted(AtomicU8);

impl Default for Census {
    fn default() -> Self {
        let family = Family::default();
        let kinds = std::array::from_fn(|kind| {
            let (state, transport) = match TRANSPORTS.get(kind) {
                Some(transport) => (SessionState::Attached, *transport),
                None if kind == DETACHED => (SessionState::Detached, "none"),
                None => (SessionState::Provisional, "none"),
            };
            family.get_or_create_owned(&[("state", state.as_str()), ("transport", transport)])
        });
        Self { kinds, family }
    }
}

impl Census {
    pub(super) fn register(&self, registry: &mut Registry) {
        let about = "Sessions held, by state and the transport they are on";
        registry.register("sessions", about, self.family.clone());
    }

    /// Counts a session as what it has become. Called with its lock held.
    pub(super) fn count(&self, counted: &Counted, session: &Session) {
        let kind = kind(session);
        let before = counted.0.load(Ordering::Relaxed);
        if before == kind {
            return;
        }
        counted.0.store(kind, Ordering::Relaxed); // the session's lock is held
        if let Some(gauge) = self.kinds.get(usize::from(kind)) {
            gauge.inc();
        }
        if let Some(gauge) = self.kinds.get(usize::from(before)) {
            gauge.dec();
        }
    }

    /// How many have a link that items flow on.
    pub(super) fn attached(&self) -> usize {
        self.kinds[..TRANSPORTS.len()].iter().map(|gauge| gauge.get().max(0) as usize).sum()
    }
}

impl Default for Counted {
    fn default() -> Self {
        Self(AtomicU8::new(KINDS as u8))
    }
}

const DETACHED: usize = TRANSPORTS.len();
const PROVISIONAL: usize = DETACHED + 1;
const KINDS: usize = PROVISIONAL + 1;

/// The place of a session's gauge; past the last for one that counts no more, or whose transport has none.
fn kind(session: &Session) -> u8 {
    match session.active() {
        _ if session.is_ended() => KINDS as u8,
        Some((_, spec)) => spec.place,
        None if session.is_provisional() => PROVISIONAL as u8,
        None => DETACHED as u8,
    }
}
