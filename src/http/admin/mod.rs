//! The admin API: what an application does with its gateway by HTTP.
//!
//! [`Admin`] is a service of its own for a listener of its own; clients never reach it. It takes and gives JSON,
//! refuses pages of any other origin (`guard`), and says what is wrong in one shape (`refusal`). Beside it,
//! for operators, are `/metrics`, `/healthz` and `/readyz`.
//!
//! What is left out: TLS and users. A listener beyond loopback wants a key and a proxy that encrypts.
//! The addresses, their members and their errors are in docs/operations.md.

mod drain;
mod guard;
mod members;
mod publish;
mod query;
mod read;
mod refusal;
mod sessions;
mod tickets;
mod users;

use std::{borrow::Cow, convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
pub use guard::AdminKey;
use guard::Guard;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as HttpBody;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use refusal::Refusal;
pub(super) use refusal::status;
use serde::Serialize;
use throughline_link::answer::{Unread, answer, read_message};
use throughline_wire::{ErrorCode, SessionId};
use tower::Service;

use super::Body;
use crate::gateway::Handle;

/// What the admin API takes, and from whom.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// What requests have to show; `None` lets everybody on the machine in, which is for loopback only.
    /// Default: none.
    pub key: Option<AdminKey>,
    /// Whether the listener is on loopback only: requests have to name loopback as their host then. Default: `true`.
    pub is_loopback: bool,
    /// Names beside addresses that requests may name as their host: `gateway.internal`. Default: none.
    pub hosts: Vec<String>,
    /// The largest request, in bytes. It is held in memory while it is read. Default: 1 MiB.
    pub body_bytes: usize,
    /// The largest payload of one event, in bytes. A session takes no more of unacknowledged payload than
    /// `limits.unacknowledgedBytes`, so neither should an event be larger. Default: 256 KiB.
    pub event_bytes: usize,
    /// How long a request's body may take to arrive. Default: 10 seconds.
    pub body_timeout: Duration,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            key: None,
            is_loopback: true,
            hosts: Vec::new(),
            body_bytes: 1 << 20,
            event_bytes: 256 * 1024,
            body_timeout: Duration::from_secs(10),
        }
    }
}

/// The admin API of one gateway, as a [`tower::Service`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    handle: Handle,
    config: Arc<AdminConfig>,
}

impl Admin {
    /// The admin API of the gateway behind this handle.
    pub fn new(handle: Handle, config: AdminConfig) -> Self {
        Self { handle, config: Arc::new(config) }
    }

    async fn respond<B: HttpBody<Data = Bytes>>(self, request: Request<B>) -> Response<Body> {
        let (head, body) = request.into_parts();
        match self.lead(head, body).await {
            Ok(response) => response,
            Err(refusal) => {
                if let Some(code) = refusal.wire_code() {
                    self.handle.count_refusal(code);
                }
                tracing::debug!(%refusal, "an admin request was refused");
                refusal.into_response()
            }
        }
    }

