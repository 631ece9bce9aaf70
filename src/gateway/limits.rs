//! Who is counted for what, and what happens past a limit.
//!
//! A session counts for its user and for the address that it came from; a connection for the address that it came from. What a
//! session says is charged once it was taken, to the session and to whoever it belongs to, without a lock; whoever is over its
//! rate is heard no further until it is paid for ([`Limits::charge`]), and not heard at all where that is far away
//! ([`Limits::overdue`]). How the machine is, is looked at every second, off everybody's way.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use throughline_wire::ErrorCode;

use super::{Shared, clock, machine};
use crate::{
    http::TrustedProxies,
    labels::Labels,
    limits::{
        Bucket, Ceilings, Limit, Meter, Place, Pressure, PressureGauge, Rate, Table, Usage, What, network_of,
    },
    session::Goodbye,
};

/// What clients, users and addresses may have, and when the gateway sheds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitConfig {
    /// How many commands of a session may come at once, beyond [`commands_per_second`](throughline_wire::frame::Limits);
    /// 0 for those of two seconds. A page that opens subscribes to all that it shows. Default: 0.
    pub commands_burst: u64,
    /// How many bytes of messages a session may say in a second, twice as many at once; 0 for no bound. Default: 1 MiB.
    pub bytes_per_second: u64,
    /// How many sessions a user may have, those that wait for their client included: every page that is loaded anew leaves
    /// one for the resume window. 0 for no bound. Default: 500.
    pub user_sessions: usize,
    /// How many commands a second all sessions of a user may say, twice as many at once; 0 for no bound. Default: 2,000.
    pub user_commands_per_second: u64,
    /// How many sessions may come from one address. Thousands of people may be behind the one of a company or of a mobile
    /// network, so it has to be generous. 0 for no bound. Default: 10,000.
    pub address_sessions: usize,
    /// How many connections there may be from one address; 0 for no bound. Default: 10,000.
    pub address_connections: usize,
    /// How many connections may be begun in a second from one address, each of which may cost a TLS handshake; 0 for no
    /// bound. All that are behind one address come back together when their network does. Default: 1,000.
    pub address_handshakes_per_second: u64,
    /// How many of them at once; 0 for those of two seconds. Default: 0.
    pub address_handshakes_burst: u64,
    /// How many commands a second all sessions without a user may say that came from one address, twice as many at once; 0
    /// for no bound. Default: 10,000.
    pub address_commands_per_second: u64,
    /// How many bits of an IPv6 address are counted as one address: what one customer is given. Default: 64.
    pub address_prefix: u8,
    /// Whose addresses are not counted, beside those of [trusted proxies](super::GatewayConfig::proxies). Default: loopback,
    /// where a proxy is, or somebody on this machine.
    pub address_exempt: Vec<IpNet>,
    /// How much memory the process may use before it sheds, in bytes; 0 for what its control group allows, else for what the
    /// machine has. Default: 0.
    pub memory_bytes: u64,
    /// From how many percent of its memory, or of its open files, on the gateway opens no session. Half way from there to
    /// the end it takes no connection either. 50 to 99. Default: 90.
    pub shed_at_percent: u64,
}

impl Default for LimitConfig {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().expect("a network"));
        Self {
            commands_burst: 0,
            bytes_per_second: 1 << 20,
            user_sessions: 500,
            user_commands_per_second: 2_000,
            address_sessions: 10_000,
            address_connections: 10_000,
            address_handshakes_per_second: 1_000,
            address_handshakes_burst: 0,
            address_commands_per_second: 10_000,
            address_prefix: 64,
            address_exempt: loopback.into(),
            memory_bytes: 0,
            shed_at_percent: 90,
        }
    }
}

/// What the process uses, as somebody says.
pub(super) type Machine = Arc<dyn Fn() -> Usage + Send + Sync>;

/// The limits of one gateway.
pub(crate) struct Limits {
    config: LimitConfig,
    proxies: TrustedProxies,
    session_commands: Rate,
    session_bytes: Rate,
    user_commands: Rate,
    address_commands: Rate,
    address_handshakes: Rate,
    /// For how long a session may go unheard: its heartbeats have to be.
    longest_rest_ms: u64,
    users: Table<Box<str>>,
    addresses: Table<IpAddr>,
    memory: AtomicU8,
    open_files: AtomicU8,
    metrics: LimitMetrics,
}

