//! How a gateway empties itself for whoever takes over: it welcomes nobody new, and tells every session when to leave
//! and when to come back.
//!
//! Two pieces. *What* a session is told is a place at the door of the successor, which lets in as many each second as
//! this gateway did: an [`Admission`] of its own says which is free, and signs a slot for it. *When* it is told is so
//! that its place comes right after: events flow until then. Sessions whose next request comes on a connection of its
//! own, and so may find the successor before its time, are told at once and wait longer.
//!
//! Left out on purpose: who the successor is, and where. See docs/decisions/0030-drain.md.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use throughline_wire::SessionId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Shared, cell::Cell, clock};
use crate::{
    admission::{Admission, Class, Holder, Verdict, Wait},
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
    /// When a successor begins to accept, where there is one.
    change: Option<Change>,
    spread: Duration,
    sessions: usize,
    told: AtomicU64,
    /// The places at the successor's door.
    places: Mutex<Admission>,
    /// Nobody is waited for any more: a session that is opened yet is over.
    is_ending: AtomicBool,
    /// Once it has ended: whether all had left.
    outcome: OnceLock<bool>,
    /// Wakes whoever waits for the outcome, once it is also said in the log: the process may end by that.
    over: CancellationToken,
}

/// The moment when the listeners change hands.
#[derive(Debug)]
struct Change {
    /// When it is at the latest; places begin a moment later.
    due: Instant,
    /// By when whoever speaks request by request has heard that it is to leave, as far as it was told.
    heard_by: Mutex<Instant>,
    /// Nobody's next request is waited for any more.
    may_be: CancellationToken,
    /// The successor has been told to go ahead, or is being told.
    is_given: AtomicBool,
    /// It serves, and this process accepts nobody any more.
    is_made: AtomicBool,
}

impl Change {
    /// Whether it may come yet: it is due, and takes a moment.
    fn is_near(&self) -> bool {
        Instant::now() < self.due + MOMENT
    }

