//! The addresses of the client's side: which leads to which transport.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as HttpBody;
use http_body_util::Full;
use pin_project_lite::pin_project;
use serde::Serialize;
use throughline_link::{Shape, answer::answer};
use throughline_wire::{
    Codec, DownFrame, ErrorCode,
    frame::{ErrorFrame, TransportOffer},
};

use super::{
    Body, Busy, Remote,
    body::json,
    cors::{self, Cors},
    origin::OriginRefused,
    tickets,
};
use crate::gateway::{Adapters, Shared};

/// The future of an answer.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Leads requests to transports. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    shared: Arc<Shared>,
    adapters: Arc<Adapters>,
}

impl Router {
    /// A router in front of these transports.
    pub(crate) fn new(shared: Arc<Shared>, adapters: Adapters) -> Self {
        Self { shared, adapters: Arc::new(adapters) }
    }

    /// What `welcome` and `negotiate` offer, in order of preference. Relative references (RFC 3986, section 5.2) to the
    /// address that the client called: whatever a proxy in front puts before `/v1/`, they lead back through it.
    pub(crate) fn offers() -> Arc<[TransportOffer]> {
        let offer = |name: &str, path: &str| TransportOffer {
            name: name.into(),
            url: Some(path.trim_start_matches("/v1/").into()),
            certificate_hashes: Vec::new(),
        };
        [offer("websocket", WEBSOCKET), offer("sse", EVENTS), offer("polling", POLL)].into()
    }

    /// Answers one request.
    pub(crate) fn route<B>(&self, mut request: Request<B>) -> Answer
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
    {
        let config = &self.shared.config;
        let peer = request.extensions().get::<Remote>().map(|remote| remote.0);
        let way = config.proxies.read(peer, request.headers_mut());
        let remote = way.client;
        if let Some(remote) = remote {
            request.extensions_mut().insert(Remote(remote));
        }
        let page = match config.origins.check(request.headers(), request.uri(), way.host.as_ref()) {
            Ok(page) => page,
            Err(refused) => return ready(self.refuse_origin(&refused), None),
        };
        let cors = page.map(|page| Cors::new(page, config.origins.credentials));
        let Some(path) = request.uri().path().strip_prefix(&*config.base_path) else {
            return ready(not_found(), cors);
        };
        if request.method() == Method::OPTIONS {
            let answer = methods(path)
                .map_or_else(not_found, |methods| options(methods, request.headers(), cors.is_some()));
            return ready(answer, cors);
        }
        match path {
            WEBSOCKET => {
                let busy = request.extensions_mut().remove::<Busy>();
                let (response, link) = self.adapters.websocket.answer(request, remote);
                if let Some(link) = link {
                    self.adapters.spawn(link, busy);
                }
                ready(response.map(Body::from), cors)
            }
            POLL => later(self.adapters.polling.answer(request, remote, Shape::Answer), cors),
            SEND => later(self.adapters.polling.answer(request, remote, Shape::Post), cors),
            EVENTS => {
                // Whoever comes back for the next stream finds whoever takes over: an HTTP/1.1 connection is not used again.
                let is_last = request.version() == Version::HTTP_11;
                let stream = self.adapters.sse.answer(request, remote);
                later(async move { with_close(stream.await.map(Body::from), is_last) }, cors)
            }
            TICKETS if request.method() == Method::POST => {
                later(tickets::answer(Arc::clone(&self.shared), request, remote), cors)
            }
            NEGOTIATE if request.method() == Method::GET => ready(self.negotiate(), cors),
            READY if request.method() == Method::GET => {
                let shared = Arc::clone(&self.shared);
                later(async move { readiness(&shared).await }, cors)
            }
            HEALTH if request.method() == Method::GET => {
                let shared = Arc::clone(&self.shared);
                later(async move { health(shared.is_healthy().await) }, cors)
            }
            #[cfg(feature = "page")]
            "" | "/" if request.method() == Method::GET => {
                ready(crate::page::answer(&self.shared.session.transports.now()), cors)
            }
            NEGOTIATE | HEALTH | READY => ready(method_not_allowed("GET"), cors),
            TICKETS => ready(method_not_allowed("POST"), cors),
            _ => ready(not_found(), cors),
        }
    }

