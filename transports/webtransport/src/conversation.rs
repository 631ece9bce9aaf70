//! One open link and its peer.
//!
//! A turn writes, pulls and reads, then takes datagrams, until there is nothing to do or others have waited long
//! enough; each kind has its own share of a turn, so that none starves another. While a write is under way nothing is
//! pulled, so whatever comes meanwhile goes out as one, and no more than one message is held here.
//!
//! A link that closes does so in steps, each within its time: the last frames, then FIN, then the client's
//! acknowledgement of FIN, then the client closes. Only a client that does not is closed by force, since a page that
//! is closed from this side is told neither code nor reason.
//!
//! What else the client opens is turned away all the while (`turn_away`). How the connection ended is for the same
//! place to say: once the client has closed, every other call says that it was closed here.

use std::{
    future::{Future, poll_fn},
    ops::ControlFlow,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes};
use throughline_link::{Fault, LinkEnd, Peer, Transmit, buffer::with_buffer};
use throughline_wire::{CloseCode, Codec, ErrorCode, codec::FrameSplitter};
use tokio::time::Sleep;
use wtransport::{
    Connection, RecvStream, SendStream, VarInt,
    error::{ConnectionError, SendDatagramError},
    quinn::{self, ReadError, StoppedError, WriteError},
};

use crate::{Config, codes::stream_code};

/// Pieces and messages that one turn moves before other tasks have theirs.
const TURN: u32 = 64;

/// Datagrams of one turn, beside that.
const DATAGRAMS: u32 = 16;

/// The most that is read from the stream at once, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// Sees a link to its end. A client that has already broken a rule is told by its peer, and not read.
pub(crate) async fn converse<P: Peer>(
    connection: &Connection,
    (down, up): (SendStream, RecvStream),
    peer: P,
    codec: Codec,
    fault: Option<Fault>,
    config: &Config,
) {
    let mut turned_away = pin!(turn_away(connection));
    let mut datagram = pin!(connection.receive_datagram());
    let mut conversation = Conversation {
        connection,
        config,
        is_text: codec.is_text(),
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
    if let Some(fault) = fault {
        conversation.refuse(fault);
    }
    poll_fn(|context| {
        // First, since it may say that all else is over, and why.
        if let Poll::Ready(error) = turned_away.as_mut().poll(context) {
            conversation.disconnected(&error);
            return Poll::Ready(());
        }
        let mut share = DATAGRAMS;
        while let Poll::Ready(received) = datagram.as_mut().poll(context) {
            match received {
                Ok(received) => conversation.receive_datagram(&received),
                Err(error) => {
                    conversation.disconnected(&error);
                    return Poll::Ready(());
                }
            }
            datagram.set(connection.receive_datagram());
            share -= 1;
            if share == 0 {
                context.waker().wake_by_ref();
                break;
            }
        }
        // The deadline is looked at last, since the turn may have set it: only so does it know whom to wake.
        if conversation.turn(context).is_break() || conversation.is_late(context) {
            conversation.close_by_force();
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// Turns away whatever the client opens beside its stream, for as long as there is a connection; then says how that
/// ended. Somebody has to take them all: those that nobody takes would hold up the others.
async fn turn_away(connection: &Connection) -> ConnectionError {
    let code = stream_code(CloseCode::UNSUPPORTED_DATA);
    let both_ways = async {
        loop {
            match connection.accept_bi().await {
                Ok((mut down, up)) => {
                    let _ = down.reset(code);
                    up.stop(code);
                }
                Err(error) => break error,
            }
        }
    };
    let one_way = async {
        loop {
            match connection.accept_uni().await {
                Ok(up) => up.stop(code),
                Err(error) => break error,
            }
        }
    };
    tokio::select! {
        error = both_ways => error,
        error = one_way => error,
    }
}

struct Conversation<'a, P> {
    connection: &'a Connection,
    config: &'a Config,
    is_text: bool,
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
    /// It is the client's turn to close; or the connection is gone, and `turn_away` will say how.
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
                let stream = Pin::new(self.down.quic_stream_mut());
                match stream.poll_write(context, &self.outgoing) {
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
                    let stream = self.down.quic_stream_mut();
                    // It fails where the stream was stopped, which the next step hears.
                    let _ = stream.finish();
                    self.phase = Phase::Finishing(Box::pin(stream.stopped()));
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
        let (transmit, mut message) = with_buffer(|buffer| {
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
                let sent = self.connection.send_datagram(&message[..end]);
                if let Err(SendDatagramError::TooLarge | SendDatagramError::UnsupportedByPeer) = sent {
                    self.outgoing = message.split_off(0);
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
        while *moves > 0 && self.is_reading {
            let piece = pin!(self.up.quic_stream_mut().read_chunk(PIECE_BYTES, true)).poll(context);
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
        if let (Phase::Open, Some(peer)) = (&self.phase, &mut self.peer) {
            peer.receive_datagram(datagram);
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
        let _ = self.up.quic_stream_mut().stop(to_quinn(stream_code(code)));
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

    /// The connection has ended by itself.
    fn disconnected(&mut self, error: &ConnectionError) {
        let reason = match error {
            // One that closes on FIN may do so before it has acknowledged it.
            ConnectionError::ApplicationClosed(_) if matches!(self.phase, Phase::Finishing(_)) => {
                self.farewell.end
            }
            ConnectionError::ApplicationClosed(close) => {
                let reason = String::from_utf8_lossy(close.reason());
                tracing::debug!(code = close.code().into_inner(), %reason, "closed by the client");
                LinkEnd::ClosedByClient
            }
            ConnectionError::LocalH3Error(_) => LinkEnd::Protocol,
            _ => LinkEnd::Lost,
        };
        self.end(reason);
    }

    /// The client had its time; a link that has not ended by now is lost.
    fn close_by_force(&mut self) {
        self.end(LinkEnd::Lost);
        self.connection.close(VarInt::from_u32(self.farewell.code.0.into()), self.farewell.reason.as_bytes());
    }

    fn end(&mut self, reason: LinkEnd) {
        if let Some(peer) = self.peer.take() {
            peer.end(reason);
        }
    }
}

fn to_quinn(code: VarInt) -> quinn::VarInt {
    quinn::VarInt::from_u64(code.into_inner()).unwrap_or(quinn::VarInt::MAX)
}
