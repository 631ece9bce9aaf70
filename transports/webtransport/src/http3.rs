//! As much of HTTP/3 as one WebTransport session takes, on wtransport's protocol crate.
//!
//! A connection carries one session. [`greet`] sees it from QUIC's handshake to a request that asks for one: settings
//! go out, the client's come in, and requests that ask for something else are rejected. [`Signals`] then keeps what has
//! to stay open beside the session: our control stream, those of the client, and the stream of the request, on which the
//! client says that it closes.
//!
//! wtransport's own driver does the same with a task and nine channels for each connection, nearly half of what
//! it holds at rest; here it is part of the link's one future (docs/decisions/0015). What a client says on its control stream after its
//! settings is left unread, which flow control bounds; so are its QPACK streams, since no dynamic table was granted.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use wtransport::{
    VarInt,
    proto::{
        bytes::AsyncRead,
        capsule::{Capsule, capsules::CloseWebTransportSession},
        datagram::Datagram,
        error::ErrorCode,
        frame::{Frame, FrameKind},
        headers::Headers,
        ids::{QStreamId, SessionId},
        session::{HeadersParseError, SessionRequest},
        settings::Settings,
    },
    quinn::{self, Connection, RecvStream, SendStream},
};

use crate::fields;

/// A client that has asked for a session.
pub(crate) struct Asked {
    pub(crate) request: SessionRequest,
    pub(crate) signals: Signals,
}

/// Why a client did not get so far. The code says it to the client.
pub(crate) struct Breach(ErrorCode);

/// Exchanges settings and waits for a request that asks for a session; others are rejected.
pub(crate) async fn greet(connection: &Connection) -> Result<Asked, Breach> {
    let mut control = connection.open_uni().await?;
    let mut hello = vec![CONTROL];
    write_frame(&settings().generate_frame(), &mut hello);
    control.write_all(&hello).await?;
    let (theirs, (request, streams)) = tokio::try_join!(their_settings(connection), request(connection))?;
    let signals = Signals { _control: control, theirs, unknown: Vec::new(), streams, said: Vec::new() };
    Ok(Asked { request, signals })
}

/// What browsers want to see, each its own (docs/protocol.md).
fn settings() -> Settings {
    Settings::builder()
        .qpack_max_table_capacity(VarInt::from_u32(0))
        .qpack_blocked_streams(VarInt::from_u32(0))
        .enable_connect_protocol()
        .enable_webtransport()
        .enable_h3_datagrams()
        .webtransport_max_sessions(VarInt::from_u32(1))
        .build()
}

/// The client's control stream, and what else it opened before, once its settings are in.
async fn their_settings(connection: &Connection) -> Result<Vec<RecvStream>, Breach> {
    let mut theirs = Vec::with_capacity(3);
    loop {
        let mut stream = connection.accept_uni().await?;
        let mut kind = [0];
        if stream.read_exact(&mut kind).await.is_err() {
            continue;
        }
        match kind[0] {
            CONTROL => {
                let frame = Frame::read_async(&mut Reader(&mut stream)).await.map_err(|_| FRAME)?;
                if !matches!(frame.kind(), FrameKind::Settings) {
                    return Err(Breach(ErrorCode::MissingSettings));
                }
                Settings::with_frame(&frame).map_err(Breach)?;
                theirs.push(stream);
                return Ok(theirs);
            }
            QPACK_ENCODER | QPACK_DECODER if theirs.len() < 2 => theirs.push(stream),
            _ => refuse_uni(stream, kind[0], ErrorCode::BufferedStreamRejected.to_code()),
        }
    }
}

async fn request(connection: &Connection) -> Result<(SessionRequest, (SendStream, RecvStream)), Breach> {
    loop {
        let (send, mut receive) = connection.accept_bi().await?;
        let frame = loop {
            match Frame::read_async(&mut Reader(&mut receive)).await {
                Ok(frame) if matches!(frame.kind(), FrameKind::Exercise(_)) => {}
                Ok(frame) => break frame,
                Err(_) => return Err(FRAME),
            }
        };
        let code = match frame.kind() {
            FrameKind::Headers => {
                if !fields::are_decodable(frame.payload()) {
                    return Err(Breach(ErrorCode::Decompression));
                }
                match SessionRequest::try_from(Headers::with_frame(&frame).map_err(Breach)?) {
                    Ok(request) => return Ok((request, (send, receive))),
                    Err(HeadersParseError::MethodNotConnect) => ErrorCode::RequestRejected,
                    Err(_) => ErrorCode::Message,
                }
            }
            // A stream of a session that is not there yet.
            FrameKind::WebTransport => ErrorCode::BufferedStreamRejected,
            _ => return Err(Breach(ErrorCode::FrameUnexpected)),
        };
        refuse(send, receive, code.to_code());
    }
}

