//! What waits to be told of the life of sessions: one lane for each session, a few tellers for all of them.
//!
//! Events enter under the lock of their cell, so a lane has them in the order of their numbers; the teller that takes the
//! first of a lane holds the lane until it is told. A session that is found again before it was told to be lost was
//! never lost, as far as the application is concerned.
//!
//! What waits is bounded. Past the bound an event is not taken, but for the end of a session, which may fill as much
//! again. What is not taken, or not told, is counted, logged, and stated with the next event that is told
//! ([`SessionEvent::missed`]): an application that missed something knows it.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::FutureExt as _;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use throughline_wire::SessionId;
use tokio::sync::Notify;

use crate::{
    labels::Labels,
    session::Life,
    upstream::{Lifecycle, SessionEvent},
};

/// How many events are told at once.
pub(super) const TELLERS: usize = 32;

/// What waits, and whom it is told.
#[derive(Debug)]
pub(crate) struct Lives {
    lifecycle: Lifecycle,
    /// How many events may wait.
    most: usize,
    waiting: Mutex<Waiting>,
    /// There is something to tell.
    ready: Notify,
    /// There is nothing left to tell.
    idle: Notify,
    missed: AtomicU64,
    metrics: LifeMetrics,
}

/// A session is in `ready` where it has something to tell and no teller holds it.
#[derive(Debug, Default)]
struct Waiting {
    lanes: HashMap<SessionId, VecDeque<SessionEvent>>,
    ready: VecDeque<SessionId>,
    count: usize,
}

/// What became of events.
#[derive(Clone, Debug, Default)]
pub(crate) struct LifeMetrics {
    events: Family<Labels<2>, Counter>,
    waiting: Gauge,
}

impl Lives {
    pub(super) fn new(lifecycle: Lifecycle, most: usize, metrics: LifeMetrics) -> Arc<Self> {
        Arc::new(Self {
            lifecycle,
            most,
            waiting: Mutex::default(),
            ready: Notify::new(),
            idle: Notify::new(),
            missed: AtomicU64::new(0),
            metrics,
        })
    }

    /// Takes an event in; to be called under the lock of its session's cell, which puts them in order.
    pub(super) fn enter(&self, event: SessionEvent) {
        let (session, number, life) = (event.session, event.number, event.life);
        let mut waiting = self.waiting.lock();
        if matches!(life, Life::Resumed { .. })
            && let Some(lane) = waiting.lanes.get_mut(&session)
            && lane.pop_back_if(|last| last.life == Life::Lost).is_some()
        {
            waiting.count -= 1;
            self.metrics.waiting.dec();
            self.metrics.count(Life::Lost, TAKEN_BACK);
            return self.metrics.count(life, TAKEN_BACK);
        }
        let most = if matches!(life, Life::Ended(_)) { 2 * self.most } else { self.most };
        if waiting.count >= most {
            drop(waiting);
            // One line for all until another is told: the next will say how many they were.
            if self.miss(life, 1, DROPPED) == 0 {
                let kind = life.as_str();
                tracing::warn!(%session, number, kind, "too many session events wait: they are not told");
            }
            return;
        }
        let Waiting { lanes, ready, count } = &mut *waiting;
        *count += 1;
        let lane = lanes.entry(session);
        if matches!(lane, hashbrown::hash_map::Entry::Vacant(_)) {
            ready.push_back(session);
        }
        lane.or_insert_with(|| VecDeque::with_capacity(1)).push_back(event); // most sessions have one that waits
        drop(waiting);
        self.metrics.waiting.inc();
        self.ready.notify_one();
    }

