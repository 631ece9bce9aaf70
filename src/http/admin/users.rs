//! What can be done with all sessions that a user has: give them a channel, take it away, end them.

use http::{Response, StatusCode};
use serde::Serialize;
use throughline_wire::SessionId;

use super::{
    Admin, json,
    refusal::{self, ErrorBody, Refusal},
    sessions::{Asked, read_disconnect},
};
use crate::http::Body;

impl Admin {
    /// `POST /api/v1/users/{user}/subscribe`
    pub(super) async fn subscribe_user(&self, user: &str, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            subscribed: Vec<String>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            refused: Vec<Refused>,
        }
        #[derive(Serialize)]
        struct Refused {
            session: String,
            error: ErrorBody<'static>,
        }
        let Asked { channel, from } = Asked::read(body, &["channel", "from"])?;
        let results = self.handle.subscribe_user(user, &channel, from).await.map_err(Refusal::wire)?;
        let first = results.iter().find_map(|(_, result)| result.as_ref().err()).copied();
        let (mut subscribed, mut refused) = (Vec::new(), Vec::new());
        for (session, result) in results {
            let session = session.to_string();
            match result {
                Ok(_) => subscribed.push(session),
                Err(code) => refused.push(Refused { session, error: refusal::error_body(code) }),
            }
        }
        match first {
            Some(code) if subscribed.is_empty() => Err(Refusal::wire(code)),
            _ => Ok(json(StatusCode::OK, &Answer { subscribed, refused })),
        }
    }

    /// `POST /api/v1/users/{user}/unsubscribe`
    pub(super) fn unsubscribe_user(&self, user: &str, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            unsubscribed: Vec<String>,
        }
        let Asked { channel, .. } = Asked::read(body, &["channel"])?;
        let unsubscribed = texts(self.handle.unsubscribe_user(user, &channel));
        Ok(json(StatusCode::OK, &Answer { unsubscribed }))
    }

    /// `POST /api/v1/users/{user}/disconnect`
    pub(super) fn disconnect_user(&self, user: &str, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            disconnected: Vec<String>,
        }
        let may_return = read_disconnect(body)?;
        let disconnected = texts(self.handle.disconnect_user(user, may_return));
        Ok(json(StatusCode::OK, &Answer { disconnected }))
    }
}

fn texts(sessions: Vec<SessionId>) -> Vec<String> {
    sessions.iter().map(ToString::to_string).collect()
}
