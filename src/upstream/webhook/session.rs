//! What became of sessions: told until it is heard.
//!
//! An intent has a client that waits, so it is given up with the client's patience. An end of a session has nobody who
//! would say it again: while nobody answers it is kept and tried, and what waits behind it is bounded by the gateway. A
//! status that refuses it is an answer.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use serde::Serialize;
use tower::Service;

use super::{Event, Webhook, event, post::backoff};
use crate::{session::Life, upstream::SessionEvent};

/// Something became of a session.
#[derive(Serialize)]
#[serde(tag = "type", rename = "session")]
struct LifeEvent<'a> {
    id: &'a str,
    time: u64,
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    number: u32,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Which run of which gateway tells it.
    gateway: &'a str,
    #[serde(skip_serializing_if = "is_none")]
    missed: u64,
}

/// Tells a [`Webhook`] of the life of sessions; made by [`Webhook::sessions`].
#[derive(Clone, Debug)]
pub struct Sessions {
    pub(super) webhook: Webhook,
}

impl Sessions {
    async fn tell(&self, told: SessionEvent) -> Result<(), Refused> {
        let id = format!("session.{}.{}", told.session, told.number);
        let body = event::body(&self.event(&id, &told));
        let post = &self.webhook.post;
        let mut attempt = post.config.attempts;
        loop {
            match post.send(Event::Session, &id, body.clone()).await {
                Ok(answer) if answer.status.is_success() => return Ok(()),
                Ok(answer) => return Err(Refused(answer.status.as_u16())),
                Err(failure) => {
                    if attempt == post.config.attempts {
                        tracing::warn!(id, %failure, "the webhook gave no answer; it is told on and on");
                    }
                    attempt = attempt.saturating_add(1);
                    tokio::time::sleep(backoff(attempt)).await;
                }
            }
        }
    }

    fn event<'a>(&'a self, id: &'a str, told: &'a SessionEvent) -> LifeEvent<'a> {
        let (transport, replaces, reason) = match told.life {
            Life::Opened { transport, replaces } => (transport, replaces, None),
            Life::Resumed { transport } => (transport, None, None),
            Life::Ended(ending) => (None, None, Some(ending.as_str())),
            Life::Lost => (None, None, None),
        };
        LifeEvent {
            id,
            time: told.time,
            session: told.session.to_string(),
            user: told.user.as_deref(),
            number: told.number,
            kind: told.life.as_str(),
            transport,
            replaces: replaces.map(|session| session.to_string()),
            reason,
            gateway: &self.webhook.run,
            missed: told.missed,
        }
    }
}

impl Service<SessionEvent> for Sessions {
    type Response = ();
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<(), Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: SessionEvent) -> Self::Future {
        let sessions = self.clone();
        Box::pin(async move { Ok(sessions.tell(event).await?) })
    }
}

/// The application does not want to hear it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the status is {0}")]
struct Refused(u16);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_none(missed: &u64) -> bool {
    *missed == 0
}
