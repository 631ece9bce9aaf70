//! What a session asks for and takes time: authorising, opening a channel, the application's handler.
//!
//! It runs in *lanes*: one for each channel that the session is saying something about, in order, so that a slow one
//! holds up nobody else. Most never wait, and cost no task.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use hashbrown::HashMap;
use throughline_wire::{ChannelName, ErrorCode, ReplyError, Send as Sent, SubscribeFrom, Token};

use super::Cell;
use crate::{
    broker::Recall,
    gateway::{
        authority::{Credentials, Denied, SendQuery, SubscribeQuery},
        clock,
    },
    session::{Goodbye, SendResult, SubscribeRequest, UnsubscribeRequest},
    upstream::Intent,
};

/// What waits its turn.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// By channel. A channel is there while its lane runs.
    channels: HashMap<ChannelName, VecDeque<Task>>,
    /// There while credentials are being checked; with the newest of those that came meanwhile, and when it came.
    credentials: Option<Option<(u64, Token)>>,
}

/// The most that waits in one lane, for whoever is slow to authorise: each rebuild of a session asks again.
const LANE_TASKS: usize = 256;

/// What a lane does.
#[derive(Debug)]
pub(super) enum Task {
    Subscribe(SubscribeRequest),
    Unsubscribe(UnsubscribeRequest),
    Send { command: u64, said: Sent },
}

impl Cell {
    pub(super) fn is_lane_full(&self, channel: &ChannelName) -> bool {
        let lanes = self.lanes.lock();
        let lane = lanes.as_ref().and_then(|lanes| lanes.channels.get(channel));
        lane.is_some_and(|lane| lane.len() >= LANE_TASKS)
    }

    /// Puts a task into its channel's lane, and runs the lane unless it runs already.
    pub(super) fn enqueue(self: &Arc<Self>, channel: ChannelName, task: Task) {
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
        let channel = self.shared.answer(async {
            if !is_given {
                self.shared.authorize.subscribe(&query).await?;
            }
            let channel = self.shared.broker.open(&request.channel).await;
            channel.map_err(|error| ReplyError::from(ErrorCode::from(error)))
        });
        match channel.await.map_err(ReplyError::from).flatten() {
            Ok(channel) => self.change(|session| session.subscribe(&request, &channel)),
            Err(error) => self.change(|session| session.refuse_subscription(&request, error)),
        }
    }

    pub(super) async fn reply(self: Arc<Self>, command: u64, said: Sent) {
        let result = self.send(command, said).await;
        self.change(|session| session.reply(command, result));
    }

    async fn send(&self, command: u64, said: Sent) -> SendResult {
        if said.channel.is_reserved() {
            return Err(ErrorCode::ReservedChannel.into());
        }
        self.may_send(&said.channel).await?;
        let user = self.user();
        let Some(id) = said.id.clone() else { return self.hand_over(command, user, said).await };
        // The application's idempotency key, honoured per user across sessions; an anonymous user is a session.
        let owner = user.clone().unwrap_or_else(|| self.id.to_string().into());
        let key = (owner, id);
        match self.shared.recent_sends.claim(clock::now().mono_ms, &key) {
            Recall::Done(result) => result,
            Recall::UnderWay => Err(ErrorCode::Overloaded.into()),
            Recall::New(claim) => {
                let result = self.hand_over(command, user, said).await;
                if result.as_ref().err().is_none_or(|error| !error.retryable) {
                    claim.settle(clock::now().mono_ms, result.clone());
                }
                result
            }
        }
    }

    async fn hand_over(&self, command: u64, user: Option<Box<str>>, said: Sent) -> SendResult {
        let intent = Intent { session: self.id, command, user, time: clock::now().wall_ms, said };
        self.shared.answer(async { self.shared.handler.handle(intent).await }).await?
    }

    /// Finds out whether the user may send to a channel, beside its lane: what is said and not kept does not wait for
    /// what is.
    pub(super) async fn permit(self: Arc<Self>, channel: ChannelName) {
        let is_allowed = if channel.is_reserved() {
            Some(false)
        } else {
            match self.may_send(&channel).await {
                Ok(()) => Some(true),
                // Where nobody can say, or not in time, it may be otherwise in a moment.
                Err(error) => (!error.retryable).then_some(false),
            }
        };
        self.change(|session| session.permit(clock::now(), &channel, is_allowed));
    }

    /// Asks whether the user may send to a channel.
    async fn may_send(&self, channel: &ChannelName) -> Result<(), ReplyError> {
        let (user, grants) = (self.user(), self.grants());
        let query = SendQuery { user: user.as_deref(), channel, grants: &grants };
        self.shared.answer(async { self.shared.authorize.send(&query).await }).await?
    }

    /// Has fresh credentials checked, one after the other; of those that wait only the newest counts.
    pub(super) fn check_credentials(self: &Arc<Self>, token: Token) {
        let shown = {
            let mut lanes = self.lanes.lock();
            let shown = self.shared.next_credential();
            let credentials = &mut lanes.get_or_insert_default().credentials;
            if let Some(waiting) = credentials {
                *waiting = Some((shown, token));
                return;
            }
            *credentials = Some(None);
            shown
        };
        start(Arc::clone(self).authenticate_again(shown, token));
    }

    /// Fresh credentials have to be those of the same user. Of any others the client is told as of a hello's; nothing once
    /// it has come back with a newer one.
    async fn authenticate_again(self: Arc<Self>, mut shown: u64, mut token: Token) {
        loop {
            let credentials =
                Credentials { token: Some(token), headers: http::HeaderMap::new(), remote: None };
            match self.shared.authenticate(&credentials).await {
                Ok(identity) if identity.user == self.user() => self.change(|session| {
                    if self.adopt(shown, identity.grants) {
                        session.renew_credentials(clock::now(), identity.expires_at_ms);
                    }
                }),
                outcome => {
                    let goodbye = outcome.map_or_else(Denied::goodbye, |_| Goodbye::Unauthorized);
                    self.change(|session| {
                        if self.is_outdated(shown) {
                            return;
                        }
                        if let Some(code) = goodbye.error() {
                            self.shared.metrics.count_refusal(code);
                        }
                        session.dismiss(goodbye);
                    });
                }
            }
            let mut lanes = self.lanes.lock();
            let Some(open) = lanes.as_mut() else { return };
            match open.credentials.take() {
                Some(Some(newer)) => (open.credentials, (shown, token)) = (Some(None), newer),
                _ => return close_if_empty(&mut lanes),
            }
        }
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
pub(super) fn start(future: impl Future<Output = ()> + Send + 'static) {
    let mut future = Box::pin(future);
    if pin!(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        tokio::spawn(future);
    }
}
