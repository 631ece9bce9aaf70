//! A certificate for one run, so that the gateway can speak TLS.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A certificate and its key, in PEM files.
#[derive(Debug)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Makes them, for loopback, in this folder.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let files = Self { certificate: folder.join("gateway.pem"), key: folder.join("gateway.key") };
        fs::write(&files.certificate, made.cert.pem())?;
        fs::write(&files.key, made.signing_key.serialize_pem())?;
        Ok(files)
    }

    /// The certificate, to be trusted.
    pub(crate) fn pem(&self) -> Result<Vec<u8>> {
        Ok(fs::read(&self.certificate)?)
    }

    /// What tells the gateway of them.
    pub(crate) fn settings(&self) -> [String; 2] {
        [
            format!("tls.certificate_file={}", self.certificate.display()),
            format!("tls.key_file={}", self.key.display()),
        ]
    }
}
