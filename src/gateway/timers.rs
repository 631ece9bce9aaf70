//! Deadlines of all sessions in one heap, and the one task that sleeps.
//!
//! Deadlines move later with every poll and every acknowledgement, so they are not moved here: an entry that comes
//! up early looks at its session again and waits on. Only a deadline that moves *before* its entry gets another
//! one. So traffic costs nothing, and no deadline is missed.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::Mutex;
use throughline_wire::SessionId;
use tokio::{sync::Notify, time};

use super::{Shared, cell::Cell, clock};

/// Deadlines by time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<(u64, SessionId)>>>,
    earlier: Notify,
}

impl Timers {
    /// Makes sure that `cell` is looked at no later than `deadline`.
    pub(crate) fn schedule(&self, cell: &Cell, deadline: u64) {
        // Usually an entry is there already, and a load is all it takes. One that is taken out meanwhile has its session
        // looked at next.
        if cell.scheduled.load(Ordering::Acquire) <= deadline
            || cell.scheduled.fetch_min(deadline, Ordering::AcqRel) <= deadline
        {
            return;
        }
        let mut heap = self.heap.lock();
        let is_first = heap.peek().is_none_or(|Reverse((first, _))| deadline < *first);
        heap.push(Reverse((deadline, cell.id())));
        drop(heap);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// The entry that is due at `mono_ms`, or when the next one will be.
    fn due(&self, mono_ms: u64) -> Result<(u64, SessionId), Option<u64>> {
        let mut heap = self.heap.lock();
        match heap.peek() {
            Some(Reverse((deadline, _))) if *deadline <= mono_ms => {
                Ok(heap.pop().map(|Reverse(entry)| entry).expect("peeked above"))
            }
            Some(Reverse((deadline, _))) => Err(Some(*deadline)),
            None => Err(None),
        }
    }
}

/// Calls sessions at their deadlines until the gateway is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let now = clock::now();
        match shared.timers.due(now.mono_ms) {
            Ok((deadline, id)) => {
                if let Some(cell) = shared.registry.find(id)
                    && cell.scheduled.load(Ordering::Acquire) == deadline
                {
                    cell.scheduled.store(u64::MAX, Ordering::Release);
                    cell.change(|session| session.handle_timeout(now));
                }
            }
            Err(next) => {
                let earlier = shared.timers.earlier.notified();
                match next {
                    Some(deadline) => {
                        let _ = time::timeout_at(clock::instant(deadline), earlier).await;
                    }
                    None => earlier.await,
                }
            }
        }
    }
}
