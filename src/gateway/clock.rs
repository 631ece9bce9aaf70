//! The gateway's clock and its randomness: the one place that reads either.

use std::{
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::time::Instant;

use crate::session::Now;

/// The time, on a monotonic clock that begins with the first call and on the wall's.
///
/// The monotonic part is tokio's, so that a test that pauses it pauses every deadline.
pub(crate) fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let mono_ms = START.get_or_init(Instant::now).elapsed().as_millis() as u64;
    let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    Now { mono_ms, wall_ms }
}

/// The instant at which the monotonic clock shows `mono_ms`.
pub(crate) fn instant(mono_ms: u64) -> Instant {
    Instant::now() + std::time::Duration::from_millis(mono_ms.saturating_sub(now().mono_ms))
}

/// Random bytes of the operating system.
///
/// # Panics
/// When it has none to give: no token could be trusted then.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// 64 random bits.
pub(crate) fn random_u64() -> u64 {
    u64::from_ne_bytes(random())
}
