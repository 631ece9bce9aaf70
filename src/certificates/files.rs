//! A certificate from files, read again when they change.

use std::{
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
use crate::files::{Contents, Watched};

/// Where a certificate and its key are, in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// The gateway's certificate, and after it those that signed it, but for the root.
    pub certificate: PathBuf,
    /// Its private key, not encrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Both files, looked at now and then.
#[derive(Debug)]
pub(super) struct Files {
    files: CertificateFiles,
    watched: Watched,
}

impl Files {
    pub(super) fn load(
        files: CertificateFiles,
        now: SystemTime,
    ) -> Result<(Self, Certificate), CertificateError> {
        let contents = Contents::read([&files.certificate, &files.key]);
        let certificate = understand(&files, &contents, now)?;
        Ok((Self { files, watched: Watched::new(contents) }, certificate))
    }

    /// The certificate that the files hold now, if it is another one.
    pub(super) fn look(&mut self, now: SystemTime) -> Result<Option<Certificate>, CertificateError> {
        self.watched.look(|contents| understand(&self.files, contents, now))
    }
}

/// Makes a certificate of what was read, or says what a person has to mend.
fn understand(
    files: &CertificateFiles,
    contents: &Contents,
    now: SystemTime,
) -> Result<Certificate, CertificateError> {
    let certificate = readable(contents, &files.certificate)?;
    let key = readable(contents, &files.key)?;
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

fn readable<'a>(contents: &'a Contents, path: &Path) -> Result<&'a [u8], CertificateError> {
    contents.of(path).map_err(|source| CertificateError::Unreadable { path: path.into(), source })
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