    fn negotiate(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Negotiation<'a> {
            version: u32,
            codecs: [&'static str; 2],
            transports: Vec<Offer<'a>>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Offer<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            url: Option<&'a str>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            certificate_hashes: &'a [Box<str>],
        }
        let offers = self.shared.session.transports.now();
        let negotiation = Negotiation {
            version: 0,
            codecs: [Codec::Json.name(), Codec::Bincode.name()],
            transports: offers
                .iter()
                .map(|offer| Offer {
                    name: &offer.name,
                    url: offer.url.as_deref(),
                    certificate_hashes: &offer.certificate_hashes,
                })
                .collect(),
        };
        json(StatusCode::OK, &negotiation)
    }

    fn refuse_origin(&self, refused: &OriginRefused) -> Response<Body> {
        self.shared.metrics.count_refusal(ErrorCode::OriginRefused);
        tracing::warn!(%refused, "a page was refused");
        let error = ErrorFrame {
            code: ErrorCode::OriginRefused,
            message: refused.to_string().into(),
            command: None,
            fatal: true,
        };
        let mut message = BytesMut::new();
        Codec::Json.encode_down(&DownFrame::Error(error), &mut message);
        let media_type = HeaderValue::from_static(Codec::Json.media_type());
        answer(StatusCode::FORBIDDEN, media_type, Full::new(message.freeze()).into())
    }
}

fn ready(response: Response<Body>, cors: Option<Cors>) -> Answer {
    Box::pin(std::future::ready(Ok(cors::answer(response, cors))))
}

fn later<T: Into<Body>>(
    response: impl Future<Output = Response<T>> + Send + 'static,
    cors: Option<Cors>,
) -> Answer {
    Box::pin(Later { response, cors })
}

pin_project! {
    /// Waits for a response. An async block would keep it twice: as it was captured, and as it is awaited.
    struct Later<F> {
        #[pin]
        response: F,
        cors: Option<Cors>,
    }
}

impl<T: Into<Body>, F: Future<Output = Response<T>>> Future for Later<F> {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.response.poll(context));
        Poll::Ready(Ok(cors::answer(response.map(Into::into), this.cors.take())))
    }
}

/// The methods of an address.
fn methods(path: &str) -> Option<&'static str> {
    match path {
        POLL | SEND | TICKETS => Some("POST"),
        EVENTS => Some("GET, POST"),
        WEBSOCKET | NEGOTIATE | HEALTH | READY => Some("GET"),
        #[cfg(feature = "page")]
        "" | "/" => Some("GET"),
        _ => None,
    }
}

/// Says that an answer is the last on its connection.
fn with_close(mut response: Response<Body>, is_last: bool) -> Response<Body> {
    if is_last {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What may be asked of an address; to a page of an allowed origin, what of that it may ask.
fn options(methods: &'static str, asked: &HeaderMap, is_for_page: bool) -> Response<Body> {
    let mut response = text(StatusCode::NO_CONTENT, "");
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(methods));
    if is_for_page {
        cors::preflight(methods, asked, headers);
    }
    response
}

fn health(is_healthy: bool) -> Response<Body> {
    if is_healthy {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "the broker does not take events\n")
    }
}

/// Whether a balancer should send clients here.
async fn readiness(shared: &Shared) -> Response<Body> {
    let is_ready = shared.is_ready().await;
    if !is_ready && !shared.is_there_for_newcomers() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the gateway drains\n");
    }
    health(is_ready)
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "no such address; the protocol's are below /v1/ (docs/protocol.md)\n")
}

fn method_not_allowed(allowed: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    answer(status, HeaderValue::from_static("text/plain; charset=utf-8"), Full::from(text).into())
}

const WEBSOCKET: &str = "/v1/websocket";
const POLL: &str = "/v1/poll";
const SEND: &str = "/v1/send";
const EVENTS: &str = "/v1/events";
#[cfg(feature = "webtransport")]
pub(crate) const WEBTRANSPORT: &str = "/v1/webtransport";
const TICKETS: &str = "/v1/tickets";
const NEGOTIATE: &str = "/v1/negotiate";
const HEALTH: &str = "/healthz";
const READY: &str = "/readyz";
