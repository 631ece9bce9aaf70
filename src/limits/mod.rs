//! How much of what a client may have: rates, counts by user and by address, and when the machine itself is short.
//!
//! Three small parts. A [`Rate`] says how often, and a [`Bucket`] remembers how much of it was used (`rate`). A
//! [`Table`] has a [`Meter`] for each user or address that has anything at the moment, and forgets those that are at
//! rest (`table`). [`PressureGauge`] makes a verdict of what the process uses and what it may use (`pressure`).
//!
//! Pure: the time is handed in, and nothing is read from the system. Who is counted for what, and what happens past a
//! limit, is the gateway's to say. See docs/decisions/0031-limits.md.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod pressure;
mod rate;
mod table;

pub use pressure::{Ceilings, Pressure, PressureGauge, Usage};
pub use rate::{Bucket, Rate};
pub use table::{Booking, Meter, Place, Table, What, network_of};

/// One limit, for whoever counts how often it was met.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Limit {
    /// Sessions of the gateway.
    Sessions,
    /// Channels of the gateway.
    Channels,
    /// Memory of the process.
    Memory,
    /// Open files of the process.
    OpenFiles,
    /// Sessions of a user.
    UserSessions,
    /// Commands a second of a user.
    UserCommands,
    /// Sessions that came from an address.
    AddressSessions,
    /// Connections from an address.
    AddressConnections,
    /// Handshakes a second from an address.
    AddressHandshakes,
    /// Commands a second of those who are nobody and came from one address.
    AddressCommands,
    /// Commands a second of a session.
    SessionCommands,
    /// Bytes a second of a session, upwards.
    SessionBytes,
    /// Commands of a session that ran ahead.
    CommandsAhead,
    /// Items of a session that are not acknowledged.
    Unacknowledged,
    /// Channels of a session.
    Subscriptions,
    /// Links of a session.
    Links,
    /// Members of a channel's presence.
    PresenceMembers,
    /// Those of them who are one user.
    UserPresenceMembers,
    /// Those of them who are nobody and came from one address.
    AddressPresenceMembers,
    /// Bytes of a message.
    MessageBytes,
    /// Time for a TLS or QUIC handshake.
    HandshakeTime,
    /// Time for the head of a request.
    HeaderTime,
    /// Time for its body, or for a link's first message.
    BodyTime,
    /// Time between requests.
    IdleTime,
    /// Time for what was written to be taken.
    WriteTime,
}

impl Limit {
    /// Every limit.
    pub const ALL: &[Self] = &[
        Self::Sessions,
        Self::Channels,
        Self::Memory,
        Self::OpenFiles,
        Self::UserSessions,
        Self::UserCommands,
        Self::AddressSessions,
        Self::AddressConnections,
        Self::AddressHandshakes,
        Self::AddressCommands,
        Self::SessionCommands,
        Self::SessionBytes,
        Self::CommandsAhead,
        Self::Unacknowledged,
        Self::Subscriptions,
        Self::Links,
        Self::PresenceMembers,
        Self::UserPresenceMembers,
        Self::AddressPresenceMembers,
        Self::MessageBytes,
        Self::HandshakeTime,
        Self::HeaderTime,
        Self::BodyTime,
        Self::IdleTime,
        Self::WriteTime,
    ];

    /// The word for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Channels => "channels",
            Self::Memory => "memory",
            Self::OpenFiles => "open_files",
            Self::UserSessions => "user_sessions",
            Self::UserCommands => "user_commands",
            Self::AddressSessions => "address_sessions",
            Self::AddressConnections => "address_connections",
            Self::AddressHandshakes => "address_handshakes",
            Self::AddressCommands => "address_commands",
            Self::SessionCommands => "session_commands",
            Self::SessionBytes => "session_bytes",
            Self::CommandsAhead => "commands_ahead",
            Self::Unacknowledged => "unacknowledged",
            Self::Subscriptions => "subscriptions",
            Self::Links => "links",
            Self::PresenceMembers => "presence_members",
            Self::UserPresenceMembers => "user_presence_members",
            Self::AddressPresenceMembers => "address_presence_members",
            Self::MessageBytes => "message_bytes",
            Self::HandshakeTime => "handshake_time",
            Self::HeaderTime => "header_time",
            Self::BodyTime => "body_time",
            Self::IdleTime => "idle_time",
            Self::WriteTime => "write_time",
        }
    }
}
