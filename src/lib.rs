//! Throughline: a real-time gateway. One session over WebTransport, WebSocket, server-sent events and long-polling.
//!
//! # The map
//!
//! Arrows of dependency run one way: `limits ← channel ← session ← {admission, broker} ← upstream ← gateway ⇄ http ← cli`.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`channel`] | what was said: bounded logs of numbered events, and who listens |
//! | [`session`] | the conversation that survives its links: a state machine without I/O |
//! | [`admission`] | how many sessions are let in each second, and when the others may come |
//! | [`limits`] | how much of what a client may have, and when the machine is short |
//! | [`broker`] | where events are kept, and how they reach other gateways |
//! | [`upstream`] | where what clients say goes: a `tower::Service` of intents |
//! | [`gateway`] | links against sessions: registry, lanes, wakes, timers, shutdown |
//! | [`http`] | addresses, origins, the admin API, listeners |
//! | `auth` | who clients are by JSON web tokens, and what they may do by rules (feature `jwt`) |
//! | [`files`] | what is read again when it changes: certificates and secrets |
//! | `certificates` | what the listeners show to say who they are (feature `tls`) |
//!
//! The first four are pure: they build without the `gateway` feature, read no clock and never wait.
//!
//! # A message's way, in six steps
//!
//! 1. An adapter (`transports/*`) hands a message to the peer that the gateway gave it.
//! 2. The peer decodes it and passes each frame to the session in its cell, with the time.
//! 3. The session changes, and says what is to be done: effects.
//! 4. The cell carries them out with the lock released: opens channels, asks the handler, wakes links.
//! 5. A publish appends to a channel's log and marks the channel; the hub wakes the links that listen.
//! 6. A woken link pulls the next batch from its session into the buffer that it writes from.

pub mod admission;
pub mod channel;
pub mod limits;
pub mod session;

#[cfg(feature = "jwt")]
pub mod auth;
#[cfg(feature = "gateway")]
pub mod broker;
#[cfg(feature = "tls")]
pub mod certificates;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "gateway")]
pub mod files;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "gateway")]
mod hint;
#[cfg(feature = "gateway")]
pub mod http;
#[cfg(feature = "gateway")]
mod labels;
#[cfg(feature = "page")]
mod page;
#[cfg(feature = "gateway")]
pub mod upstream;

#[cfg(feature = "gateway")]
pub use gateway::{Builder, Gateway, Handle};
pub use throughline_wire as wire;
