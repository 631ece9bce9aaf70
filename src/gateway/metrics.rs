//! What the gateway counts, in OpenMetrics. Each metric is documented in docs/operations.md; no label has a value
//! that a client chooses.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use throughline_link::LinkEnd;
use throughline_wire::{AttemptOutcome, ErrorCode};

use super::{Shared, census::Census, limits::LimitMetrics, lives::LifeMetrics};
use crate::{
    admission::{Class, SlotFault, Verdict},
    labels::Labels,
    limits::Limit,
    session::{Dropped, Ending, Goodbye, OTHER, SlowPolicy, TRANSPORTS, Tally},
};

/// The counters that the gateway's parts write to.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(super) census: Census,
    channels: Gauge,
    log_bytes: Gauge,
    journal_bytes: Gauge,
    presence_bytes: Gauge,
    sessions_opened: Counter,
    sessions_established: Counter,
    sessions_ended: Family<Labels<1>, Counter>,
    admissions: Family<Labels<2>, Counter>,
    slots_ignored: Family<Labels<1>, Counter>,
    draining: Gauge,
    sessions_to_leave: Gauge,
    sessions_told: Family<Labels<1>, Counter>,
    links_opened: Family<Labels<1>, Counter>,
    links_ended: Family<Labels<2>, Counter>,
    attempts: Family<Labels<2>, Counter>,
    dropped: Family<Labels<2>, Counter>,
    volatiles_published: Counter,
    volatiles_sent: Counter<u64, AtomicU64>,
    items_sent: Counter<u64, AtomicU64>,
    items_acknowledged: Counter<u64, AtomicU64>,
    gaps: Family<Labels<1>, Counter>,
    left_out: Family<Labels<1>, Counter>,
    refusals: Family<Labels<1>, Counter>,
    events_published: Counter,
    publish_seconds: Histogram,
    pub(crate) limits: LimitMetrics,
    /// What became of what is told of sessions.
    pub(crate) lives: LifeMetrics,
    #[cfg(feature = "tls")]
    pub(crate) certificates: super::certificates::CertificateMetrics,
    pub(crate) secrets: super::secrets::SecretMetrics,
    #[cfg(feature = "jwt")]
    pub(crate) key_set: super::key_set::KeySetMetrics,
}

