//! What a gateway may hold and how long it waits: read like advice.

use std::time::Duration;

use super::limits::LimitConfig;
use crate::{
    http::{OriginPolicy, TrustedProxies},
    upstream::Orders,
};

/// The settings of a gateway beside those of its [sessions](crate::session::SessionConfig) and its broker.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where the gateway is mounted: empty, or a path that begins with `/` and does not end with one.
    /// Default: empty.
    pub base_path: String,
    /// The largest message that a client may send. It is held in memory while it is read. Default: 64 KiB.
    pub message_bytes: usize,
    /// How long the body of a request may take to arrive, and the first message of a WebSocket. Default: 10 seconds.
    pub body_timeout: Duration,
    /// How long a handler may take for an intent before its client is told `timed_out`; its lane waits so long. Also
    /// how long it may take to say what a client may do, and, before the client is told to come back, who it is.
    /// Default: 30 seconds.
    pub handler_timeout: Duration,
    /// In which order the handler gets what clients send. Default: by session.
    pub orders: Orders,
    /// How many sessions there may be. A detached one costs about 1 KB. Default: 1,000,000.
    pub sessions: usize,
    /// How many sessions a second are opened or taken up again; whoever is too many is told when to come back. More comes
    /// back sooner after a crash and costs as much of the processor at once. The reconnect window is the number of
    /// sessions over this rate and a twentieth more, and wider while a herd comes back. Default: 2,500.
    pub admission_rate: u64,
    /// How many of them may come at once. 0 is a tenth of the rate, and at least 32. Default: 0.
    pub admission_burst: u64,
    /// How many events of sessions' lives may wait to be told, and as many ends of sessions again; past it they are not
    /// told, and the next says how many. Each costs some 200 bytes. Default: 65,536.
    pub session_events: usize,
    /// Which pages may connect.
    pub origins: OriginPolicy,
    /// Which proxies are believed when they say whose a request is. Default: none.
    pub proxies: TrustedProxies,
    /// What clients, users and addresses may have, and when the gateway sheds.
    pub limits: LimitConfig,
    /// How long a drain takes at most, if nothing else is said: three quarters of it to tell everybody, the rest for
    /// clients to leave. Default: 25 seconds.
    pub drain_deadline: Duration,
    /// How long a client that is told to leave stays away at least: as long as a successor may take to be there.
    /// Default: 1 second.
    pub drain_return_after: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            base_path: String::new(),
            message_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            handler_timeout: Duration::from_secs(30),
            orders: Orders::default(),
            sessions: 1_000_000,
            admission_rate: 2_500,
            admission_burst: 0,
            session_events: 65_536,
            origins: OriginPolicy::default(),
            proxies: TrustedProxies::default(),
            limits: LimitConfig::default(),
            drain_deadline: Duration::from_secs(25),
            drain_return_after: Duration::from_secs(1),
        }
    }
}
