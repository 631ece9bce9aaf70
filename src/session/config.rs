//! What a session may do and how long it waits: read like advice.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::RwLock;
use throughline_wire::frame::{Backoff, Limits, TransportOffer};

use super::{slow::SlowRules, token::TokenKeys};
use crate::{channel::Ledger, limits::Meter};

/// The settings that all sessions of a gateway share.
#[derive(Debug)]
pub struct SessionConfig {
    /// How long a session without a link waits for its client before it is forgotten.
    ///
    /// Longer survives longer tunnels and keeps some 700 bytes, the journal and the cursors of each waiting
    /// session. Default: 2 minutes.
    pub resume_window_ms: u64,
    /// How long a new session waits for its token to come back before it is forgotten.
    ///
    /// A first answer that was lost leaves such a session behind; shorter forgets them sooner, longer than the
    /// slowest first round trip is needed. Default: 10 seconds.
    pub provisional_ms: u64,
    /// How often a stream is pinged, and how long a ping may go unanswered. 1 to 60 seconds.
    ///
    /// Shorter finds dead links sooner and keeps stricter intermediaries from cutting idle ones; costs one small
    /// write and read per session each time. Default: 15 seconds.
    pub heartbeat_ms: u64,
    /// How long a poll is held when there is nothing to say. Intermediaries cut at 30 to 60 seconds.
    /// Default: 25 seconds.
    pub poll_hold_ms: u64,
    /// How long a probe may stand by unproven. Default: 15 seconds.
    pub probe_ms: u64,
    /// How clients that were told nothing back off. Default: 1 second doubling to 30.
    pub backoff: Backoff,
    /// What a session may have outstanding.
    pub limits: Limits,
    /// How many replies, subscription results and gaps may be unacknowledged before no further command is taken:
    /// the reserve of docs/protocol.md, window. Default: 2,048.
    pub reserve_items: usize,
    /// What a session gets of a channel in which it fell behind, by namespace. Default: everything, for as long as the log
    /// holds it.
    pub slow: SlowRules,
    /// The largest payload of a volatile that a client or the application says, in bytes; larger ones are dropped.
    /// What fits a datagram is 1,200 bytes with its frame. Default: 4 KiB.
    pub volatile_bytes: usize,
    /// How many volatiles a second a session may say; what is above that is dropped. Each costs a wake of everybody
    /// who holds its channel. Default: 100.
    pub volatiles_per_second: u32,
    /// How long a session without a link is still here: listed in the presence of its channels, and not lost to the
    /// application.
    ///
    /// Shorter tells sooner that somebody is gone; longer hides reconnects, reloads and tunnels from everybody else. No
    /// longer than `resume_window_ms`, when it is gone anyway. Default: 30 seconds.
    pub presence_grace_ms: u64,
    /// Whether the [life](super::Life) of sessions is told; set by the gateway where somebody listens. It costs a deadline
    /// of each session that is without a link. Default: `false`.
    pub reports_life: bool,
    /// How many sessions may take part in the presence of one channel, 4,096 at most. Each that comes or goes is told to
    /// all the others, each newcomer is told all of them. Default: 1,000.
    pub presence_members: usize,
    /// How many of them may be sessions of one user: those of all its pages and devices, and of pages that were closed
    /// without a word for as long as the grace. One user cannot fill a channel. 0 for no bound. Default: 50.
    pub user_presence_members: usize,
    /// How many of them may be sessions without a user from one address. All people behind the one of a company, or of a
    /// mobile network, share it, so it has to be generous. 0 for no bound. Default: 500, half of a channel.
    pub address_presence_members: usize,
    /// What the presences may cost together that sessions have not acknowledged, in bytes. From half of it on, a session that
    /// acknowledges none of its own for a minute is ended, and the sessions of a user, or of nobody from one address, that
    /// hold an eighth of it are told no more; past it nobody is. What many are told alike counts once in all, and for each
    /// of them with its user. Default: 32 MiB.
    pub presence_bytes: u64,
    /// What they cost now; kept by the channels.
    pub presence_unacknowledged: Arc<Ledger>,
    /// Whether each session of a user is given [the user's own channel](super::user_channel), so that the application can
    /// publish to users. Costs each of their sessions a subscription. Default: `false`.
    pub user_channel: bool,
    /// How many links a session may have at once: one that works, and probes. Default: 4.
    pub links: usize,
    /// How long links stay after the end of their client's credential, in milliseconds: time for a new one that is on its
    /// way, and for clocks that differ. Default: 30,000.
    pub auth_leeway_ms: u64,
    /// What `welcome` offers, in order of preference; kept up to date by the gateway.
    pub transports: Offers,
    /// What tokens are signed with.
    pub keys: TokenKeys,
    /// Over how long clients that lose this gateway without a word spread their first attempt, in milliseconds;
    /// kept up to date by the gateway.
    pub window: Window,
    /// Whether the journals of all sessions cost more than they may: then a session takes commands only while few of
    /// its replies are unacknowledged. Kept up to date by the gateway.
    pub crowded: Crowded,
}

