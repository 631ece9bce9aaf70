//! A byte stream, split into frames.

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::Index};
use throughline_wire::{Codec, DecodeError, DecodeLimits, ErrorCode, UpFrame, codec::FrameSplitter};

use super::{CODECS, frames};

/// Larger than any frame here.
const ROOM: usize = 1 << 20;

proptest! {
    #[test]
    fn any_chunking_gives_the_same_frames(
        sent in vec(frames::up_frame(), 0..6),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        for codec in CODECS {
            let stream = stream_of(codec, &sent);
            let mut splitter = FrameSplitter::new(codec, ROOM);
            let mut heard = Vec::new();
            for piece in pieces(&stream, &cuts) {
                split(&mut splitter, piece, &mut heard).unwrap();
            }
            prop_assert!(splitter.is_between_frames());
            let decoded: Vec<_> = heard.iter().map(|frame| decode_one(codec, frame)).collect();
            prop_assert_eq!(&decoded, &sent);
        }
    }

    #[test]
    fn what_random_bytes_are_split_into_does_not_depend_on_the_chunking(
        stream in vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), 0..4_u8], 0..200),
        cuts in vec(any::<Index>(), 0..12),
        max_frame_bytes in 0..40_usize,
    ) {
        for codec in CODECS {
            let mut whole = Vec::new();
            let told = split(&mut FrameSplitter::new(codec, max_frame_bytes), &stream, &mut whole);
            let mut splitter = FrameSplitter::new(codec, max_frame_bytes);
            let mut heard = Vec::new();
            let told_in_pieces = pieces(&stream, &cuts)
                .try_for_each(|piece| split(&mut splitter, piece, &mut heard));
            prop_assert_eq!(&heard, &whole);
            prop_assert_eq!(told_in_pieces, told);
            let prefix = if codec.is_text() { 0 } else { 9 };
            prop_assert!(heard.iter().all(|frame| frame.len() <= max_frame_bytes + prefix));
        }
    }
}

#[test]
fn a_frame_may_be_as_large_as_is_allowed_and_no_larger() {
    for codec in CODECS {
        for (bytes, fits) in [(1_000, true), (1_001, false)] {
            for piece_bytes in [1, 7, 2_000] {
                let stream = block(codec, bytes);
                let mut splitter = FrameSplitter::new(codec, 1_000);
                let mut heard = Vec::new();
                let told =
                    stream.chunks(piece_bytes).try_for_each(|piece| split(&mut splitter, piece, &mut heard));
                assert_eq!(
                    told.map_err(|error| error.code),
                    fits.then_some(()).ok_or(ErrorCode::MessageTooLarge)
                );
                assert_eq!(heard.len(), usize::from(fits));
            }
        }
    }
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_the_rest_of_it_has_come() {
    for (codec, begun) in
        [(Codec::Json, "m".repeat(1_002).into_bytes()), (Codec::Bincode, vec![252, 0, 0, 0, 1])]
    {
        let mut splitter = FrameSplitter::new(codec, 1_000);
        for _ in 0..2 {
            let error = splitter.next(&mut &begun[..]).unwrap_err();
            assert_eq!(error.code, ErrorCode::MessageTooLarge, "the second call as the first");
        }
    }
}

#[test]
fn empty_lines_and_carriage_returns_are_no_frames() {
    let stream = b"\n\r\n{}\r\n\n[]\n\r\n";
    for piece_bytes in 1..=stream.len() {
        let mut splitter = FrameSplitter::new(Codec::Json, 2);
        let mut heard = Vec::new();
        for piece in stream.chunks(piece_bytes) {
            split(&mut splitter, piece, &mut heard).unwrap();
        }
        assert_eq!(heard, [b"{}", b"[]"], "{piece_bytes} bytes at a time");
        assert!(splitter.is_between_frames());
    }
}

#[test]
fn half_a_frame_is_none() {
    for (codec, half) in
        [(Codec::Json, &b"{\"bye\""[..]), (Codec::Bincode, &[5, 1]), (Codec::Bincode, &[251, 1])]
    {
        let mut splitter = FrameSplitter::new(codec, ROOM);
        assert_eq!(splitter.next(&mut &half[..]), Ok(None));
        assert!(!splitter.is_between_frames());
    }
}

#[test]
fn a_length_that_is_none_is_malformed() {
    for first in [254, 255] {
        let error = FrameSplitter::new(Codec::Bincode, ROOM).next(&mut &[first; 20][..]).unwrap_err();
        assert_eq!(error.code, ErrorCode::MalformedFrame);
    }
}

/// Frames as a client writes them on a stream.
fn stream_of(codec: Codec, sent: &[UpFrame]) -> BytesMut {
    let mut stream = BytesMut::new();
    for frame in sent {
        codec.encode_up(frame, &mut stream);
    }
    stream
}

/// A frame of so many bytes, whatever they say.
fn block(codec: Codec, bytes: u16) -> Vec<u8> {
    let [low, high] = bytes.to_le_bytes();
    let (before, after): (&[u8], &[u8]) = match codec {
        Codec::Json => (b"", b"\n"),
        Codec::Bincode => (&[251, low, high], b""),
    };
    [before, &vec![b'm'; bytes.into()], after].concat()
}

/// The stream cut at these places.
fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> impl Iterator<Item = &'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(stream.len());
    let mut from = 0;
    cuts.into_iter().map(move |to| &stream[std::mem::replace(&mut from, to)..to])
}

fn split(
    splitter: &mut FrameSplitter,
    mut piece: &[u8],
    heard: &mut Vec<Vec<u8>>,
) -> Result<(), DecodeError> {
    while let Some(frame) = splitter.next(&mut piece)? {
        heard.push(frame.to_vec());
    }
    assert!(piece.is_empty(), "all of a piece is taken");
    Ok(())
}

fn decode_one(codec: Codec, frame: &[u8]) -> UpFrame {
    let mut frames = codec.up_frames(frame, DecodeLimits::default());
    let first = frames.next().unwrap().unwrap();
    assert!(frames.next().is_none(), "one frame, not two");
    first
}
