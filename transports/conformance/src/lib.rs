//! The tests that every transport adapter passes.
//!
//! An adapter's own tests say how to run it and how its clients speak ([`Harness`], [`Client`]); [`suite!`] makes a
//! test of each sentence of [`mod@suite`] that its shape allows. Behind the adapter stands a [`ScriptedGate`]: the test
//! holds the other half of each peer, a [`Script`], and so sees all that the adapter does to it.
//!
//! Connections are pipes in memory and the clock is paused, so that [`settle`] is exact: it returns when no task
//! can go on. What a real socket adds is tested end to end, at the gateway.

mod harness;
mod scripted;
pub mod suite;

pub use harness::{Bounds, Client, Goodbye, Harness, Heard, PIPE_BYTES, serve, serve_over, settle};
pub use scripted::{Event, Script, ScriptedGate, ScriptedPeer, advice_after, refusal};
