//! The adapter in memory, and a client of it.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use throughline_conformance::{Bounds, Client, Goodbye, Harness, Heard, ScriptedGate, serve};
use throughline_link::Shape;
use throughline_websocket::{Config, WebSocket};
use throughline_wire::Codec;
use tokio::io::DuplexStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, handshake::client::generate_key, protocol::CloseFrame},
};

/// The adapter, running.
pub(crate) struct Running {
    websocket: WebSocket<ScriptedGate>,
}

impl Running {
    /// With these bounds.
    pub(crate) fn with(gate: ScriptedGate, config: Config) -> Self {
        Self { websocket: WebSocket::new(gate, config) }
    }
}

impl Harness for Running {
    type Client = Socket;

    const NAME: &'static str = "websocket";
    const SHAPE: Shape = Shape::Duplex;
    const CODECS: &'static [Codec] = &[Codec::Json, Codec::Bincode];

    fn start(gate: ScriptedGate, bounds: Bounds) -> Self {
        let config = Config {
            max_message_bytes: bounds.max_message_bytes,
            budget_bytes: bounds.budget_bytes,
            ..Config::default()
        };
        Self::with(gate, config)
    }

    fn connect(&self) -> DuplexStream {
        let websocket = self.websocket.clone();
        serve(move |request| {
            let (response, link) = websocket.answer(request, None);
            link.map(tokio::spawn);
            async { response }
        })
    }

    async fn open(&self, codec: Codec, first: Bytes) -> Socket {
        let (stream, _) = client_async(handshake(Some(codec.name())), self.connect()).await.unwrap();
        let mut socket = Socket { stream, codec };
        socket.send(first).await;
        socket
    }

    async fn open_in_wrong_codec(&self) -> Socket {
        let (stream, _) = client_async(handshake(Some(Codec::Json.name())), self.connect()).await.unwrap();
        let mut socket = Socket { stream, codec: Codec::Bincode };
        socket.send(Bytes::from_static(b"binary")).await;
        socket
    }
}

/// A client.
pub(crate) struct Socket {
    /// Its end.
    pub(crate) stream: WebSocketStream<DuplexStream>,
    codec: Codec,
}

impl Client for Socket {
    async fn send(&mut self, message: Bytes) {
        let message = match self.codec {
            Codec::Json => Message::Text(message.try_into().unwrap()),
            Codec::Bincode => Message::Binary(message),
        };
        // A server that refuses an earlier message may have closed.
        let _ = self.stream.send(message).await;
    }

    async fn next(&mut self) -> Heard {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => Heard::Message(text.into()),
                Some(Ok(Message::Binary(bytes))) => Heard::Message(bytes),
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => Heard::Goodbye(Goodbye {
                    close: Some((code.into(), reason.to_string())),
                    ..Goodbye::default()
                }),
                Some(Ok(_)) => continue,
                _ => Heard::Lost,
            };
        }
    }

    async fn leave(mut self) {
        self.stream.close(None).await.unwrap();
        while self.stream.next().await.is_some() {}
    }
}

/// A request that opens a WebSocket.
pub(crate) fn handshake(protocol: Option<&str>) -> Request<()> {
    let mut request = Request::builder()
        .uri("ws://localhost/")
        .header("host", "localhost")
        .header("upgrade", "websocket")
        .header("connection", "keep-alive, Upgrade")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key());
    if let Some(protocol) = protocol {
        request = request.header("sec-websocket-protocol", protocol);
    }
    request.body(()).unwrap()
}
