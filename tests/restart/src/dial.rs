//! Connections from an address of one's own, each noted: who began it when, for what, what went wrong with it, and when it
//! was over.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use serde::{Deserialize, Serialize};
use throughline_client::{Connection, Dial, Dialing, Transport};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
};

use crate::log::Log;

/// One connection that a client began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// Which client.
    pub client: u32,
    /// When it began, in milliseconds since the run did.
    pub begun_ms: u64,
    /// When it was over, if it is.
    pub ended_ms: Option<u64>,
    /// What for.
    pub by: By,
}

/// What a connection was for: what was said first on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum By {
    /// Nobody was there: it was refused.
    Refused,
    /// It stood, and nothing was said on it.
    Silent,
    /// A WebSocket.
    WebSocket,
    /// An event stream.
    Sse,
    /// Polls.
    Polling,
    /// Posts beside an event stream or polls.
    Post,
    /// WebTransport, which takes no TCP connection.
    WebTransport,
}

impl By {
    /// The one that carries a transport.
    pub(crate) const fn of(transport: Transport) -> Self {
        match transport {
            Transport::WebSocket => Self::WebSocket,
            Transport::Sse => Self::Sse,
            Transport::Polling => Self::Polling,
            _ => Self::WebTransport,
        }
    }

    fn said(head: &[u8]) -> Self {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let path = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        match path.rsplit(|byte| *byte == b'/').next() {
            Some(b"websocket") => Self::WebSocket,
            Some(b"events") => Self::Sse,
            Some(b"poll") => Self::Polling,
            _ => Self::Post,
        }
    }
}

/// TCP from one address.
pub(crate) struct From {
    pub(crate) address: Ipv4Addr,
    pub(crate) client: u32,
    pub(crate) log: Arc<Log>,
}

impl Dial for From {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        Box::pin(async move {
            let note = Note { at: self.log.begin(self.client), log: Arc::clone(&self.log) };
            let to: IpAddr = host.parse().map_err(io::Error::other)?;
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((self.address, 0)))?;
            let stream = socket.connect(SocketAddr::from((to, port))).await;
            let stream = stream.inspect_err(|error| note.broken("to connect", error))?;
            stream.set_nodelay(true)?;
            note.is(By::Silent);
            Ok(Box::new(Noted { stream, note, has_said: false }) as Box<dyn Connection>)
        })
    }
}

/// The place of a connection in the log.
struct Note {
    at: usize,
    log: Arc<Log>,
}

impl Note {
    fn is(&self, by: By) {
        self.log.is_for(self.at, by);
    }

    fn broken(&self, what: &str, error: &io::Error) {
        self.log.broken(format!("connection {}: {what}: {error}", self.at));
    }

    fn hear<T>(&self, what: &str, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            self.broken(what, error);
        }
        result
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        self.log.end(self.at);
    }
}

/// A connection that notes what is said first, and its end.
struct Noted {
    stream: TcpStream,
    note: Note,
    has_said: bool,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note.hear("to read", read)
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.has_said {
            self.has_said = true;
            self.note.is(By::said(bytes));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note.hear("to write", written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_is_for_shows_by_what_is_said_first() {
        for (head, by) in [
            ("GET /v1/websocket HTTP/1.1\r\nhost: x", By::WebSocket),
            ("POST /live/v1/poll HTTP/1.1\r\n", By::Polling),
            ("POST /v1/events HTTP/1.1\r\n", By::Sse),
            ("POST /v1/send HTTP/1.1\r\n", By::Post),
            ("", By::Post),
        ] {
            assert_eq!(By::said(head.as_bytes()), by, "{head:?}");
        }
    }
}
