//! Which pages may connect.
//!
//! A browser says which page a request comes from (`Origin`); other clients say nothing and are not stopped here.
//! A page may connect when it came from where the request goes to, when it is on the list, or, while
//! the gateway listens on loopback, when it is on loopback itself.
//!
//! Where the request goes to is what the browser called: `public_url`, if that is configured; else what a trusted proxy says
//! that it was called by ([`proxies`](super::proxies)); else `Host`. On loopback `Host` itself has to be loopback or a name
//! that is configured, whatever a proxy says: a name of the attacker's own that resolves to 127.0.0.1 would otherwise be
//! "the same host", and a page under it could write any header.

use http::{HeaderMap, HeaderValue, Uri, header};

use super::proxies::Told;

/// Which pages may connect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OriginPolicy {
    /// Where clients reach the gateway, as an origin: `https://rt.example.com`. Its own pages are those of this origin then,
    /// whatever host a request names. Default: none; what a trusted proxy or `Host` says counts.
    pub public_url: Option<String>,
    /// Origins that may connect beside the gateway's own: `https://app.example.com`. Default: none.
    pub allowed: Vec<String>,
    /// Whether the gateway listens on loopback only: pages on loopback may connect then, and requests have to name
    /// loopback as their host, `public_url`'s, or that of an allowed origin. Default: `false`.
    pub is_loopback: bool,
    /// Whether a cookie says who a client is. Pages of other origins that may connect may read answers to requests with
    /// cookies then; otherwise only to those without. Default: `false`.
    pub credentials: bool,
}

/// A page that may not connect.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum OriginRefused {
    /// Its origin is not allowed.
    #[error("the page's origin {origin:?} is not that of {site:?} ({}): {}", .by.name(), .by.remedy(.origin))]
    Origin {
        /// Where the page came from.
        origin: String,
        /// Where the request goes.
        site: String,
        /// Who says so.
        by: SaidBy,
    },
    /// A request that another page makes without saying which: an image, a script.
    #[error("a page of another site may connect only by requests that say its origin")]
    Unstated,
    /// A request to loopback that names another host.
    #[error(
        "the host {host:?} is not loopback, where this listens: set `public_url` to where clients reach it, or add its \
         origin to `origins`"
    )]
    Host {
        /// Where the request goes.
        host: String,
    },
    /// A request that names more than one host, or none that can be read.
    #[error("a request names one host, and this one names {host:?} and another: send one `Host`")]
    Hosts {
        /// The host that would count.
        host: String,
    },
}

/// Who says where a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SaidBy {
    /// The configuration.
    PublicUrl,
    /// A trusted proxy.
    Proxy,
    /// The request itself.
    Host,
}

impl SaidBy {
    const fn name(self) -> &'static str {
        match self {
            Self::PublicUrl => "`public_url`",
            Self::Proxy => "as the proxy says",
            Self::Host => "`Host`",
        }
    }

    /// Which setting to change.
    fn remedy(self, origin: &str) -> &'static str {
        match self {
            _ if origin == "null" => {
                "a page without an origin, such as a sandboxed frame or a file, never may; serve it from an address, and \
                 add that to `origins`"
            }
            Self::PublicUrl => "add it to `origins` to let it in, or correct `public_url`",
            Self::Proxy | Self::Host => {
                "add it to `origins` to let it in, or set `public_url` to where clients reach the gateway"
            }
        }
    }
}

/// Where a request goes, as its page should have called it.
struct Site<'a> {
    scheme: Option<&'a str>,
    authority: &'a str,
    by: SaidBy,
}

