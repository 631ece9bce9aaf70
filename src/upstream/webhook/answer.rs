//! What the application answers: a status, and a JSON object that is strict about its members, so that a slip of the
//! pen is found when it is made.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use throughline_wire::{ChannelName, Json, Meta, Payload, ReplyError, bounds};

use crate::channel::NewEvent;

/// A status and a body within its bound.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// An intent that was accepted.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Accept {
    pub(super) payload: Payload,
    pub(super) publish: Publishing,
}

/// What is published of it.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Publishing {
    Nothing,
    /// What the client said, with its sender.
    AsSaid,
    /// The application's own events.
    Events(Vec<(ChannelName, NewEvent)>),
}

impl Answer {
    /// Whether the application accepted an intent, and what it says of it.
    ///
    /// # Errors
    /// What is wrong with the answer, for the log.
    pub(super) fn read(&self) -> Result<Result<Accept, ReplyError>, String> {
        if !self.status.is_success() {
            return Err(format!("the status is {}", self.status.as_u16()));
        }
        if self.body.is_empty() {
            return Ok(Ok(Accept { payload: Payload::Empty, publish: Publishing::Nothing }));
        }
        let said: Said<'_> = serde_json::from_slice(&self.body).map_err(|error| error.to_string())?;
        if let Some(error) = said.error {
            if said.data.is_some() || said.bytes.is_some() || said.publish.is_some() {
                return Err("`error` stands alone".into());
            }
            return error.read().map(Err);
        }
        let publish = said.publish.map_or(Ok(Publishing::Nothing), |text| publishing(text.get()))?;
        Ok(Ok(Accept { payload: payload(said.data, said.bytes)?, publish }))
    }
}

/// The whole answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    bytes: Option<String>,
    #[serde(borrow)]
    publish: Option<&'a RawValue>,
    error: Option<SaidError>,
}

/// A refusal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidError {
    code: Box<str>,
    #[serde(default)]
    message: Box<str>,
    #[serde(default)]
    retryable: bool,
}

/// An event to publish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidEvent<'a> {
    channel: String,
    name: Option<Box<str>>,
    key: Option<Box<str>>,
    #[serde(default)]
    meta: std::collections::BTreeMap<Box<str>, Box<str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    bytes: Option<String>,
}

impl SaidError {
    fn read(self) -> Result<ReplyError, String> {
        let Self { code, message, retryable } = self;
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !(1..=bounds::CODE_BYTES).contains(&code.len()) || !code.bytes().all(legal) {
            return Err(format!("`error.code` is 1 to {} of a-z 0-9 _", bounds::CODE_BYTES));
        }
        Ok(ReplyError { code, message, retryable })
    }
}

impl SaidEvent<'_> {
    fn read(self) -> Result<(ChannelName, NewEvent), String> {
        let Self { channel, name, key, meta, data, bytes } = self;
        let channel = ChannelName::parse(&channel).map_err(|code| code.message())?;
        for (member, text, most) in [("name", &name, bounds::NAME_BYTES), ("key", &key, bounds::KEY_BYTES)] {
            if text.as_ref().is_some_and(|text| text.len() > most) {
                return Err(format!("`{member}` of an event is at most {most} bytes"));
            }
        }
        let meta = Meta::new(meta).map_err(|code| code.message())?;
        let payload = payload(data, bytes)?;
        Ok((channel, NewEvent { name, key, sender: None, meta, payload }))
    }
}

fn publishing(text: &str) -> Result<Publishing, String> {
    match text {
        "true" => Ok(Publishing::AsSaid),
        "false" | "null" => Ok(Publishing::Nothing),
        list => {
            let events: Vec<SaidEvent<'_>> = serde_json::from_str(list)
                .map_err(|error| format!("`publish` is true, false or a list of events: {error}"))?;
            if events.len() > EVENTS {
                return Err(format!("`publish` has at most {EVENTS} events"));
            }
            events.into_iter().map(SaidEvent::read).collect::<Result<_, _>>().map(Publishing::Events)
        }
    }
}

