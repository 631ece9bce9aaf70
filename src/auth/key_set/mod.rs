//! Keys from an address: a JSON web key set (RFC 7517), as whoever issues tokens publishes it.
//!
//! A [`KeySet`] holds what was published when it was last looked at. Tokens are proven by what it holds: no token makes
//! a request of its own, but one that names a key that is not there may bring the next look forward, once in a while.
//! `document` says which published keys are keys here, `schedule` when to look and how long a look counts, `fetch` how to.
//!
//! The set has no task and reads no clock: [`Handle::keep_key_set`](crate::Handle::keep_key_set) looks for as long as it
//! is polled, and the clock is handed in.

mod document;
mod fetch;
mod schedule;

use std::{fmt, sync::Arc, time::Duration};

use http::Uri;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

pub(super) use self::schedule::Held;
use self::{fetch::Fetch, schedule::Schedule};
use super::key::{Algorithm, Key};
use crate::http::outgoing::Uncallable;

/// Where keys are published, and how far whoever publishes them is trusted.
#[derive(Clone)]
pub struct KeySetConfig {
    /// The address: `https`, or `http` on loopback.
    pub url: Uri,
    /// The algorithms that its keys may have, none of them symmetric. A key without an `alg` has the one that its curve
    /// has; an RSA key, the one of these that is RSA's, if there is only one. Default: `RS256`, `ES256`, `EdDSA`.
    pub algorithms: Vec<Algorithm>,
    /// Roots that are trusted beside those of the system. Default: none.
    pub roots: Vec<CertificateDer<'static>>,
    /// How long one look may take, from the connection to the last byte. Whoever shows a token of an unknown key waits
    /// no longer. Default: 5 seconds.
    pub timeout: Duration,
    /// The shortest time that keys count before the next look, whatever their `cache-control` says, and their time where it
    /// says nothing; also the longest pause between looks that fail. Shorter finds removed keys sooner. Default: 1 minute.
    pub min_age: Duration,
    /// The longest: a key that is no longer published proves tokens for no longer, as long as looks succeed.
    /// Default: 1 hour.
    pub max_age: Duration,
    /// How long keys count past their time while looks fail. Then nobody can be told from a forger, and all are told to
    /// come back later. Default: 1 day.
    pub max_stale: Duration,
    /// The shortest time between two looks for keys that tokens name and that are not held, however many name them.
    /// Default: 10 seconds.
    pub cooldown: Duration,
}

impl KeySetConfig {
    /// The largest document, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;
    /// The most keys of a document, those that cannot be used here among them.
    pub const MAX_KEYS: usize = 64;

    /// The defaults, for this address.
    pub fn new(url: Uri) -> Self {
        let algorithms = ["RS256", "ES256", "EdDSA"].map(|name| name.parse().expect("a known name"));
        Self {
            url,
            algorithms: algorithms.into(),
            roots: Vec::new(),
            timeout: Duration::from_secs(5),
            min_age: Duration::from_secs(60),
            max_age: Duration::from_secs(3_600),
            max_stale: Duration::from_secs(86_400),
            cooldown: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for KeySetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, algorithms, .. } = self;
        f.debug_struct("KeySetConfig")
            .field("url", url)
            .field("algorithms", algorithms)
            .finish_non_exhaustive()
    }
}

/// Why there is no key set of a configuration. The configuration's fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Whoever is between could publish keys of their own.
    #[error("{0:?} is neither an https address nor an http address of loopback")]
    Address(String),
    /// Whoever reads a published secret could sign.
    #[error("{0} is symmetric, and what is published is no secret: such keys are configured one by one")]
    Symmetric(Algorithm),
    /// No key could be used.
    #[error("there is no algorithm that its keys may have")]
    NoAlgorithm,
    /// No certificate could be checked.
    #[error("the trusted roots are not usable: {0}")]
    Roots(String),
    /// The bounds leave nothing between them.
    #[error("the shortest time that keys count is longer than the longest")]
    Bounds,
}

/// Published keys. Cheap to clone; clones are one set.
#[derive(Clone)]
pub struct KeySet(Arc<Inner>);

struct Inner {
    config: KeySetConfig,
    fetch: Fetch,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    schedule: Mutex<Schedule>,
    /// Whoever looks is to look again at the schedule.
    moved: Notify,
    /// How many looks have ended.
    looks: watch::Sender<u64>,
}

