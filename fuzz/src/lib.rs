//! What the fuzz targets check of any message, besides that nothing panics: what a decoder accepts, it accepts again
//! as its encoder writes it, in both codecs, and it is the same.
//!
//! `cargo fuzz run -s none TARGET` runs one on a stable toolchain; the vectors of `tests/vectors` are good seeds.

use bytes::BytesMut;
use throughline_wire::{Codec, DecodeLimits, DownFrame, UpFrame};

const CODECS: [Codec; 2] = [Codec::Json, Codec::Bincode];

/// Reads a client's message, and reads it again as each codec writes it.
pub fn up(codec: Codec, message: &[u8]) {
    let read = |codec: Codec, message: &[u8]| -> Vec<UpFrame> {
        codec.up_frames(message, limits(message)).map_while(Result::ok).collect()
    };
    let frames = read(codec, message);
    for other in CODECS {
        let mut written = BytesMut::new();
        frames.iter().for_each(|frame| other.encode_up(frame, &mut written));
        assert_eq!(read(other, &written), frames, "written by {}", other.name());
    }
}

/// Reads a gateway's message, and reads it again as each codec writes it.
pub fn down(codec: Codec, message: &[u8]) {
    let read = |codec: Codec, message: &[u8]| -> Vec<DownFrame> {
        codec.down_frames(message, limits(message)).map_while(Result::ok).collect()
    };
    let frames = read(codec, message);
    for other in CODECS {
        let mut written = BytesMut::new();
        frames.iter().for_each(|frame| other.encode_down(frame, &mut written));
        assert_eq!(read(other, &written), frames, "written by {}", other.name());
    }
}

/// What one codec writes may be longer than what the other was given: never refused for its size here.
fn limits(message: &[u8]) -> DecodeLimits {
    DecodeLimits { frame_bytes: 1 << 24, entries: message.len().max(16) }
}
