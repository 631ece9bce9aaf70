//! What a poll or a post may cost.

use std::time::Duration;

/// Bounds of every request.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The largest message that a client may send, in bytes; one that is larger is refused with 413. Default 64 KiB.
    pub max_message_bytes: usize,
    /// How long a message may take to arrive. Default 10 s.
    pub body_timeout: Duration,
    /// The most that an answer takes, in bytes, unless a single item is larger. Default 64 KiB.
    pub budget_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_message_bytes: 64 * 1024, body_timeout: Duration::from_secs(10), budget_bytes: 64 * 1024 }
    }
}
