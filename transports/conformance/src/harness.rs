//! What an adapter's tests tell the suite: how to run it, and how its clients speak.

use std::{convert::Infallible, future::Future, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use throughline_link::Shape;
use throughline_wire::Codec;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};

use crate::ScriptedGate;

/// An adapter, running.
pub trait Harness: Sized + Send + Sync {
    /// A client of it.
    type Client: Client;

    /// The transport's name in [`throughline_link::LinkRequest`].
    const NAME: &'static str;
    /// The shape of its links.
    const SHAPE: Shape;
    /// The codecs that it carries.
    const CODECS: &'static [Codec];

    /// Runs the adapter before this gate.
    fn start(gate: ScriptedGate, bounds: Bounds) -> Self;

    /// Opens a connection in memory, on which nothing was sent yet ([`serve`]). Asked of those that speak HTTP/1.1.
    fn connect(&self) -> DuplexStream;

    /// Opens a link. Where a link opens with a message, this is it; a duplex link sends it once it is open.
    fn open(&self, codec: Codec, first: Bytes) -> impl Future<Output = Self::Client> + Send;

    /// Opens a link as [`open`](Self::open) does, with a message of the other codec (or none that is known).
    fn open_in_wrong_codec(&self) -> impl Future<Output = Self::Client> + Send;

    /// How the peer gets what a client has sent; `None` where it gets nothing, since the transport has no such
    /// message.
    fn arrives(codec: Codec, message: &Bytes) -> Option<Bytes> {
        let _ = codec;
        Some(message.clone())
    }
}

/// The client's end of one link. Dropping it cuts the connection.
pub trait Client: Send {
    /// Sends a message; only to duplex links.
    fn send(&mut self, message: Bytes) -> impl Future<Output = ()> + Send;

    /// What comes next. Not read before it is asked for, so a client that does not ask stalls its link.
    fn next(&mut self) -> impl Future<Output = Heard> + Send;

    /// Leaves politely, where the transport knows how; else cuts.
    fn leave(self) -> impl Future<Output = ()> + Send;
}

/// What a client hears.
#[derive(PartialEq, Eq, Debug)]
pub enum Heard {
    /// A message.
    Message(Bytes),
    /// The link's end, as advised.
    Goodbye(Goodbye),
    /// The link's end, without a word.
    Lost,
}

/// What a transport says of the advice when a link ends. What it has no words for is absent.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Goodbye {
    /// The close code and its reason.
    pub close: Option<(u16, String)>,
    /// The status.
    pub status: Option<u16>,
    /// When to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// Bounds that the suite runs into.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The largest message up.
    pub max_message_bytes: usize,
    /// The most that a message down takes.
    pub budget_bytes: usize,
    /// How long a message may take to arrive.
    pub body_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_message_bytes: 64 * 1024, budget_bytes: 16 * 1024, body_timeout: Duration::from_secs(10) }
    }
}

/// What a connection in memory holds under way, each direction.
pub const PIPE_BYTES: usize = 4 * 1024;

/// Serves one connection in memory and gives its client's end.
pub fn serve<F, Answer, B>(answer: F) -> DuplexStream
where
    F: Fn(Request<Incoming>) -> Answer + Send + 'static,
    Answer: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let (client, server) = duplex(PIPE_BYTES);
    serve_over(server, answer);
    client
}

/// Serves this connection.
///
/// The server buffers as little as hyper can: what it holds is not the adapter's to bound.
pub fn serve_over<F, Answer, B>(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, answer: F)
where
    F: Fn(Request<Incoming>) -> Answer + Send + 'static,
    Answer: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(8 * 1024).writev(false);
    tokio::spawn(http.serve_connection(TokioIo::new(connection), service).with_upgrades());
}

/// Waits until no task can go on. Only where the clock is paused and all I/O is in memory.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
