//! Which certificates a client accepts, over TLS and over QUIC alike.
//!
//! A certificate is accepted for one of two reasons: a root that is trusted vouches for it (the system's roots, and
//! those of [`Tls::roots`]), or its hash was named: by the application ([`Tls::certificate_hashes`]), or, for
//! WebTransport, by the gateway in its offer. A hash stands for the whole certificate, so neither its name nor its age
//! matters. Where the gateway named hashes, roots are not asked, as in a browser.
//!
//! The roots of a system are some hundred files, so they are read when the first TLS connection is made, and once.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::dial::Connection;
use crate::error::ConfigError;

/// Which certificates to accept from the gateway, over TLS and QUIC.
///
/// The default accepts what the system accepts.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// Whether the system's root certificates are trusted. They are read at the first use of TLS. Default: yes.
    pub system_roots: bool,
    /// Root certificates that are trusted as well, in DER: a company's, a test's. Default: none.
    pub roots: Vec<Box<[u8]>>,
    /// SHA-256 of certificates (the whole, in DER) that are accepted whoever made them, whatever name they are for and
    /// however old they are. Default: none.
    pub certificate_hashes: Vec<[u8; 32]>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { system_roots: true, roots: Vec::new(), certificate_hashes: Vec::new() }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("system_roots", &self.system_roots)
            .field("roots", &self.roots.len())
            .field("certificate_hashes", &self.certificate_hashes.len())
            .finish()
    }
}

impl Tls {
    /// Trusts the root certificates of a PEM file as well.
    ///
    /// # Errors
    /// [`ConfigError::Certificate`] when it holds none, or one that cannot be read.
    pub fn trust_pem(&mut self, pem: &[u8]) -> Result<(), ConfigError> {
        let before = self.roots.len();
        for root in CertificateDer::pem_slice_iter(pem) {
            let root = root.map_err(|error| ConfigError::Certificate(error.to_string()))?;
            self.roots.push(root.as_ref().into());
        }
        if self.roots.len() == before {
            return Err(ConfigError::Certificate("there is none".to_owned()));
        }
        Ok(())
    }

    /// Accepts the certificate with this hash: SHA-256, in hexadecimal, colons between bytes or not.
    ///
    /// # Errors
    /// [`ConfigError::CertificateHash`] when it is no such hash.
    pub fn accept_hash(&mut self, hash: &str) -> Result<(), ConfigError> {
        let hash = parse_hash(hash).ok_or_else(|| ConfigError::CertificateHash(hash.to_owned()))?;
        self.certificate_hashes.push(hash);
        Ok(())
    }
}

/// A SHA-256 in hexadecimal, colons between bytes or not.
pub(super) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.bytes().filter(|&byte| byte != b':').map(|byte| char::from(byte).to_digit(16));
    let mut hash = [0; 32];
    for byte in &mut hash {
        *byte = u8::try_from(digits.next()?? * 16 + digits.next()??).ok()?;
    }
    digits.next().is_none().then_some(hash)
}

/// What a client makes of [`Tls`].
#[derive(Debug)]
pub(crate) struct Trust {
    tls: Tls,
    provider: Arc<CryptoProvider>,
    /// For the connections under HTTP/1.1 and WebSocket.
    streams: OnceCell<Arc<ClientConfig>>,
    roots: OnceCell<Option<Arc<WebPkiServerVerifier>>>,
}

