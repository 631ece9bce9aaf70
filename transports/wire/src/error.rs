//! What can go wrong, in one table each: error codes, reasons to come back later, how an attempt went, close codes.
//!
//! The tables are what `docs/protocol.md` prints and what clients are generated from; a test compares them.

use std::fmt;

/// Declares a table of snake_case names: the enum, its text, and what each row says.
macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $retryable:literal, $message:literal;)+) => {
        /// What is wrong, as `error.code`, `reply.error.code` and `welcome.reason` say it.
        ///
        /// A code says whose fault it is and whether the same thing may succeed later
        /// ([`is_retryable`](Self::is_retryable)). Unless the frame that carries it is fatal the session lives on.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
            /// A code of a later minor version.
            Other,
        }

        impl ErrorCode {
            /// Every code of this version.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ Self::Other => "other" }
            }

            /// The code that this text names; [`Other`](Self::Other) when this version has none of that name.
            pub fn parse(text: &str) -> Self {
                match text { $($code => Self::$variant,)+ _ => Self::Other }
            }

            /// What to tell a person.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)+ Self::Other => "an error of a later version" }
            }

            /// Whether the same thing may succeed later, unchanged.
            pub const fn is_retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)+ Self::Other => false }
            }
        }
    };
}

error_codes! {
    /// A frame is not what the codec says it is.
    MalformedFrame = "malformed_frame", false, "the frame could not be read";
    /// A frame of a type that this version does not know and that is no extension.
    UnknownFrame = "unknown_frame", false, "the frame's type is not known";
    /// A member came twice.
    DuplicateMember = "duplicate_member", false, "a member came twice";
    /// An integer above 2^53 - 1, or one that must not be negative or fractional.
    NumberOutOfRange = "number_out_of_range", false, "a number is not an integer from 0 to 2^53 - 1";
    /// Text that is not UTF-8.
    NotUtf8 = "not_utf8", false, "the text is not UTF-8";
    /// A payload that is not JSON, or both or neither of what it may be.
    MalformedPayload = "malformed_payload", false, "the payload is not a JSON value";
    /// A payload deeper than 128 levels.
    PayloadTooDeep = "payload_too_deep", false, "the payload is deeper than 128 levels";
    /// A string with one half of a surrogate pair.
    LoneSurrogate = "lone_surrogate", false, "a string holds one half of a surrogate pair";
    /// A message, or a member of one, above its limit.
    MessageTooLarge = "message_too_large", false, "the message is larger than limits.messageBytes";
    /// A channel name with an illegal character, or none, or more than 200.
    InvalidChannel = "invalid_channel", false, "a channel name is 1 to 200 of A-Z a-z 0-9 . _ ~ : @ $ = -";
    /// A position that is not one.
    InvalidPosition = "invalid_position", false, "a position is an epoch of 1 to 32 ASCII characters and an offset";
    /// `meta` with an illegal name, or more than its bounds.
    InvalidMeta = "invalid_meta", false, "meta is at most 16 names of [a-z0-9-]{1,32} to strings, 1 KiB in all";
    /// A media type or subprotocol that is neither codec.
    UnsupportedCodec = "unsupported_codec", false, "the message is in neither codec of this protocol";
    /// A command or a member of one that this gateway does not carry out.
    Unsupported = "unsupported", false, "the gateway does not support this";
    /// A frame before `hello`, or a post that does not begin with the frame it must.
    HelloRequired = "hello_required", false, "the first frame has to be hello (on a post to /v1/send: session)";
    /// A second `hello` on one link.
    HelloRepeated = "hello_repeated", false, "a link says hello once";
    /// A frame that its link cannot carry.
    FrameNotAllowed = "frame_not_allowed", false, "this frame is not allowed here";
    /// The message that opens a session carried a `send`.
    SendInOpening = "send_in_opening", false, "the message that opens a session must not carry a send";
    /// An acknowledgement of an item that was never sent.
    AckOutOfRange = "ack_out_of_range", false, "the acknowledgement is beyond the last item sent";
    /// A post in another incarnation than the session's.
    IncarnationMismatch = "incarnation_mismatch", true, "the session has another incarnation: attach again";
    /// The session of a post has ended, or never was.
    SessionEnded = "session_ended", false, "the session has ended";
    /// `welcome.reason`: the token is genuine, its session is not held any more.
    SessionUnknown = "session_unknown", false, "the session is not held any more";
    /// `welcome.reason`: the token is not one of this gateway's.
    TokenInvalid = "token_invalid", false, "the token is not one of this gateway's";
    /// The token belongs to another user.
    UserMismatch = "user_mismatch", false, "the token belongs to another user";
    /// The credential is missing, expired or wrong.
    Unauthorized = "unauthorized", false, "the credential is missing, expired or wrong";
    /// The ticket is not one of this gateway's, or of another session than the one that its client repeats.
    TicketInvalid = "ticket_invalid", false, "the ticket is not one of this gateway's, or of another session";
    /// The ticket was not used in time, or the credential behind it has ended.
    TicketExpired = "ticket_expired", false, "the ticket has expired: get another";
    /// The ticket has opened its session before.
    TicketUsed = "ticket_used", false, "the ticket has opened its session: get another";
    /// The user may not do this.
    Forbidden = "forbidden", false, "not allowed";
    /// The page's origin is not one that may connect.
    OriginRefused = "origin_refused", false, "pages of this origin may not connect";
    /// A `send` to a channel that is the gateway's own.
    ReservedChannel = "reserved_channel", false, "channels that begin with $ are the gateway's own";
    /// One subscription more than a session may hold.
    TooManySubscriptions = "too_many_subscriptions", false, "the session holds limits.subscriptions channels";
    /// One channel more than the gateway may hold.
    TooManyChannels = "too_many_channels", true, "the gateway holds as many channels as it may";
    /// One probe, link or post more than a session may have at once.
    TooManyLinks = "too_many_links", true, "the session has as many links as it may";
    /// One session more than the gateway may hold, or hold of one user or of one address.
    TooManySessions = "too_many_sessions", true, "there are as many sessions as there may be";
    /// One connection more than there may be from one address.
    TooManyConnections = "too_many_connections", true, "there are as many connections from this address as there may be";
    /// One member more than may take part in the presence of a channel, in all, of one user or of one address.
    TooManyMembers = "too_many_members", true, "as many take part in the presence of this channel as may";
    /// An unsubscribe from a channel that is not held.
    NotSubscribed = "not_subscribed", false, "the session does not hold this channel";
    /// More commands than may run.
    CommandsAhead = "commands_ahead", true, "more than limits.commandsAhead commands are unreplied";
    /// More was asked for in too short a time.
    RateLimited = "rate_limited", true, "too much in too short a time";
    /// The handler failed.
    HandlerFailed = "handler_failed", true, "the application failed to handle this";
    /// The gateway cannot take this now.
    Overloaded = "overloaded", true, "the gateway cannot take this now";
    /// The gateway is stopping.
    ShuttingDown = "shutting_down", true, "the gateway is stopping";
    /// A request took longer than it may.
    TimedOut = "timed_out", true, "the request took longer than it may";
    /// Something that must not happen did.
    Internal = "internal", true, "an error of the gateway's own";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes are not a frame.
///
/// The sender's fault. Reading goes no further in that message; what came before in it stands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct DecodeError {
    /// What is wrong.
    pub code: ErrorCode,
    /// Where and how, for a person. Never quotes the payload.
    pub detail: Box<str>,
}

