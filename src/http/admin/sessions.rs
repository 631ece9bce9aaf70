//! What can be done with a session: give it a channel, take one away, ask its client to move, or end it.

use std::time::Duration;

use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use throughline_wire::{ChannelName, Epoch, ErrorCode, Offset, Position, SessionId, SubscribeFrom, bounds};

use super::{Admin, json, members::Members, refusal::Refusal};
use crate::{gateway::MigrateError, http::Body};

impl Admin {
    /// `POST /api/v1/sessions/{id}/disconnect`
    pub(super) fn disconnect(&self, id: SessionId, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            disconnected: String,
        }
        if !self.handle.disconnect_with(id, read_disconnect(body)?) {
            return Err(Refusal::wire(ErrorCode::SessionUnknown));
        }
        Ok(json(StatusCode::OK, &Answer { disconnected: id.to_string() }))
    }

    /// `POST /api/v1/sessions/{id}/subscribe`
    pub(super) async fn subscribe(&self, id: SessionId, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            subscribed: String,
        }
        let Asked { channel, from } = Asked::read(body, &["channel", "from"])?;
        self.handle.subscribe(id, &channel, from).await.map_err(Refusal::wire)?;
        Ok(json(StatusCode::OK, &Answer { subscribed: id.to_string() }))
    }

    /// `POST /api/v1/sessions/{id}/unsubscribe`
    pub(super) fn unsubscribe(&self, id: SessionId, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            unsubscribed: String,
        }
        let Asked { channel, .. } = Asked::read(body, &["channel"])?;
        self.handle.unsubscribe(id, &channel).map_err(Refusal::wire)?;
        Ok(json(StatusCode::OK, &Answer { unsubscribed: id.to_string() }))
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

/// A channel that is to be given or taken away.
pub(super) struct Asked {
    pub(super) channel: ChannelName,
    /// Where a subscription begins.
    pub(super) from: SubscribeFrom,
}

impl Asked {
    pub(super) fn read(body: &[u8], known: &[&str]) -> Result<Self, Refusal> {
        /// As the protocol writes it.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        enum From {
            Now,
            Last(u32),
            Position { epoch: Box<str>, offset: u64 },
        }
        let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
        let mut members = Members::read(text, "the request", known)?;
        let (channel, place) = (members.take::<Box<str>>("channel")?, members.place("channel"));
        let channel = channel.ok_or_else(|| Refusal::malformed(format!("{place} is missing")))?;
        let channel = ChannelName::parse(&channel).map_err(|code| Refusal::wire(code).at(&place))?;
        let place = members.place("from");
        let wrong = |code| Refusal::wire(code).at(&place);
        let from = match members.take("from")? {
            None | Some(From::Now) => SubscribeFrom::Now,
            Some(From::Last(count)) => SubscribeFrom::Last(count),
            Some(From::Position { epoch, offset }) => SubscribeFrom::Position(Position {
                epoch: Epoch::parse(&epoch).map_err(wrong)?,
                offset: Offset::new(offset).ok_or_else(|| wrong(ErrorCode::NumberOutOfRange))?,
            }),
        };
        Ok(Self { channel, from })
    }
}

/// Whether clients may return, of a body that may be empty.
pub(super) fn read_disconnect(body: &[u8]) -> Result<bool, Refusal> {
    if body.is_empty() {
        return Ok(false);
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
    Ok(Members::read(text, "the request", &["mayReturn"])?.take("mayReturn")?.unwrap_or_default())
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
