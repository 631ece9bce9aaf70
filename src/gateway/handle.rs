//! The application's side of a gateway: publish, look, disconnect, shut down.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use throughline_wire::{
    ChannelName, ErrorCode, Event, MAX_INTEGER, Member, Offset, Position, Sender, SessionId, bounds,
};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Identity, Shared, Ticket, TicketError, clock,
    drain::{Drain, DrainOrder, DrainProgress},
    limits::Door,
};
use crate::{
    broker::{Claim, Recall},
    channel::{NewEvent, NewVolatile},
};

/// What an application does with its gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// Ends the gateway's tasks with the last clone.
    _running: Arc<DropGuard>,
}

/// One event for one or many channels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// Where it goes.
    pub channels: Vec<ChannelName>,
    /// What it is.
    pub event: NewEvent,
}

/// What became of an event in one channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// The channel.
    pub channel: ChannelName,
    /// Where it landed, or why it did not.
    pub result: Result<Position, ErrorCode>,
}

/// Why nothing was published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The same idempotency key is being published at this moment. Retry.
    #[error("a publish under the same idempotency key is under way")]
    UnderWay,
    /// The broker refused.
    #[error("{}", .0.message())]
    Refused(ErrorCode),
}

/// Why a session is not asked to move.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// There is no such session. Final.
    #[error("there is no such session")]
    SessionUnknown,
    /// It is detached, between two polls perhaps, or on an event stream by address, which has nobody who could move.
    /// Retry once it is attached.
    #[error("the session has no link that could be asked")]
    NoLink,
    /// The gateway does not offer this transport. The caller's fault.
    #[error("{0:?} is not on offer")]
    NotOffered(Box<str>),
}

