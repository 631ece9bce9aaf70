//! Published keys that are kept up to date while the gateway runs, and what is counted of them.

use std::{sync::OnceLock, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::time::timeout;

use super::Handle;
use crate::{
    auth::{KeySet, KeySetLook},
    labels::Labels,
};

/// How the keys are.
#[derive(Debug, Default)]
pub(crate) struct KeySetMetrics {
    kept: OnceLock<KeySet>,
    keys: Gauge,
    /// Zero without keys.
    age: Gauge,
    fetches: Family<Labels<1>, Counter>,
}

impl KeySetMetrics {
    /// Makes their series, at zero.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for result in RESULTS {
            drop(self.fetches.get_or_create(&[("result", result)]));
        }
        registry.register("jwks_keys", "Published keys held", self.keys.clone());
        registry.register_with_unit(
            "jwks_age",
            "How long ago the published keys that are held were last seen",
            Unit::Seconds,
            self.age.clone(),
        );
        registry.register("jwks_fetches", "Looks for published keys, by result", self.fetches.clone());
    }

    /// Reads the gauges.
    pub(crate) fn measure(&self) {
        let Some(key_set) = self.kept.get() else { return };
        self.keys.set(key_set.keys() as i64);
        let age = key_set.age().unwrap_or_default();
        self.age.set(age.as_secs().try_into().unwrap_or(i64::MAX));
    }

    fn count(&self, result: &'static str) {
        self.fetches.get_or_create(&[("result", result)]).inc();
    }
}

impl Handle {
    /// Keeps published keys up to date, for as long as it is polled: looks for them when that is due, and counts and
    /// logs what came of it. While it is not polled nobody whose token is of such a key can come in.
    pub async fn keep_key_set(&self, key_set: KeySet) {
        let metrics = &self.shared.metrics.key_set;
        let _ = metrics.kept.set(key_set.clone());
        loop {
            loop {
                let due_in = key_set.due_in();
                if due_in.is_zero() {
                    break;
                }
                // Not longer, since the clock of the set need not be that of the sleep.
                let _ = timeout(due_in.min(LONGEST_SLEEP), key_set.moved()).await;
            }
            match key_set.look().await {
                KeySetLook::Unchanged => metrics.count("unchanged"),
                KeySetLook::Replaced { keys, left_out } => {
                    metrics.count("replaced");
                    tracing::info!(keys, left_out = left_out.len(), "there are new published keys");
                    for why in left_out {
                        tracing::warn!(why, "a published key is left out");
                    }
                }
                KeySetLook::Failed(why) => {
                    metrics.count("failed");
                    let held = key_set.keys();
                    tracing::error!(
                        why,
                        held,
                        "published keys cannot be had: those that are held stay for now"
                    );
                }
            }
        }
    }
}

const RESULTS: [&str; 3] = ["replaced", "unchanged", "failed"];
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
