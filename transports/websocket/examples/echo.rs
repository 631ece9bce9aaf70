//! A WebSocket that says what it hears: `cargo run -p throughline-websocket --example echo -- 127.0.0.1:9001`.
//!
//! What conformance tools such as the Autobahn cases ask for, with nothing between them and the adapter.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use throughline_link::{Advice, Fault, Gate, LinkEnd, LinkRequest, Peer, Transmit};
use throughline_websocket::{Config, MessageKind, WebSocket};
use throughline_wire::CloseCode;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = TcpListener::bind(address).await?;
    println!("{}", listener.local_addr()?);
    serve(listener).await
}

/// Serves whoever connects.
pub(crate) async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let config =
        Config { max_message_bytes: 32 << 20, message_kind: MessageKind::Mirror, ..Config::default() };
    let websocket = WebSocket::new(EchoGate, config);
    loop {
        let (stream, remote) = listener.accept().await?;
        tokio::spawn(converse(websocket.clone(), stream, remote));
    }
}

async fn converse(websocket: WebSocket<EchoGate>, stream: TcpStream, remote: SocketAddr) {
    let service = service_fn(|request| {
        let (response, link) = websocket.answer(request, Some(remote));
        link.map(tokio::spawn);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        eprintln!("{remote}: {error}");
    }
}

#[derive(Clone)]
struct EchoGate;

impl Gate for EchoGate {
    type Peer = Echo;

    fn open(&self, _link: LinkRequest) -> Echo {
        Echo::default()
    }
}

#[derive(Default)]
struct Echo {
    heard: VecDeque<Bytes>,
    close: Option<CloseCode>,
    waker: Option<Waker>,
}

impl Peer for Echo {
    fn receive(&mut self, message: &[u8]) {
        self.heard.push_back(Bytes::copy_from_slice(message));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn refuse(&mut self, fault: Fault) {
        self.close = Some(match fault {
            Fault::TooLarge => CloseCode::TOO_LARGE,
            _ => CloseCode::PROTOCOL_ERROR,
        });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll_transmit(
        &mut self,
        context: &mut Context<'_>,
        _budget: usize,
        buffer: &mut BytesMut,
    ) -> Poll<Transmit> {
        if let Some(message) = self.heard.pop_front() {
            buffer.extend_from_slice(&message);
            return Poll::Ready(Transmit::Message);
        }
        if let Some(code) = self.close.take() {
            return Poll::Ready(Transmit::Close(Advice {
                code,
                reason: "",
                error: None,
                retry_after_ms: None,
                is_final: false,
            }));
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn end(self, _reason: LinkEnd) {}
}
