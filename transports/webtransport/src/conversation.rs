//! One open link and its peer.
//!
//! A turn refuses what else the client has opened, looks for signals, takes datagrams, and then writes, pulls and reads
//! until there is nothing to do or others have waited long enough; each kind has its own share of a turn, so that none
//! starves another. While a write is under way nothing is pulled, so whatever comes meanwhile goes out as one, and no
//! more than one message is held here.
//!
//! A link that closes does so in steps, each within its time: the last frames, then FIN, then the client's
//! acknowledgement of FIN, then the client closes. Only a client that does not is closed by force, since a page that
//! is closed from this side is told neither code nor reason.
//!
//! How the link ended is for those to say who wait for more streams, for datagrams and for signals: a read or a write
//! that fails only knows that the connection is gone.

use std::{
    future::{Future, poll_fn},
    ops::ControlFlow,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use throughline_link::{Fault, LinkEnd, Peer, Transmit, buffer::with_buffer};
use throughline_wire::{CloseCode, ErrorCode, codec::FrameSplitter};
use tokio::time::Sleep;
use wtransport::{
    proto::{error::ErrorCode as Http3Code, ids::SessionId},
    quinn::{
        self, Connection, ConnectionError, ReadError, RecvStream, SendDatagramError, SendStream,
        StoppedError, WriteError,
    },
};

use crate::{
    Config,
    codes::stream_code,
    handshake::Opened,
    http3::{self, Signal, to_quinn},
};

/// Pieces and messages that one turn moves before other tasks have theirs.
const TURN: u32 = 64;

/// Datagrams of one turn, beside that.
const DATAGRAMS: u32 = 16;

/// Streams that one turn takes only to refuse them.
const STRANGERS: u32 = 8;

/// The most that is read from the stream at once, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Sees a link to its end. A client that has already broken a rule is told by its peer, and not read.
pub(crate) async fn converse<P: Peer>(opened: Opened, peer: P, config: &Config) {
    let Opened { connection, mut signals, session, streams: (down, up), codec, is_codec_known, .. } = opened;
    let connection = &connection;
    let code = stream_code(CloseCode::UNSUPPORTED_DATA);
    let mut both_ways = pin!(connection.accept_bi());
    let mut one_way = pin!(connection.accept_uni());
    let mut datagram = pin!(connection.read_datagram());
    let mut conversation = Conversation {
        connection,
        config,
        is_text: codec.is_text(),
        session,
        down,
        up,
        frames: FrameSplitter::new(codec, config.max_message_bytes),
        peer: Some(peer),
        phase: Phase::Open,
        farewell: Farewell { code: CloseCode::SILENCE, reason: "silence", end: LinkEnd::Lost },
        outgoing: Bytes::new(),
        is_reading: true,
        fault: None,
        deadline: None,
    };
    if !is_codec_known {
        conversation.refuse(Fault::WrongCodec);
    }
    poll_fn(|context| {
        // Whatever else the client opens is turned away: somebody has to take it, and it may be a great deal.
        for share in (0..STRANGERS).rev() {
            let both = match both_ways.as_mut().poll(context) {
                Poll::Ready(Ok((down, up))) => {
                    http3::refuse(down, up, code);
                    both_ways.set(connection.accept_bi());
                    true
                }
                Poll::Ready(Err(error)) => return conversation.disconnected(&error),
                Poll::Pending => false,
            };
            let one = match one_way.as_mut().poll(context) {
                Poll::Ready(Ok(up)) => {
                    signals.add(up);
                    one_way.set(connection.accept_uni());
                    true
                }
                Poll::Ready(Err(error)) => return conversation.disconnected(&error),
                Poll::Pending => false,
            };
            if !both && !one {
                break;
            }
            if share == 0 {
                context.waker().wake_by_ref();
            }
        }
        if let Poll::Ready(signal) = signals.poll(context, code) {
            return conversation.signalled(signal);
        }
        for share in (0..DATAGRAMS).rev() {
            match datagram.as_mut().poll(context) {
                Poll::Ready(Ok(received)) => conversation.receive_datagram(&received),
                Poll::Ready(Err(error)) => return conversation.disconnected(&error),
                Poll::Pending => break,
            }
            datagram.set(connection.read_datagram());
            if share == 0 {
                context.waker().wake_by_ref();
            }
        }
        // The deadline is looked at last, since the turn may have set it: only so does it know whom to wake.
        let is_over = conversation.turn(context).is_break();
        if !is_over && !conversation.is_late(context) {
            return Poll::Pending;
        }
        // An open link has one deadline, that of what does not leave.
        let is_stalled = !is_over && matches!(conversation.phase, Phase::Open);
        conversation.close_by_force(if is_stalled { LinkEnd::Stalled } else { LinkEnd::Lost })
    })
    .await;
}

struct Conversation<'a, P> {
    connection: &'a Connection,
    config: &'a Config,
    is_text: bool,
    session: SessionId,
    down: SendStream,
    up: RecvStream,
    frames: FrameSplitter,
    /// Until it has been told how the link ended.
    peer: Option<P>,
    phase: Phase,
    farewell: Farewell,
    /// What was pulled and has not been taken by the stream.
    outgoing: Bytes,
    is_reading: bool,
    /// Why nothing more can be read from the client.
    fault: Option<CloseCode>,
    deadline: Option<Pin<Box<Sleep>>>,
}

