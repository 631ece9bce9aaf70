//! How a link is told that there is something for it.
//!
//! Each link has a [`Signal`]: a flag and the waker of its task. Each session has a [`Wake`], which its channels
//! know: it passes on to the link that items flow on. Marking what is marked already costs one swap, and a link that has
//! no room for events is not woken for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
    task::{Poll, Waker},
};

use atomic_waker::AtomicWaker;
use parking_lot::Mutex;

use crate::{channel::Listener, session::LinkId};

/// A flag with the waker of whoever waits for it.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    ready: AtomicBool,
    /// Whether events alone do not mark it.
    is_full: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    /// Marks it, and wakes the task unless it was marked already.
    pub(crate) fn set(&self) {
        if !self.ready.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Marks it for events, unless there is no room for them.
    fn set_by_events(&self) {
        if !self.is_full.load(Ordering::Relaxed) {
            self.set();
        }
    }

    /// Says whether there is room for events; by whoever waits for the signal. Before it looks for some there has to be,
    /// so that each event is found by that look or marks the signal.
    pub(crate) fn set_full(&self, is_full: bool) {
        if self.is_full.load(Ordering::Relaxed) != is_full {
            self.is_full.store(is_full, Ordering::Relaxed);
            fence(Ordering::SeqCst); // with the one of `Listener::appended`
        }
    }

    /// Remembers whom to wake.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Clears the mark; says whether it was there. Clear first, then look: what comes between marks it again.
    pub(crate) fn take(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }

    /// Clears the mark, or remembers whom to wake where there is none.
    ///
    /// A busy link is not remembered for each mark: whoever took one looks, and asks here again before it waits. A mark
    /// that is made meanwhile may wake nobody, and is there then. So is one that comes between the first look here and
    /// [`register`](Self::register): hence the second look, behind it. What comes behind that finds the waker.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<()> {
        if self.take() {
            return Poll::Ready(());
        }
        self.register(waker);
        if self.take() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// The signals of a session's links.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    signals: Mutex<Signals>,
    /// The link that items flow on, 0 for none: what the fast path compares.
    active: AtomicU64,
}

#[derive(Debug, Default)]
struct Signals {
    active: Option<Arc<Signal>>,
    links: Vec<(LinkId, Arc<Signal>)>,
}

impl Wake {
    /// Adds a link.
    pub(crate) fn add(&self, id: LinkId, signal: Arc<Signal>) {
        let links = &mut self.signals.lock().links;
        if links.is_empty() {
            links.reserve_exact(1);
        }
        links.push((id, signal));
    }

    /// Takes a link away.
    pub(crate) fn remove(&self, id: LinkId) {
        let mut signals = self.signals.lock();
        signals.links.retain(|(held, _)| *held != id);
        if signals.links.is_empty() {
            signals.links = Vec::new();
        }
        if self.active.load(Ordering::Relaxed) == id.0 {
            signals.active = None;
            self.active.store(0, Ordering::Relaxed);
        }
    }

    /// Wakes one link.
    pub(crate) fn wake(&self, id: LinkId) {
        if let Some((_, signal)) = self.signals.lock().links.iter().find(|(held, _)| *held == id) {
            signal.set();
        }
    }

    /// Says which link items flow on. Called with the session's lock held, so that the last word is the newest.
    pub(crate) fn set_active(&self, id: Option<LinkId>) {
        let number = id.map_or(0, |id| id.0);
        if self.active.load(Ordering::Relaxed) == number {
            return;
        }
        let mut signals = self.signals.lock();
        let active =
            signals.links.iter().find(|(held, _)| Some(*held) == id).map(|(_, signal)| Arc::clone(signal));
        // A link that has not been added yet is asked for once more when it is.
        self.active.store(if active.is_some() { number } else { 0 }, Ordering::Relaxed);
        if let Some(signal) = &active {
            signal.set();
        }
        signals.active = active;
    }
}

impl Listener for Wake {
    fn ready(&self) {
        if let Some(signal) = &self.signals.lock().active {
            signal.set();
        }
    }

    fn appended(&self) {
        if let Some(signal) = &self.signals.lock().active {
            signal.set_by_events();
        }
    }
}
