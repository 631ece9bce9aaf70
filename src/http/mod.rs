//! The gateway's HTTP side: which address leads to which transport, and which pages may come.

pub mod admin;
mod body;
pub mod listener;
pub(crate) mod origin;
#[cfg(any(feature = "jwt", feature = "webhook"))]
pub(crate) mod outgoing;
mod router;

pub use body::Body;
pub use origin::{OriginPolicy, OriginRefused};
pub(crate) use router::Router;
#[cfg(feature = "webtransport")]
pub(crate) use router::WEBTRANSPORT;

/// Keeps a connection from counting as idle while it lives: an extension of requests on connections that carry many.
#[derive(Clone, Debug)]
pub(crate) struct Busy {
    _stream: std::sync::Arc<dyn std::any::Any + Send + Sync>,
}

#[cfg(feature = "tls")]
impl Busy {
    /// Until this is dropped too.
    pub(crate) fn new(stream: std::sync::Arc<impl std::any::Any + Send + Sync>) -> Self {
        Self { _stream: stream }
    }
}

/// The address that a connection came from, as an extension of its requests. Whoever accepts connections puts it
/// there; without it the gateway knows no client's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remote(pub std::net::SocketAddr);
