//! Frames out of a byte stream that knows no messages.
//!
//! On such a stream (one of WebTransport's) frames follow one another: in the text codec each ends with LF, in the
//! binary codec each is preceded by its length. [`FrameSplitter`] is handed what arrives, in whatever pieces, and
//! lends the frames one by one. A frame that lies within a piece is not copied; of one that does not, what has
//! arrived is kept, and no byte is looked at twice. It tells frames apart and knows nothing of what they say.
//!
//! ```
//! # use throughline_wire::{Codec, codec::FrameSplitter};
//! let mut frames = FrameSplitter::new(Codec::Json, 64 * 1024);
//! let mut heard = Vec::new();
//! for mut piece in [&b"{\"bye\""[..], b":{}}\n{\"ack\":1}\n{"] {
//!     while let Some(frame) = frames.next(&mut piece)? {
//!         heard.push(frame.to_vec());
//!     }
//! }
//! assert_eq!(heard, [&b"{\"bye\":{}}"[..], b"{\"ack\":1}"]);
//! assert!(!frames.is_between_frames());
//! # Ok::<(), throughline_wire::DecodeError>(())
//! ```

use std::mem;

use crate::{Codec, DecodeError, ErrorCode};

/// Splits a byte stream into frames.
#[derive(Debug)]
pub struct FrameSplitter {
    codec: Codec,
    max_frame_bytes: usize,
    /// The beginning of a frame whose end has not come.
    held: Vec<u8>,
    /// How long the held frame will be with its length, once that is known; of the binary codec alone.
    total: Option<usize>,
    /// `held` was lent as a whole frame: it goes with the next call.
    is_lent: bool,
    failed: Option<DecodeError>,
}

impl FrameSplitter {
    /// For a stream on which a frame, without its LF or its length, may have `max_frame_bytes`. That, and a length,
    /// is also the most that is ever kept; between frames it keeps nothing.
    pub const fn new(codec: Codec, max_frame_bytes: usize) -> Self {
        Self { codec, max_frame_bytes, held: Vec::new(), total: None, is_lent: false, failed: None }
    }

    /// Takes from the beginning of `piece` up to the end of the next frame, and lends that frame; `None` when it has
    /// taken all of the piece without coming to an end.
    ///
    /// The frame is as in a message: in the text codec without its LF (or CR LF; empty lines are skipped), in the
    /// binary codec with its length.
    ///
    /// # Errors
    /// [`MessageTooLarge`](ErrorCode::MessageTooLarge) as soon as a frame is known to be too long, before the rest of
    /// it is kept; [`MalformedFrame`](ErrorCode::MalformedFrame) for a length that is none. The stream cannot be made
    /// sense of any more: every further call says the same.
    pub fn next<'a, 'p: 'a>(&'a mut self, piece: &mut &'p [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
        if mem::take(&mut self.is_lent) {
            // The room that a long frame took is given back: most streams are at rest most of the time.
            self.held = Vec::new();
            self.total = None;
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let split = match self.codec {
            Codec::Json => self.next_line(piece),
            Codec::Bincode => self.next_block(piece),
        };
        match split {
            Ok(Split::Piece(frame)) => Ok(Some(frame)),
            Ok(Split::Held) => {
                self.is_lent = true;
                let end = match self.codec {
                    Codec::Json => without_cr(&self.held).len(),
                    Codec::Bincode => self.held.len(),
                };
                Ok(Some(&self.held[..end]))
            }
            Ok(Split::More) => Ok(None),
            Err(error) => {
                self.held = Vec::new();
                self.failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Whether nothing of a frame is held that has begun: a stream that ends now ends between two.
    pub const fn is_between_frames(&self) -> bool {
        self.held.is_empty() || self.is_lent
    }

    fn next_line<'a>(&mut self, piece: &mut &'a [u8]) -> Result<Split<'a>, DecodeError> {
        loop {
            let end = memchr::memchr(b'\n', piece);
            let (line, rest) = end.map_or((*piece, &[][..]), |end| (&piece[..end], &piece[end + 1..]));
            // One more than allowed may be a CR that does not count.
            let so_far = self.held.len() + line.len();
            let is_too_long = so_far > self.max_frame_bytes
                && (so_far > self.max_frame_bytes + 1
                    || line.last().or_else(|| self.held.last()) != Some(&b'\r'));
            if is_too_long {
                return Err(too_large());
            }
            *piece = rest;
            if end.is_none() {
                self.held.extend_from_slice(line);
                return Ok(Split::More);
            }
            if self.held.is_empty() {
                match without_cr(line) {
                    [] => continue,
                    line => return Ok(Split::Piece(line)),
                }
            }
            self.held.extend_from_slice(line);
            if without_cr(&self.held).is_empty() {
                self.held.clear();
                continue;
            }
            return Ok(Split::Held);
        }
    }

    fn next_block<'a>(&mut self, piece: &mut &'a [u8]) -> Result<Split<'a>, DecodeError> {
        if self.held.is_empty() {
            let Some(total) = self.total(piece)? else {
                self.held.extend_from_slice(mem::take(piece));
                return Ok(Split::More);
            };
            if let Some((frame, rest)) = piece.split_at_checked(total) {
                *piece = rest;
                return Ok(Split::Piece(frame));
            }
            self.total = Some(total);
        }
        // A length that came in pieces is gathered byte by byte: it has nine at most.
        while self.total.is_none() {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(Split::More) };
            self.held.push(byte);
            *piece = rest;
            self.total = self.total(&self.held)?;
        }
        let missing = self.total.unwrap_or_default() - self.held.len();
        let (part, rest) = piece.split_at(missing.min(piece.len()));
        self.held.extend_from_slice(part);
        *piece = rest;
        Ok(if part.len() == missing { Split::Held } else { Split::More })
    }

    /// How long the frame that begins here is with its length; `None` while that cannot be told.
    fn total(&self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some((length, prefix)) = super::bincode::frame_length(bytes)? else { return Ok(None) };
        if length > self.max_frame_bytes { Err(too_large()) } else { Ok(Some(prefix + length)) }
    }
}

/// Where the next frame is.
enum Split<'a> {
    Piece(&'a [u8]),
    Held,
    More,
}

const fn without_cr(line: &[u8]) -> &[u8] {
    if let [line @ .., b'\r'] = line { line } else { line }
}

fn too_large() -> DecodeError {
    ErrorCode::MessageTooLarge.into()
}
