//! End to end over real sockets: every transport, every codec, every move from one to another.

#[path = "../support/mod.rs"]
mod support;

mod cell;
mod handlers;
mod matrix;
mod negotiation;
mod presence;
mod probes;
mod replay;
mod traffic;
