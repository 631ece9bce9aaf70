//! The header `Forwarded` (RFC 7239): a list of elements, one of each proxy, each a list of pairs.
//!
//! A proxy that writes its element behind the client's into one header makes one text of both. A quote that the client
//! has left open then swallows what the proxy wrote, up to the proxy's own first quote, and what the client wrote before
//! would be the whole element. But what follows such a quote is no separator: it is enough to be strict.

/// One element of `Forwarded`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Element {
    pub(super) client: Option<String>,
    pub(super) host: Option<String>,
    pub(super) scheme: Option<String>,
}

/// The elements of one header, the last one first; none unless all of it is as RFC 7239 has it.
pub(super) fn elements(header: &str) -> Option<Vec<Element>> {
    let (mut elements, mut element) = (Vec::new(), Element::default());
    let mut rest = header.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = value(behind)?;
        let place = match name.to_ascii_lowercase().as_str() {
            "for" => Some(&mut element.client),
            "host" => Some(&mut element.host),
            "proto" => Some(&mut element.scheme),
            other if !other.is_empty() && other.bytes().all(is_of_token) => None,
            _ => return None,
        };
        if place.is_some_and(|place| place.replace(value).is_some()) {
            return None; // twice in one element
        }
        let behind = behind.trim_start();
        if behind.is_empty() {
            break;
        }
        if let Some(next) = behind.strip_prefix(',') {
            elements.push(std::mem::take(&mut element));
            rest = next.trim_start();
        } else {
            rest = behind.strip_prefix(';')?.trim_start();
        }
        if rest.is_empty() {
            return None; // a separator with nothing behind it
        }
    }
    elements.push(element);
    elements.reverse();
    Some(elements)
}

/// The value that a text begins with, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', '"', '\\', ' ', '\t']).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let mut plain = String::new();
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((plain, &quoted[at + 1..])),
            (_, '\\') => plain.push(characters.next()?.1),
            (_, character) => plain.push(character),
        }
    }
}

const fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(client: &str, host: Option<&str>, scheme: Option<&str>) -> Element {
        Element { client: Some(client.into()), host: host.map(Into::into), scheme: scheme.map(Into::into) }
    }

    #[test]
    fn elements_are_read_from_the_last_to_the_first() {
        assert_eq!(elements("for=1.2.3.4"), Some(vec![element("1.2.3.4", None, None)]));
        assert_eq!(
            elements(r#"FOR=a ; Proto=https;by=x;host="b:1" , for="c\"d";ext="1,2;3=4""#),
            Some(vec![element("c\"d", None, None), element("a", Some("b:1"), Some("https"))])
        );
        assert_eq!(elements(""), Some(vec![Element::default()]));
    }

    #[test]
    fn what_is_not_all_as_it_should_be_is_nothing() {
        for bad in [
            "for",
            "=",
            "=a",
            "for=",
            "for=\"a",
            "for=\"a\\\"",
            "for=a b",
            "for=a,",
            "for=a;",
            ",for=a",
            ";for=a",
            "for=a;;host=b",
            "for=a;for=b",
            "f r=a",
            "for =a",
            "for=a\"b\"",
            "for=\"a\"b",
            "for=a\\b",
        ] {
            assert_eq!(elements(bad), None, "{bad}");
        }
    }
}
