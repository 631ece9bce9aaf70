//! Links over WebSocket (RFC 6455).

mod config;

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use throughline_link::Gate;

pub use config::{Config, MessageKind};

/// Makes WebSocket links.
#[derive(Clone, Debug)]
pub struct WebSocket<G> {
    gate: G,
    config: Config,
}

impl<G: Gate> WebSocket<G> {
    /// An adapter that opens its links at `gate`.
    pub const fn new(gate: G, config: Config) -> Self {
        Self { gate, config }
    }

    /// Answers a request to open a link: the response, and the link, to be spawned, if it is opened.
    pub fn answer<B>(
        &self,
        request: Request<B>,
        remote: Option<SocketAddr>,
    ) -> (Response<Full<Bytes>>, Option<Link<G::Peer>>) {
        let _ = (request, remote, &self.gate, self.config);
        (Response::new(Full::default()), None)
    }
}

/// One link, to be spawned. Ends when the link does; dropping it cuts the link.
#[derive(Debug)]
pub struct Link<P> {
    peer: P,
}

impl<P: Unpin> Future for Link<P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<()> {
        let _ = &self.peer;
        Poll::Ready(())
    }
}
