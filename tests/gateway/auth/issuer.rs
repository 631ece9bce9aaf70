//! Somebody who issues tokens and publishes keys, by HTTPS, and answers when its test says so.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer as PublicKeyInfo, pem::PemObject as _,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::{
    algorithms::{pair, rsa},
    claims, signed,
};
use crate::kit::{PATIENCE, issued::Issued};

/// It runs until it is dropped.
pub(super) struct Issuer {
    pub(super) url: String,
    /// What has to be trusted to call it.
    pub(super) root: CertificateDer<'static>,
    asked: mpsc::UnboundedReceiver<Asked>,
    _serving: AbortOnDropHandle<()>,
}

/// A request that waits for its answer.
pub(super) struct Asked {
    pub(super) head: String,
    answer: oneshot::Sender<Vec<u8>>,
}

/// A key that signs, and what is published of it.
pub(super) struct Signing {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    public: Value,
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let issued = Issued::now("localhost");
        let root = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("they are known")
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://localhost:{}/keys", listener.local_addr().expect("bound").port());
        let (to, asked) = mpsc::unbounded_channel();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, to) = (acceptor.clone(), to.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    let (answer, answered) = oneshot::channel();
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let _ = to.send(Asked { head, answer });
                    // One that is not answered breaks off.
                    let _ = stream.write_all(&answered.await.unwrap_or_default()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { url, root, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The next request.
    pub(super) async fn asked(&mut self) -> Asked {
        timeout(PATIENCE, self.asked.recv()).await.expect("a request in time").expect("it serves")
    }

    /// Whether a request is there already.
    pub(super) fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }
}

impl Asked {
    /// Answers with these keys.
    pub(super) fn publish(self, keys: &[Value]) {
        self.answer(200, "", json!({"keys": keys}).to_string().as_bytes());
    }

    /// Answers; `more` are further lines of the head.
    pub(super) fn answer(self, status: u16, more: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{more}\r\n", body.len());
        let _ = self.answer.send([head.as_bytes(), body].concat());
    }
}

impl Signing {
    pub(super) fn es256(id: &'static str) -> Self {
        let pair = pair(&PKCS_ECDSA_P256_SHA256);
        let key = EncodingKey::from_ec_pem(pair.private_pem.as_bytes()).expect("a key");
        Self::new(id, Algorithm::ES256, key)
    }

    pub(super) fn rs256(id: &'static str) -> Self {
        let key = EncodingKey::from_rsa_pem(rsa().private_pem.as_bytes()).expect("a key");
        Self::new(id, Algorithm::RS256, key)
    }

    pub(super) fn eddsa(id: &'static str) -> Self {
        let pair = pair(&PKCS_ED25519);
        let key = EncodingKey::from_ed_pem(pair.private_pem.as_bytes()).expect("a key");
        // RFC 8410: a public key ends with its 32 bytes.
        let der = PublicKeyInfo::from_pem_slice(pair.public_pem.as_bytes()).expect("a public key");
        let x = URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
        let public = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x});
        Self { id, algorithm: Algorithm::EdDSA, key, public }
    }

    /// A secret that somebody published.
    pub(super) fn hs256(id: &'static str, secret: &[u8]) -> Self {
        let public = json!({
            "kty": "oct", "kid": id, "alg": "HS256", "use": "sig", "k": URL_SAFE_NO_PAD.encode(secret),
        });
        Self { id, algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret), public }
    }

    fn new(id: &'static str, algorithm: Algorithm, key: EncodingKey) -> Self {
        let jwk = Jwk::from_encoding_key(&key, algorithm).expect("a kind of key that is published");
        let mut public = serde_json::to_value(jwk).expect("JSON");
        public["kid"] = id.into();
        Self { id, algorithm, key, public }
    }

    /// What is published of it.
    pub(super) fn public(&self) -> Value {
        self.public.clone()
    }

    /// A token of a user.
    pub(super) fn token(&self, user: &str) -> String {
        self.token_by(&json!({"alg": format!("{:?}", self.algorithm), "kid": self.id}), user)
    }

    /// The same under another header.
    pub(super) fn token_by(&self, header: &Value, user: &str) -> String {
        signed(header, &claims(user), &self.key, self.algorithm)
    }
}
