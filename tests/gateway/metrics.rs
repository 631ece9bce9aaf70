//! `/metrics` against docs/operations.md: what is printed is documented, and the other way round.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

use throughline::certificates::Certificates;

use crate::kit::{
    http::Ask,
    running::Running,
    speech::{Known, frames},
};

/// A metric: its type and its labels.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// What `/metrics` prints.
fn printed(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            metrics.insert(name.into(), (kind.into(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let series = line.rsplit_once(' ').unwrap().0;
            let (sample, labels) = series.split_once('{').unwrap_or((series, "}"));
            let metric = metrics
                .iter_mut()
                .filter(|(name, _)| sample.starts_with(&***name))
                .max_by_key(|(name, _)| name.len());
            let (_, (_, known)) = metric.unwrap_or_else(|| panic!("{line} belongs to no metric"));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            known.extend(
                labels
                    .map(|label| label.split_once('=').unwrap().0)
                    .filter(|name| *name != "le")
                    .map(Into::into),
            );
        }
    }
    metrics
}

/// What the table of docs/operations.md says: `name`, type, labels, …
fn documented() -> Metrics {
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let mut metrics = Metrics::new();
    for line in document.lines().filter(|line| line.starts_with("| `throughline_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").filter(|label| *label != "none");
        let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
        let name = cells[1].trim_matches('`').to_owned();
        assert!(metrics.insert(name, (cells[2].to_owned(), labels)).is_none(), "{line} is there twice");
        assert!(cells[4..7].iter().all(|cell| !cell.is_empty()), "{line} leaves something out");
    }
    metrics
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_is_printed() {
    let gateway = Running::start().await;
    let certificates = Certificates::development(["localhost"], SystemTime::now()).unwrap();
    let handle = gateway.handle.clone();
    let keeping = tokio::spawn(async move {
        handle.keep_certificates(certificates, SystemTime::now, Arc::default()).await;
    });
    tokio::task::yield_now().await;
    let printed = printed(&gateway.handle.metrics());
    assert_eq!(printed, documented());
    assert!(printed.len() >= 15);
    keeping.abort();
}

#[tokio::test]
async fn no_series_appears_that_was_not_there_from_the_start() {
    let gateway = Running::start().await;
    let series = |text: String| -> BTreeSet<String> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect()
    };
    let at_first = series(gateway.handle.metrics());
    let mut known = Known::open(&gateway).await;
    for channel in ["one", "two:three", "$four", "not a name", "x".repeat(300).as_str()] {
        let subscribe = serde_json::json!({"type": "commands", "first": 2, "items": [{"type": "subscribe", "channel": channel}]});
        let hello = known.resume();
        Ask::frames("/v1/poll", frames(&[hello, subscribe])).to(gateway.clients).await;
        let publish = serde_json::json!({"channel": channel, "name": channel, "data": 1}).to_string();
        Ask::json("/api/v1/publish", &publish).to(gateway.admin).await;
    }
    for name in ["webtransport", "carrier-pigeon", ""] {
        let tried =
            serde_json::json!({"type": "tried", "transport": name, "outcome": name, "tookMs": 1, "agoMs": 1});
        Ask::frames("/v1/send", frames(&[known.named(), tried])).to(gateway.clients).await;
    }
    Ask::get("/v1/events?channel=one&channel=not%20a%20name").to(gateway.clients).await;
    Ask::get("/v1/poll").header("origin", "http://evil.example").to(gateway.clients).await;
    assert_eq!(series(gateway.handle.metrics()), at_first);
}

#[tokio::test]
async fn what_happens_is_counted() {
    let gateway = Running::start().await;
    let known = Known::open(&gateway).await;
    assert_eq!(gateway.metric("throughline_sessions_opened_total"), 1);
    assert_eq!(gateway.metric("throughline_sessions_established_total"), 1);
    assert_eq!(gateway.metric("throughline_links_opened_total{transport=\"polling\"}"), 2);
    assert_eq!(gateway.metric("throughline_links_ended_total{transport=\"polling\",reason=\"answered\"}"), 2);
    assert_eq!(gateway.metric("throughline_sessions{state=\"detached\",transport=\"none\"}"), 1);
    Ask::json("/api/v1/publish", r#"{"channel":"news","data":1}"#).to(gateway.admin).await;
    assert_eq!(gateway.metric("throughline_events_published_total"), 1);
    assert_eq!(gateway.metric("throughline_publish_seconds_count"), 1);
    assert!(gateway.metric("throughline_logs_bytes") > 0);
    Ask::json(&format!("/api/v1/sessions/{}/disconnect", known.id), "{}").to(gateway.admin).await;
    assert_eq!(gateway.metric("throughline_sessions_ended_total{reason=\"disconnected\"}"), 1);
    assert_eq!(gateway.metric("throughline_sessions{state=\"detached\",transport=\"none\"}"), 0);
    let before = gateway.refusals("hello_required");
    Ask::frames("/v1/poll", "{\"type\":\"ping\"}\n").to(gateway.clients).await;
    assert_eq!(gateway.refusals("hello_required"), before + 1, "once, not twice");
    let before = gateway.refusals("message_too_large");
    Ask::frames("/v1/poll", "x".repeat(70_000)).to(gateway.clients).await;
    assert_eq!(gateway.refusals("message_too_large"), before + 1, "once, not twice");
}
