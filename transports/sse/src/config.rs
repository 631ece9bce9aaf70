//! What a stream may cost.

use std::time::Duration;

/// Bounds of every stream.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The largest message that a client may send, in bytes. Default 64 KiB.
    pub max_message_bytes: usize,
    /// How long a message may take to arrive. Default 10 s.
    pub body_timeout: Duration,
    /// The most that a message down takes, in bytes, unless a single item is larger. Default 64 KiB.
    pub budget_bytes: usize,
    /// How long the head of the response waits for the first message, which decides its status. Default 1 s.
    pub head_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            budget_bytes: 64 * 1024,
            head_wait: Duration::from_secs(1),
        }
    }
}
