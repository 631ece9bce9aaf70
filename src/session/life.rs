//! The life of a session, for whoever wants to be told: opened, lost, resumed, ended.
//!
//! It is opened once its client has shown that it knows it, and lost once it has been without a link for the grace that
//! [presence](super::presence) has too: so who is listed and who is told of are the same, and whoever polls, migrates or
//! loads a page again is no news to anybody. What is told is numbered, 1, 2, 3 …, in the order in which it happened. A
//! session that stays provisional has no life.
//!
//! Where nobody listens nothing is numbered, and no deadline is added.

use throughline_wire::SessionId;

use super::{
    Effect, Ending, Session,
    link::{Link, Standing},
};

/// What became of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Life {
    /// Its client has shown that it knows it.
    Opened {
        /// The transport that it is on; `None` where its client has no link at this moment.
        transport: Option<&'static str>,
        /// The session that its client had, by a genuine token, and that is not held any more: it ended, or went with
        /// the process that held it.
        replaces: Option<SessionId>,
    },
    /// It has been without a link for [the grace](super::SessionConfig::presence_grace_ms).
    Lost,
    /// Its client attached again after it was lost.
    Resumed {
        /// The transport that it is on.
        transport: Option<&'static str>,
    },
    /// It is over.
    Ended(Ending),
}

impl Life {
    /// The word for each, as applications and metrics have it.
    pub const WORDS: [&str; 4] = ["opened", "lost", "resumed", "ended"];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened { .. } => Self::WORDS[0],
            Self::Lost => Self::WORDS[1],
            Self::Resumed { .. } => Self::WORDS[2],
            Self::Ended(_) => Self::WORDS[3],
        }
    }
}

impl Session {
    /// Notes which session the client had before, for whoever is told that this one is opened.
    pub fn replace(&mut self, before: SessionId) {
        if self.config.reports_life {
            self.aside().replaces = Some(before);
        }
    }

    /// Its client is known.
    pub(super) fn begin_life(&mut self) {
        if self.config.reports_life {
            let is_active = |link: &&Link| link.standing == Standing::Active;
            let link = self.links.iter().rev().find(is_active).or_else(|| self.links.last());
            let transport = link.map(|link| link.spec.transport);
            let replaces = self.aside.as_mut().and_then(|aside| aside.replaces.take());
            self.tell_life(Life::Opened { transport, replaces });
        }
    }

    /// It has an active link again.
    pub(super) fn go_on_living(&mut self) {
        if std::mem::take(&mut self.is_lost) {
            let transport = self.active_link().map(|link| link.spec.transport);
            self.tell_life(Life::Resumed { transport });
        }
    }

    /// When it is away, if no link comes before that: presence lists it no longer, and it is lost.
    pub(super) fn away_at(&self, detached_ms: u64) -> Option<u64> {
        let is_news = self.is_listed() || (self.config.reports_life && !self.is_lost);
        is_news.then(|| detached_ms + self.config.presence_grace_ms)
    }

    /// It was without a link for longer than the grace.
    pub(super) fn go_away(&mut self) {
        self.disappear();
        if self.config.reports_life && !std::mem::replace(&mut self.is_lost, true) {
            self.tell_life(Life::Lost);
        }
    }

    /// It is over. One that nobody was told of goes as it came.
    pub(super) fn end_life(&mut self, ending: Ending) {
        if self.life_events > 0 {
            self.tell_life(Life::Ended(ending));
        }
    }

    fn tell_life(&mut self, life: Life) {
        self.life_events = self.life_events.saturating_add(1);
        self.effects.push(Effect::Life { number: self.life_events, life });
    }
}
