//! The gateway's side of a link: from the first message to the last.
//!
//! A peer waits for `hello`, has its credentials checked, binds itself to a session, and from then on passes
//! frames up and pulls messages down. Whatever goes wrong on the way is told to the client in the one shape of the
//! protocol, and closes the link. A post is the same with `session` in place of `hello`.

mod bind;
mod post;
#[cfg(test)]
mod tests;

use std::{
    future::Future as _,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use throughline_link::{Advice, Fault, Gate, LinkEnd, LinkRequest, Opening, Peer, Shape, Transmit, Visit};
use throughline_wire::{
    ChannelName, Codec, DecodeError, DecodeLimits, DownFrame, ErrorCode, UpFrame,
    codec::UpFrames,
    frame::{ErrorFrame, Hello},
};
use tokio::time::Sleep;

use super::{
    Shared,
    authority::{Denied, Identity},
    cell::Cell,
    clock,
    signal::Signal,
    tickets::Pass,
};
use crate::{
    broker::Pending,
    limits::Limit,
    session::{Goodbye, LinkId, Output, Parting, Via, encode_goodbye},
};

/// Opens the far side of links. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct GatewayGate {
    pub(crate) shared: Arc<Shared>,
}

/// The far side of one link.
#[derive(Debug)]
pub(crate) struct GatewayPeer {
    shared: Arc<Shared>,
    signal: Arc<Signal>,
    codec: Codec,
    transport: &'static str,
    opened_ms: u64,
    stage: Stage,
    /// How long a link that stays open may wait with its first message: it has no session yet whose heartbeats would
    /// find a client that says nothing.
    patience: Option<Pin<Box<Sleep>>>,
    /// Until when its client is heard no further, or answered no sooner, having said too much.
    rest: Option<Pin<Box<Sleep>>>,
    /// Whether what goes down is one answer.
    is_answer: bool,
    /// Why the gateway ended the link, where it did.
    goodbye: Option<Goodbye>,
    is_over: bool,
}

enum Stage {
    /// Nothing has been read yet.
    Waiting(Box<LinkRequest>),
    /// Credentials are being checked.
    Authenticating(Box<Authenticating>),
    /// Bound to a session.
    Bound {
        cell: Arc<Cell>,
        link: LinkId,
        /// Whether there may be a message without a wake.
        more: bool,
        /// Whether the resume tag goes first, with nothing else: a client that can only repeat it has to have it before
        /// anything that it could miss.
        tag_first: bool,
    },
    /// There is one last message.
    Closing { message: BytesMut, last: Last },
    /// Everything is said.
    Over,
}

/// What a last message is.
enum Last {
    /// The answer to a post.
    Answer,
    /// A refusal.
    Goodbye(Goodbye),
}

/// Why a link is refused, and on which appointment its client may come back.
#[derive(Debug)]
struct Refusal {
    goodbye: Goodbye,
    slot: Option<Box<str>>,
}

impl From<Goodbye> for Refusal {
    fn from(goodbye: Goodbye) -> Self {
        Self { goodbye, slot: None }
    }
}

struct Authenticating {
    request: LinkRequest,
    hello: Hello,
    /// Frames that came with the hello, then frames that came after it.
    opening: Vec<UpFrame>,
    /// The channels that an address named.
    named: Vec<ChannelName>,
    /// What its ticket opens, where it has shown one.
    pass: Option<Pass>,
    later: Vec<UpFrame>,
    /// How large the message with the hello was, and those after it.
    opening_bytes: usize,
    later_bytes: usize,
    /// The number of its credential.
    shown: u64,
    outcome: Pending<'static, Result<Identity, Denied>>,
}

impl Gate for GatewayGate {
    type Peer = GatewayPeer;

    fn admit(&self, remote: SocketAddr) -> Option<Visit> {
        self.shared.limits.connect(remote.ip()).ok().map(Visit::holding)
    }

    fn cut(&self) {
        self.shared.limits.count(Limit::HandshakeTime);
    }