impl DecodeError {
    /// An error with its detail.
    pub fn new(code: ErrorCode, detail: impl Into<Box<str>>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl From<ErrorCode> for DecodeError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.message())
    }
}

/// Declares a table of words: the enum, and its text.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal;)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
            /// A word of a later minor version.
            Other,
        }

        impl $name {
            /// Every word of this version.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ Self::Other => "other" }
            }

            /// What this text names; [`Other`](Self::Other) when this version has no such word.
            pub fn parse(text: &str) -> Self {
                match text { $($word => Self::$variant,)+ _ => Self::Other }
            }
        }
    };
}

words! {
    /// Why a client should come back later, as `retry.reason` says it.
    RetryReason {
        /// A higher attach number is known. Final for the client's newest attach, ignored for an older one.
        Superseded = "superseded";
        /// The session has to be rebuilt: come back at once with `resume.positions`.
        Positions = "positions";
        /// The gateway is stopping.
        Drain = "drain";
        /// The gateway has more to do than it can.
        Overload = "overload";
        /// The link fell silent.
        Silence = "silence";
        /// The client broke the protocol on this link.
        ProtocolError = "protocol_error";
        /// The session was ended by its client.
        Ended = "ended";
        /// The session was ended by the application.
        Disconnected = "disconnected";
        /// New credentials are needed.
        Unauthorized = "unauthorized";
        /// Not allowed, whatever the credentials.
        Forbidden = "forbidden";
        /// An error of the gateway's own.
        Internal = "internal";
    }
}

