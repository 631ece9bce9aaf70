//! What the admin API says when it does not do as it was asked: one shape, one table.
//!
//! The codes are those of the protocol ([`ErrorCode`]) wherever one fits; what only an HTTP API can have wrong has
//! the codes of [`OWN`].

use std::fmt;

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;
use throughline_wire::ErrorCode;

use crate::http::Body;

/// The codes that the protocol has not: code, status.
pub(super) const OWN: &[(&str, StatusCode)] = &[
    (MALFORMED_REQUEST, StatusCode::BAD_REQUEST),
    (UNKNOWN_MEMBER, StatusCode::BAD_REQUEST),
    (NOT_FOUND, StatusCode::NOT_FOUND),
    (METHOD_NOT_ALLOWED, StatusCode::METHOD_NOT_ALLOWED),
    (EPOCH_MISMATCH, StatusCode::CONFLICT),
    (UNDER_WAY, StatusCode::CONFLICT),
    (NO_LINK, StatusCode::CONFLICT),
    (NOT_OFFERED, StatusCode::BAD_REQUEST),
];

const MALFORMED_REQUEST: &str = "malformed_request";
const UNKNOWN_MEMBER: &str = "unknown_member";
const NOT_FOUND: &str = "not_found";
const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
const EPOCH_MISMATCH: &str = "epoch_mismatch";
const UNDER_WAY: &str = "under_way";
const NO_LINK: &str = "no_link";
const NOT_OFFERED: &str = "not_offered";

/// A request that is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: Box<str>,
    retryable: bool,
    wire: Option<ErrorCode>,
    /// The method that is allowed instead.
    allow: Option<HeaderValue>,
}

/// `error` of an answer, and of one channel's result.
#[derive(Serialize)]
pub(super) struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    retryable: bool,
}

impl Refusal {
    /// One of the protocol's errors.
    pub(super) fn wire(code: ErrorCode) -> Self {
        Self {
            status: status(code),
            code: code.as_str(),
            message: code.message().into(),
            retryable: code.is_retryable(),
            wire: Some(code),
            allow: None,
        }
    }

    /// The same with another message.
    #[must_use]
    pub(super) fn because(mut self, message: impl Into<Box<str>>) -> Self {
        self.message = message.into();
        self
    }

    /// The same, said of a part of the request.
    #[must_use]
    pub(super) fn at(self, place: &str) -> Self {
        let message = format!("{place}: {}", self.message);
        self.because(message)
    }

    /// A request that is no JSON, or lacks something.
    pub(super) fn malformed(message: impl Into<Box<str>>) -> Self {
        Self::own(MALFORMED_REQUEST, message)
    }

    /// A member or parameter that there is not, and perhaps the one that was meant.
    pub(super) fn unknown_member(place: &str, name: &str, known: &[&str]) -> Self {
        let hint = match crate::hint::nearest(name, known) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("there are {}", known.join(", ")),
        };
        let name: String = name.chars().take(64).collect();
        Self::own(UNKNOWN_MEMBER, format!("{place} has no member {name:?}: {hint}"))
    }

    /// No such address.
    pub(super) fn not_found() -> Self {
        Self::own(NOT_FOUND, "no such address; the admin API's are in docs/operations.md, below /api/v1/")
    }

    /// Another method than the address has.
    pub(super) fn method_not_allowed(allowed: &Method) -> Self {
        let refusal = Self::own(METHOD_NOT_ALLOWED, format!("this address takes {allowed}"));
        Self { allow: HeaderValue::from_str(allowed.as_str()).ok(), ..refusal }
    }

    /// The channel's log began anew since the epoch that was asked for.
    pub(super) fn epoch_mismatch(asked: &str, present: &str) -> Self {
        Self::own(
            EPOCH_MISMATCH,
            format!("the channel's epoch is {present}, not {asked}: read from its start"),
        )
    }

    /// The same idempotency key is being published at this moment.
    pub(super) fn under_way() -> Self {
        let refusal = Self::own(UNDER_WAY, "a publish under this idempotency key is under way: ask again");
        Self { retryable: true, ..refusal }
    }

    /// The session has no link that could carry a question.
    pub(super) fn no_link() -> Self {
        let refusal =
            Self::own(NO_LINK, "the session is detached, or on a stream that cannot be asked: ask again");
        Self { retryable: true, ..refusal }
    }

    /// A transport that the gateway does not offer.
    pub(super) fn not_offered(message: impl Into<Box<str>>) -> Self {
        Self::own(NOT_OFFERED, message)
    }

    fn own(code: &'static str, message: impl Into<Box<str>>) -> Self {
        let status = OWN.iter().find(|(name, _)| *name == code).map_or(StatusCode::BAD_REQUEST, |own| own.1);
        Self { status, code, message: message.into(), retryable: false, wire: None, allow: None }
    }

    /// The protocol's code, where it is one.
    pub(super) const fn wire_code(&self) -> Option<ErrorCode> {
        self.wire
    }

    /// What the answer says.
    pub(super) fn body(&self) -> ErrorBody<'_> {
        ErrorBody { code: self.code, message: &self.message, retryable: self.retryable }
    }

    /// The answer.
    pub(super) fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Answer<'a> {
            error: ErrorBody<'a>,
        }
        let text = serde_json::to_vec(&Answer { error: self.body() }).unwrap_or_default();
        let mut response = super::with_type(self.status, "application/json", text.into());
        let headers = response.headers_mut();
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// One of the protocol's errors, as the result of one channel.
pub(super) fn error_body(code: ErrorCode) -> ErrorBody<'static> {
    ErrorBody { code: code.as_str(), message: code.message(), retryable: code.is_retryable() }
}

/// The status that one of the protocol's errors has here.
pub(in crate::http) fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden | ErrorCode::OriginRefused => StatusCode::FORBIDDEN,
        ErrorCode::SessionUnknown => StatusCode::NOT_FOUND,
        ErrorCode::TimedOut => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedCodec => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        code if code.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
