//! What does it cost to write a frame, and to read one, in each codec?
//!
//! Down: an `items` frame of one event of 128 B and of sixteen, put together from encoded items as a link does it,
//! and read as a client does. Up: an acknowledgement, and the hello of a poll, which the gateway reads for each.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throughline_wire::{
    Batch, ChannelName, Codec, DecodeLimits, Event, Item, Json, Offset, Payload, Token, UpFrame,
    frame::{Hello, Resume},
};

const CODECS: [Codec; 2] = [Codec::Json, Codec::Bincode];

fn event() -> Item {
    let payload = format!("\"{}\"", "x".repeat(126));
    Item::Event(Event {
        channel: ChannelName::parse("bench").expect("a legal name"),
        offset: Offset::new(1_000).expect("in range"),
        time: 1_764_000_000_000,
        name: None,
        key: None,
        sender: None,
        meta: throughline_wire::Meta::default(),
        payload: Payload::Json(Json::parse(payload.as_bytes()).expect("JSON")),
    })
}

fn hello() -> UpFrame {
    let resume = Resume {
        token: Token::new("0.ndkyWhxkqiS_2a7vwziTwQ.8l1f5fX61uwhqIOa8gBpZg".to_owned()),
        incarnation: 1,
        after: 1_000,
        low: 2,
        positions: None,
    };
    let hello =
        Hello { instance: "a6c1f0".into(), attach: Some(7), resume: Some(resume), ..Hello::default() };
    UpFrame::Hello(Box::new(hello))
}

fn down(criterion: &mut Criterion) {
    for codec in CODECS {
        let mut group = criterion.benchmark_group(format!("items down, {}", codec.name()));
        let encoded = codec.encode_item(&event());
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        group.bench_function("encode one event, once for all sessions", |bencher| {
            let event = event();
            bencher.iter(|| codec.encode_item(black_box(&event)));
        });
        for count in [1, 16] {
            let mut write = || {
                buffer.clear();
                let mut batch = Batch::begin(codec, &mut buffer, black_box(1_000));
                (0..count).for_each(|_| batch.push(black_box(&encoded)));
                batch.finish(None);
                buffer.len()
            };
            group.throughput(Throughput::Elements(count));
            group.bench_function(format!("put together a frame of {count}"), |bencher| {
                bencher.iter(&mut write);
            });
            write();
            let message = buffer.clone().freeze();
            group.bench_function(format!("decode a frame of {count}"), |bencher| {
                bencher.iter(|| codec.down_frames(black_box(&message), DecodeLimits::default()).count());
            });
        }
        group.finish();
    }
}

fn up(criterion: &mut Criterion) {
    for codec in CODECS {
        let mut group = criterion.benchmark_group(format!("frames up, {}", codec.name()));
        for (name, frame) in [("ack", UpFrame::Ack { up_to: 1_000 }), ("hello of a poll", hello())] {
            let mut buffer = BytesMut::new();
            group.bench_function(format!("encode {name}"), |bencher| {
                bencher.iter(|| {
                    buffer.clear();
                    codec.encode_up(black_box(&frame), &mut buffer);
                });
            });
            buffer.clear();
            codec.encode_up(&frame, &mut buffer);
            group.bench_function(format!("decode {name}"), |bencher| {
                bencher.iter(|| codec.up_frames(black_box(&buffer), DecodeLimits::default()).count());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, down, up);
criterion_main!(benches);
