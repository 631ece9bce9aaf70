//! What the clients of a herd send: one after the other, each again and again.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use crate::{log::Log, member::Running};

/// Sends until it is hushed or dropped.
pub(crate) struct Sender {
    is_hushed: watch::Sender<bool>,
    is_quiet: watch::Receiver<bool>,
    sending: JoinHandle<()>,
}

impl Sender {
    /// Begins to send so many things in a second.
    pub(crate) fn begin(sends: u32, members: &Arc<Vec<Running>>, log: &Arc<Log>) -> Self {
        let (is_hushed, mut hushed) = watch::channel(sends == 0 || members.is_empty());
        let (quiet, is_quiet) = watch::channel(false);
        let (members, log) = (Arc::clone(members), Arc::clone(log));
        let sending = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / sends.max(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut under_way = JoinSet::new();
            for turn in 0.. {
                tokio::select! {
                    biased;
                    _ = hushed.wait_for(|hushed| *hushed) => break,
                    _ = ticks.tick() => {}
                }
                let (members, log) = (Arc::clone(&members), Arc::clone(&log));
                let (at, number) = (turn % members.len(), (turn / members.len()) as u64);
                under_way.spawn(async move {
                    let (sent, outcome) = members[at].send(number).await;
                    log.sent(sent, outcome);
                });
                while under_way.try_join_next().is_some() {}
            }
            while under_way.join_next().await.is_some() {}
            quiet.send_replace(true);
        });
        Self { is_hushed, is_quiet, sending }
    }

    /// Sends nothing more, and waits until it is known how all that was sent ended.
    pub(crate) async fn hush(&self) {
        self.is_hushed.send_replace(true);
        // It says so before it ends.
        let _ = self.is_quiet.clone().wait_for(|quiet| *quiet).await;
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.sending.abort();
    }
}
