//! HTTP/1.1 by hand, so that requests can be as wrong as they like.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::PATIENCE;

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    head: String,
    has_host: bool,
    body: Vec<u8>,
}

/// An answer, read whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\n"), has_host: false, body: Vec::new() }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A post of JSON.
    pub(crate) fn json(path: &str, body: &str) -> Self {
        Self::new("POST", path).header("content-type", "application/json").body(body.as_bytes())
    }

    /// A post of frames.
    pub(crate) fn frames(path: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", path).header("content-type", "text/plain").body(body.as_ref())
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.has_host |= name.eq_ignore_ascii_case("host");
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// Sends it on a connection of its own, and reads the answer to its end.
    pub(crate) async fn to(self, address: SocketAddr) -> Answer {
        let bytes = self.header("connection", "close").bytes(address);
        let answer = async {
            let mut stream = TcpStream::connect(address).await.expect("a listener");
            // One that refuses early may close before all is written.
            let _ = stream.write_all(&bytes).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = timeout(PATIENCE, answer).await.expect("an answer in time");
        Answer::parse(&answer)
    }

    /// Sends it, and gives the connection to read a stream from.
    pub(crate) async fn open(self, address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("a listener");
        stream.write_all(&self.bytes(address)).await.expect("a connection");
        stream
    }

    fn bytes(self, address: SocketAddr) -> Vec<u8> {
        let host = if self.has_host { String::new() } else { format!("host: {address}\r\n") };
        let length = if self.body.is_empty() {
            String::new()
        } else {
            format!("content-length: {}\r\n", self.body.len())
        };
        let mut bytes = format!("{}{host}{length}\r\n", self.head).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { return Self { status: 0, head: String::new(), body: bytes.to_vec() } };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = &bytes[end + 4..];
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
        Self { status, head, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of an admin refusal.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn value(&self, header: &str) -> Option<&str> {
        let prefix = format!("{header}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&prefix))
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end])
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size) = size.filter(|size| *size > 0) else { break };
        let chunk = &rest[end + 2..];
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    body
}