/// What came of a look. Said by [`KeySet::look`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySetLook {
    /// What was published is what is held.
    Unchanged,
    /// Other keys are held from now on.
    Replaced {
        /// How many.
        keys: usize,
        /// Those that were published and are none here, each with the reason.
        left_out: Vec<String>,
    },
    /// Nothing was learned, and why: what is held stays for its time.
    Failed(String),
}

impl KeySet {
    /// A set that holds nothing yet. `clock` tells milliseconds, and never goes back.
    ///
    /// # Errors
    /// When the configuration is not usable.
    pub fn new(
        config: KeySetConfig,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, KeySetError> {
        if config.algorithms.is_empty() {
            return Err(KeySetError::NoAlgorithm);
        }
        if let Some(symmetric) = config.algorithms.iter().find(|algorithm| algorithm.is_symmetric()) {
            return Err(KeySetError::Symmetric(*symmetric));
        }
        if config.min_age > config.max_age {
            return Err(KeySetError::Bounds);
        }
        let address = || KeySetError::Address(config.url.to_string());
        let fetch = Fetch::new(&config).map_err(|why| match why {
            Uncallable::Address => address(),
            Uncallable::Roots(why) => KeySetError::Roots(why),
        })?;
        let schedule = Mutex::new(Schedule::new(&config));
        let (moved, looks) = (Notify::new(), watch::Sender::new(0));
        Ok(Self(Arc::new(Inner { config, fetch, clock: Box::new(clock), schedule, moved, looks })))
    }

    /// Fetches what is published now, and takes it. One at a time: [`Handle::keep_key_set`](crate::Handle::keep_key_set)
    /// calls it when it is due.
    ///
    /// # Cancel safety
    /// A look that is not awaited to its end was none; whoever waits for it waits for the next.
    pub async fn look(&self) -> KeySetLook {
        let set = &*self.0;
        set.schedule.lock().begin((set.clock)());
        let fetched = timeout(set.config.timeout, set.fetch.get());
        let fetched = fetched.await.unwrap_or_else(|_| Err("it took longer than it may".into()));
        let read = fetched.and_then(|fetched| {
            let (keys, left_out) = document::read(&fetched.document, &set.config.algorithms)?;
            Ok((keys, left_out, fetched.max_age))
        });
        let now_ms = (set.clock)();
        let look = match read {
            Ok((keys, left_out, max_age)) => {
                let look = KeySetLook::Replaced { keys: keys.len(), left_out };
                let is_new = set.schedule.lock().succeed(now_ms, keys.into(), max_age);
                if is_new { look } else { KeySetLook::Unchanged }
            }
            Err(why) => {
                set.schedule.lock().fail(now_ms);
                KeySetLook::Failed(why)
            }
        };
        set.looks.send_modify(|looks| *looks += 1);
        look
    }

    /// How many keys are held; zero too once they have been held for too long.
    pub fn keys(&self) -> usize {
        self.held().map_or(0, |held| held.keys.len())
    }

    /// How long ago the keys that are held were published for certain; `None` where none are.
    pub fn age(&self) -> Option<Duration> {
        let now_ms = (self.0.clock)();
        self.held().map(|held| Duration::from_millis(now_ms.saturating_sub(held.looked_ms)))
    }

    /// How long until a look is due.
    pub(crate) fn due_in(&self) -> Duration {
        let due_ms = self.0.schedule.lock().due_ms();
        Duration::from_millis(due_ms.saturating_sub((self.0.clock)()))
    }

    /// Whether a look is due sooner than was said.
    pub(crate) async fn moved(&self) {
        self.0.moved.notified().await;
    }

    /// What counts now.
    pub(super) fn held(&self) -> Option<Held> {
        self.0.schedule.lock().held((self.0.clock)()).cloned()
    }

    /// Whether the last look failed.
    pub(super) fn is_failing(&self) -> bool {
        self.0.schedule.lock().is_failing()
    }

    /// Whether a published key may be one for tokens of this `alg`.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.0.config.algorithms.iter().any(|algorithm| algorithm.is_called(name))
    }

    /// Waits for the end of a look where one is under way or may be brought forward: somebody shows a token of a key that
    /// is not held. `false` at once where it was looked too short a time ago.
    pub(super) async fn look_again(&self) -> bool {
        let set = &*self.0;
        let mut looks = set.looks.subscribe(); // before it is asked for, so that its end is not missed
        if !set.schedule.lock().want((set.clock)()) {
            return false;
        }
        set.moved.notify_one();
        timeout(set.config.timeout, looks.changed()).await.is_ok()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// Whether two lists hold the same keys.
fn are_same(one: &[Key], other: &[Key]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_same(other))
}