    /// Leads a request to what it asks for.
    async fn lead<B: HttpBody<Data = Bytes>>(&self, head: Parts, body: B) -> Result<Response<Body>, Refusal> {
        let guard = Guard(&self.config);
        guard.check_page(&head)?;
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        if path == ["healthz"] {
            only(&head, &Method::GET)?;
            return Ok(self.health().await); // without a key: load balancers have none
        }
        if path == ["readyz"] {
            only(&head, &Method::GET)?;
            return Ok(self.readiness().await);
        }
        guard.check_key(&head.headers)?;
        match path[..] {
            ["metrics"] => {
                only(&head, &Method::GET)?;
                Ok(self.metrics())
            }
            ["api", "v1", "publish"] => {
                only(&head, &Method::POST)?;
                let body = self.command(&head.headers, body).await?;
                self.publish(&head.headers, &body).await
            }
            ["api", "v1", "volatile"] => {
                only(&head, &Method::POST)?;
                let body = self.command(&head.headers, body).await?;
                self.volatile(&body)
            }
            ["api", "v1", "tickets"] => {
                only(&head, &Method::POST)?;
                let body = self.command(&head.headers, body).await?;
                self.ticket(&body)
            }
            ["api", "v1", "channels", channel, "history"] => {
                only(&head, &Method::GET)?;
                self.history(channel, head.uri.query()).await
            }
            ["api", "v1", "channels", channel, "presence"] => {
                only(&head, &Method::GET)?;
                self.presence(channel, head.uri.query()).await
            }
            ["api", "v1", "drain"] if head.method == Method::GET => Ok(self.drain_progress()),
            ["api", "v1", "drain"] => {
                only(&head, &Method::POST)?;
                let body = self.json_body(&head.headers, body).await?;
                self.drain(&body)
            }
            ["api", "v1", "channels"] => {
                only(&head, &Method::GET)?;
                self.channels(head.uri.query())
            }
            ["api", "v1", "sessions"] => {
                only(&head, &Method::GET)?;
                self.sessions(head.uri.query())
            }
            ["api", "v1", "sessions", id] => {
                only(&head, &Method::GET)?;
                self.session(session_id(id)?)
            }
            ["api", "v1", "sessions", id, "disconnect"] => {
                only(&head, &Method::POST)?;
                let id = session_id(id)?;
                let body = self.command(&head.headers, body).await?;
                self.disconnect(id, &body)
            }
            ["api", "v1", "sessions", id, "subscribe"] => {
                only(&head, &Method::POST)?;
                let id = session_id(id)?;
                let body = self.command(&head.headers, body).await?;
                self.subscribe(id, &body).await
            }
            ["api", "v1", "sessions", id, "unsubscribe"] => {
                only(&head, &Method::POST)?;
                let id = session_id(id)?;
                let body = self.command(&head.headers, body).await?;
                self.unsubscribe(id, &body)
            }
            ["api", "v1", "users", user, action @ ("subscribe" | "unsubscribe" | "disconnect")] => {
                only(&head, &Method::POST)?;
                let user = unescaped(user)?;
                let body = self.command(&head.headers, body).await?;
                match action {
                    "subscribe" => self.subscribe_user(&user, &body).await,
                    "unsubscribe" => self.unsubscribe_user(&user, &body),
                    _ => self.disconnect_user(&user, &body),
                }
            }
            ["api", "v1", "sessions", id, "migrate"] => {
                only(&head, &Method::POST)?;
                let id = session_id(id)?;
                let body = self.command(&head.headers, body).await?;
                self.migrate(id, &body)
            }
            _ => Err(Refusal::not_found()),
        }
    }

    /// Reads what is to be done. Once a successor may serve it is the one to do it, whose sessions are not known here.
    async fn command<B: HttpBody<Data = Bytes>>(
        &self,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Bytes, Refusal> {
        let body = self.json_body(headers, body).await?; // which takes its time
        if self.handle.is_followed() { Err(Refusal::wire(ErrorCode::ShuttingDown)) } else { Ok(body) }
    }

    /// Reads a body that is JSON by its type, within its bound and its time.
    async fn json_body<B: HttpBody<Data = Bytes>>(
        &self,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Bytes, Refusal> {
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        // A page can send other types across origins without asking first.
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::wire(ErrorCode::UnsupportedCodec)
                .because("the content type has to be application/json"));
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Refusal::wire(ErrorCode::UnsupportedCodec).because("requests are not compressed"));
        }
        let reading = read_message(body, self.config.body_bytes);
        match tokio::time::timeout(self.config.body_timeout, reading).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(Unread::Fault(fault))) => Err(Refusal::wire(fault.code())
                .because(format!("a request is at most {} bytes", self.config.body_bytes))),
            Ok(Err(Unread::Lost)) => Err(Refusal::malformed("the body broke off")),
            Err(_) => Err(Refusal::wire(ErrorCode::TimedOut)),
        }
    }
}

impl<B> Service<Request<B>> for Admin
where
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let admin = self.clone();
        Box::pin(async move { Ok(admin.respond(request).await) })
    }
}

fn only(head: &Parts, method: &Method) -> Result<(), Refusal> {
    if head.method == *method { Ok(()) } else { Err(Refusal::method_not_allowed(method)) }
}

fn session_id(text: &str) -> Result<SessionId, Refusal> {
    SessionId::parse(text).ok_or_else(|| Refusal::wire(ErrorCode::SessionUnknown))
}

/// A part of an address, without the escapes that an address needs (RFC 3986, 2.1).
fn unescaped(text: &str) -> Result<Cow<'_, str>, Refusal> {
    percent_decode_str(text).decode_utf8().map_err(|_| Refusal::wire(ErrorCode::NotUtf8))
}

/// An answer in JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(text) => with_type(status, "application/json", text.into()),
        Err(_) => Refusal::wire(ErrorCode::Internal).into_response(),
    }
}

fn with_type(status: StatusCode, media_type: &'static str, text: Bytes) -> Response<Body> {
    answer(status, HeaderValue::from_static(media_type), Full::new(text).into())
}
