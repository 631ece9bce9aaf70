//! `POST /api/v1/tickets`: the application has an event stream opened for a user whom it knows.

use std::{collections::BTreeMap, time::Duration};

use http::{Response, StatusCode};
use serde::Serialize;
use throughline_wire::{ErrorCode, Json, bounds};

use super::{Admin, json, members::Members, refusal::Refusal};
use crate::{
    gateway::{Action, Grants, Identity, Ticket, TicketError, clock},
    http::Body,
};

impl Admin {
    /// `POST /api/v1/tickets`
    pub(super) fn ticket(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer<'a> {
            ticket: &'a str,
            session: String,
            expires_in_ms: u64,
        }
        let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
        let mut members = Members::read(text, "the request", MEMBERS)?;
        let user = members.take_text("user", bounds::USER_BYTES)?;
        let info = members.take_raw("info").map(|info| Json::parse(info.as_bytes())).transpose();
        let info = info.map_err(|code| Refusal::wire(code).at(&members.place("info")))?;
        let grants = grants(&mut members)?;
        let life = members.take::<u64>("expiresInMs")?.map_or(Ticket::LIFE, Duration::from_millis);
        let expires_at_ms =
            members.take::<u64>("authExpiresInMs")?.map(|ms| clock::now().wall_ms.saturating_add(ms));
        let identity = Identity { user, info, expires_at_ms, grants };
        let ticket = self.handle.ticket(&identity, life).map_err(|error| {
            let code = match error {
                TicketError::Life => ErrorCode::NumberOutOfRange,
                _ => ErrorCode::MessageTooLarge,
            };
            Refusal::wire(code).because(error.to_string())
        })?;
        let expires_in_ms = ticket.life.as_millis() as u64;
        let session = ticket.session.to_string();
        Ok(json(StatusCode::OK, &Answer { ticket: ticket.text.reveal(), session, expires_in_ms }))
    }
}

/// `channels`, as in a token: what the user is granted beyond the rules, by pattern.
fn grants(members: &mut Members<'_>) -> Result<Grants, Refusal> {
    let stated: BTreeMap<Box<str>, Vec<Box<str>>> = members.take("channels")?.unwrap_or_default();
    let mut granted = Vec::with_capacity(stated.len());
    for (pattern, words) in stated {
        let actions: Option<Vec<Action>> = words.iter().map(|word| Action::parse(word)).collect();
        let actions = actions.ok_or_else(|| {
            let words = Action::ALL.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ");
            Refusal::malformed(format!("{}: an action is one of {words}", members.place("channels")))
        })?;
        granted.push((pattern, actions));
    }
    Grants::new(granted).map_err(|why| Refusal::malformed(format!("{}: {why}", members.place("channels"))))
}

const MEMBERS: &[&str] = &["user", "info", "channels", "expiresInMs", "authExpiresInMs"];