/// What a session holds of its user's and its address's limits.
#[derive(Debug, Default)]
pub(super) struct Holding {
    pub(super) user: Option<Place>,
    pub(super) address: Option<(IpAddr, Place)>,
}

impl Holding {
    /// Whose limits its session counts for: its user's, or those of the address of whoever is nobody.
    pub(super) fn payer(&self) -> Option<&Arc<Meter>> {
        let address = || self.address.as_ref().map(|(_, place)| place);
        self.user.as_ref().or_else(address).map(Place::meter)
    }
}

/// What a session has said, and who else it counts for.
#[derive(Debug, Default)]
pub(super) struct Said {
    commands: Bucket,
    bytes: Bucket,
    payer: Option<(Limit, Arc<Meter>)>,
}

impl Said {
    /// Nothing yet, by whoever holds this.
    pub(super) fn of(holding: &Holding) -> Self {
        let limit = match holding.user {
            Some(_) => Limit::UserCommands,
            None => Limit::AddressCommands,
        };
        Self { payer: holding.payer().map(|payer| (limit, Arc::clone(payer))), ..Self::default() }
    }
}

impl Limits {
    pub(super) fn new(
        config: LimitConfig,
        proxies: TrustedProxies,
        commands_per_second: u64,
        heartbeat_ms: u64,
        metrics: LimitMetrics,
    ) -> Self {
        Self {
            session_commands: Rate::new(commands_per_second, config.commands_burst),
            session_bytes: Rate::new(config.bytes_per_second, 0),
            user_commands: Rate::new(config.user_commands_per_second, 0),
            address_commands: Rate::new(config.address_commands_per_second, 0),
            address_handshakes: Rate::new(
                config.address_handshakes_per_second,
                config.address_handshakes_burst,
            ),
            longest_rest_ms: (heartbeat_ms / 2).min(OVERDUE_MS),
            config,
            proxies,
            users: Table::default(),
            addresses: Table::default(),
            memory: AtomicU8::new(Pressure::Low as u8),
            open_files: AtomicU8::new(Pressure::Low as u8),
            metrics,
        }
    }

    /// A limit was met.
    pub(crate) fn count(&self, limit: Limit) {
        self.metrics.count(limit);
    }

    /// A place for a connection from this address, before it has cost anything; none is counted where it is exempt.
    pub(crate) fn connect(&self, address: IpAddr) -> Result<Option<Place>, Limit> {
        let place = self.place_for_connection(address);
        if let Err(limit) = place {
            self.count(limit);
        }
        place
    }

    fn place_for_connection(&self, address: IpAddr) -> Result<Option<Place>, Limit> {
        if let Some(limit) = self.shortage(Pressure::Full) {
            return Err(limit);
        }
        if self.proxies.trusts(address.to_canonical()) {
            return Ok(None); // many clients share it
        }
        let Some(address) = self.counted(address) else { return Ok(None) };
        let now_ms = clock::now().mono_ms;
        let meter = self.addresses.meter(now_ms, address);
        let place = meter.place(What::Connection, self.config.address_connections);
        let place = place.ok_or(Limit::AddressConnections)?;
        meter.handshakes.take(now_ms, self.address_handshakes, 1).map_err(|_| Limit::AddressHandshakes)?;
        Ok(Some(place))
    }

    /// What a new session holds; or why there is none, and what to tell its client.
    pub(super) fn open(
        &self,
        user: Option<&str>,
        remote: Option<SocketAddr>,
    ) -> Result<Holding, (Limit, Goodbye)> {
        if let Some(limit) = self.shortage(Pressure::High) {
            return Err((limit, later(ErrorCode::Overloaded)));
        }
        let now_ms = clock::now().mono_ms;
        let full = |limit| (limit, later(ErrorCode::TooManySessions));
        let address = match remote.and_then(|remote| self.counted(remote.ip())) {
            Some(address) => {
                let place = self.place_for_session(now_ms, address);
                Some((address, place.ok_or_else(|| full(Limit::AddressSessions))?))
            }
            None => None,
        };
        let user = match user {
            Some(user) => {
                let meter = self.users.meter(now_ms, user.into());
                let place = meter.place(What::Session, self.config.user_sessions);
                Some(place.ok_or_else(|| full(Limit::UserSessions))?)
            }
            None => None,
        };
        Ok(Holding { user, address })
    }

