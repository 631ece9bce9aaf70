//! What happens to the clients of a herd, noted while it happens.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    application::{Outcome, Sent},
    dial::{Attempt, By},
    ledger::Account,
};

/// Everything that happened. Times are milliseconds since the run began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Events {
    /// Every connection that was begun.
    pub attempts: Vec<Attempt>,
    /// Every link that came to carry a session.
    pub ups: Vec<Up>,
    /// Every session that lost its last link.
    pub downs: Vec<Down>,
    /// Every time that a session was told to leave, and when to come back.
    pub told: Vec<Farewell>,
    /// How many connections were refused or reset, and links lost without such a word.
    pub breaks: u64,
    /// Some of them, for a person.
    pub broken: Vec<String>,
    /// What was sent, and how that ended.
    pub sent: Vec<(Sent, Outcome)>,
    /// What must not happen at all, for a person.
    pub faults: Vec<String>,
    /// What all clients were told, together.
    pub account: Account,
}

impl Events {
    /// Adds what happened to another herd.
    pub(crate) fn add(&mut self, other: Self) {
        self.attempts.extend(other.attempts);
        self.ups.extend(other.ups);
        self.downs.extend(other.downs);
        self.told.extend(other.told);
        self.breaks += other.breaks;
        self.broken.extend(other.broken);
        self.sent.extend(other.sent);
        self.faults.extend(other.faults);
        self.account += other.account;
    }
}

/// A link carries a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Up {
    /// Whose.
    pub client: u32,
    /// When.
    pub at_ms: u64,
    /// What it runs on.
    pub by: By,
    /// Whether that is what its client wants.
    pub is_wanted: bool,
}

/// A session has no link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Down {
    /// Whose.
    pub client: u32,
    /// When.
    pub at_ms: u64,
}

/// A session was told to leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Farewell {
    /// Whose.
    pub client: u32,
    /// When.
    pub at_ms: u64,
    /// When it is to come back.
    pub due_ms: u64,
}

/// The log of one herd.
#[derive(Debug)]
pub(crate) struct Log {
    since_ms: u64,
    events: Mutex<Events>,
}

impl Log {
    pub(crate) fn new(since_ms: u64) -> Self {
        Self { since_ms, events: Mutex::default() }
    }

    /// A connection begins: gives its place.
    pub(crate) fn begin(&self, client: u32) -> usize {
        let begun_ms = self.now_ms();
        let attempts = &mut self.events().attempts;
        attempts.push(Attempt { client, begun_ms, ended_ms: None, by: By::Refused });
        attempts.len() - 1
    }

    /// It is known what the connection at this place is for.
    pub(crate) fn is_for(&self, at: usize, by: By) {
        if let Some(attempt) = self.events().attempts.get_mut(at) {
            attempt.by = by;
        }
    }

    /// The connection at this place is over.
    pub(crate) fn end(&self, at: usize) {
        let now_ms = self.now_ms();
        if let Some(attempt) = self.events().attempts.get_mut(at) {
            attempt.ended_ms = Some(now_ms);
        }
    }

    pub(crate) fn up(&self, client: u32, by: By, is_wanted: bool) {
        let at_ms = self.now_ms();
        self.events().ups.push(Up { client, at_ms, by, is_wanted });
    }

    pub(crate) fn down(&self, client: u32) {
        let at_ms = self.now_ms();
        self.events().downs.push(Down { client, at_ms });
    }

    pub(crate) fn told(&self, client: u32, retry_in: Duration) {
        let at_ms = self.now_ms();
        self.events().told.push(Farewell { client, at_ms, due_ms: at_ms + retry_in.as_millis() as u64 });
    }

    pub(crate) fn broken(&self, what: String) {
        let mut events = self.events();
        events.breaks += 1;
        if events.broken.len() < FAULTS {
            events.broken.push(what);
        }
    }

    pub(crate) fn sent(&self, sent: Sent, outcome: Outcome) {
        self.events().sent.push((sent, outcome));
    }

    pub(crate) fn fault(&self, what: String) {
        let faults = &mut self.events().faults;
        if faults.len() < FAULTS {
            faults.push(what);
        }
    }

    /// All that happened so far.
    pub(crate) fn so_far(&self) -> Events {
        self.events().clone()
    }

    fn now_ms(&self) -> u64 {
        wall_ms().saturating_sub(self.since_ms)
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time since the Unix epoch: processes have to agree on it.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// How many faults are told.
const FAULTS: usize = 20;
