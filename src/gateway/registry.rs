//! All sessions of this gateway, by id.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hashbrown::HashMap;
use parking_lot::Mutex;
use throughline_wire::SessionId;

use super::cell::Cell;

const SHARDS: usize = 64;

/// Sessions by id, in shards, so that links which come and go seldom meet.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Vec<Mutex<HashMap<SessionId, Arc<Cell>>>>,
    count: AtomicUsize,
}

impl Default for Registry {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), count: AtomicUsize::new(0) }
    }
}

impl Registry {
    /// The session of this id.
    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Cell>> {
        self.shard(id).lock().get(&id).map(Arc::clone)
    }

    /// Adds a session.
    pub(crate) fn add(&self, cell: Arc<Cell>) {
        if self.shard(cell.id()).lock().insert(cell.id(), cell).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets a session.
    pub(crate) fn remove(&self, id: SessionId) {
        if self.shard(id).lock().remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// All sessions, as they are now, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        let mut all: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| shard.lock().values().map(Arc::clone).collect::<Vec<_>>())
            .collect();
        all.sort_unstable_by_key(|cell| cell.id());
        all
    }

    /// Up to `limit` sessions whose ids follow `after`, in the order of their ids.
    pub(crate) fn page(&self, after: Option<SessionId>, limit: usize) -> Vec<Arc<Cell>> {
        let mut all = self.all();
        all.retain(|cell| after.is_none_or(|after| cell.id() > after));
        all.truncate(limit);
        all
    }

    fn shard(&self, id: SessionId) -> &Mutex<HashMap<SessionId, Arc<Cell>>> {
        &self.shards[usize::from(id.as_bytes()[0]) % SHARDS]
    }
}
