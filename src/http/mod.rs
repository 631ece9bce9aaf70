//! The gateway's HTTP side: which address leads to which transport, and which pages may come.

pub mod admin;
mod body;
pub mod listener;
pub(crate) mod origin;
mod router;

pub use body::Body;
pub use origin::{OriginPolicy, OriginRefused};
pub(crate) use router::Router;
#[cfg(feature = "webtransport")]
pub(crate) use router::WEBTRANSPORT;

/// The address that a connection came from, as an extension of its requests. Whoever accepts connections puts it
/// there; without it the gateway knows no client's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remote(pub std::net::SocketAddr);
