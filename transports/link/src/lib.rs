//! The contract between a transport and whatever stands behind it.
//!
//! An adapter turns its protocol into a *link*: messages in, messages out, and a way to end with [`Advice`]. It is
//! handed a [`Gate`]; for each connection or request it asks the gate for a [`Peer`], the far side of the link as
//! the adapter sees it, and then only moves bytes:
//!
//! 1. every message that arrives goes to [`Peer::receive`], on a stream once [`Peer::poll_ready`] says so; one that cannot
//!    be taken goes to [`Peer::refuse`];
//! 2. when the transport can take more, [`Peer::poll_transmit`] puts the next message into the adapter's buffer.
//!    The peer is *pulled*: it holds no queue for the adapter, so what comes while a write is under way goes
//!    out in one batch;
//! 3. after [`Transmit::Close`] the adapter writes that message and ends the connection as the advice says;
//! 4. [`Peer::end`] tells how the link ended. Dropping the peer says that it was lost.
//!
//! What is left out on purpose: sessions, tokens, numbers, replay, heartbeats and retries. An adapter knows none of
//! them, and no transport crate depends on what does. The tests that every adapter passes are in
//! `throughline-conformance`.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod answer;
pub mod buffer;

use std::{
    any::Any,
    fmt,
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::BytesMut;
use throughline_wire::{CloseCode, Codec, ErrorCode};

/// Where an adapter gets its peers from. Cheap to clone; shared by every connection.
pub trait Gate: Clone + Send + Sync + 'static {
    /// The far side of one link.
    type Peer: Peer;

    /// Opens a link. Nothing has been read from it yet.
    ///
    /// A link that may not be opened gets a peer all the same: one that transmits its refusal and closes, so that
    /// every refusal reaches the client in the one shape of the protocol.
    fn open(&self, link: LinkRequest) -> Self::Peer;

    /// Whether somebody at this address, which is known to be its own, may have a connection; what is given is to be held
    /// for as long as there is one. For adapters that accept connections themselves, before these cost much.
    fn admit(&self, remote: SocketAddr) -> Option<Visit> {
        let _ = remote;
        Some(Visit::default())
    }

    /// Takes note of a client that such an adapter cut, since its handshake took too long.
    fn cut(&self) {}
}

/// A place for a connection, held until it is dropped.
#[derive(Default)]
pub struct Visit {
    _place: Option<Box<dyn Any + Send + Sync>>,
}

impl Visit {
    /// One that holds this.
    pub fn holding(place: impl Any + Send + Sync) -> Self {
        Self { _place: Some(Box::new(place)) }
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visit")
    }
}

/// The far side of one link, as its adapter sees it. Owned by one task.
pub trait Peer: Send + Unpin + 'static {
    /// Takes one whole message. Never blocks; an answer, if any, comes by [`poll_transmit`](Self::poll_transmit).
    fn receive(&mut self, message: &[u8]);

    /// Whether another message may be handed over now; registers the task's waker where it may not.
    ///
    /// An adapter that reads a stream leaves the client's next message unread meanwhile, so that the network slows it
    /// down. What goes down goes on, and what the transport says of itself may be left unread too.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _ = context;
        Poll::Ready(())
    }

    /// Takes one datagram: a single frame that the network may have dropped, repeated or overtaken.
    ///
    /// Only what the protocol allows there counts (`volatile`); anything else is dropped without an answer, since a
    /// datagram may be older than the link's last message.
    fn receive_datagram(&mut self, datagram: &[u8]) {
        let _ = datagram;
    }

    /// Takes note of a message that the transport could not deliver.
    ///
    /// The answer comes by [`poll_transmit`](Self::poll_transmit), which closes the link where that is called for.
    fn refuse(&mut self, fault: Fault);

    /// Appends the next message to `buffer`, or says when there is none by registering the task's waker.
    ///
    /// To be called only when the transport can take a message, and again after each [`Transmit::Message`] until it
    /// is pending. `buffer` is the adapter's; nothing before its end is touched, and nothing is appended when this
    /// returns pending. A message stays below `budget_bytes` unless a single item is larger.
    ///
    /// # Cancel safety
    /// What was transmitted may be lost with the link: it stays the peer's until the client acknowledges it.
    fn poll_transmit(
        &mut self,
        context: &mut Context<'_>,
        budget_bytes: usize,
        buffer: &mut BytesMut,
    ) -> Poll<Transmit>;

    /// Appends what a client that can only repeat a string has to say to go on after the last message transmitted
    /// (the `id:` of server-sent events). Appends nothing where there is no such thing, and never a line break.
    ///
    /// Asked before the first message too: a client that is cut within that message should come back to this link's
    /// session, having seen nothing of it. A peer whose session is not there yet can transmit an empty message once it
    /// is, which says the tag alone.
    fn write_resume_tag(&self, buffer: &mut BytesMut) {
        let _ = buffer;
    }

    /// Ends the link.
    fn end(self, reason: LinkEnd);
}

