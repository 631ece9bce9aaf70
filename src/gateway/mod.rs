//! The gateway: links on one side, sessions in the middle, a broker and the application on the other.
//!
//! [`Gateway::builder`] puts one together; the result is a [`tower::Service`] that mounts in any hyper or axum
//! application, and a [`Handle`] for the application's side of it. This is where sockets and clocks are: the
//! [session core](crate::session) has neither.
//!
//! How a message travels: an adapter hands it to a `peer`, which passes its frames to the session in its
//! `cell`; what the session wants done is done in the cell's lanes; a publish marks its channel at the `hub`,
//! which wakes the links of those who listen, and each pulls what it is behind by.

pub mod authority;
mod builder;
mod cell;
mod census;
#[cfg(feature = "tls")]
mod certificates;
pub(crate) mod clock;
mod config;
mod drain;
mod grants;
mod handle;
mod hub;
#[cfg(feature = "jwt")]
mod key_set;
pub(crate) mod limits;
mod lives;
mod machine;
mod metrics;
pub(crate) mod peer;
mod registry;
mod secrets;
mod sessions;
mod signal;
mod tickets;
mod timers;
#[cfg(feature = "webhook")]
mod webhook;
#[cfg(feature = "webtransport")]
mod webtransport;

use std::{
    convert::Infallible,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

pub use authority::{
    Anonymous, Authenticate, Authorize, Credentials, Denied, Identity, SendQuery, SubscribeQuery,
};
pub use builder::Builder;
use bytes::Bytes;
pub use census::SessionState;
pub use config::GatewayConfig;
pub use drain::DrainProgress;
use futures_util::FutureExt as _;
pub use grants::{Action, Grants};
pub use handle::{Handle, History, MigrateError, Publication, PublishError, Published};
use http::{Request, Response};
use http_body::Body as HttpBody;
pub use limits::{Door, LimitConfig};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
pub use secrets::{SecretFiles, SecretName};
use throughline_polling::Polling;
use throughline_sse::ServerSentEvents;
use throughline_websocket::WebSocket;
use throughline_wire::{ChannelName, ErrorCode, bounds};
pub use tickets::{Ticket, TicketError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;
#[cfg(feature = "webtransport")]
pub use webtransport::bind_udp;

pub use sessions::{ChannelInfo, OfSessions, Page, SessionFilter, SessionInfo};

use self::{
    drain::Drain, hub::Hub, limits::Limits, lives::Lives, metrics::Metrics, peer::GatewayGate,
    registry::Registry, tickets::Spent, timers::Timers,
};
use crate::{
    admission::Admission,
    broker::{Broker, Recent},
    channel::{NewEvent, NewVolatile},
    http::{Body, Busy, Router},
    session::{Dropped, Ending, SendResult, SessionConfig},
    upstream::Handler,
};

/// What all parts of one gateway share.
pub(crate) struct Shared {
    pub(crate) config: GatewayConfig,
    pub(crate) session: Arc<SessionConfig>,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) handler: Handler,
    pub(crate) authenticate: Arc<dyn Authenticate>,
    pub(crate) authorize: Arc<dyn Authorize>,
    pub(crate) registry: Registry,
    /// Who is let in when.
    pub(crate) admission: Mutex<Admission>,
    /// The tickets that were used.
    pub(crate) spent_tickets: Spent,
    pub(crate) timers: Timers,
    /// How many credentials were shown.
    credentials_shown: AtomicU64,
    /// Who has how much.
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    /// What is told of sessions, where somebody listens.
    pub(crate) lives: Option<Arc<Lives>>,
    /// What was sent under which application key, by user.
    pub(crate) recent_sends: Recent<(Box<str>, Box<str>), SendResult>,
    /// What was published under which idempotency key.
    pub(crate) recent_publishes: Recent<Box<str>, Vec<Vec<Published>>>,
    /// There once the gateway drains.
    drain: OnceLock<Drain>,
    /// Cancelled then: from there on an answer is the last on its connection.
    pub(crate) retire: CancellationToken,
    /// Links that run in tasks of their own.
    links: TaskTracker,
}

impl Shared {
    /// What the application has to say, which may panic, or never come.
    async fn answer<T>(&self, answer: impl Future<Output = T>) -> Result<T, ErrorCode> {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        match tokio::time::timeout(self.config.handler_timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(ErrorCode::HandlerFailed),
            Err(_) => Err(ErrorCode::TimedOut),
        }
    }

    /// The number of a credential that is shown now, and whose answer may come after that of a later one.
    fn next_credential(&self) -> u64 {
        self.credentials_shown.fetch_add(1, Ordering::Relaxed)
    }

    /// Who a client is, said in time.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Identity, Denied> {
        let identity = self.answer(async { self.authenticate.authenticate(credentials).await }).await;
        let identity = identity.unwrap_or(Err(Denied::Unavailable))?;
        // No receiver would take what such a user says.
        if let Some(user) = identity.user.as_ref().filter(|user| user.len() > bounds::USER_BYTES) {
            tracing::warn!(
                bytes = user.len(),
                most = bounds::USER_BYTES,
                "a user's name is too long to be told"
            );
            return Err(Denied::Forbidden);
        }
        if let Some(info) = identity.info.as_ref().filter(|info| info.as_str().len() > bounds::INFO_BYTES) {
            let bytes = info.as_str().len();
            tracing::warn!(bytes, most = bounds::INFO_BYTES, "a user's info is too long to be told");
            return Err(Denied::Forbidden);
        }
        Ok(identity)
    }

    /// Says something in a channel that is not kept; says whether the broker took it.
    fn say(&self, channel: &ChannelName, volatile: NewVolatile) -> bool {
        let is_taken = self.broker.volatile(clock::now(), channel, volatile);
        if is_taken {
            self.metrics.count_volatile();
        } else {
            self.metrics.count_dropped(Dropped::VolatileOverloaded);
        }
        is_taken
    }

    /// Whether an event goes through the broker.
    pub(crate) async fn is_healthy(&self) -> bool {
        let Ok(channel) = ChannelName::parse("$health") else { return false };
        let probe = self.broker.publish(&channel, NewEvent::default());
        matches!(tokio::time::timeout(HEALTH, probe).await, Ok(Ok(_)))
    }

    /// Whether it drains, or has.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    /// Whether whoever connects finds somebody to serve it: this gateway, or its successor in a moment.
    pub(crate) fn is_there_for_newcomers(&self) -> bool {
        self.drain.get().is_none_or(Drain::is_about_to_change)
    }

    /// Whether sessions are taken: an event goes through the broker, and the gateway does not drain, unless for a successor.
    pub(crate) async fn is_ready(&self) -> bool {
        // Twice, as a drain may begin while the broker is asked.
        self.is_there_for_newcomers() && self.is_healthy().await && self.is_there_for_newcomers()
    }

    /// Tells whoever listens that all sessions are over, since they go with this process.
    async fn end_lives(&self) {
        let Some(lives) = &self.lives else { return };
        for cell in self.registry.all() {
            cell.change(|session| session.end(Ending::Stopped));
        }
        if tokio::time::timeout(LAST_EVENTS, lives.settle()).await.is_err() {
            tracing::warn!("the gateway stops before the application was told of all sessions");
        }
    }

    /// Sizes the reconnect window: near zero for few sessions, a little more than sessions over rate for many, and wider
    /// while a herd comes back.
    fn size_window(&self) {
        let sessions = self.registry.len() as u64;
        self.session.window.set_ms(self.admission.lock().window_ms(clock::now(), sessions));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A gateway, as a [`tower::Service`] of HTTP requests. Cheap to clone; the tasks behind it end with its last clone
/// and the last [`Handle`].
#[derive(Clone, Debug)]
pub struct Gateway {
    handle: Handle,
    router: Router,
}

impl Gateway {
    /// Begins a gateway with defaults for everything: a memory broker, anonymous clients, and a handler that
    /// publishes what clients send to the channels that they name.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The application's side of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: HttpBody<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.router.route(request)
    }
}

/// The transports: a new one is a crate, and a line here.
#[derive(Clone, Debug)]
pub(crate) struct Adapters {
    pub(crate) websocket: WebSocket<GatewayGate>,
    pub(crate) polling: Polling<GatewayGate>,
    pub(crate) sse: ServerSentEvents<GatewayGate>,
    links: TaskTracker,
}

impl Adapters {
    /// Runs a link in a task of its own, which a shutdown waits for.
    pub(crate) fn spawn(&self, link: impl Future<Output = ()> + Send + 'static, busy: Option<Busy>) {
        self.links.spawn(Link { link, _busy: busy });
    }
}

pin_project! {
    /// A link, and what it keeps busy. An async block would keep both twice.
    struct Link<F> {
        #[pin]
        link: F,
        _busy: Option<Busy>,
    }
}

impl<F: Future<Output = ()>> Future for Link<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.project().link.poll(context)
    }
}

fn adapters(shared: &Arc<Shared>) -> Adapters {
    let gate = GatewayGate { shared: Arc::clone(shared) };
    let max_message_bytes = shared.config.message_bytes;
    let body_timeout = shared.config.body_timeout;
    Adapters {
        websocket: WebSocket::new(
            gate.clone(),
            throughline_websocket::Config { max_message_bytes, ..Default::default() },
        ),
        polling: Polling::new(
            gate.clone(),
            throughline_polling::Config { max_message_bytes, body_timeout, ..Default::default() },
        ),
        sse: ServerSentEvents::new(
            gate,
            throughline_sse::Config { max_message_bytes, body_timeout, ..Default::default() },
        ),
        links: shared.links.clone(),
    }
}

/// How long the broker may take for a probe.
const HEALTH: Duration = Duration::from_secs(2);
/// How long a stop waits for the application to be told of the ends of sessions.
const LAST_EVENTS: Duration = Duration::from_secs(2);
