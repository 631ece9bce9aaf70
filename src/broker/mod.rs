//! Brokers: where events are kept, and how they reach other gateways.
//!
//! A [`Broker`] owns the logs of all channels. On each node a channel is one [`Channel`]; the broker appends to it,
//! whoever published where. With the [memory broker](Memory) that copy is the only one, and it is the reference
//! that other brokers are compared with; with a broker over several nodes it is the tail of a log that lives
//! elsewhere.
//!
//! # What a broker owes
//!
//! **Order.** The events of one channel have one order, the same for everybody: that of their offsets, which are
//! dense within an epoch (1, 2, 3 …). No (epoch, offset) is used twice, also when an idle channel is dropped and
//! made again. Between channels there is no order.
//!
//! **Durability.** When [`publish`](Broker::publish) resolves the event is as safe as this broker can make it. The
//! memory broker keeps it in this process: it is lost with the process, and the epoch with it, so that nobody
//! mistakes new events for old ones. A log that lost events which it had numbered begins a new epoch.
//!
//! **Concurrency.** All methods may be called at once from any task. Publishes to one channel that overlap get some
//! order; one that begins after another resolved comes after it. A future that is dropped may or may not have
//! published.

mod memory;
mod recent;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

pub use memory::{Memory, MemoryConfig};
pub use recent::{Claim, Recall, Recent};
use throughline_wire::{ChannelName, ErrorCode, Position};

use crate::{
    channel::{Channel, NewEvent, NewVolatile},
    session::Now,
};

/// A future that a trait object gives.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where events are kept. See the [module](self) for what one owes.
pub trait Broker: Send + Sync + 'static {
    /// This node's copy of a channel, made if there is none yet, up to date when the future resolves.
    ///
    /// Whoever holds it sees every later event. A channel that nobody holds may be dropped once its log is empty.
    ///
    /// # Errors
    /// [`BrokerError`] says whose fault it is; nothing was made then.
    fn open<'a>(&'a self, channel: &'a ChannelName) -> Pending<'a, Result<Arc<Channel>, BrokerError>>;

    /// Appends an event to a channel, and says where it landed.
    ///
    /// # Errors
    /// With [`BrokerError::Unavailable`] the event may have been appended all the same.
    fn publish<'a>(
        &'a self,
        channel: &'a ChannelName,
        event: NewEvent,
    ) -> Pending<'a, Result<Position, BrokerError>>;

    /// Says something in a channel that is not kept, to whoever holds it on any node at this moment; says whether it
    /// was taken. Must not block, and may drop what it has no room for: nobody is told.
    ///
    /// It is news from `now` on: the gateway's time, by which the gateway also says that it is no news any more.
    ///
    /// A broker that does not carry volatiles drops them all, which is what this does unless it is written anew.
    fn volatile(&self, now: Now, channel: &ChannelName, volatile: NewVolatile) -> bool {
        let _ = (now, channel, volatile);
        false
    }

    /// Up to `limit` of this node's channels whose names begin with `prefix` and follow `after`, in the order of their names.
    /// Must not take long over those that it leaves out.
    ///
    /// A broker that cannot tell has none to show, which is what this does unless it is written anew.
    fn channels(&self, prefix: &str, after: Option<&ChannelName>, limit: usize) -> Vec<Arc<Channel>> {
        let _ = (prefix, after, limit);
        Vec::new()
    }

    /// Says who wants to know that a channel of this node has more. Called once, before anything else.
    fn report_to(&self, tail: Arc<dyn Tail>);

    /// Trims what is too old and forgets channels that nobody holds. Called every few seconds.
    fn maintain(&self, now: Now);

    /// What this node's logs and journals cost together.
    fn usage(&self) -> &Usage;
}

/// Who wants to know that a channel of this node has more.
pub trait Tail: Send + Sync {
    /// Events were appended to this channel, or something was said in it. Must not block.
    fn appended(&self, channel: &Arc<Channel>);
}

/// What logs and journals cost, in bytes: one budget for both, since both grow with what clients have not read.
#[derive(Debug)]
pub struct Usage {
    journals_at_most: u64,
    logs: AtomicI64,
    journals: AtomicI64,
    volatiles: AtomicI64,
    channels: AtomicI64,
}

impl Usage {
    /// Nothing yet, of journals that may cost so much together.
    pub const fn new(journals_at_most: u64) -> Self {
        Self {
            journals_at_most,
            logs: AtomicI64::new(0),
            journals: AtomicI64::new(0),
            volatiles: AtomicI64::new(0),
            channels: AtomicI64::new(0),
        }
    }

    /// Whether the journals cost more than they may: no session is opened then, and those there are take commands
    /// only as far as their clients acknowledge replies.
    pub fn is_crowded(&self) -> bool {
        self.journal_bytes() > self.journals_at_most
    }

    /// What the journals may cost.
    pub const fn journals_at_most(&self) -> u64 {
        self.journals_at_most
    }

    /// What the logs cost.
    pub fn log_bytes(&self) -> u64 {
        self.logs.load(Ordering::Relaxed).max(0) as u64
    }

    /// What the sessions' journals cost.
    pub fn journal_bytes(&self) -> u64 {
        self.journals.load(Ordering::Relaxed).max(0) as u64
    }

    /// What the volatiles cost that are still news.
    pub fn volatile_bytes(&self) -> u64 {
        self.volatiles.load(Ordering::Relaxed).max(0) as u64
    }

    /// How many channels there are.
    pub fn channels(&self) -> u64 {
        self.channels.load(Ordering::Relaxed).max(0) as u64
    }

    /// Books a change of the logs.
    pub fn change_logs(&self, before: usize, after: usize) {
        self.logs.fetch_add(after as i64 - before as i64, Ordering::Relaxed);
    }

    /// Books a change of the volatiles.
    pub fn change_volatiles(&self, before: usize, after: usize) {
        if before != after {
            self.volatiles.fetch_add(after as i64 - before as i64, Ordering::Relaxed);
        }
    }

    /// Books a change of a journal.
    pub fn change_journals(&self, before: usize, after: usize) {
        if before != after {
            self.journals.fetch_add(after as i64 - before as i64, Ordering::Relaxed);
        }
    }

    /// Books channels that came or went.
    pub fn change_channels(&self, by: i64) {
        self.channels.fetch_add(by, Ordering::Relaxed);
    }
}

/// Why a broker did not do as it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// There are as many channels as there may be. Retry once some are idle.
    #[error("there are as many channels as there may be")]
    TooManyChannels,
    /// The broker cannot be reached. Retry.
    #[error("the broker cannot be reached")]
    Unavailable,
}

impl From<BrokerError> for ErrorCode {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::TooManyChannels => Self::TooManyChannels,
            BrokerError::Unavailable => Self::Overloaded,
        }
    }
}
