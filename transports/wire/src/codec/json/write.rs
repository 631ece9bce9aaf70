//! Writing JSON into a buffer: no value is built, commas find their own way.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, BytesMut};

use crate::SessionId;
use crate::scan::plain_run;

/// Writes one frame or item at the end of a buffer.
pub(super) struct Encoder<'a> {
    buffer: &'a mut BytesMut,
}

impl<'a> Encoder<'a> {
    pub(super) const fn new(buffer: &'a mut BytesMut) -> Self {
        Self { buffer }
    }

    /// Bytes as they are.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// An object with a type, which is written first.
    pub(super) fn typed(&mut self, kind: &str, members: impl FnOnce(&mut Self)) {
        self.raw(b"{\"type\":\"");
        self.raw(kind.as_bytes());
        self.raw(b"\"");
        members(self);
        self.raw(b"}");
    }

    /// An object without one.
    pub(super) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.raw(b"{");
        members(self);
        self.raw(b"}");
    }

    /// A list.
    pub(super) fn list<T>(
        &mut self,
        elements: impl IntoIterator<Item = T>,
        mut element: impl FnMut(&mut Self, T),
    ) {
        self.raw(b"[");
        for (index, each) in elements.into_iter().enumerate() {
            if index > 0 {
                self.raw(b",");
            }
            element(self, each);
        }
        self.raw(b"]");
    }

    /// A member's name, which the protocol gives or a grammar keeps free of anything to escape.
    pub(super) fn key(&mut self, name: &str) -> &mut Self {
        if self.buffer.last() != Some(&b'{') {
            self.raw(b",");
        }
        self.raw(b"\"");
        self.raw(name.as_bytes());
        self.raw(b"\":");
        self
    }

    pub(super) fn integer(&mut self, value: u64) {
        let (mut digits, mut at, mut rest) = ([0; 20], 20, value);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.raw(&digits[at..]);
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.raw(if value { b"true" } else { b"false" });
    }

    pub(super) fn string(&mut self, value: &str) {
        let mut rest = value.as_bytes();
        self.raw(b"\"");
        loop {
            let (plain, others) = rest.split_at(plain_run(rest));
            self.raw(plain);
            let Some((&byte, others)) = others.split_first() else { break };
            self.escape(byte);
            rest = others;
        }
        self.raw(b"\"");
    }

    fn escape(&mut self, byte: u8) {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => {
                let digit =
                    |value: u8| char::from_digit(u32::from(value), 16).map_or(b'0', |digit| digit as u8);
                return self.raw(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
        };
        self.raw(&[b'\\', short]);
    }

    pub(super) fn session(&mut self, session: &SessionId) {
        self.raw(b"\"");
        write!(self.buffer, "{session}").expect("a buffer grows");
        self.raw(b"\"");
    }

    pub(super) fn base64(&mut self, bytes: &[u8]) {
        self.raw(b"\"");
        let start = self.buffer.len();
        let length = bytes.len().div_ceil(3) * 4;
        self.buffer.put_bytes(0, length);
        STANDARD
            .encode_slice(bytes, &mut self.buffer[start..])
            .expect("four characters for each three bytes");
        self.raw(b"\"");
    }
}
