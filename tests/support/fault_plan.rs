//! What is to happen to connections, drawn from a seed.
//!
//! A connection's [`Fate`] follows from the [`Plan`]'s seed and the connection's number alone: after so many bytes it is
//! reset, closed, or left *half-open*, one side gone while the other hears nothing, as when a device vanishes or a balancer
//! forgets a flow. It may also stall and be slow. `fault_proxy.rs` carries it out.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::random::Random;
use super::upgrades::Upgrades;

/// What happens to a connection in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Both ends get a reset.
    Reset,
    /// Both ends get an orderly end of the stream, at a byte where nobody would end it.
    Close,
    /// The client gets a reset; the gateway hears nothing, and nobody reads what it writes.
    ClientGone,
    /// The gateway gets a reset; the client hears nothing, and nobody reads what it writes.
    GatewayGone,
    /// Neither hears of the other again: a flow that a middlebox forgot.
    Forgotten,
}

impl Fault {
    /// Whether at least one end is left to believe that the connection stands.
    pub(crate) fn is_half_open(self) -> bool {
        matches!(self, Self::ClientGone | Self::GatewayGone | Self::Forgotten)
    }
}

/// Which way bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the gateway.
    Up,
    /// From the gateway to the client.
    Down,
}

impl Direction {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

impl Fate {
    /// What happens to the bytes of a direction, if they are counted.
    pub(crate) fn of(self, direction: Direction) -> Option<Self> {
        if direction == self.direction {
            return Some(self);
        }
        self.other_after_bytes.map(|after_bytes| Self { direction, after_bytes, stall_at: None, ..self })
    }
}

/// From what the fates of connections are drawn.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The same seed gives the n-th connection the same fate.
    pub(crate) seed: u64,
    /// How many bytes pass down before the cut, where those are counted. Default: 200 to 8,000.
    pub(crate) cut_after_bytes: RangeInclusive<u64>,
    /// How many bytes pass up before the cut, where those are counted. Default: 200 to 8,000.
    pub(crate) cut_after_bytes_up: RangeInclusive<u64>,
    /// How many connections in 100 count the bytes that go up, the others those that go down. Default: 25.
    pub(crate) counted_up_percent: u64,
    /// Whether the other direction is counted too, and the first to be through strikes. Default: no.
    pub(crate) counted_both_ways: bool,
    /// How many connections in 100 are cut at all. Default: 100.
    pub(crate) cut_percent: u64,
    /// How many cuts in 100 are half-open. Default: 40, so that a third of a hundred is not missed by chance.
    pub(crate) half_open_percent: u64,
    /// For how long the deaf end of a half-open connection is left standing, then it is reset. Default: 1 s.
    pub(crate) half_open_for: Duration,
    /// How many connections in 100 pause once on the way to their cut. Default: 0.
    pub(crate) stall_percent: u64,
    /// For how long. Default: 50 ms.
    pub(crate) stall_for: Duration,
    /// What becomes of requests for a WebSocket. Default: they pass.
    pub(crate) upgrades: Upgrades,
    /// What every piece of data waits before it is passed on. Default: nothing.
    pub(crate) delay: Duration,
    /// At most so many connections at once; one more is reset at the door. Default: 256.
    pub(crate) connections: usize,
    /// At most so many half-open ones at once; one more is reset instead. Default: 64.
    pub(crate) half_open: usize,
}

impl Plan {
    /// Every connection is cut somewhere in its first 8,000 bytes.
    pub(crate) fn cutting(seed: u64) -> Self {
        Self {
            seed,
            cut_after_bytes: 200..=8_000,
            cut_after_bytes_up: 200..=8_000,
            counted_up_percent: 25,
            counted_both_ways: false,
            cut_percent: 100,
            half_open_percent: 40,
            half_open_for: Duration::from_secs(1),
            stall_percent: 0,
            stall_for: Duration::from_millis(50),
            upgrades: Upgrades::Pass,
            delay: Duration::ZERO,
            connections: 256,
            half_open: 64,
        }
    }

    /// Nothing happens but what [`FaultProxy::cut_now`] asks for.
    pub(crate) fn peaceful() -> Self {
        Self { cut_percent: 0, ..Self::cutting(0) }
    }

    /// What happens to the `connection`-th connection, counted from 0.
    pub(crate) fn fate(&self, connection: u64) -> Fate {
        let mut random = Random::of(self.seed, connection);
        let direction =
            if random.chance(self.counted_up_percent, 100) { Direction::Up } else { Direction::Down };
        let after_bytes = random.within(self.range(direction));
        let fault = if random.chance(self.half_open_percent, 100) {
            *random.pick(&[Fault::ClientGone, Fault::GatewayGone, Fault::Forgotten])
        } else {
            *random.pick(&[Fault::Reset, Fault::Close])
        };
        let stalls = random.chance(self.stall_percent, 100);
        let stall_at = random.within(0..=after_bytes);
        let cut = random.chance(self.cut_percent, 100).then_some(fault);
        let other = self.counted_both_ways.then(|| random.within(self.range(direction.other())));
        Fate { direction, after_bytes, other_after_bytes: other, cut, stall_at: stalls.then_some(stall_at) }
    }

    fn range(&self, direction: Direction) -> RangeInclusive<u64> {
        match direction {
            Direction::Up => self.cut_after_bytes_up.clone(),
            Direction::Down => self.cut_after_bytes.clone(),
        }
    }
}

/// What is in store for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Whose bytes are counted.
    pub(crate) direction: Direction,
    /// How many of them pass; the cut falls when one more comes.
    pub(crate) after_bytes: u64,
    /// How many of the other direction pass, where those are counted too.
    pub(crate) other_after_bytes: Option<u64>,
    /// What happens then; `None`: nothing, ever.
    pub(crate) cut: Option<Fault>,
    /// After how many of them their direction pauses once.
    pub(crate) stall_at: Option<u64>,
}
