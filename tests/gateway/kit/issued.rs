//! Certificates as an authority would issue them, and a folder to put them into.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
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
