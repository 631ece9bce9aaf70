//! The vectors of `tests/vectors/`, which any client in any language runs too. Its README says how.

use std::{fs, path::Path};

use bytes::BytesMut;
use serde::{Deserialize, de::DeserializeOwned};
use throughline_wire::{
    CloseCode, Codec, DecodeError, DecodeLimits, DownFrame, ErrorCode, Json, RetryReason, UpFrame,
};

#[derive(Deserialize)]
struct File<T> {
    vectors: Vec<T>,
}

/// A message as a file writes it: text, text in hexadecimal where it is not UTF-8, or binary in hexadecimal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    text: Option<String>,
    text_hex: Option<String>,
    binary: Option<String>,
}

#[derive(Deserialize)]
struct Canonical {
    name: String,
    direction: Direction,
    text: String,
    binary: String,
}

#[derive(Deserialize)]
struct Accepted {
    name: String,
    direction: Direction,
    #[serde(flatten)]
    message: Message,
    means: String,
}

#[derive(Deserialize)]
struct Invalid {
    name: String,
    direction: Direction,
    #[serde(flatten)]
    message: Message,
    #[serde(default)]
    before: String,
    #[serde(default)]
    limits: Limits,
    error: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Limits {
    frame_bytes: Option<usize>,
    entries: Option<usize>,
}

#[derive(Deserialize)]
struct Payload {
    name: String,
    #[serde(flatten)]
    message: Message,
    gives: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum Direction {
    Up,
    Down,
}

/// Frames of one direction, so that a test need not know which.
#[derive(PartialEq, Debug)]
enum Frames {
    Up(Vec<UpFrame>),
    Down(Vec<DownFrame>),
}

#[test]
fn canonical_messages_are_read_and_written_as_they_are() {
    for file in ["frames-up", "commands", "frames-down", "items"] {
        for Canonical { name, direction, text, binary } in vectors(file) {
            let (text, binary) = (text.into_bytes(), unhex(&binary));
            let (from_text, fault) = read(Codec::Json, direction, &text, DecodeLimits::default());
            assert_eq!(fault, None, "{file}, {name}: text");
            let (from_binary, fault) = read(Codec::Bincode, direction, &binary, DecodeLimits::default());
            assert_eq!(fault, None, "{file}, {name}: binary");
            assert_eq!(from_text, from_binary, "{file}, {name}");
            assert_eq!(display(&write(Codec::Json, &from_text)), display(&text), "{file}, {name}");
            assert_eq!(hex(&write(Codec::Bincode, &from_text)), hex(&binary), "{file}, {name}");
        }
    }
}

#[test]
fn accepted_messages_mean_what_their_canonical_text_says() {
    for Accepted { name, direction, message, means } in vectors("accepted") {
        let (codec, bytes) = message.bytes();
        let (frames, fault) = read(codec, direction, &bytes, DecodeLimits::default());
        assert_eq!(fault, None, "{name}");
        assert_eq!(display(&write(Codec::Json, &frames)), means, "{name}");
        let unchanged = codec == Codec::Json && bytes == means.as_bytes();
        assert!(!unchanged || bytes.is_empty(), "{name}: this is canonical, and belongs to another file");
    }
}

#[test]
fn invalid_messages_are_refused_by_the_code_that_is_named() {
    for Invalid { name, direction, message, before, limits, error } in vectors("invalid") {
        let (codec, bytes) = message.bytes();
        let default = DecodeLimits::default();
        let limits = DecodeLimits {
            frame_bytes: limits.frame_bytes.unwrap_or(default.frame_bytes),
            entries: limits.entries.unwrap_or(default.entries),
        };
        let (frames, fault) = read(codec, direction, &bytes, limits);
        assert_eq!(display(&write(Codec::Json, &frames)), before, "{name}: what came before");
        let fault = fault.unwrap_or_else(|| panic!("{name}: not refused"));
        assert_eq!(fault.code.as_str(), error, "{name}: {fault}");
    }
}

#[test]
fn payloads_are_kept_or_refused_as_they_enter() {
    for Payload { name, message, gives, error } in vectors("payloads") {
        let result = Json::parse(&message.bytes().1);
        let (kept, code) = match &result {
            Ok(json) => (Some(json.as_str()), None),
            Err(code) => (None, Some(code.as_str())),
        };
        assert_eq!((kept, code), (gives.as_deref(), error.as_deref()), "{name}");
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Code {
    close_code: u16,
    close_name: Option<String>,
    retry_reason: Option<String>,
    error_code: Option<String>,
    retryable: bool,
}

#[test]
fn the_table_of_codes_is_that_of_the_code() {
    let all: Vec<Code> = vectors("codes");
    let closes: Vec<_> = all
        .iter()
        .filter_map(|code| Some((CloseCode(code.close_code), code.close_name.as_deref()?)))
        .collect();
    assert_eq!(closes, CloseCode::ALL);
    let reasons: Vec<_> = all.iter().filter_map(|code| code.retry_reason.as_deref()).collect();
    assert_eq!(reasons, RetryReason::ALL.iter().map(|reason| reason.as_str()).collect::<Vec<_>>());
    let errors: Vec<_> =
        all.iter().filter_map(|code| Some((code.error_code.as_deref()?, code.retryable))).collect();
    let coded = ErrorCode::ALL.iter().map(|code| (code.as_str(), code.is_retryable()));
    assert_eq!(errors, coded.collect::<Vec<_>>());
}

fn vectors<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(file).with_extension("json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: File<T> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!file.vectors.is_empty());
    file.vectors
}

impl Message {
    fn bytes(&self) -> (Codec, Vec<u8>) {
        match (&self.text, &self.text_hex, &self.binary) {
            (Some(text), None, None) => (Codec::Json, text.clone().into_bytes()),
            (None, Some(text), None) => (Codec::Json, unhex(text)),
            (None, None, Some(binary)) => (Codec::Bincode, unhex(binary)),
            _ => panic!("a message is one of text, textHex and binary"),
        }
    }
}

/// The frames that can be read, and what is wrong after them.
fn read(
    codec: Codec,
    direction: Direction,
    message: &[u8],
    limits: DecodeLimits,
) -> (Frames, Option<DecodeError>) {
    let mut fault = None;
    let frames = match direction {
        Direction::Up => {
            let frames = codec.up_frames(message, limits);
            Frames::Up(frames.filter_map(|frame| frame.map_err(|error| fault = Some(error)).ok()).collect())
        }
        Direction::Down => {
            let frames = codec.down_frames(message, limits);
            Frames::Down(frames.filter_map(|frame| frame.map_err(|error| fault = Some(error)).ok()).collect())
        }
    };
    (frames, fault)
}

fn write(codec: Codec, frames: &Frames) -> BytesMut {
    let mut message = BytesMut::new();
    match frames {
        Frames::Up(frames) => frames.iter().for_each(|frame| codec.encode_up(frame, &mut message)),
        Frames::Down(frames) => frames.iter().for_each(|frame| codec.encode_down(frame, &mut message)),
    }
    message
}

fn display(text: &[u8]) -> String {
    String::from_utf8(text.to_vec()).expect("text messages are UTF-8")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "two digits for each byte");
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digit).collect()
}