    /// Tells what there is until the gateway is dropped. Several run side by side.
    pub(super) async fn tell(self: Arc<Self>) {
        loop {
            let Some(event) = self.take() else {
                self.ready.notified().await;
                continue;
            };
            let (session, number, life, missed) = (event.session, event.number, event.life, event.missed);
            let telling = AssertUnwindSafe(async { self.lifecycle.tell(event).await }).catch_unwind();
            let failure = match telling.await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it panicked".to_owned()),
            };
            match failure {
                None => self.metrics.count(life, TOLD),
                Some(error) => {
                    tracing::warn!(%session, number, kind = life.as_str(), error, "a session event was not told");
                    self.miss(life, missed + 1, FAILED);
                }
            }
            self.release(session);
        }
    }

    /// Waits until nothing waits and nothing is being told.
    pub(super) async fn settle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.waiting.lock().lanes.is_empty() {
                return;
            }
            idle.await;
        }
    }

    /// The next event, whose lane is held until it is [released](Self::release).
    fn take(&self) -> Option<SessionEvent> {
        let mut waiting = self.waiting.lock();
        let mut event = loop {
            let Some(session) = waiting.ready.pop_front() else {
                self.rest(waiting);
                return None;
            };
            if let Some(event) = waiting.lanes.get_mut(&session).and_then(VecDeque::pop_front) {
                break event;
            }
            waiting.lanes.remove(&session); // lost, and found before that was told
        };
        waiting.count -= 1;
        let is_more = !waiting.ready.is_empty();
        drop(waiting);
        self.metrics.waiting.dec();
        if is_more {
            self.ready.notify_one(); // of several that were entered at once one woke this teller
        }
        event.missed = self.missed.swap(0, Ordering::Relaxed);
        Some(event)
    }

    fn release(&self, session: SessionId) {
        let mut waiting = self.waiting.lock();
        if waiting.lanes.get(&session).is_some_and(|lane| !lane.is_empty()) {
            return waiting.ready.push_back(session);
        }
        waiting.lanes.remove(&session);
        self.rest(waiting);
    }

    /// Says so where nothing waits and nothing is being told.
    fn rest(&self, mut waiting: MutexGuard<'_, Waiting>) {
        if waiting.lanes.is_empty() {
            waiting.lanes.shrink_to_fit();
            drop(waiting);
            self.idle.notify_waiters();
        }
    }

    /// Books events as missed; says how many were already.
    fn miss(&self, life: Life, events: u64, result: &'static str) -> u64 {
        self.metrics.count(life, result);
        self.missed.fetch_add(events, Ordering::Relaxed)
    }
}

impl LifeMetrics {
    /// All series, at zero.
    pub(super) fn new() -> Self {
        let metrics = Self::default();
        for kind in Life::WORDS {
            for result in [TOLD, FAILED, DROPPED, TAKEN_BACK] {
                drop(metrics.events.get_or_create(&[("kind", kind), ("result", result)]));
            }
        }
        metrics
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let about = "What became of the events of sessions' lives, by kind and result";
        registry.register("session_events", about, self.events.clone());
        let about = "Events of sessions' lives that wait to be told";
        registry.register("session_events_waiting", about, self.waiting.clone());
    }

    fn count(&self, life: Life, result: &'static str) {
        self.events.get_or_create(&[("kind", life.as_str()), ("result", result)]).inc();
    }
}

/// The application has taken it.
const TOLD: &str = "told";
/// It did not take it.
const FAILED: &str = "failed";
/// Too many waited.
const DROPPED: &str = "dropped";
/// It was lost and found before that was told.
const TAKEN_BACK: &str = "taken_back";

#[cfg(test)]
mod tests {
    use std::future::{Future, Ready, ready};

    use tokio::sync::mpsc;

    use super::*;
    use crate::session::Ending;

    const SESSION: SessionId = SessionId::from_random([1; 16]);
    const OTHER: SessionId = SessionId::from_random([2; 16]);
    const OPENED: Life = Life::Opened { transport: None, replaces: None };
    const RESUMED: Life = Life::Resumed { transport: None };
    const ENDED: Life = Life::Ended(Ending::Bye);

    fn event(session: SessionId, number: u32, life: Life) -> SessionEvent {
        SessionEvent { session, user: None, number, time: 0, life, missed: 0 }
    }

    fn lives(most: usize) -> Arc<Lives> {
        let nobody = tower::service_fn(|_| -> Ready<Result<(), String>> { ready(Ok(())) });
        Lives::new(Lifecycle::new(nobody), most, LifeMetrics::new())
    }

    fn count(lives: &Lives, life: Life, result: &'static str) -> u64 {
        lives.metrics.events.get_or_create(&[("kind", life.as_str()), ("result", result)]).get()
    }

    fn taken(lives: &Lives) -> Option<(u32, Life, u64)> {
        lives.take().map(|event| (event.number, event.life, event.missed))
    }

