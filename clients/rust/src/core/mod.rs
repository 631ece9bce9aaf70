//! What a client must think, without I/O: no socket, no clock, no randomness of its own.
//!
//! Time comes in as the [`Time`] since the client was made, randomness as a seed, the network as frames. What to do
//! comes out as [`Output`]s and one deadline. So a test can play any schedule, and a failure repeats itself.
//!
//! - [`session::Core`] is the conductor: which link is the newest, what a `welcome` means, when to come back;
//! - [`negotiation`] decides which transport, and when;
//! - [`outbox`] numbers commands and keeps each until its reply;
//! - [`inbox`] counts items, keeps the place in each channel, and what the application has not taken yet;
//! - [`link`] is what is known of one link;
//! - [`volatile`] is what is said and not kept;
//! - [`presence`] is where it takes part;
//! - [`backoff`] is the arithmetic of coming back.
//!
//! Whoever drives the core changes it with as many `handle_*` calls as there is news, then calls
//! [`settle`](session::Core::settle) once, then drains [`poll_output`](session::Core::poll_output) and
//! [`poll_incoming`](session::Core::poll_incoming), then sleeps until the next news or
//! [`deadline`](session::Core::deadline). Rules are cited by their number in the protocol's review (L1, C2, N4 …).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod backoff;
pub(crate) mod inbox;
pub(crate) mod link;
pub(crate) mod names;
pub(crate) mod negotiation;
pub(crate) mod outbox;
pub(crate) mod output;
pub(crate) mod presence;
pub(crate) mod random;
pub(crate) mod session;
pub(crate) mod volatile;

pub(crate) use output::{Outcome, Output};

/// The time since the client was made.
pub(crate) type Time = std::time::Duration;