fn payload(data: Option<&RawValue>, bytes: Option<String>) -> Result<Payload, String> {
    match (data, bytes) {
        (None, None) => Ok(Payload::Empty),
        (Some(data), None) => {
            let json = Json::parse(data.get().as_bytes()).map_err(|code| code.message())?;
            Ok(Payload::Json(json))
        }
        (None, Some(bytes)) => {
            let bytes = STANDARD.decode(bytes).map_err(|_| "`bytes` is not padded base64")?;
            Ok(Payload::Bytes(bytes.into()))
        }
        (Some(_), Some(_)) => Err("either `data` or `bytes`, not both".into()),
    }
}

/// A member that is there, though it be `null`.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The most events of one answer.
const EVENTS: usize = 256;

#[cfg(test)]
mod tests {
    use throughline_wire::ErrorCode;

    use super::*;

    fn read(status: u16, body: &'static str) -> Result<Result<Accept, ReplyError>, String> {
        Answer { status: StatusCode::from_u16(status).unwrap(), body: Bytes::from(body) }.read()
    }

    fn accepted(body: &'static str) -> Accept {
        read(200, body).unwrap().unwrap()
    }

    #[test]
    fn an_answer_without_a_body_accepts_and_publishes_nothing() {
        let nothing = Accept { payload: Payload::Empty, publish: Publishing::Nothing };
        assert_eq!(read(204, ""), Ok(Ok(nothing)));
        assert_eq!(accepted("{}").publish, Publishing::Nothing);
    }

    #[test]
    fn a_payload_is_passed_on_as_it_was_written() {
        let json = |text: &str| Payload::Json(Json::parse(text.as_bytes()).unwrap());
        assert_eq!(accepted(r#"{"data": {"b":1.0,"a":[]}}"#).payload, json(r#"{"b":1.0,"a":[]}"#));
        assert_eq!(accepted(r#"{"data":null}"#).payload, json("null"));
        assert_eq!(accepted(r#"{"bytes":"AAE="}"#).payload, Payload::Bytes(vec![0, 1].into()));
    }

    #[test]
    fn the_answer_says_what_is_published() {
        assert_eq!(accepted(r#"{"publish":true}"#).publish, Publishing::AsSaid);
        let Publishing::Events(events) =
            accepted(r#"{"publish":[{"channel":"a","data":1,"meta":{"x":"y"}},{"channel":"b","key":"k"}]}"#)
                .publish
        else {
            panic!("no events");
        };
        assert_eq!((events.len(), events[0].0.as_str(), events[1].1.key.as_deref()), (2, "a", Some("k")));
    }

    #[test]
    fn a_refusal_is_the_applications_own() {
        let error = read(200, r#"{"error":{"code":"not_your_turn","message":"wait"}}"#).unwrap().unwrap_err();
        assert_eq!((&*error.code, &*error.message, error.retryable), ("not_your_turn", "wait", false));
    }

    #[test]
    fn whatever_is_not_understood_is_said_to_the_log() {
        for (status, body, why) in [
            (404, "{}", "404"),
            (302, "", "302"),
            (200, "OK", "expected value"),
            (200, "[]", "struct Said"),
            (200, r#"{"dta":1}"#, "dta"),
            (200, r#"{"data":1,"bytes":""}"#, "not both"),
            (200, r#"{"bytes":"?"}"#, "base64"),
            (200, r#"{"publish":1}"#, "list of events"),
            (200, r#"{"publish":[{"channel":" "}]}"#, ErrorCode::InvalidChannel.message()),
            (200, r#"{"error":{"code":"No"}}"#, "error.code"),
            (200, r#"{"error":{"code":"no"},"publish":true}"#, "stands alone"),
        ] {
            let said = read(status, body).unwrap_err();
            assert!(said.contains(why), "{body}: {said}");
        }
    }
}
