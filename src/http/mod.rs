//! The gateway's HTTP side: which address leads to which transport, whom requests come from, and which pages may come.

pub mod admin;
mod body;
mod cors;
pub mod listener;
pub(crate) mod origin;
#[cfg(any(feature = "jwt", feature = "webhook"))]
pub(crate) mod outgoing;
pub(crate) mod proxies;
mod router;
mod tickets;

pub use body::Body;
pub use origin::OriginPolicy;
pub use proxies::{ForwardedHeader, NetworkError, TrustedProxies};
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

/// The address that a request came from, as an extension of it. Whoever accepts connections puts that of the connection
/// there; without it the gateway knows no client's address.
///
/// Behind [trusted proxies](TrustedProxies) the gateway puts the client's own in its place before anything else is done with
/// the request. Its port is 0 where no proxy says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remote(pub std::net::SocketAddr);