impl OriginPolicy {
    /// Looks at a request, and at what a trusted proxy says of it; gives the origin to answer to, where the page comes from
    /// another than the gateway's own.
    ///
    /// # Errors
    /// [`OriginRefused`] names both values and the setting to change.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        told: Option<&Told>,
    ) -> Result<Option<HeaderValue>, OriginRefused> {
        let host = host_of(headers, uri).map_err(|host| OriginRefused::Hosts { host })?;
        if self.is_loopback && !is_loopback(host) && !self.names(host) {
            return Err(OriginRefused::Host { host: host.into() });
        }
        let site = match (&self.public_url, told) {
            (Some(url), _) => {
                let (scheme, authority) = url.split_once("://").unwrap_or(("", url));
                Site { scheme: Some(scheme), authority, by: SaidBy::PublicUrl }
            }
            (None, Some(told)) => Site { scheme: told.scheme, authority: &told.authority, by: SaidBy::Proxy },
            (None, None) => Site { scheme: None, authority: host, by: SaidBy::Host },
        };
        let refused = |origin: &str| {
            let site_text =
                site.scheme.map_or_else(String::new, |scheme| format!("{scheme}://")) + site.authority;
            OriginRefused::Origin { origin: origin.into(), site: site_text, by: site.by }
        };
        if headers.get_all(header::ORIGIN).iter().count() > 1 {
            return Err(refused("two"));
        }
        let Some(value) = headers.get(header::ORIGIN) else {
            return if is_embedded(headers) { Err(OriginRefused::Unstated) } else { Ok(None) };
        };
        let origin = value.to_str().unwrap_or_default();
        let (scheme, authority) = parts_of(origin).ok_or_else(|| refused(origin))?;
        if site.is(scheme, authority) {
            return Ok(None);
        }
        let allowed = self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
        // What is called by another name may be reached from afar, and a page on loopback is then one on the client's machine.
        let is_local = self.is_loopback && is_loopback(site.authority) && is_loopback(authority);
        if allowed || is_local { Ok(Some(value.clone())) } else { Err(refused(origin)) }
    }

    /// Whether the configuration has an origin with this host.
    fn names(&self, host: &str) -> bool {
        let mut origins = self.allowed.iter().chain(&self.public_url);
        origins.any(|origin| authority_of(origin).is_some_and(|authority| same_host(authority, host)))
    }
}

impl Site<'_> {
    /// Whether a page of this origin is one of its own. What is not known of the scheme is not compared.
    fn is(&self, scheme: &str, authority: &str) -> bool {
        match self.scheme {
            Some(own) if !own.eq_ignore_ascii_case(scheme) => false,
            Some(own) => {
                let port = if own.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
                let bare = |authority: &str| {
                    let authority = authority.to_ascii_lowercase();
                    authority.strip_suffix(port).map(ToOwned::to_owned).unwrap_or(authority)
                };
                bare(self.authority) == bare(authority)
            }
            None => same_host(self.authority, authority),
        }
    }
}

/// The one host that a request names, empty where it names none.
///
/// # Errors
/// The host that would count, where there are two. RFC 9112, section 3.2: a request has one; which of two would count
/// is nobody's to guess.
pub(super) fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<&'a str, String> {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // The target's own counts where it has one (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
    let host = uri.authority().map(http::uri::Authority::as_str).or(named).unwrap_or_default();
    let is_twice = headers.get_all(header::HOST).iter().count() > 1;
    if is_twice || named.is_some_and(|named| !same_host(named, host)) { Err(host.into()) } else { Ok(host) }
}

/// Whether a page of another site makes this request as part of itself: browsers send no `Origin` for images and
/// scripts, and a stream opened so would be a session. Following a link to the gateway's own page is something else.
fn is_embedded(headers: &HeaderMap) -> bool {
    let says = |name: &str, value: &[u8]| headers.get(name).is_some_and(|said| said.as_bytes() == value);
    (says("sec-fetch-site", b"cross-site") || says("sec-fetch-site", b"same-site"))
        && !(says("sec-fetch-mode", b"navigate") && says("sec-fetch-dest", b"document"))
}

/// The host and port of an origin; `None` for `null` and whatever is no origin.
pub(crate) fn authority_of(origin: &str) -> Option<&str> {
    parts_of(origin).map(|(_, authority)| authority)
}

