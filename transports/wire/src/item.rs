//! The numbered things that go down.

use crate::{
    error::ErrorCode,
    ids::{ChannelName, Epoch, Offset, Position, SessionId},
    payload::{Json, Meta, Payload},
};

/// One item. Its number is its place in the `items` frame that carries it; its session counts them from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Something was published.
    Event(Event),
    /// The result of a `send`, or the refusal of any command.
    Reply(Reply),
    /// A subscription stands. Comes before every event of the channel.
    Subscribed(Subscribed),
    /// A subscription is over. The last word on a channel.
    Unsubscribed(Unsubscribed),
    /// Events that will not come.
    Gap(Gap),
    /// Who takes part in a channel, or who came or went.
    Presence(Presence),
    /// An item of a later minor version, or a presence of a kind of one: it counts, is acknowledged, and is skipped.
    Unknown,
}

impl Item {
    /// About how many bytes it takes to encode, so that a buffer seldom grows.
    pub(crate) fn size_hint(&self) -> usize {
        match self {
            Self::Event(event) => 256 + event.channel.as_str().len() + event.payload.len() * 3 / 2,
            Self::Reply(Reply { result: Ok(accepted), .. }) => 192 + accepted.payload.len() * 3 / 2,
            Self::Presence(presence) => 256 + presence.members.iter().map(Member::size_hint).sum::<usize>(),
            _ => 512,
        }
    }
}

/// An event of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The channel it was published to.
    pub channel: ChannelName,
    /// Its place. The epoch is that of the `subscribed` or `gap` before it.
    pub offset: Offset,
    /// When the gateway took it, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The application's name for this kind of event.
    pub name: Option<Box<str>>,
    /// What it is the latest of, where a channel keeps only the latest per key.
    pub key: Option<Box<str>>,
    /// Who sent it, stamped by the gateway; absent when the application published it.
    pub sender: Option<Sender>,
    /// What travels beside the payload.
    pub meta: Meta,
    /// What it says.
    pub payload: Payload,
}

/// Who sent an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sender {
    /// The authenticated user; absent for an anonymous one.
    pub user: Option<Box<str>>,
    /// The session that sent it.
    pub session: SessionId,
}

/// The result of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The command's number.
    pub command: u64,
    /// What came of it.
    pub result: Result<Accepted, ReplyError>,
}

/// A command that was carried out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// Where the send landed, so that an optimistic update meets its own event.
    pub position: Option<Position>,
    /// What the application answered.
    pub payload: Payload,
}

/// A command that was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ReplyError {
    /// What is wrong: one of [`ErrorCode`], or the application's own, in snake_case.
    pub code: Box<str>,
    /// The same for a person.
    pub message: Box<str>,
    /// Whether the same command may succeed later.
    pub retryable: bool,
}

impl From<ErrorCode> for ReplyError {
    fn from(code: ErrorCode) -> Self {
        Self { code: code.as_str().into(), message: code.message().into(), retryable: code.is_retryable() }
    }
}

/// A subscription that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribed {
    /// The channel.
    pub channel: ChannelName,
    /// The command that asked for it; absent when the server subscribed the session.
    pub command: Option<u64>,
    /// Events after this place follow.
    pub position: Position,
    /// Whether everything after the position that was asked for follows; `false` where a gap comes next.
    pub recovered: bool,
}

/// A subscription that is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsubscribed {
    /// The channel.
    pub channel: ChannelName,
    /// The command that asked for it; absent when it was taken away.
    pub command: Option<u64>,
    /// Why.
    pub reason: UnsubscribeReason,
}

/// Why a subscription ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UnsubscribeReason {
    /// The client asked for it.
    Requested,
    /// The server took it away.
    Revoked,
    /// A reason of a later minor version.
    Other,
}

impl UnsubscribeReason {
    /// The reason on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Revoked => "revoked",
            Self::Other => "other",
        }
    }

    /// The reason that this text names; [`Other`](Self::Other) when this version has none of that name.
    pub fn parse(text: &str) -> Self {
        match text {
            "requested" => Self::Requested,
            "revoked" => Self::Revoked,
            _ => Self::Other,
        }
    }
}

/// Events that will not come: nothing after `from` up to and including `to`; the next event follows `to`.
///
/// With another epoch in `to` than in `from`, everything of the old one after `from` is unknown. Without a
/// channel it counts items of the session, and `from` and `to` have the epoch `items`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gap {
    /// The channel; absent for a gap in the session's own items.
    pub channel: Option<ChannelName>,
    /// The last place that the client has (exclusive); absent when it is not known.
    pub from: Option<Position>,
    /// The last place that is missing (inclusive).
    pub to: Position,
    /// Whether exactly these events are missing, rather than at most these.
    pub exact: bool,
    /// Why.
    pub reason: GapReason,
}

/// Why events are missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GapReason {
    /// The log no longer holds them.
    Trimmed,
    /// The log began anew.
    Epoch,
    /// Only the latest of them matters, and follows.
    Conflated,
    /// The session fell too far behind.
    Overflow,
    /// A reason of a later minor version.
    Other,
}

impl GapReason {
    /// The reason on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::Epoch => "epoch",
            Self::Conflated => "conflated",
            Self::Overflow => "overflow",
            Self::Other => "other",
        }
    }

    /// The reason that this text names; [`Other`](Self::Other) when this version has none of that name.
    pub fn parse(text: &str) -> Self {
        match text {
            "trimmed" => Self::Trimmed,
            "epoch" => Self::Epoch,
            "conflated" => Self::Conflated,
            "overflow" => Self::Overflow,
            _ => Self::Other,
        }
    }
}

/// Who takes part in a channel: everybody, or who came or went since the last one of this channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Presence {
    /// The channel.
    pub channel: ChannelName,
    /// What it tells of the members that it names.
    pub kind: PresenceKind,
    /// Whom it is about, each session once; at most [`bounds::PRESENCE_MEMBERS`](crate::bounds::PRESENCE_MEMBERS).
    pub members: Vec<Member>,
    /// How many take part after it.
    pub count: u64,
}

/// What a presence tells of the members that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresenceKind {
    /// They are everybody: it replaces what was known.
    State,
    /// They came.
    Join,
    /// They went.
    Leave,
}

impl PresenceKind {
    /// The kind on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }

    /// The kind that this text names; `None` for one of a later minor version, whose item counts and is skipped.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "state" => Some(Self::State),
            "join" => Some(Self::Join),
            "leave" => Some(Self::Leave),
            _ => None,
        }
    }
}

/// A session that takes part in a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The session.
    pub session: SessionId,
    /// Its authenticated user; absent for an anonymous one.
    pub user: Option<Box<str>>,
    /// What the application says of that user, in at most [`bounds::INFO_BYTES`](crate::bounds::INFO_BYTES).
    pub info: Option<Json>,
}

impl Member {
    /// About how many bytes it takes to encode.
    pub(crate) fn size_hint(&self) -> usize {
        let user = self.user.as_ref().map_or(0, |user| user.len());
        64 + user + self.info.as_ref().map_or(0, |info| info.as_str().len())
    }
}

/// The epoch of a gap without a channel: its offsets are item numbers.
pub fn items_epoch() -> Epoch {
    Epoch::parse("items").expect("a legal epoch")
}