    /// Somebody who speaks request by request is told now, or about to be.
    fn wait_for_a_trip(&self) {
        *self.heard_by.lock() = Instant::now() + TRIP;
    }
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
            // Before anybody is told to leave by an answer, which is to be the last on its connection. The drain is there by then.
            self.retire.cancel();
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
        DrainProgress {
            sessions: drain.sessions,
            told: drain.told.load(Ordering::Relaxed),
            attached: self.metrics.census.attached(),
            spread: drain.spread,
            elapsed: drain.began.elapsed(),
            deadline: drain.deadline,
            is_over: drain.outcome.get().is_some(),
        }
    }

    /// Waits until no session is on this transport any more.
    #[cfg(all(feature = "cli", unix))]
    pub(super) async fn vacated(&self, transport: &str) {
        let is_on_it = |cell: &Arc<Cell>| {
            cell.look(|session| session.active().is_some_and(|(_, spec)| spec.transport == transport))
        };
        while self.registry.all().iter().any(is_on_it) {
            pause(self).await;
        }
    }

    /// What somebody is told who may not come in: when the successor's door has a place for it.
    pub(super) fn turn_away(&self, drain: &Drain, class: Class, holder: Option<Holder<'_>>) -> Verdict {
        let after_ms = drain.stays_away().as_millis() as u64;
        let verdict = drain.places.lock().appoint(clock::now(), &self.session.keys, class, holder, after_ms);
        match verdict {
            Verdict::Windowed { delay_ms, spread_ms } => {
                Verdict::Windowed { delay_ms: delay_ms.max(after_ms), spread_ms }
            }
            place => place,
        }
    }

    /// Tells a session to leave. While its time lies ahead it is told the same again, however often it comes.
    pub(super) fn send_away(&self, drain: &Drain, cell: &Arc<Cell>) {
        cell.change(|session| {
            let Some((_, spec)) = session.active() else { return };
            let told = session.leaving().and_then(|leave| leave.again(clock::now()));
            let Some(mut leave) = told.or_else(|| self.appoint(drain, session.id(), spec)) else { return };
            // The port moves once the last of them has left, and with it the certificate that they know.
            leave.transports = (drain.change.is_some() && is_by_udp(spec)).then(|| {
                let offers = self.session.transports.now();
                offers.iter().filter(|offer| &*offer.name != spec.transport).cloned().collect()
            });
            if let Some(change) = drain.change.as_ref().filter(|_| is_by_request(spec)) {
                change.wait_for_a_trip();
            }
            session.leave(leave);
        });
    }

    /// What a session is told that leaves: its place at the successor's door.
    fn appoint(&self, drain: &Drain, session: SessionId, spec: LinkSpec) -> Option<Leave> {
        let verdict = self.turn_away(drain, Class::Resume, Some(Holder::Session(session)));
        let Wait { delay_ms, spread_ms, slot } = verdict.wait(spec.kind == LinkKind::PlainStream)?;
        drain.told.fetch_add(1, Ordering::Relaxed);
        self.metrics.count_told(spec.transport);
        Some(Leave {
            goodbye: Goodbye::Drain { delay_ms, spread_ms },
            back_at_ms: clock::now().mono_ms + delay_ms,
            slot: slot.map(|slot| slot.to_string().into()),
            transports: None,
        })
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
            change: order.is_handed_over.then(|| Change {
                due: Instant::now() + CHANGE.min(order.deadline / 4),
                heard_by: Mutex::new(Instant::now()),
                may_be: CancellationToken::new(),
                is_given: AtomicBool::new(false),
                is_made: AtomicBool::new(false),
            }),
            spread: natural.min(telling_time(order.deadline)),
            sessions,
            told: AtomicU64::new(0),
            places: Mutex::new(Admission::new(rate, 1)),
            is_ending: AtomicBool::new(false),
            outcome: OnceLock::new(),
            over: CancellationToken::new(),
        }
    }

    /// Whether a session is told with the first, since its next request may reach the successor before its time, or its
    /// port is waited for.
    const fn leaves_at_once(&self, spec: LinkSpec) -> bool {
        is_by_request(spec) || (self.change.is_some() && is_by_udp(spec))
    }

    /// The change that is still to come.
    fn to_change(&self) -> Option<&Change> {
        self.change.as_ref().filter(|change| !change.is_made.load(Ordering::Acquire))
    }

    /// Whether a successor is about to take the listeners over: whoever connects has a gateway yet, in a moment.
    pub(super) fn is_about_to_change(&self) -> bool {
        self.to_change().is_some_and(Change::is_near)
    }

    /// Whether whoever takes over may have sessions that are not known here.
    pub(super) fn is_succeeded(&self) -> bool {
        self.to_change().is_none()
    }

    /// How long whoever leaves now stays away at least. Where the change did not come, that is until this process has
    /// ended: until then whoever is back is back too early.
    fn stays_away(&self) -> Duration {
        let Some(change) = self.to_change() else { return self.return_after };
        let until = if change.is_near() { change.due } else { self.began + self.deadline };
        until.saturating_duration_since(Instant::now()) + MOMENT
    }

    /// Waits until nobody's next request is expected here any more, and the listeners may change hands.
    pub(super) async fn may_change_hands(&self) {
        if let Some(change) = &self.change {
            change.may_be.cancelled().await;
        }
    }

    /// A successor is about to be told that they are its own, or could not be told.
    #[cfg(all(feature = "cli", unix))]
    pub(super) fn give(&self, is_given: bool) {
        if let Some(change) = &self.change {
            change.is_given.store(is_given, Ordering::Release);
        }
    }

    /// Whether whoever takes over may serve by now.
    pub(super) fn is_given(&self) -> bool {
        self.change.as_ref().is_some_and(|change| change.is_given.load(Ordering::Acquire))
    }

    /// They have.
    pub(super) fn changed_hands(&self) {
        if let Some(change) = &self.change {
            change.is_given.store(true, Ordering::Release);
            change.is_made.store(true, Ordering::Release);
        }
    }

    /// Whether it has come to its end. Whoever is registered before that is seen by its end; whoever asks behind its own
    /// registration misses none.
    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Acquire)
    }

    /// How far ahead the next place is.
    fn ahead(&self) -> Duration {
        Duration::from_millis(self.places.lock().ahead_ms(clock::now(), Class::Resume))
    }

    /// Waits until it has ended; says whether all had left.
    pub(super) async fn ended(&self) -> bool {
        self.over.cancelled().await;
        self.outcome.get().is_some_and(|is_empty| *is_empty)
    }
}

async fn run(shared: Arc<Shared>) {
    let Some(drain) = shared.drain() else { return };
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
    if let Some(change) = &drain.change {
        change.may_be.cancel();
    }
    // Before it is looked who there is, see `is_ending`.
    drain.is_ending.store(true, Ordering::Release);
    shared.end_lives().await;
    let _ = drain.outcome.set(ended.is_ok()); // nobody else sets it
    tracing::info!(
        told = drain.told.load(Ordering::Relaxed),
        took_ms = drain.began.elapsed().as_millis() as u64,
        "drained"
    );
    drain.over.cancel();
}

