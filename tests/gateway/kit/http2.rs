//! Clients that speak HTTP/2 over TLS, WebSocket among it.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2, ext::Protocol, upgrade::Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::version::TLS13;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::{
    PATIENCE,
    secure::connect,
    speech::{Heard, frames, hello},
};

/// One connection.
pub(crate) struct Caller {
    address: SocketAddr,
    sender: http2::SendRequest<Full<Bytes>>,
    /// Ends with the connection; says whether it was closed as it should be.
    pub(crate) connection: JoinHandle<Result<(), hyper::Error>>,
}

impl Caller {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with_window(address, 64 * 1024).await
    }

    /// A client that grants this much before it reads.
    pub(crate) async fn with_window(address: SocketAddr, window: u32) -> Self {
        let stream = connect(address, &[b"h2"], &[&TLS13]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.initial_stream_window_size(window);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await.expect("a preface");
        Self { address, sender, connection: tokio::spawn(connection) }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("https://{}{path}", self.address))
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        let answer = timeout(PATIENCE, self.sender.send_request(request)).await;
        answer.expect("in time").expect("an answer")
    }

    pub(crate) async fn get(&mut self, path: &str) -> (StatusCode, Bytes) {
        let request = self.request(Method::GET, path).body(Full::default()).expect("legal");
        let answer = self.send(request).await;
        let status = answer.status();
        (status, answer.into_body().collect().await.expect("a body").to_bytes())
    }

    /// Opens a WebSocket; its session listens to this channel.
    pub(crate) async fn socket(&mut self, channel: &str) -> Socket {
        // By then the server has said that it takes them.
        self.get("/healthz").await;
        let request = self
            .request(Method::CONNECT, "/v1/websocket")
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "throughline.v1.json");
        let answer = self.send(request.body(Full::default()).expect("legal")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let stream = hyper::upgrade::on(answer).await.expect("a stream");
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Client, None).await;
        let mut socket = Socket { stream };
        let subscribe = json!({"type": "subscribe", "channel": channel});
        socket.say(&[hello(), json!({"type": "commands", "first": 1, "items": [subscribe]})]).await;
        socket.until(|frame| item(frame, "subscribed").is_some()).await;
        socket
    }
}

/// A WebSocket that is a stream of a connection.
pub(crate) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
}

impl Socket {
    async fn say(&mut self, said: &[Value]) {
        self.stream.send(Message::text(frames(said))).await.expect("it is open");
    }

    /// Waits for the next event, which has to be this one.
    pub(crate) async fn hear(&mut self, data: &str) {
        let frame = self.until(|frame| item(frame, "event").is_some()).await;
        assert_eq!(item(&frame, "event").expect("one")["data"].to_string(), data);
        let count = frame["items"].as_array().map_or(0, Vec::len) as u64;
        let last = frame["first"].as_u64().expect("a number") + count - 1;
        self.say(&[json!({"type": "ack", "upTo": last})]).await;
    }

    /// Waits for a frame.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("in time");
            let message = message.expect("it is open").expect("a message").into_data();
            if let Some(frame) = Heard::read(&message).0.into_iter().find(&wanted) {
                return frame;
            }
        }
    }

    /// Closes, as a client does that has had enough.
    pub(crate) async fn close(mut self) {
        self.stream.close(None).await.expect("it is open");
        while let Some(Ok(_)) = timeout(PATIENCE, self.stream.next()).await.expect("in time") {}
    }
}

/// The first that a client says, frame by frame: its preface and no settings.
pub(crate) fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &[])[..]].concat()
}

/// A frame (RFC 9113, 4.1), of a stream or, with 0, of the connection.
pub(crate) fn frame(of_type: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    [&length[1..], &[of_type, flags], &stream.to_be_bytes(), payload].concat()
}

/// A frame that was heard.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) of_type: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
/// The last of a stream, and an answer to a ping.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

impl Frame {
    /// The next one; none once the connection has ended.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let reading = async {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, of_type, flags, w, x, y, z] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            stream.read_exact(&mut payload).await.ok()?;
            Some(Self { of_type, flags, stream: u32::from_be_bytes([w, x, y, z]), payload })
        };
        timeout(PATIENCE, reading).await.expect("in time")
    }

    /// The last stream that is answered, and why the connection ends.
    pub(crate) fn goaway(&self) -> Option<(u32, u32)> {
        let number = |at: usize| Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?));
        if self.of_type == GOAWAY { Some((number(0)?, number(4)?)) } else { None }
    }
}

fn item<'a>(frame: &'a Value, of_type: &str) -> Option<&'a Value> {
    frame["items"].as_array()?.iter().find(|item| item["type"] == of_type)
}
