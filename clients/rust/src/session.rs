//! The handle that an application holds.

// Randomness and the time of day enter here, once.
#![allow(clippy::disallowed_methods)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use throughline_wire::{
    ChannelName, Command, Meta, Payload, Send, SubscribeFrom, Subscribed, Token, item::Accepted,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    address::Address,
    config::{Config, Via},
    core::{Outcome, negotiation::history::Attempt, session::Core},
    driver::{Control, Driver, Request, Volatile, Wishes},
    error::{ConfigError, MigrateError, SendError, SubscribeError},
    incoming::Incoming,
    state::{Phase, State},
    transport::{Network, tls::Trust},
};

/// A session with a gateway. Cheap to clone.
///
/// It outlives its links: it comes back by itself, with nothing lost, nothing twice and nothing out of order, until it is
/// [closed](Self::close), the gateway says for good, or the last handle is dropped (without a goodbye: the gateway keeps
/// the session for its resume window).
#[derive(Clone, Debug)]
pub struct Session {
    requests: mpsc::Sender<Request>,
    controls: mpsc::Sender<Control>,
    volatiles: mpsc::Sender<Volatile>,
    state: watch::Receiver<State>,
}

/// What the session hears, in order.
///
/// Takes up to [`Config::incoming`] things ahead of the application; past it the gateway holds the rest back, while
/// replies still come. Dropping it says that nobody listens: what comes is then let go.
#[derive(Debug)]
pub struct Events {
    incoming: mpsc::Receiver<Incoming>,
}

