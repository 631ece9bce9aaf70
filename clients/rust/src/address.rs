//! Where the gateway is, and where each of its transports.
//!
//! An application gives one [`Address`]. Until the gateway has said where its transports are, they are at the fixed paths
//! of the protocol below it; what it then offers are references, resolved as RFC 3986, section 5.2 has it against
//! `{address}/v1/…`, which is what was called. A [`Target`] is the outcome: what to connect to, and what to ask for.

use std::fmt;

use throughline_wire::frame::TransportOffer;
use url::{Host, Url};

use crate::{config::Transport, error::ConfigError};

/// A parsed `http[s]://host[:port][/path]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    /// What every endpoint is relative to: the address with `/v1/`.
    base: Url,
}

impl Address {
    /// Parses an address.
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Url(url.to_owned());
        let mut base = Url::parse(url).map_err(|_| wrong())?;
        let is_plain = matches!(base.scheme(), "http" | "https")
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        // `http:localhost` is a reference that only a browser forgives.
        if !is_plain || !url.contains("://") {
            return Err(wrong());
        }
        let path = format!("{}/v1/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Self { base })
    }

    /// Whether the gateway is called over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// An endpoint that is nowhere else but below the address.
    pub(crate) fn endpoint(&self, name: &str) -> Target {
        let url = self.base.join(name).unwrap_or_else(|_| self.base.clone());
        Target::new(&url, self.is_secure()).expect("what has a host has a host")
    }

    /// Where a transport is: as offered, or at its fixed path where it was not.
    ///
    /// # Errors
    /// When the offer leads nowhere, or from TLS to plain text.
    pub(crate) fn resolve(
        &self,
        transport: Transport,
        offer: Option<&TransportOffer>,
    ) -> Result<Target, OfferError> {
        let reference = offer.and_then(|offer| offer.url.as_deref()).unwrap_or(match transport {
            Transport::WebSocket => "websocket",
            Transport::Polling => "poll",
            Transport::Sse => "events",
            Transport::WebTransport => "webtransport",
        });
        let parsed = self.base.join(reference);
        let shown = without_credentials(reference, parsed.is_ok());
        let wrong = |what| OfferError { transport, reference: shown.into(), what };
        let url = parsed.map_err(|_| wrong("is no address"))?;
        // What is relative has the scheme of the address: the transport's own stands for it, at the same port.
        let secure = match (transport, url.scheme()) {
            (Transport::WebTransport, "http" | "https") => true,
            (Transport::WebSocket, "wss") | (_, "https") => true,
            (Transport::WebSocket, "ws") | (_, "http") => false,
            _ => return Err(wrong("has a scheme that the transport does not have")),
        };
        if self.is_secure() && !secure {
            return Err(wrong("leads from TLS to plain text"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds credentials"));
        }
        Target::new(&url, secure).ok_or_else(|| wrong("names no host"))
    }
}

/// Why a transport cannot be called where it is said to be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the address {reference:?} that was offered for {transport} {what}")]
pub(crate) struct OfferError {
    transport: Transport,
    reference: Box<str>,
    what: &'static str,
}

/// A reference as it may be shown: what stands before an `@` may be a secret, however the rest is read. Of one that is no
/// address, nobody knows where a query begins.
fn without_credentials(reference: &str, is_address: bool) -> &str {
    let end = reference.find(['?', '#']).filter(|_| is_address).unwrap_or(reference.len());
    reference[..end].rfind('@').map_or(reference, |at| &reference[at + 1..])
}

/// What to connect to, and what to ask for there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// Whether the connection is TLS.
    pub(crate) secure: bool,
    /// For a connection: an IPv6 address has no brackets.
    pub(crate) host: Box<str>,
    pub(crate) port: u16,
    /// For the `Host` header: without the port where it is the scheme's own.
    pub(crate) authority: Box<str>,
    /// The path, and the query where there is one.
    pub(crate) path: Box<str>,
}

impl Target {
    fn new(url: &Url, secure: bool) -> Option<Self> {
        let host = match url.host()? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let port = url.port_or_known_default()?;
        let bare = url.host_str()?;
        let authority = if port == default_port(secure) { bare.to_owned() } else { format!("{bare}:{port}") };
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Some(Self { secure, host: host.into(), port, authority: authority.into(), path: path.into() })
    }

    /// The endpoint of this name beside it.
    pub(crate) fn sibling(&self, name: &str) -> Self {
        let path = self.path.split('?').next().unwrap_or_default();
        let directory = path.rfind('/').map_or("/", |slash| &path[..=slash]);
        Self { path: format!("{directory}{name}").into(), ..self.clone() }
    }

