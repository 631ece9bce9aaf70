//! Links over WebSocket (RFC 6455), on the upgrade of an HTTP/1.1 request or on a stream of HTTP/2 (RFC 8441).
//!
//! [`WebSocket::answer`] looks at the request (`handshake`), opens a peer at the gate, and gives the response with
//! the [`Link`] that the caller spawns. A link is one future and one buffer: it pulls from its peer when the socket
//! can take more, hands what arrives to the peer, and closes as the peer advises (`conversation`).
//!
//! ```no_run
//! # use throughline_link::Gate;
//! # use throughline_websocket::{Config, WebSocket};
//! # async fn serve<G: Gate>(gate: G, request: http::Request<hyper::body::Incoming>) {
//! let websocket = WebSocket::new(gate, Config::default());
//! let (response, link) = websocket.answer(request, None);
//! link.map(tokio::spawn);
//! # drop(response);
//! # }
//! ```
//!
//! The server has to allow upgrades (hyper's `with_upgrades`; axum does), and over HTTP/2 to say that it does
//! (`enable_connect_protocol`). Left out on purpose: which origins may connect, which is the gateway's to say;
//! compression.

mod config;
mod conversation;
mod handshake;

use std::{
    future::Future,
    mem,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use throughline_link::{Gate, LinkRequest, Opening, Peer, Shape};
use throughline_wire::Codec;

pub use config::{Config, MessageKind};
use conversation::Conversation;

/// Makes WebSocket links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebSocket<G> {
    gate: G,
    config: Arc<Config>,
}

impl<G: Gate> WebSocket<G> {
    /// The transport's name on the wire.
    pub const NAME: &'static str = "websocket";

    /// An adapter that opens its links at `gate`.
    pub fn new(gate: G, config: Config) -> Self {
        Self { gate, config: Arc::new(config) }
    }

    /// Answers a request to open a link: the response, and the link, to be spawned, if it is opened.
    ///
    /// The codec is the first of `Sec-WebSocket-Protocol` that is one of ours; a client that names none at all gets
    /// the text codec. A request that is no handshake is refused with 400, 405, 426 or 501 and an error frame in
    /// the text codec. Whether the client may have a link is the gate's to say, in the link itself.
    pub fn answer<B>(
        &self,
        mut request: Request<B>,
        remote: Option<SocketAddr>,
    ) -> (Response<Full<Bytes>>, Option<Link<G::Peer>>) {
        let (codec, response) = match handshake::accept(&request) {
            Ok(accepted) => accepted,
            Err(refusal) => return (refusal, None),
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let mut headers = mem::take(request.headers_mut());
        // HTTP/2 has the host in the address; whoever looks at headers looks for it there.
        if let Some(Ok(host)) = request.uri().authority().map(|host| HeaderValue::from_str(host.as_str())) {
            headers.entry(header::HOST).or_insert(host);
        }
        let peer = self.gate.open(LinkRequest {
            transport: Self::NAME,
            codec,
            shape: Shape::Duplex,
            datagrams: false,
            opening: Opening::Message,
            remote,
            headers,
        });
        let config = Arc::clone(&self.config);
        (response, Some(Link { stage: Stage::Opening { upgrade, peer, codec, config } }))
    }
}

/// One link. Ends when the link does; dropping it cuts the link and loses its peer.
#[must_use = "a link does nothing unless it is spawned"]
#[derive(Debug)]
pub struct Link<P> {
    stage: Stage<P>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a link is opening for an instant, and open for hours")]
enum Stage<P> {
    /// The response is on its way.
    Opening { upgrade: OnUpgrade, peer: P, codec: Codec, config: Arc<Config> },
    /// The socket is ours.
    Open(Conversation<P, TokioIo<Upgraded>>),
    /// Nothing is left.
    Over,
}

impl<P: Peer> Future for Link<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Stage::Opening { upgrade, .. } = &mut self.stage {
            let upgraded = ready!(Pin::new(upgrade).poll(context));
            // A client that left before it had the response: its peer is dropped, and so lost.
            let opening = mem::replace(&mut self.stage, Stage::Over);
            if let (Stage::Opening { peer, codec, config, .. }, Ok(upgraded)) = (opening, upgraded)
                && let Some(conversation) = Conversation::begin(TokioIo::new(upgraded), peer, codec, config)
            {
                self.stage = Stage::Open(conversation);
            }
        }
        if let Stage::Open(conversation) = &mut self.stage {
            ready!(conversation.poll(context));
            self.stage = Stage::Over;
        }
        Poll::Ready(())
    }
}
