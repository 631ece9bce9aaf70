//! A certificate from files, read again when they change.
//!
//! Files are compared by what they hold: a link that points elsewhere, a file put in another's place and one written
//! over are all the same. Certificate and key are two files, and whoever replaces them does so one after the other; so
//! a pair that cannot be used is looked at once more before it is called wrong.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustls::{
    Error, InconsistentKeys,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use x509_parser::{parse_x509_certificate, time::ASN1Time};

use super::{Certificate, CertificateError, provider};

/// Where a certificate and its key are, in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// The gateway's certificate, and after it those that signed it, but for the root.
    pub certificate: PathBuf,
    /// Its private key, not encrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Files that are looked at now and then.
#[derive(Debug)]
pub(super) struct Files {
    files: CertificateFiles,
    /// What they held when they were last understood, or last found wrong.
    settled: Contents,
    /// What they held at the last look, if that could not be used.
    doubted: Option<Contents>,
}

/// What both hold; nothing of one that cannot be read.
#[derive(Clone, PartialEq, Eq, Default)]
struct Contents {
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn load(
        files: CertificateFiles,
        now: SystemTime,
    ) -> Result<(Self, Certificate), CertificateError> {
        let settled = Contents::read(&files);
        let certificate = understand(&files, &settled, now)?;
        Ok((Self { files, settled, doubted: None }, certificate))
    }

    /// The certificate that the files hold now, if it is another one.
    pub(super) fn look(&mut self, now: SystemTime) -> Result<Option<Certificate>, CertificateError> {
        let contents = Contents::read(&self.files);
        if contents == self.settled {
            self.doubted = None;
            return Ok(None);
        }
        match understand(&self.files, &contents, now) {
            Ok(certificate) => {
                (self.settled, self.doubted) = (contents, None);
                Ok(Some(certificate))
            }
            Err(error) if self.doubted.as_ref() == Some(&contents) => {
                (self.settled, self.doubted) = (contents, None);
                Err(error)
            }
            Err(_) => {
                self.doubted = Some(contents);
                Ok(None)
            }
        }
    }
}

impl Contents {
    fn read(files: &CertificateFiles) -> Self {
        Self { certificate: fs::read(&files.certificate).ok(), key: fs::read(&files.key).ok() }
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive() // a key is among them
    }
}

/// Makes a certificate of what was read, or says what a person has to mend.
fn understand(
    files: &CertificateFiles,
    contents: &Contents,
    now: SystemTime,
) -> Result<Certificate, CertificateError> {
    let certificate = readable(&files.certificate, contents.certificate.as_deref())?;
    let key = readable(&files.key, contents.key.as_deref())?;
    let unusable = |path: &Path, problem: String| CertificateError::Unusable { path: path.into(), problem };

    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&files.certificate, format!("this is not PEM: {error}")))?;
    let Some(own) = chain.first() else {
        let problem = if holds(certificate, b"PRIVATE KEY-----") {
            "there is a key in it and no certificate: are the two files exchanged?"
        } else {
            "there is no certificate in it: it is PEM, `-----BEGIN CERTIFICATE-----`"
        };
        return Err(unusable(&files.certificate, problem.into()));
    };
    let not_after = check_dates(own, now).map_err(|problem| unusable(&files.certificate, problem))?;

    let parsed = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        let problem = if holds(key, b"ENCRYPTED") {
            "the key is encrypted: the gateway has nobody to ask for a passphrase, so it has to be in the clear".into()
        } else if holds(key, b"BEGIN CERTIFICATE-----") {
            "there is a certificate in it and no key: are the two files exchanged?".into()
        } else if matches!(error, rustls::pki_types::pem::Error::NoItemsFound) {
            "there is no private key in it: it is PEM, `-----BEGIN PRIVATE KEY-----`".into()
        } else {
            format!("this is not PEM: {error}")
        };
        unusable(&files.key, problem)
    })?;
    match CertifiedKey::from_der(chain, parsed, &provider()) {
        Ok(key) => Ok(Certificate::new(key, not_after)),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(CertificateError::Mismatch { key: files.key.clone(), certificate: files.certificate.clone() })
        }
        Err(error) => Err(unusable(&files.key, format!("the key cannot be used: {error}"))),
    }
}

/// What a file holds; the reason of the system where it could not be read.
fn readable<'a>(path: &Path, contents: Option<&'a [u8]>) -> Result<&'a [u8], CertificateError> {
    contents.ok_or_else(|| CertificateError::Unreadable {
        path: path.into(),
        source: fs::read(path).err().unwrap_or_else(|| std::io::ErrorKind::Interrupted.into()),
    })
}

/// When a certificate ends; an error if it has.
fn check_dates(certificate: &[u8], now: SystemTime) -> Result<SystemTime, String> {
    let (_, parsed) = parse_x509_certificate(certificate)
        .map_err(|error| format!("the first certificate is not one: {error}"))?;
    let validity = parsed.validity();
    let not_after = since_epoch(&validity.not_after);
    if not_after <= now {
        return Err(format!("the certificate ended: {}", validity.not_after));
    }
    if since_epoch(&validity.not_before) > now {
        // Perhaps it is this clock that is wrong: clients will see for themselves.
        tracing::warn!(begins = %validity.not_before, "the certificate is not valid yet");
    }
    Ok(not_after)
}

fn since_epoch(time: &ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.timestamp().try_into().unwrap_or_default())
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}
