//! Accepts connections and speaks HTTP on them, with a bound on each thing that a client can draw out.
//!
//! [`serve`] speaks HTTP/1.1 in the clear (`http1`). `serve_tls` speaks it over TLS, and HTTP/2 with clients that
//! choose it (`tls`, `http2`). Below all of them are the same bounds: [`ListenerConfig`].

mod http1;
#[cfg(feature = "tls")]
mod http2;
mod phase;
#[cfg(feature = "tls")]
mod tls;

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use bytes::BytesMut;
use http::{Request, Response};
use throughline_wire::Codec;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

pub use self::phase::RequestBody;
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsConfig, serve_tls};
use super::{Body, Remote};
use crate::{
    gateway::{Door, limits::goodbye},
    limits::{Limit, Place},
    session::encode_goodbye,
};

/// What a connection may draw out.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// How long the head of a request may take from its first byte. Default: 10 seconds.
    pub header_timeout: Duration,
    /// How long a connection may lie idle between requests. Longer than the balancers' in front. Default: 75 seconds.
    pub keep_alive: Duration,
    /// How long what was written may lie unacknowledged by the client's system before the connection is cut. What a
    /// stalled client has not read yet does not count in its first moments: its system acknowledges what fits into
    /// its buffer, and probes of the full one thereafter. Where the system knows no such bound, it is the system's.
    /// Default: 30 seconds.
    pub write_timeout: Duration,
    /// How many connections may be open; more wait in the system's queue. Default: 100,000.
    pub connections: usize,
    /// How much of what was written the system may hold that has not been sent yet (`TCP_NOTSENT_LOWAT`), in bytes; 0 for as
    /// much as it likes. More lets a fast client go on while the gateway is busy with others, and is held for every client
    /// that does not read. Where the system knows no such bound, it is the system's. Default: 32 KiB.
    pub unsent_bytes: u32,
    /// Who may connect, by address: [`Handle::door`](crate::Handle::door). Default: everybody.
    pub door: Door,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            connections: 100_000,
            unsent_bytes: 32 * 1024,
            door: Door::default(),
        }
    }
}

/// When a listener ends, in three steps, and when it has closed. Any step may be left out: a [`CancellationToken`] is the last
/// alone.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No connection takes another request: an answer says `connection: close`, HTTP/2 says GOAWAY. What is open goes on.
    pub retire: CancellationToken,
    /// Nobody is accepted any more: whoever connects is another process's, which holds the socket too. What is accepted
    /// goes on.
    pub accept: CancellationToken,
    /// The end: requests that are under way have it yet.
    pub all: CancellationToken,
    /// Cancelled by the listener, once it has let go of its socket: it has accepted whom it accepts.
    pub closed: CancellationToken,
}

impl From<CancellationToken> for Stop {
    fn from(all: CancellationToken) -> Self {
        Self { all, ..Self::default() }
    }
}

/// Listens on an address, with room for thousands of clients who connect at once: one that finds the system's queue
/// full tries again a second later.
///
/// # Errors
/// Those of the system, for the last address that the name stands for.
pub async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for address in lookup_host(address).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(QUEUE)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Serves connections until `stop`; then lets requests that are under way end.
pub async fn serve<S>(listener: TcpListener, service: S, config: ListenerConfig, stop: impl Into<Stop>)
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let stop = stop.into();
    let speak = |client: Client| {
        let Client { stream, remote, seat } = client;
        http1::speak(stream, remote, service.clone(), config.clone(), stop.clone(), seat)
    };
    accept(listener, &config, &stop, speak, IN_THE_CLEAR).await;
}

/// Somebody who has connected.
struct Client {
    stream: TcpStream,
    remote: Remote,
    /// Its places among the connections, to be held as long as it is one.
    seat: Seat,
}

/// A place among all connections, and one among those of its address.
type Seat = (OwnedSemaphorePermit, Option<Place>);

