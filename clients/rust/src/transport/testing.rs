//! The other end of a link, for tests: certificates, a gateway's WebTransport that says what the test says, and a link
//! whose reports the test reads.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest, Sha256};
use throughline_wire::{
    Codec, DecodeLimits, DownFrame, UpFrame, codec::FrameSplitter, frame::TransportOffer,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use wtransport::{
    Endpoint, Identity, RecvStream, SendStream, ServerConfig,
    endpoint::{SessionRequest, endpoint_side::Server},
    error::ConnectionError,
    tls::{Certificate, CertificateChain, PrivateKey},
};

use super::{
    LinkTask, Network, Report, Say,
    dial::{Connection, Dial, TcpDial},
    encode, open,
    tls::{Tls, Trust},
};
use crate::{
    address::Address,
    config::Via,
    core::{names::LinkKey, session::End},
};

/// A certificate, its key, and the root that vouches for it.
pub(super) struct Certified {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) root: Vec<u8>,
}

impl Certified {
    /// For a host of this name or address.
    pub(super) fn new(host: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two roots of one name would be taken for one, whose signature is wrong.
        root.distinguished_name.push(DnType::CommonName, format!("{:x?}", &key.public_key_raw()[..16]));
        let root = CertifiedIssuer::self_signed(root, key).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &root).unwrap();
        Self { certificate: certificate.der().to_vec(), key: key.serialize_der(), root: root.der().to_vec() }
    }

    /// As an offer names it.
    pub(super) fn hash(&self) -> Box<str> {
        Sha256::digest(&self.certificate).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
    }

    /// What trusts nothing but its root.
    pub(super) fn trusted(&self) -> Tls {
        Tls { system_roots: false, roots: vec![self.root.as_slice().into()], ..Tls::default() }
    }
}

/// What trusts nothing.
pub(super) fn nobody() -> Tls {
    Tls { system_roots: false, ..Tls::default() }
}

/// A gateway's UDP port.
pub(super) struct Gate {
    endpoint: Endpoint<Server>,
    pub(super) address: SocketAddr,
}

impl Gate {
    pub(super) fn new(certified: &Certified) -> Self {
        let chain = CertificateChain::single(Certificate::from_der(certified.certificate.clone()).unwrap());
        let identity = Identity::new(chain, PrivateKey::from_der_pkcs8(certified.key.clone()));
        let config = ServerConfig::builder()
            .with_bind_address(([127, 0, 0, 1], 0).into())
            .with_identity(identity)
            .build();
        let endpoint = Endpoint::server(config).unwrap();
        let address = endpoint.local_addr().unwrap();
        Self { endpoint, address }
    }

    /// An offer that leads here.
    pub(super) fn offer(&self, hashes: &[Box<str>]) -> TransportOffer {
        TransportOffer {
            name: "webtransport".into(),
            url: Some(format!("https://{}/v1/webtransport", self.address).into()),
            certificate_hashes: hashes.to_vec(),
        }
    }

    /// The next session, and what it was asked for with.
    pub(super) async fn accept(&self) -> Guest {
        let request = self.endpoint.accept().await.await.unwrap();
        let path = request.path().to_owned();
        let authority = request.authority().to_owned();
        let protocols = request.headers().get("wt-available-protocols").cloned();
        let connection = request.accept().await.unwrap();
        let (down, up) = connection.accept_bi().await.unwrap();
        Guest { connection, up, down, path, authority, protocols }
    }

    /// Sees the next handshake fail.
    pub(super) async fn fail(&self) {
        let failed = self.endpoint.accept().await.await;
        assert!(failed.is_err(), "a client that trusts nobody here goes no further");
    }

    /// Refuses the next session.
    pub(super) async fn refuse(&self) {
        self.endpoint.accept().await.await.unwrap().forbidden().await;
    }

    /// The next session is asked for and never answered.
    pub(super) async fn ignore(&self) -> SessionRequest {
        self.endpoint.accept().await.await.unwrap()
    }

    /// Waits until no client has a connection.
    pub(super) async fn wait_idle(&self) {
        timeout(PATIENCE, self.endpoint.wait_idle()).await.expect("clients are gone when they are dropped");
    }
}

/// A client, as its gateway sees it.
pub(super) struct Guest {
    pub(super) connection: wtransport::Connection,
    pub(super) up: RecvStream,
    pub(super) down: SendStream,
    pub(super) path: String,
    pub(super) authority: String,
    pub(super) protocols: Option<String>,
}

impl Guest {
    /// The frames of the next bytes that hold any.
    pub(super) async fn hear(&mut self, codec: Codec) -> Vec<UpFrame> {
        let mut splitter = FrameSplitter::new(codec, 1 << 20);
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while heard.is_empty() || !splitter.is_between_frames() {
            let length = self.up.read(&mut buffer).await.unwrap().expect("the client says something");
            let mut piece = &buffer[..length];
            while let Some(frame) = splitter.next(&mut piece).unwrap() {
                heard.extend(codec.up_frames(frame, DecodeLimits::default()).map(Result::unwrap));
            }
        }
        heard
    }

    /// Waits for the end of what the client says.
    pub(super) async fn hear_the_end(&mut self) {
        assert_eq!(self.up.read(&mut [0]).await, Ok(None));
    }

