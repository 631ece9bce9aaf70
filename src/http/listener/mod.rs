//! Accepts connections and speaks HTTP on them, with a bound on each thing that a client can draw out.
//!
//! [`serve`] speaks HTTP/1.1 in the clear (`http1`). `serve_tls` speaks it over TLS, and HTTP/2 with clients that
//! choose it (`tls`, `http2`). Below all of them are the same bounds: [`ListenerConfig`].

mod http1;
#[cfg(feature = "tls")]
mod http2;
#[cfg(feature = "tls")]
mod tls;

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, ToSocketAddrs, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsConfig, serve_tls};
use super::{Body, Remote};

/// What a connection may draw out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            connections: 100_000,
        }
    }
}

/// When a listener ends, in three steps. Any of them may be left out: a [`CancellationToken`] is the last alone.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// No connection takes another request: an answer says `connection: close`, HTTP/2 says GOAWAY. What is open goes on.
    pub retire: CancellationToken,
    /// Nobody is accepted any more: whoever connects is another process's, which holds the socket too. What is accepted
    /// goes on.
    pub accept: CancellationToken,
    /// The end: requests that are under way have it yet.
    pub all: CancellationToken,
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
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let stop = stop.into();
    let speak = |client: Client| {
        let Client { stream, remote, slot } = client;
        http1::speak(stream, remote, service.clone(), config, stop.clone(), slot)
    };
    accept(listener, config, &stop, speak).await;
}

/// Somebody who has connected.
struct Client {
    stream: TcpStream,
    remote: Remote,
    /// Its place among the connections, to be held as long as it is one.
    slot: OwnedSemaphorePermit,
}

/// Accepts until `stop`, and waits until all that was begun has ended. Each connection is spawned as the future that
/// it is: a block around it would keep it twice.
async fn accept<F>(listener: TcpListener, config: ListenerConfig, stop: &Stop, speak: impl Fn(Client) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(config.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = stop.accept.run_until_cancelled(stop.all.run_until_cancelled(async {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("never closed");
            (listener.accept().await, slot)
        }));
        let (stream, remote, slot) = match accepted.await.flatten() {
            None => break,
            Some((Ok((stream, remote)), slot)) => (stream, remote, slot),
            Some((Err(error), _)) => {
                // Out of descriptors, most likely: those that end make room.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(config.write_timeout));
        connections.spawn(speak(Client { stream, remote: Remote(remote), slot }));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// How many connections may wait to be accepted. The system has a bound of its own (`net.core.somaxconn`).
const QUEUE: u32 = 4_096;
