//! The text codec.
use ::bytes::{Bytes, BytesMut};
use crate::{DecodeError, DecodeLimits, DownFrame, ErrorCode, Item, UpFrame};
pub(crate) fn check_payload(_text: &[u8]) -> Result<Vec<u8>, ErrorCode> { Err(ErrorCode::Internal) }
pub(super) fn encode_up(_: &UpFrame, _: &mut BytesMut) {}
pub(super) fn encode_down(_: &DownFrame, _: &mut BytesMut) {}
pub(super) fn encode_item(_: &Item) -> Bytes { Bytes::new() }
pub(super) fn decode_up(_: &mut &[u8], _: DecodeLimits) -> Option<Result<UpFrame, DecodeError>> { None }
pub(super) fn decode_down(_: &mut &[u8], _: DecodeLimits) -> Option<Result<DownFrame, DecodeError>> { None }
pub(super) fn begin_items(_: &mut BytesMut, _first: u64) {}
pub(super) fn finish_items(_: &mut BytesMut, _count: u64, _ack: Option<u64>) {}
