//! `POST /api/v1/publish`: one event or a batch, each to one channel or many. `POST /api/v1/volatile`: what is said
//! and not kept.
//!
//! A request is read whole before anything is published: one that is wrong anywhere publishes nothing, and the
//! error names the place. What is right is carried out to its end although its client may leave, so that an
//! idempotency key always comes to a result.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use throughline_wire::{ChannelName, ErrorCode, Json, Meta, Payload, bounds};

use super::{
    Admin, json,
    members::Members,
    read::Place,
    refusal::{self, ErrorBody, Refusal},
};
use crate::{
    channel::{NewEvent, NewVolatile},
    gateway::{Publication, PublishError, Published},
    http::Body,
    session::user_channel,
};

impl Admin {
    pub(super) async fn publish(&self, headers: &HeaderMap, body: &[u8]) -> Result<Response<Body>, Refusal> {
        let Request { events, idempotency_key } = read(headers, body, self.config.event_bytes)?;
        let handle = self.handle.clone();
        let publishing =
            tokio::spawn(async move { handle.publish_batch(events, idempotency_key.as_deref()).await });
        match publishing.await {
            Ok(Ok(published)) => Ok(respond(&published)),
            Ok(Err(PublishError::UnderWay)) => Err(Refusal::under_way()),
            Ok(Err(PublishError::Refused(code))) => Err(Refusal::wire(code)),
            Err(_) => Err(Refusal::wire(ErrorCode::Internal)),
        }
    }
}

impl Admin {
    /// `POST /api/v1/volatile`
    pub(super) fn volatile(&self, body: &[u8]) -> Result<Response<Body>, Refusal> {
        #[derive(Serialize)]
        struct Answer {
            said: usize,
        }
        let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
        let mut members = Members::read(text, "the request", VOLATILE_MEMBERS)?;
        let channels = channels(&mut members)?;
        let name = members.take_text("name", bounds::NAME_BYTES)?;
        let payload = payload(&mut members)?;
        for channel in &channels {
            let volatile =
                NewVolatile { name: name.clone(), payload: payload.clone(), ..NewVolatile::default() };
            self.handle.volatile(channel, volatile).map_err(Refusal::wire)?;
        }
        Ok(json(StatusCode::OK, &Answer { said: channels.len() }))
    }
}

/// What is to be published.
#[derive(Debug)]
struct Request {
    events: Vec<Publication>,
    idempotency_key: Option<Box<str>>,
}

fn read(headers: &HeaderMap, body: &[u8], event_bytes: usize) -> Result<Request, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| Refusal::wire(ErrorCode::NotUtf8))?;
    let mut known = EVENT_MEMBERS.to_vec();
    known.extend(["idempotencyKey", "events"]);
    let mut members = Members::read(text, "the request", &known)?;
    let stated = members.take_text("idempotencyKey", KEY_BYTES)?;
    let idempotency_key = merge_keys(stated, headers)?;
    let events = match members.take::<Vec<&serde_json::value::RawValue>>("events")? {
        None => vec![event(members, event_bytes)?],
        Some(_) if EVENT_MEMBERS.iter().any(|name| members.take_raw(name).is_some()) => {
            return Err(Refusal::malformed("`events` stands alone: what is said of an event goes into it"));
        }
        Some(texts) if texts.len() > EVENTS => {
            let refusal = Refusal::wire(ErrorCode::MessageTooLarge);
            return Err(refusal.because(format!("a batch is at most {EVENTS} events")));
        }
        Some(texts) => {
            let read_one = |(at, text): (usize, &&serde_json::value::RawValue)| {
                event(Members::read(text.get(), format!("events[{at}]"), EVENT_MEMBERS)?, event_bytes)
            };
            texts.iter().enumerate().map(read_one).collect::<Result<Vec<_>, _>>()?
        }
    };
    let deliveries: usize = events.iter().map(|event| event.channels.len()).sum();
    if deliveries > DELIVERIES {
        let refusal = Refusal::wire(ErrorCode::MessageTooLarge);
        return Err(
            refusal.because(format!("a request publishes at most {DELIVERIES} times, all channels counted"))
        );
    }
    Ok(Request { events, idempotency_key })
}

/// The key of the body or that of the header; both have to be the same.
fn merge_keys(stated: Option<Box<str>>, headers: &HeaderMap) -> Result<Option<Box<str>>, Refusal> {
    let Some(header) = headers.get(IDEMPOTENCY_KEY) else { return Ok(stated) };
    let legal = header.to_str().ok().filter(|key| key.len() <= KEY_BYTES);
    let header = legal.ok_or_else(|| {
        Refusal::malformed(format!(
            "the header {IDEMPOTENCY_KEY} is at most {KEY_BYTES} printable characters"
        ))
    })?;
    match stated {
        Some(stated) if *stated != *header => {
            Err(Refusal::malformed("`idempotencyKey` and the header of that name differ"))
        }
        _ => Ok(Some(header.into())),
    }
}

