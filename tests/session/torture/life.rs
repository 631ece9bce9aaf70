//! What is told of a session's life: numbered, in an order that makes sense, and when it is true.

use throughline::session::{Life, Session};

/// What was told of one session so far.
#[derive(Default)]
pub(super) struct Told {
    number: u32,
    last: Option<Life>,
}

impl Told {
    /// Hears the next, `idle` milliseconds after the session had an active link last.
    pub(super) fn hear(&mut self, number: u32, life: Life, session: &Session, idle: u64, grace: u64) {
        assert_eq!(number, self.number + 1, "{life:?} after {:?}", self.last);
        let may_follow = match (self.last, life) {
            (None, Life::Opened { .. }) => !session.is_provisional(),
            (Some(Life::Opened { .. } | Life::Resumed { .. }), Life::Lost) => {
                session.active().is_none() && idle >= grace
            }
            (Some(Life::Lost), Life::Resumed { .. }) => true,
            (Some(Life::Opened { .. } | Life::Lost | Life::Resumed { .. }), Life::Ended(_)) => {
                session.is_ended()
            }
            _ => false,
        };
        assert!(may_follow, "{life:?} after {:?}, {idle} ms without a link", self.last);
        (self.number, self.last) = (number, Some(life));
    }

    /// Whether all was told of a session that is over: nothing of one whose client was never known, else its end.
    pub(super) fn is_whole(&self, was_known: bool) -> bool {
        matches!((self.last, was_known), (None, false) | (Some(Life::Ended(_)), true))
    }
}
