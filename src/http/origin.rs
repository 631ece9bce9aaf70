//! Which pages may connect.
//!
//! A browser says which page a request comes from (`Origin`); other clients say nothing and are not stopped here.
//! A page may connect when it came from the same host as the request goes to, when it is on the list, or, while
//! the gateway listens on loopback, when it is on loopback itself. There, `Host` has to be loopback too: a name of
//! the attacker's own that resolves to 127.0.0.1 would otherwise be "the same host".

use http::{HeaderMap, HeaderValue, Uri, header};

/// Which pages may connect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OriginPolicy {
    /// Origins that may connect beside the same host: `https://app.example.com`. Default: none.
    pub allowed: Vec<String>,
    /// Whether the gateway listens on loopback only: pages on loopback may connect then, and requests have to name
    /// loopback as their host. Default: `false`.
    pub is_loopback: bool,
}

/// A page that may not connect.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OriginRefused {
    /// Its origin is not allowed.
    #[error(
        "the page's origin {origin:?} is not that of the host {host:?}: add it to `origins` to let it in"
    )]
    Origin {
        /// Where the page came from.
        origin: String,
        /// Where the request goes.
        host: String,
    },
    /// A request that another page makes without saying which: an image, a script.
    #[error("a page of another site may connect only by requests that say its origin")]
    Unstated,
    /// A request to loopback that names another host.
    #[error(
        "the host {host:?} is not loopback, where this listens: add its origin to `origins` to let it in"
    )]
    Host {
        /// Where the request goes.
        host: String,
    },
}

impl OriginPolicy {
    /// Looks at a request; gives the origin to answer to, where the page comes from another than the host.
    ///
    /// # Errors
    /// [`OriginRefused`] names both values and the setting to change.
    pub fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<Option<HeaderValue>, OriginRefused> {
        let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        // The target's own counts where it has one (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
        let host = uri.authority().map(http::uri::Authority::as_str).or(named);
        // RFC 9112, section 3.2: a request has one Host. Which of two would count is nobody's to guess.
        let is_twice = |name| headers.get_all(name).iter().count() > 1;
        let host = host.unwrap_or_default();
        if is_twice(header::HOST) || named.is_some_and(|named| !same_host(named, host)) {
            return Err(OriginRefused::Host { host: host.into() });
        }
        if is_twice(header::ORIGIN) {
            return Err(OriginRefused::Origin { origin: "two".into(), host: host.into() });
        }
        let is_listed = |authority: &str| {
            self.allowed
                .iter()
                .filter_map(|allowed| authority_of(allowed))
                .any(|a| a.eq_ignore_ascii_case(authority))
        };
        if self.is_loopback && !is_loopback(host) && !is_listed(host) {
            return Err(OriginRefused::Host { host: host.into() });
        }
        let Some(value) = headers.get(header::ORIGIN) else {
            return if is_embedded(headers) { Err(OriginRefused::Unstated) } else { Ok(None) };
        };
        let origin = value.to_str().unwrap_or_default();
        let refused = || OriginRefused::Origin { origin: origin.into(), host: host.into() };
        let authority = authority_of(origin).ok_or_else(refused)?;
        if same_host(authority, host) {
            return Ok(None);
        }
        let allowed = self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
        if allowed || (self.is_loopback && is_loopback(authority)) {
            return Ok(Some(value.clone()));
        }
        Err(refused())
    }
}

/// Whether a page of another site makes this request as part of itself: browsers send no `Origin` for images and
/// scripts, and a stream opened so would be a session. Following a link to the gateway's own page is something else.
fn is_embedded(headers: &HeaderMap) -> bool {
    let says = |name: &str, value: &[u8]| headers.get(name).is_some_and(|said| said.as_bytes() == value);
    (says("sec-fetch-site", b"cross-site") || says("sec-fetch-site", b"same-site"))
        && !says("sec-fetch-mode", b"navigate")
}

/// The host and port of an origin; `None` for `null` and whatever is no origin.
pub(crate) fn authority_of(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let legal = matches!(scheme, "http" | "https") && !authority.is_empty() && !authority.contains('/');
    legal.then_some(authority)
}

/// Whether two authorities are the same, a default port left out or not.
pub(super) fn same_host(origin: &str, host: &str) -> bool {
    let bare = |authority: &str| {
        let authority = authority.to_ascii_lowercase();
        authority
            .strip_suffix(":80")
            .or_else(|| authority.strip_suffix(":443"))
            .map(ToOwned::to_owned)
            .unwrap_or(authority)
    };
    bare(origin) == bare(host)
}

/// Whether an authority is this machine's loopback.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if port.is_empty() || port.starts_with(':') => host,
            _ => return false,
        },
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &OriginPolicy, host: &str, origin: Option<&str>) -> Result<bool, OriginRefused> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        policy.check(&headers, &Uri::from_static("/v1/poll")).map(|cross| cross.is_some())
    }

    #[test]
    fn a_page_of_the_same_host_may_connect_and_another_may_not() {
        let policy = OriginPolicy::default();
        assert_eq!(check(&policy, "example.com", None), Ok(false));
        assert_eq!(check(&policy, "example.com", Some("https://example.com")), Ok(false));
        assert_eq!(check(&policy, "example.com:80", Some("http://EXAMPLE.com")), Ok(false));
        for foreign in [
            "https://evil.com",
            "https://example.com.evil.com",
            "null",
            "https://example.com:8443",
            "file://",
            "",
        ] {
            assert!(check(&policy, "example.com", Some(foreign)).is_err(), "{foreign}");
        }
    }

    #[test]
    fn a_listed_origin_may_connect_exactly_as_it_is_listed() {
        let policy = OriginPolicy { allowed: vec!["https://app.example.com".into()], is_loopback: false };
        assert_eq!(check(&policy, "rt.example.com", Some("https://app.example.com")), Ok(true));
        assert!(check(&policy, "rt.example.com", Some("http://app.example.com")).is_err());
    }

    #[test]
    fn on_loopback_loopback_pages_may_connect_and_a_rebound_name_may_not() {
        let policy = OriginPolicy { allowed: vec![], is_loopback: true };
        assert_eq!(check(&policy, "127.0.0.1:7080", Some("http://localhost:3000")), Ok(true));
        assert_eq!(check(&policy, "[::1]:7080", Some("http://[::1]:7080")), Ok(false));
        assert!(check(&policy, "127.0.0.1:7080", Some("http://evil.com")).is_err());
        let rebound = check(&policy, "evil.com:7080", Some("http://evil.com:7080"));
        assert!(matches!(rebound, Err(OriginRefused::Host { .. })));
        assert!(check(&policy, "evil.com:7080", None).is_err());
        assert!(check(&policy, "[::1].evil.com", None).is_err(), "an address is all of the host");
    }

    #[test]
    fn what_another_page_embeds_is_refused_and_a_link_to_the_gateway_is_not() {
        let embedded = |site: &'static str, mode: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("example.com"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            OriginPolicy::default().check(&headers, &Uri::from_static("/v1/events")).is_err()
        };
        assert!(embedded("cross-site", "no-cors"));
        assert!(embedded("same-site", "no-cors"));
        assert!(!embedded("cross-site", "navigate"));
        assert!(!embedded("same-origin", "cors"));
        assert!(!embedded("none", "navigate"));
    }

    #[test]
    fn the_refusal_names_both_values_and_the_setting() {
        let refusal =
            check(&OriginPolicy::default(), "a.com", Some("https://b.com")).unwrap_err().to_string();
        for part in ["https://b.com", "a.com", "origins"] {
            assert!(refusal.contains(part), "{refusal}");
        }
    }
}
