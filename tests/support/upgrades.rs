//! What a middlebox makes of requests for a WebSocket: the one part of HTTP that the fault proxy looks at.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What becomes of a connection whose first request asks for a WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Upgrades {
    /// It passes.
    #[default]
    Pass,
    /// The proxy answers that it is forbidden.
    Refuse,
    /// All passes up; down passes the answer, and nothing after it.
    Swallow,
}

/// Whether the first request of a connection asks for a WebSocket. Nothing is taken from the connection; a client sends
/// a head in one piece, so the first is looked at.
pub(crate) async fn asks_for_websocket(client: &TcpStream) -> io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    let length = client.peek(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
    Ok(head.contains("\r\nupgrade: websocket"))
}

/// Answers that it is forbidden, and ends the connection.
pub(crate) async fn refuse(mut client: TcpStream) {
    let _ =
        client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let _ = client.shutdown().await;
}

/// Where the head of a message ends, if that is there.
pub(crate) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The longest head that is looked at.
const HEAD_BYTES: usize = 4_096;
