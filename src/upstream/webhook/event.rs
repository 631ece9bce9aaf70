//! What is posted: one JSON object for each event, its members named as in docs/protocol.md.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::payload_members;
use crate::upstream::Intent;

/// A client wants something.
#[derive(Serialize)]
#[serde(tag = "type", rename = "intent", rename_all = "camelCase")]
pub(super) struct IntentEvent<'a> {
    id: &'a str,
    time: u64,
    session: String,
    command: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_id: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    meta: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

impl<'a> IntentEvent<'a> {
    pub(super) fn new(id: &'a str, intent: &'a Intent) -> Self {
        let said = &intent.said;
        let (data, bytes) = payload_members(&said.payload);
        Self {
            id,
            time: intent.time,
            session: intent.session.to_string(),
            command: intent.command,
            user: intent.user.as_deref(),
            channel: said.channel.as_str(),
            name: said.name.as_deref(),
            send_id: said.id.as_deref(),
            meta: said.meta.iter().collect(),
            data,
            bytes,
        }
    }

    pub(super) fn to_body(&self) -> Bytes {
        body(self)
    }
}

/// An event as it is posted.
pub(super) fn body(event: &impl Serialize) -> Bytes {
    serde_json::to_vec(event).expect("texts and numbers are JSON").into()
}
