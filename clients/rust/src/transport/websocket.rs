//! One WebSocket: messages both ways. The codec is the subprotocol.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, Stream, StreamExt};
use throughline_wire::{AttemptOutcome, Codec, frame::TransportOffer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, mpsc},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes,
        client::IntoClientRequest,
        handshake::client::Request,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{Network, Report, Reporter, Say, decode, dial::Connection, failed};
use crate::{address::Target, config::Transport, core::session::End};

/// Runs the link to its end, and reports how it ended.
pub(super) async fn run(
    network: Arc<Network>,
    codec: Codec,
    offer: Option<TransportOffer>,
    hello: Bytes,
    sayings: mpsc::Receiver<Say>,
    reporter: Reporter,
) {
    let end = match open(&network, codec, offer.as_ref(), &reporter).await {
        Ok(socket) => {
            reporter.report(Report::Opened).await;
            converse(socket, &network, codec, hello, sayings, &reporter).await
        }
        Err(end) => end,
    };
    reporter.report(Report::Ended(end)).await;
}

type Socket = WebSocketStream<Heard>;

/// A connection that tells of bytes which came: a message may take its time to arrive, and what brings it lives.
struct Heard {
    connection: Box<dyn Connection>,
    bytes: Arc<Notify>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.connection).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.bytes.notify_one();
        }
        polled
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}

async fn open(
    network: &Network,
    codec: Codec,
    offer: Option<&TransportOffer>,
    reporter: &Reporter,
) -> Result<Socket, End> {
    let target = network.target(Transport::WebSocket, offer)?;
    let request = request(&target, codec).map_err(|error| failed(AttemptOutcome::Unsupported, error))?;
    let largest = network.limits.frame_bytes.saturating_mul(16);
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(16 * 1024)
        .max_write_buffer_size(16 << 20)
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest));
    let connection = network.connect(&target).await?;
    let connection = Heard { connection, bytes: Arc::default() };
    // The handshake may hang behind an intermediary as well as the connection may.
    let handshake = client_async_with_config(request, connection, Some(config));
    match tokio::time::timeout(network.connect, handshake).await {
        Ok(Ok((socket, answer))) => {
            let agreed =
                answer.headers().get("sec-websocket-protocol").is_some_and(|name| name == codec.name());
            agreed.then_some(socket).ok_or_else(|| End::Protocol("the subprotocol was not agreed to".into()))
        }
        Ok(Err(Error::Http(answer))) => {
            let retry_after = super::http::retry_after(answer.headers());
            let status = answer.status().as_u16();
            let kind = super::http::message_codec(answer.headers());
            if let Some((codec, body)) = kind.zip(answer.into_body()) {
                let (frames, _) = decode(codec, &body, network.limits);
                reporter.report(Report::Frames(frames)).await;
            }
            Err(End::Refused { status, retry_after })
        }
        Ok(Err(error)) => Err(failed(AttemptOutcome::Lost, format!("{target}: {error}"))),
        Err(_) => {
            Err(failed(AttemptOutcome::Hung, format!("{target} did not answer the WebSocket handshake")))
        }
    }
}

fn request(target: &Target, codec: Codec) -> Result<Request, Error> {
    let mut request = target.url("ws", "wss").into_client_request()?;
    let name = http::HeaderValue::from_static(codec.name());
    request.headers_mut().insert("sec-websocket-protocol", name);
    Ok(request)
}

/// Reads and writes side by side: neither may hold the other up.
async fn converse(
    socket: Socket,
    network: &Network,
    codec: Codec,
    hello: Bytes,
    mut sayings: mpsc::Receiver<Say>,
    reporter: &Reporter,
) -> End {
    let bytes = Arc::clone(&socket.get_ref().bytes);
    let (mut up, mut down) = socket.split();
    let writing = async {
        if !hello.is_empty() {
            up.send(message(codec, hello)).await?;
        }
        while let Some(say) = sayings.recv().await {
            let mut goodbye = false;
            let mut next = Some(say);
            // All that is there to say goes out in one write.
            while let Some(say) = next {
                match say {
                    Say::Message(bytes) | Say::Datagram(bytes) => up.feed(message(codec, bytes)).await?,
                    Say::Goodbye => goodbye = true,
                    Say::Poll { .. } | Say::Post { .. } => {}
                }
                next = sayings.try_recv().ok();
            }
            up.flush().await?;
            if goodbye {
                let frame = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
                up.send(Message::Close(Some(frame))).await?;
                break;
            }
        }
        // What remains is the gateway's answer to the goodbye, or its end.
        std::future::pending::<Result<(), Error>>().await
    };
    let reading = read(&mut down, &bytes, network, codec, reporter);
    tokio::select! {
        end = reading => end,
        Err(error) = writing => End::Lost(error.to_string().into()),
    }
}

