//! What a client is told when it is made.

use std::{fmt, sync::Arc, time::Duration};

use throughline_wire::{Codec, DecodeLimits, Token};

use crate::transport::{
    dial::{Dial, TcpDial},
    tls::Tls,
};

/// A way bytes travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Transport {
    /// One WebSocket.
    WebSocket,
    /// Long-polling: one request parked, one beside it for what goes up.
    Polling,
    /// Server-sent events down, requests up. Carries the text codec only.
    Sse,
    /// One WebTransport session over HTTP/3.
    WebTransport,
}

impl Transport {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
            Self::Sse => "sse",
            Self::WebTransport => "webtransport",
        }
    }

    /// The transport of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::WebSocket, Self::Polling, Self::Sse, Self::WebTransport]
            .into_iter()
            .find(|transport| transport.name() == name)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a link runs on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Via {
    /// The transport.
    pub transport: Transport,
    /// The form of its messages.
    pub codec: Codec,
}

impl Via {
    /// A transport in the text codec.
    pub const fn json(transport: Transport) -> Self {
        Self { transport, codec: Codec::Json }
    }

    /// A transport in the binary codec.
    pub const fn bincode(transport: Transport) -> Self {
        Self { transport, codec: Codec::Bincode }
    }

    /// Whether the transport carries the codec.
    pub fn is_possible(self) -> bool {
        self.transport != Transport::Sse || self.codec == Codec::Json
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.transport, self.codec.name())
    }
}

/// What a client is told when it is made. Only the address has no default.
#[derive(Clone)]
pub struct Config {
    /// The gateway: `http://host[:port][/path]`, or `https` for TLS.
    pub url: String,
    /// What to run on, in order of preference. The first is tried first, the next when one fails; once the session is
    /// up on a later one, the earlier ones are probed again from time to time (see [`upgrade`](Self::upgrade)).
    ///
    /// Default: WebSocket in the binary codec, server-sent events, long-polling.
    pub transports: Vec<Via>,
    /// What to open the session on where that is not the first of [`transports`](Self::transports): with
    /// long-polling here the first event comes as fast as plain HTTP allows, and better transports are proven
    /// beside it. Default: none.
    pub first: Option<Via>,
    /// Whether to look for a better transport while the session is up on a later one. Default: yes.
    pub upgrade: bool,
    /// The user's credential. Default: none.
    pub auth: Option<Token>,
    /// The name that the gateway's logs know this client by. Default: `throughline-client`.
    pub client_name: String,
    /// How many things may wait for the application to take them. Past it nothing is acknowledged, so the gateway
    /// holds the rest back. Default: 1,024.
    pub incoming: usize,
    /// How many commands may wait for their reply; more wait in their callers. Default: 1,024.
    pub commands: usize,
    /// What a message from the gateway may be. Default: frames of 1 MiB, 4,096 items each.
    pub limits: DecodeLimits,
    /// The seed of all randomness: the instance's name and the jitter of coming back. Default: drawn.
    pub seed: Option<u64>,
    /// How connections are made: TLS runs on top of it, and WebTransport asks it where to send datagrams.
    /// Default: [`TcpDial`]; through a company's proxy, a [`ProxyDial`](crate::ProxyDial).
    pub dial: Arc<dyn Dial>,
    /// Which certificates to accept, where the address is `https` and for WebTransport. Default: those that the
    /// system accepts.
    pub tls: Tls,
    /// How long to wait for what.
    pub timing: Timing,
}

impl Config {
    /// The defaults for a gateway at `http[s]://host[:port][/path]`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            transports: vec![
                Via::bincode(Transport::WebSocket),
                Via::json(Transport::Sse),
                Via::bincode(Transport::Polling),
            ],
            first: None,
            upgrade: true,
            auth: None,
            client_name: env!("CARGO_PKG_NAME").to_owned(),
            incoming: 1_024,
            commands: 1_024,
            limits: DecodeLimits::default(),
            seed: None,
            dial: Arc::new(TcpDial),
            tls: Tls::default(),
            timing: Timing::default(),
        }
    }

    /// Runs on this and nothing else.
    #[must_use]
    pub fn only(mut self, via: Via) -> Self {
        self.transports = vec![via];
        self.first = None;
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("transports", &self.transports)
            .field("first", &self.first)
            .field("upgrade", &self.upgrade)
            .field("auth", &self.auth)
            .field("client_name", &self.client_name)
            .field("tls", &self.tls)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// How long to wait for what. Tests set these to tens of milliseconds; the defaults suit the open internet.
#[derive(Clone, Debug)]
pub struct Timing {
    /// For a connection to stand, TLS included. Default: 5 s.
    pub connect: Duration,
    /// For a `welcome` after the connection was begun, its handshake and its `hello` included. Default: 10 s.
    pub welcome: Duration,
    /// How long a stream may be silent beyond the gateway's heartbeat. Default: 5 s.
    pub silence_grace: Duration,
    /// How long the gateway holds a poll. Default: 25 s.
    pub poll_hold: Duration,
    /// How long a poll may take beyond that. Default: 5 s.
    pub poll_grace: Duration,
    /// For the answer of a post. Default: 10 s.
    pub post: Duration,
    /// How long a reply may be missing, and nothing else heard, before the link is doubted and asked for a sign of
    /// life (a poll: hedged by another). Default: 5 s.
    pub doubt: Duration,
    /// How long a doubted link has for that sign. Default: 3 s.
    pub pong: Duration,
    /// How long an item may be unacknowledged. Default: 200 ms.
    pub ack_delay: Duration,
    /// How long to wait before a better transport is probed, doubled each time it fails, up to 64 times.
    /// Default: 5 s; the first probe goes out at once.
    pub upgrade: Duration,
    /// For a goodbye to be said. Default: 1 s.
    pub goodbye: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            welcome: Duration::from_secs(10),
            silence_grace: Duration::from_secs(5),
            poll_hold: Duration::from_secs(25),
            poll_grace: Duration::from_secs(5),
            post: Duration::from_secs(10),
            doubt: Duration::from_secs(5),
            pong: Duration::from_secs(3),
            ack_delay: Duration::from_millis(200),
            upgrade: Duration::from_secs(5),
            goodbye: Duration::from_secs(1),
        }
    }
}
