//! The hub wakes subscribers, off the publisher's path.
//!
//! A publish appends and marks its channel; one task wakes the listeners of every marked channel. Publishes that
//! come together share one round, and nobody who publishes pays for those who listen.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{broker::Tail, channel::Channel};

/// Channels whose listeners are to be woken.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    marked: Mutex<Vec<Arc<Channel>>>,
    notify: Notify,
}

impl Tail for Hub {
    fn appended(&self, channel: &Arc<Channel>) {
        // Each channel waits once, however fast and in whatever order channels are published to.
        if channel.mark() {
            self.add(channel);
        }
    }
}

impl Hub {
    /// Who takes part in a channel has changed: those who do are woken, and nobody else.
    pub(crate) fn announce(&self, channel: &Arc<Channel>) {
        if channel.mark_members() {
            self.add(channel);
        }
    }

    fn add(&self, channel: &Arc<Channel>) {
        self.marked.lock().push(Arc::clone(channel));
        self.notify.notify_one();
    }

    /// Wakes listeners until the gateway is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.notify.notified().await;
            loop {
                let marked = std::mem::take(&mut *self.marked.lock());
                if marked.is_empty() {
                    break;
                }
                for channel in marked {
                    // Links run between two channels: the first to be woken need not wait for the last.
                    if channel.wake() {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use throughline_wire::{ChannelName, Epoch};

    use super::*;

    #[test]
    fn a_channel_waits_once_however_publishes_alternate() {
        let channel = |number| {
            let name = ChannelName::parse(&format!("c{number}")).unwrap();
            Arc::new(Channel::new(name, Epoch::from_random(number)))
        };
        let channels: Vec<_> = (0..20).map(channel).collect();
        let hub = Hub::default();
        for channel in (0..10).flat_map(|_| &channels) {
            hub.appended(channel);
        }
        assert_eq!(hub.marked.lock().len(), 20);
        channels[0].wake();
        hub.appended(&channels[0]);
        assert_eq!(hub.marked.lock().len(), 21, "what comes after the wake is told by another");
    }
}
