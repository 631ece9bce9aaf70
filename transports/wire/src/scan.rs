//! JSON as the text codec reads it: one pass over UTF-8, by hand.
//!
//! A reader walks a text and either takes a value that the protocol knows (a string, an integer, a flag) or passes
//! over one that it does not, checking its syntax, its depth and its surrogates on the way. Nothing is built:
//! payloads are slices of the text. By hand, because each refusal has a code of its own, because members may come
//! in any order without being kept, and because depth is bounded without recursion.

use std::borrow::Cow;

use crate::{DecodeError, ErrorCode, MAX_INTEGER};

/// How many arrays and objects of a payload may lie within each other.
pub(crate) const PAYLOAD_DEPTH: usize = 128;

/// How deep a value may lie in a frame: a payload, inside a command, inside the list of commands.
const FRAME_DEPTH: usize = PAYLOAD_DEPTH + 2;

/// Checks a JSON text as it enters, in one pass; outer whitespace goes, line breaks between tokens become spaces.
pub(crate) fn check_payload(text: &[u8]) -> Result<Vec<u8>, ErrorCode> {
    let text = std::str::from_utf8(text).map_err(|_| ErrorCode::NotUtf8)?;
    let mut reader = Reader::of_payload(text);
    let value = reader.payload().map_err(|fault| fault.code)?;
    reader.end().map_err(|fault| fault.code)?;
    let mut value = value.as_bytes().to_vec();
    // Inside a string a raw line break is not JSON: any that is left lies between tokens.
    value.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = b' ');
    Ok(value)
}

/// What is wrong, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: ErrorCode,
    what: &'static str,
    at: usize,
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, format!("{} (byte {})", fault.what, fault.at))
    }
}

/// What reading yields.
pub(crate) type Read<T> = Result<T, Fault>;

/// A walk over one JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// What a breach of JSON's grammar is called: the frame's fault, or the payload's.
    grammar: ErrorCode,
    /// Whether CR and LF are whitespace, as they are in JSON, or an end, as they are in a frame.
    line_breaks: bool,
}

impl<'a> Reader<'a> {
    /// Over one frame, which holds no line break.
    pub(crate) const fn of_frame(text: &'a str) -> Self {
        Self { text, at: 0, grammar: ErrorCode::MalformedFrame, line_breaks: false }
    }

    /// Over one payload as it enters.
    pub(crate) const fn of_payload(text: &'a str) -> Self {
        Self { text, at: 0, grammar: ErrorCode::MalformedPayload, line_breaks: true }
    }

    /// A fault at this place.
    pub(crate) const fn fault(&self, code: ErrorCode, what: &'static str) -> Fault {
        Fault { code, what, at: self.at }
    }

    /// A breach of the grammar, or of a frame's shape.
    pub(crate) const fn malformed(&self, what: &'static str) -> Fault {
        self.fault(self.grammar, what)
    }

    /// What a member is that has to be there.
    pub(crate) fn required<T>(&self, member: Option<T>, what: &'static str) -> Read<T> {
        member.ok_or_else(|| self.malformed(what))
    }

    /// The next byte that is not whitespace, not taken.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.here()? {
                b' ' | b'\t' => self.at += 1,
                b'\r' | b'\n' if self.line_breaks => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Takes this byte if it comes next, whitespace aside.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes this byte, which has to come next.
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Read<()> {
        if self.take(byte) {
            return Ok(());
        }
        Err(self.unexpected(what))
    }

