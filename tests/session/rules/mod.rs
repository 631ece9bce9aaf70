//! The protocol's rules, one schedule each: what goes wrong without the rule does not.
//!
//! Each test is named by its rule (L1, C2, N3 …, as docs/protocol.md has them) and by the sentence that it holds the
//! session to; where a schedule needs words, its steps are numbered. Rules that bind the client alone (L8, L9, L12,
//! C6) have their tests in `clients/rust`; those of the gateway's doors (posts of another incarnation or of an ended
//! session, C8) in the tests of the gateway; those that need a second node wait for one.

mod bench;

mod assigned;
mod commands;
mod credentials;
mod decided;
mod gaps;
mod history;
mod late;
mod life;
mod links;
mod migrate;
mod nodes;
mod presence;
mod probes;
mod resume;
mod slow;
mod timers;
mod volatile;
mod window;
