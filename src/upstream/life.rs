//! The life of sessions, as the application is told it.

use std::{error::Error, future::Future};

use throughline_wire::SessionId;
use tower::{Service, ServiceExt as _, util::BoxCloneSyncService};

use crate::session::Life;

/// Something that became of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionEvent {
    /// Which session.
    pub session: SessionId,
    /// The authenticated user; `None` for an anonymous one.
    pub user: Option<Box<str>>,
    /// Rises by one with each event of the session: with the session, the event's stable key. One that is left out was
    /// taken back before it was told, or could not be told.
    pub number: u32,
    /// When it happened, in milliseconds since the Unix epoch.
    pub time: u64,
    /// What happened.
    pub life: Life,
    /// How many events, of whichever sessions, could not be told since the last that was. Where there are some, what the
    /// application knows of sessions is to be compared with [those that there are](crate::Handle::sessions).
    pub missed: u64,
}

/// Who is told of the life of sessions, whatever its type.
#[derive(Clone, Debug)]
pub struct Lifecycle(BoxCloneSyncService<SessionEvent, (), Box<dyn Error + Send + Sync>>);

impl Lifecycle {
    /// Wraps a service.
    ///
    /// It is told the events of one session one after the other, those of different sessions side by side. An error is
    /// logged, and the event counts as missed: to try again is for the service, or for a layer around it.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<SessionEvent, Response = ()> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(BoxCloneSyncService::new(service.map_err(Into::into)))
    }

    /// Tells an event.
    pub(crate) fn tell(
        &self,
        event: SessionEvent,
    ) -> impl Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send + use<> {
        self.0.clone().oneshot(event)
    }
}
