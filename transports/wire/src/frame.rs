//! The frames: what a message is made of.

use crate::{
    command::Command,
    error::{AttemptOutcome, ErrorCode, RetryReason},
    ids::{ChannelName, Positions, SessionId, Token},
    item::{Item, Sender},
    payload::Payload,
};

/// A frame from a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UpFrame {
    /// Opens or resumes a session on this link.
    Hello(Box<Hello>),
    /// Makes this link, proven, the active downlink.
    Attach {
        /// The client's attach number, higher than any before.
        number: u64,
        /// The last item that the client has.
        after: u64,
    },
    /// Names the session of a post; the first frame of `POST /v1/send`.
    Session(SessionName),
    /// Commands.
    Commands(Commands),
    /// The client has everything up to this item.
    Ack {
        /// The last item that the client has.
        up_to: u64,
    },
    /// Fresh credentials for the same user.
    Auth {
        /// The credential.
        token: Token,
    },
    /// Something unnumbered that may be dropped.
    Volatile(VolatileUp),
    /// How the client's use of a transport went.
    Tried(Tried),
    /// Asks for a pong with the same nonce.
    Ping {
        /// What to say back.
        nonce: Option<u64>,
    },
    /// Answers a ping.
    Pong {
        /// What the ping said.
        nonce: Option<u64>,
    },
    /// Ends the session now.
    Bye,
    /// An extension that this version does not know: skipped.
    Extension,
}

/// Opens or resumes a session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// The minor version that the client speaks.
    pub version: u32,
    /// A random name that the client object made for itself and keeps in memory only; at most 64 bytes.
    pub instance: Box<str>,
    /// The client's attach number; without it a stream is a probe.
    pub attach: Option<u64>,
    /// The user's credential.
    pub auth: Option<Token>,
    /// The session to go on with; without it a new one opens.
    pub resume: Option<Resume>,
    /// What the client is.
    pub client: Option<ClientInfo>,
    /// Extensions that the client understands.
    pub features: Vec<Box<str>>,
    /// The appointment that a `retry` gave.
    pub slot: Option<Box<str>>,
}

/// Where a session stopped, as its client has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resume {
    /// The session's token.
    pub token: Token,
    /// The incarnation whose item numbers `after` counts.
    pub incarnation: u64,
    /// The last item that the client has.
    pub after: u64,
    /// The lowest command whose reply the client does not have; one past the last when it has all.
    pub low: u64,
    /// Where the client is in each channel; asked for when a session has to be rebuilt.
    pub positions: Option<Positions>,
}

/// What a client is, for logs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientInfo {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
}

/// Names a session in a post. Never makes, takes over or fences one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionName {
    /// The session's token.
    pub token: Token,
    /// The incarnation that the client counts in.
    pub incarnation: u64,
    /// The link (`welcome.link`) that acknowledgements, pongs and attaches of this post are about.
    pub link: u64,
}

/// Commands, numbered from `first`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commands {
    /// The number of the first.
    pub first: u64,
    /// The commands, one number each.
    pub items: Vec<Command>,
    /// The last item that the client has.
    pub ack: Option<u64>,
}

/// Something unnumbered from a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolatileUp {
    /// The channel.
    pub channel: ChannelName,
    /// The application's name for it.
    pub name: Option<Box<str>>,
    /// Rises with each; what is older than the last seen is dropped.
    pub seq: u64,
    /// What it says.
    pub payload: Payload,
}

/// How a client's use of a transport went, for whoever asks why it is where it is. Never answered; changes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// The transport's name.
    pub transport: Box<str>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// How long it took until then.
    pub took_ms: u64,
    /// How long ago that was when this was said.
    pub ago_ms: u64,
}

/// A frame from the gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DownFrame {
    /// The session stands.
    Welcome(Box<Welcome>),
    /// Items.
    Items(Items),
    /// Commands up to this one are taken and durable.
    Ack {
        /// The last command taken.
        up_to: u64,
    },
    /// Come back later.
    Retry(Retry),
    /// Please move to another transport.
    Migrate {
        /// What to move to, in order of preference.
        transports: Vec<TransportOffer>,
        /// Wait at least this long.
        delay_ms: u64,
        /// And a random part of this.
        spread_ms: u64,
    },
    /// Something unnumbered.
    Volatile(VolatileDown),
    /// Something was wrong.
    Error(ErrorFrame),
    /// Asks for a pong with the same nonce.
    Ping {
        /// What to say back.
        nonce: Option<u64>,
        /// The reconnect window, refreshed.
        window_ms: Option<u64>,
    },
    /// Answers a ping.
    Pong {
        /// What the ping said.
        nonce: Option<u64>,
        /// The reconnect window, refreshed.
        window_ms: Option<u64>,
    },
    /// An extension that this version does not know: skipped.
    Extension,
}

