//! How a gateway empties itself for whoever takes over: it welcomes nobody new, and tells every session when to leave
//! and when to come back.
//!
//! Two pieces. *What* a session is told is a place at the door of the successor, which lets in as many each second as
//! this gateway did: an [`Admission`] of its own says which is free, and signs a slot for it. *When* it is told is so
//! that its place comes right after: events flow until then. Sessions whose next request comes on a connection of its
//! own, and so may find the successor before its time, are told at once and wait longer.
//!
//! Left out on purpose: who the successor is, and where. See docs/decisions/0030-drain.md.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Shared, cell::Cell, clock};
use crate::{
    admission::{Admission, Class, Holder, Verdict},
    session::{Goodbye, Leave, LinkKind, LinkSpec},
};

/// A drain, as it was when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainProgress {
    /// How many sessions there were when it began.
    pub sessions: usize,
    /// How many were told to leave.
    pub told: u64,
    /// How many have a link yet.
    pub attached: usize,
    /// Over how long they are told.
    pub spread: Duration,
    /// Since when.
    pub elapsed: Duration,
    /// When it ends at the latest, from its beginning.
    pub deadline: Duration,
    /// Whether it has ended: all have left, or the deadline is over.
    pub is_over: bool,
}

/// A drain.
#[derive(Debug)]
pub(super) struct Drain {
    began: Instant,
    deadline: Duration,
    /// How long whoever leaves stays away at least.
    return_after: Duration,
    is_handed_over: bool,
    spread: Duration,
    sessions: usize,
    told: AtomicU64,
    /// The places at the successor's door.
    places: Mutex<Admission>,
    /// Whether all had left when it ended.
    is_empty: AtomicBool,
    over: CancellationToken,
}

impl Shared {
    /// Begins to drain, unless it drains already.
    pub(super) fn begin_drain(self: &Arc<Self>, order: DrainOrder) -> &Drain {
        let mut is_first = false;
        let drain = self.drain.get_or_init(|| {
            is_first = true;
            Drain::new(self, order)
        });
        if is_first {
            tracing::info!(
                sessions = drain.sessions,
                spread_ms = drain.spread.as_millis() as u64,
                deadline_ms = drain.deadline.as_millis() as u64,
                "draining"
            );
            tokio::spawn(run(Arc::clone(self)));
        }
        drain
    }

    /// The drain that has begun.
    pub(super) fn drain(&self) -> Option<&Drain> {
        self.drain.get()
    }

    /// How far the drain is that has begun.
    pub(super) fn drain_progress(&self) -> Option<DrainProgress> {
        Some(self.progress_of(self.drain()?))
    }

    /// How far a drain is.
    pub(super) fn progress_of(&self, drain: &Drain) -> DrainProgress {
        let attached = self.registry.all();
        let attached = attached.iter().filter(|cell| cell.look(|session| session.active().is_some())).count();
        DrainProgress {
            sessions: drain.sessions,
            told: drain.told.load(Ordering::Relaxed),
            attached,
            spread: drain.spread,
            elapsed: drain.began.elapsed(),
            deadline: drain.deadline,
            is_over: drain.over.is_cancelled(),
        }
    }

    /// Waits until no session is on this transport any more.
    #[cfg(all(feature = "cli", unix))]
    pub(super) async fn vacated(&self, transport: &str) {
        let is_on_it = |cell: &Arc<Cell>| {
            cell.look(|session| session.active().is_some_and(|(_, spec)| spec.transport == transport))
        };
        while self.registry.all().iter().any(is_on_it) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What somebody is told who may not come in: when the successor's door has a place for it.
    pub(super) fn turn_away(&self, drain: &Drain, class: Class, holder: Option<Holder<'_>>) -> Verdict {
        let after_ms = drain.return_after.as_millis() as u64;
        drain.places.lock().appoint(clock::now(), &self.session.keys, class, holder, after_ms)
    }

    /// Tells a session to leave.
    pub(super) fn send_away(&self, drain: &Drain, cell: &Arc<Cell>) {
        let Some((_, spec)) = cell.look(|session| session.active()) else { return };
        let holder = Some(Holder::Session(cell.id()));
        let verdict = self.turn_away(drain, Class::Resume, holder);
        let Some(wait) = verdict.wait(spec.kind == LinkKind::PlainStream) else { return };
        let goodbye = Goodbye::Drain { delay_ms: wait.delay_ms, spread_ms: wait.spread_ms };
        let slot = wait.slot.map(|slot| slot.to_string().into());
        drain.told.fetch_add(1, Ordering::Relaxed);
        self.metrics.count_told(spec.transport);
        // The port moves once the last of them has left, and with it the certificate that they know.
        let transports = (drain.is_handed_over && is_by_udp(spec)).then(|| {
            let offers = self.session.transports.now();
            offers.iter().filter(|offer| &*offer.name != spec.transport).cloned().collect()
        });
        cell.change(|session| session.leave(Leave { goodbye, slot, transports }));
    }
}

/// How a gateway is to drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct DrainOrder {
    pub(super) deadline: Duration,
    pub(super) return_after: Duration,
    /// Whether a successor takes the listeners over, and waits for the UDP port.
    pub(super) is_handed_over: bool,
}

