//! Certificates as an authority would issue them, and a folder to put them into.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};

/// A certificate and its key, in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) hash: String,
}

impl Issued {
    /// For this name, valid now.
    pub(crate) fn now(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("randomness");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        let hash = Sha256::digest(certificate.der());
        let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), hash }
    }

    /// An authority of the test's own.
    pub(crate) fn authority() -> Authority {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("randomness");
        let mut params = CertificateParams::new([]).expect("no name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// What a server needs to show it.
    pub(crate) fn server(&self) -> ServerConfig {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("the provider's own");
        config.with_no_client_auth().with_single_cert(chain.expect("PEM"), key).expect("a pair")
    }
}

/// One that issues certificates.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A certificate for this name.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("randomness");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { certificate, key: key.serialize_pem(), hash: String::new() }
    }
}

/// A folder that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("throughline-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    /// Writes both files, and says where they are.
    pub(crate) fn write(&self, issued: &Issued) -> (String, String) {
        self.write_key(issued);
        fs::write(self.0.join("chain.pem"), &issued.certificate).expect("a file");
        (self.path("chain.pem"), self.path("key.pem"))
    }

    pub(crate) fn write_key(&self, issued: &Issued) {
        fs::write(self.0.join("key.pem"), &issued.key).expect("a file");
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
