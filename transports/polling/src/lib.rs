//! Links over HTTP long-polling: each request is a link of its own, one message up and one message down.
//!
//! [`Polling::answer`] opens a peer at the gate, reads the request's body into it, and waits until the peer has an
//! answer. A *poll* ([`Shape::Answer`]) waits as long as the peer likes; a *post* ([`Shape::Post`]) is answered at
//! once. What ends a wait without news is the peer's business, since how long a poll may be held is. A client that
//! goes away drops the future, and with it the peer, which is so lost.
//!
//! A poll that another link took the place of is the last on its HTTP/1.1 connection. The client would keep it for the poll
//! that it falls back to when that link falls silent; and it would have died with the link, without a word.
//!
//! A poll that waits keeps neither its request nor its body: what it costs is the connection's buffers and the peer.
//!
//! Left out on purpose: which origins may ask, preflights and compression, which are the gateway's.

mod config;

use std::{future::Future, future::poll_fn, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use http_body_util::Full;
use throughline_link::{
    Fault, Gate, LinkEnd, LinkRequest, Opening, Peer, Shape, Transmit,
    answer::{Unread, advise, answer, codec_of, media_type, read_message, status},
    buffer::poll_message,
};
use throughline_wire::{CloseCode, Codec};
use tokio::time::timeout;

pub use config::Config;

/// Answers polls and posts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Polling<G> {
    gate: G,
    config: Config,
}

impl<G: Gate> Polling<G> {
    /// The transport's name on the wire.
    pub const NAME: &'static str = "polling";

    /// An adapter that opens its links at `gate`.
    pub const fn new(gate: G, config: Config) -> Self {
        Self { gate, config }
    }

    /// Answers one request: a poll ([`Shape::Answer`]) or a post beside another link ([`Shape::Post`]).
    ///
    /// The codec of both messages is that of the request's `content-type` (`text/plain`, `application/json`,
    /// `application/x-ndjson` or none: text). The answer has the status and `Retry-After` that the peer advises;
    /// another method gets 405.
    ///
    /// # Cancel safety
    /// To drop the future loses the peer ([`LinkEnd::Lost`]); what it had transmitted is the peer's to send again.
    pub fn answer<B>(
        &self,
        request: Request<B>,
        remote: Option<SocketAddr>,
        shape: Shape,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + use<B, G>
    where
        B: Body<Data = Bytes> + Send,
    {
        let config = self.config;
        let (head, body) = request.into_parts();
        let version = head.version;
        let link = (head.method == Method::POST).then(|| {
            let codec = codec_of(&head.headers);
            let peer = self.gate.open(LinkRequest {
                transport: Self::NAME,
                codec: codec.unwrap_or(Codec::Json),
                shape,
                datagrams: false,
                opening: Opening::Message,
                remote,
                headers: head.headers,
            });
            (peer, codec)
        });
        async move {
            let Some((mut peer, codec)) = link else { return method_not_allowed() };
            match receive(body, codec, config).await {
                Ok(message) => peer.receive(&message),
                Err(Unread::Fault(fault)) => peer.refuse(fault),
                Err(Unread::Lost) => return lost(),
            }
            speak(peer, codec.unwrap_or(Codec::Json), config, version).await
        }
    }
}

/// The message up, whole and in time.
async fn receive<B>(body: B, codec: Option<Codec>, config: Config) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
{
    let read = timeout(config.body_timeout, read_message(body, config.max_message_bytes));
    let message = read.await.unwrap_or(Err(Unread::Fault(Fault::TooSlow)))?;
    if codec.is_none() {
        return Err(Unread::Fault(Fault::WrongCodec));
    }
    Ok(message)
}

/// The message down, when there is one. Nothing of the request is held any more.
async fn speak<P: Peer>(
    mut peer: P,
    codec: Codec,
    config: Config,
    version: Version,
) -> Response<Full<Bytes>> {
    let (transmit, message) = poll_fn(|context| poll_message(&mut peer, context, config.budget_bytes)).await;
    let body = Full::new(message);
    // Written is not delivered: the peer keeps what it transmitted until the client acknowledges it.
    match transmit {
        Transmit::Message | Transmit::Datagram => {
            peer.end(LinkEnd::Answered);
            answer(StatusCode::OK, media_type(codec), body)
        }
        Transmit::Close(advice) => {
            peer.end(LinkEnd::Closed);
            let mut response = answer(status(&advice), media_type(codec), body);
            advise(response.headers_mut(), &advice);
            if advice.code == CloseCode::SUPERSEDED && version == Version::HTTP_11 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

fn method_not_allowed() -> Response<Full<Bytes>> {
    let mut response = answer(StatusCode::METHOD_NOT_ALLOWED, media_type(Codec::Json), Full::default());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

/// For the client that broke off while it sent: it will hardly read this.
fn lost() -> Response<Full<Bytes>> {
    answer(StatusCode::BAD_REQUEST, media_type(Codec::Json), Full::default())
}
