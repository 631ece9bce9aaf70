//! What an application hears, in order.

use std::{sync::Arc, time::Duration};

use throughline_wire::{
    ChannelName, Epoch, ErrorCode, Event, Gap, Presence, ReplyError, RetryReason, SessionId, Subscribed,
    Unsubscribed, frame::VolatileDown,
};

use crate::config::Via;

/// One thing that an application hears.
///
/// `number` counts the session's items from 1, one by one; it begins anew only after
/// [`SessionLost`](Self::SessionLost). Numbers that do not show are replies, which go to whoever waits for them.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// Something was published.
    Event {
        /// The item's number.
        number: u64,
        /// The epoch that `event.offset` counts in; absent only when the gateway sends an event of a channel that it
        /// has not said `subscribed` of.
        epoch: Option<Epoch>,
        /// The event.
        event: Event,
    },
    /// Events that will not come: fetch a snapshot.
    Gap {
        /// The item's number.
        number: u64,
        /// What is missing.
        gap: Gap,
    },
    /// A subscription stands, asked for by this application, by the server, or renewed after a lost session.
    Subscribed {
        /// The item's number.
        number: u64,
        /// Where it begins.
        subscribed: Subscribed,
    },
    /// A subscription is over.
    Unsubscribed {
        /// The item's number; absent where a subscription of a lost session could not be renewed.
        number: Option<u64>,
        /// Of which channel, and why.
        unsubscribed: Unsubscribed,
    },
    /// Who takes part in a channel: everybody, which replaces what was known, or who came or went since the last one of
    /// this channel. Comes where the session [takes part](crate::Session::take_part) itself.
    Presence {
        /// The item's number.
        number: u64,
        /// Who.
        presence: Presence,
    },
    /// The session holds a channel still, and may not take part in its presence any more: of what was known of that
    /// nothing is true.
    PresenceLost {
        /// The channel.
        channel: ChannelName,
        /// Why.
        error: ReplyError,
    },
    /// Something was said that is not kept: it has no number, and is dropped rather than late.
    Volatile(VolatileDown),
    /// The session changed links. For people to watch: nothing has to be done about it.
    Link(LinkChange),
    /// The session is lost. Unless [`is_final`](LostReason::is_final), a new one takes its place: subscriptions are
    /// renewed from where they were, and each `send` without a reply ends with an unknown outcome.
    SessionLost {
        /// Why.
        reason: LostReason,
    },
}

/// How the session changed links.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LinkChange {
    /// A link carries the session.
    Up {
        /// What it runs on.
        via: Via,
        /// The session.
        session: SessionId,
        /// Whether it is the session of the link before.
        resumed: bool,
        /// Why this transport, for a person.
        why: Arc<str>,
    },
    /// No link carries the session.
    Down {
        /// What the last one ran on.
        via: Via,
        /// Why, for a person.
        reason: Box<str>,
        /// How long the client waits before it comes back.
        retry_in: Duration,
    },
}

/// Why a session is lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LostReason {
    /// The gateway does not hold it any more (`welcome.reason`).
    NotResumed(Option<ErrorCode>),
    /// Another client holds its token.
    Superseded,
    /// The gateway said to come back without it.
    Gone,
    /// The client's count and the gateway's do not fit together.
    Mismatch,
    /// The gateway said not to come back, and why where it did.
    Final(Option<RetryReason>),
}

impl LostReason {
    /// Whether the client is closed with it.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Final(_))
    }
}
