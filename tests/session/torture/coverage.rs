//! What the schedules met: a table, so that a promise that was never put to the test is seen.

use std::fmt;

use throughline_wire::{Gap, GapReason, Position};

macro_rules! coverage {
    ($($variant:ident = $name:literal,)+) => {
        /// Something that has to happen often for the run to mean anything.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Met { $($variant,)+ }

        const NAMES: &[&str] = &[$($name,)+];
    };
}

coverage! {
    FencedUnacknowledged = "fence with unacknowledged items",
    TrimmedDetached = "trim while detached",
    EpochDuringResume = "epoch change during resume",
    ExpiredUnreplied = "expiry with unreplied commands",
    WelcomeLost = "lost welcome",
    ProbeUnconfirmed = "probe never confirmed",
    PollSuperseded = "superseded poll",
    PollRepeated = "repeated poll",
    PostLate = "late POST",
    WindowFull = "window full",
    Rebuilt = "new incarnation",
    TokenShared = "two instances with one token",
    Migrated = "proven probe takes over",
    AnswerTruncated = "message cut within",
    LinkHalfOpen = "half-open link",
    PostRepeated = "repeated POST",
    ResumedByTag = "resume by tag",
    JournalSlid = "resume below the floor of a journal that slid",
    SessionLost = "resume of a session that is gone",
    GapExact = "gap of what a log lost",
    GapInexact = "gap over a change of epoch",
    GapResent = "numbered event lost before it was sent again",
    GapConflated = "gap of what newer events stand for",
    GapSkipped = "gap up to the newest event",
    CommandsHeld = "command ahead of its turn",
    VolatileTold = "volatile told",
    VolatileMissed = "volatile passed over",
    PresenceState = "presence of everybody",
    PresenceJoin = "presence of newcomers",
    PresenceLeave = "presence of those who went",
    PresenceAway = "member away for longer than the grace",
    PresenceForsaken = "member listed for a while where a rebuild did not name it",
    PresenceKept = "member back within the grace",
}

impl Met {
    /// What a gap is.
    pub(super) fn gap(gap: &Gap) -> Vec<Self> {
        let is_of_one = |from: Position| from.epoch == gap.to.epoch && from.offset.next() == gap.to.offset;
        match gap.reason {
            GapReason::Conflated => vec![Self::GapConflated],
            GapReason::Overflow if gap.exact => vec![Self::GapSkipped],
            _ if !gap.exact => vec![Self::GapInexact],
            _ if gap.from.is_some_and(is_of_one) => vec![Self::GapExact, Self::GapResent],
            _ => vec![Self::GapExact],
        }
    }
}

/// How often each was met.
#[derive(Clone, Debug)]
pub(super) struct Coverage([u64; NAMES.len()]);

impl Coverage {
    pub(super) const fn new() -> Self {
        Self([0; NAMES.len()])
    }

    pub(super) fn met(&mut self, what: Met) {
        self.0[what as usize] += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// What was met less than `times` times.
    pub(super) fn below(&self, times: u64) -> Vec<&'static str> {
        NAMES.iter().zip(self.0).filter(|(_, count)| *count < times).map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in NAMES.iter().zip(self.0) {
            writeln!(f, "{count:>12}  {name}")?;
        }
        Ok(())
    }
}
