//! One open WebSocket and its peer.
//!
//! A turn flushes, pulls, and reads, always in this order, until there is nothing to do or others have waited long
//! enough. While a flush is under way nothing is pulled, so whatever comes meanwhile goes out as one message; so
//! the socket holds one message at most. Reading comes last and always: one waker serves both directions, and a
//! wake may have been for either.
//!
//! There is one timer, and only while it is needed: a message that does not leave, a client that does not close.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use throughline_link::{Advice, Fault, LinkEnd, Peer, Transmit, buffer::poll_message};
use throughline_wire::{CloseCode, Codec};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{CloseFrame, Role, WebSocketConfig},
    },
};

use crate::{Config, MessageKind};

/// Messages that one turn moves before other tasks have theirs.
const TURN: u32 = 64;

/// Pongs that wait for a client that does not read, before its pings are left unread too.
const PONGS_HELD: u32 = 64;

#[derive(Debug)]
pub(crate) struct Conversation<P, S> {
    socket: WebSocketStream<S>,
    /// Until it has been told how the link ended.
    peer: Option<P>,
    phase: Phase,
    config: Arc<Config>,
    /// What messages down are: text, or binary.
    is_text: bool,
    /// Something was written that has not left.
    is_flushing: bool,
    /// Pings read since all that was written has left.
    pings: u32,
    /// Why nothing more can be read from the client.
    fault: Option<CloseCode>,
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Messages go both ways.
    Open,
    /// Our close frame is the last thing written, or the answer to the client's.
    Closing(LinkEnd),
    /// Everything has left, the client cannot be understood any more: what it sends is thrown away until it closes.
    /// To close at once would reset the connection, and the client might never see why.
    Draining,
}

/// The link is over: the connection is gone, or both have closed.
struct Over;

