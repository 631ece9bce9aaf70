//! The four ways in, as one: a message that begins a link, and what is heard on it.

use std::net::SocketAddr;

use serde_json::Value;
use throughline_wire::Codec;
use tokio::{io::AsyncReadExt as _, time::timeout};
use tokio_tungstenite::tungstenite::Message;
use wtransport::{ClientConfig, Endpoint};

use super::{PATIENCE, http::Ask, secure, speech::Heard, websocket::Socket};

/// Where a gateway is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doors {
    pub(crate) tcp: SocketAddr,
    /// WebTransport's.
    pub(crate) udp: SocketAddr,
}

/// A way in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Polling,
    Events,
    WebSocket,
    WebTransport,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Polling, Self::Events, Self::WebSocket, Self::WebTransport];

    /// Begins a link with these frames, and hears until a frame is what is waited for, or to its end.
    pub(crate) async fn say(self, doors: Doors, frames: &[Value], until: impl Fn(&Value) -> bool) -> Heard {
        self.say_text(doors, super::speech::frames(frames), until).await
    }

    /// The same with any text.
    pub(crate) async fn say_text(self, doors: Doors, text: String, until: impl Fn(&Value) -> bool) -> Heard {
        match self {
            Self::Polling => Heard::read(&Ask::frames("/v1/poll", text).to(doors.tcp).await.body),
            Self::Events => {
                let ask = Ask::frames("/v1/events", text).header("connection", "close");
                let mut stream = ask.open(doors.tcp).await;
                read(async |piece| stream.read(piece).await.ok(), until).await
            }
            Self::WebSocket => {
                let mut socket = Socket::open(doors.tcp, Codec::Json).await;
                socket.say(Message::text(text)).await;
                socket.hear(until).await;
                socket.heard
            }
            Self::WebTransport => {
                let tls = secure::config(&[b"h3"], &[&rustls::version::TLS13]);
                let config = ClientConfig::builder().with_bind_default().with_custom_tls(tls).build();
                let endpoint = Endpoint::client(config).expect("a free port");
                let url = format!("https://127.0.0.1:{}/v1/webtransport", doors.udp.port());
                let connection = endpoint.connect(url).await.expect("a session of WebTransport");
                let (mut up, mut down) =
                    connection.open_bi().await.expect("a connection").await.expect("a stream");
                let speaking = async {
                    // A gateway that has read enough ends the stream.
                    let _ = up.write_all(text.as_bytes()).await;
                    std::future::pending::<()>().await;
                };
                let hearing = read(async |piece| down.read(piece).await.ok().flatten(), until);
                tokio::select! {
                    heard = hearing => heard,
                    () = speaking => unreachable!("it never ends"),
                }
            }
        }
    }
}

/// Reads pieces until a frame is what is waited for, or to the end.
async fn read(
    mut piece: impl AsyncFnMut(&mut [u8]) -> Option<usize>,
    until: impl Fn(&Value) -> bool,
) -> Heard {
    let mut bytes = Vec::new();
    let reading = async {
        let mut buffer = [0; 4_096];
        while let Some(length @ 1..) = piece(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..length]);
            if Heard::read(&bytes).0.iter().any(&until) {
                return;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("a frame or an end in time");
    Heard::read(&bytes)
}
