//! Hostile networks, and what a client makes of them.
//!
//! A [`Line`] says how long the way takes and what gets lost on it; [`TcpProxy`] and [`UdpProxy`] are that way, in user space,
//! with the middleboxes on it: [`TcpFaults`] for what begins, [`Strike`]s for what stands. All of it is drawn from a
//! seed, is bounded, and changes while it runs.

mod certificate;
mod chromium;
mod client;
mod cold;
mod faults;
mod figures;
mod gateway;
mod head;
mod hostile;
mod http;
mod ledger;
mod line;
mod midsession;
mod network;
mod node;
mod peers;
mod play;
mod proxies;
mod random;
mod report;
mod route;
mod tcp;
mod traffic;
mod udp;

pub use chromium::{Browser, Chromium};
pub use client::Client;
pub use cold::{ColdStart, cold_start};
pub use faults::{Passage, Strike, TcpFaults, Upgrades, Whom};
pub use figures::Figures;
pub use gateway::{Admin, Gateway};
pub use hostile::{Hostile, Turn, from_the_start, in_mid_session};
pub use ledger::{Account, Ledger};
pub use line::Line;
pub use midsession::{MidSession, Scene};
pub use network::Network;
pub use peers::{PEERS, PeerRows, PeerSilence, PeerStart, Peers};
pub use play::{Options, Played, Plays, Side, ThroughProxy, Way, play};
pub use proxies::{Kind, Programs, Proxy};
pub use report::Report;
pub use route::{By, Route};
pub use tcp::{TcpCounters, TcpProxy};
pub use udp::{UdpCounters, UdpProxy};
