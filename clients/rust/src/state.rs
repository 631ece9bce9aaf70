//! What an application may know of its session at any moment.

use std::sync::Arc;

use throughline_wire::{SessionId, Token};

use crate::{config::Via, core::negotiation::history::Attempt};

/// How a session stands.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct State {
    /// Whether a link carries it.
    pub phase: Phase,
    /// What the link runs on.
    pub via: Option<Via>,
    /// Why it runs on that, for a person; empty before a link was up.
    pub why: Arc<str>,
    /// What was tried lately, and how it went, oldest first: at most 32 attempts.
    pub history: Arc<[Attempt]>,
    /// The session's public name; absent before the first `welcome` and between a lost session and the next.
    pub session: Option<SessionId>,
    /// Its token: a secret.
    pub token: Option<Token>,
    /// Which incarnation its item numbers count in.
    pub incarnation: Option<u64>,
}

/// Whether a link carries the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// A link is being opened.
    Opening,
    /// A link carries the session.
    Up,
    /// There is none; the next attempt waits for its time.
    Waiting,
    /// There is none until [`Session::authenticate`](crate::Session::authenticate) brings new credentials.
    NeedsCredentials,
    /// The goodbye is being said.
    Closing,
    /// Over.
    Closed,
}