impl Drain {
    fn new(shared: &Shared, order: DrainOrder) -> Self {
        let rate = shared.config.admission_rate.max(1);
        let sessions = shared.registry.len();
        let natural = Duration::from_millis(sessions as u64 * 1_000 / rate);
        Self {
            began: Instant::now(),
            deadline: order.deadline,
            return_after: order.return_after,
            is_handed_over: order.is_handed_over,
            spread: natural.min(telling_time(order.deadline)),
            sessions,
            told: AtomicU64::new(0),
            places: Mutex::new(Admission::new(rate, 1)),
            is_empty: AtomicBool::new(false),
            over: CancellationToken::new(),
        }
    }

    /// Whether a session is told with the first, since its next request may reach the successor before its time, or its
    /// port is waited for.
    const fn leaves_at_once(&self, spec: LinkSpec) -> bool {
        matches!(spec.kind, LinkKind::Answer | LinkKind::DownStream)
            || (self.is_handed_over && is_by_udp(spec))
    }

    /// How far ahead the next place is.
    fn ahead(&self) -> Duration {
        Duration::from_millis(self.places.lock().ahead_ms(clock::now(), Class::Resume))
    }

    /// Waits until it has ended; says whether all had left.
    pub(super) async fn ended(&self) -> bool {
        self.over.cancelled().await;
        self.is_empty.load(Ordering::Acquire)
    }
}

async fn run(shared: Arc<Shared>) {
    let Some(drain) = shared.drain() else { return };
    // First, so that the answers that tell them to leave are the last on their connections.
    shared.retire.cancel();
    let ended = tokio::time::timeout(drain.deadline, empty(&shared, drain)).await;
    if ended.is_err() {
        let left: Vec<_> = shared.registry.all();
        let left = left.iter().filter(|cell| cell.look(|session| session.active().is_some()));
        let mut links = 0_usize;
        for cell in left {
            links += 1;
            shared.send_away(drain, cell);
            // What is under way is waited for no longer.
            cell.change(|session| session.leave_now());
        }
        tracing::warn!(links, "the deadline of the drain is over: what is left is ended");
        // Whoever reads takes its goodbye yet.
        let _ = tokio::time::timeout(LAST_WORDS, gone(&shared)).await;
    }
    shared.end_lives().await;
    let is_empty = ended.is_ok();
    drain.is_empty.store(is_empty, Ordering::Release);
    tracing::info!(
        told = drain.told.load(Ordering::Relaxed),
        took_ms = drain.began.elapsed().as_millis() as u64,
        "drained"
    );
    drain.over.cancel();
}

/// Tells everybody, and waits until all have left.
async fn empty(shared: &Shared, drain: &Drain) {
    let attended = || shared.registry.all().into_iter().filter(|cell| cell.look(|s| s.is_attended()));
    let (now, in_turn): (Vec<_>, Vec<_>) = attended().partition(|cell| {
        cell.look(|session| session.active()).is_some_and(|(_, spec)| drain.leaves_at_once(spec))
    });
    for (count, cell) in now.iter().enumerate() {
        shared.send_away(drain, cell);
        if count % TOGETHER == TOGETHER - 1 {
            tokio::task::yield_now().await;
        }
    }
    let telling = telling_time(drain.deadline);
    let count = in_turn.len();
    for (told, cell) in in_turn.iter().enumerate() {
        // At the rate of the successor's door, or faster where the deadline presses: places are further away then.
        loop {
            let is_pressed = (told + 1) as f64 <= count as f64 * fraction(drain.began.elapsed(), telling);
            if drain.ahead() <= drain.return_after || is_pressed {
                break;
            }
            tokio::time::sleep(TICK).await;
        }
        if cell.look(|session| session.is_attended()) {
            shared.send_away(drain, cell);
        }
    }
    shared.links.close();
    gone_or_told(shared, drain).await;
}

/// Waits until nobody has a link, nor is on the way to its next poll; whoever came in while the drain began is told too.
async fn gone_or_told(shared: &Shared, drain: &Drain) {
    loop {
        let all = shared.registry.all();
        let (mut attached, mut between) = (0_usize, 0_usize);
        for cell in &all {
            let is_attended = cell.look(|session| {
                attached += usize::from(session.active().is_some());
                between += usize::from(session.is_between_polls());
                session.is_attended()
            });
            if is_attended {
                shared.send_away(drain, cell);
            }
        }
        let is_waited_for = between > 0 && drain.began.elapsed() < BETWEEN_POLLS;
        if attached == 0 && shared.links.is_empty() && !is_waited_for {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn gone(shared: &Shared) {
    shared.links.wait().await;
    while shared.registry.all().iter().any(|cell| cell.look(|session| session.active().is_some())) {
        tokio::time::sleep(LOOK).await;
    }
}

const fn is_by_udp(spec: LinkSpec) -> bool {
    spec.datagrams
}

/// How much of a deadline there is to tell everybody; the rest is theirs to leave.
fn telling_time(deadline: Duration) -> Duration {
    deadline * 3 / 4
}

fn fraction(elapsed: Duration, of: Duration) -> f64 {
    if of.is_zero() { 1.0 } else { elapsed.as_secs_f64() / of.as_secs_f64() }
}

/// How often it is looked whether somebody's place has come.
const TICK: Duration = Duration::from_millis(1);
/// How often it is looked whether all have left.
const LOOK: Duration = Duration::from_millis(10);
/// How long those are waited for whose last poll was answered: a trip, and what a slow client makes of it.
const BETWEEN_POLLS: Duration = Duration::from_secs(2);
/// How many are told before others have a turn.
const TOGETHER: usize = 256;
/// How long goodbyes may take once the deadline is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
