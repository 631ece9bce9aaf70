//! Frames and items around every size at which the form of a length changes, and lengths that lie.

use bytes::BytesMut;
use throughline_wire::{
    Batch, ChannelName, Codec, DecodeLimits, DownFrame, ErrorCode, Event, Item, Meta, Offset, Payload,
    bounds,
    frame::{ErrorFrame, Items},
};

const CODECS: [Codec; 2] = [Codec::Json, Codec::Bincode];

#[test]
fn a_batch_is_read_back_whatever_the_size_of_its_items() {
    for bytes in (0..600).chain(65_450..65_570).step_by(7).chain([100_000]) {
        for count in [1, 2, 300] {
            if bytes * count > 200_000 {
                continue;
            }
            let items = vec![event(bytes); count];
            for codec in CODECS {
                let mut message = BytesMut::from(&b"before"[..]);
                let encoded = codec.encode_item(&items[0]);
                let mut batch = Batch::begin(codec, &mut message, 70_000);
                items.iter().for_each(|_| batch.push(&encoded));
                assert_eq!(batch.len(), count as u64);
                batch.finish(Some(5));
                let expected = DownFrame::Items(Items { first: 70_000, items: items.clone(), ack: Some(5) });
                let read: Vec<_> = codec.down_frames(&message[6..], DecodeLimits::default()).collect();
                assert!(read == [Ok(expected)], "{count} items of {bytes} bytes");
                assert_eq!(&message[..6], b"before");
            }
        }
    }
}

#[test]
fn a_batch_that_is_abandoned_leaves_nothing() {
    for codec in CODECS {
        let mut message = BytesMut::from(&b"before"[..]);
        let mut batch = Batch::begin(codec, &mut message, 1);
        batch.push(&codec.encode_item(&event(9)));
        batch.abandon();
        assert_eq!(message, b"before"[..]);
    }
}

#[test]
fn a_message_for_a_person_is_cut_between_characters_when_it_is_too_long() {
    let message = format!("{}{}", "é".repeat(511), "😀".repeat(9));
    let frame = |message: &str| {
        DownFrame::Error(ErrorFrame {
            code: ErrorCode::Internal,
            message: message.into(),
            command: None,
            fatal: false,
        })
    };
    for codec in CODECS {
        let mut encoded = BytesMut::new();
        codec.encode_down(&frame(&message), &mut encoded);
        let read: Vec<_> = codec.down_frames(&encoded, DecodeLimits::default()).collect();
        assert_eq!(read, [Ok(frame(&"é".repeat(511)))]);
        assert!("é".repeat(511).len() <= bounds::MESSAGE_BYTES);
    }
}

#[test]
fn a_count_or_a_length_that_lies_is_refused_at_once() {
    // A frame of 8 bytes that claims 4,096 commands; and one that claims 2^60 bytes.
    let count: &[u8] = &[6, 4, 1, 0xfb, 0, 0x10, 0];
    let length: &[u8] = &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0x10];
    for (message, code) in [(count, ErrorCode::MalformedFrame), (length, ErrorCode::MessageTooLarge)] {
        let read: Vec<_> = Codec::Bincode.up_frames(message, DecodeLimits::default()).collect();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].as_ref().unwrap_err().code, code);
    }
}

fn event(bytes: usize) -> Item {
    Item::Event(Event {
        channel: ChannelName::parse("news").expect("legal"),
        offset: Offset::new(1).expect("small"),
        time: 1,
        name: None,
        key: None,
        sender: None,
        meta: Meta::default(),
        payload: Payload::Bytes(vec![7; bytes].into()),
    })
}