enum Phase {
    /// Frames go both ways.
    Open,
    /// The last of them are on their way.
    Closing,
    /// FIN is, and is to be acknowledged.
    Finishing(Stopped),
    /// It is the client's turn to close; or the connection is gone, and others will say how.
    Parting,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<quinn::VarInt>, StoppedError>> + Send>>;

/// What is said last, and how the link ends if it is heard.
struct Farewell {
    code: CloseCode,
    reason: &'static str,
    end: LinkEnd,
}

/// Goes on, or the link is over.
type Going = ControlFlow<()>;
const GO_ON: Going = ControlFlow::Continue(());
const OVER: Going = ControlFlow::Break(());

impl<P: Peer> Conversation<'_, P> {
    fn turn(&mut self, context: &mut Context<'_>) -> Going {
        let mut moves = TURN;
        loop {
            self.write(context, &mut moves)?;
            let got_frame = self.read(context, &mut moves)?;
            if moves == 0 {
                context.waker().wake_by_ref();
                return GO_ON;
            }
            if !got_frame {
                return GO_ON;
            }
            // The peer may have an answer: better now than after another wake.
        }
    }

    /// Writes and pulls until the stream is full or the peer has nothing to say; sees to the steps of a close.
    fn write(&mut self, context: &mut Context<'_>, moves: &mut u32) -> Going {
        loop {
            while self.outgoing.has_remaining() {
                match Pin::new(&mut self.down).poll_write(context, &self.outgoing) {
                    Poll::Ready(Ok(written)) => self.outgoing.advance(written),
                    Poll::Ready(Err(WriteError::ConnectionLost(_))) => return self.part(),
                    Poll::Ready(Err(_)) => return OVER,
                    Poll::Pending => {
                        if self.deadline.is_none() {
                            self.set_deadline(self.config.write_timeout);
                        }
                        return GO_ON;
                    }
                }
            }
            match &mut self.phase {
                Phase::Open => {
                    self.outgoing = Bytes::new();
                    self.deadline = None;
                    if *moves == 0 || !self.pull(context) {
                        return GO_ON;
                    }
                    *moves -= 1;
                }
                Phase::Closing => {
                    // It fails where the stream was stopped, which the next step hears.
                    let _ = self.down.finish();
                    self.phase = Phase::Finishing(Box::pin(self.down.stopped()));
                    self.set_deadline(self.config.close_grace);
                }
                Phase::Finishing(stopped) => {
                    let Poll::Ready(stopped) = stopped.as_mut().poll(context) else { return GO_ON };
                    match stopped {
                        Ok(None) => self.end(self.farewell.end),
                        Ok(Some(_)) => return OVER,
                        Err(_) => {}
                    }
                    return self.part();
                }
                Phase::Parting => return GO_ON,
            }
        }
    }

    /// Asks the peer for more; says whether there was any.
    fn pull(&mut self, context: &mut Context<'_>) -> bool {
        let Some(peer) = &mut self.peer else { return false };
        let (transmit, message) = with_buffer(|buffer| {
            let transmit = peer.poll_transmit(context, self.config.budget_bytes, buffer);
            if self.is_text && buffer.last().is_some_and(|&last| last != b'\n') {
                buffer.put_u8(b'\n');
            }
            (transmit, buffer.split().freeze())
        });
        match (transmit, self.fault) {
            (Poll::Ready(Transmit::Message), _) => self.outgoing = message,
            (Poll::Ready(Transmit::Datagram), _) => {
                let end = message.len() - usize::from(self.is_text && message.ends_with(b"\n"));
                let sent = self.connection.send_datagram(http3::datagram(self.session, &message[..end]));
                if let Err(SendDatagramError::TooLarge | SendDatagramError::UnsupportedByPeer) = sent {
                    self.outgoing = message;
                }
            }
            (Poll::Ready(Transmit::Close(advice)), _) => {
                self.outgoing = message;
                self.close(advice.code, advice.reason);
            }
            (Poll::Pending, None) => return false,
            // The peer would go on, but its client cannot be read.
            (Poll::Pending, Some(code)) => self.close(code, ""),
        }
        true
    }

