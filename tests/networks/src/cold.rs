//! A cold start: how long it takes from nothing to the first event, beside a bare POST over the same network.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use throughline_client::SubscribeFrom;

use crate::client::Client;
use crate::figures::Figures;
use crate::gateway::Admin;
use crate::line::Line;
use crate::route::Route;

/// What came of it.
#[derive(Clone, Debug)]
pub struct ColdStart {
    /// A bare POST on a fresh connection.
    pub post: Figures,
    /// The first event; none if there were rounds without.
    pub first_event: Option<Figures>,
    /// Rounds in which no event came in time.
    pub failed: usize,
    /// What the sessions ran on a while after their first event, and how many of those that were watched.
    pub chosen: BTreeMap<String, usize>,
}

impl ColdStart {
    /// Whether the first event came no later than a POST's answer plus half a round trip, in the median.
    pub fn is_within(&self, line: &Line) -> bool {
        self.failed == 0
            && self.first_event.is_some_and(|first| first.median <= self.post.median + line.delay)
    }
}

/// Starts clients that have never called before, one after the other, a POST before each, so that both see the same
/// machine. The last `watched` stay for a while, and are looked at then.
///
/// # Errors
/// When a POST is not answered: that network carries nothing.
pub async fn cold_start(
    client: Client<'_>,
    admin: Admin,
    route: &Route,
    rounds: usize,
    watched: usize,
) -> Result<ColdStart> {
    admin.publish(CHANNEL, &json!({ "n": 1 })).await?;
    let (mut posts, mut firsts, mut failed) = (Vec::new(), Vec::new(), 0);
    let mut staying = Vec::new();
    for round in 0..rounds {
        posts.push(client.bare_post(route).await?);
        let (session, mut arriving) = client.connect(route, CHANNEL, SubscribeFrom::Last(1), None).await?;
        match tokio::time::timeout(PATIENCE, arriving.recv()).await {
            Ok(Some(first)) => firsts.push(first.after),
            _ => failed += 1,
        }
        if round + watched < rounds {
            session.close(SETTLES).await?;
        } else {
            staying.push(session);
        }
        if failed == ENOUGH {
            break;
        }
    }
    // Whatever is better may prove itself meanwhile.
    tokio::time::sleep(SETTLES).await;
    let mut chosen = BTreeMap::new();
    for session in staying {
        let on = session.on().map_or_else(|| "none".to_owned(), |on| on.to_string());
        *chosen.entry(on).or_default() += 1;
        session.close(SETTLES).await?;
    }
    Ok(ColdStart {
        post: Figures::of(posts).context("there are rounds")?,
        first_event: Figures::of(firsts),
        failed,
        chosen,
    })
}

/// What is subscribed to.
const CHANNEL: &str = "cold";
/// How long a first event may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a session is left alone before it is looked at.
const SETTLES: Duration = Duration::from_secs(2);
/// How many rounds may fail before the rest is not worth its time.
const ENOUGH: usize = 3;