/// Answers the request.
pub(crate) async fn answer(signals: &mut Signals, headers: &Headers) -> Result<(), Breach> {
    let mut bytes = Vec::new();
    write_frame(&headers.generate_frame(), &mut bytes);
    Ok(signals.streams.0.write_all(&bytes).await?)
}

/// The first stream of the session that the client opens.
pub(crate) async fn stream(
    connection: &Connection,
    session: SessionId,
) -> Result<(SendStream, RecvStream), Breach> {
    loop {
        let (send, mut receive) = connection.accept_bi().await?;
        match Frame::read_async(&mut Reader(&mut receive)).await {
            Ok(frame) if frame.session_id() == Some(session) => return Ok((send, receive)),
            Ok(_) => refuse(send, receive, ErrorCode::RequestRejected.to_code()),
            Err(_) => return Err(FRAME),
        }
    }
}

/// What has to stay open for as long as the session does.
pub(crate) struct Signals {
    _control: SendStream,
    theirs: Vec<RecvStream>,
    /// Those whose first byte has not come. QUIC bounds how many there are.
    unknown: Vec<RecvStream>,
    /// The request's.
    streams: (SendStream, RecvStream),
    /// The beginning of a frame on it.
    said: Vec<u8>,
}

/// What [`Signals::poll`] found.
pub(crate) enum Signal {
    /// The client has closed the session, with this code and reason.
    Closed(u64, String),
    /// The stream of the request was broken off.
    BrokenOff,
    /// The client broke HTTP/3.
    Breach(ErrorCode),
}

impl Signals {
    /// The session's name on the wire: the number of its request's stream.
    pub(crate) fn session(&self) -> Option<SessionId> {
        let id = VarInt::try_from_u64(quinn::VarInt::from(self.streams.0.id()).into_inner()).ok()?;
        SessionId::try_from_session_stream(wtransport::StreamId::new(id)).ok()
    }

    /// The stream on which a refusal is said; nothing else is.
    pub(crate) const fn response(&mut self) -> &mut SendStream {
        &mut self.streams.0
    }

    /// Takes a stream that the client has opened, to see what it is.
    pub(crate) fn add(&mut self, stream: RecvStream) {
        self.unknown.push(stream);
    }

    /// Looks for what ends the session. `code` is for streams that nobody takes.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, code: VarInt) -> Poll<Signal> {
        let mut at = 0;
        while let Some(stream) = self.unknown.get_mut(at) {
            let mut kind = [0];
            let Poll::Ready(read) = stream.poll_read(context, &mut kind) else {
                at += 1;
                continue;
            };
            let stream = self.unknown.swap_remove(at);
            match (read, kind[0]) {
                (Ok(1), QPACK_ENCODER | QPACK_DECODER) if self.theirs.len() < 3 => self.theirs.push(stream),
                (Ok(1), CONTROL | QPACK_ENCODER | QPACK_DECODER) => {
                    return Poll::Ready(Signal::Breach(ErrorCode::StreamCreation));
                }
                (Ok(1), kind) => refuse_uni(stream, kind, code),
                _ => {}
            }
        }
        self.poll_request(context)
    }

    fn poll_request(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        let mut bytes = [0; 256];
        while let Poll::Ready(read) = self.streams.1.poll_read(context, &mut bytes) {
            match read {
                // FIN without a capsule is a close with code 0 (draft-ietf-webtrans-http3, 6).
                Ok(0) => return Poll::Ready(Signal::Closed(0, String::new())),
                Ok(read) => self.said.extend_from_slice(&bytes[..read]),
                // How the connection was lost is for whoever waits for that to say.
                Err(quinn::ReadError::ConnectionLost(_)) => return Poll::Pending,
                Err(_) => return Poll::Ready(Signal::BrokenOff),
            }
            while let Some((kind, payload, length)) = next_frame(&self.said) {
                if kind == DATA
                    && let Some(capsule) =
                        Capsule::with_frame(&Frame::new_data(self.said[payload..length].into()))
                {
                    return Poll::Ready(match CloseWebTransportSession::with_capsule(&capsule) {
                        Ok(close) => {
                            Signal::Closed(close.error_code().into_inner(), close.reason().to_owned())
                        }
                        Err(code) => Signal::Breach(code),
                    });
                }
                self.said.drain(..length);
            }
            if self.said.len() > MAX_FRAME_BYTES {
                return Poll::Ready(Signal::Breach(ErrorCode::ExcessiveLoad));
            }
            if self.said.is_empty() {
                self.said = Vec::new();
            }
        }
        Poll::Pending
    }
}

