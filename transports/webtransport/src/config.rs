//! What links, and whoever would like to have one, may cost.

use std::time::Duration;

/// Bounds of an endpoint and of every link. The defaults suit many clients that are mostly silent.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path that is served; any other is answered with 404. Default `/v1/webtransport`.
    pub path: String,
    /// The largest frame that a client may send, in bytes; one that is larger is refused and ends the link with close
    /// code 1009. Also what a client can make the gateway hold while a frame arrives. Default 64 KiB.
    pub max_message_bytes: usize,
    /// The most that is taken from the peer at once, in bytes, unless a single item is larger. Default 64 KiB.
    pub budget_bytes: usize,
    /// How long what was taken from the peer may take to leave: a client that does not read for so long is lost.
    /// Default 30 s.
    pub write_timeout: Duration,
    /// How long a closed link waits until its client has acknowledged the last byte, and again until its client has
    /// closed. Default 5 s.
    pub close_grace: Duration,
    /// What a client may cost before it has a link.
    pub handshake: HandshakeConfig,
    /// How many connections there may be, those without a link included; more are refused. Default 100,000.
    pub connections: usize,
    /// How long a client may be silent before it is lost, its acknowledgements included. Clients have a bound of
    /// their own (30 s in Chromium), and the smaller one counts.
    ///
    /// The heartbeats of the session keep a link from it; a longer one remembers a client that is gone for longer.
    /// Default 45 s, three heartbeats.
    pub idle_timeout: Duration,
    /// How often a silent client is asked for a sign of life by QUIC itself, at the cost of a packet each way.
    ///
    /// `None` where heartbeats are sent by whoever is behind the gate, as the gateway does. Default `None`.
    pub keep_alive: Option<Duration>,
    /// What is held for each connection.
    pub buffers: BufferConfig,
}

/// What a client may cost before it has a link.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeConfig {
    /// How long a client may take from its first packet until its stream is open. Default 10 s.
    pub timeout: Duration,
    /// How many may be at it at once; more are refused. Each may cost a signature and some 20 KB. Default 4,096.
    pub pending: usize,
    /// From how many on a client has to prove that its address is its own, by one more round trip, before anything is
    /// computed or kept for it. Default 512.
    pub unproven: usize,
}

/// What is held for each connection, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct BufferConfig {
    /// How much of a stream that has not been read a client may send; and the double of it over all streams. Bounds
    /// what a hostile client can have kept. Default 64 KiB.
    pub receive: u32,
    /// How much may be under way to a client, sent and not acknowledged. A client gets at most so much in each round
    /// trip: with the default, 5 MB/s at 50 ms. Default 256 KiB.
    pub send: u64,
    /// How much may wait in datagrams, each way; the oldest make room. Default 16 KiB.
    pub datagrams: usize,
    /// How many packets are handed to the system in one call, where it takes several. Each has a place of some 1.4 KB
    /// in a buffer that every connection keeps once it has sent so much. Default 4.
    pub packets_at_once: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/v1/webtransport".into(),
            max_message_bytes: 64 * 1024,
            budget_bytes: 64 * 1024,
            write_timeout: Duration::from_secs(30),
            close_grace: Duration::from_secs(5),
            handshake: HandshakeConfig::default(),
            connections: 100_000,
            idle_timeout: Duration::from_secs(45),
            keep_alive: None,
            buffers: BufferConfig::default(),
        }
    }
}

impl Default for HandshakeConfig {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), pending: 4_096, unproven: 512 }
    }
}

impl Default for BufferConfig {
    fn default() -> Self {
        Self { receive: 64 * 1024, send: 256 * 1024, datagrams: 16 * 1024, packets_at_once: 4 }
    }
}
