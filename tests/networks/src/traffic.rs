//! What goes up and down while something goes wrong, and the accounts of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use throughline_client::wire::ChannelName;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::{Arriving, Running};
use crate::gateway::Admin;
use crate::ledger::{Account, Ledger};

/// A channel of this name.
pub(crate) fn channel_named(name: &str) -> Result<ChannelName> {
    ChannelName::parse(name).map_err(|error| anyhow!("{name}: {error}"))
}

/// Events that are published to a channel, numbered from 0.
#[derive(Debug)]
pub(crate) struct Publisher {
    admin: Admin,
    channel: String,
    /// When the publishing of each began.
    begun: Arc<watch::Sender<Vec<Instant>>>,
    running: Option<JoinHandle<()>>,
}

impl Publisher {
    pub(crate) fn new(admin: Admin, channel: String) -> Self {
        Self { admin, channel, begun: Arc::default(), running: None }
    }

    /// Publishes one event.
    pub(crate) async fn publish(&self) -> Result<()> {
        publish(self.admin, &self.channel, &self.begun).await
    }

    /// Publishes one after the other until [`stop`](Self::stop).
    pub(crate) fn go_on(&mut self, every: Duration) {
        let (admin, channel, begun) = (self.admin, self.channel.clone(), Arc::clone(&self.begun));
        self.running = Some(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            loop {
                ticks.tick().await;
                if publish(admin, &channel, &begun).await.is_err() {
                    return;
                }
            }
        }));
    }

    /// The number of the first event that is published after this, once it is.
    pub(crate) async fn first_after(&self, after: Instant) -> u64 {
        let mut begun = self.begun.subscribe();
        let first = |begun: &Vec<Instant>| begun.iter().position(|at| *at > after);
        let begun = begun.wait_for(|begun| first(begun).is_some()).await;
        begun.ok().and_then(|begun| first(&begun)).unwrap_or_default() as u64
    }

    /// Publishes no more; returns how many there were.
    pub(crate) async fn stop(mut self) -> u64 {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
        }
        self.begun.borrow().len() as u64
    }
}

async fn publish(admin: Admin, channel: &str, begun: &watch::Sender<Vec<Instant>>) -> Result<()> {
    let number = begun.borrow().len();
    begun.send_modify(|begun| begun.push(Instant::now()));
    // Once begun it is carried out, whoever stops.
    let (channel, data) = (channel.to_owned(), json!({ "n": number }));
    tokio::spawn(async move { admin.publish(&channel, &data).await }).await??;
    Ok(())
}

/// Commands of a session, numbered from 0.
#[derive(Debug)]
pub(crate) struct Sender {
    channel: String,
    /// When each was given to the client.
    sent: Arc<watch::Sender<Vec<Instant>>>,
    running: JoinHandle<Vec<JoinHandle<()>>>,
    stop: watch::Sender<bool>,
}

impl Sender {
    /// Sends one after the other until [`stop`](Self::stop).
    pub(crate) fn go_on(session: Arc<Running>, channel: String, every: Duration) -> Self {
        let sent: Arc<watch::Sender<Vec<Instant>>> = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn({
            let (sent, channel) = (Arc::clone(&sent), channel.clone());
            async move {
                let mut outcomes = Vec::new();
                let mut ticks = tokio::time::interval(every);
                while !*stopped.borrow() {
                    ticks.tick().await;
                    sent.send_modify(|sent| sent.push(Instant::now()));
                    let Ok(outcome) = session.begin_send(&channel, outcomes.len() as u64).await else {
                        break;
                    };
                    outcomes.push(outcome);
                }
                outcomes
            }
        });
        Self { channel, sent, running, stop }
    }

    /// When the first command was given to the client after this, once one is.
    pub(crate) async fn first_after(&self, after: Instant) -> Instant {
        let mut sent = self.sent.subscribe();
        let first = |sent: &Vec<Instant>| sent.iter().copied().find(|at| *at > after);
        let sent = sent.wait_for(|sent| first(sent).is_some()).await;
        sent.ok().and_then(|sent| first(&sent)).unwrap_or(after)
    }

    /// Sends no more, waits for what has no reply, and holds what the gateway carried out against what was sent;
    /// returns also how many there were.
    pub(crate) async fn stop(self, admin: Admin, patience: Duration) -> Result<(Account, u64)> {
        self.stop.send_replace(true);
        let outcomes =
            tokio::time::timeout(patience, self.running).await.context("a send is not taken")??;
        let sent = outcomes.len() as u64;
        let deadline = Instant::now() + patience;
        for outcome in outcomes {
            // One that has no reply by then is not in the history either, or the account says so.
            let _ = tokio::time::timeout_at(deadline.into(), outcome).await;
        }
        let mut ledger = Ledger::default();
        for data in admin.history(&self.channel).await? {
            ledger.book(data["n"].as_u64().context("a command of ours")?);
        }
        Ok((ledger.account(sent), sent))
    }
}

/// Events as they came to the application.
#[derive(Debug)]
pub(crate) struct Arrivals {
    booked: Arc<watch::Sender<Booked>>,
    reading: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Booked {
    ledger: Ledger,
    /// When each number came first.
    at: Vec<(u64, Instant)>,
}

impl Arrivals {
    pub(crate) fn begin(mut arriving: Arriving) -> Self {
        let booked: Arc<watch::Sender<Booked>> = Arc::default();
        let reading = tokio::spawn({
            let booked = Arc::clone(&booked);
            async move {
                while let Some(arrival) = arriving.recv().await {
                    booked.send_modify(|booked| {
                        booked.ledger.book(arrival.number);
                        booked.at.push((arrival.number, Instant::now()));
                    });
                }
            }
        });
        Self { booked, reading }
    }

    /// When this one or a later one came, unless none does in time.
    pub(crate) async fn came(&self, number: u64, patience: Duration) -> Option<Instant> {
        let mut booked = self.booked.subscribe();
        let came = |booked: &Booked| booked.at.iter().find(|(came, _)| *came >= number).map(|(_, at)| *at);
        let waiting = booked.wait_for(|booked| came(booked).is_some());
        tokio::time::timeout(patience, waiting).await.ok()?.ok().and_then(|booked| came(&booked))
    }

    /// The account, once all of the first `sent` are there or the time is over.
    pub(crate) async fn account(self, sent: u64, patience: Duration) -> Account {
        let mut booked = self.booked.subscribe();
        let waiting = booked.wait_for(|booked| booked.ledger.has_all(sent));
        let _ = tokio::time::timeout(patience, waiting).await;
        self.reading.abort();
        self.booked.borrow().ledger.account(sent)
    }
}
