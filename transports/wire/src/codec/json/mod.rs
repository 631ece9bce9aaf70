//! The text codec, `throughline.v1.json`: a frame is one JSON object on a line of its own.
//!
//! `crate::scan` knows JSON, `members` knows objects and what several frames share, `decode_*` and `encode` know the
//! frames. Payloads are checked where they pass and never parsed. A frame holds no line break: LF ends it, and CR
//! belongs nowhere.

mod decode_down;
mod decode_item;
mod decode_up;
mod encode;
mod members;
mod write;

use std::str;

use ::bytes::{Bytes, BytesMut};

use self::{members::Object, write::Encoder};
use crate::{
    DecodeError, DecodeLimits, DownFrame, ErrorCode, Item, UpFrame,
    scan::{Read, Reader},
};

pub(super) fn decode_up(rest: &mut &[u8], limits: DecodeLimits) -> Option<Result<UpFrame, DecodeError>> {
    next_frame(rest, limits, |reader| decode_up::frame(reader, limits))
}

pub(super) fn decode_down(rest: &mut &[u8], limits: DecodeLimits) -> Option<Result<DownFrame, DecodeError>> {
    next_frame(rest, limits, |reader| decode_down::frame(reader, limits))
}

/// Takes the next line that is not blank and reads it as one frame.
fn next_frame<'a, T>(
    rest: &mut &'a [u8],
    limits: DecodeLimits,
    frame: impl FnOnce(&mut Reader<'a>) -> Read<T>,
) -> Option<Result<T, DecodeError>> {
    let line = loop {
        if rest.is_empty() {
            return None;
        }
        let line = take_line(rest);
        if !line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            break line;
        }
    };
    if line.len() > limits.frame_bytes {
        return Some(Err(ErrorCode::MessageTooLarge.into()));
    }
    let Ok(line) = str::from_utf8(line) else {
        return Some(Err(ErrorCode::NotUtf8.into()));
    };
    let mut reader = Reader::of_frame(line);
    let read = frame(&mut reader).and_then(|frame| reader.end().map(|()| frame));
    Some(read.map_err(DecodeError::from))
}

/// The one member of an `ack`, up and down.
fn up_to(r: &mut Reader<'_>) -> Read<u64> {
    let mut up_to = None;
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "upTo" => up_to = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    r.required(up_to, "ack.upTo is missing")
}

/// The members of `ping` and `pong`; a client's have no window.
fn heartbeat(r: &mut Reader<'_>) -> Read<(Option<u64>, Option<u64>)> {
    let (mut nonce, mut window_ms) = (None, None);
    let mut object = Object::enter(r)?;
    while let Some(name) = object.next(r)? {
        match &*name {
            "nonce" => nonce = Some(r.integer()?),
            "windowMs" => window_ms = Some(r.integer()?),
            _ => r.skip()?,
        }
    }
    Ok((nonce, window_ms))
}

/// Takes what comes before the next LF, and the LF; the last line may lack it.
fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (line, after) = match rest.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (*rest, &[][..]),
    };
    *rest = after;
    line
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
    buffer.extend_from_slice(b",");
    // It may be kept for long: without the room that was left over.
    Bytes::copy_from_slice(&buffer)
}

pub(super) fn begin_items(buffer: &mut BytesMut, first: u64) {
    Encoder::new(buffer).begin_items(first);
}

pub(super) fn finish_items(buffer: &mut BytesMut, count: u64, ack: Option<u64>) {
    if count > 0 {
        // The last item's comma.
        buffer.truncate(buffer.len() - 1);
    }
    Encoder::new(buffer).finish_items(ack);
}
