//! The application's side of sessions that it names by what they are: one, those of a user, those that are alike.
//!
//! What a user has is found by an index. What is looked for otherwise goes through sessions in the order of their ids, so
//! many at a time: a page may have less than was asked for, and there is more while it names a place to go on from.

use std::sync::Arc;

use throughline_wire::{ChannelName, ErrorCode, Position, SessionId, SubscribeFrom};

use super::{Handle, PublishError, cell::Cell, census::SessionState, clock};
use crate::{
    channel::{Channel, NewEvent},
    session::{Session, TransportHistory, user_channel},
};

/// A session, as it was when it was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// Its public name.
    pub id: SessionId,
    /// The authenticated user.
    pub user: Option<Box<str>>,
    /// The transport that items flow on; `None` while it is detached.
    pub transport: Option<&'static str>,
    /// Where it is in its life.
    pub state: SessionState,
    /// Whose item numbers these are.
    pub incarnation: u64,
    /// How many items are unacknowledged.
    pub unacknowledged: u64,
    /// The last command taken.
    pub received: u64,
    /// Its channels, with its place in each.
    pub subscriptions: Vec<(ChannelName, Position)>,
    /// How it came to be where it is; `None` in a [page](Page) of sessions.
    pub transports: Option<TransportHistory>,
}

/// Some sessions, in the order of their ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The sessions.
    pub sessions: Vec<SessionInfo>,
    /// The id to go on after; `None` on the last page.
    pub next: Option<SessionId>,
}

/// Which sessions are meant: those that are all of this.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionFilter {
    /// The sessions of this user.
    pub user: Option<Box<str>>,
    /// Those that hold this channel.
    pub channel: Option<ChannelName>,
    /// Those that are on this transport.
    pub transport: Option<Box<str>>,
    /// Those that are in this state.
    pub state: Option<SessionState>,
}

/// What became of each session of a user.
pub type OfSessions<T> = Vec<(SessionId, Result<T, ErrorCode>)>;

/// A channel, as it was when it was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// How many sessions of this node hold it.
    pub subscribers: usize,
    /// How many of them take part in its presence.
    pub members: usize,
    /// The place of its newest event.
    pub head: Position,
}

impl SessionFilter {
    fn means(&self, session: &Session) -> bool {
        let is_on = |transport: &str| session.active().is_some_and(|(_, spec)| spec.transport == transport);
        let holds = |channel: &ChannelName| session.subscriptions().any(|(held, _)| held == channel);
        self.user.as_deref().is_none_or(|user| session.user() == Some(user))
            && self.transport.as_deref().is_none_or(is_on)
            && self.state.is_none_or(|state| SessionState::of(session) == state)
            && self.channel.as_ref().is_none_or(holds)
    }
}

