//! The other end of a link, for tests: certificates, a gateway's WebTransport that says what the test says, and a link
//! whose reports the test reads.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::{Digest, Sha256};
use throughline_wire::{
    Codec, DecodeLimits, DownFrame, UpFrame, codec::FrameSplitter, frame::TransportOffer,
};
use tokio::sync::mpsc;
use wtransport::{
    Connection, Endpoint, Identity, RecvStream, SendStream, ServerConfig,
    endpoint::endpoint_side::Server,
    tls::{Certificate, CertificateChain, PrivateKey},
};

use super::{
    LinkTask, Network, Report, Say,
    dial::Dial,
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
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
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
        let protocols = request.headers().get("wt-available-protocols").cloned();
        let connection = request.accept().await.unwrap();
        let (up, down) = {
            let (send, receive) = connection.accept_bi().await.unwrap();
            (receive, send)
        };
        Guest { connection, up, down, path, protocols }
    }

    /// Refuses the next session.
    pub(super) async fn refuse(&self) {
        self.endpoint.accept().await.await.unwrap().forbidden().await;
    }

    /// The next session is asked for and never answered.
    pub(super) async fn ignore(&self) -> wtransport::endpoint::SessionRequest {
        self.endpoint.accept().await.await.unwrap()
    }
}

/// A client, as its gateway sees it.
pub(super) struct Guest {
    pub(super) connection: Connection,
    pub(super) up: RecvStream,
    pub(super) down: SendStream,
    pub(super) path: String,
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

/// A network as a client has it.
pub(super) fn network(url: &str, tls: Tls, dial: Arc<dyn Dial>) -> Arc<Network> {
    Arc::new(Network {
        address: Address::parse(url).unwrap(),
        dial,
        trust: Trust::new(tls),
        connect: Duration::from_secs(20),
        limits: DecodeLimits::default(),
    })
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
}