/// Part of what a channel holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The place of the newest event.
    pub head: Position,
    /// The place before the oldest event that is held.
    pub base: Offset,
    /// Events, oldest first.
    pub events: Vec<Event>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, stop: CancellationToken) -> Self {
        Self { shared, _running: Arc::new(stop.drop_guard()) }
    }

    /// What the clients' listeners ask before they take a connection ([`ListenerConfig::door`]).
    ///
    /// [`ListenerConfig::door`]: crate::http::listener::ListenerConfig::door
    pub fn door(&self) -> Door {
        Door::new(Arc::clone(&self.shared.limits))
    }

    /// Publishes one event to one channel, and says where it landed.
    ///
    /// # Errors
    /// [`PublishError::Refused`] with the broker's reason, or with [`ErrorCode::MessageTooLarge`] for a name or a key of
    /// more than 200 bytes or a sender's of more than 256.
    pub async fn publish(&self, channel: &ChannelName, event: NewEvent) -> Result<Position, PublishError> {
        if !is_takable([&event.name, &event.key], event.sender.as_ref()) {
            return Err(PublishError::Refused(ErrorCode::MessageTooLarge));
        }
        let began = Instant::now();
        let result = self.shared.broker.publish(channel, event).await;
        self.shared.metrics.count_publish(u64::from(result.is_ok()), began.elapsed().as_secs_f64());
        result.map_err(|error| PublishError::Refused(error.into()))
    }

    /// Publishes events in order; those of one channel keep it. A publish under an idempotency key that was used in
    /// the last 5 minutes answers as the first did and does nothing.
    ///
    /// # Errors
    /// [`PublishError::UnderWay`]. What became of each event is in the result.
    ///
    /// # Cancel safety
    /// Dropped, it publishes no more. Whoever comes again under its key is told what was published, and
    /// [`ErrorCode::TimedOut`] of the rest, of which one event may have been published all the same; where nothing was, it
    /// begins anew.
    pub async fn publish_batch(
        &self,
        publications: Vec<Publication>,
        idempotency_key: Option<&str>,
    ) -> Result<Vec<Vec<Published>>, PublishError> {
        let mut claim = None;
        if let Some(key) = idempotency_key {
            match self.shared.recent_publishes.claim(clock::now().mono_ms, &key.into()) {
                Recall::Done(published) => return Ok(published),
                Recall::UnderWay => return Err(PublishError::UnderWay),
                Recall::New(new) => claim = Some(new),
            }
        }
        let unpublished = |channel| Published { channel, result: Err(ErrorCode::TimedOut) };
        let (events, published): (Vec<_>, _) = publications
            .into_iter()
            .map(|Publication { channels, event }| {
                (event, channels.into_iter().map(unpublished).collect::<Vec<_>>())
            })
            .unzip();
        let mut batch = Batch { claim, published };
        for (event, results) in events.iter().zip(&mut batch.published) {
            for Published { channel, result } in results {
                *result = match self.publish(channel, event.clone()).await {
                    Ok(position) => Ok(position),
                    Err(PublishError::Refused(code)) => Err(code),
                    Err(PublishError::UnderWay) => Err(ErrorCode::Overloaded),
                };
            }
        }
        let is_kept = batch.claim.is_some();
        Ok(if is_kept { batch.published.clone() } else { std::mem::take(&mut batch.published) })
    }

    /// Says something in a channel that is not kept: to whoever holds it at this moment, numbered and repeated for
    /// nobody. It may be lost on the way to any of them.
    ///
    /// # Errors
    /// [`ErrorCode::MessageTooLarge`] above `volatile_bytes` of the [session's settings](crate::session::SessionConfig),
    /// and for a name of more than 200 bytes or a sender's of more than 256; [`ErrorCode::NumberOutOfRange`] for a `seq`
    /// above 2^53 - 1; [`ErrorCode::Overloaded`] where the broker has no room for it, or carries none.
    pub fn volatile(&self, channel: &ChannelName, volatile: NewVolatile) -> Result<(), ErrorCode> {
        let is_takable = is_takable([&volatile.name], volatile.sender.as_ref());
        if !is_takable || volatile.payload.len() > self.shared.session.volatile_bytes {
            return Err(ErrorCode::MessageTooLarge);
        }
        if volatile.seq.is_some_and(|seq| seq > MAX_INTEGER) {
            return Err(ErrorCode::NumberOutOfRange);
        }
        if self.shared.say(channel, volatile) { Ok(()) } else { Err(ErrorCode::Overloaded) }
    }

    /// Up to `limit` events of a channel after a place, or the last ones. A channel that nobody has
    /// published to has none.
    ///
    /// # Errors
    /// The broker's reason.
    pub async fn history(
        &self,
        channel: &ChannelName,
        after: Option<Offset>,
        limit: usize,
    ) -> Result<History, ErrorCode> {
        let channel = self.shared.broker.open(channel).await?;
        let log = channel.log();
        let (head, base) = (log.head(), log.base());
        let last = Offset::new(head.offset.get().saturating_sub(limit as u64)).unwrap_or_default();
        let after = after.unwrap_or(last).max(base);
        let events = log.after(after).take(limit).map(|(_, entry)| entry.event()).collect();
        Ok(History { head, base, events })
    }

    /// Who takes part in the presence of a channel on this node, in the order in which they came.
    ///
    /// # Errors
    /// The broker's reason.
    pub async fn presence(&self, channel: &ChannelName) -> Result<Vec<Member>, ErrorCode> {
        let channel = self.shared.broker.open(channel).await?;
        Ok(channel.members().iter().map(|member| Member::clone(member)).collect())
    }

    /// A ticket for an event stream by address, for a user whom the application knows: it opens one session, once, within
    /// `life` ([`Ticket::LIFE`] for most).
    ///
    /// # Errors
    /// [`TicketError`] says what does not fit.
    pub fn ticket(&self, identity: &Identity, life: Duration) -> Result<Ticket, TicketError> {
        self.shared.make_ticket(identity, life)
    }

    /// Ends a session and tells its client not to come back. Says whether there was one.
    pub fn disconnect(&self, id: SessionId) -> bool {
        self.disconnect_with(id, false)
    }

    /// Asks the client of a session to move to one of these transports, named in order of preference, after `delay` and
    /// a random part of `spread`. It moves by a probe, so what works is not given up for what does not.
    ///
    /// # Errors
    /// [`MigrateError`]; nobody was asked then.
    pub fn migrate(
        &self,
        id: SessionId,
        transports: &[impl AsRef<str>],
        delay: Duration,
        spread: Duration,
    ) -> Result<(), MigrateError> {
        let offers = self.shared.session.transports.now();
        let offered = |name: &str| {
            let offer = offers.iter().find(|offer| *offer.name == *name);
            offer.cloned().ok_or_else(|| MigrateError::NotOffered(name.into()))
        };
        let transports =
            transports.iter().map(|name| offered(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let cell = self.shared.registry.find(id).ok_or(MigrateError::SessionUnknown)?;
        let [delay_ms, spread_ms] = [delay, spread]
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(MAX_INTEGER).min(MAX_INTEGER));
        let is_asked = cell.change(|session| session.ask_to_migrate(transports, delay_ms, spread_ms));
        if is_asked { Ok(()) } else { Err(MigrateError::NoLink) }
    }

    /// Whether an event goes through the broker.
    pub async fn is_healthy(&self) -> bool {
        self.shared.is_healthy().await
    }

    /// Counts a refusal of the admin API.
    pub(crate) fn count_refusal(&self, code: ErrorCode) {
        self.shared.metrics.count_refusal(code);
    }

    /// All metrics, in OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.shared.metrics.encode(&self.shared)
    }

    /// Whether sessions are taken: not while it drains, unless a successor is about to take its listeners over, nor while no
    /// event goes through the broker.
    pub async fn is_ready(&self) -> bool {
        self.shared.is_ready().await
    }

    /// Begins to drain: opens nothing new, and tells each session when to leave and when to come back, spread as a
    /// successor with the same admission rate can take them, within the deadline, or the [configured one]. Asked again it
    /// says how far the drain is that has begun; nothing ends one but its end.
    ///
    /// Whoever serves the gateway's connections finds in [`retiring`](Self::retiring) when they take no further request.
    ///
    /// [configured one]: super::GatewayConfig::drain_deadline
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn drain(&self, deadline: Option<Duration>) -> DrainProgress {
        let config = &self.shared.config;
        self.begin(DrainOrder {
            deadline: deadline.unwrap_or(config.drain_deadline),
            return_after: config.drain_return_after,
            is_handed_over: false,
        })
    }

    /// Begins to drain for a successor on the same listeners, which waits for them and for the UDP port. Whoever speaks
    /// request by request is told first, and WebTransport; the others from the change on, in turn behind those who were
    /// told first, and each may come back at once.
    ///
    /// Whoever serves the listeners goes on accepting until [they may change hands](Self::may_change_hands), lets the
    /// successor accept, and then has to say that they [have](Self::changed_hands): until it does everybody who stays is
    /// kept here, and is told only where the deadline presses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn hand_over(&self) -> DrainProgress {
        let deadline = self.shared.config.drain_deadline;
        self.begin(DrainOrder { deadline, return_after: Duration::ZERO, is_handed_over: true })
    }

    /// Waits until a successor may begin to accept: nobody who has not been told is expected to come back by another
    /// connection. That takes 2.5 seconds at most, and less with a deadline below ten; at once where the drain that has
    /// begun is none for a successor.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn may_change_hands(&self) {
        if let Some(drain) = self.shared.drain() {
            drain.may_change_hands().await;
        }
    }

    /// Says that a successor is about to be told that the listeners are its own, or that it could not be told.
    #[cfg(all(feature = "cli", unix))]
    pub(crate) fn give_listeners(&self, are_given: bool) {
        if let Some(drain) = self.shared.drain() {
            drain.give(are_given);
        }
    }

    /// Whether a successor may serve by now, with sessions that this gateway does not know.
    pub(crate) fn is_followed(&self) -> bool {
        self.shared.drain().is_some_and(Drain::is_given)
    }

    /// Says that the successor accepts now, and this process does not.
    pub fn changed_hands(&self) {
        if let Some(drain) = self.shared.drain() {
            drain.changed_hands();
        }
    }

    fn begin(&self, order: DrainOrder) -> DrainProgress {
        self.shared.progress_of(self.shared.begin_drain(order))
    }

    /// How far the drain is, once one has begun.
    pub fn drain_progress(&self) -> Option<DrainProgress> {
        self.shared.drain_progress()
    }

    /// Cancelled as soon as the gateway drains: connections take no further request then, so that their clients come
    /// back on others. See [`Stop`](crate::http::listener::Stop).
    pub fn retiring(&self) -> CancellationToken {
        self.shared.retire.clone()
    }

    /// Waits until no session is on this transport any more, or the drain that has begun has ended.
    #[cfg(all(feature = "cli", unix))]
    pub(crate) async fn vacated(&self, transport: &str) {
        let Some(drain) = self.shared.drain() else { return };
        tokio::select! {
            () = self.shared.vacated(transport) => {}
            _ = drain.ended() => {}
        }
    }

    /// Waits until a drain has ended; says whether all had left by its deadline.
    ///
    /// # Cancel safety
    /// It only waits.
    pub async fn drained(&self) -> bool {
        self.shared.retire.cancelled().await;
        match self.shared.drain() {
            Some(drain) => drain.ended().await,
            None => false,
        }
    }

    /// [Drains](Self::drain), and waits for the end. Says whether all had left. Whoever [listens](super::Builder::lifecycle)
    /// was told by then that the sessions are over, which takes two seconds more at most.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.drain(Some(deadline));
        self.drained().await
    }
}

/// What has become of a batch so far. It is kept for its key when it is dropped, however far it came.
struct Batch<'a> {
    claim: Option<Claim<'a, Box<str>, Vec<Vec<Published>>>>,
    published: Vec<Vec<Published>>,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // Where nothing was published the same request may succeed later.
        if let Some(claim) = self.claim.take()
            && self.published.iter().flatten().any(|one| one.result.is_ok())
        {
            claim.settle(clock::now().mono_ms, std::mem::take(&mut self.published));
        }
    }
}

/// Whether receivers take what has these names: longer ones they refuse.
fn is_takable<const N: usize>(names: [&Option<Box<str>>; N], sender: Option<&Sender>) -> bool {
    const { assert!(bounds::NAME_BYTES == bounds::KEY_BYTES, "one bound for both") };
    let user = sender.and_then(|sender| sender.user.as_ref());
    names.into_iter().flatten().all(|name| name.len() <= bounds::NAME_BYTES)
        && user.is_none_or(|user| user.len() <= bounds::USER_BYTES)
}