impl Trust {
    pub(crate) fn new(tls: Tls) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self { tls, provider, streams: OnceCell::new(), roots: OnceCell::new() }
    }

    /// TLS on top of a connection.
    ///
    /// # Errors
    /// When the handshake fails; an error says why a certificate is not trusted.
    pub(super) async fn secure(
        &self,
        host: &str,
        connection: Box<dyn Connection>,
    ) -> io::Result<Box<dyn Connection>> {
        let config = self.streams.get_or_try_init(|| async {
            let hashes = self.tls.certificate_hashes.clone();
            let (mut config, _) = self.config(hashes, self.roots().await?)?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok::<_, io::Error>(Arc::new(config))
        });
        let connector = TlsConnector::from(Arc::clone(config.await?));
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} is no name of a host"))
        })?;
        match connector.connect(name, connection).await {
            Ok(secured) => Ok(Box::new(secured)),
            Err(error) => Err(untrusted(&error).unwrap_or(error)),
        }
    }

    /// The TLS of one QUIC connection, and what it makes of the certificate. Hashes that the gateway named take the place
    /// of roots.
    ///
    /// # Errors
    /// When no configuration can be made.
    pub(super) async fn quic(&self, offered: &[[u8; 32]]) -> io::Result<(ClientConfig, Arc<Verifier>)> {
        let hashes = [offered, &self.tls.certificate_hashes].concat();
        let roots = if offered.is_empty() { self.roots().await? } else { None };
        let (mut config, verifier) = self.config(hashes, roots)?;
        config.alpn_protocols = vec![b"h3".to_vec()];
        Ok((config, verifier))
    }

    fn config(
        &self,
        hashes: Vec<[u8; 32]>,
        roots: Option<Arc<WebPkiServerVerifier>>,
    ) -> io::Result<(ClientConfig, Arc<Verifier>)> {
        let provider = Arc::clone(&self.provider);
        let verifier = Arc::new(Verifier { hashes, roots, provider, verdict: OnceLock::new() });
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok((config, verifier))
    }

    /// What vouches for certificates; nothing, where no root is known.
    async fn roots(&self) -> io::Result<Option<Arc<WebPkiServerVerifier>>> {
        let roots = self.roots.get_or_try_init(|| async {
            let mut store = RootCertStore::empty();
            if self.tls.system_roots {
                // Files, some hundred of them.
                let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
                for error in loaded.errors {
                    tracing::debug!(%error, "a root certificate of the system cannot be read");
                }
                store.add_parsable_certificates(loaded.certs);
            }
            for root in &self.tls.roots {
                store.add(CertificateDer::from(&**root)).map_err(|error| {
                    io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("a root certificate is none: {error}"),
                    )
                })?;
            }
            if store.is_empty() {
                return Ok(None);
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&self.provider))
                .build()
                .map(Some)
                .map_err(io::Error::other)
        });
        roots.await.cloned()
    }
}

/// Accepts what is named by its hash or vouched for by a root.
#[derive(Debug)]
pub(super) struct Verifier {
    hashes: Vec<[u8; 32]>,
    roots: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    verdict: OnceLock<Result<(), Untrusted>>,
}

impl Verifier {
    /// What was made of the first certificate that it was shown: QUIC tells no more than that it was refused.
    pub(super) fn verdict(&self) -> Option<&Result<(), Untrusted>> {
        self.verdict.get()
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<(), Untrusted> {
        let hash: [u8; 32] = Sha256::digest(certificate).into();
        if self.hashes.contains(&hash) {
            return Ok(());
        }
        let why = match &self.roots {
            None if self.hashes.is_empty() => "no root certificate is known here".into(),
            None => format!("its SHA-256 is {}, which is none of those that were named", Hex(&hash)),
            Some(roots) => {
                match roots.verify_server_cert(certificate, intermediates, name, ocsp_response, now) {
                    Ok(_) => return Ok(()),
                    Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                        "no root that is trusted here vouches for it".into()
                    }
                    Err(rustls::Error::InvalidCertificate(fault)) => fault.to_string(),
                    Err(fault) => fault.to_string(),
                }
            }
        };
        Err(Untrusted { host: name.to_str().into(), why: why.into() })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = self.judge(end_entity, intermediates, server_name, ocsp_response, now);
        let _ = self.verdict.set(verdict.clone());
        match verdict {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(why) => Err(CertificateError::Other(OtherError(Arc::new(why))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a certificate is not accepted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the certificate of {host} is not trusted: {why}")]
pub(super) struct Untrusted {
    host: Box<str>,
    why: Box<str>,
}

/// What rustls was told of a certificate, without what it says around it.
fn untrusted(error: &io::Error) -> Option<io::Error> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why))) =
        error.get_ref()?.downcast_ref()?
    else {
        return None;
    };
    Some(io::Error::new(error.kind(), Arc::clone(why)))
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests;
