//! The binary codec.
use crate::{DecodeError, DecodeLimits, DownFrame, Item, UpFrame};
use ::bytes::{Bytes, BytesMut};
pub(super) fn encode_up(_: &UpFrame, _: &mut BytesMut) {}
pub(super) fn encode_down(_: &DownFrame, _: &mut BytesMut) {}
pub(super) fn encode_item(_: &Item) -> Bytes {
    Bytes::new()
}
pub(super) fn decode_up(_: &mut &[u8], _: DecodeLimits) -> Option<Result<UpFrame, DecodeError>> {
    None
}
pub(super) fn decode_down(_: &mut &[u8], _: DecodeLimits) -> Option<Result<DownFrame, DecodeError>> {
    None
}
pub(super) fn begin_items(_: &mut BytesMut) {}
pub(super) fn finish_items(_: &mut BytesMut, _start: usize, _first: u64, _count: u64, _ack: Option<u64>) {}
