//! How a session is over, and how its links are told that they are.

use std::collections::VecDeque;

use super::{Effect, Goodbye, Journal, LinkId, Phase, Session};

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Ending {
    /// Its client never showed that it knows it.
    Provisional,
    /// Nobody came back in time.
    Expired,
    /// Its client said `bye`.
    Bye,
    /// The application ended it.
    Disconnected,
    /// Its numbers are used up (G5).
    Exhausted,
    /// Its client acknowledged no presence for a minute, while all that are unacknowledged have little room left.
    Unacknowledged,
    /// The gateway stops, and nobody holds it after that.
    Stopped,
}

impl Ending {
    /// Every way to end.
    pub const ALL: &[Self] = &[
        Self::Provisional,
        Self::Expired,
        Self::Bye,
        Self::Disconnected,
        Self::Exhausted,
        Self::Unacknowledged,
        Self::Stopped,
    ];

    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Expired => "expired",
            Self::Bye => "bye",
            Self::Disconnected => "disconnected",
            Self::Exhausted => "exhausted",
            Self::Unacknowledged => "unacknowledged",
            Self::Stopped => "stopped",
        }
    }
}

impl Session {
    /// Ends the session now; each of its links is told why.
    pub fn end(&mut self, ending: Ending) {
        if self.is_ended() {
            return;
        }
        let goodbye = match ending {
            Ending::Bye => Goodbye::Ended,
            Ending::Disconnected => Goodbye::Disconnected,
            Ending::Provisional
            | Ending::Expired
            | Ending::Exhausted
            | Ending::Unacknowledged
            | Ending::Stopped => Goodbye::Gone,
        };
        self.dismiss(goodbye);
        self.phase = Phase::Ended;
        self.disappear();
        self.presence = None;
        self.subscriptions = Vec::new();
        self.pending = VecDeque::new();
        self.journal = Journal::after(self.journal.next() - 1);
        self.commands.ahead = Vec::new();
        self.commands.answered = Vec::new();
        self.end_life(ending);
        self.effects.push(Effect::Ended(ending));
    }

    /// Ends the session by the application's word. Its client is told to stay away, or, where it `may_return`, to open
    /// another session.
    pub fn disconnect(&mut self, may_return: bool) {
        if may_return {
            self.dismiss(Goodbye::Gone);
        }
        self.end(Ending::Disconnected);
    }

    /// Ends every link, and tells each why. The session lives on.
    pub fn dismiss(&mut self, goodbye: Goodbye) {
        for index in 0..self.links.len() {
            self.say_goodbye(index, goodbye);
        }
    }

    /// Ends one link, and tells it why. The session lives on.
    pub fn dismiss_link(&mut self, link: LinkId, goodbye: Goodbye) {
        if let Some(index) = self.link_index(link) {
            self.say_goodbye(index, goodbye);
        }
    }
}
