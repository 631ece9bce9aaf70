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
mod cell;
#[cfg(feature = "tls")]
mod certificates;
mod clock;
mod config;
mod grants;
mod handle;
mod hub;
mod metrics;
pub(crate) mod peer;
mod registry;
mod signal;
mod timers;
#[cfg(feature = "webhook")]
mod webhook;
#[cfg(feature = "webtransport")]
mod webtransport;

use std::{
    convert::Infallible,
    error::Error,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

pub use authority::{
    Anonymous, Authenticate, Authorize, Credentials, Denied, Identity, SendQuery, SubscribeQuery,
};
use bytes::Bytes;
pub use config::GatewayConfig;
pub use grants::{Action, Grants};
pub use handle::{Handle, History, MigrateError, Page, Publication, PublishError, Published, SessionInfo};
use http::{Request, Response};
use http_body::Body as HttpBody;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use throughline_polling::Polling;
use throughline_sse::ServerSentEvents;
use throughline_websocket::WebSocket;
use throughline_wire::{ChannelName, bounds, item::Accepted};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;
#[cfg(feature = "webtransport")]
pub use webtransport::bind_udp;

use self::{hub::Hub, metrics::Metrics, peer::GatewayGate, registry::Registry, timers::Timers};
#[cfg(feature = "webhook")]
use crate::upstream::webhook::Webhook;
use crate::{
    admission::{self, Admission},
    broker::{Broker, Memory, MemoryConfig, Recent},
    channel::{NewEvent, NewVolatile},
    http::{Body, Busy, Router},
    session::{Dropped, Goodbye, SendResult, SessionConfig, TokenKeys},
    upstream::{Handler, Intent, Publish},
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
    pub(crate) timers: Timers,
    pub(crate) metrics: Metrics,
    /// What was sent under which application key, by user.
    pub(crate) recent_sends: Recent<(Box<str>, Box<str>), SendResult>,
    /// What was published under which idempotency key.
    pub(crate) recent_publishes: Recent<Box<str>, Vec<Vec<Published>>>,
    is_draining: AtomicBool,
    /// Links that run in tasks of their own.
    links: TaskTracker,
}

impl Shared {
    /// Why no link may be opened now.
    fn refusal(&self) -> Option<Goodbye> {
        let draining = self.is_draining.load(Ordering::Acquire);
        draining.then(|| Goodbye::Drain { spread_ms: self.session.window.ms().max(1_000) })
    }

    /// Who a client is, said in time.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Identity, Denied> {
        let identity = self.authenticate.authenticate(credentials);
        let identity = tokio::time::timeout(self.config.handler_timeout, identity).await;
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
        let is_taken = self.broker.volatile(channel, volatile);
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

    /// Sizes the reconnect window: near zero for few sessions, sessions over rate for many.
    fn size_window(&self) {
        let sessions = self.registry.len() as u64;
        self.session.window.set_ms(admission::window_ms(sessions, self.config.admission_rate));
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

/// Puts a gateway together.
#[derive(Default)]
pub struct Builder {
    config: GatewayConfig,
    session: Option<SessionConfig>,
    keys: Option<TokenKeys>,
    memory: MemoryConfig,
    broker: Option<Arc<dyn Broker>>,
    handler: Option<Handler>,
    authenticate: Option<Arc<dyn Authenticate>>,
    authorize: Option<Arc<dyn Authorize>>,
    #[cfg(feature = "webhook")]
    webhook: Option<Webhook>,
}

impl Builder {
    /// Changes the gateway's settings.
    #[must_use]
    pub fn config(mut self, config: GatewayConfig) -> Self {
        self.config = config;
        self
    }

    /// Changes what sessions may do; the token keys are part of it.
    #[must_use]
    pub fn session(mut self, session: SessionConfig) -> Self {
        self.session = Some(session);
        self
    }

    /// Signs tokens with these keys. Without any, a random one is drawn, and no session outlives the process.
    #[must_use]
    pub fn token_keys(mut self, keys: TokenKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Changes what the memory broker keeps.
    #[must_use]
    pub fn memory(mut self, memory: MemoryConfig) -> Self {
        self.memory = memory;
        self
    }

    /// Keeps events in another broker.
    #[must_use]
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Hands what clients send to this service, see [`upstream`](crate::upstream).
    #[must_use]
    pub fn handler<S>(mut self, service: S) -> Self
    where
        S: Service<Intent, Response = Accepted> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.handler = Some(Handler::new(service));
        self
    }

    /// Hands what clients send to a [webhook](crate::upstream::webhook), which stands behind a
    /// [handler](Self::handler) if there is one too.
    #[cfg(feature = "webhook")]
    #[must_use]
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.webhook = Some(webhook);
        self
    }

    /// Says who clients are.
    #[must_use]
    pub fn authenticate(mut self, authenticate: impl Authenticate) -> Self {
        self.authenticate = Some(Arc::new(authenticate));
        self
    }

    /// Says what they may do.
    #[must_use]
    pub fn authorize(mut self, authorize: impl Authorize) -> Self {
        self.authorize = Some(Arc::new(authorize));
        self
    }

    /// Starts the gateway's tasks, and gives the service.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Gateway {
        let Self { config, session, keys, memory, broker, handler, authenticate, authorize, .. } = self;
        let mut session =
            session.unwrap_or_else(|| SessionConfig::new(TokenKeys::from_random(clock::random())));
        if let Some(keys) = keys {
            session.keys = keys;
        }
        session.limits.message_bytes = config.message_bytes as u64;
        if session.transports.now().is_empty() {
            session.transports.set(Router::offers());
        }
        let broker = broker.unwrap_or_else(|| Arc::new(Memory::new(memory, clock::now, clock::random_u64)));
        #[cfg(feature = "webhook")]
        let handler = handler
            .or_else(|| self.webhook.map(|webhook| Handler::new(webhook.intents(Arc::clone(&broker)))));
        let handler = handler.unwrap_or_else(|| Handler::new(Publish::new(Arc::clone(&broker))));
        let hub = Arc::new(Hub::default());
        broker.report_to(Arc::clone(&hub) as _);
        let admission = Admission::new(config.admission_rate, config.admission_burst);
        let shared = Arc::new(Shared {
            config,
            session: Arc::new(session),
            broker,
            hub: Arc::clone(&hub),
            handler,
            authenticate: authenticate.unwrap_or_else(|| Arc::new(Anonymous)),
            authorize: authorize.unwrap_or_else(|| Arc::new(Anonymous)),
            registry: Registry::default(),
            admission: Mutex::new(admission),
            timers: Timers::default(),
            metrics: Metrics::new(),
            recent_sends: Recent::new(RECENT_MS, RECENT_KEYS),
            recent_publishes: Recent::new(RECENT_MS, RECENT_KEYS),
            is_draining: AtomicBool::new(false),
            links: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        spawn(&stop, hub.run());
        spawn(&stop, timers::run(Arc::clone(&shared)));
        spawn(&stop, maintain(Arc::clone(&shared)));
        let router = Router::new(Arc::clone(&shared), adapters(&shared));
        Gateway { handle: Handle::new(shared, stop), router }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
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

fn spawn(stop: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(task).await });
}

/// Trims what is too old, every few seconds.
async fn maintain(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(MAINTENANCE).await;
        shared.broker.maintain(clock::now());
        shared.size_window();
    }
}

/// How long the broker may take for a probe.
const HEALTH: Duration = Duration::from_secs(2);
const MAINTENANCE: Duration = Duration::from_secs(5);
/// How long an idempotency key is remembered: 5 minutes.
const RECENT_MS: u64 = 300_000;
/// How many are.
const RECENT_KEYS: usize = 100_000;
