//! Writing bincode into a buffer, and lengths before what is not yet written.

use ::bincode::{
    Encode,
    config::standard,
    enc::{
        EncoderImpl,
        write::{SliceWriter, Writer},
    },
    error::EncodeError,
};
use ::bytes::{BufMut as _, BytesMut};

/// The most bytes that an integer takes.
const INTEGER_BYTES: usize = 9;

/// What precedes the items of a frame: its length, its type, the first number, the count.
pub(super) const ITEMS_ROOM: usize = INTEGER_BYTES + 1 + INTEGER_BYTES + INTEGER_BYTES;

/// Writes one frame or item at the end of a buffer.
pub(super) struct Encoder<'a> {
    buffer: &'a mut BytesMut,
}

struct Growing<'a>(&'a mut BytesMut);

impl Writer for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl<'a> Encoder<'a> {
    pub(super) const fn new(buffer: &'a mut BytesMut) -> Self {
        Self { buffer }
    }

    fn put(&mut self, value: impl Encode) {
        let mut encoder = EncoderImpl::new(Growing(self.buffer), standard());
        value.encode(&mut encoder).expect("a buffer grows");
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.put(value);
    }

    pub(super) fn integer(&mut self, value: u64) {
        self.put(value);
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.put(value);
    }

    pub(super) fn string(&mut self, value: &str) {
        self.put(value);
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.put(value);
    }

    /// Sixteen bytes as they are.
    pub(super) fn session(&mut self, value: &[u8; 16]) {
        self.put(value);
    }

    /// Whether a member is there, and the member.
    pub(super) fn option<T>(&mut self, value: Option<T>, member: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            member(self, value);
        }
    }

    /// How many elements there are, and the elements.
    pub(super) fn list<T>(&mut self, elements: &[T], mut element: impl FnMut(&mut Self, &T)) {
        self.integer(elements.len() as u64);
        for each in elements {
            element(self, each);
        }
    }

    /// A length, a type, and the members of a frame, an item or a command.
    ///
    /// The length is not known before: one byte is left for it, which most items need, and a longer body moves.
    pub(super) fn typed(&mut self, kind: u8, members: impl FnOnce(&mut Self)) {
        let start = self.buffer.len();
        self.byte(0);
        self.byte(kind);
        members(self);
        let length = self.buffer.len() - start - 1;
        let mut prefix = Prefix::default();
        prefix.integer(length as u64);
        self.put_before(start, 1, &prefix);
    }

    /// Leaves room for what precedes the items of a frame.
    pub(super) fn leave_items_room(&mut self) {
        self.buffer.put_bytes(0, ITEMS_ROOM);
    }

    /// Writes what precedes them into the room that was left for it at `start`.
    pub(super) fn fill_items_room(&mut self, start: usize, kind: u8, first: u64, count: u64) {
        let mut members = Prefix::default();
        members.byte(kind);
        members.integer(first);
        members.integer(count);
        let mut prefix = Prefix::default();
        prefix.integer((members.length + self.buffer.len() - start - ITEMS_ROOM) as u64);
        prefix.raw(members.as_slice());
        self.put_before(start, ITEMS_ROOM, &prefix);
    }

    /// Puts a prefix where `room` bytes were left for it; what follows moves up to it.
    fn put_before(&mut self, start: usize, room: usize, prefix: &Prefix) {
        let (prefix, body) = (prefix.as_slice(), start + room);
        let length = self.buffer.len() - body;
        let moved = start + prefix.len();
        if moved > body {
            self.buffer.put_bytes(0, moved - body);
        }
        self.buffer.copy_within(body..body + length, moved);
        self.buffer.truncate(moved + length);
        self.buffer[start..moved].copy_from_slice(prefix);
    }
}

/// A few bytes that are put before others.
#[derive(Default)]
struct Prefix {
    bytes: [u8; ITEMS_ROOM],
    length: usize,
}

impl Prefix {
    fn byte(&mut self, value: u8) {
        self.raw(&[value]);
    }

    fn integer(&mut self, value: u64) {
        let mut encoder = EncoderImpl::new(SliceWriter::new(&mut self.bytes[self.length..]), standard());
        value.encode(&mut encoder).expect("there is room for three integers and a byte");
        self.length += encoder.into_writer().bytes_written();
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
