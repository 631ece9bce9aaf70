//! TLS on connections, and which HTTP is spoken within.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http::{Request, Response};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::Service;

use super::{Body, Client, IN_THE_CLEAR, ListenerConfig, RequestBody, Stop, accept, http1, http2};
use crate::{
    certificates::{CertificateError, Certificates},
    gateway::Door,
    limits::Limit,
};

/// What a client may cost before it has said anything of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsConfig {
    /// How long a handshake may take, from the connection on. Default: 10 seconds.
    pub handshake_timeout: Duration,
    /// How many may be under way; more wait, and their time passes. Each costs a signature, and some 20 KB while it
    /// lasts. A client that has connected and is silent is none yet. Default: 1,024.
    pub handshakes: usize,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { handshake_timeout: Duration::from_secs(10), handshakes: 1_024 }
    }
}

/// TLS as a listener speaks it: 1.2 and 1.3, with HTTP/2 and HTTP/1.1 to choose from. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    config: TlsConfig,
    places: Arc<Semaphore>,
}

impl Tls {
    /// With whichever of these certificates is the present one, at each handshake.
    ///
    /// # Errors
    /// A system without randomness.
    pub fn new(certificates: &Certificates, config: TlsConfig) -> Result<Self, CertificateError> {
        let rustls = certificates.server_config(&[HTTP2, b"http/1.1"])?;
        let places = Arc::new(Semaphore::new(config.handshakes.min(Semaphore::MAX_PERMITS)));
        Ok(Self { acceptor: Arc::new(rustls).into(), config, places })
    }

    /// The connection once it is safe; `None` where the client does not get there, in time or at all.
    async fn handshake(&self, mut stream: TcpStream, door: &Door) -> Option<Box<TlsStream<TcpStream>>> {
        let handshake = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first[0].is_ascii_uppercase() {
                refuse_plain_text(&mut stream).await?;
                return Err(io::Error::other("it was no TLS but HTTP in the clear"));
            }
            let _place = self.places.acquire().await.map_err(io::Error::other)?;
            self.acceptor.accept(stream).await
        };
        match timeout(self.config.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => Some(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("a TLS handshake took too long");
                door.cut(Limit::HandshakeTime);
                None
            }
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Serves connections over TLS until `stop`; then lets requests that are under way end.
///
/// Who speaks HTTP without TLS is told so with 400.
pub async fn serve_tls<S>(
    listener: TcpListener,
    tls: Tls,
    service: S,
    config: ListenerConfig,
    stop: impl Into<Stop>,
) where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let stop = stop.into();
    let speak = |client| secure(client, tls.clone(), service.clone(), config.clone(), stop.clone());
    accept(listener, &config, &stop, speak, !IN_THE_CLEAR).await;
}

async fn secure<S>(client: Client, tls: Tls, service: S, config: ListenerConfig, stop: Stop)
where
    S: Service<Request<RequestBody>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let Client { stream, remote, seat } = client;
    let handshake = tls.handshake(stream, &config.door);
    let Some(stream) = stop.all.run_until_cancelled(handshake).await.flatten() else { return };
    drop(tls);
    if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
        http2::speak(stream, remote, service, config, stop, seat).await;
    } else {
        http1::speak(stream, remote, service, config, stop, seat).await;
    }
}

/// Says what is wrong to somebody who did not mean TLS, and waits until it is read: to close at once would reset the
/// connection, and the answer might never be seen.
async fn refuse_plain_text(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(NOT_TLS).await?;
    stream.shutdown().await?;
    let mut scratch = [0; 1_024];
    while stream.read(&mut scratch).await? > 0 {}
    Ok(())
}

const HTTP2: &[u8] = b"h2";
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 39\r\n\
    connection: close\r\n\
    \r\n\
    this port speaks TLS: call it https://\n";
