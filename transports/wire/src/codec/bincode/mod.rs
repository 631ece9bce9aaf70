//! The binary codec, `throughline.v1.bincode`: lengths first, then a type, then the members in a fixed order.
//!
//! Its integers, strings and options are those of bincode 2's standard configuration, which no other module knows;
//! `docs/codecs.md` gives every byte. `layout` has the numbers, `read` and `write` the primitives,
//! `decode_*` and `encode` the frames, one line per member.

mod decode_down;
mod decode_up;
mod encode;
mod layout;
mod read;
mod write;

use ::bytes::{Bytes, BytesMut};

use self::{
    read::{MAX_FRAME_BYTES, Read, Reader, malformed},
    write::Encoder,
};
use crate::{DecodeError, DecodeLimits, DownFrame, ErrorCode, Item, UpFrame};

pub(super) fn decode_up(rest: &mut &[u8], limits: DecodeLimits) -> Option<Result<UpFrame, DecodeError>> {
    (!rest.is_empty()).then(|| decode_up::frame(&mut next_frame(rest, limits)?, limits))
}

pub(super) fn decode_down(rest: &mut &[u8], limits: DecodeLimits) -> Option<Result<DownFrame, DecodeError>> {
    (!rest.is_empty()).then(|| decode_down::frame(&mut next_frame(rest, limits)?, limits))
}

/// Takes the next frame by its length. A length above the limit is refused before what it promises is looked for.
fn next_frame<'a>(rest: &mut &'a [u8], limits: DecodeLimits) -> Read<Reader<'a>> {
    let (length, prefix) = read::length(rest)?;
    if length > limits.frame_bytes.min(MAX_FRAME_BYTES) {
        return Err(ErrorCode::MessageTooLarge.into());
    }
    let Some((frame, after)) = rest[prefix..].split_at_checked(length) else {
        return Err(malformed("the frame ends too early"));
    };
    *rest = after;
    Ok(Reader::new(frame))
}

/// The length that a frame begins with, and how many bytes that takes; `None` while there are too few to tell.
pub(super) fn frame_length(bytes: &[u8]) -> Read<Option<(usize, usize)>> {
    // bincode's variable integers: the first byte is the value, or says how many follow.
    let needed = match bytes.first() {
        None => return Ok(None),
        Some(251) => 3,
        Some(252) => 5,
        Some(253) => 9,
        Some(_) => 1,
    };
    if bytes.len() < needed { Ok(None) } else { read::length(bytes).map(Some) }
}

pub(super) fn encode_up(frame: &UpFrame, buffer: &mut BytesMut) {
    Encoder::new(buffer).up(frame);
}

pub(super) fn encode_down(frame: &DownFrame, buffer: &mut BytesMut) {
    Encoder::new(buffer).down(frame);
}

pub(super) fn encode_item(item: &Item) -> Bytes {
    let mut buffer = BytesMut::with_capacity(item.size_hint());
    Encoder::new(&mut buffer).item(item);
    // It may be kept for long: without the room that was left over.
    Bytes::copy_from_slice(&buffer)
}

pub(super) fn begin_items(buffer: &mut BytesMut) {
    Encoder::new(buffer).leave_items_room();
}

pub(super) fn finish_items(buffer: &mut BytesMut, start: usize, first: u64, count: u64, ack: Option<u64>) {
    let mut encoder = Encoder::new(buffer);
    encoder.items_ack(ack);
    encoder.fill_items_room(start, layout::frame::ITEMS, first, count);
}
