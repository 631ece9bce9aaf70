//! What can go wrong, an error per question.

use throughline_wire::ReplyError;

/// Why a `send` has no accepted result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The gateway or the application refused it. It was not carried out; `retryable` says whether it may be later.
    #[error("refused: {}", .0.code)]
    Rejected(ReplyError),
    /// It was sent, and its session was lost before the reply came: it may have been carried out, or not.
    ///
    /// The client never sends it again by itself; with the same idempotency key the application may.
    #[error("the session was lost before the reply came")]
    OutcomeUnknown,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a channel is not subscribed, or not left.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The gateway refused.
    #[error("refused: {}", .0.code)]
    Rejected(ReplyError),
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a session stayed on the link it had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The new link could not be proven; the session lives on.
    #[error("the new link could not be proven")]
    Unproven,
    /// A later call asked for another link.
    #[error("a later migration took over")]
    Replaced,
    /// There is no link to move from: the session is opening or coming back.
    #[error("the session has no link at the moment")]
    NoLink,
    /// The transport does not carry this codec.
    #[error("the transport does not carry this codec")]
    UnsupportedCodec,
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// Why a configuration cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The address is not `http[s]://host[:port][/path]`.
    #[error("the address {0:?} is not http://host[:port][/path] or https://host[:port][/path]")]
    Url(String),
    /// The address of a proxy is not `http://host[:port]`.
    #[error("the address {0:?} of a proxy is not http://host[:port]")]
    Proxy(String),
    /// A root certificate cannot be read.
    #[error("no root certificate: {0}")]
    Certificate(String),
    /// What stands for a certificate is not its SHA-256 in hexadecimal.
    #[error("{0:?} is not a SHA-256 in hexadecimal")]
    CertificateHash(String),
    /// No transport is named.
    #[error("no transport is named")]
    NoTransport,
    /// A transport is named with a codec that it does not carry.
    #[error("server-sent events carry the text codec only")]
    Codec,
}
