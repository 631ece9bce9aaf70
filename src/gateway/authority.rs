//! Who may enter, and who may do what: two traits, and the one answer of a gateway that was given neither.

use std::net::SocketAddr;

use http::HeaderMap;
use throughline_wire::{ChannelName, ErrorCode, Json, ReplyError, Token};

use super::grants::Grants;
use crate::{broker::Pending, session::Goodbye};

/// Says who a client is. Asked for each `hello`, on every resume too, for each `auth`, and for each ticket.
pub trait Authenticate: Send + Sync + 'static {
    /// Checks credentials.
    ///
    /// # Errors
    /// [`Denied`] says what the client should do about it.
    fn authenticate<'a>(&'a self, credentials: &'a Credentials) -> Pending<'a, Result<Identity, Denied>>;
}

/// Says what a client may do.
pub trait Authorize: Send + Sync + 'static {
    /// Whether this user may have the events of a channel. Asked for each subscription, and for each stated position
    /// when a session is rebuilt.
    ///
    /// # Errors
    /// What the client is told instead.
    fn subscribe<'a>(&'a self, request: &'a SubscribeQuery<'a>) -> Pending<'a, Result<(), ReplyError>>;

    /// Whether this user may send to a channel.
    ///
    /// # Errors
    /// What the client is told instead.
    fn send<'a>(&'a self, request: &'a SendQuery<'a>) -> Pending<'a, Result<(), ReplyError>>;
}

/// What a client shows.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `hello.auth`, or what a client shows that asks for a [ticket](super::Ticket).
    pub token: Option<Token>,
    /// The headers of the request that opened the link. Cookies count only with an allowed `Origin`, which has been
    /// checked.
    pub headers: HeaderMap,
    /// The address that the request came from.
    pub remote: Option<SocketAddr>,
}

/// Who a client is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// The user, in at most 256 bytes: one with a longer name is forbidden. `None` for an anonymous one.
    pub user: Option<Box<str>>,
    /// What those are told of the user who take part in the presence of the same channels, such as a name to show, in at
    /// most 1,024 bytes: one with more is forbidden. It is what was said when the session was opened.
    pub info: Option<Json>,
    /// When its credential ends, in milliseconds since the Unix epoch. The client is told, and may hand in another until
    /// then; its links are ended [some time after](crate::session::SessionConfig::auth_leeway_ms), and its session
    /// waits for a new one. `None` for a credential that does not end.
    pub expires_at_ms: Option<u64>,
    /// What it grants beyond the rules.
    pub grants: Grants,
}

/// Why a client may not enter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Denied {
    /// Its credential is missing, expired or wrong: it should come back with another.
    Unauthorized,
    /// It may not enter, whatever its credential.
    Forbidden,
    /// It cannot be said now: it should come back later.
    Unavailable,
}

impl Denied {
    /// How the client is told.
    pub(super) const fn goodbye(self) -> Goodbye {
        match self {
            Self::Unauthorized => Goodbye::Unauthorized,
            Self::Forbidden => Goodbye::Forbidden(ErrorCode::Forbidden),
            Self::Unavailable => {
                Goodbye::Overload { delay_ms: 1_000, spread_ms: 5_000, code: ErrorCode::Overloaded }
            }
        }
    }
}

/// A subscription that somebody wants.
#[derive(Clone, Debug)]
pub struct SubscribeQuery<'a> {
    /// Who wants it.
    pub user: Option<&'a str>,
    /// The channel.
    pub channel: &'a ChannelName,
    /// A credential for this channel. None where a rebuilt session asks again.
    pub token: Option<&'a Token>,
    /// Whether it is to take part in the channel's presence too.
    pub presence: bool,
    /// Whether it wants what was published before: it begins with the last events, or after a position.
    pub history: bool,
    /// What the user's credential grants.
    pub grants: &'a Grants,
}

/// A channel that somebody wants to send to.
#[derive(Clone, Debug)]
pub struct SendQuery<'a> {
    /// Who wants to.
    pub user: Option<&'a str>,
    /// The channel.
    pub channel: &'a ChannelName,
    /// What the user's credential grants.
    pub grants: &'a Grants,
}

/// Lets everybody in as nobody, and lets them have and say everything but what is the gateway's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

impl Authenticate for Anonymous {
    fn authenticate<'a>(&'a self, _: &'a Credentials) -> Pending<'a, Result<Identity, Denied>> {
        Box::pin(std::future::ready(Ok(Identity::default())))
    }
}

impl Authorize for Anonymous {
    fn subscribe<'a>(&'a self, request: &'a SubscribeQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(std::future::ready(unreserved(request.channel)))
    }

    fn send<'a>(&'a self, request: &'a SendQuery<'a>) -> Pending<'a, Result<(), ReplyError>> {
        Box::pin(std::future::ready(unreserved(request.channel)))
    }
}

fn unreserved(channel: &ChannelName) -> Result<(), ReplyError> {
    if channel.is_reserved() { Err(ErrorCode::ReservedChannel.into()) } else { Ok(()) }
}