    /// That nothing follows.
    pub(crate) fn end(&mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("something follows the value")),
        }
    }

    /// Takes a string.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a string is expected"));
        }
        let start = self.at + 1;
        let escaped = self.pass_string()?;
        let raw = &self.text[start..self.at - 1];
        Ok(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) })
    }

    /// Takes an integer from 0 to 2^53 - 1, written with digits alone.
    pub(crate) fn integer(&mut self) -> Read<u64> {
        let first = self.peek();
        if !matches!(first, Some(b'0'..=b'9' | b'-')) {
            return Err(self.unexpected("an integer is expected"));
        }
        let start = self.at;
        self.pass_number()?;
        let digits = self.text[start..self.at].bytes();
        // At most 16 digits are at most 10^16 - 1, which does not overflow.
        let whole = digits.len() <= 16 && digits.clone().all(|byte| byte.is_ascii_digit());
        let value =
            digits.fold(0, |value: u64, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit & 15)));
        if !whole || value > MAX_INTEGER {
            self.at = start;
            // G5: no integer above 2^53 - 1, in any codec.
            return Err(self.fault(ErrorCode::NumberOutOfRange, ErrorCode::NumberOutOfRange.message()));
        }
        Ok(value)
    }

    /// Takes `true` or `false`.
    pub(crate) fn flag(&mut self) -> Read<bool> {
        match self.peek() {
            Some(b't') => self.pass_word("true").map(|()| true),
            Some(b'f') => self.pass_word("false").map(|()| false),
            _ => Err(self.unexpected("true or false is expected")),
        }
    }

    /// Takes any one value as a payload: at most 128 levels deep.
    pub(crate) fn payload(&mut self) -> Read<&'a str> {
        self.pass(PAYLOAD_DEPTH)
    }

    /// Passes over any one value of a frame.
    pub(crate) fn skip(&mut self) -> Read<()> {
        self.pass(FRAME_DEPTH).map(drop)
    }

    /// Passes over one value and returns its text.
    fn pass(&mut self, max_depth: usize) -> Read<&'a str> {
        self.peek();
        let start = self.at;
        let mut open = Nesting::default();
        loop {
            // A value begins here; in an object its name comes first.
            if open.in_object() {
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("a member's name is expected"));
                }
                self.pass_string()?;
                self.expect(b':', "a colon is expected")?;
            }
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.depth == max_depth {
                        return Err(
                            self.fault(ErrorCode::PayloadTooDeep, ErrorCode::PayloadTooDeep.message())
                        );
                    }
                    self.at += 1;
                    let is_object = bracket == b'{';
                    if !self.take(if is_object { b'}' } else { b']' }) {
                        open.push(is_object);
                        continue;
                    }
                }
                Some(b'"') => drop(self.pass_string()?),
                Some(b'0'..=b'9' | b'-') => self.pass_number()?,
                Some(b't') => self.pass_word("true")?,
                Some(b'f') => self.pass_word("false")?,
                Some(b'n') => self.pass_word("null")?,
                _ => return Err(self.unexpected("a value is expected")),
            }
            // A value ended here: go on with the next of its container, or close that.
            while open.depth > 0 && !self.take(b',') {
                let bracket = if open.in_object() { b'}' } else { b']' };
                self.expect(bracket, "a comma or a closing bracket is expected")?;
                open.pop();
            }
            if open.depth == 0 {
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Passes over a string that begins here; says whether it holds an escape.
    fn pass_string(&mut self) -> Read<bool> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_run(&self.text.as_bytes()[self.at..]);
            match self.here() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.pass_escape()?;
                }
                Some(_) => return Err(self.malformed("a control character in a string has to be escaped")),
                None => return Err(self.malformed("a string does not end")),
            }
        }
    }

    fn pass_escape(&mut self) -> Read<()> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.unit()? {
                0xD800..=0xDBFF => {
                    let low = self.text.as_bytes()[self.at..].starts_with(b"\\u") && {
                        let unit = self.unit()?;
                        (0xDC00..=0xDFFF).contains(&unit)
                    };
                    if !low {
                        return Err(self.fault(ErrorCode::LoneSurrogate, ErrorCode::LoneSurrogate.message()));
                    }
                }
                0xDC00..=0xDFFF => {
                    return Err(self.fault(ErrorCode::LoneSurrogate, ErrorCode::LoneSurrogate.message()));
                }
                _ => {}
            },
            _ => return Err(self.malformed("not an escape that JSON has")),
        }
        Ok(())
    }

    /// Takes `\uXXXX`.
    fn unit(&mut self) -> Read<u32> {
        let digits = self.text.as_bytes().get(self.at + 2..self.at + 6);
        let unit = digits.and_then(|digits| {
            digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
        });
        let unit = unit.ok_or_else(|| self.malformed("\\u takes four hexadecimal digits"))?;
        self.at += 6;
        Ok(unit)
    }

    fn pass_number(&mut self) -> Read<()> {
        self.at += usize::from(self.here() == Some(b'-'));
        let start = self.at;
        let digits = self.pass_digits()?;
        if digits > 1 && self.text.as_bytes()[start] == b'0' {
            return Err(self.malformed("a number has no leading zero"));
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            self.pass_digits()?;
        }
        if matches!(self.here(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.here(), Some(b'+' | b'-')));
            self.pass_digits()?;
        }
        Ok(())
    }

    fn pass_digits(&mut self) -> Read<usize> {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.unexpected("a digit is expected")) } else { Ok(count) }
    }

    fn pass_word(&mut self, word: &'static str) -> Read<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed("not a word that JSON has"));
        }
        self.at += word.len();
        Ok(())
    }

    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// A breach of the grammar; a line break inside a frame is called by its name.
    fn unexpected(&self, what: &'static str) -> Fault {
        match self.here() {
            Some(b'\r' | b'\n') => {
                self.malformed("a frame holds no line break, and frames end with LF alone")
            }
            Some(_) => self.malformed(what),
            None => self.malformed("it ends too early"),
        }
    }
}

