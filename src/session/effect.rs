//! What a session has its driver do, in the order in which it is to be done.

use std::sync::Arc;

use throughline_wire::{AttemptOutcome, ChannelName, ErrorCode, SubscribeFrom, Token};

use super::{Ending, Life, LinkId};
use crate::{
    channel::{Channel, NewVolatile},
    limits::Limit,
};

/// What the driver has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// This link has something to transmit.
    Wake(LinkId),
    /// Authorise a subscription and open the channel; then [`Session::subscribe`](super::Session::subscribe) or
    /// [`Session::refuse_subscription`](super::Session::refuse_subscription).
    ///
    /// Effects of one session about one channel are to be carried out in order.
    Subscribe(SubscribeRequest),
    /// Then [`Session::unsubscribe`](super::Session::unsubscribe).
    Unsubscribe(UnsubscribeRequest),
    /// Hand an intent to the application; then [`Session::reply`](super::Session::reply).
    Send {
        /// The command's number: with the session's id, the intent's stable key.
        command: u64,
        /// What the client said.
        send: throughline_wire::Send,
    },
    /// Pass something on that is not kept, to whoever holds the channel.
    Volatile {
        /// The channel.
        channel: ChannelName,
        /// What is said.
        volatile: NewVolatile,
    },
    /// Who takes part in this channel has changed: [mark](Channel::mark_members) it, and wake whoever takes part.
    Announce(Arc<Channel>),
    /// Find out whether the user may send to this channel; then [`Session::permit`](super::Session::permit).
    Permit(ChannelName),
    /// Check fresh credentials; then nothing, or [`Session::end`](super::Session::end).
    Authenticate {
        /// The credential.
        token: Token,
    },
    /// The session's client has shown that it knows the session.
    Established,
    /// The application is to be told of the session's life, in the order of the numbers. Comes only where
    /// [somebody listens](super::SessionConfig::reports_life).
    Life {
        /// How many there were of this session, this one among them: with the session's id, its stable key.
        number: u32,
        /// What happened.
        life: Life,
    },
    /// A command was refused, for whoever counts: by its error, an application's own as [`ErrorCode::Other`].
    Refused(ErrorCode),
    /// A limit was met, for whoever counts; what of it has an error of its own is [`Refused`](Self::Refused) too.
    Limited(Limit),
    /// The client told how its use of a transport went, for whoever counts.
    Tried {
        /// One of [`TRANSPORTS`](super::TRANSPORTS), or [`OTHER`](super::OTHER).
        transport: &'static str,
        /// How it ended.
        outcome: AttemptOutcome,
    },
    /// Something that is never answered was dropped, for whoever counts.
    Dropped(Dropped),
    /// The session is over: forget it.
    Ended(Ending),
}

/// Why something that is never answered was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Dropped {
    /// A client told of more attempts than anybody makes.
    TriedTooOften,
    /// More volatiles than a session may say in a second.
    VolatileTooOften,
    /// A volatile larger than it may be.
    VolatileTooLarge,
    /// A volatile for a channel that the session does not hold.
    VolatileNotSubscribed,
    /// A volatile for a channel that the user may not send to, or nobody could say.
    VolatileForbidden,
    /// A volatile whose `seq` is not above the last: a datagram was overtaken or repeated.
    VolatileOld,
    /// A volatile on a link that items do not flow on.
    VolatileNotAttached,
    /// The broker has no room for a volatile, or does not carry them.
    VolatileOverloaded,
}

impl Dropped {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::TriedTooOften,
        Self::VolatileTooOften,
        Self::VolatileTooLarge,
        Self::VolatileNotSubscribed,
        Self::VolatileForbidden,
        Self::VolatileOld,
        Self::VolatileNotAttached,
        Self::VolatileOverloaded,
    ];

    /// The frame that was dropped, and the reason in a word.
    pub const fn as_strs(self) -> (&'static str, &'static str) {
        match self {
            Self::TriedTooOften => ("tried", "rate"),
            Self::VolatileTooOften => ("volatile", "rate"),
            Self::VolatileTooLarge => ("volatile", "size"),
            Self::VolatileNotSubscribed => ("volatile", "not_subscribed"),
            Self::VolatileForbidden => ("volatile", "forbidden"),
            Self::VolatileOld => ("volatile", "old"),
            Self::VolatileNotAttached => ("volatile", "not_attached"),
            Self::VolatileOverloaded => ("volatile", "overloaded"),
        }
    }
}

/// A subscription that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscribeRequest {
    /// The command that asks; `None` where a rebuilt or new session takes up a stated position (N3).
    pub command: Option<u64>,
    /// The channel.
    pub channel: ChannelName,
    /// Where to begin.
    pub from: SubscribeFrom,
    /// A credential for this channel.
    pub token: Option<Token>,
    /// Whether the session is to take part in the channel's presence.
    pub presence: bool,
    pub(super) incarnation: u64,
}

/// The end of a subscription that is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnsubscribeRequest {
    /// The command that asks.
    pub command: u64,
    /// The channel.
    pub channel: ChannelName,
    pub(super) incarnation: u64,
}
