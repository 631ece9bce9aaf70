//! Blocks of an event stream: lines of `field: value`, ended by an empty line.
//!
//! All is written in place, at the end of the buffer that the stream leaves in. A message of one frame, which is
//! what most are, is not moved again.

use std::fmt::Write;

use bytes::BytesMut;
use throughline_link::Peer;

/// The last block of a buffer, while it is written.
pub(crate) struct Block {
    start: usize,
}

impl Block {
    /// Begins a block at the buffer's end.
    pub(crate) fn begin(buffer: &BytesMut) -> Self {
        Self { start: buffer.len() }
    }

    /// Begins its data. A message is to follow, then [`cut`](Self::cut).
    pub(crate) fn data(&self, buffer: &mut BytesMut) {
        buffer.extend_from_slice(DATA);
    }

    /// Gives each frame of the message that follows `data:` a block of its own; the last one stays open.
    pub(crate) fn cut(&self, buffer: &mut BytesMut) {
        let message_at = self.start + DATA.len();
        while buffer.len() > message_at && buffer.ends_with(b"\n") {
            buffer.truncate(buffer.len() - 1);
        }
        if buffer.len() == message_at {
            // No frame, no data: an event without any would reach the application.
            return self.abandon(buffer);
        }
        let mut from = buffer.len();
        let breaks = buffer[message_at..].iter().filter(|byte| **byte == b'\n').count();
        buffer.resize(from + breaks * (BETWEEN.len() - 1), 0);
        let mut to = buffer.len();
        // From the last frame to the first, so that none is overwritten before it has moved.
        for _ in 0..breaks {
            let Some(line_break) = buffer[..from].iter().rposition(|byte| *byte == b'\n') else { break };
            to -= from - (line_break + 1);
            buffer.copy_within(line_break + 1..from, to);
            to -= BETWEEN.len();
            buffer[to..to + BETWEEN.len()].copy_from_slice(BETWEEN);
            from = line_break;
        }
        buffer.extend_from_slice(b"\n");
    }

    /// Adds what the client repeats when it comes back, if the peer has such a thing.
    pub(crate) fn tag<P: Peer>(&self, buffer: &mut BytesMut, peer: &P) {
        let before = buffer.len();
        buffer.extend_from_slice(ID);
        let empty = buffer.len();
        peer.write_resume_tag(buffer);
        if buffer.len() == empty {
            buffer.truncate(before);
        } else {
            buffer.extend_from_slice(b"\n");
        }
    }

    /// Adds when the client should come back, if there is such a time.
    pub(crate) fn retry(&self, buffer: &mut BytesMut, milliseconds: Option<u64>) {
        if let Some(milliseconds) = milliseconds {
            // A buffer that grows takes all that is written.
            let _ = writeln!(buffer, "retry: {milliseconds}");
        }
    }

    /// Ends the block, unless nothing is in it.
    pub(crate) fn end(self, buffer: &mut BytesMut) {
        if buffer.len() > self.start {
            buffer.extend_from_slice(b"\n");
        }
    }

    /// Takes the block back.
    pub(crate) fn abandon(&self, buffer: &mut BytesMut) {
        buffer.truncate(self.start);
    }
}

const DATA: &[u8] = b"data: ";
const ID: &[u8] = b"id: ";
const BETWEEN: &[u8] = b"\n\ndata: ";

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(message: &str, retry: Option<u64>) -> String {
        let mut buffer = BytesMut::from("before");
        let block = Block::begin(&buffer);
        block.data(&mut buffer);
        buffer.extend_from_slice(message.as_bytes());
        block.cut(&mut buffer);
        block.retry(&mut buffer, retry);
        block.end(&mut buffer);
        let text = String::from_utf8(buffer.to_vec()).unwrap();
        text.strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn a_message_of_one_frame_is_one_block() {
        assert_eq!(blocks("{}", None), "data: {}\n\n");
    }

    #[test]
    fn each_frame_of_a_message_is_a_block_in_order() {
        assert_eq!(blocks("a\nbcdefghijkl\nmn", None), "data: a\n\ndata: bcdefghijkl\n\ndata: mn\n\n");
    }

    #[test]
    fn a_line_break_at_the_end_makes_no_event() {
        assert_eq!(blocks("a\nb\n", None), "data: a\n\ndata: b\n\n");
        assert_eq!(blocks("\n", None), "");
    }

    #[test]
    fn advice_stands_in_the_block_of_the_last_frame() {
        assert_eq!(blocks("a\nb", Some(5_000)), "data: a\n\ndata: b\nretry: 5000\n\n");
    }

    #[test]
    fn advice_alone_is_a_block_without_data() {
        assert_eq!(blocks("", Some(0)), "retry: 0\n\n");
    }
}
