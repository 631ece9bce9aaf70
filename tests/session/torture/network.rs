//! The network between clients and the gateway: it loses, delays, repeats and cuts, as the schedule says.
//!
//! A stream is two queues in order; a cut loses any suffix of each, and either end may learn of it long after the
//! other. A request is one message up and one down; it may come late, twice, or not at all.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use throughline::session::{LinkId, LinkKind, LinkSpec};
use throughline_wire::{Codec, DecodeLimits, DownFrame};

use super::{
    coverage::{Coverage, Met},
    random::Random,
};

/// What a connection is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Duplex,
    Down,
    Poll,
    Post,
    Plain,
}

impl Kind {
    pub(super) const fn is_request(self) -> bool {
        matches!(self, Self::Poll | Self::Post)
    }

    pub(super) fn spec(self, codec: Codec) -> LinkSpec {
        let (transport, kind) = match self {
            Self::Duplex => ("websocket", LinkKind::Duplex),
            Self::Down => ("sse", LinkKind::DownStream),
            Self::Plain => ("sse", LinkKind::PlainStream),
            Self::Poll | Self::Post => ("polling", LinkKind::Answer),
        };
        LinkSpec::new(transport, codec, kind)
    }
}

/// A connection, or a request with its answer.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) client: usize,
    pub(super) kind: Kind,
    pub(super) codec: Codec,
    pub(super) up: VecDeque<Bytes>,
    pub(super) down: VecDeque<Down>,
    /// Nothing that is written from now on arrives.
    pub(super) is_cut: bool,
    /// Whether the client still listens.
    pub(super) is_open: bool,
    /// Where it ends at the gateway: session and link. A request that was repeated ends in several.
    pub(super) legs: Vec<(usize, LinkId)>,
    /// Whether the gateway has had its first message.
    pub(super) was_heard: bool,
    /// Whether the gateway has said its last.
    pub(super) is_over: bool,
    /// Whether it began with a resume whose answer has not come.
    pub(super) is_resuming: bool,
    repeats: u32,
}

/// A message on its way down.
#[derive(Clone, Debug)]
pub(super) struct Down {
    pub(super) bytes: Bytes,
    /// Whether its end arrives too.
    pub(super) is_whole: bool,
    /// The resume tag beside it, for clients that can only repeat it.
    pub(super) tag: Option<String>,
}

/// All connections, by name.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) conns: BTreeMap<usize, Conn>,
    next: usize,
}

impl Network {
    /// Opens a connection whose first message is on its way.
    pub(super) fn open(&mut self, client: usize, kind: Kind, codec: Codec, first: Bytes) -> usize {
        let name = self.next;
        self.next += 1;
        let conn = Conn {
            client,
            kind,
            codec,
            up: VecDeque::from([first]),
            down: VecDeque::new(),
            is_cut: false,
            is_open: true,
            legs: Vec::new(),
            was_heard: false,
            is_over: false,
            is_resuming: false,
            repeats: 2,
        };
        self.conns.insert(name, conn);
        name
    }

    /// The client's end writes.
    pub(super) fn write_up(&mut self, name: usize, message: Bytes) {
        if let Some(conn) = self.conns.get_mut(&name)
            && !conn.is_cut
        {
            conn.up.push_back(message);
        }
    }

    /// The gateway's end writes.
    pub(super) fn write_down(&mut self, name: usize, bytes: Bytes, tag: Option<String>) {
        if let Some(conn) = self.conns.get_mut(&name)
            && !conn.is_cut
        {
            conn.down.push_back(Down { bytes, is_whole: true, tag });
        }
    }

    /// The client's end closes; what it wrote may still arrive, at any time.
    pub(super) fn close(&mut self, name: usize) {
        if let Some(conn) = self.conns.get_mut(&name) {
            conn.is_open = false;
            conn.is_cut = true;
            conn.down.clear();
        }
    }

    /// The next message that reaches the gateway; a request may reach it again.
    pub(super) fn take_up(&mut self, name: usize, repeat: bool) -> Option<Bytes> {
        let conn = self.conns.get_mut(&name)?;
        if repeat && conn.kind.is_request() && conn.repeats > 0 {
            conn.repeats -= 1;
            return conn.up.front().cloned();
        }
        conn.up.pop_front()
    }

    /// Cuts a connection: of what is on its way, a prefix arrives.
    pub(super) fn cut(&mut self, name: usize, random: &mut Random, coverage: &mut Coverage) {
        let Some(conn) = self.conns.get_mut(&name).filter(|conn| !conn.is_cut) else { return };
        conn.is_cut = true;
        if conn.kind.is_request() && random.chance(1, 2) {
            conn.down.clear(); // the answer alone
        } else {
            let kept = random.within(0..=conn.up.len() as u64) as usize;
            conn.up.truncate(kept);
        }
        let kept = random.within(0..=conn.down.len() as u64) as usize;
        for lost in conn.down.drain(kept..) {
            if is_welcome(conn.codec, &lost.bytes) {
                coverage.met(Met::WelcomeLost);
            }
        }
        if let Some(last) = conn.down.back_mut()
            && last.bytes.len() > 1
            && random.chance(1, 3)
        {
            last.bytes.truncate(random.within(1..=last.bytes.len() as u64 - 1) as usize);
            last.is_whole = false;
            coverage.met(Met::AnswerTruncated);
        }
    }

    /// Forgets what neither end knows any more.
    pub(super) fn sweep(&mut self) {
        self.conns.retain(|_, conn| {
            conn.is_open || !conn.legs.is_empty() || !conn.up.is_empty() || !conn.down.is_empty()
        });
    }
}

fn is_welcome(codec: Codec, message: &[u8]) -> bool {
    let first = codec.down_frames(message, DecodeLimits::default()).next();
    matches!(first, Some(Ok(DownFrame::Welcome(_))))
}
