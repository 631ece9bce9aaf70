//! The members of a JSON object, payloads unparsed: what is unknown or comes twice is an error that says so.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use throughline_wire::ErrorCode;

use super::refusal::Refusal;

/// An object's members, taken out one by one.
pub(super) struct Members<'a> {
    /// Where the object is in the request, for errors.
    place: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Reads an object whose members are among `known`.
    pub(super) fn read(text: &'a str, place: impl Into<String>, known: &[&str]) -> Result<Self, Refusal> {
        let place = place.into();
        let Object(members) =
            serde_json::from_str(text).map_err(|error| Refusal::malformed(format!("{place}: {error}")))?;
        for (at, (name, _)) in members.iter().enumerate() {
            if !known.contains(&&**name) {
                return Err(Refusal::unknown_member(&place, name, known));
            }
            if members[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Refusal::wire(ErrorCode::DuplicateMember).at(&format!("{place}.{name}")));
            }
        }
        Ok(Self { place, members })
    }

    /// Where a member is in the request.
    pub(super) fn place(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    /// Takes a member unparsed.
    pub(super) fn take_raw(&mut self, name: &str) -> Option<&'a str> {
        let at = self.members.iter().position(|(member, _)| member == name)?;
        Some(self.members.swap_remove(at).1.get())
    }

    /// Takes a member of a known type.
    pub(super) fn take<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.take_raw(name) else { return Ok(None) };
        let wrong = |error: serde_json::Error| Refusal::malformed(format!("{}: {error}", self.place(name)));
        serde_json::from_str(text).map(Some).map_err(wrong)
    }

    /// Takes an object of strings, whatever their names.
    pub(super) fn take_texts(&mut self, name: &str) -> Result<Option<Vec<(String, String)>>, Refusal> {
        let Some(Object(members)) = self.take(name)? else { return Ok(None) };
        let texts = members.into_iter().map(|(key, text)| Ok((key, serde_json::from_str(text.get())?)));
        let wrong = |error: serde_json::Error| Refusal::malformed(format!("{}: {error}", self.place(name)));
        texts.collect::<Result<Vec<_>, _>>().map(Some).map_err(wrong)
    }

    /// Takes a string of at most `most` bytes.
    pub(super) fn take_text(&mut self, name: &str, most: usize) -> Result<Option<Box<str>>, Refusal> {
        let text: Option<Box<str>> = self.take(name)?;
        if text.as_ref().is_some_and(|text| text.len() > most) {
            let refusal = Refusal::wire(ErrorCode::MessageTooLarge);
            return Err(refusal.because(format!("{} is at most {most} bytes", self.place(name))));
        }
        Ok(text)
    }
}

/// Members in the order in which they came.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    if members.len() == MOST {
                        return Err(serde::de::Error::custom("too many members"));
                    }
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// More members than any object of the API has.
const MOST: usize = 64;
