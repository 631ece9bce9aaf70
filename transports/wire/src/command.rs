//! The numbered things that go up.

use crate::{
    ids::{ChannelName, Position, Token},
    payload::{Meta, Payload},
};

/// One command. Its number is its place in the `commands` frame that carries it; its session counts them from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Asks for a channel's events.
    Subscribe {
        /// The channel.
        channel: ChannelName,
        /// Where to begin.
        from: SubscribeFrom,
        /// A credential for this channel.
        token: Option<Token>,
        /// Whether presence is wanted too.
        presence: bool,
    },
    /// Asks for no more of them.
    Unsubscribe {
        /// The channel.
        channel: ChannelName,
    },
    /// Says something to the application, or to a channel.
    Send(Send),
    /// Fills a number whose reply is already known.
    Noop,
    /// A command of a later minor version: answered `unsupported`.
    Unknown,
}

/// Where a subscription begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SubscribeFrom {
    /// With what is published from now on.
    #[default]
    Now,
    /// With the last so many events that are held; fewer held is no gap.
    Last(u32),
    /// After this place.
    Position(Position),
}

/// What a client says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Send {
    /// The channel it is about. No subscription is needed.
    pub channel: ChannelName,
    /// The application's name for this kind of intent.
    pub name: Option<Box<str>>,
    /// The application's idempotency key, at most [`Send::MAX_ID_BYTES`].
    pub id: Option<Box<str>>,
    /// What travels beside the payload.
    pub meta: Meta,
    /// What it says.
    pub payload: Payload,
}

impl Send {
    /// The longest idempotency key.
    pub const MAX_ID_BYTES: usize = 64;
}
