//! A session with what the gateway keeps beside it: its lock, its links' signals, and its lanes.
//!
//! [`Cell::change`] is the one way to a session: lock it, change it, then carry out its effects with the lock
//! released. What takes time runs in `lanes`.

mod lanes;
#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use throughline_wire::{ErrorCode, SessionId};

use self::lanes::{Lanes, Task, start};
use super::{
    Shared,
    census::Counted,
    clock,
    grants::Grants,
    limits::{Holding, Said},
    signal::{Signal, Wake},
};
use crate::{
    limits::Place,
    session::{Effect, Ending, LinkId, Parting, Session},
    upstream::{Order, SessionEvent},
};

/// A session of this gateway.
pub(crate) struct Cell {
    id: SessionId,
    session: Mutex<Session>,
    wake: Arc<Wake>,
    /// When the earliest entry of the timers looks at this session; `u64::MAX` for never.
    pub(super) scheduled: AtomicU64,
    counted: Counted,
    /// What its journal was last booked at.
    journal_bytes: AtomicUsize,
    lanes: Mutex<Option<Box<Lanes>>>,
    /// What the newest credential grants, and when that was shown.
    granted: Mutex<(u64, Grants)>,
    /// What it has said.
    said: Said,
    /// Its place among the sessions of its user, and among those of the address that it came from last.
    _user: Option<Place>,
    address: Mutex<Option<(IpAddr, Place)>>,
    shared: Arc<Shared>,
}

impl Cell {
    /// A cell around a session that was opened with `wake` as its listener.
    pub(super) fn new(session: Session, wake: Arc<Wake>, holding: Holding, shared: Arc<Shared>) -> Arc<Self> {
        let said = Said::of(&holding);
        let Holding { user, address } = holding;
        Arc::new(Self {
            id: session.id(),
            session: Mutex::new(session),
            wake,
            scheduled: AtomicU64::new(u64::MAX),
            counted: Counted::default(),
            journal_bytes: AtomicUsize::new(0),
            lanes: Mutex::new(None),
            granted: Mutex::default(),
            said,
            _user: user,
            address: Mutex::new(address),
            shared,
        })
    }

    /// The session's id.
    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    /// What the session has said.
    pub(super) const fn said(&self) -> &Said {
        &self.said
    }

    /// It was taken up again from this address.
    pub(super) fn came_from(&self, remote: Option<SocketAddr>) {
        self.shared.limits.moved(&mut self.address.lock(), remote);
    }

    /// Looks at the session.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Session) -> R) -> R {
        look(&self.session.lock())
    }

    /// Changes the session, and carries out what follows.
    pub(crate) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = {
            let mut session = self.session.lock();
            let result = change(&mut session);
            self.wake.set_active(session.active().map(|(id, _)| id));
            self.shared.metrics.census.count(&self.counted, &session);
            if let Some(deadline) = session.deadline() {
                self.shared.timers.schedule(self, deadline);
            }
            self.shared.metrics.add_tally(session.take_tally());
            let (booked, journal_bytes) =
                (self.journal_bytes.load(Ordering::Relaxed), session.journal_bytes());
            if booked != journal_bytes {
                self.journal_bytes.store(journal_bytes, Ordering::Relaxed); // the session's lock is held
                let usage = self.shared.broker.usage();
                usage.change_journals(booked, journal_bytes);
                self.shared.session.crowded.set(usage.is_crowded());
            }
            let effects = session.take_effects();
            self.enter_lives(&session, &effects);
            (result, effects)
        };
        for effect in effects {
            self.carry_out(effect);
        }
        result
    }

    /// Hands on what is told of the session's life; under its lock, so that it comes in order.
    fn enter_lives(&self, session: &Session, effects: &[Effect]) {
        let Some(lives) = &self.shared.lives else { return };
        for effect in effects {
            if let Effect::Life { number, life } = *effect {
                let (user, time) = (session.user().map(Into::into), clock::now().wall_ms);
                lives.enter(SessionEvent { session: self.id, user, number, time, life, missed: 0 });
            }
        }
    }

    /// Adds a link's signal, once the session knows the link.
    pub(super) fn add_signal(&self, id: LinkId, signal: Arc<Signal>) {
        self.wake.add(id, signal);
        self.wake.set_active(self.session.lock().active().map(|(id, _)| id));
    }

    /// Forgets a link, its client's or the gateway's doing.
    pub(super) fn remove_link(self: &Arc<Self>, id: LinkId, parting: Parting) {
        self.change(|session| session.handle_link_lost(clock::now(), id, parting));
        self.wake.remove(id);
    }

    fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Wake(id) => self.wake.wake(id),
            Effect::Subscribe(request) if self.is_lane_full(&request.channel) => {
                self.change(|session| session.refuse_subscription(&request, ErrorCode::Overloaded.into()));
            }
            Effect::Subscribe(request) => self.enqueue(request.channel.clone(), Task::Subscribe(request)),
            Effect::Unsubscribe(request) => self.enqueue(request.channel.clone(), Task::Unsubscribe(request)),
            Effect::Send { command, send: said }
                if self.shared.config.orders.of(&said.channel) == Order::None =>
            {
                start(Arc::clone(self).reply(command, said));
            }
            Effect::Send { command, send: said } => {
                self.enqueue(said.channel.clone(), Task::Send { command, said });
            }
            Effect::Volatile { channel, volatile } => _ = self.shared.say(&channel, volatile),
            Effect::Announce(channel) => self.shared.hub.announce(&channel),
            Effect::Permit(channel) => start(Arc::clone(self).permit(channel)),
            Effect::Authenticate { token } => self.check_credentials(token),
            Effect::Life { .. } => {} // on its way already
            Effect::Established => self.shared.metrics.count_established(),
            Effect::Refused(code) => self.shared.metrics.count_refusal(code),
            Effect::Limited(limit) => self.shared.limits.count(limit),
            Effect::Tried { transport, outcome } => self.shared.metrics.count_attempt(transport, outcome),
            Effect::Dropped(dropped) => self.shared.metrics.count_dropped(dropped),
            Effect::Ended(ending) => self.ended(ending),
        }
    }

    fn ended(&self, ending: Ending) {
        self.shared.registry.remove(self.id, self.user().as_deref());
        self.shared.metrics.count_ending(ending);
        tracing::debug!(session = %self.id, reason = ending.as_str(), "session ended");
    }

    /// From now on what this credential grants is what counts, unless one that was [shown](Shared::next_credential) later
    /// does; says whether. Called under the session's lock.
    pub(super) fn adopt(&self, shown: u64, grants: Grants) -> bool {
        let is_newest = !self.is_outdated(shown);
        if is_newest {
            *self.granted.lock() = (shown, grants);
        }
        is_newest
    }

    /// Whether a credential that was shown later counts.
    fn is_outdated(&self, shown: u64) -> bool {
        shown < self.granted.lock().0
    }

    fn grants(&self) -> Grants {
        self.granted.lock().1.clone()
    }

    fn user(&self) -> Option<Box<str>> {
        self.look(|session| session.user().map(Into::into))
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.shared.broker.usage().change_journals(self.journal_bytes.load(Ordering::Relaxed), 0);
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("id", &self.id).finish_non_exhaustive()
    }
}
