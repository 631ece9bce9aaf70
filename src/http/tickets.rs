//! `POST /v1/tickets`: a client shows its credentials, and gets a ticket for the address of one event stream.
//!
//! A request and its answer, and no link: so a refusal has a status beside its frames.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use throughline_link::answer::{Unread, answer as with_type, media_type, read_message};
use throughline_wire::{Codec, ErrorCode, Token};
use tokio::time::timeout;

use super::{Body, admin, body::json};
use crate::{
    gateway::{Credentials, Shared, Ticket},
    session::{Goodbye, encode_goodbye},
};

/// Answers one request.
pub(super) async fn answer<B: HttpBody<Data = Bytes>>(
    shared: Arc<Shared>,
    request: Request<B>,
    remote: Option<SocketAddr>,
) -> Response<Body> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Given<'a> {
        ticket: &'a str,
        session: String,
        expires_in_ms: u64,
    }
    match ask(&shared, request, remote).await {
        Ok(Ticket { text, session, life }) => {
            let (session, expires_in_ms) = (session.to_string(), life.as_millis() as u64);
            json(StatusCode::OK, &Given { ticket: text.reveal(), session, expires_in_ms })
        }
        Err(goodbye) => refuse(&shared, goodbye),
    }
}

async fn ask<B: HttpBody<Data = Bytes>>(
    shared: &Shared,
    request: Request<B>,
    remote: Option<SocketAddr>,
) -> Result<Ticket, Goodbye> {
    #[derive(Default, Deserialize)]
    struct Asked {
        auth: Option<Box<str>>,
    }
    let (head, body) = request.into_parts();
    let reading = read_message(body, shared.config.message_bytes);
    let body = match timeout(shared.config.body_timeout, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(Unread::Fault(fault))) => return Err(Goodbye::ProtocolError(fault.code())),
        Ok(Err(Unread::Lost)) => return Err(Goodbye::ProtocolError(ErrorCode::MalformedFrame)),
        Err(_) => return Err(Goodbye::ProtocolError(ErrorCode::TimedOut)),
    };
    let asked = if body.is_empty() {
        Asked::default()
    } else {
        serde_json::from_slice(&body).map_err(|_| Goodbye::ProtocolError(ErrorCode::MalformedFrame))?
    };
    let token = asked.auth.or_else(|| bearer(&head.headers)).map(Token::new);
    shared.give_ticket(&Credentials { token, headers: head.headers, remote }).await
}

/// What the client shows by `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<Box<str>> {
    let (scheme, shown) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| shown.trim().into())
}

fn refuse(shared: &Shared, goodbye: Goodbye) -> Response<Body> {
    let code = goodbye.error().unwrap_or(ErrorCode::ShuttingDown);
    shared.metrics.count_refusal(code);
    let mut message = BytesMut::new();
    encode_goodbye(Codec::Json, goodbye, None, &mut message);
    let body = Full::new(message.freeze()).into();
    let mut response = with_type(admin::status(code), media_type(Codec::Json), body);
    let headers = response.headers_mut();
    if let Some(retry) = goodbye.retry().filter(|retry| !retry.is_final) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry.delay_ms.div_ceil(1_000)));
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
