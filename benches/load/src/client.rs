//! One client: what it says, and what it makes of the bytes that come.
//!
//! It has no sockets: bytes go in, bytes to send come out ([`Said`]). It speaks the text codec and looks for no more
//! than it has to know: the token once, how many items came, and a ping's nonce.

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;

use crate::{
    Transport,
    wire::{http_lengths, leading_number},
};

/// Half of the window of unacknowledged items: an acknowledgement is due.
const HALF_WINDOW: u64 = 512;

/// A client of one session.
#[derive(Debug)]
pub(crate) struct Client {
    transport: Transport,
    name: usize,
    stage: Stage,
    attach: u64,
    token: String,
    incarnation: u64,
    link: u64,
    /// The last item received, and the last acknowledged.
    received: u64,
    acknowledged: u64,
    /// Events received.
    pub(crate) events: u64,
    /// Whether `subscribed` has come.
    pub(crate) is_subscribed: bool,
    /// Whether this client acknowledges at all.
    acknowledges: bool,
    /// Whether it acknowledges its opening by a post and then leaves.
    is_leaving: bool,
    pub(crate) has_left: bool,
    /// When the first unacknowledged item came.
    pub(crate) unacknowledged_since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The head of an HTTP answer is due.
    Head,
    /// Messages come.
    Open,
}

/// What a client wants sent.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// On its link.
    pub(crate) link: Vec<u8>,
    /// By a post beside it.
    pub(crate) post: Vec<u8>,
}

impl Client {
    /// A client that has said nothing yet.
    pub(crate) const fn new(transport: Transport, name: usize, acknowledges: bool) -> Self {
        Self {
            transport,
            name,
            stage: Stage::Head,
            attach: 0,
            token: String::new(),
            incarnation: 0,
            link: 0,
            received: 0,
            acknowledged: 0,
            events: 0,
            is_subscribed: false,
            acknowledges,
            is_leaving: false,
            has_left: false,
            unacknowledged_since: None,
        }
    }

    /// A client that opens a session by a poll, acknowledges what that brought, and leaves.
    pub(crate) fn leaving(name: usize) -> Self {
        Self { is_leaving: true, ..Self::new(Transport::Polling, name, true) }
    }

    /// The first bytes on a new connection; a session that it has is resumed.
    pub(crate) fn greet(&mut self) -> Vec<u8> {
        self.stage = Stage::Head;
        match self.transport {
            Transport::Websocket => UPGRADE.to_vec(),
            Transport::Sse => post("/v1/events", &self.hello()),
            Transport::Polling => post("/v1/poll", &self.hello()),
            Transport::Webtransport => (self.hello() + "\n").into_bytes(),
        }
    }

    fn hello(&mut self) -> String {
        self.attach += 1;
        let (name, attach) = (self.name, self.attach);
        if self.token.is_empty() {
            return format!(
                r#"{{"type":"hello","version":0,"instance":"load-{name}","attach":{attach}}}
{{"type":"commands","first":1,"items":[{{"type":"subscribe","channel":"bench"}}]}}"#
            );
        }
        let Self { token, incarnation, received, .. } = self;
        self.acknowledged = *received;
        format!(
            r#"{{"type":"hello","version":0,"instance":"load-{name}","attach":{attach},"resume":{{"token":"{token}","incarnation":{incarnation},"after":{received},"low":2}}}}"#
        )
    }

    /// Takes what came on its link: says how many bytes it has used.
    pub(crate) fn take(&mut self, bytes: &[u8], said: &mut Said) -> Result<usize> {
        match self.transport {
            Transport::Websocket => self.take_websocket(bytes, said),
            Transport::Sse => self.take_stream(bytes, said),
            Transport::Polling => self.take_answers(bytes, said),
            Transport::Webtransport => self.take_lines(bytes, said),
        }
    }

