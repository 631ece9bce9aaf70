//! How the application knows that a request is the gateway's: HMAC-SHA256 over the time and the body.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::RwLock;
use sha2::Sha256;

use super::{WebhookConfig, WebhookError};

/// The header that carries it.
pub(super) const HEADER: &str = "throughline-signature";

/// Secrets, ready to sign.
pub(super) struct Signer(RwLock<Vec<Hmac<Sha256>>>);

impl Signer {
    pub(super) fn new(secrets: &[String]) -> Result<Self, WebhookError> {
        ready(secrets).map(|keys| Self(RwLock::new(keys)))
    }

    /// Signs with these from now on.
    pub(super) fn replace(&self, secrets: &[String]) -> Result<(), WebhookError> {
        *self.0.write() = ready(secrets)?;
        Ok(())
    }

    /// `t=<ms>,v1=<hex>`, with a `v1` for each secret.
    pub(super) fn sign(&self, time_ms: u64, body: &[u8]) -> String {
        let mut header = format!("t={time_ms}");
        for key in &*self.0.read() {
            let mut mac = key.clone();
            mac.update(time_ms.to_string().as_bytes());
            mac.update(b".");
            mac.update(body);
            header.push_str(",v1=");
            for byte in mac.finalize().into_bytes() {
                let _ = write!(header, "{byte:02x}");
            }
        }
        header
    }
}

fn ready(secrets: &[String]) -> Result<Vec<Hmac<Sha256>>, WebhookError> {
    if secrets.is_empty() {
        return Err(WebhookError::NoSecret);
    }
    if secrets.iter().any(|secret| secret.len() < WebhookConfig::SECRET_BYTES) {
        return Err(WebhookError::ShortSecret);
    }
    let key = |secret: &String| Hmac::new_from_slice(secret.as_bytes());
    Ok(secrets.iter().map(|secret| key(secret).expect("HMAC takes keys of any length")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_signs_the_time_and_the_body() {
        // printf '1795511290895.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
        const FIRST: &str = "879bb90da4fdb263966810377528572bede44cc0acff999adfc5f600ed4a8abc";
        let first = Signer::new(&["0123456789abcdef".into()]).unwrap();
        assert_eq!(first.sign(1_795_511_290_895, b"{\"a\":1}"), format!("t=1795511290895,v1={FIRST}"));
        let both = Signer::new(&["0123456789abcdef".into(), "fedcba9876543210".into()]).unwrap();
        let signed = both.sign(1_795_511_290_895, b"{\"a\":1}");
        let parts: Vec<&str> = signed.split(',').collect();
        assert_eq!((parts.len(), parts[1]), (3, &*format!("v1={FIRST}")));
        assert_ne!(parts[1], parts[2]);
    }
}
