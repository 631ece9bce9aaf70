//! The little of HTTP/1.1 that a meddling middlebox has to understand: whether a request asks for an upgrade, and where an
//! answer ends.

/// How many bytes a head may have before it counts as none.
pub(crate) const LONGEST_HEAD: usize = 16 * 1024;
/// How many bytes of an answer are held back before they are let go: a proxy's buffer is full some day.
const LARGEST_HELD: usize = 1 << 20;

/// What the first bytes of a connection are, as far as they have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    /// Too few to say.
    Unfinished,
    /// A request that asks for a WebSocket; its head has so many bytes.
    Upgrade(usize),
    /// A request for a tunnel: what follows it is the first of a connection again.
    Connect(usize),
    /// Anything else, TLS for instance.
    Other,
}

/// Reads the first bytes of a connection.
pub(crate) fn opening(bytes: &[u8]) -> Opening {
    let method = bytes.iter().take(8).take_while(|byte| byte.is_ascii_uppercase()).count();
    if method < bytes.len().min(8) && bytes.get(method) != Some(&b' ') || bytes.len() > LONGEST_HEAD {
        return Opening::Other;
    }
    let Some(end) = head_end(bytes) else { return Opening::Unfinished };
    let head = &bytes[..end];
    if head.starts_with(b"CONNECT ") {
        Opening::Connect(end)
    } else if header(head, "upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        Opening::Upgrade(end)
    } else {
        Opening::Other
    }
}

/// How long the head is, the empty line included, if it is complete.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The value of a header; the first, if there are many.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = std::str::from_utf8(head).ok()?.split("\r\n").skip(1);
    lines
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// What comes down a connection, answer by answer, with those held back whose length nobody knew when they began.
#[derive(Debug)]
pub(crate) struct Answers {
    at: At,
    held: Vec<u8>,
    /// Whether something was held back that could have gone on.
    pub(crate) has_held: bool,
}

#[derive(Debug)]
enum At {
    /// In a head, these bytes of it.
    Head(Vec<u8>),
    /// In a body that has so many bytes left.
    Body(u64),
    /// In a chunked body.
    Chunks(Chunks),
    /// In a body that ends with the connection.
    ToTheEnd,
    /// Past the last answer: another protocol.
    Tunnel,
}

impl Answers {
    /// From the first byte of a connection.
    pub(crate) fn new() -> Self {
        Self { at: At::Head(Vec::new()), held: Vec::new(), has_held: false }
    }

    /// Takes bytes; returns those that go on, which are fewer if streams are held back just now.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], streams_held: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        if !streams_held {
            out.append(&mut self.held);
        }
        while !bytes.is_empty() {
            match &mut self.at {
                At::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    let Some(end) = head_end(head) else {
                        if head.len() > LONGEST_HEAD {
                            out.append(head);
                            self.at = At::Tunnel;
                        }
                        break;
                    };
                    bytes = &bytes[end - before..];
                    let head = head[..end].to_vec();
                    self.at = body(&head);
                    if self.is_stream() && streams_held { &mut self.held } else { &mut out }.extend(head);
                }
                At::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= taken as u64;
                    out.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.at = At::Head(Vec::new());
                    }
                }
                At::Chunks(chunks) => {
                    let taken = chunks.walk(bytes);
                    let is_over = chunks.is_over();
                    self.held.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if is_over {
                        self.at = At::Head(Vec::new());
                    } else if streams_held && self.held.len() <= LARGEST_HELD {
                        self.has_held = true;
                        continue;
                    }
                    out.append(&mut self.held);
                }
                At::ToTheEnd if streams_held && self.held.len() <= LARGEST_HELD => {
                    self.has_held = true;
                    self.held.extend_from_slice(bytes);
                    break;
                }
                At::ToTheEnd | At::Tunnel => {
                    out.append(&mut self.held);
                    out.extend_from_slice(bytes);
                    break;
                }
            }
        }
        out
    }

    /// What is left when the connection ends.
    pub(crate) fn end(self) -> Vec<u8> {
        let mut rest = self.held;
        if let At::Head(head) = self.at {
            rest.extend(head);
        }
        rest
    }

    fn is_stream(&self) -> bool {
        matches!(self.at, At::Chunks(_) | At::ToTheEnd)
    }
}

