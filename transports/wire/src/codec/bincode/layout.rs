//! The numbers of the binary codec. One table for both directions; a number is never used for something else.

/// Frames of both directions. From [`frame::EXTENSION`] on they may be skipped.
pub(super) mod frame {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const ATTACH: u8 = 2;
    pub(crate) const SESSION: u8 = 3;
    pub(crate) const COMMANDS: u8 = 4;
    pub(crate) const ACK: u8 = 5;
    pub(crate) const AUTH: u8 = 6;
    pub(crate) const VOLATILE: u8 = 7;
    pub(crate) const PING: u8 = 8;
    pub(crate) const PONG: u8 = 9;
    pub(crate) const BYE: u8 = 10;
    pub(crate) const WELCOME: u8 = 11;
    pub(crate) const ITEMS: u8 = 12;
    pub(crate) const RETRY: u8 = 13;
    pub(crate) const MIGRATE: u8 = 14;
    pub(crate) const ERROR: u8 = 15;
    pub(crate) const TRIED: u8 = 16;
    pub(crate) const EXTENSION: u8 = 128;
}

/// Items. 0 is never given to anything.
pub(super) mod item {
    pub(crate) const UNKNOWN: u8 = 0;
    pub(crate) const EVENT: u8 = 1;
    pub(crate) const REPLY: u8 = 2;
    pub(crate) const SUBSCRIBED: u8 = 3;
    pub(crate) const UNSUBSCRIBED: u8 = 4;
    pub(crate) const GAP: u8 = 5;
    pub(crate) const PRESENCE: u8 = 6;
}

/// Commands. 0 is never given to anything.
pub(super) mod command {
    pub(crate) const UNKNOWN: u8 = 0;
    pub(crate) const SUBSCRIBE: u8 = 1;
    pub(crate) const UNSUBSCRIBE: u8 = 2;
    pub(crate) const SEND: u8 = 3;
    pub(crate) const NOOP: u8 = 4;
}

/// What a presence tells. Another number is a kind of a later version.
pub(super) mod presence {
    pub(crate) const STATE: u8 = 0;
    pub(crate) const JOIN: u8 = 1;
    pub(crate) const LEAVE: u8 = 2;
}

/// What a payload is, before its bytes.
pub(super) mod payload {
    pub(crate) const EMPTY: u8 = 0;
    pub(crate) const JSON: u8 = 1;
    pub(crate) const BYTES: u8 = 2;
}

/// Where a subscription begins, before what says it exactly.
pub(super) mod from {
    pub(crate) const NOW: u8 = 0;
    pub(crate) const LAST: u8 = 1;
    pub(crate) const POSITION: u8 = 2;
}