    /// A session came back from this address: from now on it counts for it, if there is room; else for the one before.
    pub(super) fn moved(&self, held: &mut Option<(IpAddr, Place)>, remote: Option<SocketAddr>) {
        let Some(address) = remote.and_then(|remote| self.counted(remote.ip())) else { return };
        if held.as_ref().is_some_and(|(before, _)| *before == address) {
            return;
        }
        if let Some(place) = self.place_for_session(clock::now().mono_ms, address) {
            *held = Some((address, place));
        }
    }

    fn place_for_session(&self, now_ms: u64, address: IpAddr) -> Option<Place> {
        self.addresses.meter(now_ms, address).place(What::Session, self.config.address_sessions)
    }

    /// Charges a message that was taken: for how many milliseconds nothing more of this session should be.
    pub(super) fn charge(&self, said: &Said, bytes: u64, commands: u64) -> u64 {
        let now_ms = clock::now().mono_ms;
        let mut longest_ms = 0;
        let mut charge = |limit, bucket: &Bucket, rate, count| {
            let wait_ms = bucket.charge(now_ms, rate, count);
            if wait_ms > 0 {
                self.count(limit);
                longest_ms = wait_ms.max(longest_ms);
            }
        };
        charge(Limit::SessionCommands, &said.commands, self.session_commands, commands);
        charge(Limit::SessionBytes, &said.bytes, self.session_bytes, bytes);
        if let Some((limit, meter)) = &said.payer {
            charge(*limit, &meter.commands, self.rate_of(*limit), commands);
        }
        longest_ms.min(self.longest_rest_ms)
    }

    /// What to tell a session that has said far too much to be heard now; it was told to wait, and did not.
    pub(super) fn overdue(&self, said: &Said) -> Option<Goodbye> {
        let now_ms = clock::now().mono_ms;
        let own_ms = said.commands.wait_ms(now_ms, self.session_commands);
        let bytes_ms = said.bytes.wait_ms(now_ms, self.session_bytes);
        let payer = said.payer.as_ref();
        let payer_ms = payer.map_or(0, |(limit, meter)| meter.commands.wait_ms(now_ms, self.rate_of(*limit)));
        let delay_ms = own_ms.max(bytes_ms).max(payer_ms);
        (delay_ms > OVERDUE_MS).then_some(Goodbye::Overload {
            delay_ms,
            spread_ms: delay_ms / 2,
            code: ErrorCode::RateLimited,
        })
    }

    const fn rate_of(&self, payer: Limit) -> Rate {
        match payer {
            Limit::UserCommands => self.user_commands,
            _ => self.address_commands,
        }
    }

    /// What the machine is so short of.
    fn shortage(&self, of: Pressure) -> Option<Limit> {
        let is_short = |pressure: &AtomicU8| pressure.load(Ordering::Relaxed) >= of as u8;
        if is_short(&self.memory) {
            Some(Limit::Memory)
        } else if is_short(&self.open_files) {
            Some(Limit::OpenFiles)
        } else {
            None
        }
    }

