//! The adapter on a network in memory, and clients of it.

pub(crate) mod browser;
pub(crate) mod network;

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use throughline_conformance::{Bounds, Client, Goodbye, Harness, Heard, ScriptedGate};
use throughline_link::Shape;
use throughline_webtransport::{Config, WebTransport};
use throughline_wire::Codec;
use tokio::io::DuplexStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wtransport::quinn::{
    self, ClientConfig, Connection, EndpointConfig, RecvStream, SendStream, TokioRuntime, TransportConfig,
    VarInt, crypto::rustls::QuicClientConfig,
};

use self::{
    browser::Browser,
    network::{Network, Socket},
};

/// The adapter, running.
pub(crate) struct Running {
    network: Network,
    /// The adapter's.
    pub(crate) socket: Arc<Socket>,
    certificates: Switch,
    pub(crate) links: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: tokio::task::JoinHandle<()>,
}

impl Running {
    /// With these bounds.
    pub(crate) fn with(gate: ScriptedGate, config: Config) -> Self {
        Self::with_certificates(gate, config, usual().clone())
    }

    /// With these certificates.
    pub(crate) fn with_certificates(gate: ScriptedGate, config: Config, certificates: Switch) -> Self {
        let network = Network::default();
        let socket = network.socket();
        let endpoint =
            WebTransport::new(gate, config).over(Arc::clone(&socket) as _, certificates.server()).unwrap();
        assert_eq!(endpoint.local_addr().unwrap(), socket.address);
        let (links, stop) = (TaskTracker::new(), CancellationToken::new());
        let serving = tokio::spawn(endpoint.serve(links.clone(), stop.clone()));
        Self { network, socket, certificates, links, stop, serving }
    }

    /// A QUIC endpoint of a client.
    pub(crate) fn device(&self) -> (Arc<Socket>, quinn::Endpoint) {
        let socket = self.network.socket();
        let mut endpoint = quinn::Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            None,
            Arc::clone(&socket) as _,
            Arc::new(TokioRuntime),
        )
        .unwrap();
        endpoint.set_default_client_config(client_config(self.certificates.roots()));
        (socket, endpoint)
    }

    /// A QUIC connection, on which nothing was said.
    pub(crate) async fn dial(&self) -> (Arc<Socket>, quinn::Endpoint, Connection) {
        let (socket, endpoint) = self.device();
        let connection = endpoint.connect(self.server(), "localhost").unwrap().await.unwrap();
        (socket, endpoint, connection)
    }

    /// Where the adapter is.
    pub(crate) fn server(&self) -> std::net::SocketAddr {
        self.socket.address
    }

    /// A browser that has asked for a session.
    pub(crate) async fn browser(&self, headers: &[(&str, &str)]) -> Browser {
        let (socket, endpoint, connection) = self.dial().await;
        Browser::ask(socket, endpoint, connection, headers).await
    }
}

impl Harness for Running {
    type Client = Page;

    const NAME: &'static str = "webtransport";
    const SHAPE: Shape = Shape::Duplex;
    const CODECS: &'static [Codec] = &[Codec::Json, Codec::Bincode];

    fn start(gate: ScriptedGate, bounds: Bounds) -> Self {
        let config = Config {
            max_message_bytes: bounds.max_message_bytes,
            budget_bytes: bounds.budget_bytes,
            ..Config::default()
        };
        Self::with(gate, config)
    }

    fn connect(&self) -> DuplexStream {
        panic!("nothing here speaks HTTP/1.1")
    }

    async fn open(&self, codec: Codec, first: Bytes) -> Page {
        let protocols = format!("\"{}\"", codec.name());
        let browser = self.browser(&[("wt-available-protocols", &protocols)]).await;
        assert_eq!(browser.response.get("wt-protocol"), Some(&*protocols));
        let mut page = Page::open(browser, codec).await;
        page.send(first).await;
        page
    }

    async fn open_in_wrong_codec(&self) -> Page {
        let browser = self.browser(&[("wt-available-protocols", "\"throughline.v9.morse\"")]).await;
        Page::open(browser, Codec::Json).await
    }

