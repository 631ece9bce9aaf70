//! Reads an event stream (the HTML standard, section 9.2), as far as this protocol uses it: data, and signs of life.

use bytes::{Buf, BytesMut};

/// Turns bytes, cut anywhere, into events.
#[derive(Debug)]
pub(super) struct EventStream {
    /// The line that has not ended yet.
    line: BytesMut,
    /// The data of the event that has not ended yet.
    data: Vec<u8>,
    has_data: bool,
    /// Whether the last line ended with CR, so that an LF next belongs to it.
    after_cr: bool,
    at_start: bool,
    largest: usize,
}

/// An event, or a line of it, is larger than what was allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooLarge;

impl EventStream {
    /// A stream whose events are at most `largest` bytes.
    pub(super) fn new(largest: usize) -> Self {
        Self {
            line: BytesMut::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            at_start: true,
            largest,
        }
    }

    /// Takes bytes; hands the data of each event that they complete to `event`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut event: impl FnMut(&[u8])) -> Result<(), TooLarge> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes.advance(1);
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.line.extend_from_slice(bytes);
                return self.within(self.line.len());
            };
            self.within(self.line.len() + end)?;
            self.line.extend_from_slice(&bytes[..end]);
            self.after_cr = bytes[end] == b'\r';
            bytes.advance(end + 1);
            let line = self.line.split();
            self.end_line(&line, &mut event)?;
        }
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], event: &mut impl FnMut(&[u8])) -> Result<(), TooLarge> {
        let line =
            if std::mem::take(&mut self.at_start) { line.strip_prefix(BOM).unwrap_or(line) } else { line };
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                event(&self.data);
            }
            self.data.clear();
            return Ok(());
        }
        let Some(value) = line.strip_prefix(b"data") else { return Ok(()) };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return Ok(()),
        };
        self.within(self.data.len() + value.len() + 1)?;
        if std::mem::replace(&mut self.has_data, true) {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }

    const fn within(&self, bytes: usize) -> Result<(), TooLarge> {
        if bytes > self.largest { Err(TooLarge) } else { Ok(()) }
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(stream: &mut EventStream, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        stream.feed(bytes, |data| events.push(String::from_utf8_lossy(data).into_owned())).unwrap();
        events
    }

    #[test]
    fn an_event_is_its_data_lines() {
        let mut stream = EventStream::new(100);
        assert_eq!(read(&mut stream, b"\xef\xbb\xbfid: 1\ndata: {}\n\ndata:a\ndata: b\n\n"), ["{}", "a\nb"]);
    }

    #[test]
    fn comments_ids_and_advice_make_no_event() {
        let mut stream = EventStream::new(100);
        assert!(read(&mut stream, b": alive\n\nid: 7\n\nretry: 5\nevent: x\ndatabase: y\n\n").is_empty());
    }

    #[test]
    fn every_line_end_of_the_standard_ends_a_line() {
        let mut stream = EventStream::new(100);
        assert_eq!(read(&mut stream, b"data: a\r\n\r\ndata: b\r\rdata: c\n\n"), ["a", "b", "c"]);
    }

    #[test]
    fn an_event_that_is_too_large_is_refused_before_it_is_kept() {
        let mut stream = EventStream::new(8);
        assert_eq!(stream.feed(b"data: aa", |_| {}), Ok(()));
        assert_eq!(stream.feed(b"aaa", |_| {}), Err(TooLarge));
        let mut stream = EventStream::new(8);
        assert_eq!(stream.feed(b"data:a\ndata:b\ndata:c\ndata:d\ndata:e\n", |_| {}), Err(TooLarge));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn where_the_bytes_are_cut_makes_no_difference(
            whole in "(data: ?[ab]{0,2}|: c|id: 1|\r\n|\r|\n){0,40}",
        ) {
            let mut at_once = EventStream::new(1_000);
            let expected = read(&mut at_once, whole.as_bytes());
            let mut in_parts = EventStream::new(1_000);
            let parts: Vec<String> = whole.bytes().flat_map(|byte| read(&mut in_parts, &[byte])).collect();
            prop_assert_eq!(parts, expected);
        }
    }
}