impl Handle {
    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.shared.registry.len()
    }

    /// Up to `limit` sessions whose ids follow `after`.
    pub fn sessions(&self, after: Option<SessionId>, limit: usize) -> Page {
        self.sessions_where(&SessionFilter::default(), after, limit)
    }

    /// One session.
    pub fn session(&self, id: SessionId) -> Option<SessionInfo> {
        let cell = self.shared.registry.find(id)?;
        let transports = |session: &Session| Some(session.transports(clock::now()));
        Some(cell.look(|session| SessionInfo { transports: transports(session), ..info(session) }))
    }

    /// Up to `limit` of the sessions that are meant, whose ids follow `after`. Where few are, a page ends after it has looked
    /// at 10,000.
    pub fn sessions_where(&self, filter: &SessionFilter, after: Option<SessionId>, limit: usize) -> Page {
        let registry = &self.shared.registry;
        let of_user = filter.user.as_deref().map(|user| registry.of_user(user));
        let of_all = of_user.is_none().then(|| registry.after(after));
        let of_user =
            of_user.into_iter().flatten().filter(|cell| after.is_none_or(|after| cell.id() > after));
        let (mut sessions, mut last) = (Vec::<SessionInfo>::new(), None);
        for (looked_at, cell) in of_user.chain(of_all.into_iter().flatten()).enumerate() {
            if sessions.len() >= limit || looked_at == LOOKED_AT {
                return Page { sessions, next: last };
            }
            last = Some(cell.id());
            sessions.extend(cell.look(|session| filter.means(session).then(|| info(session))));
        }
        Page { sessions, next: None }
    }

    /// Up to `limit` channels of this node whose names begin with `prefix` and follow `after`, in the order of their names.
    pub fn channels(&self, prefix: &str, after: Option<&ChannelName>, limit: usize) -> Vec<ChannelInfo> {
        let channels = self.shared.broker.channels(prefix, after, limit);
        let info = |channel: Arc<Channel>| ChannelInfo {
            name: channel.name().clone(),
            subscribers: channel.listeners(),
            members: channel.member_count(),
            head: channel.log().head(),
        };
        channels.into_iter().map(info).collect()
    }

    /// How many channels there are on this node.
    pub fn channel_count(&self) -> u64 {
        self.shared.broker.usage().channels()
    }

    /// Publishes one event to a user's own channel, which the sessions of that user hold
    /// [where configured](crate::session::SessionConfig::user_channel).
    ///
    /// # Errors
    /// As for [`publish`](Self::publish); [`ErrorCode::InvalidChannel`] for a user whose name cannot be a channel's.
    pub async fn publish_to_user(&self, user: &str, event: NewEvent) -> Result<Position, PublishError> {
        let channel = user_channel(user).map_err(PublishError::Refused)?;
        self.publish(&channel, event).await
    }

    /// Gives a session a channel, whatever its user may; says whether it did not hold it. It keeps it, over reconnects and
    /// rebuilds, until its client unsubscribes or it is [taken away](Self::unsubscribe).
    ///
    /// # Errors
    /// [`ErrorCode::SessionUnknown`]; those of [`Session::assign`]; the broker's reason. Nothing has changed then.
    pub async fn subscribe(
        &self,
        session: SessionId,
        channel: &ChannelName,
        from: SubscribeFrom,
    ) -> Result<bool, ErrorCode> {
        let cell = self.shared.registry.find(session).ok_or(ErrorCode::SessionUnknown)?;
        let channel = self.shared.broker.open(channel).await?;
        assign(&cell, &channel, from)
    }

    /// The same for each session that a user has at this moment.
    ///
    /// # Errors
    /// The broker's reason. What is wrong with one of the sessions is in the result.
    pub async fn subscribe_user(
        &self,
        user: &str,
        channel: &ChannelName,
        from: SubscribeFrom,
    ) -> Result<OfSessions<bool>, ErrorCode> {
        let channel = self.shared.broker.open(channel).await?;
        let cells = self.shared.registry.of_user(user);
        Ok(cells.iter().map(|cell| (cell.id(), assign(cell, &channel, from))).collect())
    }

    /// Takes a channel away from a session, whoever subscribed it. Its client may subscribe again if it is allowed to.
    ///
    /// # Errors
    /// [`ErrorCode::SessionUnknown`], [`ErrorCode::NotSubscribed`].
    pub fn unsubscribe(&self, session: SessionId, channel: &ChannelName) -> Result<(), ErrorCode> {
        let cell = self.shared.registry.find(session).ok_or(ErrorCode::SessionUnknown)?;
        let was_held = cell.change(|session| session.revoke(channel));
        if was_held { Ok(()) } else { Err(ErrorCode::NotSubscribed) }
    }

    /// The same for each session that a user has at this moment; says which held it.
    pub fn unsubscribe_user(&self, user: &str, channel: &ChannelName) -> Vec<SessionId> {
        let mut cells = self.shared.registry.of_user(user);
        cells.retain(|cell| cell.change(|session| session.revoke(channel)));
        cells.iter().map(|cell| cell.id()).collect()
    }

    /// Ends each session that a user has at this moment, and says which. Whoever may not come back has to be turned away at
    /// the door as well: a client that had no link at this moment is not told.
    pub fn disconnect_user(&self, user: &str, may_return: bool) -> Vec<SessionId> {
        let cells = self.shared.registry.of_user(user);
        cells.iter().for_each(|cell| cell.change(|session| session.disconnect(may_return)));
        cells.iter().map(|cell| cell.id()).collect()
    }

    /// Ends a session, and tells its client to stay away, or, where it `may_return`, to open another one. Says whether there
    /// was one.
    pub fn disconnect_with(&self, session: SessionId, may_return: bool) -> bool {
        let Some(cell) = self.shared.registry.find(session) else { return false };
        cell.change(|session| session.disconnect(may_return));
        true
    }
}

fn assign(cell: &Arc<Cell>, channel: &Arc<Channel>, from: SubscribeFrom) -> Result<bool, ErrorCode> {
    cell.change(|session| session.assign(channel, from))
}

/// How many sessions one page looks at.
const LOOKED_AT: usize = 10_000;

fn info(session: &Session) -> SessionInfo {
    SessionInfo {
        id: session.id(),
        user: session.user().map(Into::into),
        transport: session.active().map(|(_, spec)| spec.transport),
        state: SessionState::of(session),
        incarnation: session.incarnation(),
        unacknowledged: session.unacknowledged(),
        received: session.received(),
        subscriptions: session.subscriptions().map(|(name, place)| (name.clone(), place)).collect(),
        transports: None,
    }
}