    /// A frame goes with its length in the binary codec; an empty line of text is none.
    fn arrives(codec: Codec, message: &Bytes) -> Option<Bytes> {
        match codec {
            Codec::Json => (!message.is_empty()).then(|| message.clone()),
            Codec::Bincode => Some([&*length(message.len()), message].concat().into()),
        }
    }
}

/// A client that opens its stream and speaks on it.
pub(crate) struct Page {
    pub(crate) browser: Browser,
    pub(crate) stream: (SendStream, RecvStream),
    codec: Codec,
}

impl Page {
    /// Opens the stream.
    pub(crate) async fn open(browser: Browser, codec: Codec) -> Self {
        let stream = browser.stream().await;
        Self { browser, stream, codec }
    }
}

impl Client for Page {
    async fn send(&mut self, message: Bytes) {
        let (before, after) = match self.codec {
            Codec::Json => (vec![], &b"\n"[..]),
            Codec::Bincode => (length(message.len()), &[][..]),
        };
        // A server that refuses an earlier frame reads no more.
        let _ = self.stream.0.write_all(&[&*before, &message, after].concat()).await;
    }

    async fn next(&mut self) -> Heard {
        if let Ok(Some(piece)) = self.stream.1.read_chunk(usize::MAX, true).await {
            return Heard::Message(piece.bytes);
        }
        match self.browser.closed().await {
            Some((code, reason)) => Heard::Goodbye(Goodbye {
                close: Some((u16::try_from(code).unwrap(), reason)),
                ..Goodbye::default()
            }),
            None => Heard::Lost,
        }
    }

    async fn leave(mut self) {
        self.browser.close(0, "").await;
        self.browser.closed().await;
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.browser.socket.cut();
    }
}

/// The length before a frame of the binary codec.
pub(crate) fn length(bytes: usize) -> Vec<u8> {
    match u16::try_from(bytes) {
        Ok(bytes @ 0..251) => vec![bytes as u8],
        Ok(bytes) => [&[251][..], &bytes.to_le_bytes()].concat(),
        Err(_) => [&[252][..], &u32::try_from(bytes).unwrap().to_le_bytes()].concat(),
    }
}

/// A client that takes little at once: the suite stalls it.
pub(crate) fn client_config(roots: Arc<RootCertStore>) -> ClientConfig {
    configured(roots, TransportConfig::default())
}

/// A client that knows no datagrams.
pub(crate) fn without_datagrams() -> ClientConfig {
    let mut transport = TransportConfig::default();
    transport.datagram_receive_buffer_size(None);
    configured(usual().roots(), transport)
}

fn configured(roots: Arc<RootCertStore>, mut transport: TransportConfig) -> ClientConfig {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    transport.stream_receive_window(VarInt::from_u32(4 * 1024)).max_idle_timeout(None);
    config.transport_config(Arc::new(transport));
    config
}

/// The certificate of most tests; to make one takes its time.
fn usual() -> &'static Switch {
    static USUAL: OnceLock<Switch> = OnceLock::new();
    USUAL.get_or_init(Switch::default)
}

/// A server's certificate, which can be replaced.
#[derive(Clone, Debug)]
pub(crate) struct Switch(Arc<Mutex<(Arc<CertifiedKey>, Arc<RootCertStore>)>>);

impl Default for Switch {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(certificate())))
    }
}

impl Switch {
    /// TLS that always shows the present one.
    pub(crate) fn server(&self) -> rustls::ServerConfig {
        rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()))
    }

    /// Those who trust the present one.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0.lock().unwrap().1)
    }

    /// Replaces it; gives those who trust the new one.
    pub(crate) fn renew(&self) -> Arc<RootCertStore> {
        *self.0.lock().unwrap() = certificate();
        self.roots()
    }
}

impl ResolvesServerCert for Switch {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap().0))
    }
}

fn certificate() -> (Arc<CertifiedKey>, Arc<RootCertStore>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let der = CertificateDer::from(made.cert);
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let key = provider().key_provider.load_private_key(key.into()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der.clone()).unwrap();
    (Arc::new(CertifiedKey::new(vec![der], key)), Arc::new(roots))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
