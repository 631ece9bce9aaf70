//! HTTP/2 on one connection.
//!
//! Its requests are streams, many at once, so a connection is idle when none is open, and what counts is how long. Nor
//! does a client that reads nothing show on the socket: it grants no window and acknowledges packets as ever. A stream
//! that has handed on a part of its body is asked for the next once the client has granted room; if none of those is
//! asked for too long, the connection is cut.

use std::{
    convert::Infallible,
    error::Error as _,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{sleep, timeout},
};
use tower::{Service, ServiceExt as _};

use super::{Body, ListenerConfig, Remote, RequestBody, Seat, Stop, note_write_timeout};
use crate::{http::Busy, limits::Limit};

/// Speaks on one connection.
pub(super) async fn speak<S, T>(
    stream: T,
    remote: Remote,
    service: S,
    config: ListenerConfig,
    stop: Stop,
    _seat: Seat,
) where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Arc::new(Streams::default());
    let service = {
        let streams = Arc::clone(&streams);
        service_fn(move |mut request: Request<Incoming>| {
            let open = Open::new(&streams);
            // The host is in the address; whoever looks at headers looks for it there.
            let host = request.uri().authority().map(|host| HeaderValue::from_str(host.as_str()));
            if let Some(Ok(host)) = host {
                request.headers_mut().entry(header::HOST).or_insert(host);
            }
            request.extensions_mut().insert(remote);
            request.extensions_mut().insert(Busy::new(Arc::clone(&open)));
            let answering = move |body| Answering { body, open, owes: false };
            // Not an async block, which would keep the answer's future twice.
            service.clone().oneshot(request.map(RequestBody::from)).map_ok(|response| response.map(answering))
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        // RFC 8441: a WebSocket is one of the streams.
        .enable_connect_protocol()
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES)
        // Streams that the client takes back before they are looked at, and that it makes us take back: past these it is
        // told to calm down, and its connection ends (CVE-2023-44487, CVE-2025-8671).
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut idle = pin!(streams.idle(config.header_timeout, config.keep_alive));
    let mut stalled = pin!(streams.stalled(config.write_timeout));
    let mut is_retired = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                let failed = ended.as_ref().err().and_then(|error| error.source()?.downcast_ref());
                failed.inspect(|error| note_write_timeout(&config.door, error));
                return;
            }
            () = &mut stalled => return config.door.cut(Limit::WriteTime),
            limit = &mut idle => {
                config.door.cut(limit);
                connection.as_mut().graceful_shutdown();
                // What its streams left behind has to be taken, and the goodbye.
                let _ = timeout(config.write_timeout, connection.as_mut()).await;
                return;
            }
            // GOAWAY: its streams go on, the next request comes on another connection.
            () = stop.retire.cancelled(), if !is_retired => {
                is_retired = true;
                connection.as_mut().graceful_shutdown();
            }
            () = stop.all.cancelled() => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = connection => {}
        () = streams.stalled(config.write_timeout) => {}
    }
}

/// Streams at once. A client of ours needs three; a page may open some in each of its tabs, and a proxy carries many
/// clients on one connection. RFC 9113, 6.5.2 would have no less.
const STREAMS: u32 = 100;
/// The head of a request.
const HEADER_BYTES: u32 = 16 * 1024;
/// Streams taken back.
const RESETS: usize = 64;
/// What a client may send of one body, and of all, before it is read: a message as large as they are by default, and a
/// few of them. More would be held for whoever sends and is not listened to.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What waits of one answer for a client that does not read.
const SEND_BYTES: usize = 64 * 1024;
/// How often a silent client is asked for a sign of life, and how long it may take. The heartbeats of sessions do the
/// same, where there are any.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(20);

/// What is open on one connection.
#[derive(Debug, Default)]
struct Streams {
    /// Requests that have come, and those of them that are not over.
    come: AtomicUsize,
    open: AtomicUsize,
    /// Told when the first is opened and when the last is over.
    changed: Notify,
    /// Bodies that have handed on a part and were not asked for the next; and how often any was.
    owing: AtomicUsize,
    asked: AtomicUsize,
    /// Told when there is one that owes.
    owed: Notify,
}

impl Streams {
    /// Ready when there was no stream for too long: for the first, and between them. Says which.
    async fn idle(&self, first: Duration, between: Duration) -> Limit {
        loop {
            let come = self.come.load(Ordering::Acquire);
            if self.open.load(Ordering::Acquire) > 0 {
                self.changed.notified().await;
                continue;
            }
            let (patience, limit) =
                if come == 0 { (first, Limit::HeaderTime) } else { (between, Limit::IdleTime) };
            let waited = timeout(patience, self.changed.notified()).await;
            if waited.is_err() && self.come.load(Ordering::Acquire) == come {
                return limit;
            }
        }
    }

    /// Ready when the client has left all that there is for it unread for so long.
    async fn stalled(&self, patience: Duration) {
        loop {
            while self.owing.load(Ordering::Acquire) == 0 {
                self.owed.notified().await;
            }
            let asked = self.asked.load(Ordering::Acquire);
            sleep(patience).await;
            if self.owing.load(Ordering::Acquire) > 0 && self.asked.load(Ordering::Acquire) == asked {
                return;
            }
        }
    }
}

/// One stream, as long as anything of it is left: its request, its answer, the WebSocket that it has become.
#[derive(Debug)]
struct Open(Arc<Streams>);

impl Open {
    fn new(streams: &Arc<Streams>) -> Arc<Self> {
        streams.come.fetch_add(1, Ordering::AcqRel);
        if streams.open.fetch_add(1, Ordering::AcqRel) == 0 {
            streams.changed.notify_one();
        }
        Arc::new(Self(Arc::clone(streams)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_one();
        }
    }
}

/// A body that says when a part of it has found room.
#[derive(Debug)]
struct Answering {
    body: Body,
    open: Arc<Open>,
    owes: bool,
}

impl Answering {
    /// Was asked for the next part, or will not be any more.
    fn settle(&mut self) {
        if std::mem::take(&mut self.owes) {
            self.open.0.owing.fetch_sub(1, Ordering::AcqRel);
            self.open.0.asked.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.settle();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            if self.open.0.owing.fetch_add(1, Ordering::AcqRel) == 0 {
                self.open.0.owed.notify_one();
            }
            self.owes = true;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.settle();
    }
}
