//! The Rust client's ways to a real gateway: each transport over TLS, and WebTransport as it is found over plain HTTP.

use std::{net::UdpSocket, time::SystemTime};

use throughline::{
    Gateway, Handle,
    certificates::Certificates,
    channel::NewEvent,
    gateway::GatewayConfig,
    http::{
        OriginPolicy,
        listener::{self, ListenerConfig},
    },
};
use throughline_client::{
    Config, Events, Incoming, Session, SubscribeFrom, Tls, Transport, Via, wire::ChannelName,
};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::kit::PATIENCE;

/// A gateway with TLS, or without, on a port of both TCP and UDP.
struct Both {
    url: String,
    certificates: Certificates,
    handle: Handle,
    _stop: DropGuard,
}

impl Both {
    async fn start(secure: bool) -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            // A client's socket may have the UDP port of this number.
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().expect("bound")) {
                break (listener, socket);
            }
        };
        let authority = listener.local_addr().expect("bound");
        let certificates = Certificates::development(["localhost"], SystemTime::now()).expect("a legal name");
        let config = GatewayConfig {
            origins: OriginPolicy { is_loopback: true, ..OriginPolicy::default() },
            base_path: "/live".into(),
            ..GatewayConfig::default()
        };
        let gateway = Gateway::builder().config(config).build();
        let handle = gateway.handle();
        let stop = CancellationToken::new();
        let datagrams = gateway.serve_webtransport(socket, &certificates, None, stop.clone());
        tokio::spawn(datagrams.expect("a socket and a certificate for QUIC"));
        let config = ListenerConfig::default();
        if secure {
            let tls = listener::Tls::new(&certificates, listener::TlsConfig::default()).expect("randomness");
            tokio::spawn(listener::serve_tls(listener, tls, gateway, config, stop.clone()));
        } else {
            tokio::spawn(listener::serve(listener, gateway, config, stop.clone()));
        }
        let scheme = if secure { "https" } else { "http" };
        Self { url: format!("{scheme}://{authority}/live"), certificates, handle, _stop: stop.drop_guard() }
    }

    /// A client on one transport and no other, that has heard an event.
    async fn hears(&self, via: Via, tls: Tls) {
        let mut config = Config::new(&self.url).only(via);
        config.tls = tls;
        let (session, mut events) = Session::connect(config).expect("a legal configuration");
        let news = ChannelName::parse("news").expect("a legal name");
        let subscribed = timeout(PATIENCE, session.subscribe(news.clone(), SubscribeFrom::Now)).await;
        subscribed.unwrap_or_else(|_| panic!("{via} opens")).expect("nobody refuses");
        self.handle.publish(&news, NewEvent::default()).await.expect("there is room");
        timeout(PATIENCE, event(&mut events)).await.unwrap_or_else(|_| panic!("an event comes by {via}"));
        assert_eq!(session.state().borrow().via, Some(via));
    }
}

async fn event(events: &mut Events) {
    loop {
        if let Incoming::Event { .. } = events.next().await.expect("it goes on") {
            return;
        }
    }
}

/// What trusts nothing but what is named.
fn nobody() -> Tls {
    let mut tls = Tls::default();
    tls.system_roots = false;
    tls
}

const EVERY: [Via; 7] = [
    Via::json(Transport::WebTransport),
    Via::bincode(Transport::WebTransport),
    Via::json(Transport::WebSocket),
    Via::bincode(Transport::WebSocket),
    Via::json(Transport::Sse),
    Via::json(Transport::Polling),
    Via::bincode(Transport::Polling),
];

#[tokio::test]
async fn every_transport_carries_a_session_over_tls_with_a_certificate_that_is_named() {
    let gateway = Both::start(true).await;
    let mut tls = nobody();
    tls.accept_hash(&gateway.certificates.present_hash()).expect("a hash");
    for via in EVERY {
        gateway.hears(via, tls.clone()).await;
    }
}

#[tokio::test]
async fn over_plain_http_the_gateway_itself_says_where_webtransport_is_and_what_to_accept() {
    let gateway = Both::start(false).await;
    for via in EVERY {
        gateway.hears(via, nobody()).await;
    }
}
