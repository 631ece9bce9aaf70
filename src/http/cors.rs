//! What pages of other origins may read: those that may connect, and nobody else (Fetch standard, CORS protocol).
//!
//! The page is named, never `*`. An answer to a request with cookies may be read only where cookies say who a client is:
//! elsewhere nothing is lost, and a cookie that is for something else gets no answer.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

/// A page of another origin that may connect.
#[derive(Clone, Debug)]
pub(super) struct Cors {
    origin: HeaderValue,
    credentials: bool,
}

impl Cors {
    pub(super) const fn new(origin: HeaderValue, credentials: bool) -> Self {
        Self { origin, credentials }
    }
}

/// Lets the page read the answer.
pub(super) fn answer<B>(mut response: Response<B>, page: Option<Cors>) -> Response<B> {
    if let Some(Cors { origin, credentials }) = page {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        // Pages of other origins get other answers; not every one comes by way of `answer::answer`, which says so.
        headers.entry(header::VARY).or_insert(VARY);
    }
    response
}

/// Says what the page may send. Asked for where a request is not a simple one: a message in the binary codec, credentials
/// in a header.
pub(super) fn preflight(methods: &'static str, asked: &HeaderMap, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    // A public page that calls a gateway in a private network (Private Network Access).
    if asked.get(REQUEST_PRIVATE_NETWORK).is_some_and(|asks| asks == "true") {
        headers.insert(ALLOW_PRIVATE_NETWORK, TRUE);
    }
}

const ALLOWED: HeaderValue = HeaderValue::from_static("authorization, content-type, last-event-id");
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, throughline-error");
/// In seconds. Chromium keeps a preflight no longer than two hours; an origin that is taken off the list is refused at
/// the request itself.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const VARY: HeaderValue = HeaderValue::from_static("origin");
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
