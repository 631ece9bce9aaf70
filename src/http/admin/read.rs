//! What can be looked at: a channel's history and who takes part in it, sessions, metrics and health.

use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use throughline_wire::{
    ChannelName, Codec, Epoch, ErrorCode, Event, Item, Json, Member, Offset, Position, SessionId,
};

use super::{Admin, json, query::Query, refusal::Refusal, with_type};
use crate::{
    gateway::{ChannelInfo, SessionFilter, SessionInfo},
    http::Body,
    session::{Attempt, TransportHistory},
};

/// A position, as the protocol writes it.
#[derive(Serialize)]
pub(super) struct Place<'a> {
    epoch: &'a str,
    offset: u64,
}

impl<'a> From<&'a Position> for Place<'a> {
    fn from(position: &'a Position) -> Self {
        Self { epoch: position.epoch.as_str(), offset: position.offset.get() }
    }
}

impl Admin {
    /// `GET /api/v1/channels/{channel}/history?after=&epoch=&limit=`
    pub(super) async fn history(
        &self,
        channel: &str,
        query: Option<&str>,
    ) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer<'a> {
            channel: &'a str,
            head: Place<'a>,
            /// Events up to and including this offset are not held any more.
            base: u64,
            events: Vec<Box<RawValue>>,
            /// To go on after, while there is more.
            #[serde(skip_serializing_if = "Option::is_none")]
            next: Option<u64>,
        }
        let channel = ChannelName::parse(channel).map_err(Refusal::wire)?;
        let query = Query::read(query, &["after", "epoch", "limit"])?;
        let limit = query.limit(HISTORY)?;
        let after =
            match query.value("after") {
                Some(text) => Some(text.parse().ok().and_then(Offset::new).ok_or_else(|| {
                    Refusal::wire(ErrorCode::NumberOutOfRange).because("`after` is an offset")
                })?),
                None => None,
            };
        let epoch = query.value("epoch").map(Epoch::parse).transpose().map_err(Refusal::wire)?;
        let history = self.handle.history(&channel, after, limit).await.map_err(Refusal::wire)?;
        if let Some(epoch) = epoch.filter(|epoch| *epoch != history.head.epoch) {
            return Err(Refusal::epoch_mismatch(epoch.as_str(), history.head.epoch.as_str()));
        }
        let last = history.events.last().map(|event| event.offset);
        let next = last.filter(|last| *last < history.head.offset).map(Offset::get);
        let events = history.events.into_iter().map(as_on_the_wire).collect::<Result<_, _>>()?;
        Ok(json(
            StatusCode::OK,
            &Answer {
                channel: channel.as_str(),
                head: Place::from(&history.head),
                base: history.base.get(),
                events,
                next,
            },
        ))
    }

    /// `GET /api/v1/channels/{channel}/presence`
    pub(super) async fn presence(
        &self,
        channel: &str,
        query: Option<&str>,
    ) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer<'a> {
            channel: &'a str,
            count: usize,
            members: Vec<Present>,
        }
        let channel = ChannelName::parse(channel).map_err(Refusal::wire)?;
        Query::read(query, &[])?;
        let members = self.handle.presence(&channel).await.map_err(Refusal::wire)?;
        let count = members.len();
        let members = members.into_iter().map(Present::of).collect::<Result<_, _>>()?;
        Ok(json(StatusCode::OK, &Answer { channel: channel.as_str(), count, members }))
    }

    /// `GET /api/v1/sessions?user=&channel=&transport=&state=&after=&limit=`
    pub(super) fn sessions(&self, query: Option<&str>) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer<'a> {
            /// Of all pages together; absent where some are looked for.
            #[serde(skip_serializing_if = "Option::is_none")]
            count: Option<usize>,
            sessions: Vec<Listed<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next: Option<String>,
        }
        let query = Query::read(query, &["user", "channel", "transport", "state", "after", "limit"])?;
        let limit = query.limit(SESSIONS)?;
        let after = query.value("after").map(super::session_id).transpose()?;
        let filter = query.filter()?;
        let page = self.handle.sessions_where(&filter, after, limit);
        let count = (filter == SessionFilter::default()).then(|| self.handle.session_count());
        let sessions = page.sessions.iter().map(Listed::from).collect();
        let next = page.next.map(|id| id.to_string());
        Ok(json(StatusCode::OK, &Answer { count, sessions, next }))
    }

    /// `GET /api/v1/channels?prefix=&after=&limit=`
    pub(super) fn channels(&self, query: Option<&str>) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer<'a> {
            /// Of all pages together, whatever their names.
            count: u64,
            channels: Vec<Channel<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next: Option<&'a str>,
        }
        #[derive(Serialize)]
        struct Channel<'a> {
            channel: &'a str,
            subscribers: usize,
            members: usize,
            head: Place<'a>,
        }
        impl<'a> From<&'a ChannelInfo> for Channel<'a> {
            fn from(info: &'a ChannelInfo) -> Self {
                let ChannelInfo { name, subscribers, members, head } = info;
                Self {
                    channel: name.as_str(),
                    subscribers: *subscribers,
                    members: *members,
                    head: head.into(),
                }
            }
        }
        let query = Query::read(query, &["prefix", "after", "limit"])?;
        let limit = query.limit(CHANNELS)?;
        let after = query.name("after")?;
        let prefix = query.text("prefix")?.unwrap_or_default();
        let mut found = self.handle.channels(&prefix, after.as_ref(), limit + 1);
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_more).map(|last| last.name.as_str());
        let channels = found.iter().map(Channel::from).collect();
        Ok(json(StatusCode::OK, &Answer { count: self.handle.channel_count(), channels, next }))
    }

    /// `GET /api/v1/sessions/{id}`
    pub(super) fn session(&self, id: SessionId) -> Result<Response<Body>, Refusal> {
        let session = self.handle.session(id).ok_or_else(|| Refusal::wire(ErrorCode::SessionUnknown))?;
        Ok(json(StatusCode::OK, &Listed::from(&session)))
    }

    /// `GET /metrics`
    pub(super) fn metrics(&self) -> Response<Body> {
        const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        with_type(StatusCode::OK, OPEN_METRICS, self.handle.metrics().into())
    }

    /// `GET /healthz`
    pub(super) async fn health(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Answer {
            healthy: bool,
        }
        let healthy = self.handle.is_healthy().await;
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, &Answer { healthy })
    }

    /// `GET /readyz`
    pub(super) async fn readiness(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Answer {
            ready: bool,
            draining: bool,
        }
        let (ready, draining) = (self.handle.is_ready().await, self.handle.drain_progress().is_some());
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, &Answer { ready, draining })
    }
}

