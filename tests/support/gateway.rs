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
        let address = listener.local_addr().expect("bound above");
        let config = GatewayConfig {
            origins: OriginPolicy { is_loopback: true, ..OriginPolicy::default() },
            ..GatewayConfig::default()
        };
        let gateway = build(Gateway::builder().config(config)).build();
        let handle = gateway.handle();
        let stop = CancellationToken::new();
        tokio::spawn(listener::serve(listener, gateway, listener::ListenerConfig::default(), stop.clone()));
        Self { address, handle, _running: stop.drop_guard() }
    }
}