impl<P: Peer, S: AsyncRead + AsyncWrite + Unpin> Conversation<P, S> {
    /// `None` never happens: taking over a socket waits for nothing.
    pub(crate) fn begin(io: S, peer: P, codec: Codec, config: Arc<Config>) -> Option<Self> {
        let limits = WebSocketConfig::default()
            .read_buffer_size(config.read_buffer_bytes)
            .write_buffer_size(config.write_buffer_bytes)
            .max_message_size(Some(config.max_message_bytes))
            .max_frame_size(Some(config.max_message_bytes));
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).now_or_never()?;
        Some(Self {
            socket,
            peer: Some(peer),
            phase: Phase::Open,
            config,
            is_text: codec.is_text(),
            is_flushing: false,
            pings: 0,
            fault: None,
            deadline: None,
        })
    }

    /// Takes a turn. Ready when the link is over.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let turn = self.turn(context);
        // Looked at last, since the turn may have set it: only so does it know whom to wake.
        let is_late = |deadline: &mut Pin<Box<Sleep>>| deadline.as_mut().poll(context).is_ready();
        if turn.is_ok() && !self.deadline.as_mut().is_some_and(is_late) {
            return Poll::Pending;
        }
        // An open link has one deadline, that of what does not leave.
        let is_stalled = turn.is_ok() && self.phase == Phase::Open;
        self.end(if is_stalled { LinkEnd::Stalled } else { LinkEnd::Lost });
        Poll::Ready(())
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), Over> {
        let mut moves = TURN;
        loop {
            self.write(context, &mut moves)?;
            if self.phase == Phase::Draining {
                return self.drain(context);
            }
            let got_message = self.read(context, &mut moves)?;
            if moves == 0 {
                context.waker().wake_by_ref();
                return Ok(());
            }
            if !got_message {
                return Ok(());
            }
            // The peer may have an answer: better now than after another wake.
        }
    }

    /// Flushes and pulls until the socket is full or the peer has nothing to say.
    fn write(&mut self, context: &mut Context<'_>, moves: &mut u32) -> Result<(), Over> {
        loop {
            if self.is_flushing {
                match self.socket.poll_flush_unpin(context) {
                    Poll::Pending => {
                        if self.deadline.is_none() {
                            self.set_deadline(self.config.write_timeout);
                        }
                        return Ok(());
                    }
                    Poll::Ready(flushed) => flushed.map_err(|_| Over)?,
                }
                self.is_flushing = false;
                self.pings = 0;
                if self.phase == Phase::Open {
                    self.deadline = None;
                }
            }
            if let Phase::Closing(end) = self.phase {
                self.end(end);
                if self.fault.is_some() {
                    self.phase = Phase::Draining;
                }
            }
            if self.phase != Phase::Open || *moves == 0 {
                return Ok(());
            }
            let Some(peer) = &mut self.peer else { return Err(Over) };
            match (poll_message(peer, context, self.config.budget_bytes), self.fault) {
                (Poll::Ready((Transmit::Message | Transmit::Datagram, message)), _) => self.send(message)?,
                (Poll::Ready((Transmit::Close(advice), message)), _) => self.close(message, &advice)?,
                (Poll::Pending, None) => return Ok(()),
                // The peer would go on, but its client cannot be read.
                (Poll::Pending, Some(code)) => self.send_close(code, "")?,
            }
            *moves -= 1;
        }
    }

    /// Hands what has arrived to the peer; says whether anything did that the peer may want to answer.
    fn read(&mut self, context: &mut Context<'_>, moves: &mut u32) -> Result<bool, Over> {
        let mut got_message = false;
        while *moves > 0 && self.fault.is_none() && self.pings < PONGS_HELD && self.is_peer_ready(context) {
            let Poll::Ready(read) = self.socket.poll_next_unpin(context) else { break };
            *moves -= 1;
            match read.ok_or(Over)? {
                Ok(Message::Text(text)) => got_message |= self.receive(text.as_bytes(), true),
                Ok(Message::Binary(bytes)) => got_message |= self.receive(&bytes, false),
                Ok(Message::Ping(_)) => {
                    // The pong is written by the next read or flush.
                    self.pings += 1;
                    self.is_flushing = true;
                }
                Ok(Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) => {
                    if self.phase == Phase::Open {
                        self.phase = Phase::Closing(LinkEnd::ClosedByClient);
                        self.end(LinkEnd::ClosedByClient);
                    }
                    self.set_deadline(self.config.close_grace);
                }
                Err(error) => {
                    let (fault, code) = classify(&error).ok_or(Over)?;
                    self.fault = Some(code);
                    if let (Phase::Open, Some(peer)) = (self.phase, &mut self.peer) {
                        peer.refuse(fault);
                    }
                    return Ok(true);
                }
            }
            if got_message && self.config.message_kind == MessageKind::Mirror {
                break;
            }
        }
        Ok(got_message)
    }

    /// Whether the peer takes another message; a link that is closing reads on without it.
    fn is_peer_ready(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.peer {
            Some(peer) if self.phase == Phase::Open => peer.poll_ready(context).is_ready(),
            _ => true,
        }
    }

    /// Whether the peer took it or refused it; a link that is closing does neither.
    fn receive(&mut self, message: &[u8], is_text: bool) -> bool {
        let (Phase::Open, Some(peer)) = (self.phase, &mut self.peer) else { return false };
        if self.config.message_kind == MessageKind::Mirror {
            self.is_text = is_text;
        }
        if is_text == self.is_text {
            peer.receive(message);
        } else {
            peer.refuse(Fault::WrongCodec);
        }
        true
    }

    fn send(&mut self, message: Bytes) -> Result<(), Over> {
        let message = if self.is_text {
            // The text codec writes UTF-8; a peer that does not is at fault, and its link is not worth keeping.
            Message::Text(Utf8Bytes::try_from(message).map_err(|_| Over)?)
        } else {
            Message::Binary(message)
        };
        self.is_flushing = true;
        self.socket.start_send_unpin(message).map_err(|_| Over)
    }

    fn close(&mut self, message: Bytes, advice: &Advice) -> Result<(), Over> {
        if !message.is_empty() {
            self.send(message)?;
        }
        // What the peer calls an error of protocol, the socket may know better (1007: not UTF-8).
        let code = match self.fault {
            Some(code) if advice.code == CloseCode::PROTOCOL_ERROR => code,
            _ => advice.code,
        };
        self.send_close(code, advice.reason)
    }

    fn send_close(&mut self, code: CloseCode, reason: &'static str) -> Result<(), Over> {
        let end = match self.fault {
            Some(CloseCode::PROTOCOL_ERROR | CloseCode::INVALID_DATA) => LinkEnd::Protocol,
            _ => LinkEnd::Closed,
        };
        self.phase = Phase::Closing(end);
        self.set_deadline(self.config.close_grace);
        self.is_flushing = true;
        // RFC 6455, 5.5: a control frame holds 125 bytes, two of them the code.
        let reason = if reason.len() <= 123 { reason } else { "" };
        let frame = CloseFrame { code: code.0.into(), reason: Utf8Bytes::from_static(reason) };
        self.socket.start_send_unpin(Message::Close(Some(frame))).map_err(|_| Over)
    }

    fn drain(&mut self, context: &mut Context<'_>) -> Result<(), Over> {
        let Poll::Ready(drained) = self.poll_drain(context) else { return Ok(()) };
        drained
    }

    /// Says that we are done, then reads raw bytes until the client is too.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Over>> {
        let io = self.socket.get_mut();
        if ready!(Pin::new(&mut *io).poll_shutdown(context)).is_err() {
            return Poll::Ready(Err(Over));
        }
        for _ in 0..TURN {
            let mut scratch = [0; 1_024];
            let mut scratch = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *io).poll_read(context, &mut scratch));
            if read.is_err() || scratch.filled().is_empty() {
                return Poll::Ready(Err(Over));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn set_deadline(&mut self, after: Duration) {
        self.deadline = Some(Box::pin(tokio::time::sleep(after)));
    }

    fn end(&mut self, reason: LinkEnd) {
        if let Some(peer) = self.peer.take() {
            peer.end(reason);
        }
    }
}

/// The fault behind an error and the close code that says so; none where the connection is gone.
fn classify(error: &tungstenite::Error) -> Option<(Fault, CloseCode)> {
    match error {
        tungstenite::Error::Capacity(_) => Some((Fault::TooLarge, CloseCode::TOO_LARGE)),
        tungstenite::Error::Utf8(_) => Some((Fault::Protocol, CloseCode::INVALID_DATA)),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some((Fault::Protocol, CloseCode::PROTOCOL_ERROR)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
