//! HTTP/1.1 on one connection.
//!
//! hyper has one time limit for the head of a request and the silence before it. They are not the same: an idle
//! connection should outlive those of the balancers in front (60 s is common; one that is cut first answers 502),
//! a head that trickles should not. So the connection itself watches: [`Phase`] says where it is, and reading
//! fails when that has lasted too long.
//!
//! A request that is answered before its body was read is the last of its connection, and the answer says so: a proxy that
//! keeps connections would send the next one into the close, and answer 502.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tower::{Service, ServiceExt as _};

use super::{
    Body, ListenerConfig, Remote, RequestBody, Seat, Stop, note_write_timeout,
    phase::{BODY, GIVEN_AWAY, HEAD, IDLE, Phase, phase_of},
};
use crate::limits::Limit;

/// Speaks on one connection.
pub(super) async fn speak<S, T>(
    stream: T,
    remote: Remote,
    service: S,
    config: ListenerConfig,
    stop: Stop,
    seat: Seat,
) where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let phase = Arc::new(Phase::default());
    // The first head is under way once the connection stands.
    let due = Some(Instant::now() + config.header_timeout);
    let stream =
        Watched { stream, phase: Arc::clone(&phase), config, seen: 0, due, alarm: None, _seat: seat };
    let Stop { retire, all, .. } = stop;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(remote);
        let request = request.map(|incoming| RequestBody::of(incoming, Arc::clone(&phase)));
        let (phase, retire) = (Arc::clone(&phase), retire.clone());
        // Not an async block, which would keep the answer's future twice.
        service.clone().oneshot(request).map_ok(move |mut response| {
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                phase.enter(GIVEN_AWAY);
            } else if retire.is_cancelled() || phase_of(phase.look()) == BODY {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response.map(|body| Answering { body, phase })
        })
    });
    let connection = http1::Builder::new()
        // One buffer, one write: an answer is small, and to gather its parts costs more than to copy them.
        .writev(false)
        // What waits for a client that does not read, and the largest head.
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = all.run_until_cancelled(connection.as_mut()).await;
    if ended.is_none() {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// How much of a connection's requests and answers is buffered.
const BUFFER_BYTES: usize = 64 * 1024;

/// A connection that fails to read once its phase has lasted too long.
struct Watched<T> {
    stream: T,
    phase: Arc<Phase>,
    config: ListenerConfig,
    /// The phase that `due` was set for.
    seen: u64,
    /// When the present phase has lasted too long.
    due: Option<Instant>,
    /// Rings at `due` or earlier. It is seldom moved: a client that polls changes phases all the time.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Held for as long as there is a connection, whatever it speaks: a WebSocket takes it along.
    _seat: Seat,
}

impl<T> Watched<T> {
    /// Whether the present phase has lasted too long.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let now = self.phase.look();
        if now != self.seen {
            self.seen = now;
            let limit = match phase_of(now) {
                IDLE => Some(self.config.keep_alive),
                HEAD => Some(self.config.header_timeout),
                _ => None,
            };
            self.due = limit.map(|limit| Instant::now() + limit);
            if phase_of(now) == GIVEN_AWAY {
                self.alarm = None;
            }
        }
        let Some(due) = self.due else { return false };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if alarm.deadline() > due {
            alarm.as_mut().reset(due);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if due <= Instant::now() {
                return true;
            }
            alarm.as_mut().reset(due);
        }
        false
    }

    /// What the system said of the connection, counted if it was cut for what lay unread.
    fn noted<R>(&self, said: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if let Poll::Ready(Err(error)) = &said {
            note_write_timeout(&self.config.door, error);
        }
        said
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending if self.is_over(context) => {
                // Before the first request its head is what is waited for.
                let is_idle = phase_of(self.seen) == IDLE && self.seen > 0;
                self.config.door.cut(if is_idle { Limit::IdleTime } else { Limit::HeaderTime });
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before && phase_of(self.phase.look()) == IDLE {
                    self.phase.enter(HEAD);
                }
                Poll::Ready(Ok(()))
            }
            other => self.noted(other),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// A body that says when it is over.
#[derive(Debug)]
struct Answering {
    body: Body,
    phase: Arc<Phase>,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
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
        self.phase.enter(IDLE);
    }
}
