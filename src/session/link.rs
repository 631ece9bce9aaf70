//! A session's view of one link: what it can carry, what is to be said on it, and how it ends.

use throughline_wire::{
    CloseCode, Codec, ErrorCode, RetryReason,
    frame::{ErrorFrame, Retry, TransportOffer},
};

use super::TRANSPORTS;

/// A link's name within its session; `welcome.link` on the wire. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct LinkId(pub u64);

/// What a link can carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkSpec {
    /// The transport's name.
    pub transport: &'static str,
    /// The form of its messages.
    pub codec: Codec,
    /// How its messages flow.
    pub kind: LinkKind,
    /// Whether volatiles go down it alone, as datagrams.
    pub datagrams: bool,
    /// The transport's place in [`TRANSPORTS`], 255 for one that is not there: what is compared at each change.
    pub(crate) place: u8,
}

impl LinkSpec {
    /// A link by this transport, without datagrams.
    pub fn new(transport: &'static str, codec: Codec, kind: LinkKind) -> Self {
        let known = (0..).zip(TRANSPORTS).find(|(_, name)| *name == transport);
        let place = known.map_or(u8::MAX, |(place, _)| place);
        Self { transport, codec, kind, datagrams: false, place }
    }
}

/// How a link's messages flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkKind {
    /// Messages both ways for as long as it lives.
    Duplex,
    /// Messages down for as long as it lives; what goes up comes by posts.
    DownStream,
    /// Messages down for as long as it lives, to a client that can only repeat a string when it comes back: it never
    /// acknowledges, cannot be asked for positions, and its attach numbers are the gateway's (L13).
    PlainStream,
    /// One message down, when there is something to say or the hold is over.
    Answer,
}

impl LinkKind {
    pub(super) const fn is_stream(self) -> bool {
        !matches!(self, Self::Answer)
    }

    pub(super) const fn is_plain(self) -> bool {
        matches!(self, Self::PlainStream)
    }
}

/// How a command, an acknowledgement or a pong reached the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// On this link.
    Link(LinkId),
    /// By a post that names this link.
    Post(LinkId),
}

impl Via {
    /// The link that it is about.
    pub const fn link(self) -> LinkId {
        match self {
            Self::Link(link) | Self::Post(link) => link,
        }
    }
}

/// Why the gateway ends a link. The client is told by a `retry` frame and by what the transport has of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goodbye {
    /// A newer attach took over, or the attach number is not above the highest.
    Superseded,
    /// The session has to be rebuilt from the client's positions.
    Positions,
    /// Nothing was heard for too long.
    Silence,
    /// The client broke the protocol.
    ProtocolError(ErrorCode),
    /// The client ended the session.
    Ended,
    /// The session is gone: expired while this link was open, or ended by another.
    Gone,
    /// The application ended the session.
    Disconnected,
    /// The gateway is stopping: whoever takes over is there then.
    Drain {
        /// When to come back.
        delay_ms: u64,
        /// And a random part of this.
        spread_ms: u64,
    },
    /// The gateway cannot take this now.
    Overload {
        /// When to come back.
        delay_ms: u64,
        /// And a random part of this.
        spread_ms: u64,
        /// What there is too much of.
        code: ErrorCode,
    },
    /// The credential is missing, expired or wrong.
    Unauthorized,
    /// The ticket of its address does not count, or not any more.
    Ticket(ErrorCode),
    /// Not allowed, whatever the credential.
    Forbidden(ErrorCode),
    /// An error of the gateway's own.
    Internal,
}

impl Goodbye {
    /// Every word of [`as_str`](Self::as_str).
    pub const WORDS: &[&'static str] = &[
        "superseded",
        "positions",
        "silence",
        "protocol_error",
        "ended",
        "session_gone",
        "disconnected",
        "drain",
        "overload",
        "unauthorized",
        "forbidden",
        "internal",
    ];

    /// The frame that tells the client; none where there is nothing to come back for or to say.
    pub fn retry(self) -> Option<Retry> {
        let retry = |reason, delay_ms, spread_ms, is_final| {
            Some(Retry { delay_ms, spread_ms, reason, slot: None, transports: None, is_final })
        };
        match self {
            Self::Superseded => retry(RetryReason::Superseded, 0, 0, false),
            Self::Positions => retry(RetryReason::Positions, 0, 0, false),
            Self::Silence => retry(RetryReason::Silence, 0, 0, false),
            Self::ProtocolError(_) => retry(RetryReason::ProtocolError, 1_000, 1_000, false),
            Self::Ended => None,
            Self::Gone => retry(RetryReason::Ended, 0, 0, false),
            Self::Disconnected => retry(RetryReason::Disconnected, 0, 0, true),
            Self::Drain { delay_ms, spread_ms } => retry(RetryReason::Drain, delay_ms, spread_ms, false),
            Self::Overload { delay_ms, spread_ms, .. } => {
                retry(RetryReason::Overload, delay_ms, spread_ms, false)
            }
            Self::Unauthorized | Self::Ticket(_) => retry(RetryReason::Unauthorized, 0, 0, true),
            Self::Forbidden(_) => retry(RetryReason::Forbidden, 0, 0, true),
            Self::Internal => retry(RetryReason::Internal, 1_000, 1_000, false),
        }
    }

