//! What middleboxes do to those who pass.

use std::time::Duration;

/// What a TCP middlebox does to connections. Changed while it runs, it holds for what begins from then on: an upgrade
/// that has passed has passed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TcpFaults {
    /// New connections. Default: they pass.
    pub connections: Passage,
    /// Requests for a WebSocket. Default: they pass.
    pub upgrades: Upgrades,
    /// Whether an answer whose length is not known when it begins is held back until it ends, as by a proxy that
    /// buffers, or looks for viruses. Holds for streams that have begun, too. Default: no.
    pub streams_held: bool,
    /// After what time without a byte either way a connection is reset at both ends. Default: never.
    pub idle_cut: Option<Duration>,
}

/// What becomes of a new connection, or of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Passage {
    /// It passes.
    #[default]
    Open,
    /// It is refused: TCP by a reset, UDP by an ICMP message of the closed port.
    Refused,
    /// It is dropped, and nobody hears of it.
    Dropped,
}

/// What becomes of a request for a WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Upgrades {
    /// It passes.
    #[default]
    Open,
    /// It never reaches the gateway, and is never answered.
    Unanswered,
    /// It is answered with this status.
    Refused(u16),
    /// It is answered, and then nothing passes any more, either way, while the connection stands.
    Silenced,
}

/// What is done, now, to connections that stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strike {
    /// Both ends get a reset.
    Reset,
    /// Nothing passes any more, either way, not even an end: the path is gone, and nobody says so.
    Silence,
}

/// To which connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    /// All.
    All,
    /// Those whose request for a WebSocket has passed.
    Upgraded,
}
