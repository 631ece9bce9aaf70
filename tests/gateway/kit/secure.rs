//! A gateway in this process that speaks TLS and QUIC, and clients that take any certificate and remember it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use sha2::{Digest as _, Sha256};
use throughline::{
    Gateway, Handle,
    certificates::Certificates,
    gateway::{GatewayConfig, LimitConfig, bind_udp},
    http::{
        OriginPolicy,
        listener::{self, ListenerConfig, Stop, Tls, TlsConfig},
    },
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use wtransport::quinn;

/// A gateway that runs until it is dropped.
pub(crate) struct Secure {
    pub(crate) clients: SocketAddr,
    pub(crate) handle: Handle,
    _stop: DropGuard,
}

impl Secure {
    pub(crate) async fn start(certificates: &Certificates) -> Self {
        Self::with(certificates, ListenerConfig::default(), TlsConfig::default()).await
    }

    pub(crate) async fn with(certificates: &Certificates, listener: ListenerConfig, tls: TlsConfig) -> Self {
        Self::limited(certificates, listener, tls, LimitConfig::default()).await
    }

    pub(crate) async fn limited(
        certificates: &Certificates,
        listener: ListenerConfig,
        tls: TlsConfig,
        limits: LimitConfig,
    ) -> Self {
        super::panics::watch();
        let (clients, udp) = loop {
            let clients = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            // A port that is free for TCP may be taken for UDP.
            if let Ok(udp) = bind_udp(clients.local_addr().expect("bound")) {
                break (clients, udp);
            }
        };
        let address = clients.local_addr().expect("bound");
        let origins = OriginPolicy { is_loopback: true, ..OriginPolicy::default() };
        let gateway =
            Gateway::builder().config(GatewayConfig { origins, limits, ..GatewayConfig::default() }).build();
        let handle = gateway.handle();
        let listener = ListenerConfig { door: handle.door(), ..listener };
        let stop = CancellationToken::new();
        let webtransport =
            gateway.serve_webtransport(udp, certificates, None, stop.clone()).expect("a usable socket");
        tokio::spawn(webtransport);
        let tls = Tls::new(certificates, tls).expect("randomness");
        let stops = Stop { retire: handle.retiring(), ..Stop::from(stop.clone()) };
        tokio::spawn(listener::serve_tls(clients, tls, gateway, listener, stops));
        Self { clients: address, handle, _stop: stop.drop_guard() }
    }

    /// The hash of the certificate that a new connection gets, by TCP with this protocol.
    pub(crate) async fn shown_by_tcp(&self, protocol: &[u8]) -> String {
        shown(&connect(self.clients, &[protocol], &[&TLS13]).await)
    }

    /// The same by UDP.
    pub(crate) async fn shown_by_udp(&self) -> String {
        let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(config(&[b"h3"], &[&TLS13]));
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls.expect("TLS 1.3"))));
        let connection =
            endpoint.connect(self.clients, "localhost").expect("a name").await.expect("a handshake");
        let identity = connection.peer_identity().expect("a certificate");
        let chain = identity.downcast::<Vec<CertificateDer<'_>>>().expect("a chain");
        hash(&chain[0])
    }

    /// The value of one series of the metrics.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let metrics = self.handle.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no series {series}")).parse().expect("a number")
    }
}

/// Connects by TCP, and shakes hands with these protocols and versions to choose from.
pub(crate) async fn connect(
    address: SocketAddr,
    protocols: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("a listener");
    let connector = TlsConnector::from(Arc::new(config(protocols, versions)));
    let name = ServerName::try_from("localhost").expect("a name");
    connector.connect(name, stream).await.expect("a handshake")
}

/// The hash of the certificate that a connection was shown.
pub(crate) fn shown(stream: &TlsStream<TcpStream>) -> String {
    hash(&stream.get_ref().1.peer_certificates().expect("a handshake")[0])
}

pub(crate) const EITHER: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

pub(crate) fn config(protocols: &[&[u8]], versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("they are known")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    // Each handshake is to show what is there now.
    config.resumption = Resumption::disabled();
    config
}

fn hash(certificate: &[u8]) -> String {
    Sha256::digest(certificate).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes any certificate whose key signs the handshake.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
