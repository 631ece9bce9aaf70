//! Puts a gateway together: what its application hands in, defaults for the rest, and the tasks behind it.

use std::{
    error::Error,
    future::Future,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::Mutex;
use throughline_wire::item::Accepted;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{
    Anonymous, Authenticate, Authorize, Gateway, GatewayConfig, Handle, Shared, adapters, clock,
    hub::Hub,
    limits::{self, Limits, Machine},
    lives::{self, Lives},
    metrics::Metrics,
    registry::Registry,
    tickets::Spent,
    timers::{self, Timers},
};
#[cfg(feature = "webhook")]
use crate::upstream::webhook::{Event as WebhookEvent, Webhook, WebhookMetrics};
use crate::{
    admission::Admission,
    broker::{Broker, Memory, MemoryConfig, Recent},
    http::Router,
    limits::Usage,
    session::{SessionConfig, TokenKeys},
    upstream::{Handler, Intent, Lifecycle, Publish, SessionEvent},
};

/// Puts a gateway together.
#[derive(Default)]
pub struct Builder {
    config: GatewayConfig,
    session: Option<SessionConfig>,
    keys: Option<TokenKeys>,
    memory: MemoryConfig,
    broker: Option<Arc<dyn Broker>>,
    handler: Option<Handler>,
    lifecycle: Option<Lifecycle>,
    authenticate: Option<Arc<dyn Authenticate>>,
    authorize: Option<Arc<dyn Authorize>>,
    #[cfg(feature = "webhook")]
    webhook: Option<Webhook>,
    machine: Option<Machine>,
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

    /// Tells this service of the life of sessions: opened, lost, resumed, ended.
    ///
    /// What waits to be told is bounded by [`GatewayConfig::session_events`].
    #[must_use]
    pub fn lifecycle<S>(mut self, service: S) -> Self
    where
        S: Service<SessionEvent, Response = ()> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.lifecycle = Some(Lifecycle::new(service));
        self
    }

    /// Asks and tells an application by a [webhook](crate::upstream::webhook) what its configuration names: who clients
    /// are, what becomes of what they send, and the life of sessions. Where there is an
    /// [`authenticate`](Self::authenticate), a [`handler`](Self::handler) or a [`lifecycle`](Self::lifecycle) too, that one
    /// counts.
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

    /// Says what the process uses of the machine, in place of the system. It is asked every second.
    #[must_use]
    pub fn machine(mut self, usage: impl Fn() -> Usage + Send + Sync + 'static) -> Self {
        self.machine = Some(Arc::new(usage));
        self
    }

    /// Starts the gateway's tasks, and gives the service.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Gateway {
        let Self {
            config,
            session,
            keys,
            memory,
            broker,
            handler,
            lifecycle,
            authenticate,
            authorize,
            machine,
            ..
        } = self;
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
        let (webhook, mut handler, mut lifecycle, mut authenticate) =
            (self.webhook, handler, lifecycle, authenticate);
        #[cfg(feature = "webhook")]
        if let Some(webhook) = &webhook {
            let told = |event| webhook.is_told(event).then(|| webhook.clone());
            let door = told(WebhookEvent::Open).map(|webhook| Arc::new(webhook) as Arc<dyn Authenticate>);
            authenticate = authenticate.or(door);
            let intents = told(WebhookEvent::Intent).map(|webhook| webhook.intents(Arc::clone(&broker)));
            handler = handler.or_else(|| intents.map(Handler::new));
            lifecycle = lifecycle
                .or_else(|| told(WebhookEvent::Session).map(|webhook| Lifecycle::new(webhook.sessions())));
        }
        let handler = handler.unwrap_or_else(|| Handler::new(Publish::new(Arc::clone(&broker))));
        let hub = Arc::new(Hub::default());
        broker.report_to(Arc::clone(&hub) as _);
        #[cfg_attr(not(feature = "webhook"), expect(unused_mut, reason = "nothing is added to them"))]
        let mut metrics = Metrics::new();
        #[cfg(feature = "webhook")]
        metrics.show_webhook(&webhook.map_or_else(WebhookMetrics::new, |webhook| webhook.metrics().clone()));
        session.reports_life = lifecycle.is_some();
        let lives =
            lifecycle.map(|lifecycle| Lives::new(lifecycle, config.session_events, metrics.lives.clone()));
        let admission = Admission::new(config.admission_rate, config.admission_burst);
        let limits = Limits::new(
            config.limits.clone(),
            config.proxies.clone(),
            session.limits.commands_per_second,
            session.heartbeat_ms,
            metrics.limits.clone(),
        );
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
            spent_tickets: Spent::default(),
            timers: Timers::default(),
            credentials_shown: AtomicU64::new(0),
            limits: Arc::new(limits),
            metrics,
            lives,
            recent_sends: Recent::new(RECENT_MS, RECENT_KEYS),
            recent_publishes: Recent::new(RECENT_MS, RECENT_KEYS),
            drain: OnceLock::new(),
            retire: CancellationToken::new(),
            links: TaskTracker::new(),
        });
        let stop = CancellationToken::new();
        spawn(&stop, hub.run());
        spawn(&stop, timers::run(Arc::clone(&shared)));
        for lives in std::iter::repeat_n(&shared.lives, lives::TELLERS).flatten() {
            spawn(&stop, Arc::clone(lives).tell());
        }
        spawn(&stop, maintain(Arc::clone(&shared)));
        spawn(&stop, limits::watch(Arc::clone(&shared), machine));
        let router = Router::new(Arc::clone(&shared), adapters(&shared));
        Gateway { handle: Handle::new(shared, stop), router }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
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

const MAINTENANCE: Duration = Duration::from_secs(5);
/// How long an idempotency key is remembered: 5 minutes.
const RECENT_MS: u64 = 300_000;
/// How many are.
const RECENT_KEYS: usize = 100_000;
