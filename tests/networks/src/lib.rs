//! Hostile networks, and what a client makes of them.
//!
//! A [`Line`] says how long the way takes and what gets lost on it; [`TcpProxy`] and [`UdpProxy`] are that way, in user space,
//! with the middleboxes on it: [`TcpFaults`] for what begins, [`Strike`]s for what stands. All of it is drawn from a
//! seed, is bounded, and changes while it runs.

mod faults;
mod head;
mod line;
mod random;
mod tcp;
mod udp;

pub use faults::{Passage, Strike, TcpFaults, Upgrades, Whom};
pub use line::Line;
pub use tcp::{TcpCounters, TcpProxy};
pub use udp::{UdpCounters, UdpProxy};
