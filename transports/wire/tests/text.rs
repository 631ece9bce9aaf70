//! The text codec, as a person types it and as it is refused.

use bytes::BytesMut;
use throughline_wire::{
    Batch, Codec, Command, DecodeError, DecodeLimits, DownFrame, ErrorCode, Item, Json, UpFrame,
};

fn up(message: &str) -> Vec<Result<UpFrame, DecodeError>> {
    Codec::Json.up_frames(message.as_bytes(), DecodeLimits::default()).collect()
}

fn refusal(message: &str) -> ErrorCode {
    match up(message).pop() {
        Some(Err(error)) => error.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn type_may_come_last_and_unknown_members_are_passed_over() {
    let frames =
        up("{\"extra\":[{\"a\":[1,2.5e3,null]}],\"upTo\": 7 ,\"type\":\"ack\"}\n\n{\"type\":\"bye\"}");
    assert_eq!(frames, [Ok(UpFrame::Ack { up_to: 7 }), Ok(UpFrame::Bye)]);
}

#[test]
fn what_came_before_an_error_stands() {
    let frames = up("{\"type\":\"bye\"}\n{\"type\":\"bye\"\n{\"type\":\"bye\"}\n");
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0], Ok(UpFrame::Bye));
    assert_eq!(frames[1].as_ref().unwrap_err().code, ErrorCode::MalformedFrame);
}

#[test]
fn a_member_that_comes_twice_is_refused_even_when_nobody_knows_it() {
    assert_eq!(refusal(r#"{"type":"bye","a":1,"a":1}"#), ErrorCode::DuplicateMember);
    assert_eq!(refusal(r#"{"type":"bye","a":1,"\u0061":1}"#), ErrorCode::DuplicateMember);
    assert_eq!(refusal(r#"{"type":"bye","type":"bye"}"#), ErrorCode::DuplicateMember);
}

#[test]
fn numbers_are_integers_up_to_2_53_minus_1() {
    assert_eq!(up(r#"{"type":"ack","upTo":9007199254740991}"#), [Ok(UpFrame::Ack { up_to: (1 << 53) - 1 })]);
    for number in ["9007199254740992", "18446744073709551617", "-1", "-0", "1.0", "1e3", "0.5"] {
        let frame = format!(r#"{{"type":"ack","upTo":{number}}}"#);
        assert_eq!(refusal(&frame), ErrorCode::NumberOutOfRange, "{number}");
    }
    for number in ["01", "+1", "1.", "\"1\"", "null", ""] {
        let frame = format!(r#"{{"type":"ack","upTo":{number}}}"#);
        assert_eq!(refusal(&frame), ErrorCode::MalformedFrame, "{number}");
    }
}

#[test]
fn a_batch_of_encoded_items_is_the_frame_that_would_be_encoded_whole() {
    let items = [Item::Unknown, Item::Unknown];
    for codec in [Codec::Json, Codec::Bincode] {
        for count in 0..=2 {
            for ack in [None, Some(9)] {
                let mut batched = BytesMut::from(&b"before"[..]);
                let mut batch = Batch::begin(codec, &mut batched, 5);
                for item in &items[..count] {
                    batch.push(&codec.encode_item(item));
                }
                batch.finish(ack);
                let mut whole = BytesMut::from(&b"before"[..]);
                let frame = throughline_wire::frame::Items { first: 5, items: items[..count].to_vec(), ack };
                codec.encode_down(&DownFrame::Items(frame), &mut whole);
                assert_eq!(batched, whole);
            }
        }
    }
}

#[test]
fn payloads_pass_through_unparsed() {
    let frame = r#"{"type":"commands","first":1,"items":[{"type":"send","channel":"a","data":{"a": [1.50, "\ud83d\ude00\/"] }}]}"#;
    let Some(Ok(UpFrame::Commands(commands))) = up(frame).pop() else { panic!("refused") };
    let Command::Send(send) = &commands.items[0] else { panic!("not a send") };
    assert_eq!(
        send.payload,
        throughline_wire::Payload::Json(Json::parse(br#"{"a": [1.50, "\ud83d\ude00\/"] }"#).unwrap())
    );
}

#[test]
fn a_payload_is_checked_where_it_enters() {
    assert_eq!(Json::parse(b"\r\n{\"a\":\r\n1}\n").unwrap().as_str(), "{\"a\":  1}");
    let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert!(Json::parse(&nested(128)).is_ok());
    assert_eq!(Json::parse(&nested(129)), Err(ErrorCode::PayloadTooDeep));
    assert_eq!(Json::parse(&nested(500_000)), Err(ErrorCode::PayloadTooDeep));
    for lone in [r#""\ud800""#, r#""\udc00""#, r#""\ud800x""#, r#""\ud800\u0041""#, r#""\ud800\n""#] {
        assert_eq!(Json::parse(lone.as_bytes()), Err(ErrorCode::LoneSurrogate), "{lone}");
    }
    assert_eq!(Json::parse(b"\"\xff\""), Err(ErrorCode::NotUtf8));
    for text in
        ["", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "nul", "1 2", "\"\n\"", "\"\\x\"", "[}", "\u{feff}1"]
    {
        assert_eq!(Json::parse(text.as_bytes()), Err(ErrorCode::MalformedPayload), "{text}");
    }
}