words! {
    /// How a client's use of a transport went, as `tried.outcome` says it.
    AttemptOutcome {
        /// What went down it was confirmed: the session moved to it.
        Proven = "proven";
        /// It was answered, and the answer was no: a status, a reset, a wrong certificate.
        Refused = "refused";
        /// A connection stood, and its handshake was never answered.
        Hung = "hung";
        /// Nothing at all came back.
        Blocked = "blocked";
        /// It stood, and what was due on it did not come.
        Silent = "silent";
        /// It was answered, and what was sent down it was held back.
        Buffered = "buffered";
        /// Another was faster.
        Late = "late";
        /// It broke.
        Lost = "lost";
        /// The gateway asked for the move.
        Drained = "drained";
        /// It was left for one that is preferred.
        Preferred = "preferred";
        /// The gateway does not offer it, or the platform does not have it.
        Unsupported = "unsupported";
    }
}

/// Why a stream was closed, WebSocket and WebTransport alike; an unknown code is read by its range.
///
/// 4000-4099 come back and resume; 4100-4199 come back, the session is gone; 4200-4299 get new credentials first;
/// 4300-4399 do not come back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// Nothing more to say: the session ended as its client asked.
    pub const NORMAL: Self = Self(1000);
    /// The client broke the protocol: resume once on another transport.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A message in the wrong codec: resume once on another transport.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// A message that could not be read: resume once on another transport.
    pub const INVALID_DATA: Self = Self(1007);
    /// A message above the limit: fail the command that was too large, and resume.
    pub const TOO_LARGE: Self = Self(1009);
    /// The gateway is stopping: resume as `retry` said.
    pub const DRAIN: Self = Self(4000);
    /// The gateway has more to do than it can: resume as `retry` said.
    pub const OVERLOAD: Self = Self(4001);
    /// The link fell silent: resume.
    pub const SILENCE: Self = Self(4002);
    /// The session has to be rebuilt: resume with positions.
    pub const POSITIONS: Self = Self(4003);
    /// An error of the gateway's own: resume.
    pub const INTERNAL: Self = Self(4004);
    /// The session is gone: open a new one.
    pub const SESSION_GONE: Self = Self(4100);
    /// New credentials are needed.
    pub const UNAUTHORIZED: Self = Self(4200);
    /// A newer attach took over.
    pub const SUPERSEDED: Self = Self(4300);
    /// The application ended the session.
    pub const DISCONNECTED: Self = Self(4301);
    /// Not allowed, whatever the credentials.
    pub const FORBIDDEN: Self = Self(4302);

    /// Every code of the gateway's own, with its name.
    pub const ALL: &[(Self, &str)] = &[
        (Self::DRAIN, "drain"),
        (Self::OVERLOAD, "overload"),
        (Self::SILENCE, "silence"),
        (Self::POSITIONS, "positions"),
        (Self::INTERNAL, "internal"),
        (Self::SESSION_GONE, "session_gone"),
        (Self::UNAUTHORIZED, "unauthorized"),
        (Self::SUPERSEDED, "superseded"),
        (Self::DISCONNECTED, "disconnected"),
        (Self::FORBIDDEN, "forbidden"),
    ];
}