/// What follows this head.
fn body(head: &[u8]) -> At {
    let status = std::str::from_utf8(head).ok().and_then(|head| head.split(' ').nth(1));
    match status {
        Some("101") => return At::Tunnel,
        Some("204" | "304" | "100" | "103") => return At::Head(Vec::new()),
        _ => {}
    }
    if header(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return At::Chunks(Chunks::default());
    }
    match header(head, "content-length").and_then(|value| value.parse().ok()) {
        Some(0) => At::Head(Vec::new()),
        Some(bytes) => At::Body(bytes),
        // A tunnel that was asked for by CONNECT begins so, too.
        None if status == Some("200") && header(head, "content-type").is_none() => At::Tunnel,
        None => At::ToTheEnd,
    }
}

/// A place in a chunked body (RFC 9112, section 7.1).
#[derive(Debug, Default)]
struct Chunks {
    step: Step,
    /// The line of a chunk's size, or of a trailer, as far as it has come.
    line: Vec<u8>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Size,
    /// So many bytes are left, the line break behind them included.
    Bytes(u64),
    Trailers,
    Over,
}

impl Chunks {
    /// Goes over bytes up to the body's end; returns how many.
    fn walk(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && self.step != Step::Over {
            if let Step::Bytes(left) = &mut self.step {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= taken as u64;
                at += taken;
                if *left == 0 {
                    self.step = Step::Size;
                }
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if byte != b'\n' {
                if self.line.len() < LONGEST_HEAD {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.trim_ascii();
            self.step = match self.step {
                Step::Trailers if line.is_empty() => Step::Over,
                Step::Trailers => Step::Trailers,
                _ => {
                    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                    let size = std::str::from_utf8(digits.trim_ascii()).unwrap_or_default();
                    match u64::from_str_radix(size, 16) {
                        Ok(size @ 1..) => Step::Bytes(size.saturating_add(2)),
                        _ => Step::Trailers,
                    }
                }
            };
        }
        at
    }

    fn is_over(&self) -> bool {
        self.step == Step::Over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE: &[u8] =
        b"GET /v1/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

    #[test]
    fn an_upgrade_is_known_by_its_whole_head() {
        for end in 1..UPGRADE.len() {
            assert_eq!(opening(&UPGRADE[..end]), Opening::Unfinished, "{end} bytes");
        }
        assert_eq!(opening(UPGRADE), Opening::Upgrade(UPGRADE.len()));
        assert_eq!(opening(b"POST /v1/poll HTTP/1.1\r\nHost: x\r\n\r\nbody"), Opening::Other);
        assert_eq!(opening(b"CONNECT x:443 HTTP/1.1\r\n\r\n"), Opening::Connect(26));
        assert_eq!(opening(b"\x16\x03\x01\x02\x00"), Opening::Other, "TLS");
        assert_eq!(opening(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Opening::Other);
    }

    const LENGTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const STREAM: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";

    #[test]
    fn an_answer_of_known_length_is_never_held_back() {
        let mut answers = Answers::new();
        assert_eq!(answers.feed(&LENGTH[..43], true), &LENGTH[..43]);
        assert_eq!(answers.feed(&LENGTH[43..], true), &LENGTH[43..]);
        assert!(!answers.has_held);
    }

    #[test]
    fn a_stream_is_held_back_until_its_end_and_what_follows_is_not() {
        let mut answers = Answers::new();
        for at in 0..STREAM.len() - 1 {
            assert_eq!(answers.feed(&STREAM[at..=at], true), b"", "after {at} bytes");
        }
        assert!(answers.has_held);
        let last = [&STREAM[STREAM.len() - 1..], LENGTH].concat();
        assert_eq!(answers.feed(&last, true), [STREAM, LENGTH].concat());
    }

    #[test]
    fn a_stream_passes_when_it_is_not_held_and_goes_on_when_it_is_let_go() {
        let mut answers = Answers::new();
        assert_eq!(answers.feed(&STREAM[..60], false), &STREAM[..60]);
        assert_eq!(answers.feed(&STREAM[60..65], true), b"");
        assert_eq!(answers.feed(&STREAM[65..], false), &STREAM[60..]);
    }

    #[test]
    fn a_websocket_is_no_answer_to_hold_back() {
        let mut answers = Answers::new();
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi";
        assert_eq!(answers.feed(answer, true), answer);
    }
}
