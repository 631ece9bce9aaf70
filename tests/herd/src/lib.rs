//! A gateway that crashes under many clients and comes back: the real admission, the real sessions and the real client
//! core, on a virtual clock.
//!
//! `world` joins them by a queue of events; the network between them only takes time. [`formulas`] lets clients come
//! back as other systems have them do, to a gateway that refuses nobody. [`figures`] is what either comes to, and
//! [`report`] writes it down.
//!
//! What is left out on purpose: sockets, and what a connection costs. `tests/gateway` has the same admission over
//! sockets.

pub mod figures;
pub mod formulas;
mod random;
pub mod report;
mod world;

pub use world::{Plan, play, play_drain, section};
