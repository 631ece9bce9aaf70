//! Links over server-sent events.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use throughline_link::Gate;

/// What a stream may cost.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The largest message that a client may send, in bytes. Default 64 KiB.
    pub max_message_bytes: usize,
    /// How long a message may take to arrive. Default 10 s.
    pub body_timeout: Duration,
    /// The most that a message down takes, in bytes, unless a single item is larger. Default 64 KiB.
    pub budget_bytes: usize,
    /// How long the head of the response waits for the first message, which decides its status. Default 1 s.
    pub head_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            budget_bytes: 64 * 1024,
            head_wait: Duration::from_secs(1),
        }
    }
}

/// Opens streams of server-sent events.
#[derive(Clone, Debug)]
pub struct ServerSentEvents<G> {
    gate: G,
    config: Config,
}

impl<G: Gate> ServerSentEvents<G> {
    /// An adapter that opens its links at `gate`.
    pub const fn new(gate: G, config: Config) -> Self {
        Self { gate, config }
    }

    /// Answers `POST` (a message up, read by fetch) and `GET` (an `EventSource`, `curl`) of the endpoint.
    pub fn answer<B>(
        &self,
        request: Request<B>,
        remote: Option<SocketAddr>,
    ) -> impl Future<Output = Response<Events<G::Peer>>> + Send + use<B, G>
    where
        B: Body<Data = Bytes> + Send,
    {
        let _ = (request, remote, &self.gate, self.config);
        async { Response::new(Events { peer: None }) }
    }
}

/// The body of an answer: pulls from the peer when the connection can take more. Dropping it loses the link.
#[derive(Debug)]
pub struct Events<P> {
    peer: Option<P>,
}

impl<P: Unpin> Body for Events<P> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let _ = &self.peer;
        Poll::Ready(None)
    }
}
