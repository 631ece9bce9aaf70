//! What the adapters that answer over HTTP share: the headers of every answer, and reading a message from a body.

use std::{future::poll_fn, pin::pin};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use throughline_wire::Codec;

use crate::{Advice, Fault, http_status};

/// An answer with the headers that every answer has (docs/protocol.md, transports).
pub fn answer<B>(status: StatusCode, media_type: HeaderValue, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(5);
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(X_ACCEL_BUFFERING, NO);
    headers.insert(header::VARY, ORIGIN);
    response
}

/// The media type of a codec's messages.
pub const fn media_type(codec: Codec) -> HeaderValue {
    HeaderValue::from_static(codec.media_type())
}

/// The status that this advice has ([`http_status`]).
pub fn status(advice: &Advice) -> StatusCode {
    StatusCode::from_u16(http_status(advice)).unwrap_or(StatusCode::OK)
}

/// Adds `Retry-After`, in whole seconds, none of them too early, where the advice says when to come back.
pub fn advise(headers: &mut HeaderMap, advice: &Advice) {
    if let Some(milliseconds) = advice.retry_after_ms {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1_000)));
    }
}

/// Why there is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// The client sent one that cannot be delivered.
    Fault(Fault),
    /// The client is gone.
    Lost,
}

/// The codec of a request's message, by its `content-type`. One without is taken for text, so that it can be typed by hand.
/// None where there is no such codec, and where the message is compressed: nobody is to unpack for a stranger.
pub fn codec_of(headers: &HeaderMap) -> Option<Codec> {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).into_iter().all(is_plain) {
        return None;
    }
    let Some(media_type) = headers.get(header::CONTENT_TYPE) else { return Some(Codec::Json) };
    Codec::from_media_type(media_type.to_str().ok()?)
}

/// Reads one message of at most `max_bytes` from a request's body.
///
/// A body that is too large is not kept. Up to [`READ_ON`] times the bound it is read on all the same: an answer to
/// a client that is still sending may be lost with the connection. Nothing bounds the time: that is the adapter's.
///
/// # Errors
/// [`Unread`] says why there is no message.
pub async fn read_message<B: Body<Data = Bytes>>(body: B, max_bytes: usize) -> Result<Bytes, Unread> {
    let mut body = pin!(body);
    let read_on_bytes = max_bytes.saturating_mul(READ_ON);
    if body.size_hint().lower() > read_on_bytes as u64 {
        return Err(Unread::Fault(Fault::TooLarge));
    }
    // Most messages come in one piece, which is not copied.
    let mut piece = Bytes::new();
    let mut pieces = BytesMut::new();
    let mut read_bytes = 0_usize;
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|_| Unread::Lost)?;
        let Ok(data) = frame.into_data() else { continue };
        read_bytes = read_bytes.saturating_add(data.len());
        if read_bytes > read_on_bytes {
            break;
        }
        if read_bytes > max_bytes {
            (piece, pieces) = (Bytes::new(), BytesMut::new());
        } else if piece.is_empty() && pieces.is_empty() {
            piece = data;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut piece));
            pieces.extend_from_slice(&data);
        }
    }
    if read_bytes > max_bytes {
        return Err(Unread::Fault(Fault::TooLarge));
    }
    Ok(if pieces.is_empty() { piece } else { pieces.freeze() })
}

/// How far a body that is too large is read on, as a multiple of its bound.
pub const READ_ON: usize = 16;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const NO: HeaderValue = HeaderValue::from_static("no");
const ORIGIN: HeaderValue = HeaderValue::from_static("origin");
