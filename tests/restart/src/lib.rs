//! A gateway that goes away under thousands of real sessions: its own process, real sockets, the Rust client as it is.
//!
//! [`crash`] kills it with -9 and starts another in its place; [`drain`] has another take its listening sockets over. Sessions run in processes of their own ([`herd`]), each from
//! an address of its own, as one process may hold only so many descriptors. Every connection that they begin is noted
//! (`dial`), every item is held against what its channel had before it ([`ledger`]). [`report`] and [`drain::document`] write
//! down what came of it.
//!
//! What is left out on purpose: distance. Everything runs on one machine, over loopback, and shares its processors;
//! `tests/herd` plays the same crash with 100,000 clients far away, on a virtual clock.

pub mod application;
pub mod crash;
pub mod dial;
pub mod drain;
pub mod figures;
pub mod herd;
pub mod judged;
pub mod ledger;
pub mod log;
mod member;
pub mod process;
mod publisher;
pub mod report;
mod sender;
mod system;
mod tally;

pub use system::{Listening, machine};