/// The session stands. On a resume, what has not changed is left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The session's public name.
    pub session: SessionId,
    /// The session's token.
    pub token: Token,
    /// The incarnation that item numbers of this link belong to.
    pub incarnation: u64,
    /// This link's name within the session.
    pub link: u64,
    /// Whether this is the session that the client asked for.
    pub resumed: bool,
    /// Why not, where `resumed` is `false` although a resume was asked for.
    pub reason: Option<ErrorCode>,
    /// The first item number that this link will carry.
    pub next: u64,
    /// The last command taken.
    pub received: u64,
    /// The authenticated user.
    pub user: Option<Box<str>>,
    /// The gateway's clock, in milliseconds since the Unix epoch.
    pub time: u64,
    /// How often the gateway pings.
    pub heartbeat_ms: u64,
    /// How long a session without a link is kept.
    pub resume_window_ms: u64,
    /// Over how long clients that lose this gateway spread their first attempt.
    pub window_ms: u64,
    /// How later attempts back off.
    pub backoff: Backoff,
    /// How long the user's credential is good for.
    pub auth_expires_in_ms: Option<u64>,
    /// What the session may do; left out on a resume.
    pub limits: Option<Limits>,
    /// What is on offer; left out on a resume.
    pub transports: Option<Vec<TransportOffer>>,
    /// Extensions that the gateway understands; left out on a resume.
    pub features: Option<Vec<Box<str>>>,
}

/// How attempts back off: the n-th waits a random part of `min(capMs, baseMs x 2^(n-2))`, and is a `windowMs` after the
/// one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The second attempt's bound.
    pub base_ms: u64,
    /// The bound of all later ones.
    pub cap_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base_ms: 250, cap_ms: 30_000 }
    }
}

/// What a session may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The largest message up, in bytes. Default 64 KiB.
    pub message_bytes: u64,
    /// How many commands may be unreplied. Default 64.
    pub commands_ahead: u64,
    /// How many event items may be unacknowledged. Default 1,024.
    pub unacknowledged_items: u64,
    /// How many bytes of event payload may be unacknowledged. Default 256 KiB.
    pub unacknowledged_bytes: u64,
    /// How many channels a session may hold. Default 256.
    pub subscriptions: u64,
    /// How many commands a second, sustained; 0 for no bound. Default 200.
    pub commands_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 64 * 1024,
            commands_ahead: 64,
            unacknowledged_items: 1_024,
            unacknowledged_bytes: 256 * 1024,
            subscriptions: 256,
            commands_per_second: 200,
        }
    }
}

/// A transport on offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransportOffer {
    /// `websocket`, `polling`, `sse`, `webtransport`.
    pub name: Box<str>,
    /// Where, relative to the address that the client called, unless absolute.
    pub url: Option<Box<str>>,
    /// SHA-256 of the certificates to accept, in hexadecimal.
    pub certificate_hashes: Vec<Box<str>>,
}

/// Items, numbered from `first`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Items {
    /// The number of the first.
    pub first: u64,
    /// The items, one number each; may be empty.
    pub items: Vec<Item>,
    /// The last command taken.
    pub ack: Option<u64>,
}

/// Come back later: after `delay_ms` and a random part of `spread_ms`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Wait at least this long.
    pub delay_ms: u64,
    /// And a random part of this.
    pub spread_ms: u64,
    /// Why.
    pub reason: RetryReason,
    /// An appointment to give back in `hello.slot`.
    pub slot: Option<Box<str>>,
    /// Where to come back to.
    pub transports: Option<Vec<TransportOffer>>,
    /// Do not come back.
    pub is_final: bool,
}

/// Something unnumbered from a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolatileDown {
    /// The channel.
    pub channel: ChannelName,
    /// The application's name for it.
    pub name: Option<Box<str>>,
    /// When the gateway took it.
    pub time: u64,
    /// Rises with each; what is older than the last seen is dropped.
    pub seq: u64,
    /// Who sent it.
    pub sender: Option<Sender>,
    /// What it says.
    pub payload: Payload,
}

/// Something was wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ErrorFrame {
    /// What.
    pub code: ErrorCode,
    /// The same for a person.
    pub message: Box<str>,
    /// The command that it is about.
    pub command: Option<u64>,
    /// Whether the link ends with it.
    pub fatal: bool,
}