    #[test]
    fn a_lane_is_held_until_its_event_is_told_and_other_sessions_do_not_wait() {
        let lives = lives(8);
        lives.enter(event(SESSION, 1, OPENED));
        lives.enter(event(SESSION, 2, Life::Lost));
        lives.enter(event(OTHER, 1, OPENED));
        assert_eq!(taken(&lives), Some((1, OPENED, 0)));
        assert_eq!(lives.take().unwrap().session, OTHER);
        assert!(lives.take().is_none(), "the first is not told yet");
        lives.release(SESSION);
        assert_eq!(taken(&lives), Some((2, Life::Lost, 0)));
        lives.release(SESSION);
        lives.release(OTHER);
        assert!(lives.waiting.lock().lanes.is_empty());
    }

    #[test]
    fn a_session_that_is_found_before_it_was_told_to_be_lost_was_never_lost() {
        let lives = lives(8);
        lives.enter(event(SESSION, 1, OPENED));
        lives.enter(event(SESSION, 2, Life::Lost));
        lives.enter(event(SESSION, 3, RESUMED));
        lives.enter(event(SESSION, 4, ENDED));
        assert_eq!(taken(&lives), Some((1, OPENED, 0)));
        lives.release(SESSION);
        assert_eq!(taken(&lives), Some((4, ENDED, 0)));
        assert_eq!((count(&lives, Life::Lost, TAKEN_BACK), count(&lives, RESUMED, TAKEN_BACK)), (1, 1));
        lives.release(SESSION);
        // Nothing of it is left to tell, and what comes then is told.
        lives.enter(event(SESSION, 5, Life::Lost));
        lives.enter(event(SESSION, 6, RESUMED));
        assert_eq!(taken(&lives), None);
        lives.enter(event(SESSION, 7, ENDED));
        assert_eq!(taken(&lives), Some((7, ENDED, 0)));
        lives.release(SESSION);
        // Told already, it is told to be found.
        lives.enter(event(OTHER, 1, Life::Lost));
        assert_eq!(taken(&lives), Some((1, Life::Lost, 0)));
        lives.enter(event(OTHER, 2, RESUMED));
        lives.release(OTHER);
        assert_eq!(taken(&lives), Some((2, RESUMED, 0)));
    }

    #[test]
    fn what_waits_is_small() {
        let of_a_lane = size_of::<(SessionId, VecDeque<SessionEvent>)>() + size_of::<SessionId>();
        assert!(size_of::<SessionEvent>() + of_a_lane <= 200, "{}", size_of::<SessionEvent>() + of_a_lane);
    }

    #[test]
    fn past_the_bound_only_ends_are_taken_and_the_next_says_how_many_are_missed() {
        let lives = lives(2);
        let sessions = |first: u8| SessionId::from_random([first; 16]);
        for first in 1..=3 {
            lives.enter(event(sessions(first), 1, OPENED));
        }
        for first in 1..=3 {
            lives.enter(event(sessions(first), 2, ENDED));
        }
        assert_eq!((count(&lives, OPENED, DROPPED), count(&lives, ENDED, DROPPED)), (1, 1));
        assert_eq!(lives.metrics.waiting.get(), 4);
        assert_eq!(taken(&lives), Some((1, OPENED, 2)));
        assert_eq!(taken(&lives), Some((1, OPENED, 0)), "it is said once");
    }

    #[tokio::test]
    async fn what_was_not_told_is_missed_and_holds_up_nobody() {
        let (to, mut told) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |event: SessionEvent| {
            let to = to.clone();
            let told: std::pin::Pin<Box<dyn Future<Output = Result<(), String>> + Send>> =
                Box::pin(async move {
                    match event.number {
                        1 => Err("not now".to_owned()),
                        2 => panic!("never"),
                        _ => to.send(event).map_err(|_| "nobody listens".to_owned()),
                    }
                });
            told
        });
        let lives = Lives::new(Lifecycle::new(service), 8, LifeMetrics::new());
        for (number, life) in [(1, OPENED), (2, Life::Lost), (3, ENDED)] {
            lives.enter(event(SESSION, number, life));
        }
        let telling = tokio::spawn(Arc::clone(&lives).tell());
        let told = told.recv().await.unwrap();
        assert_eq!((told.number, told.missed), (3, 2));
        lives.settle().await;
        assert_eq!((count(&lives, OPENED, FAILED), count(&lives, ENDED, TOLD)), (1, 1));
        telling.abort();
    }
}