async fn read(
    down: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    heard: &Notify,
    network: &Network,
    codec: Codec,
    reporter: &Reporter,
) -> End {
    loop {
        let message = tokio::select! {
            biased;
            message = down.next() => message,
            () = heard.notified() => {
                reporter.report(Report::SignOfLife).await;
                continue;
            }
        };
        let Some(message) = message else { return End::Lost("the connection ended".into()) };
        // The bytes that completed it have been heard with it.
        let _ = heard.notified().now_or_never();
        let bytes = match message {
            Ok(Message::Text(text)) if codec.is_text() => Bytes::from(text),
            Ok(Message::Binary(bytes)) if !codec.is_text() => bytes,
            Ok(Message::Ping(_) | Message::Pong(_)) => {
                reporter.report(Report::SignOfLife).await;
                continue;
            }
            Ok(Message::Close(frame)) => {
                return frame
                    .map_or_else(|| End::Lost("closed".into()), |frame| End::Closed(frame.code.into()));
            }
            Ok(Message::Text(_) | Message::Binary(_)) => {
                return End::Protocol("a message of the wrong kind".into());
            }
            Ok(Message::Frame(_)) => continue,
            Err(error) => return End::Lost(error.to_string().into()),
        };
        let (frames, fault) = decode(codec, &bytes, network.limits);
        reporter.report(Report::Frames(frames)).await;
        if let Some(fault) = fault {
            return End::Protocol(fault);
        }
    }
}

fn message(codec: Codec, bytes: Bytes) -> Message {
    if !codec.is_text() {
        return Message::Binary(bytes);
    }
    Message::Text(Utf8Bytes::try_from(bytes).expect("the text codec writes UTF-8"))
}

#[cfg(test)]
mod tests {
    use throughline_wire::DownFrame;
    use tokio::io::AsyncWriteExt;
    use tokio_tungstenite::{accept_hdr_async, tungstenite::handshake::server};

    use super::*;
    use crate::{
        config::Via,
        transport::testing::{Link, Port, message, network, nobody},
    };

    #[tokio::test]
    async fn a_message_that_takes_its_time_shows_by_every_piece_that_it_comes() {
        let port = Port::new(None).await;
        let mut link = Link::open(&network(&port.url, nobody()), Via::json(Transport::WebSocket), None, &[]);
        #[expect(clippy::result_large_err, reason = "its signature is given")]
        let agree = |_: &server::Request, mut answer: server::Response| {
            let name = http::HeaderValue::from_static(Codec::Json.name());
            answer.headers_mut().insert("sec-websocket-protocol", name);
            Ok(answer)
        };
        let mut socket = accept_hdr_async(port.accept().await.unwrap(), agree).await.unwrap();
        assert!(matches!(link.report_at_once().await, Report::Opened));
        let pong = DownFrame::Pong { nonce: Some(1), window_ms: None };
        let text = message(Codec::Json, std::slice::from_ref(&pong));
        let (first, rest) = text.split_at(5);
        // A text frame, final, without a mask.
        let head = [0x81, u8::try_from(text.len()).unwrap()];
        for piece in [&head[..], first] {
            socket.get_mut().write_all(piece).await.unwrap();
            assert!(matches!(link.report_at_once().await, Report::SignOfLife));
        }
        socket.get_mut().write_all(rest).await.unwrap();
        assert!(matches!(link.report_at_once().await, Report::Frames(frames) if frames == [pong]));
    }
}
