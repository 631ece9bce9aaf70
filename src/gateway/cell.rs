//! A session with what the gateway keeps beside it: its lock, its links' signals, and its lanes.
//!
//! [`Cell::change`] is the one way to a session: lock it, change it, then carry out its effects with the lock
//! released. What takes time (authorising, opening a channel, the application's handler) runs in *lanes*: one for
//! each channel that the session is saying something about, in order, so that a slow one holds up nobody else.

use std::{
    collections::VecDeque,
    future::Future,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use futures_util::FutureExt as _;
use hashbrown::HashMap;
use parking_lot::Mutex;
use throughline_wire::{ChannelName, ErrorCode, ReplyError, Send as Sent, SessionId, SubscribeFrom, Token};

use super::{
    Shared,
    authority::{Credentials, Identity, SendQuery, SubscribeQuery},
    census::Counted,
    clock,
    grants::Grants,
    limits::{Holding, Said},
    signal::{Signal, Wake},
};
use crate::{
    broker::Recall,
    limits::Place,
    session::{
        Effect, Ending, Goodbye, LinkId, Parting, SendResult, Session, SubscribeRequest, UnsubscribeRequest,
    },
    upstream::{Intent, Order, SessionEvent},
};

/// A session of this gateway.
pub(crate) struct Cell {
    id: SessionId,
    session: Mutex<Session>,
    wake: Arc<Wake>,
    /// When the earliest entry of the timers looks at this session; `u64::MAX` for never.
    pub(super) scheduled: AtomicU64,
    counted: Counted,
    /// What its journal was last booked at.
    journal_bytes: AtomicUsize,
    lanes: Mutex<Option<Box<Lanes>>>,
    /// What the newest credential grants.
    grants: Mutex<Grants>,
    /// What it has said.
    said: Said,
    /// Its place among the sessions of its user, and among those of the address that it came from last.
    _user: Option<Place>,
    address: Mutex<Option<(IpAddr, Place)>>,
    shared: Arc<Shared>,
}

/// What waits its turn.
#[derive(Debug, Default)]
struct Lanes {
    /// By channel. A channel is there while its lane runs.
    channels: HashMap<ChannelName, VecDeque<Task>>,
    /// There while credentials are being checked; with the newest of those that came meanwhile.
    credentials: Option<Option<Token>>,
}

/// The most that waits in one lane, for whoever is slow to authorise: each rebuild of a session asks again.
const LANE_TASKS: usize = 256;

/// What a lane does.
#[derive(Debug)]
enum Task {
    Subscribe(SubscribeRequest),
    Unsubscribe(UnsubscribeRequest),
    Send { command: u64, said: Sent },
}

impl Cell {
    /// A cell around a session that was opened with `wake` as its listener.
    pub(super) fn new(session: Session, wake: Arc<Wake>, holding: Holding, shared: Arc<Shared>) -> Arc<Self> {
        let said = Said::of(&holding);
        let Holding { user, address } = holding;
        Arc::new(Self {
            id: session.id(),
            session: Mutex::new(session),
            wake,
            scheduled: AtomicU64::new(u64::MAX),
            counted: Counted::default(),
            journal_bytes: AtomicUsize::new(0),
            lanes: Mutex::new(None),
            grants: Mutex::default(),
            said,
            _user: user,
            address: Mutex::new(address),
            shared,
        })
    }

    /// The session's id.
    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    /// What the session has said.
    pub(super) const fn said(&self) -> &Said {
        &self.said
    }

    /// It was taken up again from this address.
    pub(super) fn came_from(&self, remote: Option<SocketAddr>) {
        self.shared.limits.moved(&mut self.address.lock(), remote);
    }

    /// Looks at the session.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Session) -> R) -> R {
        look(&self.session.lock())
    }

    /// Changes the session, and carries out what follows.
    pub(crate) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut Session) -> R) -> R {
        let (result, effects) = {
            let mut session = self.session.lock();
            let result = change(&mut session);
            self.wake.set_active(session.active().map(|(id, _)| id));
            self.shared.metrics.census.count(&self.counted, &session);
            if let Some(deadline) = session.deadline() {
                self.shared.timers.schedule(self, deadline);
            }
            self.shared.metrics.add_tally(session.take_tally());
            let (booked, journal_bytes) =
                (self.journal_bytes.load(Ordering::Relaxed), session.journal_bytes());
            if booked != journal_bytes {
                self.journal_bytes.store(journal_bytes, Ordering::Relaxed); // the session's lock is held
                let usage = self.shared.broker.usage();
                usage.change_journals(booked, journal_bytes);
                self.shared.session.crowded.set(usage.is_crowded());
            }
            let effects = session.take_effects();
            self.enter_lives(&session, &effects);
            (result, effects)
        };
        for effect in effects {
            self.carry_out(effect);
        }
        result
    }

    /// Hands on what is told of the session's life; under its lock, so that it comes in order.
    fn enter_lives(&self, session: &Session, effects: &[Effect]) {
        let Some(lives) = &self.shared.lives else { return };
        for effect in effects {
            if let Effect::Life { number, life } = *effect {
                let (user, time) = (session.user().map(Into::into), clock::now().wall_ms);
                lives.enter(SessionEvent { session: self.id, user, number, time, life, missed: 0 });
            }
        }
    }

    /// Adds a link's signal, once the session knows the link.
    pub(super) fn add_signal(&self, id: LinkId, signal: Arc<Signal>) {
        self.wake.add(id, signal);
        self.wake.set_active(self.session.lock().active().map(|(id, _)| id));
    }

    /// Forgets a link, its client's or the gateway's doing.
    pub(super) fn remove_link(self: &Arc<Self>, id: LinkId, parting: Parting) {
        self.change(|session| session.handle_link_lost(clock::now(), id, parting));
        self.wake.remove(id);
    }

    fn carry_out(self: &Arc<Self>, effect: Effect) {
        match effect {
            Effect::Wake(id) => self.wake.wake(id),
            Effect::Subscribe(request) if self.is_lane_full(&request.channel) => {
                self.change(|session| session.refuse_subscription(&request, ErrorCode::Overloaded.into()));
            }
            Effect::Subscribe(request) => self.enqueue(request.channel.clone(), Task::Subscribe(request)),
            Effect::Unsubscribe(request) => self.enqueue(request.channel.clone(), Task::Unsubscribe(request)),
            Effect::Send { command, send: said }
                if self.shared.config.orders.of(&said.channel) == Order::None =>
            {
                start(Arc::clone(self).reply(command, said));
            }
            Effect::Send { command, send: said } => {
                self.enqueue(said.channel.clone(), Task::Send { command, said });
            }
            Effect::Volatile { channel, volatile } => _ = self.shared.say(&channel, volatile),
            Effect::Announce(channel) => self.shared.hub.announce(&channel),
            Effect::Permit(channel) => start(Arc::clone(self).permit(channel)),
            Effect::Authenticate { token } => self.check_credentials(token),
            Effect::Life { .. } => {} // on its way already
            Effect::Established => self.shared.metrics.count_established(),
            Effect::Refused(code) => self.shared.metrics.count_refusal(code),
            Effect::Tried { transport, outcome } => self.shared.metrics.count_attempt(transport, outcome),
            Effect::Dropped(dropped) => self.shared.metrics.count_dropped(dropped),
            Effect::Ended(ending) => self.ended(ending),
        }
    }

    fn ended(&self, ending: Ending) {
        self.shared.registry.remove(self.id, self.user().as_deref());
        self.shared.metrics.count_ending(ending);
        tracing::debug!(session = %self.id, reason = ending.as_str(), "session ended");
    }

    fn is_lane_full(&self, channel: &ChannelName) -> bool {
        let lanes = self.lanes.lock();
        let lane = lanes.as_ref().and_then(|lanes| lanes.channels.get(channel));
        lane.is_some_and(|lane| lane.len() >= LANE_TASKS)
    }

    /// Puts a task into its channel's lane, and runs the lane unless it runs already.
    fn enqueue(self: &Arc<Self>, channel: ChannelName, task: Task) {
        {
            let mut lanes = self.lanes.lock();
            let lanes = lanes.get_or_insert_default();
            if let Some(lane) = lanes.channels.get_mut(&channel) {
                return lane.push_back(task);
            }
            lanes.channels.insert(channel.clone(), VecDeque::from([task]));
        }
        start(Arc::clone(self).run_lane(channel));
    }

    async fn run_lane(self: Arc<Self>, channel: ChannelName) {
        loop {
            let task = {
                let mut lanes = self.lanes.lock();
                let Some(open) = lanes.as_mut() else { return };
                match open.channels.get_mut(&channel).and_then(VecDeque::pop_front) {
                    Some(task) => task,
                    None => {
                        open.channels.remove(&channel);
                        return close_if_empty(&mut lanes);
                    }
                }
            };
            match task {
                Task::Subscribe(request) => self.subscribe(request).await,
                Task::Unsubscribe(request) => self.change(|session| session.unsubscribe(&request)),
                Task::Send { command, said } => Arc::clone(&self).reply(command, said).await,
            }
        }
    }

    async fn subscribe(self: &Arc<Self>, request: SubscribeRequest) {
        let (user, grants) = (self.user(), self.grants());
        let query = SubscribeQuery {
            user: user.as_deref(),
            channel: &request.channel,
            token: request.token.as_ref(),
            presence: request.presence,
            history: request.from != SubscribeFrom::Now,
            grants: &grants,
        };
        // What the application gave is not for the client to be allowed.
        let is_given =
            request.command.is_none() && self.look(|session| session.is_assigned(&request.channel));
        if !is_given && let Err(error) = self.shared.authorize.subscribe(&query).await {
            return self.change(|session| session.refuse_subscription(&request, error));
        }
        match self.shared.broker.open(&request.channel).await {
            Ok(channel) => self.change(|session| session.subscribe(&request, &channel)),
            Err(error) => {
                let error = ReplyError::from(ErrorCode::from(error));
                self.change(|session| session.refuse_subscription(&request, error));
            }
        }
    }

    async fn reply(self: Arc<Self>, command: u64, said: Sent) {
        let result = self.send(command, said).await;
        self.change(|session| session.reply(command, result));
    }

    async fn send(&self, command: u64, said: Sent) -> SendResult {
        if said.channel.is_reserved() {
            return Err(ErrorCode::ReservedChannel.into());
        }
        let (user, grants) = (self.user(), self.grants());
        let query = SendQuery { user: user.as_deref(), channel: &said.channel, grants: &grants };
        self.shared.authorize.send(&query).await?;
        let Some(id) = said.id.clone() else { return self.hand_over(command, user, said).await };
        // The application's idempotency key, honoured per user across sessions; an anonymous user is a session.
        let owner = user.clone().unwrap_or_else(|| self.id.to_string().into());
        let key = (owner, id);
        match self.shared.recent_sends.claim(clock::now().mono_ms, &key) {
            Recall::Done(result) => result,
            Recall::UnderWay => Err(ErrorCode::Overloaded.into()),
            Recall::New => {
                let result = self.hand_over(command, user, said).await;
                match &result {
                    Err(error) if error.retryable => self.shared.recent_sends.release(&key),
                    _ => self.shared.recent_sends.settle(&key, result.clone()),
                }
                result
            }
        }
    }

    async fn hand_over(&self, command: u64, user: Option<Box<str>>, said: Sent) -> SendResult {
        let intent = Intent { session: self.id, command, user, time: clock::now().wall_ms, said };
        let answer = AssertUnwindSafe(self.shared.handler.handle(intent)).catch_unwind();
        match tokio::time::timeout(self.shared.config.handler_timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ErrorCode::HandlerFailed.into()), // it has panicked; its lane goes on
            Err(_) => Err(ErrorCode::TimedOut.into()),
        }
    }

    /// Finds out whether the user may send to a channel, beside its lane: what is said and not kept does not wait for
    /// what is.
    async fn permit(self: Arc<Self>, channel: ChannelName) {
        let is_allowed = if channel.is_reserved() { Some(false) } else { self.may_send(&channel).await };
        self.change(|session| session.permit(clock::now(), &channel, is_allowed));
    }

    /// `None` where nobody can say, or not in time: it may be otherwise in a moment.
    async fn may_send(&self, channel: &ChannelName) -> Option<bool> {
        let (user, grants) = (self.user(), self.grants());
        let query = SendQuery { user: user.as_deref(), channel, grants: &grants };
        let asking = async { self.shared.authorize.send(&query).await };
        let asking = AssertUnwindSafe(asking).catch_unwind();
        match tokio::time::timeout(self.shared.config.handler_timeout, asking).await {
            Ok(Ok(Ok(()))) => Some(true),
            Ok(Ok(Err(error))) if !error.retryable => Some(false),
            _ => None,
        }
    }

    /// Has fresh credentials checked, one after the other; of those that wait only the newest counts.
    fn check_credentials(self: &Arc<Self>, token: Token) {
        {
            let mut lanes = self.lanes.lock();
            let credentials = &mut lanes.get_or_insert_default().credentials;
            if let Some(waiting) = credentials {
                *waiting = Some(token);
                return;
            }
            *credentials = Some(None);
        }
        start(Arc::clone(self).authenticate_again(token));
    }

    /// Fresh credentials have to be those of the same user.
    async fn authenticate_again(self: Arc<Self>, mut token: Token) {
        loop {
            let credentials =
                Credentials { token: Some(token), headers: http::HeaderMap::new(), remote: None };
            let identity = self.shared.authenticate(&credentials).await;
            match identity {
                Ok(identity) if identity.user == self.user() => {
                    let expires_at_ms = identity.expires_at_ms;
                    self.adopt(identity);
                    self.change(|session| session.renew_credentials(clock::now(), expires_at_ms));
                }
                _ => {
                    self.shared.metrics.count_refusal(ErrorCode::Unauthorized);
                    self.change(|session| session.dismiss(Goodbye::Unauthorized));
                }
            }
            let mut lanes = self.lanes.lock();
            let Some(open) = lanes.as_mut() else { return };
            match open.credentials.take() {
                Some(Some(newer)) => (open.credentials, token) = (Some(None), newer),
                _ => return close_if_empty(&mut lanes),
            }
        }
    }

    /// From now on what this credential grants is what counts.
    pub(super) fn adopt(&self, identity: Identity) {
        *self.grants.lock() = identity.grants;
    }

    fn grants(&self) -> Grants {
        self.grants.lock().clone()
    }

    fn user(&self) -> Option<Box<str>> {
        self.look(|session| session.user().map(Into::into))
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.shared.broker.usage().change_journals(self.journal_bytes.load(Ordering::Relaxed), 0);
    }
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cell").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Gives back what lanes cost once none runs.
fn close_if_empty(lanes: &mut Option<Box<Lanes>>) {
    if lanes.as_ref().is_some_and(|open| open.channels.is_empty() && open.credentials.is_none()) {
        *lanes = None;
    }
}

/// Runs a future as far as it goes at once, and in a task of its own from there on.
///
/// Most tasks never wait (the memory broker, a handler that publishes), and their results then go out with the
/// answer to the message that asked for them.
fn start(future: impl Future<Output = ()> + Send + 'static) {
    let mut future = Box::pin(future);
    if pin!(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(future);
    }
}
