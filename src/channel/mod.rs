//! Channels: what was said, and who listens.
//!
//! A [`Channel`] is a [`Log`], a [`Ring`] of what is said and not kept, a roster of who takes part in its presence, and
//! the sessions that hold a place in it. It is shared: brokers append, sessions read, and nothing here waits. Publishing
//! costs one append; subscribers are told only *that* there is more ([`Listener::ready`]) and read what they need when
//! their link can take it.
//!
//! What is left out: who appends and in which order over nodes (`broker`), and when listeners are woken (`gateway`).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod latest;
mod log;
mod presence;
mod volatile;

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering, fence},
};

pub use log::{Entry, Log, NewEvent, Retention};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use presence::Roster;
pub(crate) use presence::{Crowded, Room};
pub use presence::{Ledger, Told};
use throughline_wire::{ChannelName, Epoch, Member, Position, SessionId};
pub use volatile::{NewVolatile, Ring, VOLATILE_MS, Volatile};

/// Someone who wants to know that a channel has more.
pub trait Listener: Send + Sync {
    /// There may be something to read. Called often, from any thread; must be cheap and must not block.
    fn ready(&self);

    /// The same, where it is events and nothing else: who has no room for events may pass this over, and looks for them
    /// once it has some. It is called behind a fence, so that either the event is found then, or this finds the room.
    fn appended(&self) {
        self.ready();
    }
}

/// A channel: its log, and who listens to it.
pub struct Channel {
    name: ChannelName,
    /// Rises with every change of the log, so that a reader who is up to date pays one load to know it.
    version: AtomicU64,
    log: RwLock<Log>,
    /// The number of the newest volatile, so that this costs one load too.
    said: AtomicU64,
    /// There while something in it is news.
    volatiles: RwLock<Option<Box<Ring>>>,
    /// The number of the newest change of its presence, so that this costs one load too.
    turnover: AtomicU64,
    /// There while somebody takes part.
    roster: Mutex<Option<Box<Roster>>>,
    /// Whom somebody is about to wake: [`EVERYBODY`], [`MEMBERS`]; and whether for more than events: [`SAID`].
    marks: AtomicU8,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    /// Slots, so that a subscription knows its own without a search.
    slots: Vec<Option<Arc<dyn Listener>>>,
    free: Vec<u32>,
}

impl Channel {
    /// An empty channel whose log begins `epoch`.
    pub fn new(name: ChannelName, epoch: Epoch) -> Self {
        Self {
            name,
            version: AtomicU64::new(1),
            log: RwLock::new(Log::new(epoch)),
            said: AtomicU64::new(0),
            volatiles: RwLock::new(None),
            turnover: AtomicU64::new(0),
            roster: Mutex::new(None),
            marks: AtomicU8::new(0),
            listeners: Mutex::default(),
        }
    }

