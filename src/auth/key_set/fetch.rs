//! How a document is had: one GET, without redirects, within a bound of bytes.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use super::KeySetConfig;
use crate::http::outgoing::{Connector, Uncallable, causes};

/// An address, and what is needed to reach it.
pub(super) struct Fetch {
    url: Uri,
    client: Client<Connector, Empty<Bytes>>,
}

/// What is there.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) document: Bytes,
    /// How long it may be taken for fresh, where that is said.
    pub(super) max_age: Option<Duration>,
}

impl Fetch {
    pub(super) fn new(config: &KeySetConfig) -> Result<Self, Uncallable> {
        let url = config.url.clone();
        if url.scheme_str() != Some("https") && !is_loopback(&url) {
            return Err(Uncallable::Address);
        }
        let connector = Connector::to(&url, &config.roots)?;
        // Looks are minutes apart: no connection is kept for the next.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Ok(Self { url, client })
    }

    /// Fetches it; the caller bounds the time.
    pub(super) async fn get(&self) -> Result<Fetched, String> {
        let request = Request::get(self.url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, concat!("throughline/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| causes(&error))?;
        let (parts, body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(format!("the status is {}", parts.status.as_u16()));
        }
        let most = KeySetConfig::MAX_BYTES;
        let document = Limited::new(body, most).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("it is larger than {most} bytes")
            } else {
                format!("it broke off: {error}")
            }
        })?;
        Ok(Fetched { document: document.to_bytes(), max_age: max_age(&parts.headers) })
    }
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// How long an answer is fresh (RFC 9111, 4.2): what `cache-control` says, less the time that a cache has had it.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let mut stated = None;
    for directive in texts.flat_map(|text| text.split(',')) {
        let directive = directive.trim().to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return Some(Duration::ZERO);
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            stated = seconds.trim_matches('"').parse::<u64>().ok().or(stated);
        }
    }
    let had = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.trim().parse::<u64>().ok());
    stated.map(|seconds| Duration::from_secs(seconds.saturating_sub(had.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_for_as_long_as_it_says() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(headers(&[]), None);
        assert_eq!(headers(&[("cache-control", "public, Max-Age=600")]), Some(600));
        assert_eq!(headers(&[("cache-control", "max-age=\"60\"")]), Some(60));
        assert_eq!(headers(&[("cache-control", "max-age=600"), ("age", "590")]), Some(10));
        assert_eq!(headers(&[("cache-control", "max-age=600"), ("age", "700")]), Some(0));
        assert_eq!(headers(&[("cache-control", "max-age=600"), ("cache-control", "no-cache")]), Some(0));
        assert_eq!(headers(&[("cache-control", "max-age=soon, s-maxage=5")]), None);
    }

    #[test]
    fn only_https_is_called_and_http_on_loopback() {
        let may = |url: &'static str| Fetch::new(&KeySetConfig::new(Uri::from_static(url))).is_ok();
        for url in ["http://127.0.0.1:80/k", "http://localhost/k", "http://[::1]:1/k"] {
            assert!(may(url), "{url}");
        }
        for url in [
            "http://issuer.example/k",
            "http://10.0.0.1/k",
            "http://localhost.evil.example/k",
            "/k",
            "ftp://localhost/k",
        ] {
            assert!(!may(url), "{url}");
        }
    }
}