/// An event as the text codec writes it, so that whoever reads history needs no second shape.
fn as_on_the_wire(event: Event) -> Result<Box<RawValue>, Refusal> {
    let mut text = Codec::Json.encode_item(&Item::Event(event));
    text.truncate(text.trim_ascii_end().strip_suffix(b",").map_or(text.len(), <[u8]>::len));
    raw(String::from_utf8(text.into()).map_err(|_| Refusal::wire(ErrorCode::Internal))?)
}

fn raw(text: String) -> Result<Box<RawValue>, Refusal> {
    RawValue::from_string(text).map_err(|_| Refusal::wire(ErrorCode::Internal))
}

/// Somebody who takes part in a channel.
#[derive(Serialize)]
struct Present {
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Box<RawValue>>,
}

impl Present {
    fn of(member: Member) -> Result<Self, Refusal> {
        let info = member.info.as_ref().map(Json::as_str).map(|info| raw(info.to_owned())).transpose()?;
        Ok(Self { session: member.session.to_string(), user: member.user, info })
    }
}

/// A session, as it is listed.
#[derive(Serialize)]
struct Listed<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    /// The transport that items flow on; absent while the session is detached.
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<&'static str>,
    state: &'static str,
    incarnation: u64,
    /// Items sent and not yet acknowledged.
    unacknowledged: u64,
    /// The last command taken.
    received: u64,
    subscriptions: Vec<Held<'a>>,
    /// Absent where sessions are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    transports: Option<Transports>,
}

/// Where a session is, and how it came to be there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transports {
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<On>,
    history: Vec<Tried>,
}

/// The link that items flow on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct On {
    transport: &'static str,
    codec: &'static str,
    /// How long it has been open.
    since_ms: u64,
}

/// One use of a transport, or a run of the like.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tried {
    /// When it began, or the first of the run.
    at: u64,
    by: &'static str,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<&'static str>,
    outcome: &'static str,
    took_ms: u64,
    /// How many there were one after the other.
    times: u64,
}

impl From<&TransportHistory> for Transports {
    fn from(transports: &TransportHistory) -> Self {
        let now = transports.now.map(|link| On {
            transport: link.transport,
            codec: link.codec.name(),
            since_ms: link.since_ms,
        });
        Self { now, history: transports.history.iter().map(Tried::from).collect() }
    }
}

impl From<&Attempt> for Tried {
    fn from(attempt: &Attempt) -> Self {
        Self {
            at: attempt.at,
            by: attempt.by.as_str(),
            transport: attempt.transport,
            codec: attempt.codec.map(Codec::name),
            outcome: attempt.outcome,
            took_ms: attempt.took_ms,
            times: attempt.times,
        }
    }
}

/// A channel of a session, and how far the session has been sent it.
#[derive(Serialize)]
struct Held<'a> {
    channel: &'a str,
    position: Place<'a>,
}

impl<'a> From<&'a SessionInfo> for Listed<'a> {
    fn from(session: &'a SessionInfo) -> Self {
        let held = |(channel, position): &'a (ChannelName, Position)| Held {
            channel: channel.as_str(),
            position: position.into(),
        };
        Self {
            id: session.id.to_string(),
            user: session.user.as_deref(),
            transport: session.transport,
            state: session.state.as_str(),
            incarnation: session.incarnation,
            unacknowledged: session.unacknowledged,
            received: session.received,
            subscriptions: session.subscriptions.iter().map(held).collect(),
            transports: session.transports.as_ref().map(Transports::from),
        }
    }
}

/// Channels of one answer, unless asked otherwise.
const CHANNELS: usize = 100;
/// Events of one answer, unless asked otherwise.
const HISTORY: usize = 100;
/// Sessions of one answer, unless asked otherwise.
const SESSIONS: usize = 100;
