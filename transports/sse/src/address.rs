//! The opening that stands in an address: `?channel=a&channel=b&ticket=…`, and `Last-Event-ID`.
//!
//! Names are decoded, not checked: that is the gate's, which can refuse them by name.

use std::borrow::Cow;

use http::HeaderMap;
use throughline_link::{Fault, Opening};

/// An address that names nothing.
pub(crate) const EMPTY: Opening = Opening::Address { channels: Vec::new(), ticket: None, resume_tag: None };

/// Reads the query and the header.
///
/// # Errors
/// [`Fault::TooLarge`] when the query has more than [`MAX_QUERY_BYTES`], or names more than [`MAX_CHANNELS`].
pub(crate) fn read(query: &str, headers: &HeaderMap) -> Result<Opening, Fault> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(Fault::TooLarge);
    }
    let (mut channels, mut ticket) = (Vec::new(), None);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match &*decode(name) {
            "channel" if channels.len() == MAX_CHANNELS => return Err(Fault::TooLarge),
            "channel" => channels.push(decode(value).into_owned()),
            "ticket" => ticket = Some(decode(value).into_owned()),
            _ => {}
        }
    }
    let resume_tag =
        headers.get("last-event-id").map(|tag| String::from_utf8_lossy(tag.as_bytes()).into_owned());
    // A client that was never given one sends none, or an empty one.
    let resume_tag = resume_tag.filter(|tag| !tag.is_empty());
    Ok(Opening::Address { channels, ticket, resume_tag })
}

/// Undoes the form encoding of `URLSearchParams`. What is not an escape stands for itself; what is not UTF-8
/// becomes U+FFFD, which no name may hold.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| escaped(bytes.get(at + 1..at + 3)?)).flatten();
        decoded.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let &[high, low] = digits else { return None };
    let value = char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?;
    u8::try_from(value).ok()
}

/// The longest query: names and a ticket for far more channels than anyone follows by address.
const MAX_QUERY_BYTES: usize = 16 * 1024;

/// The most channels that an address may name.
const MAX_CHANNELS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Opening, Fault> {
        read(query, &HeaderMap::new())
    }

    fn names(channels: &[&str]) -> Vec<String> {
        channels.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn channels_and_the_ticket_are_decoded_in_order() {
        let expected = Opening::Address {
            channels: names(&["quiz:1", "$user:ä b", "c"]),
            ticket: Some("t.1=".into()),
            resume_tag: None,
        };
        assert_eq!(
            parse("channel=quiz%3A1&other&channel=%24user:%C3%A4+b&ticket=t.1%3d&channel=c"),
            Ok(expected)
        );
    }

    #[test]
    fn what_is_not_an_escape_stands_for_itself() {
        let expected = Opening::Address {
            channels: names(&["100%", "%zz", "%4", "\u{fffd}"]),
            ticket: None,
            resume_tag: None,
        };
        assert_eq!(parse("channel=100%&channel=%zz&channel=%4&channel=%ff"), Ok(expected));
    }

    #[test]
    fn an_address_without_names_is_an_opening_too() {
        assert_eq!(parse(""), Ok(EMPTY));
    }

    #[test]
    fn too_many_channels_are_refused() {
        let query = "channel=a&".repeat(MAX_CHANNELS);
        assert!(parse(&query).is_ok());
        assert_eq!(parse(&(query + "channel=a")), Err(Fault::TooLarge));
    }

    #[test]
    fn a_query_that_is_too_long_is_refused() {
        assert!(parse(&"a".repeat(MAX_QUERY_BYTES)).is_ok());
        assert_eq!(parse(&"a".repeat(MAX_QUERY_BYTES + 1)), Err(Fault::TooLarge));
    }

    #[test]
    fn the_last_event_id_is_the_resume_tag_and_an_empty_one_is_none() {
        let tag = |value: &str| {
            let headers = HeaderMap::from_iter([("last-event-id".parse().unwrap(), value.parse().unwrap())]);
            let Ok(Opening::Address { resume_tag, .. }) = read("", &headers) else { panic!("an opening") };
            resume_tag
        };
        assert_eq!(tag("1.42.proof").as_deref(), Some("1.42.proof"));
        assert_eq!(tag(""), None);
    }
}
