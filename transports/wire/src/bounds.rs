//! How long the members of a frame may be: what a decoder refuses before it keeps anything.
//!
//! Whoever fills a frame with text from elsewhere (a user's name, an application's error) keeps within these, or
//! its peer refuses the message with [`MessageTooLarge`](crate::ErrorCode::MessageTooLarge). Channel names, epochs,
//! tokens and `meta` have bounds of their own, at their types. All sizes are in bytes of UTF-8.

/// `hello.instance`.
pub const INSTANCE_BYTES: usize = 64;
/// `hello.client.name` and `hello.client.version`.
pub const CLIENT_BYTES: usize = 64;
/// How many `features` there may be.
pub const FEATURES: usize = 32;
/// One of `features`.
pub const FEATURE_BYTES: usize = 64;
/// `hello.slot` and `retry.slot`.
pub const SLOT_BYTES: usize = 1024;
/// `name` of an event, a send or a volatile.
pub const NAME_BYTES: usize = 200;
/// `event.key`.
pub const KEY_BYTES: usize = 200;
/// `send.id`.
pub const ID_BYTES: usize = crate::Send::MAX_ID_BYTES;
/// `welcome.user` and `sender.user`.
pub const USER_BYTES: usize = 256;
/// A code or a reason.
pub const CODE_BYTES: usize = 64;
/// `error.message` and `reply.error.message`. A longer one is cut when it is encoded.
pub const MESSAGE_BYTES: usize = 1024;
/// How many `transports` there may be.
pub const TRANSPORTS: usize = 16;
/// The name of a transport.
pub const TRANSPORT_NAME_BYTES: usize = 64;
/// The address of a transport.
pub const URL_BYTES: usize = 1024;
/// How many certificate hashes a transport may have.
pub const CERTIFICATE_HASHES: usize = 16;
/// A certificate hash: SHA-256 in hexadecimal.
pub const CERTIFICATE_HASH_BYTES: usize = 64;
/// How many members a `presence` names.
pub const PRESENCE_MEMBERS: usize = 4096;
/// `info` of a member: a JSON text.
pub const INFO_BYTES: usize = 1024;
/// How many members one object of the text codec may have, known and unknown together.
pub const MEMBERS: usize = 64;

/// As much of a message for a person as may travel, cut between characters.
pub(crate) fn message(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_BYTES)]
}