    fn open(&self, link: LinkRequest) -> GatewayPeer {
        let shared = Arc::clone(&self.shared);
        shared.metrics.count_link(link.transport);
        let patience =
            (link.shape == Shape::Duplex).then(|| Box::pin(tokio::time::sleep(shared.config.body_timeout)));
        let (codec, transport, plain) = (link.codec, link.transport, link.opening != Opening::Message);
        let is_answer = matches!(link.shape, Shape::Answer | Shape::Post);
        let mut peer = GatewayPeer {
            shared,
            signal: Arc::default(),
            codec,
            transport,
            opened_ms: clock::now().mono_ms,
            stage: Stage::Waiting(Box::new(link)),
            patience,
            rest: None,
            is_answer,
            goodbye: None,
            is_over: false,
        };
        if plain {
            peer.open_by_address();
        }
        peer
    }
}

impl Peer for GatewayPeer {
    fn receive(&mut self, message: &[u8]) {
        let limits =
            DecodeLimits { frame_bytes: self.shared.config.message_bytes, ..DecodeLimits::default() };
        let mut frames = self.codec.up_frames(message, limits);
        match &mut self.stage {
            Stage::Waiting(request) if request.shape == Shape::Post => {
                self.receive_post(frames, message.len());
            }
            Stage::Waiting(_) => match frames.next() {
                Some(Ok(UpFrame::Hello(hello))) => {
                    let mut opening = Vec::new();
                    match keep(frames, &mut opening) {
                        Ok(()) => self.authenticate(*hello, opening, Vec::new(), message.len()),
                        Err(error) => self.close_by(&error),
                    }
                }
                Some(Err(error)) => self.close_by(&error),
                _ => self.close(Goodbye::ProtocolError(ErrorCode::HelloRequired)),
            },
            Stage::Authenticating(waiting) => {
                waiting.later_bytes += message.len();
                if waiting.later_bytes > limits.frame_bytes {
                    return self.close(Goodbye::ProtocolError(ErrorCode::MessageTooLarge));
                }
                if let Err(error) = keep(frames, &mut waiting.later) {
                    self.close_by(&error);
                }
            }
            Stage::Bound { cell, link, .. } => {
                let (cell, link) = (Arc::clone(cell), *link);
                if let Some(goodbye) = self.overdue(&cell) {
                    self.shared.metrics.count_refusal(ErrorCode::RateLimited);
                    return cell.change(|session| session.dismiss_link(link, goodbye));
                }
                let mut commands = 0;
                for frame in frames {
                    commands += frame.as_ref().map_or(1, weight);
                    self.pass_on(&cell, link, frame, false);
                }
                self.charge(&cell, message.len(), commands);
            }
            Stage::Closing { .. } | Stage::Over => {}
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(context));
            self.rest = None;
        }
        Poll::Ready(())
    }

    fn receive_datagram(&mut self, datagram: &[u8]) {
        let Stage::Bound { cell, link, .. } = &self.stage else { return };
        let limits =
            DecodeLimits { frame_bytes: self.shared.config.message_bytes, ..DecodeLimits::default() };
        let mut frames = self.codec.up_frames(datagram, limits);
        if let (Some(Ok(UpFrame::Volatile(said))), None) = (frames.next(), frames.next()) {
            cell.change(|session| session.handle_volatile(clock::now(), Via::Link(*link), said));
        }
    }

    fn refuse(&mut self, fault: Fault) {
        let code = fault.code();
        if fault == Fault::TooSlow {
            self.shared.limits.count(Limit::BodyTime);
        }
        match &self.stage {
            Stage::Bound { cell, link, .. } => {
                self.shared.metrics.count_refusal(code);
                let error = ErrorFrame { code, message: code.message().into(), command: None, fatal: true };
                cell.change(|session| session.report(*link, error));
            }
            Stage::Closing { .. } | Stage::Over => {}
            _ if fault == Fault::TooSlow => self.close(bind::overload(code)),
            _ => self.close(Goodbye::ProtocolError(code)),
        }
    }

    fn poll_transmit(
        &mut self,
        context: &mut Context<'_>,
        budget_bytes: usize,
        buffer: &mut BytesMut,
    ) -> Poll<Transmit> {
        if let Stage::Authenticating(waiting) = &mut self.stage {
            match waiting.outcome.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => self.bind(outcome),
            }
        }
        if let (Stage::Waiting(_), Some(patience)) = (&self.stage, &mut self.patience)
            && patience.as_mut().poll(context).is_ready()
        {
            self.shared.limits.count(Limit::BodyTime);
            // Whose fault it is nobody knows: where a herd is slow, so is its gateway.
            self.close(bind::overload(ErrorCode::TimedOut));
        }
        if self.is_answer {
            ready!(self.poll_ready(context));
        }
        match &mut self.stage {
            Stage::Waiting(_) | Stage::Authenticating(_) => {
                self.signal.register(context.waker());
                Poll::Pending
            }
            Stage::Bound { tag_first, .. } if *tag_first => {
                *tag_first = false;
                Poll::Ready(Transmit::Message)
            }
            Stage::Bound { cell, link, more, .. } => loop {
                if *more {
                    self.signal.take();
                } else {
                    ready!(self.signal.poll(context.waker()));
                }
                let now = clock::now();
                let link = *link;
                self.signal.set_full(false);
                let (output, is_full) = cell.change(|session| {
                    (session.transmit(now, link, budget_bytes, buffer), session.is_window_full())
                });
                self.signal.set_full(is_full);
                let (transmit, again) = match output {
                    Output::Idle => {
                        *more = false;
                        continue; // to wait, unless it was marked meanwhile
                    }
                    Output::Message { more } => (Transmit::Message, more),
                    Output::Datagram { more } => (Transmit::Datagram, more),
                    Output::Close(goodbye) => {
                        self.goodbye = Some(goodbye);
                        (Transmit::Close(advice(goodbye)), false)
                    }
                };
                *more = again;
                return Poll::Ready(transmit);
            },
            Stage::Closing { message, last } => {
                buffer.extend_from_slice(message);
                let transmit = match last {
                    Last::Answer => Transmit::Message,
                    Last::Goodbye(goodbye) => Transmit::Close(advice(*goodbye)),
                };
                self.stage = Stage::Over;
                Poll::Ready(transmit)
            }
            Stage::Over => Poll::Pending,
        }
    }

    fn write_resume_tag(&self, buffer: &mut BytesMut) {
        if let Stage::Bound { cell, link, .. } = &self.stage {
            let mut tag = String::new();
            cell.look(|session| session.write_resume_tag(*link, &mut tag));
            buffer.extend_from_slice(tag.as_bytes());
        }
    }

    fn end(mut self, reason: LinkEnd) {
        self.finish(reason);
    }
}

