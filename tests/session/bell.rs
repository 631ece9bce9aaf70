//! Who listens for a session: rung where a gateway's link would be woken, and passing events over as that does.

use std::sync::atomic::{AtomicBool, Ordering};

use throughline::{channel::Listener, session::Session};

#[derive(Default)]
pub(crate) struct Bell {
    has_rung: AtomicBool,
    /// Whether events do not ring it: the link that was read last had no room for more.
    is_full: AtomicBool,
}

impl Bell {
    pub(crate) fn has_rung(&self) -> bool {
        self.has_rung.load(Ordering::Relaxed)
    }

    /// Whether somebody rang since it was last asked.
    pub(crate) fn take(&self) -> bool {
        self.has_rung.swap(false, Ordering::Relaxed)
    }

    /// The session has transmitted.
    pub(crate) fn note_room(&self, session: &Session) {
        self.is_full.store(session.is_window_full(), Ordering::Relaxed);
    }
}

impl Listener for Bell {
    fn ready(&self) {
        self.has_rung.store(true, Ordering::Relaxed);
    }

    fn appended(&self) {
        if !self.is_full.load(Ordering::Relaxed) {
            self.ready();
        }
    }
}
