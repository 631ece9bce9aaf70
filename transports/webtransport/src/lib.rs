//! Links over WebTransport (draft-ietf-webtrans-http3, on HTTP/3).
//!
//! [`WebTransport::bind`] makes an [`Endpoint`] of a UDP socket, and [`Endpoint::serve`] accepts until it is told to
//! stop. Each client is seen through its handshake (`handshake`, and `http3` below it), is given a peer at the gate once it has opened its
//! stream, and is a link from then on, one future (`conversation`). What QUIC is to hold for each is in `quic`.
//!
//! Frames follow one another on the one bidirectional stream that the client opens: in the text codec each ends with
//! LF, in the binary codec each is preceded by its length. Each is a message of its own. A datagram is one frame. The
//! codec is the WebTransport protocol that was agreed upon (`wt-available-protocols`), or text where the client names
//! none. Everything else that a client opens is turned away.
//!
//! ```no_run
//! # use std::net::UdpSocket;
//! # use throughline_link::Gate;
//! # use throughline_webtransport::{Config, WebTransport};
//! # use tokio_util::{sync::CancellationToken, task::TaskTracker};
//! # async fn serve<G: Gate>(gate: G, tls: rustls::ServerConfig, stop: CancellationToken) -> std::io::Result<()> {
//! let webtransport = WebTransport::new(gate, Config::default());
//! let endpoint = webtransport.bind(UdpSocket::bind("[::]:4433")?, tls)?;
//! endpoint.serve(TaskTracker::new(), stop).await;
//! # Ok(())
//! # }
//! ```
//!
//! Left out on purpose: certificates, which whoever gives the [`rustls::ServerConfig`] resolves, so that new ones
//! need no other endpoint; which origins may connect, which is the gateway's to say, in frames, since a page is not
//! shown the status of a refusal; more than one session on a connection.

mod codes;
mod config;
mod conversation;
mod fields;
mod handshake;
mod http3;
mod quic;
mod refusals;

use std::{
    io, mem,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use throughline_link::{Gate, LinkRequest, Opening, Shape, Visit};
use throughline_wire::CloseCode;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wtransport::quinn::{self, AsyncUdpSocket, Runtime, TokioRuntime};

use crate::{handshake::Failed, refusals::Refusals};

pub use config::{BufferConfig, Config, HandshakeConfig};

/// Makes WebTransport links. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebTransport<G> {
    gate: G,
    config: Arc<Config>,
}

impl<G: Gate> WebTransport<G> {
    /// The transport's name on the wire.
    pub const NAME: &'static str = "webtransport";

    /// An adapter that opens its links at `gate`.
    pub fn new(gate: G, config: Config) -> Self {
        Self { gate, config: Arc::new(config) }
    }

    /// Takes over a UDP socket. `tls` knows its certificates; what QUIC asks for beside them is set here.
    ///
    /// # Errors
    /// Those of the system, and a `tls` that cannot do QUIC: without TLS 1.3, or without AES-128-GCM.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(&self, socket: UdpSocket, tls: rustls::ServerConfig) -> io::Result<Endpoint<G>> {
        self.over(TokioRuntime.wrap_udp_socket(socket)?, tls)
    }

    /// As [`bind`](Self::bind), on a socket of one's own making.
    ///
    /// # Errors
    /// As `bind`.
    ///
    /// # Panics
    /// As `bind`.
    pub fn over(
        &self,
        socket: Arc<dyn AsyncUdpSocket>,
        tls: rustls::ServerConfig,
    ) -> io::Result<Endpoint<G>> {
        let quic = quic::endpoint(socket, tls, &self.config)?;
        Ok(Endpoint { adapter: self.clone(), quic })
    }
}

/// A UDP socket on which clients open links.
#[derive(Debug)]
pub struct Endpoint<G> {
    adapter: WebTransport<G>,
    quic: quinn::Endpoint,
}