/// Tells everybody, and waits until all have left.
async fn empty(shared: &Shared, drain: &Drain) {
    match &drain.change {
        Some(change) => {
            requests_ended(shared, drain, change).await;
            change.may_be.cancel();
        }
        None => _ = tell_all(shared, drain, |spec| drain.leaves_at_once(spec)).await,
    }
    let mut in_turn = shared.registry.all();
    in_turn.retain(|cell| cell.look(|session| session.is_attended()));
    let begun = Instant::now();
    let telling = (drain.began + telling_time(drain.deadline)).saturating_duration_since(begun);
    let count = in_turn.len();
    for (told, cell) in in_turn.iter().enumerate() {
        // At the rate of the successor's door, or faster where the deadline presses: places are further away then.
        loop {
            let is_pressed = (told + 1) as f64 <= count as f64 * fraction(begun.elapsed(), telling);
            let is_its_turn = drain.to_change().is_none() && drain.ahead() <= drain.return_after;
            if is_its_turn || is_pressed {
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

/// Waits until whoever speaks request by request has been told and has had a moment to hear it, at the latest until the
/// change is due. What such a client says meanwhile comes here, and is answered by a gateway that knows its session.
async fn requests_ended(shared: &Shared, drain: &Drain, change: &Change) {
    loop {
        if tell_all(shared, drain, |spec| drain.leaves_at_once(spec)).await.by_request {
            change.wait_for_a_trip();
        }
        let heard_by = *change.heard_by.lock();
        if Instant::now() >= heard_by.min(change.due) {
            return;
        }
        pause(shared).await;
    }
}

/// Waits until nobody has a link, nor is on the way to its next poll; whoever came in while the drain began is told too.
async fn gone_or_told(shared: &Shared, drain: &Drain) {
    loop {
        let here = tell_all(shared, drain, |_| true).await;
        if !here.attached && !here.by_request && shared.links.is_empty() {
            return;
        }
        pause(shared).await;
    }
}

/// Who is here yet.
#[derive(Default)]
struct Here {
    /// Somebody has a link.
    attached: bool,
    /// Somebody speaks request by request, and has a link or is most likely on the way to the next poll.
    by_request: bool,
}

/// Tells whoever is on such a link and has not been told; says who is here. Each session is looked at once: one that comes
/// to its next poll meanwhile is between two polls or has a link.
async fn tell_all(shared: &Shared, drain: &Drain, is_meant: impl Fn(LinkSpec) -> bool) -> Here {
    let mut here = Here::default();
    let recent_ms = BETWEEN_POLLS.as_millis() as u64;
    for (count, cell) in (1..).zip(shared.registry.after(None)) {
        let (spec, is_attended, since_ms) = cell.look(|session| {
            let spec = session.active().map(|(_, spec)| spec);
            (spec, session.is_attended(), session.between_polls_since())
        });
        let is_between_polls =
            since_ms.is_some_and(|since_ms| clock::now().mono_ms.saturating_sub(since_ms) < recent_ms);
        here.attached |= spec.is_some();
        here.by_request |= is_between_polls || spec.is_some_and(is_by_request);
        if is_attended && spec.is_some_and(&is_meant) {
            shared.send_away(drain, &cell);
        }
        if count % TOGETHER == 0 {
            tokio::task::yield_now().await;
        }
    }
    here
}

/// Waits until it is time to look at all sessions again: the more there are, the longer.
async fn pause(shared: &Shared) {
    tokio::time::sleep(LOOK + LOOK_AT_EACH * shared.registry.len() as u32).await;
}

async fn gone(shared: &Shared) {
    shared.links.wait().await;
    while shared.registry.all().iter().any(|cell| cell.look(|session| session.active().is_some())) {
        pause(shared).await;
    }
}

/// Whether its client's next word comes as a request, perhaps on a connection of its own.
const fn is_by_request(spec: LinkSpec) -> bool {
    matches!(spec.kind, LinkKind::Answer | LinkKind::DownStream)
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
/// And how much less often for each session: going through them takes a small part of the time.
const LOOK_AT_EACH: Duration = Duration::from_micros(1);
/// How long those are waited for whose last poll was answered: a trip, and what a slow client makes of it.
const BETWEEN_POLLS: Duration = Duration::from_secs(2);
/// How long a word may be on its way to a client, while that says something yet.
const TRIP: Duration = Duration::from_secs(1);
/// How long after a hand-over began the successor accepts at the latest: those who are between two polls have come.
const CHANGE: Duration = BETWEEN_POLLS.saturating_add(MOMENT);
/// From then to the first place: nobody comes back to this process for want of a moment.
const MOMENT: Duration = Duration::from_millis(500);
/// How many are looked at, and told, before others have a turn.
const TOGETHER: usize = 256;
/// How long goodbyes may take once the deadline is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
