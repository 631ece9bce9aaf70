//! Names and numbers with an identity: parsed once where they enter, trusted afterwards.

use std::{borrow::Borrow, collections::BTreeMap, fmt, sync::Arc};

use crate::{MAX_INTEGER, error::ErrorCode};

/// The name of a channel: 1 to 200 characters of `A-Z a-z 0-9 . _ ~ : @ $ = -`, safe in a URL's path.
///
/// What precedes the first `:` is its [namespace](Self::namespace). Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The longest name, in characters (all are ASCII).
    pub const MAX_BYTES: usize = 200;

    /// Parses a name.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidChannel`] when it is empty, too long, or holds another character.
    pub fn parse(name: &str) -> Result<Self, ErrorCode> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"._~:@$=-".contains(&b);
        if name.is_empty() || name.len() > Self::MAX_BYTES || !name.bytes().all(legal) {
            return Err(ErrorCode::InvalidChannel);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What precedes the first `:`; empty when there is none.
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }

    /// Whether the name is the gateway's own (it begins with `$`).
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The name of one numbering of a channel: 1 to 32 printable ASCII characters, opaque, compared only for equality.
///
/// A new epoch says that the log began anew and that offsets of the old one mean nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    length: u8,
    bytes: [u8; Self::MAX_BYTES],
}

impl Epoch {
    /// The longest epoch, in bytes.
    pub const MAX_BYTES: usize = 32;

    /// Parses an epoch.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidPosition`] when it is empty, longer than 32 bytes, or holds anything but `!` to `~`.
    pub fn parse(text: &str) -> Result<Self, ErrorCode> {
        let graphic = text.bytes().all(|b| b.is_ascii_graphic());
        if text.is_empty() || text.len() > Self::MAX_BYTES || !graphic {
            return Err(ErrorCode::InvalidPosition);
        }
        let mut bytes = [0; Self::MAX_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { length: text.len() as u8, bytes })
    }

    /// An epoch of 13 characters that stands for 64 random bits.
    pub fn from_random(random: u64) -> Self {
        const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut bytes = [0; Self::MAX_BYTES];
        for (i, byte) in bytes.iter_mut().take(13).enumerate() {
            *byte = DIGITS[(random >> (5 * i) & 31) as usize];
        }
        Self { length: 13, bytes }
    }

    /// The epoch as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("an epoch is ASCII")
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place of an event in its channel's epoch. The first event has 1; 0 is the place before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(u64);

impl Offset {
    /// The place before the first event.
    pub const ZERO: Self = Self(0);

    /// An offset, unless it is above [`MAX_INTEGER`].
    pub fn new(value: u64) -> Option<Self> {
        (value <= MAX_INTEGER).then_some(Self(value))
    }

    /// The number itself.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The offset that follows.
    ///
    /// # Panics
    /// At [`MAX_INTEGER`]: a log begins a new epoch before it gets there.
    #[must_use]
    pub fn next(self) -> Self {
        Self::new(self.0 + 1).expect("an epoch ends before its offsets do")
    }

    /// How many events lie after `earlier` up to and including this one; 0 when `earlier` is not earlier.
    pub const fn events_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in a channel: an offset within an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Position {
    /// The numbering that the offset belongs to.
    pub epoch: Epoch,
    /// The last event that lies at or before this place.
    pub offset: Offset,
}

/// A client's place in each of its channels.
pub type Positions = BTreeMap<ChannelName, Position>;

/// The public name of a session: 128 random bits, written as 22 characters of base64url. Not a credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// The id that stands for these bits.
    pub const fn from_random(random: [u8; 16]) -> Self {
        Self(random)
    }

    /// The bits.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Parses what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        use base64::Engine as _;
        let mut bytes = [0; 16];
        let length = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (length == 16).then_some(Self(bytes))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use base64::{display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
        Base64Display::new(&self.0, &URL_SAFE_NO_PAD).fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret that travels: a session token or a credential. Its `Debug` reveals nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(Box<str>);

impl Token {
    /// The longest that a decoder accepts, in bytes. Roomy enough for a JSON Web Token.
    pub const MAX_BYTES: usize = 8192;

    /// Wraps a secret.
    pub fn new(secret: impl Into<Box<str>>) -> Self {
        Self(secret.into())
    }

    /// The secret, for the one place that checks or sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