/// The scheme of an origin, and its host and port.
fn parts_of(origin: &str) -> Option<(&str, &str)> {
    let (scheme, authority) = origin.split_once("://")?;
    let legal = matches!(scheme, "http" | "https")
        && !authority.is_empty()
        && !authority.contains(['/', '@', '?', '#', ' ']);
    legal.then_some((scheme, authority))
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
        policy.check(&headers, &Uri::from_static("/v1/poll"), None).map(|cross| cross.is_some())
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
        let policy =
            OriginPolicy { allowed: vec!["https://app.example.com".into()], ..OriginPolicy::default() };
        assert_eq!(check(&policy, "rt.example.com", Some("https://app.example.com")), Ok(true));
        assert!(check(&policy, "rt.example.com", Some("http://app.example.com")).is_err());
    }

    #[test]
    fn on_loopback_loopback_pages_may_connect_and_a_rebound_name_may_not() {
        let policy = OriginPolicy { is_loopback: true, ..OriginPolicy::default() };
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
        let refused = |site: &'static str, mode: &'static str, dest: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("example.com"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            headers.insert("sec-fetch-dest", HeaderValue::from_static(dest));
            OriginPolicy::default().check(&headers, &Uri::from_static("/v1/events"), None).is_err()
        };
        assert!(refused("cross-site", "no-cors", "image"));
        assert!(refused("same-site", "no-cors", "script"));
        assert!(refused("cross-site", "navigate", "iframe"));
        assert!(!refused("cross-site", "navigate", "document"));
        assert!(!refused("same-origin", "cors", "empty"));
        assert!(!refused("none", "navigate", "document"));
    }

    #[test]
    fn public_url_is_where_its_pages_come_from_whatever_host_is_named() {
        let policy =
            OriginPolicy { public_url: Some("https://rt.example.com".into()), ..OriginPolicy::default() };
        for host in ["rt.example.com", "upstream:7080", "evil.com"] {
            assert_eq!(check(&policy, host, Some("https://rt.example.com")), Ok(false));
            assert_eq!(check(&policy, host, Some("https://RT.example.com:443")), Ok(false));
            for foreign in
                ["http://rt.example.com", "https://rt.example.com:8443", "https://evil.com", "null"]
            {
                assert!(check(&policy, host, Some(foreign)).is_err(), "{foreign} by way of {host}");
            }
        }
    }

    #[test]
    fn behind_a_proxy_on_the_same_machine_pages_on_the_clients_own_loopback_are_strangers() {
        let behind = OriginPolicy {
            public_url: Some("https://rt.example.com".into()),
            is_loopback: true,
            ..OriginPolicy::default()
        };
        for host in ["rt.example.com", "127.0.0.1:7080"] {
            assert_eq!(check(&behind, host, Some("https://rt.example.com")), Ok(false));
            assert!(check(&behind, host, Some("http://localhost:3000")).is_err());
        }
        assert!(matches!(check(&behind, "evil.com", None), Err(OriginRefused::Host { .. })), "rebound");
    }

    #[test]
    fn what_a_proxy_was_called_by_counts_before_host_and_after_public_url() {
        let told = |scheme, authority: &str| Told { scheme, authority: authority.into() };
        let check = |policy: &OriginPolicy, told: &Told, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("upstream"));
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            policy.check(&headers, &Uri::from_static("/v1/poll"), Some(told)).is_ok()
        };
        let policy = OriginPolicy::default();
        assert!(check(&policy, &told(Some("https"), "rt.example.com"), "https://rt.example.com"));
        assert!(check(&policy, &told(None, "rt.example.com"), "http://rt.example.com"));
        assert!(!check(&policy, &told(Some("https"), "rt.example.com"), "http://rt.example.com"));
        assert!(!check(&policy, &told(None, "rt.example.com"), "http://upstream"));
        let public = OriginPolicy { public_url: Some("https://a.example".into()), ..OriginPolicy::default() };
        assert!(check(&public, &told(Some("https"), "rt.example.com"), "https://a.example"));
        assert!(!check(&public, &told(Some("https"), "rt.example.com"), "https://rt.example.com"));
    }

    #[test]
    fn a_rebound_name_is_refused_although_it_says_what_a_proxy_would() {
        let policy = OriginPolicy { is_loopback: true, ..OriginPolicy::default() };
        let told = Told { scheme: None, authority: "127.0.0.1:7080".into() };
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("evil.com:7080"))]);
        let rebound = policy.check(&headers, &Uri::from_static("/v1/poll"), Some(&told));
        assert!(matches!(rebound, Err(OriginRefused::Host { .. })));
    }

    #[test]
    fn the_refusal_names_both_values_and_the_setting() {
        let public = OriginPolicy { public_url: Some("https://c.com".into()), ..OriginPolicy::default() };
        let cases: [(&OriginPolicy, &str, &[&str]); 3] = [
            (
                &OriginPolicy::default(),
                "https://b.com",
                &["https://b.com", "a.com", "`Host`", "`origins`", "`public_url`"],
            ),
            (&public, "https://b.com", &["https://b.com", "https://c.com", "`origins`", "`public_url`"]),
            (&OriginPolicy::default(), "null", &["null", "a.com", "`origins`"]),
        ];
        for (policy, origin, parts) in cases {
            let refusal = check(policy, "a.com", Some(origin)).unwrap_err().to_string();
            for part in parts {
                assert!(refusal.contains(part), "{part}: {refusal}");
            }
        }
    }
}