impl GatewayPeer {
    /// Passes a frame to the session, and what is wrong with it back to the client.
    fn pass_on(&self, cell: &Arc<Cell>, link: LinkId, frame: Result<UpFrame, DecodeError>, opening: bool) {
        let now = clock::now();
        let error = match frame {
            Ok(frame) => {
                cell.change(|session| session.handle_frame(now, Via::Link(link), frame, opening)).err()
            }
            Err(error) => Some(error_frame(&error)),
        };
        if let Some(error) = error {
            self.shared.metrics.count_refusal(error.code);
            cell.change(|session| session.report(link, error));
        }
    }

    /// What to tell whoever has said far too much.
    fn overdue(&self, cell: &Cell) -> Option<Goodbye> {
        self.shared.limits.overdue(cell.said())
    }

    /// Charges what was taken, and rests if it was too much.
    fn charge(&mut self, cell: &Cell, bytes: usize, commands: u64) {
        let rest_ms = self.shared.limits.charge(cell.said(), bytes as u64, commands);
        if rest_ms > 0 {
            self.rest = Some(Box::pin(tokio::time::sleep(Duration::from_millis(rest_ms))));
        }
    }

    /// Refuses the link.
    fn close(&mut self, refusal: impl Into<Refusal>) {
        let Refusal { goodbye, slot } = refusal.into();
        if let Some(code) = goodbye.error() {
            self.shared.metrics.count_refusal(code);
        }
        let mut message = BytesMut::new();
        encode_goodbye(self.codec, goodbye, slot, &mut message);
        self.goodbye = Some(goodbye);
        self.stage = Stage::Closing { message, last: Last::Goodbye(goodbye) };
        self.signal.set();
    }

    /// Refuses the link to somebody who may never have one, unless it is refused already.
    #[cfg(feature = "webtransport")]
    pub(crate) fn forbid(&mut self, code: ErrorCode) {
        if !matches!(self.stage, Stage::Closing { .. } | Stage::Over) {
            self.close(Goodbye::Forbidden(code));
        }
    }

