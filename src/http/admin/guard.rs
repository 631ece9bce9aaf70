//! Who may come: no page of another origin, no name that was pointed at this listener, and the key where there is one.
//!
//! A browser sends requests to loopback for any page. What gives a page away is its `Origin`, `Sec-Fetch-Site`
//! where there is none, and a `Host` that is the attacker's own name, made to resolve to this listener
//! (rebinding): that name passes for "the same origin", so `Host` has to be one that nobody else can own.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, header, request::Parts};
use parking_lot::RwLock;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use throughline_wire::ErrorCode;

use super::{AdminConfig, refusal::Refusal};
use crate::http::origin::{authority_of, host_of, is_loopback, same_host};

/// What requests to the admin API have to show. Its `Debug` reveals nothing. Clones are one key, so that it is exchanged
/// while the listener stands.
#[derive(Clone)]
pub struct AdminKey(Arc<RwLock<[u8; 32]>>);

impl AdminKey {
    /// The fewest characters that a key may have.
    pub const MIN_BYTES: usize = 16;

    /// A key, unless it could be guessed: it has at least 16 characters.
    pub fn new(key: &str) -> Option<Self> {
        (key.len() >= Self::MIN_BYTES).then(|| Self(Arc::new(RwLock::new(Sha256::digest(key).into()))))
    }

    /// Takes another key in place of the one that it is, for all clones.
    pub fn replace(&self, key: &Self) {
        let key = *key.0.read();
        *self.0.write() = key;
    }

    /// Whether this is the key, in a time that does not depend on how much of it is right.
    fn is(&self, shown: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.0.read().ct_eq(&shown).into()
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey(…)")
    }
}

/// Looks at requests before anything of them is carried out.
pub(super) struct Guard<'a>(pub(super) &'a AdminConfig);

impl Guard<'_> {
    /// Refuses pages of other origins and names that are not this listener's.
    pub(super) fn check_page(&self, head: &Parts) -> Result<(), Refusal> {
        let host = host_of(&head.headers, &head.uri).unwrap_or_default();
        if !self.is_own(host) {
            let hint = "requests name an address of this listener, or one of `admin.hosts`";
            return Err(Refusal::wire(ErrorCode::OriginRefused).because(format!("host {host:?}: {hint}")));
        }
        match head.headers.get(header::ORIGIN) {
            Some(origin) => {
                let is_one = head.headers.get_all(header::ORIGIN).iter().count() == 1;
                let origin = origin.to_str().unwrap_or_default();
                if !is_one || authority_of(origin).is_none_or(|origin| !same_host(origin, host)) {
                    let why = format!(
                        "pages of {origin:?} may not use the admin API, only those of the host that they call, {host:?}; \
                         a name that it should have goes into `admin.hosts`"
                    );
                    return Err(Refusal::wire(ErrorCode::OriginRefused).because(why));
                }
            }
            // An image or a script of another page has no `Origin`.
            None => {
                let site = head.headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes);
                if site.is_some_and(|site| !matches!(site, b"same-origin" | b"none")) {
                    let why = "pages of other origins may not use the admin API";
                    return Err(Refusal::wire(ErrorCode::OriginRefused).because(why));
                }
            }
        }
        Ok(())
    }

    /// Refuses whoever does not show the key, where there is one.
    pub(super) fn check_key(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(key) = &self.0.key else { return Ok(()) };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split_once(' '));
        match shown {
            Some((scheme, shown)) if scheme.eq_ignore_ascii_case("bearer") && key.is(shown.trim()) => Ok(()),
            _ => Err(Refusal::wire(ErrorCode::Unauthorized)
                .because("show the admin key: `Authorization: Bearer KEY`")),
        }
    }

    /// Whether a host is one that only this listener can have: an address, `localhost`, or a name on the list.
    fn is_own(&self, host: &str) -> bool {
        let name = without_port(host);
        let is_listed = self
            .0
            .hosts
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(host) || listed.eq_ignore_ascii_case(name));
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_listed || is_loopback(host) || (!self.0.is_loopback && is_address)
    }
}

/// A host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &AdminConfig, headers: &[(&str, &str)]) -> bool {
        let mut request = http::Request::get("/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Guard(config).check_page(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn on_loopback_only_loopback_is_a_host() {
        let config = AdminConfig::default();
        for host in ["127.0.0.1:7081", "localhost:7081", "[::1]:7081", "localhost"] {
            assert!(check(&config, &[("host", host)]), "{host}");
        }
        for host in
            ["evil.com", "evil.com:7081", "localhost.evil.com", "10.0.0.1:7081", "", "127.0.0.1.evil.com"]
        {
            assert!(!check(&config, &[("host", host)]), "{host}");
        }
        assert!(!check(&config, &[]));
    }

    #[test]
    fn beyond_loopback_an_address_or_a_listed_name_is_a_host() {
        let config =
            AdminConfig { is_loopback: false, hosts: vec!["gw.internal".into()], ..Default::default() };
        for host in ["10.0.0.1:7081", "[fd00::1]:7081", "gw.internal", "GW.internal:7081", "localhost:7081"] {
            assert!(check(&config, &[("host", host)]), "{host}");
        }
        assert!(!check(&config, &[("host", "evil.com:7081")]));
    }

    #[test]
    fn only_a_page_of_the_listener_itself_may_come() {
        let config = AdminConfig::default();
        let host = ("host", "127.0.0.1:7081");
        assert!(check(&config, &[host, ("origin", "http://127.0.0.1:7081")]));
        for origin in ["http://localhost:3000", "http://127.0.0.1:7080", "http://evil.com", "null", ""] {
            assert!(!check(&config, &[host, ("origin", origin)]), "{origin}");
        }
        assert!(check(&config, &[host, ("sec-fetch-site", "none")]));
        assert!(!check(&config, &[host, ("sec-fetch-site", "cross-site")]));
        assert!(!check(&config, &[host, ("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn the_key_and_nothing_else_opens() {
        let config = AdminConfig { key: AdminKey::new("a-key-of-some-length"), ..Default::default() };
        let shows = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            Guard(&config).check_key(&headers).is_ok()
        };
        assert!(shows(Some("Bearer a-key-of-some-length")));
        assert!(shows(Some("bearer a-key-of-some-length")));
        for wrong in
            ["Bearer a-key-of-some-lengtH", "Bearer ", "Basic a-key-of-some-length", "a-key-of-some-length"]
        {
            assert!(!shows(Some(wrong)), "{wrong}");
        }
        assert!(!shows(None));
        assert!(AdminKey::new("short").is_none());
        assert!(!format!("{config:?}").contains("some-length"));
    }
}
