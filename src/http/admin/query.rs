//! The parameters of an address: each known, each once.

use std::borrow::Cow;

use throughline_wire::{ChannelName, ErrorCode};

use super::{refusal::Refusal, unescaped};
use crate::{
    gateway::{SessionFilter, SessionState},
    session::TRANSPORTS,
};

/// The parameters of an address.
pub(super) struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    pub(super) fn read(query: Option<&'a str>, known: &[&str]) -> Result<Self, Refusal> {
        let mut values: Vec<(&str, &str)> = Vec::new();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) {
                return Err(Refusal::unknown_member("the address", name, known));
            }
            if values.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Refusal::wire(ErrorCode::DuplicateMember).at(name));
            }
            values.push((name, value));
        }
        Ok(Self(values))
    }

    /// A parameter's value; an empty one counts as absent.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, value)| *known == name && !value.is_empty()).map(|(_, value)| *value)
    }

    /// A parameter that may need escapes.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        self.value(name).map(unescaped).transpose()
    }

    /// A parameter that is the name of a channel.
    pub(super) fn name(&self, name: &str) -> Result<Option<ChannelName>, Refusal> {
        let text = self.text(name)?;
        text.map(|text| ChannelName::parse(&text)).transpose().map_err(|code| Refusal::wire(code).at(name))
    }

    /// Which sessions are meant.
    pub(super) fn filter(&self) -> Result<SessionFilter, Refusal> {
        let state = self.value("state").map(|word| SessionState::parse(word).ok_or_else(|| unknown("state")));
        let transport = self.value("transport");
        if transport.is_some_and(|transport| !TRANSPORTS.contains(&transport)) {
            return Err(unknown("transport"));
        }
        Ok(SessionFilter {
            user: self.text("user")?.map(|user| user.into_owned().into()),
            channel: self.name("channel")?,
            transport: transport.map(Into::into),
            state: state.transpose()?,
        })
    }

    pub(super) fn limit(&self, default: usize) -> Result<usize, Refusal> {
        match self.value("limit").map(str::parse) {
            None => Ok(default),
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => Ok(limit),
            _ => Err(Refusal::wire(ErrorCode::NumberOutOfRange).because(format!("`limit` is 1 to {MOST}"))),
        }
    }
}

fn unknown(parameter: &str) -> Refusal {
    let known = match parameter {
        "state" => SessionState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>(),
        _ => TRANSPORTS.to_vec(),
    };
    Refusal::malformed(format!("`{parameter}` is one of {}", known.join(", ")))
}

/// The most of anything in one answer.
const MOST: usize = 1_000;