/// Accepts until `stop`, and waits until all that was begun has ended. Each connection is spawned as the future that
/// it is: a block around it would keep it twice.
async fn accept<F>(
    listener: TcpListener,
    config: &ListenerConfig,
    stop: &Stop,
    speak: impl Fn(Client) -> F,
    is_heard: bool,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(config.connections));
    let connections = TaskTracker::new();
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let closed = stop.closed.clone().drop_guard();
    loop {
        let accepted = stop.accept.run_until_cancelled(stop.all.run_until_cancelled(async {
            let seat = Arc::clone(&seats).acquire_owned().await.expect("never closed");
            (listener.accept().await, seat)
        }));
        let (stream, remote, seat) = match accepted.await.flatten() {
            None => break,
            Some((Ok((stream, remote)), seat)) => (stream, remote, seat),
            Some((Err(error), _)) => {
                // Out of descriptors, most likely: those that end make room.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let place = match config.door.admit(remote.ip()) {
            Ok(place) => place,
            Err(limit) => {
                tracing::debug!(limit = limit.as_str(), "a connection is turned away");
                if let (true, Ok(refusal)) = (is_heard, Arc::clone(&refusals).try_acquire_owned()) {
                    connections.spawn(turn_away(stream, limit, refusal));
                }
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        tune(&stream, config);
        connections.spawn(speak(Client { stream, remote: Remote(remote), seat: (seat, place) }));
    }
    drop(listener);
    drop(closed);
    connections.close();
    connections.wait().await;
}

/// Says what else the system has to know of a connection.
fn tune(stream: &TcpStream, config: &ListenerConfig) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let socket = socket2::SockRef::from(stream);
        let _ = socket.set_tcp_user_timeout(Some(config.write_timeout));
        if config.unsent_bytes > 0 {
            let _ = socket.set_tcp_notsent_lowat(config.unsent_bytes);
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (stream, config);
}

/// Counts a connection that failed since what was written lay unread for [`ListenerConfig::write_timeout`]: the system then
/// says that it timed out, once.
fn note_write_timeout(door: &Door, error: &io::Error) {
    if error.kind() == io::ErrorKind::TimedOut {
        door.cut(Limit::WriteTime);
    }
}

/// Tells somebody who may not connect when to come back, and waits a moment until it is read: to close at once would reset
/// the connection, and the answer might never be seen.
async fn turn_away(mut stream: TcpStream, limit: Limit, _refusal: OwnedSemaphorePermit) {
    let goodbye = goodbye(limit);
    let mut message = BytesMut::new();
    encode_goodbye(Codec::Json, goodbye, None, &mut message);
    let retry_after_s = goodbye.retry().map_or(0, |retry| retry.delay_ms.div_ceil(1_000));
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {}\r\ncontent-length: {}\r\n\
         retry-after: {retry_after_s}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        Codec::Json.media_type(),
        message.len(),
    );
    let telling = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&message).await?;
        stream.shutdown().await?;
        let mut scratch = [0; 1_024];
        while stream.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(LAST_WORDS, telling).await;
}

/// How many who may not connect are told so at once; the others are only closed.
const REFUSALS: usize = 64;
/// How long that may take.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Whether a refusal in the clear is understood: not where TLS is spoken, which would cost what is to be saved.
const IN_THE_CLEAR: bool = true;

/// How many connections may wait to be accepted: as many as the system allows (`net.core.somaxconn`).
const QUEUE: u32 = i32::MAX as u32;

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn a_listener_that_is_closed_leaves_whoever_connects_to_the_next_and_goes_on_with_what_is_open() {
        let listener = bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
        let (next, address) = (listener.try_clone().unwrap(), listener.local_addr().unwrap());
        let next = TcpListener::from_std(next).unwrap();
        let service = service_fn(async |_| Ok(Response::new(Full::default().into())));
        let stop = Stop::default();
        let config = ListenerConfig::default();
        tokio::spawn(serve(TcpListener::from_std(listener).unwrap(), service, config, stop.clone()));
        let mut open = TcpStream::connect(address).await.unwrap();
        let mut ask = async || {
            open.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
            assert!(open.read(&mut [0; 1_024]).await.unwrap() > 0);
        };
        ask().await;
        stop.accept.cancel();
        stop.closed.cancelled().await;
        let late = TcpStream::connect(address).await.unwrap();
        assert_eq!(next.accept().await.unwrap().1, late.local_addr().unwrap());
        ask().await;
    }
}
