//! A gateway in this process, both listeners on free ports of loopback.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use throughline::{
    Builder, Gateway, Handle,
    auth::Jwt,
    certificates::Certificates,
    gateway::{GatewayConfig, bind_udp},
    http::{
        OriginPolicy,
        admin::{Admin, AdminConfig},
        listener::{self, ListenerConfig},
    },
    session::{SessionConfig, TokenKeys},
    upstream::webhook::Webhook,
};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ways::Doors;

/// A gateway that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) clients: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Where WebTransport is, if it is planned.
    pub(crate) udp: Option<SocketAddr>,
    pub(crate) handle: Handle,
    _stop: DropGuard,
}

/// How one is put together.
pub(crate) struct Plan {
    pub(crate) gateway: GatewayConfig,
    pub(crate) session: SessionConfig,
    pub(crate) listener: ListenerConfig,
    pub(crate) admin: AdminConfig,
    pub(crate) build: fn(Builder) -> Builder,
    /// Who handles what is sent.
    pub(crate) webhook: Option<Webhook>,
    /// Who says who clients are.
    pub(crate) door: Option<Webhook>,
    /// Who knows clients by their tokens.
    pub(crate) tokens: Option<Jwt>,
    /// Whether WebTransport is served too.
    pub(crate) webtransport: bool,
    /// Whether clients are told where, since it is not the address that they call.
    pub(crate) tells_webtransport: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            gateway: GatewayConfig {
                origins: OriginPolicy { is_loopback: true, ..OriginPolicy::default() },
                ..GatewayConfig::default()
            },
            session: SessionConfig {
                poll_hold_ms: 200,
                ..SessionConfig::new(TokenKeys::from_random([7; 32]))
            },
            listener: ListenerConfig::default(),
            admin: AdminConfig::default(),
            build: |builder| builder,
            webhook: None,
            door: None,
            tokens: None,
            webtransport: false,
            tells_webtransport: false,
        }
    }
}

impl Plan {
    /// One that waits for nobody: for tests of what is cut. In all others a machine that stands still would be cut too.
    pub(crate) fn impatient() -> Self {
        let mut plan = Self::default();
        let patience = Duration::from_millis(300);
        (plan.gateway.body_timeout, plan.admin.body_timeout) = (patience, patience);
        plan.listener.header_timeout = patience;
        plan
    }

    /// One that holds polls until there is something to say.
    pub(crate) fn holding() -> Self {
        let mut plan = Self::default();
        plan.session.poll_hold_ms = 20_000;
        plan
    }
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        Self::built(plan, |builder| builder).await
    }

    /// The same, with something of the test's own.
    pub(crate) async fn built(plan: Plan, build: impl FnOnce(Builder) -> Builder) -> Self {
        super::panics::watch();
        let clients = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let admin = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (client_address, admin_address) =
            (clients.local_addr().expect("bound"), admin.local_addr().expect("bound"));
        let mut builder = (plan.build)(Gateway::builder().config(plan.gateway).session(plan.session));
        if let Some(webhook) = plan.webhook {
            builder = builder.webhook(webhook);
        }
        if let Some(door) = plan.door {
            builder = builder.authenticate(door);
        }
        if let Some(tokens) = plan.tokens {
            builder = builder.authenticate(tokens);
        }
        let gateway = build(builder).build();
        let handle = gateway.handle();
        let stop = CancellationToken::new();
        let udp = plan.webtransport.then(|| {
            let socket = bind_udp(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
            let address = socket.local_addr().expect("bound");
            let certificates = Certificates::development(["localhost"], SystemTime::now());
            let certificates = certificates.expect("randomness");
            let url = plan.tells_webtransport.then(|| format!("https://{address}/v1/webtransport"));
            let serving = gateway.serve_webtransport(socket, &certificates, url.as_deref(), stop.clone());
            tokio::spawn(serving.expect("a usable socket"));
            address
        });
        let admin_service = Admin::new(handle.clone(), plan.admin);
        let listener = ListenerConfig { door: handle.door(), ..plan.listener.clone() };
        tokio::spawn(listener::serve(clients, gateway, listener, stop.clone()));
        tokio::spawn(listener::serve(admin, admin_service, plan.listener, stop.clone()));
        Self { clients: client_address, admin: admin_address, udp, handle, _stop: stop.drop_guard() }
    }

    /// Every way in, where WebTransport is planned.
    pub(crate) fn doors(&self) -> Doors {
        Doors { tcp: self.clients, udp: self.udp.expect("it is planned") }
    }

    /// The value of one series of the metrics, with its labels as they are printed.
    pub(crate) fn metric(&self, series: &str) -> u64 {
        let metrics = self.handle.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no series {series}")).parse().expect("a number")
    }

    /// How often this was refused.
    pub(crate) fn refusals(&self, code: &str) -> u64 {
        self.metric(&format!("throughline_refusals_total{{code=\"{code}\"}}"))
    }
}