impl Session {
    /// Makes a client and begins to connect. Has to be called within a tokio runtime.
    ///
    /// Returns at once: commands wait for the first link, which is tried until it stands.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn connect(config: Config) -> Result<(Self, Events), ConfigError> {
        let address = Address::parse(&config.url)?;
        if config.transports.is_empty() {
            return Err(ConfigError::NoTransport);
        }
        if config.transports.iter().any(|via| !via.is_possible()) {
            return Err(ConfigError::Codec);
        }
        let seed = config.seed.unwrap_or_else(draw);
        let network = Network {
            address,
            dial: Arc::clone(&config.dial),
            trust: Trust::new(config.tls.clone()),
            connect: config.timing.connect,
            limits: config.limits,
        };
        let (requests, taken) = mpsc::channel(64);
        let (controls, controlled) = mpsc::channel(16);
        let (volatiles, said) = mpsc::channel(64);
        let (incoming, events) = mpsc::channel(config.incoming.max(1));
        let core = Core::new(config, seed, wall());
        let (state_to, state) = watch::channel(core.state());
        tokio::spawn(
            Driver::new(
                core,
                network,
                Wishes { requests: taken, controls: controlled, volatiles: said },
                incoming,
                state_to,
            )
            .run(),
        );
        Ok((Self { requests, controls, volatiles, state }, Events { incoming: events }))
    }

    /// Subscribes to a channel; its events come by [`Events`], after a [`Subscribed`](Incoming::Subscribed).
    ///
    /// # Errors
    /// When the gateway refuses, or the client is closed.
    ///
    /// # Cancel safety
    /// Dropped after its first poll the subscription is made all the same, unless it still waits since too many commands
    /// have no reply ([`Config::commands`]); only its result is not heard.
    pub async fn subscribe(
        &self,
        channel: ChannelName,
        from: SubscribeFrom,
    ) -> Result<Subscribed, SubscribeError> {
        self.hold(channel, from, false).await
    }

    /// Subscribes to a channel and takes part in its presence: the session is listed, and [`Incoming::Presence`] says
    /// who else is, first everybody and then who comes and goes. It lasts until the channel is left; to
    /// [subscribe](Self::subscribe) again ends it, and keeps the channel. A client that is lost is listed for some
    /// seconds more, so that nobody sees reconnects.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe); `too_many_members` where as many take part as may.
    ///
    /// # Cancel safety
    /// As [`subscribe`](Self::subscribe).
    pub async fn take_part(
        &self,
        channel: ChannelName,
        from: SubscribeFrom,
    ) -> Result<Subscribed, SubscribeError> {
        self.hold(channel, from, true).await
    }

    async fn hold(
        &self,
        channel: ChannelName,
        from: SubscribeFrom,
        presence: bool,
    ) -> Result<Subscribed, SubscribeError> {
        let command = Command::Subscribe { channel, from, token: None, presence };
        match self.command(command).await {
            Outcome::Subscribed(subscribed) => Ok(subscribed),
            Outcome::Rejected(error) => Err(SubscribeError::Rejected(error)),
            _ => Err(SubscribeError::Closed),
        }
    }

    /// Leaves a channel. Events that were on their way still come; none comes after this has returned
    /// and [`Unsubscribed`](Incoming::Unsubscribed) was heard.
    ///
    /// # Errors
    /// When the gateway refuses, or the client is closed.
    pub async fn unsubscribe(&self, channel: ChannelName) -> Result<(), SubscribeError> {
        match self.command(Command::Unsubscribe { channel }).await {
            Outcome::Unsubscribed => Ok(()),
            Outcome::Rejected(error) => Err(SubscribeError::Rejected(error)),
            _ => Err(SubscribeError::Closed),
        }
    }

    /// Says something to the application, and waits for its answer.
    ///
    /// Concurrent sends are pipelined; they are numbered in the order in which their futures are first polled. Where the
    /// order matters and answers are not to be waited for, use [`begin_send`](Self::begin_send).
    ///
    /// # Errors
    /// When it was refused, when its outcome is unknown, or when the client is closed.
    pub async fn send(
        &self,
        channel: ChannelName,
        name: Option<&str>,
        id: Option<&str>,
        meta: Meta,
        payload: Payload,
    ) -> Result<Accepted, SendError> {
        let send = Send { channel, name: name.map(Into::into), id: id.map(Into::into), meta, payload };
        self.begin_send(send).await.outcome().await
    }

    /// Gives a send its place in the order, and returns what its answer can be waited for with.
    ///
    /// Waits only while [`Config::commands`] commands have no reply.
    pub async fn begin_send(&self, send: Send) -> Sending {
        Sending { outcome: self.begin(Command::Send(send)).await }
    }

    /// Says something that matters now or not at all: a cursor, "is typing". As a datagram where the link has them.
    /// Never waits: it is dropped where there is no link, or where the link has enough to write. Returns whether it
    /// went as far as that.
    ///
    /// The session has to hold the channel, and the gateway takes at most 4 KiB.
    pub fn send_volatile(&self, channel: ChannelName, name: Option<&str>, payload: Payload) -> bool {
        self.volatiles.try_send(Volatile { channel, name: name.map(Into::into), payload }).is_ok()
    }

    /// Moves the live session to another transport, and stays on it. Nothing is lost on the way: the link there is
    /// goes on until the new one is proven.
    ///
    /// # Errors
    /// When there is no link to move from, or the new one could not be proven; the session lives on either way.
    pub async fn migrate(&self, via: Via) -> Result<(), MigrateError> {
        let (to, outcome) = oneshot::channel();
        if self.controls.send(Control::Migrate { via, outcome: to }).await.is_err() {
            return Err(MigrateError::Closed);
        }
        match outcome.await {
            Ok(Outcome::Migrated(result)) => result,
            _ => Err(MigrateError::Closed),
        }
    }

    /// Drops the current link as a failing network would, without a goodbye. For tests.
    pub async fn cut(&self) {
        let _ = self.controls.send(Control::Cut).await;
    }

    /// Gives new credentials, for this link and those to come.
    pub async fn authenticate(&self, token: Token) {
        let _ = self.controls.send(Control::Authenticate { token }).await;
    }

    /// Says that the network changed: another interface, another Wi-Fi, a machine that woke. What was learnt of
    /// transports is forgotten, the link is asked for a sign of life, and a session without one comes back at once.
    pub async fn network_changed(&self) {
        let _ = self.controls.send(Control::NetworkChanged).await;
    }

    /// How the session stands, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What was tried lately, and how it went: why the session runs on what it runs on.
    pub fn history(&self) -> Arc<[Attempt]> {
        Arc::clone(&self.state.borrow().history)
    }

    /// Waits until a link carries the session. Returns whether one does: not when the client is
    /// closed, or needs credentials.
    pub async fn connected(&self) -> bool {
        let mut state = self.state.clone();
        let settled = |state: &State| !matches!(state.phase, Phase::Opening | Phase::Waiting);
        let Ok(state) = state.wait_for(settled).await else { return false };
        state.phase == Phase::Up
    }

    /// Ends the session: the gateway forgets it. Returns once the goodbye is said, or its time is over.
    pub async fn close(&self) {
        let (to, done) = oneshot::channel();
        if self.controls.send(Control::Close { done: to }).await.is_ok() {
            let _ = done.await;
        }
    }

    async fn command(&self, command: Command) -> Outcome {
        match self.begin(command).await {
            Some(outcome) => outcome.await.unwrap_or(Outcome::Closed),
            None => Outcome::Closed,
        }
    }

    async fn begin(&self, command: Command) -> Option<oneshot::Receiver<Outcome>> {
        let (to, outcome) = oneshot::channel();
        self.requests.send(Request { command, outcome: to }).await.ok().map(|()| outcome)
    }
}

/// A send that has its place in the order. Dropping it does not take it back.
#[derive(Debug)]
#[must_use = "whether it was accepted is known only by waiting for its outcome"]
pub struct Sending {
    outcome: Option<oneshot::Receiver<Outcome>>,
}

impl Sending {
    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub async fn outcome(self) -> Result<Accepted, SendError> {
        let Some(outcome) = self.outcome else { return Err(SendError::Closed) };
        match outcome.await {
            Ok(Outcome::Accepted(accepted)) => Ok(accepted),
            Ok(Outcome::Rejected(error)) => Err(SendError::Rejected(error)),
            Ok(Outcome::Unknown) => Err(SendError::OutcomeUnknown),
            _ => Err(SendError::Closed),
        }
    }
}

impl Events {
    /// The next thing, or nothing once the client is closed and all is taken.
    ///
    /// # Cancel safety
    /// Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

/// The time since the Unix epoch; nothing, where the clock is before it.
fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// A seed that nobody can guess; where the system has none to give, jitter still has to differ from process to process.
fn draw() -> u64 {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        return u64::from(std::process::id()) << 32 ^ std::ptr::from_ref(&bytes).addr() as u64;
    }
    u64::from_ne_bytes(bytes)
}
