//! The application: it publishes to all channels in turn, and marks. Each event carries its offset as its publisher
//! counts it, and the epoch that it counts in, which is what the ledger holds it against.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use serde_json::json;
use throughline_networks::Admin;
use tokio::{sync::Mutex, task::JoinHandle};

use crate::herd::{CROWD, room};

/// Publishes until it is dropped.
#[derive(Debug)]
pub(crate) struct Publisher {
    shared: Arc<Mutex<Shared>>,
    going: JoinHandle<Result<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Nobody is there, or may be any more: then a publish may fail.
    admin: Option<Admin>,
    may_fail: bool,
    channels: Vec<Channel>,
    next: usize,
    mark: u64,
}

#[derive(Debug)]
struct Channel {
    name: String,
    /// What it was published in last, if that is known.
    epoch: Option<String>,
    count: u64,
}

impl Publisher {
    /// Begins to publish an event every so often.
    pub(crate) fn begin(admin: Admin, rooms: u32, every: Duration) -> Self {
        let names = std::iter::once(CROWD.to_owned()).chain((0..rooms).map(room));
        let channels = names.map(|name| Channel { name, epoch: None, count: 0 }).collect();
        let shared = Shared { admin: Some(admin), may_fail: false, channels, next: 0, mark: 0 };
        let shared = Arc::new(Mutex::new(shared));
        let going = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut ticks = tokio::time::interval(every);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    shared.lock().await.publish_next().await?;
                }
            }
        });
        Self { shared, going }
    }

    /// The gateway is about to go: it is published to until it does.
    pub(crate) async fn may_fail(&self) {
        self.shared.lock().await.may_fail = true;
    }

    /// Another gateway is there, and all channels begin anew.
    pub(crate) async fn go_on(&self, admin: Admin) {
        let mut shared = self.shared.lock().await;
        (shared.admin, shared.may_fail) = (Some(admin), false);
        shared.channels.iter_mut().for_each(|channel| (channel.epoch, channel.count) = (None, 0));
    }

    /// Publishes a mark, higher than the last, to every channel.
    pub(crate) async fn mark(&self) -> Result<u64> {
        let mut shared = self.shared.lock().await;
        shared.mark += 1;
        for at in 0..shared.channels.len() {
            shared.publish(at).await?;
        }
        Ok(shared.mark)
    }

    /// Whether everything could be published.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.going.abort();
        match (&mut self.going).await {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => Ok(()),
            Err(error) => bail!("the publisher fails: {error}"),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.going.abort();
    }
}

impl Shared {
    async fn publish_next(&mut self) -> Result<()> {
        let at = self.next;
        self.next = (at + 1) % self.channels.len();
        self.publish(at).await
    }

    async fn publish(&mut self, at: usize) -> Result<()> {
        let Some(admin) = self.admin else { return Ok(()) };
        let Channel { name, epoch, count } = &mut self.channels[at];
        match admin.publish_at(name, &json!([*count + 1, self.mark, epoch])).await {
            // Where another gateway has taken over unseen its channels have begun anew.
            Ok((landed, offset)) => (*epoch, *count) = (Some(landed), offset),
            // Whether it was taken nobody knows, nor does it matter: its epoch is over.
            Err(_) if self.may_fail => self.admin = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
