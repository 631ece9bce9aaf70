//! Upstream: where what clients say goes.
//!
//! A `send` becomes an [`Intent`], with the gateway's time and the authenticated user, and goes to a handler: a
//! [`tower::Service`], so that timeouts, retries, load-shedding and buffers are ordinary tower layers. What the
//! handler answers is the client's `reply`.
//!
//! Intents of one session about one channel are handled in order, one at a time, unless [`Orders`] say otherwise; a slow
//! one holds up nobody else.
//! An intent is delivered once for as long as the gateway lives; its stable key is `(session, command)`.
//!
//! The life of sessions is told in the same way, to a service of [`SessionEvent`]s.

mod life;
mod order;
mod publish;
#[cfg(feature = "webhook")]
pub mod webhook;

use std::{error::Error, future::Future, pin::Pin, task};

pub use life::{Lifecycle, SessionEvent};
pub use order::{Order, OrderError, Orders};
pub use publish::Publish;
use throughline_wire::{ErrorCode, ReplyError, Send as Said, SessionId, item::Accepted};
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

/// What a client wants, as the application sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// The session that sent it.
    pub session: SessionId,
    /// The command's number: with the session, the intent's stable key.
    pub command: u64,
    /// The authenticated user; `None` for an anonymous one.
    pub user: Option<Box<str>>,
    /// When the gateway took it, in milliseconds since the Unix epoch. The server's clock counts.
    pub time: u64,
    /// What the client said: channel, name, idempotency key, meta and payload.
    pub said: Said,
}

/// The application's answer.
pub type IntentResult = Result<Accepted, ReplyError>;

/// A handler of intents, whatever its type.
#[derive(Clone, Debug)]
pub struct Handler(BoxCloneSyncService<Intent, Accepted, ReplyError>);

impl Handler {
    /// Wraps a service. An error that is, or is caused by, a [`ReplyError`] is the client's answer as it is; any
    /// other is logged, and the client is told `handler_failed`.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Intent, Response = Accepted> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(BoxCloneSyncService::new(service.map_err(|error| reply_error(error.into()))))
    }

    /// Hands an intent over.
    pub fn handle(&self, intent: Intent) -> impl Future<Output = IntentResult> + Send + use<> {
        self.0.clone().oneshot(intent)
    }
}

impl Service<Intent> for Handler {
    type Response = Accepted;
    type Error = ReplyError;
    type Future = Pin<Box<dyn Future<Output = IntentResult> + Send>>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> task::Poll<Result<(), ReplyError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, intent: Intent) -> Self::Future {
        self.0.call(intent)
    }
}

fn reply_error(error: Box<dyn Error + Send + Sync>) -> ReplyError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(current) = cause {
        if let Some(reply) = current.downcast_ref::<ReplyError>() {
            return reply.clone();
        }
        cause = current.source();
    }
    tracing::warn!(%error, "a handler failed");
    ErrorCode::HandlerFailed.into()
}
