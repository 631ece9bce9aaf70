//! The page at `/`: a person subscribes, publishes, picks a transport, cuts the link, and watches items go by.
//!
//! One document without outside resources: style and scripts stand in it, and the policy that travels with it
//! allows exactly these, by their hashes, and connections to where the page came from and to what the gateway offers
//! elsewhere. `client.js` is the TypeScript client, made from `clients/js/src` by `cargo xtask client` and committed, so that
//! this builds without Node (`docs/decisions/0023-the-embedded-client.md`); `page.js` is what a person does with it, `show.js`
//! and `rows.js` what they see.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use http_body_util::Full;
use sha2::{Digest as _, Sha256};
use throughline_link::answer::answer as respond;
use throughline_wire::frame::TransportOffer;

use crate::http::Body;

/// The page, of a gateway that offers these.
pub(crate) fn answer(offers: &[TransportOffer]) -> Response<Body> {
    let page = &*PAGE;
    let media_type = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = respond(StatusCode::OK, media_type, Full::new(page.document.clone()).into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy(offers));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// What the page may do: run its own script, and connect to `'self'`, which is its own host and port on any scheme that
/// is as safe, and to where the offers lead.
fn policy(offers: &[TransportOffer]) -> HeaderValue {
    let page = &*PAGE;
    let elsewhere: String = offers.iter().filter_map(|offer| origin(offer.url.as_deref()?)).collect();
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'{elsewhere}; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        page.script, page.style,
    );
    HeaderValue::try_from(policy).expect("an origin is printable ASCII, and so is the rest")
}

/// ` scheme://host:port` of an address that has these.
fn origin(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let origin = format!(" {}://{}", url.scheme()?, url.authority()?);
    // Either would end the list of sources.
    (!origin.contains([';', ','])).then_some(origin)
}

struct Page {
    document: Bytes,
    script: String,
    style: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let document = include_str!("page.html").replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT);
    Page { document: document.into(), script: hash(SCRIPT), style: hash(STYLE) }
});

/// As a policy names an inline script or style: by the hash of its text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(
    "'use strict';\n",
    include_str!("client.js"),
    "{\n",
    include_str!("show.js"),
    include_str!("rows.js"),
    include_str!("page.js"),
    "}\n"
);
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_brings_all_it_needs_and_may_fetch_nothing_else() {
        let response = answer(&[]);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        let document = std::str::from_utf8(&PAGE.document).unwrap();
        assert!(document.contains(SCRIPT) && document.contains(STYLE));
        assert!(!document.contains("https://") && !document.contains("http://"), "an outside resource");
    }

    #[test]
    fn the_page_may_connect_to_where_an_offer_leads_and_to_nothing_that_one_smuggles_in() {
        let connects = |url: &str| {
            let offer = TransportOffer {
                name: "webtransport".into(),
                url: Some(url.into()),
                certificate_hashes: vec![],
            };
            let policy = policy(&[offer]).to_str().unwrap().to_owned();
            policy.split("; ").find(|part| part.starts_with("connect-src")).unwrap().to_owned()
        };
        assert_eq!(connects("webtransport"), "connect-src 'self'");
        assert_eq!(
            connects("https://rt.example:444/a/v1/webtransport"),
            "connect-src 'self' https://rt.example:444"
        );
        assert_eq!(connects("https://a;script-src */"), "connect-src 'self'");
    }

    #[test]
    fn no_text_of_the_script_or_the_style_ends_its_element() {
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
    }
}