    /// Refuses the link for bytes that are no message of the protocol.
    fn close_by(&mut self, error: &DecodeError) {
        self.shared.metrics.count_refusal(error.code);
        let goodbye = Goodbye::ProtocolError(error.code);
        let mut message = BytesMut::new();
        let frame = ErrorFrame { fatal: true, ..error_frame(error) };
        self.codec.encode_down(&DownFrame::Error(frame), &mut message);
        if let Some(retry) = goodbye.retry() {
            self.codec.encode_down(&DownFrame::Retry(retry), &mut message);
        }
        self.goodbye = Some(goodbye);
        self.stage = Stage::Closing { message, last: Last::Goodbye(goodbye) };
        self.signal.set();
    }

    fn finish(&mut self, end: LinkEnd) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let (mut session, mut user) = (None, None);
        if let Stage::Bound { cell, link, .. } = std::mem::replace(&mut self.stage, Stage::Over) {
            cell.remove_link(link, parting(end));
            session = Some(cell.id());
            user = cell.look(|session| session.user().map(ToOwned::to_owned));
        }
        let reason = self.goodbye.map(Goodbye::as_str);
        self.shared.metrics.count_link_end(self.transport, end, reason);
        if end == LinkEnd::Stalled {
            self.shared.limits.count(Limit::WriteTime);
        }
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    session = session.map(tracing::field::display),
                    user,
                    transport = self.transport,
                    duration_ms = clock::now().mono_ms - self.opened_ms,
                    reason = reason.unwrap_or(end.as_str()),
                    "link ended"
                )
            };
        }
        // With long-polling every request is a link: one that ends as it should is no news.
        if end == LinkEnd::Answered { log!(debug) } else { log!(info) }
    }
}

impl Drop for GatewayPeer {
    fn drop(&mut self) {
        self.finish(LinkEnd::Lost);
    }
}

/// Keeps frames until it is known whose they are. As they are kept a small one is a hundred times what it was in its
/// message, so their number has a bound beside their bytes.
fn keep(frames: UpFrames<'_>, kept: &mut Vec<UpFrame>) -> Result<(), DecodeError> {
    for frame in frames {
        if kept.len() == KEPT_FRAMES {
            return Err(DecodeError::new(ErrorCode::MessageTooLarge, "too many frames before the welcome"));
        }
        kept.push(frame?);
    }
    Ok(())
}

/// What a frame counts for: the commands in it, and 1 for any other. Volatiles have a bound of their own.
const fn weight(frame: &UpFrame) -> u64 {
    match frame {
        UpFrame::Commands(commands) => commands.items.len() as u64,
        UpFrame::Volatile(_) => 0,
        _ => 1,
    }
}

/// The most frames that are kept with a hello, and again behind it.
const KEPT_FRAMES: usize = 256;

/// How the session understands the end of a link. What the peer itself closed the session knows already.
const fn parting(end: LinkEnd) -> Parting {
    match end {
        LinkEnd::Answered | LinkEnd::Closed => Parting::Answered,
        LinkEnd::ClosedByClient => Parting::ClosedByClient,
        LinkEnd::Lost | LinkEnd::Stalled => Parting::Lost,
        LinkEnd::Protocol => Parting::Protocol,
    }
}

/// What a transport can say of a goodbye by its own means.
fn advice(goodbye: Goodbye) -> Advice {
    let retry = goodbye.retry();
    Advice {
        code: goodbye.close_code(),
        reason: goodbye.as_str(),
        error: goodbye.error(),
        retry_after_ms: retry.as_ref().filter(|retry| !retry.is_final).map(|retry| retry.delay_ms),
        is_final: retry.is_some_and(|retry| retry.is_final),
    }
}

/// What a client is told of bytes that are no frame. Its next message may be one, unless these were not even framed.
fn error_frame(error: &DecodeError) -> ErrorFrame {
    let fatal =
        matches!(error.code, ErrorCode::MalformedFrame | ErrorCode::UnknownFrame | ErrorCode::NotUtf8);
    ErrorFrame { code: error.code, message: error.detail.clone(), command: None, fatal }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "Waiting",
            Self::Authenticating(_) => "Authenticating",
            Self::Bound { .. } => "Bound",
            Self::Closing { .. } => "Closing",
            Self::Over => "Over",
        })
    }
}
