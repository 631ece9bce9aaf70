//! What can be done with a session: ask its client to move, or end it.

use std::time::Duration;

use http::{Response, StatusCode};
use serde::Serialize;
use throughline_wire::{ErrorCode, SessionId, bounds};

use super::{Admin, json, members::Members, refusal::Refusal};
use crate::{gateway::MigrateError, http::Body};

impl Admin {
    /// `POST /api/v1/sessions/{id}/disconnect`
    pub(super) fn disconnect(&self, id: SessionId, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            disconnected: String,
        }
        if !body.is_empty() {
            let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
            Members::read(text, "the request", &[])?;
        }
        if !self.handle.disconnect(id) {
            return Err(Refusal::wire(ErrorCode::SessionUnknown));
        }
        Ok(json(StatusCode::OK, &Answer { disconnected: id.to_string() }))
    }

    /// `POST /api/v1/sessions/{id}/migrate`
    pub(super) fn migrate(&self, id: SessionId, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            asked: String,
        }
        let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
        let mut members = Members::read(text, "the request", &["transports", "delayMs", "spreadMs"])?;
        let transports = members.take::<Vec<Box<str>>>("transports")?.unwrap_or_default();
        if !(1..=bounds::TRANSPORTS).contains(&transports.len()) {
            let why = format!("{} names 1 to {} transports", members.place("transports"), bounds::TRANSPORTS);
            return Err(Refusal::malformed(why));
        }
        let delay = time(&mut members, "delayMs")?;
        let spread = time(&mut members, "spreadMs")?;
        match self.handle.migrate(id, &transports, delay, spread) {
            Ok(()) => Ok(json(StatusCode::OK, &Answer { asked: id.to_string() })),
            Err(MigrateError::SessionUnknown) => Err(Refusal::wire(ErrorCode::SessionUnknown)),
            Err(MigrateError::NoLink) => Err(Refusal::no_link()),
            Err(error @ MigrateError::NotOffered(_)) => Err(Refusal::not_offered(error.to_string())),
        }
    }
}

/// A time in milliseconds, 0 where it is absent.
fn time(members: &mut Members<'_>, name: &str) -> Result<Duration, Refusal> {
    let ms = members.take::<u64>(name)?.unwrap_or_default();
    if ms > LONGEST_MS {
        let why = format!("{} is at most {LONGEST_MS}", members.place(name));
        return Err(Refusal::wire(ErrorCode::NumberOutOfRange).because(why));
    }
    Ok(Duration::from_millis(ms))
}

/// The longest delay or spread: a day.
const LONGEST_MS: u64 = 86_400_000;