/// Which brackets are open, one bit each: set for an object.
#[derive(Default)]
struct Nesting {
    depth: usize,
    objects: [u64; FRAME_DEPTH.div_ceil(64)],
}

impl Nesting {
    fn push(&mut self, is_object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.objects[word] = self.objects[word] & !(1 << bit) | u64::from(is_object) << bit;
        self.depth += 1;
    }

    const fn pop(&mut self) {
        self.depth -= 1;
    }

    const fn in_object(&self) -> bool {
        let Some(top) = self.depth.checked_sub(1) else { return false };
        self.objects[top / 64] >> (top % 64) & 1 == 1
    }
}

/// How many bytes from here on are neither a quote, nor a backslash, nor a control character.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut run = 0;
    // Eight bytes at a time. `(word - n) & !word` has the high bit of the lowest byte below n, and none when none is.
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let below = |word: u64, n: u64| word.wrapping_sub(EACH * n) & !word & HIGH;
        let quote = below(word ^ (EACH * u64::from(b'"')), 1);
        let backslash = below(word ^ (EACH * u64::from(b'\\')), 1);
        let found = below(word, 0x20) | quote | backslash;
        if found != 0 {
            return run + (found.trailing_zeros() / 8) as usize;
        }
        run += 8;
    }
    let plain = |byte: &&u8| !matches!(byte, 0..0x20 | b'"' | b'\\');
    run + bytes[run..].iter().take_while(plain).count()
}

/// Resolves the escapes of a string that has been passed over without a fault.
fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(place) = rest.find('\\') {
        text.push_str(&rest[..place]);
        let (escape, length) = match rest.as_bytes()[place + 1] {
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => code_point(&rest[place..]),
            other => (char::from(other), 2),
        };
        text.push(escape);
        rest = &rest[place + length..];
    }
    text.push_str(rest);
    text
}

/// The character of `\uXXXX` or of a pair of them, and how many bytes it takes.
fn code_point(escape: &str) -> (char, usize) {
    let unit = |at: usize| u32::from_str_radix(&escape[at..at + 4], 16).expect("four digits, as passed over");
    let high = unit(2);
    let (point, length) = match high {
        0xD800..=0xDBFF => (0x10000 + ((high - 0xD800) << 10) + (unit(8) - 0xDC00), 12),
        _ => (high, 6),
    };
    (char::from_u32(point).expect("no lone surrogate, as passed over"), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_byte_that_is_not_plain() {
        let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        for length in 0..=20 {
            for place in 0..length {
                for byte in 0..=255_u8 {
                    // What surrounds it differs from it by one, and by its high bit.
                    for around in [byte.wrapping_sub(1), byte.wrapping_add(1), byte ^ 0x80, b' ', 0xff] {
                        let mut bytes = vec![around; length];
                        bytes[place] = byte;
                        let expected = bytes.iter().take_while(|&&byte| plain(byte)).count();
                        assert_eq!(plain_run(&bytes), expected, "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nesting_remembers_each_bracket() {
        let mut nesting = Nesting::default();
        assert!(!nesting.in_object());
        for depth in 0..FRAME_DEPTH {
            nesting.push(depth % 3 == 0);
        }
        for depth in (0..FRAME_DEPTH).rev() {
            assert_eq!(nesting.in_object(), depth % 3 == 0);
            nesting.pop();
        }
        assert!(!nesting.in_object());
    }
}