    /// Its address with a scheme of this name: one for plain text, one for TLS.
    pub(crate) fn url(&self, plain: &str, secure: &str) -> String {
        let scheme = if self.secure { secure } else { plain };
        format!("{scheme}://{}{}", self.authority, self.path)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(url: &str) -> TransportOffer {
        TransportOffer { name: "any".into(), url: Some(url.into()), certificate_hashes: Vec::new() }
    }

    /// Where an offer leads, as `scheme://authority/path`.
    fn resolve(address: &str, transport: Transport, reference: &str) -> String {
        let target = Address::parse(address).unwrap().resolve(transport, Some(&offer(reference)));
        target.map_or_else(|error| error.to_string(), |target| target.url("plain", "secure"))
    }

    #[test]
    fn an_address_has_a_host_a_port_and_a_base_path() {
        let poll = Address::parse("http://localhost:8080/live/").unwrap().endpoint("poll");
        assert_eq!((&*poll.host, poll.port, &*poll.authority), ("localhost", 8080, "localhost:8080"));
        assert_eq!(&*poll.path, "/live/v1/poll");
        let poll = Address::parse("http://[::1]").unwrap().endpoint("poll");
        assert_eq!((&*poll.host, poll.port, &*poll.authority), ("::1", 80, "[::1]"));
        let poll = Address::parse("https://Example.org").unwrap().endpoint("poll");
        assert_eq!((&*poll.host, poll.port, poll.secure), ("example.org", 443, true));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "localhost",
            "ws://localhost",
            "http:localhost",
            "http://",
            "http://a@b",
            "http://a/?token=x",
            "http://a/#x",
            "/v1",
        ] {
            assert_eq!(Address::parse(url), Err(ConfigError::Url(url.to_owned())), "{url}");
        }
    }

    #[test]
    fn a_transport_that_was_not_offered_is_at_its_fixed_path() {
        let address = Address::parse("http://h:1/live").unwrap();
        for (transport, path) in [
            (Transport::WebSocket, "/live/v1/websocket"),
            (Transport::Polling, "/live/v1/poll"),
            (Transport::Sse, "/live/v1/events"),
            (Transport::WebTransport, "/live/v1/webtransport"),
        ] {
            assert_eq!(&*address.resolve(transport, None).unwrap().path, path);
        }
    }

    #[test]
    fn a_relative_offer_leads_back_the_way_that_was_called() {
        use Transport::{Polling, Sse, WebSocket, WebTransport};
        for (address, transport, reference, outcome) in [
            ("http://h:1/live", WebSocket, "websocket", "plain://h:1/live/v1/websocket"),
            ("https://h/live", WebSocket, "websocket", "secure://h/live/v1/websocket"),
            ("http://h/live", WebTransport, "webtransport", "secure://h:80/live/v1/webtransport"),
            ("https://h", WebTransport, "webtransport", "secure://h/v1/webtransport"),
            ("http://h/live", Polling, "../other/poll?a=b", "plain://h/live/other/poll?a=b"),
            ("http://h/live", Sse, "/root", "plain://h/root"),
            ("https://h/live", Sse, "//events.h/e", "secure://events.h/e"),
        ] {
            assert_eq!(resolve(address, transport, reference), outcome, "{address} {reference}");
        }
    }

    #[test]
    fn an_absolute_offer_is_taken_as_it_is() {
        use Transport::{Sse, WebSocket, WebTransport};
        for (address, transport, reference, outcome) in [
            ("http://h", WebTransport, "https://quic.h:4433/wt", "secure://quic.h:4433/wt"),
            ("http://h", WebSocket, "wss://sockets.h/v1/websocket", "secure://sockets.h/v1/websocket"),
            ("http://h", WebSocket, "ws://sockets.h:9/x", "plain://sockets.h:9/x"),
            ("http://h", Sse, "http://[::1]:9/x", "plain://[::1]:9/x"),
        ] {
            assert_eq!(resolve(address, transport, reference), outcome, "{address} {reference}");
        }
    }

    #[test]
    fn an_offer_never_leads_from_tls_to_plain_text() {
        for reference in ["http://h/v1/poll", "http://other/v1/poll"] {
            assert!(
                resolve("https://h", Transport::Polling, reference).ends_with("leads from TLS to plain text")
            );
        }
        assert!(
            resolve("https://h", Transport::WebSocket, "ws://h/x").ends_with("leads from TLS to plain text")
        );
    }

    #[test]
    fn an_offer_that_cannot_be_followed_says_what_is_wrong_with_it() {
        for (reference, what) in [
            ("http://[", "is no address"),
            ("ftp://h/x", "has a scheme that the transport does not have"),
            ("ws://h/x", "has a scheme that the transport does not have"),
            ("mailto:h", "has a scheme that the transport does not have"),
        ] {
            let error = resolve("http://h", Transport::Polling, reference);
            assert!(error.ends_with(what), "{reference}: {error}");
        }
    }

    #[test]
    fn an_offer_with_credentials_is_refused_and_shows_none_of_them() {
        for (reference, what) in [
            ("http://me:secret@h/x?a=b", "\"h/x?a=b\" that was offered for polling holds credentials"),
            ("//me:secret@h/x", "\"h/x\" that was offered for polling holds credentials"),
            ("http://me:se@cret@[", "\"[\" that was offered for polling is no address"),
            ("http://me:se?cr#et@[", "\"[\" that was offered for polling is no address"),
        ] {
            let error = resolve("http://h", Transport::Polling, reference);
            assert!(error.ends_with(what), "{reference}: {error}");
        }
    }

    #[test]
    fn posts_go_beside_what_they_belong_to() {
        let address = Address::parse("http://h/live").unwrap();
        let poll = address.resolve(Transport::Polling, Some(&offer("https://polls.h/a/poll?b=c/d"))).unwrap();
        assert_eq!(poll.sibling("send").url("plain", "secure"), "secure://polls.h/a/send");
        let poll = address.resolve(Transport::Polling, None).unwrap();
        assert_eq!(&*poll.sibling("send").path, "/live/v1/send");
    }
}
