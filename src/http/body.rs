//! The body of an answer: ready bytes, as JSON is, or a stream of events.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;
use throughline_link::answer::answer;
use throughline_sse::Events;

use crate::gateway::peer::GatewayPeer;

/// The body of one of the gateway's answers. Never fails.
#[derive(Debug)]
pub struct Body(Inner);

#[derive(Debug)]
enum Inner {
    Full(Full<Bytes>),
    Events(Box<Events<GatewayPeer>>),
}

impl From<Full<Bytes>> for Body {
    fn from(body: Full<Bytes>) -> Self {
        Self(Inner::Full(body))
    }
}

impl From<Events<GatewayPeer>> for Body {
    fn from(events: Events<GatewayPeer>) -> Self {
        Self(Inner::Events(Box::new(events)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut self.0 {
            Inner::Full(body) => Pin::new(body).poll_frame(context),
            Inner::Events(events) => Pin::new(&mut **events).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Full(body) => body.is_end_stream(),
            Inner::Events(events) => events.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Full(body) => body.size_hint(),
            Inner::Events(events) => events.size_hint(),
        }
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    answer(status, HeaderValue::from_static("application/json"), Full::new(Bytes::from(text)).into())
}