impl Metrics {
    /// All metrics, at zero.
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("throughline"),
            census: Census::default(),
            channels: Gauge::default(),
            log_bytes: Gauge::default(),
            journal_bytes: Gauge::default(),
            presence_bytes: Gauge::default(),
            sessions_opened: Counter::default(),
            sessions_established: Counter::default(),
            sessions_ended: Family::default(),
            admissions: Family::default(),
            slots_ignored: Family::default(),
            draining: Gauge::default(),
            sessions_to_leave: Gauge::default(),
            sessions_told: Family::default(),
            links_opened: Family::default(),
            links_ended: Family::default(),
            attempts: Family::default(),
            dropped: Family::default(),
            volatiles_published: Counter::default(),
            volatiles_sent: Counter::default(),
            items_sent: Counter::default(),
            items_acknowledged: Counter::default(),
            gaps: Family::default(),
            left_out: Family::default(),
            refusals: Family::default(),
            events_published: Counter::default(),
            publish_seconds: Histogram::new(exponential_buckets(0.000_01, 4.0, 10)),
            limits: LimitMetrics::default(),
            lives: LifeMetrics::new(),
            #[cfg(feature = "tls")]
            certificates: Default::default(),
            secrets: Default::default(),
            #[cfg(feature = "jwt")]
            key_set: Default::default(),
        };
        metrics.touch();
        metrics.registered()
    }

    /// Makes every set of labels that there can be, so that all series are there from the start, at zero.
    fn touch(&self) {
        for ending in Ending::ALL {
            drop(self.sessions_ended.get_or_create(&[("reason", ending.as_str())]));
        }
        for class in Class::ALL.map(Class::as_str) {
            for verdict in Verdict::WORDS {
                drop(self.admissions.get_or_create(&[("class", class), ("verdict", verdict)]));
            }
        }
        for fault in SlotFault::ALL {
            drop(self.slots_ignored.get_or_create(&[("reason", fault.as_str())]));
        }
        for transport in TRANSPORTS {
            drop(self.sessions_told.get_or_create(&[("transport", transport)]));
            drop(self.links_opened.get_or_create(&[("transport", transport)]));
            let ends = LinkEnd::ALL.iter().map(|end| end.as_str());
            for reason in ends.chain(Goodbye::WORDS.iter().copied()) {
                drop(self.links_ended.get_or_create(&[("transport", transport), ("reason", reason)]));
            }
        }
        for transport in TRANSPORTS.into_iter().chain([OTHER]) {
            for outcome in AttemptOutcome::ALL.iter().chain([&AttemptOutcome::Other]) {
                let outcome = outcome.as_str();
                drop(self.attempts.get_or_create(&[("transport", transport), ("outcome", outcome)]));
            }
        }
        for dropped in Dropped::ALL {
            let (frame, reason) = dropped.as_strs();
            drop(self.dropped.get_or_create(&[("frame", frame), ("reason", reason)]));
        }
        for reason in GAPS {
            drop(self.gaps.get_or_create(&[("reason", reason)]));
        }
        for policy in LEAVE_OUT.map(SlowPolicy::as_str) {
            drop(self.left_out.get_or_create(&[("policy", policy)]));
        }
        for code in ErrorCode::ALL.iter().chain([&ErrorCode::Other]) {
            drop(self.refusals.get_or_create(&[("code", code.as_str())]));
        }
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        self.census.register(r);
        r.register("channels", "Channels held", self.channels.clone());
        r.register_with_unit("logs", "What channel logs cost", Unit::Bytes, self.log_bytes.clone());
        r.register_with_unit(
            "journals",
            "What session journals cost",
            Unit::Bytes,
            self.journal_bytes.clone(),
        );
        r.register_with_unit(
            "presence",
            "What presences cost that were sent and not acknowledged",
            Unit::Bytes,
            self.presence_bytes.clone(),
        );
        r.register("sessions_opened", "Sessions opened", self.sessions_opened.clone());
        r.register(
            "sessions_established",
            "Sessions whose client came back with the token or confirmed a message",
            self.sessions_established.clone(),
        );
        r.register("sessions_ended", "Sessions ended, by reason", self.sessions_ended.clone());
        r.register(
            "admissions",
            "Sessions that were to be opened or taken up again, by class of caller and what became of it",
            self.admissions.clone(),
        );
        r.register("slots_ignored", "Slots that count for nothing, by reason", self.slots_ignored.clone());
        r.register("draining", "1 while the gateway drains, and after", self.draining.clone());
        r.register(
            "sessions_to_leave",
            "Sessions with a link while the gateway drains",
            self.sessions_to_leave.clone(),
        );
        r.register(
            "sessions_told",
            "Sessions that a drain has told to leave, by the transport they were on",
            self.sessions_told.clone(),
        );
        r.register("links_opened", "Links opened, by transport", self.links_opened.clone());
        r.register("links_ended", "Links ended, by transport and reason", self.links_ended.clone());
        r.register(
            "attempts",
            "What clients told of their use of transports, by transport and outcome",
            self.attempts.clone(),
        );
        r.register(
            "frames_dropped",
            "Frames that are never answered and were dropped, by frame and reason",
            self.dropped.clone(),
        );
        r.register(
            "volatiles_published",
            "Volatiles taken from the application and from clients",
            self.volatiles_published.clone(),
        );
        r.register("volatiles_sent", "Volatiles given to links", self.volatiles_sent.clone());
        r.register("items_sent", "Items put into messages, repetitions included", self.items_sent.clone());
        r.register("items_acknowledged", "Items acknowledged by clients", self.items_acknowledged.clone());
        r.register("gaps", "Gaps told, by reason", self.gaps.clone());
        r.register(
            "events_left_out",
            "Events that sessions which fell behind were not sent, by the policy of the channel",
            self.left_out.clone(),
        );
        r.register("refusals", "Refusals, by error code", self.refusals.clone());
        r.register("events_published", "Events published by the application", self.events_published.clone());
        r.register_with_unit(
            "publish",
            "From the request to the append of an application's publish",
            Unit::Seconds,
            self.publish_seconds.clone(),
        );
        self.limits.register(r);
        self.lives.register(r);
        #[cfg(feature = "tls")]
        self.certificates.register(r);
        self.secrets.register(r);
        #[cfg(feature = "jwt")]
        self.key_set.register(r);
        self
    }

    /// Shows what the webhook counts, with what is counted here.
    #[cfg(feature = "webhook")]
    pub(crate) fn show_webhook(&mut self, webhook: &crate::upstream::webhook::WebhookMetrics) {
        webhook.register(&mut self.registry);
    }

    /// A session was opened.
    pub(crate) fn count_opening(&self) {
        self.sessions_opened.inc();
    }

    /// A session's client has shown that it knows it.
    pub(crate) fn count_established(&self) {
        self.sessions_established.inc();
    }

    /// A session ended.
    pub(crate) fn count_ending(&self, ending: Ending) {
        self.sessions_ended.get_or_create(&[("reason", ending.as_str())]).inc();
    }

    /// Somebody was let in, or told when to come back.
    pub(crate) fn count_admission(&self, class: Class, verdict: &Verdict) {
        let (class, verdict) = (class.as_str(), verdict.as_str());
        self.admissions.get_or_create(&[("class", class), ("verdict", verdict)]).inc();
    }

    /// A slot was shown that counts for nothing.
    pub(crate) fn count_slot_fault(&self, fault: SlotFault) {
        self.slots_ignored.get_or_create(&[("reason", fault.as_str())]).inc();
    }

    /// A session was told to leave.
    pub(crate) fn count_told(&self, transport: &'static str) {
        self.sessions_told.get_or_create(&[("transport", transport)]).inc();
    }

    /// A link was opened.
    pub(crate) fn count_link(&self, transport: &'static str) {
        self.links_opened.get_or_create(&[("transport", transport)]).inc();
    }

    /// A link ended; `reason` is the gateway's own where it ended it.
    pub(crate) fn count_link_end(&self, transport: &'static str, end: LinkEnd, reason: Option<&'static str>) {
        let reason = reason.unwrap_or(end.as_str());
        self.links_ended.get_or_create(&[("transport", transport), ("reason", reason)]).inc();
    }

    /// A client told how its use of a transport went.
    pub(crate) fn count_attempt(&self, transport: &'static str, outcome: AttemptOutcome) {
        let outcome = outcome.as_str();
        self.attempts.get_or_create(&[("transport", transport), ("outcome", outcome)]).inc();
    }

    /// A frame that is never answered was dropped.
    pub(crate) fn count_dropped(&self, dropped: Dropped) {
        let (frame, reason) = dropped.as_strs();
        self.dropped.get_or_create(&[("frame", frame), ("reason", reason)]).inc();
    }

    /// Something was said that is not kept.
    pub(crate) fn count_volatile(&self) {
        self.volatiles_published.inc();
    }

    /// Something was refused.
    pub(crate) fn count_refusal(&self, code: ErrorCode) {
        self.refusals.get_or_create(&[("code", code.as_str())]).inc();
        let limit = match code {
            ErrorCode::MessageTooLarge => Limit::MessageBytes,
            ErrorCode::TooManySubscriptions => Limit::Subscriptions,
            ErrorCode::TooManyChannels => Limit::Channels,
            ErrorCode::TooManyLinks => Limit::Links,
            ErrorCode::CommandsAhead => Limit::CommandsAhead,
            _ => return, // no limit, or counted where it is known which
        };
        self.limits.count(limit);
    }

    /// The application published.
    pub(crate) fn count_publish(&self, events: u64, seconds: f64) {
        self.events_published.inc_by(events);
        self.publish_seconds.observe(seconds);
    }

    /// A session's own counts.
    pub(crate) fn add_tally(&self, tally: Tally) {
        if tally == Tally::default() {
            return;
        }
        self.items_sent.inc_by(tally.items_sent.into());
        self.items_acknowledged.inc_by(tally.items_acknowledged.into());
        self.volatiles_sent.inc_by(tally.volatiles_sent.into());
        if tally.windows_full > 0 {
            self.limits.count_some(Limit::Unacknowledged, tally.windows_full.into());
        }
        let gaps = [tally.gaps_trimmed, tally.gaps_epoch, tally.gaps_conflated, tally.gaps_overflow];
        for (reason, count) in GAPS.into_iter().zip(gaps) {
            if count > 0 {
                self.gaps.get_or_create(&[("reason", reason)]).inc_by(count.into());
            }
        }
        let left_out = [tally.left_out_latest, tally.left_out_gap];
        for (policy, count) in LEAVE_OUT.map(SlowPolicy::as_str).into_iter().zip(left_out) {
            if count > 0 {
                self.left_out.get_or_create(&[("policy", policy)]).inc_by(count.into());
            }
        }
    }

    /// All metrics as text, the gauges read now.
    pub(crate) fn encode(&self, shared: &Shared) -> String {
        let progress = shared.drain_progress();
        self.draining.set(progress.is_some().into());
        self.sessions_to_leave.set(progress.map_or(0, |progress| progress.attached as i64));
        let usage = shared.broker.usage();
        self.channels.set(usage.channels() as i64);
        self.log_bytes.set(usage.log_bytes() as i64);
        self.journal_bytes.set(usage.journal_bytes() as i64);
        self.presence_bytes.set(shared.session.presence_unacknowledged.bytes() as i64);
        #[cfg(feature = "tls")]
        self.certificates.measure(std::time::SystemTime::now());
        #[cfg(feature = "jwt")]
        self.key_set.measure();
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            tracing::error!("metrics could not be written");
        }
        out
    }
}

/// The policies that leave events out.
const LEAVE_OUT: [SlowPolicy; 2] = [SlowPolicy::Latest, SlowPolicy::Gap];
/// Why gaps are told.
const GAPS: [&str; 4] = ["trimmed", "epoch", "conflated", "overflow"];