    /// The error behind it, where the client made one.
    pub const fn error(self) -> Option<ErrorCode> {
        match self {
            Self::ProtocolError(code)
            | Self::Ticket(code)
            | Self::Forbidden(code)
            | Self::Overload { code, .. } => Some(code),
            Self::Unauthorized => Some(ErrorCode::Unauthorized),
            Self::Gone => Some(ErrorCode::SessionEnded),
            Self::Internal => Some(ErrorCode::Internal),
            _ => None,
        }
    }

    /// The close code of a stream that ends so.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::Superseded => CloseCode::SUPERSEDED,
            Self::Positions => CloseCode::POSITIONS,
            Self::Silence => CloseCode::SILENCE,
            Self::ProtocolError(ErrorCode::MessageTooLarge) => CloseCode::TOO_LARGE,
            Self::ProtocolError(ErrorCode::UnsupportedCodec) => CloseCode::UNSUPPORTED_DATA,
            Self::ProtocolError(ErrorCode::NotUtf8) => CloseCode::INVALID_DATA,
            Self::ProtocolError(_) => CloseCode::PROTOCOL_ERROR,
            Self::Ended => CloseCode::NORMAL,
            Self::Gone => CloseCode::SESSION_GONE,
            Self::Disconnected => CloseCode::DISCONNECTED,
            Self::Drain { .. } => CloseCode::DRAIN,
            Self::Overload { .. } => CloseCode::OVERLOAD,
            Self::Unauthorized | Self::Ticket(_) => CloseCode::UNAUTHORIZED,
            Self::Forbidden(_) => CloseCode::FORBIDDEN,
            Self::Internal => CloseCode::INTERNAL,
        }
    }

    /// The word for logs, metrics and close frames.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Positions => "positions",
            Self::Silence => "silence",
            Self::ProtocolError(_) => "protocol_error",
            Self::Ended => "ended",
            Self::Gone => "session_gone",
            Self::Disconnected => "disconnected",
            Self::Drain { .. } => "drain",
            Self::Overload { .. } => "overload",
            Self::Unauthorized | Self::Ticket(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Internal => "internal",
        }
    }
}

/// How a link stands to its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Stands by: proves itself, displaces nothing (L10).
    Probe,
    /// Attached: items flow on it.
    Active,
    /// A newer attach took over: nothing is said any more but goodbye, or nothing at all.
    Fenced,
}

/// A link that is open.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) spec: LinkSpec,
    pub(super) standing: Standing,
    /// Who said hello on it.
    pub(super) instance: Box<str>,
    /// The next item number that it carries.
    pub(super) next: u64,
    /// When it was opened.
    pub(super) opened_ms: u64,
    /// When the hold of an answer is over, a probe's patience ends, or the next ping is due.
    pub(super) due_ms: u64,
    /// Whether something that was sent down it has been confirmed.
    pub(super) proven: bool,
    /// Whether commands and acknowledgements are dropped until it is proven: what follows a resume that failed
    /// counts in the old session (C7). An answer is never proven; its client's next poll is another link.
    pub(super) needs_proof: bool,
    /// Whether nothing has been heard on it since it was last pinged.
    pub(super) is_quiet: bool,
    pub(super) outbox: Outbox,
}

/// What is to be said on a link beside items.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) welcome: Option<WelcomeKind>,
    /// A ping to send. Without a nonce nobody has to answer it.
    pub(super) ping: Option<Option<u64>>,
    /// The nonce that was sent and not yet come back.
    pub(super) awaited_nonce: Option<u64>,
    pub(super) pong: Option<Option<u64>>,
    /// Where the client is asked to move. The newest word counts.
    pub(super) migration: Option<Box<Migration>>,
    pub(super) errors: Vec<ErrorFrame>,
    pub(super) ack: bool,
    /// Whether an answer goes out now, though it may be empty.
    pub(super) answer: bool,
    pub(super) goodbye: Option<Goodbye>,
}

/// A move that the gateway asks for.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) transports: Vec<TransportOffer>,
    pub(super) delay_ms: u64,
    pub(super) spread_ms: u64,
}

/// Which `welcome` a link gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WelcomeKind {
    /// A new session; with the reason where a resume was asked for.
    Opened(Option<ErrorCode>),
    /// The same session, to a client that knows the limits already.
    Resumed,
    /// The same session, to a client that asks for everything.
    ResumedInFull,
}

impl Outbox {
    /// How many errors wait at most; a client that makes more is told of the first.
    const MAX_ERRORS: usize = 8;

    pub(super) fn report(&mut self, error: ErrorFrame) {
        if error.fatal {
            self.goodbye.get_or_insert(Goodbye::ProtocolError(error.code));
        }
        if self.errors.len() < Self::MAX_ERRORS {
            self.errors.push(error);
        }
    }
}
