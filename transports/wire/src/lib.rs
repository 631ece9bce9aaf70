//! What travels: the frames, items and commands of the Throughline protocol, version 1, and their two codecs.
//!
//! A *message* is one or more [frames](frame). Frames going down carry numbered [items](item), frames going up
//! carry numbered [commands](command). The same frames exist in a [text and a binary form](codec); the form
//! belongs to a link, never to a session.
//!
//! Nothing here does I/O, keeps a connection's state, or knows what a session is: a client, a tool or a gateway
//! can use this crate alone. The rules behind the shapes are in `docs/protocol.md`.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod bounds;
pub mod codec;
pub mod command;
pub mod error;
pub mod frame;
pub mod ids;
pub mod item;
pub mod payload;
mod scan;

pub use codec::{Batch, Codec, DecodeLimits};
pub use command::{Command, Send, SubscribeFrom};
pub use error::{AttemptOutcome, CloseCode, DecodeError, ErrorCode, RetryReason};
pub use frame::{DownFrame, UpFrame};
pub use ids::{ChannelName, Epoch, Offset, Position, Positions, SessionId, Token};
pub use item::{
    Event, Gap, GapReason, Item, Member, Presence, PresenceKind, Reply, ReplyError, Sender, Subscribed,
    Unsubscribed,
};
pub use payload::{Json, Meta, Payload};

/// The largest integer on the wire: 2^53 - 1, the largest that every JSON reader keeps exactly.
///
/// Item, command and attach numbers and offsets never pass it; a decoder refuses more
/// ([`ErrorCode::NumberOutOfRange`]) and a session or an epoch that reaches it ends.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;