fn event(mut members: Members<'_>, event_bytes: usize) -> Result<Publication, Refusal> {
    let channels = channels(&mut members)?;
    let name = members.take_text("name", bounds::NAME_BYTES)?;
    let key = members.take_text("key", bounds::KEY_BYTES)?;
    let meta = match members.take_texts("meta")? {
        Some(meta) => Meta::new(meta).map_err(|code| Refusal::wire(code).at(&members.place("meta")))?,
        None => Meta::default(),
    };
    let payload = payload(&mut members)?;
    if payload.len() > event_bytes {
        let why = format!("{} is at most {event_bytes} bytes", members.place("data"));
        return Err(Refusal::wire(ErrorCode::MessageTooLarge).because(why));
    }
    Ok(Publication { channels, event: NewEvent { name, key, sender: None, meta, payload } })
}

fn channels(members: &mut Members<'_>) -> Result<Vec<ChannelName>, Refusal> {
    let mut named = Vec::new();
    let kinds: [(&str, &str, Parse); 2] =
        [("channel", "channels", ChannelName::parse), ("user", "users", user_channel)];
    for (one, many, parse) in kinds {
        if let Some(name) = members.take::<Box<str>>(one)? {
            named.push(parse_all(members, one, &[name], parse)?);
        }
        if let Some(names) = members.take::<Vec<Box<str>>>(many)? {
            named.push(parse_all(members, many, &names, parse)?);
        }
    }
    match <[Vec<ChannelName>; 1]>::try_from(named) {
        Ok([channels]) if !channels.is_empty() => Ok(channels),
        _ => Err(Refusal::malformed(format!(
            "one of {}, `channels`, `user` and `users`, with one name at least",
            members.place("channel")
        ))),
    }
}

/// What a name stands for.
type Parse = fn(&str) -> Result<ChannelName, ErrorCode>;

fn parse_all(
    members: &Members<'_>,
    member: &str,
    names: &[Box<str>],
    parse: Parse,
) -> Result<Vec<ChannelName>, Refusal> {
    let place = members.place(member);
    if names.len() > CHANNELS {
        let why = format!("{place} are at most {CHANNELS}");
        return Err(Refusal::wire(ErrorCode::MessageTooLarge).because(why));
    }
    let is_list = member.ends_with('s');
    let parse_one = |(at, name): (usize, &str)| {
        let place = if is_list { format!("{place}[{at}]") } else { place.clone() };
        parse(name).map_err(|code| Refusal::wire(code).at(&place))
    };
    names.iter().map(|name| &**name).enumerate().map(parse_one).collect()
}

fn payload(members: &mut Members<'_>) -> Result<Payload, Refusal> {
    let bytes = members.take::<String>("bytes")?;
    match (members.take_raw("data"), bytes) {
        (None, None) => Ok(Payload::Empty),
        (Some(data), None) => match Json::parse(data.as_bytes()) {
            Ok(json) => Ok(Payload::Json(json)),
            Err(code) => Err(Refusal::wire(code).at(&members.place("data"))),
        },
        (None, Some(bytes)) => match STANDARD.decode(bytes) {
            Ok(bytes) => Ok(Payload::Bytes(Bytes::from(bytes))),
            Err(_) => Err(Refusal::wire(ErrorCode::MalformedPayload)
                .because(format!("{} is not base64 (RFC 4648 section 4, padded)", members.place("bytes")))),
        },
        (Some(_), Some(_)) => Err(Refusal::wire(ErrorCode::MalformedPayload)
            .because(format!("either {} or `bytes`, not both", members.place("data")))),
    }
}

/// What became of each event in each channel, in the order of the request. Where nothing was published at all, the
/// first reason is the answer's own, so that whoever looks only at the status is not misled.
fn respond(published: &[Vec<Published>]) -> Response<Body> {
    #[derive(Serialize)]
    struct Answer<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ErrorBody<'a>>,
        results: Vec<Vec<Outcome<'a>>>,
    }
    let results = published.iter().map(|event| event.iter().map(Outcome::from).collect()).collect();
    let none_landed = published.iter().flatten().all(|one| one.result.is_err());
    let first = published.iter().flatten().next().and_then(|one| one.result.err());
    let failure = first.filter(|_| none_landed);
    let status = failure.map_or(StatusCode::OK, refusal::status);
    json(status, &Answer { error: failure.map(refusal::error_body), results })
}

/// What became of an event in one channel.
#[derive(Serialize)]
struct Outcome<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody<'a>>,
}

impl<'a> From<&'a Published> for Outcome<'a> {
    fn from(Published { channel, result }: &'a Published) -> Self {
        Self {
            channel: channel.as_str(),
            position: result.as_ref().ok().map(Place::from),
            error: result.as_ref().err().map(|code| refusal::error_body(*code)),
        }
    }
}

const EVENT_MEMBERS: &[&str] =
    &["channel", "channels", "user", "users", "name", "key", "meta", "data", "bytes"];
const VOLATILE_MEMBERS: &[&str] = &["channel", "channels", "user", "users", "name", "data", "bytes"];
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest idempotency key.
const KEY_BYTES: usize = 200;
/// The most events in one request.
const EVENTS: usize = 1_000;
/// The most channels of one event.
const CHANNELS: usize = 1_000;
/// The most events times channels of one request.
const DELIVERIES: usize = 10_000;