    /// Hands what has arrived to the peer; says whether anything did that the peer may want to answer.
    fn read(&mut self, context: &mut Context<'_>, moves: &mut u32) -> ControlFlow<(), bool> {
        let mut got_frame = false;
        while *moves > 0 && self.is_reading && self.is_peer_ready(context) {
            let piece = pin!(self.up.read_chunk(PIECE_BYTES, true)).poll(context);
            let Poll::Ready(piece) = piece else { break };
            *moves -= 1;
            match piece {
                Ok(Some(piece)) => got_frame |= self.receive(&piece.bytes),
                Ok(None) => {
                    self.is_reading = false;
                    if matches!(self.phase, Phase::Open) {
                        self.end(LinkEnd::ClosedByClient);
                        self.close(CloseCode::NORMAL, "");
                        self.set_deadline(self.config.close_grace);
                        got_frame = true;
                    }
                }
                Err(ReadError::ConnectionLost(_)) => {
                    self.is_reading = false;
                    self.part()?;
                }
                Err(_) => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(got_frame)
    }

    /// Whether the peer takes another piece; a link that is closing reads on without it.
    fn is_peer_ready(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.peer {
            Some(peer) if matches!(self.phase, Phase::Open) => peer.poll_ready(context).is_ready(),
            _ => true,
        }
    }

    /// Whether the peer took anything or refused it; a link that is closing does neither.
    fn receive(&mut self, mut piece: &[u8]) -> bool {
        let (Phase::Open, Some(peer)) = (&self.phase, &mut self.peer) else { return false };
        let mut got_frame = false;
        loop {
            match self.frames.next(&mut piece) {
                Ok(Some(frame)) => peer.receive(frame),
                Ok(None) => return got_frame,
                Err(error) => {
                    let is_too_large = error.code == ErrorCode::MessageTooLarge;
                    self.refuse(if is_too_large { Fault::TooLarge } else { Fault::Protocol });
                    return true;
                }
            }
            got_frame = true;
        }
    }

    fn receive_datagram(&mut self, datagram: &[u8]) {
        let payload = http3::payload(self.session, datagram);
        if let (Phase::Open, Some(peer), Some(payload)) = (&self.phase, &mut self.peer, payload) {
            peer.receive_datagram(payload);
        }
    }

    /// The client cannot be understood any more: its peer says so, and nothing more is read.
    fn refuse(&mut self, fault: Fault) {
        let code = match fault {
            Fault::TooLarge => CloseCode::TOO_LARGE,
            Fault::WrongCodec => CloseCode::UNSUPPORTED_DATA,
            Fault::TooSlow | Fault::Protocol => CloseCode::PROTOCOL_ERROR,
        };
        self.fault = Some(code);
        self.is_reading = false;
        let _ = self.up.stop(to_quinn(stream_code(code)));
        if let Some(peer) = &mut self.peer {
            peer.refuse(fault);
        }
    }

    /// What is outgoing is the last.
    fn close(&mut self, code: CloseCode, reason: &'static str) {
        let end = match self.fault {
            Some(CloseCode::PROTOCOL_ERROR) => LinkEnd::Protocol,
            _ => LinkEnd::Closed,
        };
        self.farewell = Farewell { code, reason, end };
        self.phase = Phase::Closing;
    }

    /// All is said: waits for the connection to end.
    fn part(&mut self) -> Going {
        self.outgoing = Bytes::new();
        self.phase = Phase::Parting;
        self.set_deadline(self.config.close_grace);
        GO_ON
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(context).is_ready())
    }

    fn set_deadline(&mut self, after: Duration) {
        self.deadline = Some(Box::pin(tokio::time::sleep(after)));
    }

    /// The client has said something beside its stream that ends the link.
    fn signalled(&mut self, signal: Signal) -> Poll<()> {
        let (code, end) = match signal {
            Signal::Closed(code, reason) => {
                tracing::debug!(code, reason, "closed by the client");
                (Http3Code::NoError, self.left())
            }
            Signal::BrokenOff => (Http3Code::NoError, LinkEnd::Lost),
            Signal::Breach(code) => (code, LinkEnd::Protocol),
        };
        self.end(end);
        self.connection.close(to_quinn(code.to_code()), b"");
        Poll::Ready(())
    }

    /// The connection has ended by itself.
    fn disconnected(&mut self, error: &ConnectionError) -> Poll<()> {
        let end = match error {
            ConnectionError::ApplicationClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason);
                tracing::debug!(code = close.error_code.into_inner(), %reason, "closed by the client");
                self.left()
            }
            _ => LinkEnd::Lost,
        };
        self.end(end);
        Poll::Ready(())
    }

    /// How a link ends whose client has left. One that closes on FIN may do so before it has acknowledged it.
    fn left(&self) -> LinkEnd {
        if matches!(self.phase, Phase::Finishing(_)) { self.farewell.end } else { LinkEnd::ClosedByClient }
    }

    /// The client had its time.
    fn close_by_force(&mut self, end: LinkEnd) -> Poll<()> {
        self.end(end);
        self.connection.close(u32::from(self.farewell.code.0).into(), self.farewell.reason.as_bytes());
        Poll::Ready(())
    }

    fn end(&mut self, reason: LinkEnd) {
        if let Some(peer) = self.peer.take() {
            peer.end(reason);
        }
    }
}
