//! What holds for every frame and for every message, in both codecs.

mod frames;
mod streams;

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*};
use throughline_wire::{
    Batch, Codec, DecodeError, DecodeLimits, DownFrame, ErrorCode, Json, UpFrame, frame::Items,
};

const CODECS: [Codec; 2] = [Codec::Json, Codec::Bincode];

proptest! {
    #[test]
    fn decoding_undoes_encoding_of_a_clients_frames(frames in vec(frames::up_frame(), 0..4)) {
        for codec in CODECS {
            prop_assert_eq!(&up_frames(codec, &up_message(codec, &frames)).unwrap(), &frames);
        }
    }

    #[test]
    fn decoding_undoes_encoding_of_the_gateways_frames(frames in vec(frames::down_frame(), 0..4)) {
        for codec in CODECS {
            prop_assert_eq!(&down_frames(codec, &down_message(codec, &frames)).unwrap(), &frames);
        }
    }

    #[test]
    fn a_message_is_the_same_bytes_after_a_way_through_the_other_codec(frame in frames::up_frame()) {
        for (codec, other) in [(Codec::Json, Codec::Bincode), (Codec::Bincode, Codec::Json)] {
            let message = up_message(codec, std::slice::from_ref(&frame));
            let through = up_message(other, &up_frames(codec, &message).unwrap());
            prop_assert_eq!(up_message(codec, &up_frames(other, &through).unwrap()), message);
        }
    }

    #[test]
    fn a_text_message_has_one_line_for_each_frame(frames in vec(frames::down_frame(), 0..4)) {
        let message = down_message(Codec::Json, &frames);
        prop_assert_eq!(message.iter().filter(|&&byte| byte == b'\n').count(), frames.len());
        prop_assert!(!message.contains(&b'\r'));
        for line in message[..].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok());
            let type_comes_first = line.starts_with(b"{\"type\":\"");
            prop_assert!(type_comes_first);
        }
    }

    #[test]
    fn a_batch_is_the_frame_that_is_encoded_whole(
        items in vec(frames::item(), 0..40),
        first in 0..=throughline_wire::MAX_INTEGER,
        ack in proptest::option::of(0..1_000_u64),
        before in vec(any::<u8>(), 0..9),
    ) {
        for codec in CODECS {
            let mut batched = BytesMut::from(&before[..]);
            let mut batch = Batch::begin(codec, &mut batched, first);
            for item in &items {
                batch.push(&codec.encode_item(item));
            }
            batch.finish(ack);
            let mut whole = BytesMut::from(&before[..]);
            codec.encode_down(&DownFrame::Items(Items { first, items: items.clone(), ack }), &mut whole);
            prop_assert_eq!(batched, whole);
        }
    }

    #[test]
    fn a_message_that_is_cut_yields_its_whole_frames_and_one_fault_at_most(
        frames in vec(frames::up_frame(), 1..4),
        place in any::<proptest::sample::Index>(),
    ) {
        for codec in CODECS {
            let message = up_message(codec, &frames);
            let cut = &message[..place.index(message.len())];
            let read: Vec<_> = codec.up_frames(cut, DecodeLimits::default()).collect();
            let whole = read.iter().take_while(|frame| frame.is_ok()).count();
            prop_assert!(read.len() <= whole + 1);
            for (read, sent) in read[..whole].iter().zip(&frames) {
                prop_assert_eq!(read.as_ref().unwrap(), sent);
            }
        }
    }

    #[test]
    fn no_bytes_panic_a_decoder(message in vec(any::<u8>(), 0..200)) {
        read_every_way(&message);
    }

    #[test]
    fn no_damage_panics_a_decoder(
        up in frames::up_frame(),
        down in frames::down_frame(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for codec in CODECS {
            let frames = [up_message(codec, std::slice::from_ref(&up)), down_message(codec, std::slice::from_ref(&down))];
            for mut message in frames {
                for (place, byte) in &damage {
                    let place = place.index(message.len());
                    message[place] = *byte;
                }
                read_every_way(&message);
            }
        }
    }

    #[test]
    fn what_a_decoder_accepts_it_accepts_again_as_it_writes_it(text in "[\\{\\}\\[\\]\",:a-z0-9\\\\ ]{0,40}") {
        let frame = format!("{{\"type\":\"volatile\",\"channel\":\"a\",\"seq\":1,\"data\":{text}}}");
        if let Ok(frames) = up_frames(Codec::Json, frame.as_bytes()) {
            prop_assert_eq!(up_frames(Codec::Json, &up_message(Codec::Json, &frames)).unwrap(), frames);
        }
    }

    #[test]
    fn a_payload_is_json_where_another_reader_says_so(text in json_or_nearly()) {
        let ours = Json::parse(text.as_bytes());
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        match ours {
            // Theirs takes lone surrogates, and stops at its own depth.
            Err(ErrorCode::LoneSurrogate | ErrorCode::PayloadTooDeep) => {}
            Err(_) => prop_assert!(theirs.is_err(), "refused: {text}"),
            Ok(ours) => prop_assert_eq!(theirs.unwrap().get().trim().replace(['\r', '\n'], " "), ours.as_str()),
        }
    }
}

fn json_or_nearly() -> impl Strategy<Value = String> {
    let damaged =
        (frames::json(), any::<proptest::sample::Index>(), "[\\{\\}\\[\\]\",:0-9eE.+u\\\\ \r\n-]{0,2}");
    prop_oneof![
        frames::json(),
        frames::json().prop_map(|text| text.replace(' ', "\r\n")),
        damaged.prop_map(|(text, place, piece)| {
            let place = text.floor_char_boundary(place.index(text.len() + 1));
            format!("{}{piece}{}", &text[..place], &text[place..])
        }),
        "[\\{\\}\\[\\]\",:0-9truefalsn\\\\ \r\n-]{0,20}",
    ]
}

fn up_message(codec: Codec, frames: &[UpFrame]) -> BytesMut {
    let mut message = BytesMut::new();
    frames.iter().for_each(|frame| codec.encode_up(frame, &mut message));
    message
}

fn down_message(codec: Codec, frames: &[DownFrame]) -> BytesMut {
    let mut message = BytesMut::new();
    frames.iter().for_each(|frame| codec.encode_down(frame, &mut message));
    message
}

fn up_frames(codec: Codec, message: &[u8]) -> Result<Vec<UpFrame>, DecodeError> {
    codec.up_frames(message, DecodeLimits::default()).collect()
}

fn down_frames(codec: Codec, message: &[u8]) -> Result<Vec<DownFrame>, DecodeError> {
    codec.down_frames(message, DecodeLimits::default()).collect()
}

fn read_every_way(message: &[u8]) {
    for codec in CODECS {
        codec.up_frames(message, DecodeLimits::default()).for_each(drop);
        codec.down_frames(message, DecodeLimits::default()).for_each(drop);
    }
    drop(Json::parse(message));
}
