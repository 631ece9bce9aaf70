//! Scaffolding that the tests of the root package share.
//!
//! Plain modules, no crate: a test binary says `mod support;` (from a folder of its own, `#[path = "../support/mod.rs"] mod
//! support;`) and uses what it needs. `tests/support_selftest.rs` tests the scaffolding itself.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod fault_plan;
pub(crate) mod fault_proxy;
#[cfg(feature = "webtransport")]
pub(crate) mod front;
#[cfg(feature = "gateway")]
pub(crate) mod gateway;
pub(crate) mod random;
pub(crate) mod udp_proxy;
pub(crate) mod upgrades;