    /// Under which address somebody is counted; under none who is exempt.
    fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        let address = address.to_canonical();
        (!self.is_exempt(address)).then(|| network_of(address, self.config.address_prefix))
    }

    /// Whether nothing is counted for this address.
    fn is_exempt(&self, address: IpAddr) -> bool {
        self.config.address_exempt.iter().any(|network| network.contains(&address))
    }

    fn heed(&self, gauge: &mut PressureGauge, usage: Usage, ceilings: Ceilings) {
        let (memory, open_files) = gauge.look(usage, ceilings);
        let before = self.shortage(Pressure::High);
        self.memory.store(memory as u8, Ordering::Relaxed);
        self.open_files.store(open_files as u8, Ordering::Relaxed);
        let now = self.shortage(Pressure::High);
        match (before, now) {
            (None, Some(limit)) => {
                tracing::warn!(?usage, ?ceilings, "short of {}: no new session is opened", limit.as_str());
            }
            (Some(limit), None) => tracing::info!(?usage, "there is room again: {}", limit.as_str()),
            _ => {}
        }
        self.metrics.measure(usage, ceilings, memory, open_files);
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Looks at the machine every second.
pub(super) async fn watch(shared: Arc<Shared>, machine: Option<Machine>) {
    let limits = &shared.limits;
    let mut gauge = PressureGauge::new(limits.config.shed_at_percent);
    loop {
        let machine = machine.clone();
        // It may take a while, where open files have to be listed.
        let looking = tokio::task::spawn_blocking(move || {
            (machine.map_or_else(machine::usage, |machine| machine()), machine::ceilings())
        });
        let Ok((usage, mut ceilings)) = looking.await else { return };
        if limits.config.memory_bytes > 0 {
            ceilings.memory_bytes = Some(limits.config.memory_bytes);
        }
        limits.heed(&mut gauge, usage, ceilings);
        tokio::time::sleep(LOOK).await;
    }
}

/// What a listener asks before it takes a connection, and tells of what it cut. The default lets everybody in.
#[derive(Clone, Default, Debug)]
pub struct Door(Option<Arc<Limits>>);

impl Door {
    pub(super) const fn new(limits: Arc<Limits>) -> Self {
        Self(Some(limits))
    }

    /// A place for a connection, to be held for as long as it is one.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<Option<Place>, Limit> {
        self.0.as_ref().map_or(Ok(None), |limits| limits.connect(address))
    }

    /// Somebody took too long, and was cut.
    pub(crate) fn cut(&self, limit: Limit) {
        if let Some(limits) = &self.0 {
            limits.count(limit);
        }
    }
}

/// What whoever met this limit, with a connection, is told.
pub(crate) fn goodbye(limit: Limit) -> Goodbye {
    later(match limit {
        Limit::AddressHandshakes => ErrorCode::RateLimited,
        Limit::AddressConnections => ErrorCode::TooManyConnections,
        _ => ErrorCode::Overloaded,
    })
}

/// Some seconds: what there is too much of does not go away at once.
const fn later(code: ErrorCode) -> Goodbye {
    Goodbye::Overload { delay_ms: 5_000, spread_ms: 15_000, code }
}

/// How far somebody may be over its rate and be heard.
const OVERDUE_MS: u64 = 10_000;
const LOOK: Duration = Duration::from_secs(1);

/// What is counted and measured of limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitMetrics {
    limited: Family<Labels<1>, Counter>,
    memory: Family<Labels<1>, Gauge>,
    open_files: Family<Labels<1>, Gauge>,
    pressure: Family<Labels<1>, Gauge>,
}

impl LimitMetrics {
    /// Makes their series, at zero.
    pub(crate) fn register(&self, registry: &mut Registry) {
        for limit in Limit::ALL {
            drop(self.limited.get_or_create(&[("limit", limit.as_str())]));
        }
        self.measure(Usage::default(), Ceilings::default(), Pressure::Low, Pressure::Low);
        registry.register("limited", "How often a limit was met", self.limited.clone());
        registry.register_with_unit(
            "memory",
            "Memory that is resident, and that may be",
            Unit::Bytes,
            self.memory.clone(),
        );
        registry.register("open_files", "Open files, and how many may be open", self.open_files.clone());
        registry.register(
            "pressure",
            "How short the gateway is: 0 not, 1 no session is opened, 2 no connection is taken",
            self.pressure.clone(),
        );
    }

    /// A limit was met.
    pub(crate) fn count(&self, limit: Limit) {
        self.count_some(limit, 1);
    }

    /// A limit was met so often.
    pub(crate) fn count_some(&self, limit: Limit, times: u64) {
        self.limited.get_or_create(&[("limit", limit.as_str())]).inc_by(times);
    }

    fn measure(&self, usage: Usage, ceilings: Ceilings, memory: Pressure, open_files: Pressure) {
        let number = |value: Option<u64>| value.unwrap_or_default().try_into().unwrap_or(i64::MAX);
        for (family, used, ceiling) in [
            (&self.memory, usage.memory_bytes, ceilings.memory_bytes),
            (&self.open_files, usage.open_files, ceilings.open_files),
        ] {
            family.get_or_create(&[("of", "used")]).set(number(used));
            family.get_or_create(&[("of", "limit")]).set(number(ceiling));
        }
        for (limit, pressure) in [(Limit::Memory, memory), (Limit::OpenFiles, open_files)] {
            let limit = limit.as_str();
            self.pressure.get_or_create(&[("limit", limit)]).set(i64::from(pressure as u8));
        }
    }
}