/// A datagram of the session (RFC 9297, 2.1).
pub(crate) fn datagram(session: SessionId, payload: &[u8]) -> Bytes {
    let datagram = Datagram::new(QStreamId::from_session_id(session), payload);
    let mut bytes = vec![0; datagram.write_size()];
    // There is as much room as it said.
    let _ = datagram.write(&mut bytes);
    bytes.into()
}

/// What a datagram carries, if it is the session's.
pub(crate) fn payload(session: SessionId, datagram: &[u8]) -> Option<&[u8]> {
    let (quarter, length) = varint(datagram)?;
    (quarter == QStreamId::from_session_id(session).into_u64()).then(|| &datagram[length..])
}

/// Refuses a stream that may be of two directions, both at once.
pub(crate) fn refuse(mut send: SendStream, mut receive: RecvStream, code: VarInt) {
    let _ = send.reset(to_quinn(code));
    let _ = receive.stop(to_quinn(code));
}

/// Refuses a stream of one direction: one of the session by `code`, one that HTTP/3 may add by its own.
fn refuse_uni(mut stream: RecvStream, kind: u8, code: VarInt) {
    let code = if kind == OF_SESSION { code } else { ErrorCode::StreamCreation.to_code() };
    let _ = stream.stop(to_quinn(code));
}

/// The kind of the frame that the bytes begin with, where its payload begins, and where it ends.
fn next_frame(bytes: &[u8]) -> Option<(u64, usize, usize)> {
    let (kind, at) = varint(bytes)?;
    let (length, taken) = varint(&bytes[at..])?;
    let payload = at + taken;
    let end = payload.checked_add(usize::try_from(length).ok()?)?;
    (bytes.len() >= end).then_some((kind, payload, end))
}

/// RFC 9000, 16: the integer that the bytes begin with, and how many it takes.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let rest = bytes.get(1..length)?;
    Some((rest.iter().fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte)), length))
}

fn write_frame(frame: &Frame<'_>, bytes: &mut Vec<u8>) {
    // A vector has no end to run into.
    let _ = frame.write(bytes);
}

/// The same number in the other crate's type.
pub(crate) fn to_quinn(code: VarInt) -> quinn::VarInt {
    quinn::VarInt::from_u64(code.into_inner()).unwrap_or(quinn::VarInt::MAX)
}

impl Breach {
    /// Ends a connection on which nothing can be said any more.
    pub(crate) fn close(&self, connection: &Connection) {
        connection.close(to_quinn(self.0.to_code()), b"");
    }
}

impl From<quinn::ConnectionError> for Breach {
    fn from(_: quinn::ConnectionError) -> Self {
        Self(ErrorCode::NoError)
    }
}

impl From<quinn::WriteError> for Breach {
    fn from(_: quinn::WriteError) -> Self {
        Self(ErrorCode::ClosedCriticalStream)
    }
}

/// Reads with quinn what wtransport's protocol crate decodes.
struct Reader<'a>(&'a mut RecvStream);

impl AsyncRead for Reader<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_read(context, buffer).map_err(io::Error::from)
    }
}

const FRAME: Breach = Breach(ErrorCode::Frame);

/// The types of unidirectional streams (RFC 9114, 6.2; RFC 9204, 4.2).
const CONTROL: u8 = 0x00;
const QPACK_ENCODER: u8 = 0x02;
const QPACK_DECODER: u8 = 0x03;
/// The first byte of 0x54 in two, the type of a session's streams. No other type that is known begins so.
const OF_SESSION: u8 = 0x40;
/// The type of a frame that carries capsules.
const DATA: u64 = 0x00;
/// The largest frame that is looked at after the request; a close has 1,024 bytes of reason at most.
const MAX_FRAME_BYTES: usize = 4 * 1024;
