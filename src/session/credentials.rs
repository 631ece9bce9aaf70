//! How long the client's credential counts, and what happens then: its links end, and the session waits for another.
//!
//! Who checks credentials is the gateway's affair; the session is only told when the newest ends.

use throughline_wire::MAX_INTEGER;

use super::{Effect, ErrorCode, Goodbye, Now, Session};

/// When the newest credential ends, on the clock of [`Now::mono_ms`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Credentials {
    /// `u64::MAX` for never, and for so late that no number of the protocol tells it.
    end_ms: u64,
}

impl Credentials {
    pub(super) fn new(now: Now, end_at_ms: Option<u64>) -> Self {
        let left_ms = end_at_ms.map(|end_at_ms| end_at_ms.saturating_sub(now.wall_ms));
        let told_ms = left_ms.filter(|left_ms| *left_ms <= MAX_INTEGER);
        Self { end_ms: told_ms.map_or(u64::MAX, |left_ms| now.mono_ms.saturating_add(left_ms)) }
    }

    /// What is left of it: what a `welcome` says.
    pub(super) fn left_ms(self, now: Now) -> Option<u64> {
        (self.end_ms != u64::MAX).then(|| self.end_ms.saturating_sub(now.mono_ms))
    }
}

impl Session {
    /// Another credential of the same user was checked; it ends then, in milliseconds since the Unix epoch.
    pub fn renew_credentials(&mut self, now: Now, end_at_ms: Option<u64>) {
        self.credentials = Credentials::new(now, end_at_ms);
    }

    /// Whether the newest credential still counts, its leeway included.
    pub fn has_credentials(&self, now: Now) -> bool {
        now.mono_ms < self.credentials_gone_ms()
    }

    /// When links are to be ended; `None` while there is none that is not ending already.
    pub(super) fn credentials_due(&self) -> Option<u64> {
        let stands = self.links.iter().any(|link| link.outbox.goodbye.is_none());
        stands.then(|| self.credentials_gone_ms()).filter(|gone_ms| *gone_ms != u64::MAX)
    }

    pub(super) fn handle_credentials_due(&mut self, now: Now) {
        if self.credentials_due().is_some_and(|gone_ms| gone_ms <= now.mono_ms) {
            self.effects.push(Effect::Refused(ErrorCode::Unauthorized));
            self.dismiss(Goodbye::Unauthorized);
        }
    }

    fn credentials_gone_ms(&self) -> u64 {
        self.credentials.end_ms.saturating_add(self.config.auth_leeway_ms)
    }
}
