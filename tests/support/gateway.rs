//! A gateway on a free port of loopback, with the short waits of a test.

use std::net::{Ipv4Addr, SocketAddr};

use throughline::{
    Builder, Gateway, Handle,
    gateway::GatewayConfig,
    http::{OriginPolicy, listener},
    session::{SessionConfig, TokenKeys},
};
use throughline_client::wire::frame::Backoff;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A gateway that runs until it is dropped.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    _running: DropGuard,
}

/// Sessions with waits of a fraction of a second, so that what is silent is found out soon.
pub(crate) fn quick_sessions() -> SessionConfig {
    SessionConfig {
        heartbeat_ms: 250,
        poll_hold_ms: 500,
        backoff: Backoff { base_ms: 20, cap_ms: 200 },
        ..SessionConfig::new(TokenKeys::from_random([7; 32]))
    }
}

impl TestGateway {
    /// Starts the gateway that `build` puts together.
    pub(crate) async fn start(build: impl FnOnce(Builder) -> Builder) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        Self::serve(listener, &gateway(build), CancellationToken::new())
    }

    /// Starts one that serves WebTransport as well, on the UDP port of the same number.
    #[cfg(feature = "webtransport")]
    pub(crate) async fn start_with_webtransport(build: impl FnOnce(Builder) -> Builder) -> Self {
        let gateway = gateway(build);
        let certificates = throughline::certificates::Certificates::development(
            ["localhost", "127.0.0.1"],
            std::time::SystemTime::now(),
        );
        let (listener, socket) = both_ports().await;
        let stop = CancellationToken::new();
        let serving = gateway
            .serve_webtransport(socket, &certificates.expect("legal names"), None, stop.clone())
            .expect("a socket and a certificate that QUIC can use");
        tokio::spawn(serving);
        Self::serve(listener, &gateway, stop)
    }

    fn serve(listener: TcpListener, gateway: &Gateway, stop: CancellationToken) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let config = listener::ListenerConfig::default();
        tokio::spawn(listener::serve(listener, gateway.clone(), config, stop.clone()));
        Self { address, handle: gateway.handle(), _running: stop.drop_guard() }
    }
}

fn gateway(build: impl FnOnce(Builder) -> Builder) -> Gateway {
    let config = GatewayConfig {
        origins: OriginPolicy { is_loopback: true, ..OriginPolicy::default() },
        ..GatewayConfig::default()
    };
    build(Gateway::builder().config(config)).build()
}

/// A port number that is free for both TCP and UDP.
#[cfg(feature = "webtransport")]
async fn both_ports() -> (TcpListener, std::net::UdpSocket) {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        // A client's socket may have the UDP port of this number.
        if let Ok(socket) = std::net::UdpSocket::bind(address) {
            socket.set_nonblocking(true).expect("a socket's mode can be set");
            return (listener, socket);
        }
    }
}
