//! What applications say to each other: carried, never interpreted.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{error::ErrorCode, scan};

/// What an event, a command or a reply carries.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Payload {
    /// Nothing.
    #[default]
    Empty,
    /// A JSON value, passed through unparsed.
    Json(Json),
    /// Bytes.
    Bytes(Bytes),
}

impl Payload {
    /// Its size in bytes, as it was given: what windows and limits count.
    pub fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Json(json) => json.as_str().len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One JSON value as text: UTF-8, without a line break, no deeper than [`Json::MAX_DEPTH`], no lone surrogate.
///
/// Checked in one pass where it enters; whoever holds one may copy it into a text frame as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Json(Bytes);

impl Json {
    /// How many arrays and objects may lie within each other.
    pub const MAX_DEPTH: usize = scan::PAYLOAD_DEPTH;

    /// Checks a JSON text; raw CR and LF, which JSON allows only between tokens, become spaces.
    ///
    /// # Errors
    /// [`ErrorCode::NotUtf8`], [`ErrorCode::MalformedPayload`], [`ErrorCode::PayloadTooDeep`] or
    /// [`ErrorCode::LoneSurrogate`], by what is wrong with it first.
    pub fn parse(text: &[u8]) -> Result<Self, ErrorCode> {
        scan::check_payload(text).map(|text| Self(text.into()))
    }

    /// A text that a codec has checked on its way.
    pub(crate) const fn of_checked(text: Bytes) -> Self {
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it entered")
    }

    /// The text's bytes; cloning them shares them.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Names and strings that travel beside a payload, unread: `traceparent`, `content-type` and the application's own.
///
/// At most 16 names of `[a-z0-9-]{1,32}`, 1 KiB for names and values together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Meta(BTreeMap<Box<str>, Box<str>>);

impl Meta {
    /// The most names.
    pub const MAX_NAMES: usize = 16;
    /// The most bytes, names and values together.
    pub const MAX_BYTES: usize = 1024;

    /// Collects names and values.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidMeta`] when a bound is passed or a name is not `[a-z0-9-]{1,32}` or comes twice.
    pub fn new<K: Into<Box<str>>, V: Into<Box<str>>>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ErrorCode> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let (mut map, mut bytes) = (BTreeMap::new(), 0);
        for (name, value) in entries {
            let (name, value) = (name.into(), value.into());
            bytes += name.len() + value.len();
            let named = (1..=32).contains(&name.len()) && name.bytes().all(legal);
            if !named
                || bytes > Self::MAX_BYTES
                || map.insert(name, value).is_some()
                || map.len() > Self::MAX_NAMES
            {
                return Err(ErrorCode::InvalidMeta);
            }
        }
        Ok(Self(map))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &**value)
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}
