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
        let mut marked = self.marked.lock();
        // Usually the same few: a search among them is cheaper than a wake-up too many.
        if !marked.iter().rev().take(8).any(|held| Arc::ptr_eq(held, channel)) {
            marked.push(Arc::clone(channel));
        }
        drop(marked);
        self.notify.notify_one();
    }
}

impl Hub {
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
                    channel.wake();
                    // Links run between two channels: the first to be woken need not wait for the last.
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}
