//! What a gateway may hold and how long it waits: read like advice.

use std::time::Duration;

use crate::{http::OriginPolicy, upstream::Orders};

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
    /// how long it may take to say who a client is, before the client is told to come back.
    /// Default: 30 seconds.
    pub handler_timeout: Duration,
    /// In which order the handler gets what clients send. Default: by session.
    pub orders: Orders,
    /// How many sessions there may be. A detached one costs about 1 KB. Default: 1,000,000.
    pub sessions: usize,
    /// How many sessions a second are opened or taken up again; whoever is too many is told when to come back. More comes
    /// back sooner after a crash and costs as much of the processor at once. The reconnect window is the number of
    /// sessions over this rate. Default: 2,500.
    pub admission_rate: u64,
    /// How many of them may come at once. 0 is a tenth of the rate, and at least 32. Default: 0.
    pub admission_burst: u64,
    /// How many events of sessions' lives may wait to be told, and as many ends of sessions again; past it they are not
    /// told, and the next says how many. Each costs some 200 bytes. Default: 65,536.
    pub session_events: usize,
    /// Which pages may connect.
    pub origins: OriginPolicy,
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
        }
    }
}
