//! A client as a browser is one, down to the bytes: HTTP/3 and WebTransport by hand on QUIC.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use wtransport::{
    proto::{frame::Frame, headers::Headers, session::SessionRequest, settings::Settings, varint::VarInt},
    quinn::{self, ConnectionError, RecvStream, SendStream},
};

use super::network::Socket;

/// A client with its session.
pub(crate) struct Browser {
    /// Where packets can be stopped.
    pub(crate) socket: Arc<Socket>,
    pub(crate) connection: quinn::Connection,
    /// Both live as long as the connection.
    _endpoint: quinn::Endpoint,
    _control: SendStream,
    /// The stream of the request.
    pub(crate) request: (SendStream, RecvStream),
    /// The answer to the request.
    pub(crate) response: Headers,
}

impl Browser {
    /// Says its settings and asks for a session; gives the answer.
    pub(crate) async fn ask(
        socket: Arc<Socket>,
        endpoint: quinn::Endpoint,
        connection: quinn::Connection,
        headers: &[(&str, &str)],
    ) -> Self {
        let control = say_settings(&connection).await;
        let mut request = connection.open_bi().await.unwrap();
        request.0.write_all(&request_bytes(headers)).await.unwrap();
        let frame = Frame::read_async(&mut Reader(&mut request.1)).await.unwrap();
        let response = Headers::with_frame(&frame).unwrap();
        Self { socket, connection, _endpoint: endpoint, _control: control, request, response }
    }

    /// Opens a bidirectional stream of the session.
    pub(crate) async fn stream(&self) -> (SendStream, RecvStream) {
        let mut stream = self.connection.open_bi().await.unwrap();
        stream.0.write_all(STREAM).await.unwrap();
        stream
    }

    /// Opens a unidirectional stream of the session.
    pub(crate) async fn one_way_stream(&self) -> SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        stream.write_all(ONE_WAY_STREAM).await.unwrap();
        stream
    }

    /// Sends a datagram of the session.
    pub(crate) fn send_datagram(&self, payload: &[u8]) {
        self.connection.send_datagram([QUARTER, payload].concat().into()).unwrap();
    }

    /// The next datagram of the session.
    pub(crate) async fn datagram(&self) -> Bytes {
        let datagram = self.connection.read_datagram().await.unwrap();
        datagram.strip_prefix(QUARTER).map(Bytes::copy_from_slice).unwrap()
    }

    /// Ends the session as a page does that calls `close()`: with a capsule, and FIN.
    pub(crate) async fn close(&mut self, code: u32, reason: &str) {
        let mut capsule = vec![0x68, 0x43];
        capsule.extend(varint(4 + reason.len() as u64));
        capsule.extend(code.to_be_bytes());
        capsule.extend(reason.as_bytes());
        let frame = bytes_of(&Frame::new_data(Cow::Owned(capsule)));
        self.request.0.write_all(&frame).await.unwrap();
        self.request.0.finish().unwrap();
    }

    /// How the connection ends: the close code and its reason, where it is closed from the other side.
    pub(crate) async fn closed(&self) -> Option<(u64, String)> {
        match self.connection.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                Some((close.error_code.into_inner(), String::from_utf8(close.reason.to_vec()).unwrap()))
            }
            _ => None,
        }
    }
}

/// Opens the control stream.
pub(crate) async fn say_settings(connection: &quinn::Connection) -> SendStream {
    let settings = Settings::builder()
        .qpack_max_table_capacity(VarInt::from_u32(0))
        .qpack_blocked_streams(VarInt::from_u32(0))
        .enable_webtransport()
        .enable_h3_datagrams()
        .build();
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(&[&[0x00], &*bytes_of(&settings.generate_frame())].concat()).await.unwrap();
    control
}

/// The frame of a request: an extended CONNECT, with these headers added or put in place of its own.
pub(crate) fn request_bytes(headers: &[(&str, &str)]) -> Vec<u8> {
    let request = SessionRequest::new("https://localhost:4000/v1/webtransport").unwrap();
    let mut all: Headers = request.headers().as_ref().iter().collect();
    for (name, value) in headers {
        all.insert(*name, *value);
    }
    bytes_of(&all.generate_frame())
}

/// The signal value of a bidirectional stream (0x41), and the session's id.
const STREAM: &[u8] = &[0x40, 0x41, 0x00];
/// The type of a unidirectional stream (0x54), and the session's id.
const ONE_WAY_STREAM: &[u8] = &[0x40, 0x54, 0x00];
/// A quarter of the session's id.
const QUARTER: &[u8] = &[0x00];

fn bytes_of(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.write(&mut bytes).unwrap();
    bytes
}

/// RFC 9000, 16.
fn varint(value: u64) -> Vec<u8> {
    match value {
        0..0x40 => vec![value as u8],
        _ => (0x4000 | value as u16).to_be_bytes().to_vec(),
    }
}

/// Reads with quinn what wtransport's protocol crate decodes.
struct Reader<'a>(&'a mut RecvStream);

impl wtransport::proto::bytes::AsyncRead for Reader<'_> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.0.poll_read(context, buffer).map_err(std::io::Error::other)
    }
}