    /// The code that the client closes with.
    pub(super) async fn code(&self) -> u64 {
        match timeout(PATIENCE, self.connection.accept_uni()).await.expect("the client closes") {
            Err(ConnectionError::ApplicationClosed(close)) => close.code().into_inner(),
            other => panic!("the client closes, and not {other:?}"),
        }
    }

    pub(super) async fn say(&mut self, codec: Codec, frames: &[DownFrame]) {
        self.down.write_all(&message(codec, frames)).await.unwrap();
    }
}

/// A message of these frames.
pub(super) fn message(codec: Codec, frames: &[DownFrame]) -> Bytes {
    let mut buffer = BytesMut::new();
    for frame in frames {
        codec.encode_down(frame, &mut buffer);
    }
    buffer.freeze()
}

/// A port where HTTP/1.1 is answered, over TLS where it is certified.
pub(super) struct Port {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    pub(super) url: String,
}

impl Port {
    pub(super) async fn new(certified: Option<&Certified>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if certified.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let tls = certified.map(|certified| {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let chain = vec![certified.certificate.clone().into()];
            let key = PrivatePkcs8KeyDer::from(certified.key.clone()).into();
            let mut config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .unwrap();
            // What a client does not ask for is not chosen.
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        Self { listener, tls, url }
    }

    /// The next connection.
    ///
    /// # Errors
    /// When its client will have no TLS with this certificate.
    pub(super) async fn accept(&self) -> std::io::Result<Box<dyn Connection>> {
        let (stream, _) = self.listener.accept().await?;
        Ok(match &self.tls {
            Some(tls) => Box::new(tls.accept(stream).await?),
            None => Box::new(stream),
        })
    }

    /// Answers the next request with a status, a media type and a body, and hangs up. Returns the head of the request,
    /// line by line, in lower case.
    pub(super) async fn answer(&self, status: u16, media_type: &str, body: &[u8]) -> Vec<String> {
        let mut client = BufReader::new(self.accept().await.unwrap());
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            client.read_line(&mut line).await.unwrap();
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_ascii_lowercase()),
            }
        }
        let length = head.iter().find_map(|line| line.strip_prefix("content-length: "));
        let mut message = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        client.read_exact(&mut message).await.unwrap();
        let answer =
            format!("HTTP/1.1 {status} So\r\ncontent-type: {media_type}\r\nconnection: close\r\n\r\n");
        client.write_all(&[answer.as_bytes(), body].concat()).await.unwrap();
        client.shutdown().await.unwrap();
        head
    }
}

/// A network as a client has it.
pub(super) fn network(url: &str, tls: Tls) -> Arc<Network> {
    Arc::new(network_by(url, tls, Arc::new(TcpDial)))
}

/// The same with a dial of one's own.
pub(super) fn network_by(url: &str, tls: Tls, dial: Arc<dyn Dial>) -> Network {
    Network {
        address: Address::parse(url).unwrap(),
        dial,
        trust: Trust::new(tls),
        connect: Duration::from_secs(20),
        limits: DecodeLimits::default(),
    }
}

/// A link whose reports are read here.
pub(super) struct Link {
    pub(super) task: LinkTask,
    codec: Codec,
    reports: mpsc::Receiver<(LinkKey, Report)>,
}

impl Link {
    pub(super) fn open(
        network: &Arc<Network>,
        via: Via,
        offer: Option<TransportOffer>,
        hello: &[UpFrame],
    ) -> Self {
        let (reporter, reports) = mpsc::channel(64);
        let task = open(network, &reporter, LinkKey(0), via, offer, encode(via.codec, hello));
        Self { task, codec: via.codec, reports }
    }

    pub(super) async fn report(&mut self) -> Report {
        self.reports.recv().await.expect("a link reports its end").1
    }

    /// The next report, which would come at once.
    pub(super) async fn report_at_once(&mut self) -> Report {
        timeout(PATIENCE, self.report()).await.expect("a report")
    }

    /// The frames that come next.
    pub(super) async fn frames(&mut self) -> Vec<DownFrame> {
        loop {
            match self.report().await {
                Report::Frames(frames) => return frames,
                Report::Answer { frames, .. } => return frames,
                Report::SignOfLife | Report::Opened => {}
                report => panic!("frames, not {report:?}"),
            }
        }
    }

    /// How it ends; what else is reported goes by.
    pub(super) async fn end(&mut self) -> End {
        loop {
            if let Report::Ended(end) = self.report().await {
                return end;
            }
        }
    }

    pub(super) fn say(&self, frames: &[UpFrame]) {
        assert!(self.task.say(Say::Message(encode(self.codec, frames))));
    }

    /// Says what may be lost.
    pub(super) fn cast(&self, frame: UpFrame) {
        assert!(self.task.say(Say::Datagram(encode(self.codec, &[frame]))));
    }

    pub(super) fn post(&self, frames: &[UpFrame]) {
        assert!(self.task.say(Say::Post { post: 1, message: encode(self.codec, frames) }));
    }

    pub(super) fn poll(&self, frames: &[UpFrame]) {
        assert!(self.task.say(Say::Poll { attach: 1, message: encode(self.codec, frames) }));
    }
}

/// How long anything is waited for that would come at once.
const PATIENCE: Duration = Duration::from_secs(20);
