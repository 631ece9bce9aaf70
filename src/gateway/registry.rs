//! All sessions of this gateway, by id and by user.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hashbrown::{HashMap, hash_map::Entry};
use parking_lot::Mutex;
use throughline_wire::SessionId;

use super::cell::Cell;

const SHARDS: usize = 64;

/// Sessions by id, in shards, so that links which come and go seldom meet. A shard has the ids between two others', so
/// that whoever goes through all of them in order has a few in hand at a time.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: Vec<Mutex<HashMap<SessionId, Arc<Cell>>>>,
    users: Users,
    count: AtomicUsize,
}

/// The sessions of each user who has some.
#[derive(Debug)]
struct Users(Vec<Mutex<HashMap<Box<str>, Vec<SessionId>>>>);

impl Default for Registry {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let users = Users((0..SHARDS).map(|_| Mutex::default()).collect());
        Self { shards, users, count: AtomicUsize::new(0) }
    }
}

impl Registry {
    /// The session of this id.
    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Cell>> {
        self.shards[shard(id)].lock().get(&id).map(Arc::clone)
    }

    /// Adds a session of this user.
    pub(crate) fn add(&self, cell: Arc<Cell>, user: Option<&str>) {
        if let Some(user) = user {
            self.users.add(user, cell.id());
        }
        if self.shards[shard(cell.id())].lock().insert(cell.id(), cell).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets a session of this user.
    pub(crate) fn remove(&self, id: SessionId, user: Option<&str>) {
        if self.shards[shard(id)].lock().remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(user) = user {
            self.users.remove(user, id);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// All sessions, as they are now, in the order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        self.after(None).collect()
    }

    /// The sessions of a user, in the order of their ids.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Cell>> {
        let mut ids = self.users.of(user);
        ids.sort_unstable();
        ids.into_iter().filter_map(|id| self.find(id)).collect()
    }

    /// Sessions whose ids follow `after`, in the order of their ids: a shard's are taken when the one before is through.
    pub(crate) fn after(&self, after: Option<SessionId>) -> impl Iterator<Item = Arc<Cell>> {
        self.shards[after.map_or(0, shard)..].iter().flat_map(move |shard| {
            let mut cells: Vec<_> = {
                let shard = shard.lock();
                let later = shard.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
                later.map(|(_, cell)| Arc::clone(cell)).collect()
            };
            cells.sort_unstable_by_key(|cell| cell.id());
            cells
        })
    }
}

impl Users {
    fn of(&self, user: &str) -> Vec<SessionId> {
        self.shard(user).lock().get(user).cloned().unwrap_or_default()
    }

    fn add(&self, user: &str, id: SessionId) {
        self.shard(user).lock().entry(user.into()).or_default().push(id);
    }

    fn remove(&self, user: &str, id: SessionId) {
        if let Entry::Occupied(mut held) = self.shard(user).lock().entry(user.into()) {
            held.get_mut().retain(|of_user| *of_user != id);
            if held.get().is_empty() {
                held.remove();
            }
        }
    }

    fn shard(&self, user: &str) -> &Mutex<HashMap<Box<str>, Vec<SessionId>>> {
        // Any spread will do: what one user has is in one place.
        let spread = user.bytes().fold(0_u8, |spread, byte| spread.wrapping_mul(31).wrapping_add(byte));
        &self.0[usize::from(spread) % SHARDS]
    }
}

/// Shards are in the order of ids.
fn shard(id: SessionId) -> usize {
    usize::from(id.as_bytes()[0]) * SHARDS / 256
}
