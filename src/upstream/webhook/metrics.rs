//! What the webhook counts, beside what the gateway does.

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::{Event, post::Failure};
use crate::labels::Labels;

/// Shared by all clones of a webhook.
#[derive(Clone, Debug)]
pub(crate) struct WebhookMetrics {
    requests: Family<Labels<2>, Counter>,
    seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    waiting: Gauge,
}

/// One that waits for its turn, until this is dropped.
#[derive(Debug)]
pub(super) struct Waits<'a>(&'a Gauge);

impl WebhookMetrics {
    /// All series, at zero.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))),
            waiting: Gauge::default(),
        };
        for event in Event::ALL.iter().map(|event| event.as_str()) {
            for result in [ACCEPTED, REFUSED, Failure::WORDS[0], Failure::WORDS[1], Failure::WORDS[2]] {
                drop(metrics.requests.get_or_create(&[("event", event), ("result", result)]));
            }
            drop(metrics.seconds.get_or_create(&[("event", event)]));
        }
        metrics
    }

    /// Shows them with the gateway's.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let about = "Events posted to the webhook, by type and what came of it";
        registry.register("webhook_requests", about, self.requests.clone());
        let about = "From an event to its answer, all attempts together";
        registry.register_with_unit("webhook", about, Unit::Seconds, self.seconds.clone());
        let about = "Requests to the webhook that wait for their turn";
        registry.register("webhook_waiting", about, self.waiting.clone());
    }

    /// An event was answered, or was not.
    pub(super) fn count(&self, event: Event, result: Result<bool, &Failure>, seconds: f64) {
        let event = event.as_str();
        let result = match result {
            Ok(true) => ACCEPTED,
            Ok(false) => REFUSED,
            Err(failure) => failure.as_str(),
        };
        self.requests.get_or_create(&[("event", event), ("result", result)]).inc();
        self.seconds.get_or_create(&[("event", event)]).observe(seconds);
    }

    /// Somebody waits from now on.
    pub(super) fn wait(&self) -> Waits<'_> {
        self.waiting.inc();
        Waits(&self.waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The status was 200 to 299.
const ACCEPTED: &str = "accepted";
/// It was another one that is an answer.
const REFUSED: &str = "refused";
