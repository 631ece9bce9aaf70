//! What a client is told when it is made.

use std::{fmt, sync::Arc, time::Duration};

use throughline_wire::{ChannelName, Codec, DecodeLimits, SubscribeFrom, Token};

use crate::core::negotiation::verdict::Verdicts;
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

    /// Whether one connection carries both directions.
    pub(crate) const fn is_duplex(self) -> bool {
        matches!(self.transport, Transport::WebSocket | Transport::WebTransport)
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
    /// What to run on, in order of preference. What the gateway does not offer is not tried.
    ///
    /// Default: WebTransport and WebSocket in the binary codec, server-sent events, long-polling in the binary codec.
    pub transports: Vec<Via>,
    /// Whether to negotiate: to open by a poll while better transports are proven beside it, to poll at once where a
    /// link is late, and to move up again when the network heals. Without, there is one link at a time: the first of
    /// [`transports`](Self::transports), the next when one fails. Default: yes.
    pub negotiate: bool,
    /// What to subscribe to at once: it travels in the message that opens the session, so the first event comes
    /// with its answer. Refusals show as [`Unsubscribed`](crate::Incoming::Unsubscribed). Default: nothing.
    pub subscriptions: Vec<(ChannelName, SubscribeFrom)>,
    /// The channels of [`subscriptions`](Self::subscriptions) in whose presence it takes part, as by
    /// [`take_part`](crate::Session::take_part). Default: none.
    pub presence: Vec<ChannelName>,
    /// What worked with which gateway: for a day, the best transport that was proven goes first. Clients that are
    /// given the same one share what they learn. Default: a memory of its own.
    pub verdicts: Verdicts,
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
                Via::bincode(Transport::WebTransport),
                Via::bincode(Transport::WebSocket),
                Via::json(Transport::Sse),
                Via::bincode(Transport::Polling),
            ],
            negotiate: true,
            subscriptions: Vec::new(),
            presence: Vec::new(),
            verdicts: Verdicts::default(),
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
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.url)
            .field("transports", &self.transports)
            .field("negotiate", &self.negotiate)
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
    /// How long the gateway holds a poll. Default: 25 s.
    pub poll_hold: Duration,
    /// How long a poll may take beyond that before another takes its place, which has four times as long. Stretched on
    /// a slow network, up to 5 s. Default: 1 s.
    pub poll_grace: Duration,
    /// For the answer of a post, at most: one that is late goes out again on another connection. Default: 10 s.
    pub post: Duration,
    /// How long something that was due (a reply, a heartbeat) may be missing, and nothing else heard, before the link
    /// is doubted and asked for a sign of life (a poll: hedged by another). Stretched on a slow network, up to 5 s.
    /// Default: 750 ms.
    pub doubt: Duration,
    /// How long a doubted link has for that sign before the session polls beside it. Stretched as well.
    /// Default: 500 ms.
    pub pong: Duration,
    /// How long an item may be unacknowledged. Default: 200 ms.
    pub ack_delay: Duration,
    /// How far apart probes of better transports begin, unless one has failed before. Default: 250 ms.
    pub stagger: Duration,
    /// How long a probe has for each of its steps: to stand, to be welcomed, to bring a nonce. Default: 5 s.
    pub probe: Duration,
    /// How long a transport that is remembered from an earlier session may be silent before a poll joins it.
    /// Default: 250 ms.
    pub join_first: Duration,
    /// The same where a session comes back. Default: 1 s.
    pub join_back: Duration,
    /// How long a transport that failed is left alone, doubled each time. Default: 5 s.
    pub reprobe: Duration,
    /// The longest that it is left alone. Default: 60 s.
    pub reprobe_cap: Duration,
    /// How long a transport has to carry the session before its failures are forgotten. Default: 30 s.
    pub settled: Duration,
    /// For a goodbye to be said. Default: 1 s.
    pub goodbye: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            welcome: Duration::from_secs(10),
            poll_hold: Duration::from_secs(25),
            poll_grace: Duration::from_secs(1),
            post: Duration::from_secs(10),
            doubt: Duration::from_millis(750),
            pong: Duration::from_millis(500),
            ack_delay: Duration::from_millis(200),
            stagger: Duration::from_millis(250),
            probe: Duration::from_secs(5),
            join_first: Duration::from_millis(250),
            join_back: Duration::from_secs(1),
            reprobe: Duration::from_secs(5),
            reprobe_cap: Duration::from_secs(60),
            settled: Duration::from_secs(30),
            goodbye: Duration::from_secs(1),
        }
    }
}
