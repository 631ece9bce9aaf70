//! The two forms of a message: [text](json) and [binary](bincode).
//!
//! Decoding walks a message frame by frame ([`UpFrames`], [`DownFrames`]); what came before an error stands.
//! Encoding appends to a buffer that the caller owns. Items are encoded on their own, once per codec
//! ([`Codec::encode_item`]), and put together to frames by [`Batch`], so that an event's bytes are shared by every
//! session that sends them.

pub mod bincode;
pub mod json;
mod stream;

use ::bytes::{Bytes, BytesMut};

pub use self::stream::FrameSplitter;

use crate::{DecodeError, DownFrame, Item, UpFrame};

/// A form of messages. Belongs to a link, not to a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Codec {
    /// `throughline.v1.json`: frames are JSON objects, separated by LF.
    Json,
    /// `throughline.v1.bincode`: frames are preceded by their length, integers are bincode's.
    Bincode,
}

/// What a decoder refuses before it allocates.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// The largest frame, in bytes. Default 1 MiB.
    pub frame_bytes: usize,
    /// The most commands or items in one frame. Default 4,096.
    pub entries: usize,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { frame_bytes: 1 << 20, entries: 4_096 }
    }
}

impl Codec {
    /// The WebSocket subprotocol, and the codec's name everywhere else.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "throughline.v1.json",
            Self::Bincode => "throughline.v1.bincode",
        }
    }

    /// The media type that an answer in this codec has.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-ndjson",
            Self::Bincode => "application/vnd.throughline.v1.bincode",
        }
    }

    /// The codec of a request's `content-type`, parameters ignored.
    pub fn from_media_type(value: &str) -> Option<Self> {
        let essence = value.split(';').next().unwrap_or_default().trim();
        ["application/x-ndjson", "application/json", "text/plain"]
            .iter()
            .any(|text| essence.eq_ignore_ascii_case(text))
            .then_some(Self::Json)
            .or_else(|| essence.eq_ignore_ascii_case(Self::Bincode.media_type()).then_some(Self::Bincode))
    }

    /// Whether messages are text (UTF-8) rather than bytes.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Json)
    }

    /// Reads a client's message frame by frame. Ends after the first error.
    pub fn up_frames(self, message: &[u8], limits: DecodeLimits) -> UpFrames<'_> {
        UpFrames { codec: self, rest: message, limits }
    }

    /// Reads a gateway's message frame by frame. Ends after the first error.
    pub fn down_frames(self, message: &[u8], limits: DecodeLimits) -> DownFrames<'_> {
        DownFrames { codec: self, rest: message, limits }
    }

    /// Appends a client's frame.
    pub fn encode_up(self, frame: &UpFrame, buffer: &mut BytesMut) {
        match self {
            Self::Json => json::encode_up(frame, buffer),
            Self::Bincode => bincode::encode_up(frame, buffer),
        }
    }

    /// Appends a gateway's frame.
    pub fn encode_down(self, frame: &DownFrame, buffer: &mut BytesMut) {
        match self {
            Self::Json => json::encode_down(frame, buffer),
            Self::Bincode => bincode::encode_down(frame, buffer),
        }
    }

    /// Encodes one item, ready for [`Batch::push`]: in text with its trailing comma, in binary with its length.
    pub fn encode_item(self, item: &Item) -> Bytes {
        match self {
            Self::Json => json::encode_item(item),
            Self::Bincode => bincode::encode_item(item),
        }
    }

    /// Decodes what [`encode_item`](Self::encode_item) gave.
    ///
    /// # Errors
    /// As for a frame that holds it.
    pub fn decode_item(self, encoded: &[u8]) -> Result<Item, DecodeError> {
        let mut frame = BytesMut::with_capacity(encoded.len() + 64);
        let mut batch = Batch::begin(self, &mut frame, 1);
        batch.push(encoded);
        batch.finish(None);
        match self.down_frames(&frame, DecodeLimits { frame_bytes: usize::MAX, entries: 1 }).next() {
            Some(Ok(DownFrame::Items(mut items))) if items.items.len() == 1 => Ok(items.items.remove(0)),
            Some(Err(error)) => Err(error),
            _ => Err(DecodeError::new(crate::ErrorCode::MalformedFrame, "not one item")),
        }
    }
}

/// The frames of a client's message.
#[derive(Debug)]
pub struct UpFrames<'a> {
    codec: Codec,
    rest: &'a [u8],
    limits: DecodeLimits,
}

impl Iterator for UpFrames<'_> {
    type Item = Result<UpFrame, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.codec {
            Codec::Json => json::decode_up(&mut self.rest, self.limits),
            Codec::Bincode => bincode::decode_up(&mut self.rest, self.limits),
        };
        if matches!(next, Some(Err(_))) {
            self.rest = &[];
        }
        next
    }
}

/// The frames of a gateway's message.
#[derive(Debug)]
pub struct DownFrames<'a> {
    codec: Codec,
    rest: &'a [u8],
    limits: DecodeLimits,
}

impl Iterator for DownFrames<'_> {
    type Item = Result<DownFrame, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.codec {
            Codec::Json => json::decode_down(&mut self.rest, self.limits),
            Codec::Bincode => bincode::decode_down(&mut self.rest, self.limits),
        };
        if matches!(next, Some(Err(_))) {
            self.rest = &[];
        }
        next
    }
}

/// An `items` frame in the making: a header, a run of copies of encoded items, and a tail.
///
/// Appends to the end of `buffer`; nothing before it is touched. In the binary codec the header, whose size
/// depends on the count, is written last into room that was left for it.
#[derive(Debug)]
pub struct Batch<'a> {
    codec: Codec,
    buffer: &'a mut BytesMut,
    start: usize,
    first: u64,
    count: u64,
}

impl<'a> Batch<'a> {
    /// Begins a frame whose first item has the number `first`.
    pub fn begin(codec: Codec, buffer: &'a mut BytesMut, first: u64) -> Self {
        let start = buffer.len();
        match codec {
            Codec::Json => json::begin_items(buffer, first),
            Codec::Bincode => bincode::begin_items(buffer),
        }
        Self { codec, buffer, start, first, count: 0 }
    }

    /// Adds an item that [`Codec::encode_item`] of the same codec has encoded.
    pub fn push(&mut self, encoded: &[u8]) {
        self.buffer.extend_from_slice(encoded);
        self.count += 1;
    }

    /// How many items it holds.
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether it holds no item.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes it has so far.
    pub fn bytes(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Ends the frame, with the last command taken where that is news.
    pub fn finish(self, ack: Option<u64>) {
        match self.codec {
            Codec::Json => json::finish_items(self.buffer, self.count, ack),
            Codec::Bincode => bincode::finish_items(self.buffer, self.start, self.first, self.count, ack),
        }
    }

    /// Takes the frame back, as if it had not been begun.
    pub fn abandon(self) {
        self.buffer.truncate(self.start);
    }
}
