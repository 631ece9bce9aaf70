//! What the tests here share: a gateway in this process, the command as another, and plain HTTP to both.

pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod issued;
pub(crate) mod panics;
pub(crate) mod process;
pub(crate) mod running;
pub(crate) mod secure;
pub(crate) mod speech;
pub(crate) mod ways;
pub(crate) mod websocket;

use std::time::Duration;

/// How long anything is waited for before a test gives up. No test takes nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