    fn take_websocket(&mut self, bytes: &[u8], said: &mut Said) -> Result<usize> {
        let mut used = 0;
        if self.stage == Stage::Head {
            let Some((head, _)) = http_lengths(bytes) else { return Ok(0) };
            ensure!(bytes.starts_with(b"HTTP/1.1 101"), "no upgrade: {}", text(bytes));
            frame(self.hello().as_bytes(), &mut said.link);
            self.stage = Stage::Open;
            used = head;
        }
        loop {
            let rest = &bytes[used..];
            let (head, length) = match rest {
                [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                [_, 127, length @ ..] if length.len() >= 8 => {
                    (10, u64::from_be_bytes(length[..8].try_into()?) as usize)
                }
                [_, length, ..] if *length < 126 => (2, usize::from(*length)),
                _ => return Ok(used),
            };
            let Some(message) = rest.get(head..head + length) else { return Ok(used) };
            ensure!(rest[0] == 0x81, "not a text message: {:#x} {}", rest[0], text(message));
            self.take_message(message, said)?;
            used += head + length;
        }
    }

    fn take_answers(&mut self, bytes: &[u8], said: &mut Said) -> Result<usize> {
        let mut used = 0;
        while let Some((head, body)) = http_lengths(&bytes[used..]) {
            let Some(message) = bytes[used..].get(head..head + body) else { break };
            ensure!(bytes[used..].starts_with(b"HTTP/1.1 200"), "refused: {}", text(&bytes[used..]));
            used += head + body;
            let was_open = !self.token.is_empty();
            self.take_message(message, said)?;
            if !self.is_leaving {
                said.link.extend_from_slice(&post("/v1/poll", &self.hello()));
            } else if was_open {
                self.has_left = true;
            } else {
                said.link.extend_from_slice(&self.acknowledge_by_post());
            }
        }
        Ok(used)
    }

    fn take_stream(&mut self, bytes: &[u8], said: &mut Said) -> Result<usize> {
        let mut used = 0;
        if self.stage == Stage::Head {
            let Some((head, _)) = http_lengths(bytes) else { return Ok(0) };
            ensure!(bytes.starts_with(b"HTTP/1.1 200"), "refused: {}", text(bytes));
            self.stage = Stage::Open;
            used = head;
        }
        loop {
            let rest = &bytes[used..];
            let Some(line) = memmem::find(rest, b"\r\n") else { return Ok(used) };
            let length = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
            ensure!(length > 0, "the stream ended");
            let begin = line + 2;
            let Some(chunk) = rest.get(begin..begin + length) else { return Ok(used) };
            if rest.len() < begin + length + 2 {
                return Ok(used);
            }
            for line in chunk.split(|byte| *byte == b'\n') {
                if let Some(message) = line.strip_prefix(b"data: ") {
                    self.take_frame(message, said)?;
                }
            }
            used += begin + length + 2;
        }
    }

    fn take_lines(&mut self, bytes: &[u8], said: &mut Said) -> Result<usize> {
        let Some(last) = memchr::memrchr(b'\n', bytes) else { return Ok(0) };
        self.take_message(&bytes[..last], said)?;
        Ok(last + 1)
    }

    fn take_message(&mut self, message: &[u8], said: &mut Said) -> Result<()> {
        for frame in message.split(|byte| *byte == b'\n').filter(|frame| !frame.is_empty()) {
            self.take_frame(frame, said)?;
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: &[u8], said: &mut Said) -> Result<()> {
        if let Some(rest) = frame.strip_prefix(br#"{"type":"items","first":"#) {
            self.take_items(leading_number(rest), rest, said)
        } else if let Some(rest) = frame.strip_prefix(br#"{"type":"ping","nonce":"#) {
            let pong = format!(r#"{{"type":"pong","nonce":{}}}"#, leading_number(rest));
            self.say(&pong, said);
            Ok(())
        } else if frame.starts_with(br#"{"type":"welcome""#) {
            self.take_welcome(frame)
        } else if frame.starts_with(br#"{"type":"error""#) || frame.starts_with(br#"{"type":"retry""#) {
            bail!("client {} is told: {}", self.name, text(frame))
        } else {
            Ok(()) // an ack, or a ping that needs no answer
        }
    }

    fn take_items(&mut self, first: u64, items: &[u8], said: &mut Said) -> Result<()> {
        let events = memmem::find_iter(items, br#"{"type":"event","#).count() as u64;
        let mut count = events;
        if memmem::find(&items[..items.len().min(64)], br#"{"type":"subscribed","#).is_some() {
            self.is_subscribed = true;
            count += 1;
        }
        ensure!(count > 0, "client {} does not understand: {}", self.name, text(items));
        let first = if first == 0 { self.received + 1 } else { first }; // the ceiling numbers nothing
        ensure!(first <= self.received + 1, "client {}: item {first} after {}", self.name, self.received);
        let last = first + count - 1;
        if last <= self.received {
            return Ok(());
        }
        self.events += events.min(last - self.received);
        self.received = last;
        if !self.acknowledges || self.transport == Transport::Polling {
            return Ok(()); // a poll acknowledges by its `after`
        }
        if self.received - self.acknowledged >= HALF_WINDOW {
            self.acknowledge(said);
        } else if self.unacknowledged_since.is_none() {
            self.unacknowledged_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Acknowledges all that came.
    pub(crate) fn acknowledge(&mut self, said: &mut Said) {
        self.unacknowledged_since = None;
        if self.acknowledged < self.received {
            self.acknowledged = self.received;
            self.say(&format!(r#"{{"type":"ack","upTo":{}}}"#, self.received), said);
        }
    }

    fn acknowledge_by_post(&mut self) -> Vec<u8> {
        self.acknowledged = self.received;
        self.posted(&format!(r#"{{"type":"ack","upTo":{}}}"#, self.received))
    }

    fn say(&self, frame_text: &str, said: &mut Said) {
        match self.transport {
            Transport::Websocket => frame(frame_text.as_bytes(), &mut said.link),
            Transport::Webtransport => {
                said.link.extend_from_slice(frame_text.as_bytes());
                said.link.push(b'\n');
            }
            Transport::Sse | Transport::Polling => said.post.extend_from_slice(&self.posted(frame_text)),
        }
    }

    fn posted(&self, frame_text: &str) -> Vec<u8> {
        let Self { token, incarnation, link, .. } = self;
        let body = format!(
            r#"{{"type":"session","token":"{token}","incarnation":{incarnation},"link":{link}}}
{frame_text}"#
        );
        post("/v1/send", &body)
    }

    fn take_welcome(&mut self, frame: &[u8]) -> Result<()> {
        let welcome: serde_json::Value = serde_json::from_slice(frame)?;
        let number = |name: &str| welcome[name].as_u64().with_context(|| format!("welcome has {name}"));
        let token = welcome["token"].as_str().context("welcome has a token")?;
        ensure!(self.token.is_empty() || self.token == token, "another session: {}", text(frame));
        self.token = token.to_owned();
        self.incarnation = number("incarnation")?;
        self.link = number("link")?;
        Ok(())
    }
}

/// A request with a message.
fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A client's text message: masked (RFC 6455, 5.3), with a mask that changes nothing.
pub(crate) fn frame(message: &[u8], out: &mut Vec<u8>) {
    match message.len() {
        length @ ..126 => out.extend_from_slice(&[0x81, 0x80 | length as u8]),
        length => {
            out.extend_from_slice(&[0x81, 0x80 | 126]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(message);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

const UPGRADE: &[u8] = b"GET /v1/websocket HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: throughline.v1.json\r\n\r\n";
