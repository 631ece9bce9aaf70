//! Links over server-sent events (the HTML standard, section 9.2), in both forms.
//!
//! - `POST`: for clients that read the stream by fetch. The body is the message up, in the text codec; each frame
//!   down is the `data:` of one event.
//! - `GET`: for a plain `EventSource` and for `curl`. Who it is and what it wants stands in the address; `id:`
//!   carries what the client repeats as `Last-Event-ID` when it comes back (`address`).
//!
//! [`ServerSentEvents::answer`] waits for the peer's first message, at most [`Config::head_wait`], since a refusal
//! is told by the status too: 204 is the only word that stops an `EventSource`. The rest is the response's body
//! ([`Events`]): it pulls from the peer when the connection can take more, and has no queue.
//!
//! Left out on purpose: which origins may ask, preflights and compression, which are the gateway's; messages up
//! beside an open stream, which are posts (`throughline-polling`).

mod address;
mod block;
mod config;
mod events;

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body::Body;
use throughline_link::{
    Fault, Gate, LinkRequest, Opening, Peer, Shape,
    answer::{Unread, advise, answer, codec_of, read_message, status},
};
use throughline_wire::Codec;
use tokio::time::timeout;

pub use config::Config;
pub use events::Events;

/// Opens streams of server-sent events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerSentEvents<G> {
    gate: G,
    config: Config,
}

impl<G: Gate> ServerSentEvents<G> {
    /// The transport's name on the wire.
    pub const NAME: &'static str = "sse";

    /// An adapter that opens its links at `gate`.
    pub const fn new(gate: G, config: Config) -> Self {
        Self { gate, config }
    }

    /// Answers `POST` and `GET` of the endpoint; another method gets 405.
    ///
    /// # Cancel safety
    /// To drop the future, or the body of its response, loses the peer.
    pub fn answer<B>(
        &self,
        request: Request<B>,
        remote: Option<SocketAddr>,
    ) -> impl Future<Output = Response<Events<G::Peer>>> + Send + use<B, G>
    where
        B: Body<Data = Bytes> + Send,
    {
        let config = self.config;
        let (head, body) = request.into_parts();
        let link = match head.method {
            Method::POST => Some(self.open_by_message(head.headers, remote)),
            Method::GET => Some(self.open_by_address(head, remote)),
            _ => None,
        };
        async move {
            let Some((mut peer, form, fault)) = link else { return method_not_allowed() };
            if form == Form::Message {
                let read = timeout(config.body_timeout, read_message(body, config.max_message_bytes));
                match (read.await.unwrap_or(Err(Unread::Fault(Fault::TooSlow))), fault) {
                    (Ok(message), None) => peer.receive(&message),
                    (Ok(_), Some(fault)) | (Err(Unread::Fault(fault)), _) => peer.refuse(fault),
                    (Err(Unread::Lost), _) => return respond(StatusCode::BAD_REQUEST, Events::none()),
                }
            } else {
                drop(body);
                if let Some(fault) = fault {
                    peer.refuse(fault);
                }
            }
            begin(Events::new(peer, form, config.budget_bytes), form, config).await
        }
    }

    fn open_by_message(
        &self,
        headers: HeaderMap,
        remote: Option<SocketAddr>,
    ) -> (G::Peer, Form, Option<Fault>) {
        // An event stream is text: it has no binary form.
        let fault = (codec_of(&headers) != Some(Codec::Json)).then_some(Fault::WrongCodec);
        (self.open(Opening::Message, headers, remote), Form::Message, fault)
    }

    fn open_by_address(
        &self,
        head: request::Parts,
        remote: Option<SocketAddr>,
    ) -> (G::Peer, Form, Option<Fault>) {
        let (opening, fault) = match address::read(head.uri.query().unwrap_or_default(), &head.headers) {
            Ok(opening) => (opening, None),
            Err(fault) => (address::EMPTY, Some(fault)),
        };
        (self.open(opening, head.headers, remote), Form::Address, fault)
    }

    fn open(&self, opening: Opening, headers: HeaderMap, remote: Option<SocketAddr>) -> G::Peer {
        self.gate.open(LinkRequest {
            transport: Self::NAME,
            codec: Codec::Json,
            shape: Shape::DownStream,
            datagrams: false,
            opening,
            remote,
            headers,
        })
    }
}

/// How the client opened the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// By a message: it can read a status, and knows its numbers itself.
    Message,
    /// By its address: it reads no status but 204, and repeats the last `id:`.
    Address,
}

/// Waits a little for the first message, then chooses the head.
async fn begin<P: Peer>(mut events: Events<P>, form: Form, config: Config) -> Response<Events<P>> {
    let _ = timeout(config.head_wait, poll_fn(|context| events.poll_first(context))).await;
    let Some(advice) = events.advice().cloned() else { return respond(StatusCode::OK, events) };
    let status = match form {
        Form::Message => status(&advice),
        // An EventSource gives up for good on anything but 200, so that is for what is final.
        Form::Address if advice.is_final => StatusCode::NO_CONTENT,
        Form::Address => StatusCode::OK,
    };
    if status == StatusCode::NO_CONTENT {
        events.end();
    }
    let mut response = respond(status, events);
    advise(response.headers_mut(), &advice);
    if let Some(code) = advice.error.filter(|_| status == StatusCode::NO_CONTENT) {
        // It has no body to say it in.
        response.headers_mut().insert(ERROR, HeaderValue::from_static(code.as_str()));
    }
    response
}

fn respond<P>(status: StatusCode, events: Events<P>) -> Response<Events<P>> {
    answer(status, EVENT_STREAM, events)
}

fn method_not_allowed<P: Peer>() -> Response<Events<P>> {
    let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, Events::none());
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    response
}

/// Why there is no stream, for whoever looks: an `EventSource` does not.
const ERROR: HeaderName = HeaderName::from_static("throughline-error");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