impl<G: Gate> Endpoint<G> {
    /// The address that it is bound to.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }

    /// Accepts clients until `stop`, each as a task of `links`.
    ///
    /// Goes on while the gateway drains: a client that nobody accepts would hang, and the gate's peers say why not.
    /// After `stop` new clients are refused; links that are saying goodbye have [`Config::close_grace`] for it, and
    /// then what is left is closed.
    pub async fn serve(self, links: TaskTracker, stop: CancellationToken) {
        let config = &self.adapter.config;
        let connections = Arc::new(Semaphore::new(config.connections.min(Semaphore::MAX_PERMITS)));
        let handshakes = Arc::new(Semaphore::new(config.handshake.pending.min(Semaphore::MAX_PERMITS)));
        let all = connections.available_permits();
        let mut refusals = Refusals::default();
        while let Some(Some(incoming)) = stop.run_until_cancelled(self.quic.accept()).await {
            let places =
                (Arc::clone(&connections).try_acquire_owned(), Arc::clone(&handshakes).try_acquire_owned());
            let (Ok(connection), Ok(handshake)) = places else {
                if let Some(clients) = refusals.count(Instant::now()) {
                    tracing::warn!(clients, "refused: there was no room for a connection or a handshake");
                }
                incoming.refuse();
                continue;
            };
            let under_way = config.handshake.pending.saturating_sub(handshakes.available_permits());
            if under_way > config.handshake.unproven && incoming.may_retry() {
                let _ = incoming.retry();
                continue;
            }
            // An address that anybody may have written on a packet counts for nobody yet.
            let mut visit = None;
            if incoming.remote_address_validated() {
                visit = self.adapter.gate.admit(incoming.remote_address());
                if visit.is_none() {
                    incoming.refuse();
                    continue;
                }
            }
            links.spawn(link(self.adapter.clone(), incoming, visit, handshake, connection));
        }
        if !stop.is_cancelled() {
            tracing::error!("the UDP socket failed: WebTransport is not served any more");
        }
        // To forget how to serve would leave new clients without an answer.
        let refusing = async {
            while let Some(incoming) = self.quic.accept().await {
                incoming.refuse();
            }
        };
        let all = u32::try_from(all).unwrap_or(u32::MAX);
        tokio::select! {
            _ = timeout(config.close_grace, connections.acquire_many(all)) => {}
            () = refusing => {}
        }
        self.quic.close(u32::from(CloseCode::DRAIN.0).into(), b"drain");
        let _ = timeout(LAST_WORDS, self.quic.wait_idle()).await;
    }
}

/// From a client's first packet to the end of its link. Spawned as it is: a block around it would keep it twice.
async fn link<G: Gate>(
    adapter: WebTransport<G>,
    incoming: quinn::Incoming,
    visit: Option<Visit>,
    handshake: OwnedSemaphorePermit,
    _connection: OwnedSemaphorePermit,
) {
    let WebTransport { gate, config } = adapter;
    // In a box, so that the link does not keep the room that it took.
    let mut opened = match Box::pin(handshake::open(incoming, &config)).await {
        Ok(opened) => opened,
        Err(Failed::TooSlow) => return gate.cut(),
        Err(Failed::Otherwise) => return,
    };
    drop(handshake);
    let remote = opened.connection.remote_address();
    let Some(_visit) = visit.or_else(|| gate.admit(remote)) else {
        return opened.connection.close(u32::from(CloseCode::OVERLOAD.0).into(), b"overload");
    };
    let peer = gate.open(LinkRequest {
        transport: WebTransport::<G>::NAME,
        codec: opened.codec,
        shape: Shape::Duplex,
        datagrams: true,
        opening: Opening::Message,
        remote: Some(remote),
        headers: mem::take(&mut opened.headers),
    });
    conversation::converse(opened, peer, &config).await;
}

/// How long the last packets of a closed endpoint may take.
const LAST_WORDS: Duration = Duration::from_millis(500);