    /// Its name.
    pub const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Rises with every change of the log.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The log, for reading. Hold it briefly: appends wait.
    pub fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.log.read()
    }

    /// Changes the log; for brokers.
    pub fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.log.write();
        let result = change(&mut log);
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    /// Appends an event at `time`, trimming by `retention`.
    pub fn append(&self, event: NewEvent, time: u64, retention: &Retention) -> Position {
        self.change(|log| log.append(&self.name, event, time, retention))
    }

    /// Says something that is not kept; returns what its volatiles cost before and after, in bytes. For brokers.
    pub fn say(&self, volatile: NewVolatile, mono_ms: u64, wall_ms: u64) -> (usize, usize) {
        let mut ring = self.volatiles.write();
        let head = self.said.load(Ordering::Relaxed); // changed under this lock alone
        let ring = ring.get_or_insert_with(|| Box::new(Ring::after_head(head)));
        let before = ring.bytes();
        self.said.store(ring.say(&self.name, volatile, mono_ms, wall_ms), Ordering::Release);
        self.marks.fetch_or(SAID, Ordering::AcqRel);
        (before, ring.bytes())
    }

    /// The number of the newest volatile.
    pub fn said(&self) -> u64 {
        self.said.load(Ordering::Acquire)
    }

    /// The volatiles that are news, where there are some. Hold it briefly: whoever says something waits.
    pub fn volatiles(&self) -> RwLockReadGuard<'_, Option<Box<Ring>>> {
        self.volatiles.read()
    }

    /// Forgets volatiles that are no news any more; returns what they cost before and after. For brokers.
    pub fn trim_volatiles(&self, mono_ms: u64) -> (usize, usize) {
        if self.volatiles.read().is_none() {
            return (0, 0);
        }
        let mut held = self.volatiles.write();
        let Some(ring) = &mut *held else { return (0, 0) };
        let before = ring.bytes();
        ring.trim(mono_ms);
        let after = ring.bytes();
        if ring.is_empty() {
            *held = None;
        }
        (before, after)
    }

    /// Takes a session into its presence, if there is room; says whether it was not there.
    pub(crate) fn join(
        &self,
        member: &Arc<Member>,
        listener: Arc<dyn Listener>,
        room: &Room,
    ) -> Result<bool, Crowded> {
        let mut roster = self.roster.lock();
        let open = roster.get_or_insert_with(|| Box::new(Roster::after(self.turnover())));
        let joined = open.join(member, listener, room);
        self.turnover.store(open.version(), Ordering::Release); // changed under this lock alone
        if open.len() == 0 {
            *roster = None;
        }
        joined
    }

    /// Lets a session go from its presence; says whether it was there.
    pub(crate) fn leave(&self, session: SessionId) -> bool {
        let mut roster = self.roster.lock();
        let Some(open) = &mut *roster else { return false };
        let has_left = open.leave(session);
        self.turnover.store(open.version(), Ordering::Release);
        if open.len() == 0 {
            *roster = None;
        }
        has_left
    }

    /// Whether another one may take part.
    pub(crate) fn admits(&self, room: &Room) -> Result<(), Crowded> {
        match &*self.roster.lock() {
            Some(roster) => roster.admits(room),
            None => Roster::default().admits(room),
        }
    }

    /// The number of the newest change of its presence.
    pub fn turnover(&self) -> u64 {
        self.turnover.load(Ordering::Acquire)
    }

    /// Who takes part in its presence, in the order in which they came.
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.roster.lock().as_ref().map_or_else(Vec::new, |roster| roster.members())
    }

    /// How many take part in its presence.
    pub fn member_count(&self) -> usize {
        self.roster.lock().as_ref().map_or(0, |roster| roster.len())
    }

    /// What to tell a member that was told up to change `from`, or nothing yet; and up to which change it is told then.
    pub(crate) fn news(&self, from: Option<u64>, ledger: &Arc<Ledger>) -> (u64, Vec<Arc<Told>>) {
        match &mut *self.roster.lock() {
            Some(roster) => (roster.version(), roster.news(&self.name, from, ledger)),
            None => (self.turnover(), Vec::new()), // whoever asks takes part
        }
    }

    /// Marks that its listeners are to be woken; says whether nobody was about to be already.
    pub fn mark(&self) -> bool {
        self.marks.fetch_or(EVERYBODY, Ordering::AcqRel) & !SAID == 0
    }

    /// Marks that those who take part are to be woken; says whether nobody was about to be already.
    pub fn mark_members(&self) -> bool {
        self.marks.fetch_or(MEMBERS, Ordering::AcqRel) & !SAID == 0
    }

    /// Tells those who are marked that there may be more; says whether there was one.
    pub fn wake(&self) -> bool {
        // Unmarked first: what is appended from now on marks it again.
        let marks = self.marks.swap(0, Ordering::AcqRel);
        if marks == MEMBERS {
            let roster = self.roster.lock();
            return roster.as_ref().is_some_and(|roster| {
                roster.listeners().for_each(|listener| listener.ready());
                roster.len() > 0
            });
        }
        let listeners = self.listeners.lock();
        let listening = listeners.slots.iter().flatten();
        if marks & (SAID | MEMBERS) == 0 {
            fence(Ordering::SeqCst); // see `Listener::appended`
            listening.for_each(|listener| listener.appended());
        } else {
            listening.for_each(|listener| listener.ready());
        }
        listeners.slots.len() > listeners.free.len()
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        let listeners = self.listeners.lock();
        listeners.slots.len() - listeners.free.len()
    }

    /// Adds a listener; the key takes it away again.
    pub(crate) fn listen(&self, listener: Arc<dyn Listener>) -> u32 {
        let mut listeners = self.listeners.lock();
        match listeners.free.pop() {
            Some(key) => {
                listeners.slots[key as usize] = Some(listener);
                key
            }
            None => {
                listeners.slots.push(Some(listener));
                (listeners.slots.len() - 1) as u32
            }
        }
    }

    /// Takes a listener away.
    pub(crate) fn unlisten(&self, key: u32) {
        let mut listeners = self.listeners.lock();
        listeners.slots[key as usize] = None;
        listeners.free.push(key);
        if listeners.free.len() == listeners.slots.len() {
            *listeners = Listeners::default();
        }
    }
}

/// A mark for all who hold a channel.
const EVERYBODY: u8 = 1;
/// A mark for those who take part in its presence, all of whom hold it.
const MEMBERS: u8 = 2;
/// Something was said since that is not kept.
const SAID: u8 = 4;

/// A channel is itself, whatever its name.
impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Channel {}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("name", &self.name).field("head", &self.log().head()).finish()
    }
}