/// What [`Peer::poll_transmit`] appended.
#[derive(Debug)]
pub enum Transmit {
    /// A message. Write it, then ask for more; on a link of one answer, it is the answer.
    Message,
    /// One frame that may be lost: send it as a datagram, or write it like a message where it is too large for one.
    /// Only on a link that was opened with [`LinkRequest::datagrams`].
    Datagram,
    /// The last message, empty where there is nothing to say: write it, then close with this advice.
    Close(Advice),
}

/// How a link ends, as its client should understand it. The same is said in the last message; this is what the
/// transport itself can carry of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// The close code, where the transport has them.
    pub code: CloseCode,
    /// The reason in a word, at most 123 bytes.
    pub reason: &'static str,
    /// The error behind it, where there is one: an HTTP answer takes its status from it.
    pub error: Option<ErrorCode>,
    /// When to come back, in milliseconds: `Retry-After` and the `retry:` of server-sent events.
    pub retry_after_ms: Option<u64>,
    /// Whether the client should not come back.
    pub is_final: bool,
}

/// What is known of a link when it opens.
#[derive(Clone, Debug)]
pub struct LinkRequest {
    /// The transport's name on the wire: `websocket`, `polling`, `sse`, `webtransport`.
    pub transport: &'static str,
    /// The form of its messages.
    pub codec: Codec,
    /// What it can carry.
    pub shape: Shape,
    /// Whether it carries datagrams beside its messages.
    pub datagrams: bool,
    /// How its client says who it is.
    pub opening: Opening,
    /// The client's address, where known.
    pub remote: Option<SocketAddr>,
    /// The headers of the request that opened it, for whoever authenticates.
    pub headers: http::HeaderMap,
}

/// What a link can carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Messages both ways for as long as it lives.
    Duplex,
    /// One message up, when it opens; messages down for as long as it lives.
    DownStream,
    /// One message up, one message down: a request and its answer. Parks until there is something to say.
    Answer,
    /// One message up, answered at once: a post beside another link.
    Post,
}

/// How the client of a link says who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opening {
    /// By the message that it sends first.
    Message,
    /// By the address that it called, since it can send no message (an `EventSource`, `curl`).
    Address {
        /// The channels that it names, unchecked.
        channels: Vec<String>,
        /// The ticket that it names.
        ticket: Option<String>,
        /// What [`Peer::write_resume_tag`] gave it last (`Last-Event-ID`).
        resume_tag: Option<String>,
    },
}

/// Why a message could not be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It is larger than the transport takes.
    TooLarge,
    /// It is text on a binary link, or the other way round, has the wrong media type, or is compressed.
    WrongCodec,
    /// It did not arrive whole in the time it may take.
    TooSlow,
    /// The client broke the transport's own protocol.
    Protocol,
}

impl Fault {
    /// The error that says so.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::TooLarge => ErrorCode::MessageTooLarge,
            Self::WrongCodec => ErrorCode::UnsupportedCodec,
            Self::TooSlow => ErrorCode::TimedOut,
            Self::Protocol => ErrorCode::MalformedFrame,
        }
    }
}

/// How a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkEnd {
    /// The answer is written: a poll or a post is over as it should be.
    Answered,
    /// The peer asked for it, and its last message was written.
    Closed,
    /// The client closed it.
    ClosedByClient,
    /// It broke, or its client is gone.
    Lost,
    /// What was written to it was not taken in time.
    Stalled,
    /// The client broke the transport's own protocol.
    Protocol,
}

impl LinkEnd {
    /// Every way to end.
    pub const ALL: &[Self] =
        &[Self::Answered, Self::Closed, Self::ClosedByClient, Self::Lost, Self::Stalled, Self::Protocol];

    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Closed => "closed",
            Self::ClosedByClient => "closed_by_client",
            Self::Lost => "lost",
            Self::Stalled => "stalled",
            Self::Protocol => "protocol_error",
        }
    }
}

/// The HTTP status of an answer that ends with this advice.
///
/// A refusal that the protocol can express is a 200, so that intermediaries and an `EventSource` pass it on
/// (docs/protocol.md, retry guidance).
pub const fn http_status(advice: &Advice) -> u16 {
    match advice.error {
        Some(ErrorCode::Forbidden | ErrorCode::OriginRefused) => 403,
        Some(ErrorCode::MessageTooLarge) => 413,
        Some(ErrorCode::UnsupportedCodec) => 415,
        _ => 200,
    }
}
