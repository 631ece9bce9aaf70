//! Certificates of the gateway's own, which follow one another before they end.
//!
//! A client knows such a certificate by its hash, which it learned from `welcome` or `negotiate`, perhaps days ago. So
//! each certificate is made one term before it serves, and its hash is told from then on:
//!
//! ```text
//!             day 0             day 10            day 20
//! serves      │ first           │ second          │ third
//! told        │ first, second   │ second, third   │ third, fourth
//! ```
//!
//! Whoever learned the hashes at any moment of the first term has the second's too, and so matches until day 20: for one
//! whole term at least. There is no need to tell those of the past: they never serve again.
//!
//! A certificate is valid from a day before its term, for clients whose clock is behind, until two days after it, for
//! those ahead and for a gateway that slept over the change: 13 days, where browsers take less than 14.

use std::{
    mem,
    time::{Duration, SystemTime},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{pki_types::PrivateKeyDer, sign::CertifiedKey};

use super::{Certificate, CertificateError, provider};

/// The certificate that serves, and the one after it.
#[derive(Debug)]
pub(super) struct Development {
    names: Vec<String>,
    present: Term,
    next: Term,
}

/// One certificate and when it serves.
#[derive(Debug)]
struct Term {
    certificate: Certificate,
    begins: SystemTime,
}

impl Development {
    pub(super) fn new(names: Vec<String>, now: SystemTime) -> Result<Self, CertificateError> {
        let present = Term::new(&names, now)?;
        let next = Term::new(&names, now + TERM)?;
        Ok(Self { names, present, next })
    }

    /// Moves on if the present term is over; says whether it did.
    pub(super) fn look(&mut self, now: SystemTime) -> Result<bool, CertificateError> {
        if self.present.is_valid_for(now) {
            return Ok(false);
        }
        if self.next.is_valid_for(now) {
            let after = Term::new(&self.names, self.next.begins + TERM)?;
            self.present = mem::replace(&mut self.next, after);
        } else {
            // The machine slept for more than a term, or its clock was wrong: neither of the two can be shown.
            *self = Self::new(self.names.clone(), now)?;
        }
        Ok(true)
    }

    pub(super) const fn present(&self) -> &Certificate {
        &self.present.certificate
    }

    pub(super) fn hashes(&self) -> Vec<String> {
        vec![self.present.certificate.hash.clone(), self.next.certificate.hash.clone()]
    }
}

impl Term {
    fn new(names: &[String], begins: SystemTime) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::new(names)?;
        let not_after = begins + TERM + AFTER;
        params.not_before = (begins - BEFORE).into();
        params.not_after = not_after.into();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Throughline development certificate");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&pair)?;
        let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
        let key = CertifiedKey::from_der(vec![certificate.der().clone()], key, &provider())?;
        Ok(Self { certificate: Certificate::new(key, not_after), begins })
    }

    /// Whether this is the one to show. A clock that was set back a little does not end a term.
    fn is_valid_for(&self, now: SystemTime) -> bool {
        (self.begins - BEFORE..self.begins + TERM).contains(&now)
    }
}

/// How long each certificate serves.
const TERM: Duration = Duration::from_secs(10 * DAY);
/// How long before its term it is valid.
const BEFORE: Duration = Duration::from_secs(DAY);
/// How long after.
const AFTER: Duration = Duration::from_secs(2 * DAY);
const DAY: u64 = 86_400;
