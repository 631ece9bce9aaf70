//! The certificate that the gateway shows, on TCP and on UDP alike.
//!
//! [`Certificates`] is one store with one resolver. Every listener asks it at every handshake, so a new certificate
//! counts from the next handshake on: no listener starts anew, and a connection that stands never notices.
//!
//! A store has one of two sources. The gateway makes certificates of its own (`development`), which clients know by
//! their hashes; or they come from files (`files`), which are read again when they change. Neither has a task or a
//! clock: [`Certificates::look`] is told the time and does what is due. The gateway calls it every few seconds
//! ([`Handle::keep_certificates`](crate::Handle::keep_certificates)), a test when it likes.

mod development;
mod files;
#[cfg(test)]
mod tests;

use std::{
    fmt, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, RwLock};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

pub use self::files::CertificateFiles;
use self::{development::Development, files::Files};

/// The present certificate, and where the next one comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates {
    store: Arc<Store>,
    source: Arc<Mutex<Source>>,
}

/// What became of a [look](Certificates::look).
#[derive(Debug)]
pub enum Looked {
    /// Nothing was due.
    Unchanged,
    /// New handshakes get another certificate from now on.
    Replaced,
    /// A new certificate could not be had: the present one stays. Said once for each attempt that failed.
    Failed(CertificateError),
}

/// Why there is no certificate. The gateway's configuration or its files are at fault; nothing here comes from a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// Which one.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The key is that of another certificate.
    #[error(
        "{}: the key does not belong to the certificate in {}; the first certificate there has to be the gateway's own, \
         those that signed it follow",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A certificate could not be made.
    #[error("no certificate can be made: {0}")]
    Making(#[from] rcgen::Error),
    /// A certificate that was made cannot be used: a defect.
    #[error("the certificate that was made cannot be used: {0}")]
    Made(#[from] rustls::Error),
}

/// A certificate with its key.
#[derive(Clone, Debug)]
struct Certificate {
    key: Arc<CertifiedKey>,
    /// SHA-256 of the certificate, in lowercase hexadecimal digits.
    hash: String,
    not_after: SystemTime,
}

#[derive(Debug)]
enum Source {
    Development(Development),
    Files(Files),
}

/// What handshakes and offers read.
#[derive(Debug)]
struct Store {
    present: RwLock<Certificate>,
    /// The hashes to tell clients, again with each change.
    hashes: watch::Sender<Arc<[String]>>,
}

impl Certificates {
    /// Certificates of the gateway's own, for these host names and addresses.
    ///
    /// Each is ECDSA P-256 and valid for 13 days, as browsers demand of one that they are to know by its hash
    /// (WebTransport, `serverCertificateHashes`: under 14 days). It serves for 10 of them; `development` says why
    /// a client that learned the hashes at any time finds one that matches for at least so long.
    ///
    /// # Errors
    /// A name that cannot be in a certificate, and a system without randomness.
    pub fn development<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let development = Development::new(names.into_iter().map(Into::into).collect(), now)?;
        let (present, hashes) = (development.present().clone(), development.hashes());
        Ok(Self::new(Source::Development(development), present, hashes))
    }

    /// The certificate in these files.
    ///
    /// # Errors
    /// [`CertificateError`] names the file and what is wrong with it. Reads files: not for an async task with others
    /// beside it.
    pub fn from_files(files: CertificateFiles, now: SystemTime) -> Result<Self, CertificateError> {
        let (files, present) = Files::load(files, now)?;
        Ok(Self::new(Source::Files(files), present, Vec::new()))
    }

    fn new(source: Source, present: Certificate, hashes: Vec<String>) -> Self {
        let store = Store { present: RwLock::new(present), hashes: watch::Sender::new(hashes.into()) };
        Self { store: Arc::new(store), source: Arc::new(Mutex::new(source)) }
    }

    /// Looks whether another certificate is due, and takes it if so. Handshakes go on meanwhile.
    ///
    /// Reads files where the certificate came from files: not for an async task with others beside it.
    pub fn look(&self, now: SystemTime) -> Looked {
        let mut source = self.source.lock();
        let looked = match &mut *source {
            Source::Development(development) => development
                .look(now)
                .map(|moved| moved.then(|| (development.present().clone(), development.hashes()))),
            Source::Files(files) => files.look(now).map(|loaded| loaded.map(|loaded| (loaded, Vec::new()))),
        };
        match looked {
            Ok(None) => Looked::Unchanged,
            Ok(Some((present, hashes))) => {
                *self.store.present.write() = present;
                self.store.hashes.send_replace(hashes.into());
                Looked::Replaced
            }
            Err(error) => Looked::Failed(error),
        }
    }

    /// The hashes that clients are to accept, in lowercase hexadecimal digits: of the present certificate and of the
    /// next. None where the certificate came from files: clients know whom to trust.
    pub fn hashes(&self) -> Arc<[String]> {
        Arc::clone(&self.store.hashes.borrow())
    }

    /// The hashes, and each change of them.
    pub fn watch_hashes(&self) -> watch::Receiver<Arc<[String]>> {
        self.store.hashes.subscribe()
    }

    /// The SHA-256 hash of the certificate that handshakes get now, in lowercase hexadecimal digits.
    pub fn present_hash(&self) -> String {
        self.store.present.read().hash.clone()
    }

    /// How long the present certificate is valid yet; zero if it has ended.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.store.present.read().not_after.duration_since(now).unwrap_or_default()
    }

    /// A configuration of TLS that always shows the present certificate, for TCP (1.2 and 1.3) and QUIC (1.3) alike,
    /// with these protocols to choose from (`h2`, `http/1.1`, `h3`).
    pub fn server_config(&self, protocols: &[&[u8]]) -> Result<ServerConfig, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.store) as _);
        // Clients that come back all at once spare us a signature each, at no memory here: the ticket is with them.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.present.read().key))
    }
}

impl Certificate {
    fn new(key: CertifiedKey, not_after: SystemTime) -> Self {
        let hash = key.cert.first().map(|der| hex(&Sha256::digest(der))).unwrap_or_default();
        Self { key: Arc::new(key), hash, not_after }
    }
}

/// The one provider of cryptography, named wherever one is needed, so that nothing depends on who installed a default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
