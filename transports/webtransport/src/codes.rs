//! Error codes of streams, as WebTransport maps them into those of HTTP/3.
//!
//! A client sees the code of a stream that was reset or stopped only if it lies in the range that is set aside for
//! applications, with the reserved codes of HTTP/3 left out (draft-ietf-webtrans-http3, "Resetting data streams").

use throughline_wire::CloseCode;
use wtransport::VarInt;

/// The first code of the range.
const FIRST: u64 = 0x52e4_a40f_a8db;

/// The code on the wire of an application's code.
pub(crate) fn stream_code(code: CloseCode) -> VarInt {
    let code = u64::from(code.0);
    VarInt::try_from_u64(FIRST + code + code / 0x1e).unwrap_or(VarInt::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The draft's own example of the way back.
    fn back(on_wire: u64) -> u64 {
        let shifted = on_wire - FIRST;
        shifted - shifted / 0x1f
    }

    #[test]
    fn a_stream_code_comes_back_as_it_was_and_is_never_a_reserved_one() {
        for code in 0..=u16::MAX {
            let on_wire = stream_code(CloseCode(code)).into_inner();
            assert_eq!(back(on_wire), code.into());
            assert_ne!((on_wire - 0x21) % 0x1f, 0, "reserved by HTTP/3");
        }
    }
}
