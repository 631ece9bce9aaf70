//! A WebSocket that says what it is told to, in either codec.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use throughline_wire::{Codec, DecodeLimits, DownFrame};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest as _,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::{PATIENCE, speech::Heard};

/// A frame as a client library would not make it: text of any bytes, UTF-8 or not.
pub(crate) fn text_frame(bytes: &[u8]) -> Message {
    Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(Data::Text), true))
}

/// One that says that it is compressed.
pub(crate) fn compressed_frame(bytes: impl Into<Bytes>) -> Message {
    let mut frame = Frame::message(bytes, OpCode::Data(Data::Text), true);
    frame.header_mut().rsv1 = true;
    Message::Frame(frame)
}

/// One that goes on with a message that never began.
pub(crate) fn lonely_frame() -> Message {
    Message::Frame(Frame::message("{}", OpCode::Data(Data::Continue), true))
}

/// One connection, and everything that came down it.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    codec: Codec,
    pub(crate) heard: Heard,
    /// The code that it was closed with.
    pub(crate) close: Option<u16>,
}

impl Socket {
    pub(crate) async fn open(address: SocketAddr, codec: Codec) -> Self {
        Self::below(address, "", codec).await
    }

    /// Opens one at a gateway below a path.
    pub(crate) async fn below(address: SocketAddr, path: &str, codec: Codec) -> Self {
        let url = format!("ws://{address}{path}/v1/websocket");
        let mut request = url.into_client_request().expect("an address");
        let protocol = codec.name().parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let stream = TcpStream::connect(address).await.expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        let (stream, _) = client_async(request, stream).await.expect("a handshake");
        Self { stream, codec, heard: Heard::default(), close: None }
    }

    /// Says one message. What is said to a closed link is lost.
    pub(crate) async fn say(&mut self, message: Message) {
        let _ = self.stream.send(message).await;
    }

    /// Says frames of the text codec, in this link's own.
    pub(crate) async fn say_frames(&mut self, frames: &[Value]) {
        let text = super::speech::frames(frames);
        let message = match self.codec {
            Codec::Json => Message::text(text),
            Codec::Bincode => {
                let mut bytes = BytesMut::new();
                for frame in Codec::Json.up_frames(text.as_bytes(), DecodeLimits::default()) {
                    Codec::Bincode.encode_up(&frame.expect("a legal frame"), &mut bytes);
                }
                Message::binary(bytes.freeze())
            }
        };
        self.say(message).await;
    }

    /// Hears until a frame is what is waited for; `false` if the link closed before.
    pub(crate) async fn hear(&mut self, until: impl Fn(&Value) -> bool) -> bool {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("a message in time");
            let bytes = match message {
                Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                Some(Ok(Message::Binary(bytes))) => self.as_text(&bytes),
                Some(Ok(Message::Close(frame))) => {
                    self.close = frame.map(|frame| frame.code.into());
                    continue;
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return false,
            };
            let heard = Heard::read(&bytes).0;
            let found = heard.iter().any(&until);
            self.heard.0.extend(heard);
            if found {
                return true;
            }
        }
    }

    /// Hears until the gateway has answered everything that was said; `false` if it closed the link instead.
    pub(crate) async fn hear_all(&mut self) -> bool {
        let nonce = 1_000_000 + self.heard.0.len() as u64;
        self.say_frames(&[json!({"type": "ping", "nonce": nonce})]).await;
        self.hear(|frame| frame["type"] == "pong" && frame["nonce"] == nonce).await
    }

    fn as_text(&self, bytes: &[u8]) -> Vec<u8> {
        let mut text = BytesMut::new();
        let frames: Vec<DownFrame> =
            self.codec.down_frames(bytes, DecodeLimits::default()).collect::<Result<_, _>>().expect("frames");
        frames.iter().for_each(|frame| Codec::Json.encode_down(frame, &mut text));
        text.to_vec()
    }
}
