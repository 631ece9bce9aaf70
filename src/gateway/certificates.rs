//! Certificates that are kept up to date while the gateway runs, and what is counted of them.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::{sync::Notify, time::timeout};

use super::Handle;
use crate::{
    certificates::{Certificates, Looked},
    files::LOOK,
    labels::Labels,
};

/// How the certificate is.
#[derive(Debug, Default)]
pub(crate) struct CertificateMetrics {
    kept: OnceLock<Certificates>,
    /// Without a certificate there is no value: zero would say that one has ended.
    expiry: Family<Labels<0>, Gauge>,
    reloads: Family<Labels<1>, Counter>,
}

impl CertificateMetrics {
    /// Makes their series, at zero.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for result in ["loaded", "failed"] {
            drop(self.reloads.get_or_create(&[("result", result)]));
        }
        registry.register_with_unit(
            "certificate_expiry",
            "How long the present certificate is valid yet",
            Unit::Seconds,
            self.expiry.clone(),
        );
        registry.register(
            "certificate_reloads",
            "Certificates that were to take the present one's place, by result",
            self.reloads.clone(),
        );
    }

    /// Reads the gauge.
    pub(crate) fn measure(&self, now: SystemTime) {
        if let Some(certificates) = self.kept.get() {
            let seconds = certificates.remaining(now).as_secs().try_into().unwrap_or(i64::MAX);
            self.expiry.get_or_create(&[]).set(seconds);
        }
    }

    fn count(&self, result: &'static str) {
        self.reloads.get_or_create(&[("result", result)]).inc();
    }
}

impl Handle {
    /// Keeps certificates up to date, for as long as it is polled: looks every five seconds, and whenever `nudge` is
    /// notified, whether another one is due, and counts and logs what came of it. Sessions and connections notice
    /// nothing; the next handshake gets the new certificate.
    ///
    /// `clock` says the time: [`SystemTime::now`].
    pub async fn keep_certificates(
        &self,
        certificates: Certificates,
        clock: impl Fn() -> SystemTime,
        nudge: Arc<Notify>,
    ) {
        let metrics = &self.shared.metrics.certificates;
        let _ = metrics.kept.set(certificates.clone());
        loop {
            let _ = timeout(LOOK, nudge.notified()).await;
            let (looking, now) = (certificates.clone(), clock());
            match tokio::task::spawn_blocking(move || looking.look(now)).await {
                Ok(Looked::Unchanged) => {}
                Ok(Looked::Replaced) => {
                    metrics.count("loaded");
                    let (hash, remaining) = (certificates.present_hash(), certificates.remaining(now));
                    tracing::info!(hash, valid_s = remaining.as_secs(), "there is a new certificate");
                }
                Ok(Looked::Failed(error)) => {
                    metrics.count("failed");
                    tracing::error!(%error, "the new certificate cannot be used: the old one stays");
                }
                Err(error) if error.is_panic() => {
                    metrics.count("failed");
                    tracing::error!("a look at the certificate has panicked: the present one stays");
                }
                // The runtime is ending.
                Err(_) => return,
            }
        }
    }
}