impl SessionConfig {
    /// The defaults, with these keys.
    pub fn new(keys: TokenKeys) -> Self {
        Self {
            resume_window_ms: 120_000,
            provisional_ms: 10_000,
            heartbeat_ms: 15_000,
            poll_hold_ms: 25_000,
            probe_ms: 15_000,
            backoff: Backoff::default(),
            limits: Limits::default(),
            reserve_items: 2_048,
            slow: SlowRules::default(),
            volatile_bytes: 4_096,
            volatiles_per_second: 100,
            presence_grace_ms: 30_000,
            reports_life: false,
            presence_members: 1_000,
            user_presence_members: 50,
            address_presence_members: 500,
            presence_bytes: 32 << 20,
            presence_unacknowledged: Arc::default(),
            user_channel: false,
            links: 4,
            auth_leeway_ms: 30_000,
            transports: Offers::default(),
            keys,
            window: Window::default(),
            crowded: Crowded::default(),
        }
    }

    /// Whether half of the room for presences that are not acknowledged is taken.
    pub(super) fn is_presence_scarce(&self) -> bool {
        self.presence_unacknowledged.bytes() >= self.presence_bytes.div_ceil(2)
    }

    /// Whether there is room for one more, for whoever counts for this.
    pub(super) fn may_tell_presence(&self, payer: Option<&Meter>) -> bool {
        let holds_much = || payer.is_some_and(|payer| payer.booked() >= self.presence_bytes / 8);
        self.presence_unacknowledged.bytes() < self.presence_bytes
            && !(self.is_presence_scarce() && holds_much())
    }
}

/// What the gateway offers: it changes when a listener starts or a certificate is replaced.
#[derive(Debug, Default)]
pub struct Offers(RwLock<Arc<[TransportOffer]>>);

impl Offers {
    /// The present offers, in order of preference.
    pub fn now(&self) -> Arc<[TransportOffer]> {
        Arc::clone(&self.0.read())
    }

    /// Replaces them.
    pub fn set(&self, offers: Arc<[TransportOffer]>) {
        *self.0.write() = offers;
    }
}

/// A number of milliseconds that the gateway changes while sessions read it.
#[derive(Debug, Default)]
pub struct Window(AtomicU64);

impl Window {
    /// The present value.
    pub fn ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes it.
    pub fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

/// A mark that the gateway sets while sessions look at it.
#[derive(Debug, Default)]
pub struct Crowded(AtomicBool);

impl Crowded {
    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it or takes it away.
    pub fn set(&self, crowded: bool) {
        self.0.store(crowded, Ordering::Relaxed);
    }
}

/// The time, as the driver hands it in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back; deadlines count in it.
    pub mono_ms: u64,
    /// Milliseconds since the Unix epoch; events and `welcome` tell it.
    pub wall_ms: u64,
}
