//! The application behind the webhook: it applies what clients send, by id once each, and keeps count.
//!
//! A gateway delivers an intent at least once, under an id that never changes; to apply it once is the application's
//! part. What must not happen is that one `send` of a client comes under two ids: then it is applied twice.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// One `send` of a client: whose, and the how manyth.
pub type Sent = (u32, u64);

/// How a `send` ended, as its client was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// The application has applied it.
    Accepted,
    /// It was refused: if it was applied, then once.
    Refused,
    /// Its session was lost before the reply came: it was applied once, or not.
    Unknown,
}

/// What came of all that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Judgement {
    /// How many were accepted, refused, and of unknown outcome.
    pub outcomes: [u64; 3],
    /// How many were applied.
    pub applied: u64,
    /// How many were delivered again, under the id that they had.
    pub again: u64,
    /// How many were applied twice.
    pub twice: u64,
    /// How many were accepted, and never applied.
    pub lost: u64,
}

impl Judgement {
    /// Whether none was applied twice, and none accepted and not applied.
    pub const fn is_clean(&self) -> bool {
        self.twice == 0 && self.lost == 0
    }
}

/// What was handed over.
#[derive(Debug, Default)]
struct Ledger {
    ids: HashSet<String>,
    applied: HashMap<Sent, u64>,
    again: u64,
}

impl Ledger {
    fn hand(&mut self, id: &str, sent: Sent) {
        if self.ids.insert(id.to_owned()) {
            *self.applied.entry(sent).or_default() += 1;
        } else {
            self.again += 1;
        }
    }

    fn judge(&self, outcomes: impl IntoIterator<Item = (Sent, Outcome)>) -> Judgement {
        let mut judgement = Judgement {
            applied: self.applied.len() as u64,
            again: self.again,
            twice: self.applied.values().filter(|count| **count > 1).count() as u64,
            ..Judgement::default()
        };
        for (sent, outcome) in outcomes {
            judgement.outcomes[outcome as usize] += 1;
            judgement.lost += u64::from(outcome == Outcome::Accepted && !self.applied.contains_key(&sent));
        }
        judgement
    }
}

/// It runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Application {
    url: String,
    ledger: Arc<Mutex<Ledger>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Application {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a free port")?;
        let url = format!("http://{}/intents", listener.local_addr()?);
        let ledger = Arc::<Mutex<Ledger>>::default();
        let router = Router::new().route("/intents", post(take)).with_state(Arc::clone(&ledger));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, ledger, serving })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Holds what was applied against what clients were told.
    pub(crate) fn judge(&self, outcomes: impl IntoIterator<Item = (Sent, Outcome)>) -> Judgement {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).judge(outcomes)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(
    State(ledger): State<Arc<Mutex<Ledger>>>,
    Json(event): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let sent = serde_json::from_value(event["data"].clone());
    let (Some(id), Ok(sent)) = (event["id"].as_str(), sent) else {
        return (StatusCode::BAD_REQUEST, Json(json!({})));
    };
    ledger.lock().unwrap_or_else(PoisonError::into_inner).hand(id, sent);
    (StatusCode::OK, Json(json!({})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_delivered_again_is_applied_once_and_what_comes_under_two_ids_is_found() {
        let mut ledger = Ledger::default();
        for (id, sent) in [("a.1", (1, 1)), ("a.1", (1, 1)), ("a.2", (1, 2)), ("b.1", (1, 2))] {
            ledger.hand(id, sent);
        }
        let outcomes = [((1, 1), Outcome::Accepted), ((1, 2), Outcome::Unknown), ((1, 3), Outcome::Refused)];
        let judgement = ledger.judge(outcomes);
        let expected = Judgement { outcomes: [1, 1, 1], applied: 2, again: 1, twice: 1, lost: 0 };
        assert_eq!(judgement, expected);
        assert!(!judgement.is_clean());
        assert_eq!(ledger.judge([((9, 9), Outcome::Accepted)]).lost, 1);
    }
}
