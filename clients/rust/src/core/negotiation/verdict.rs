//! What worked the last time, remembered per gateway for a day.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use throughline_wire::frame::TransportOffer;

use crate::config::Transport;

/// How long a verdict counts: networks change, and so do gateways.
pub(crate) const VALID: Duration = Duration::from_secs(24 * 60 * 60);

/// The best transport that was proven with a gateway, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// The transport.
    pub transport: Transport,
    /// What the gateway said of it: where it is, and which certificates to accept.
    pub offer: Option<TransportOffer>,
    /// When it was last proven, since the Unix epoch.
    pub at: Duration,
}

impl Verdict {
    /// A verdict as it was stored.
    pub const fn new(transport: Transport, offer: Option<TransportOffer>, at: Duration) -> Self {
        Self { transport, offer, at }
    }

    /// Whether it still counts at this time since the Unix epoch. One from the future does not.
    pub(crate) fn is_valid(&self, wall: Duration) -> bool {
        wall.checked_sub(self.at).is_some_and(|age| age < VALID)
    }
}

/// What worked where, by origin. Cheap to clone; all clones are one memory.
///
/// Kept in memory only. An application that wants to keep it over a restart stores [`all`](Self::all) and puts it back
/// by [`remember`](Self::remember).
#[derive(Clone, Default)]
pub struct Verdicts(Arc<Mutex<BTreeMap<Box<str>, Verdict>>>);

/// How many origins are remembered; past it the oldest verdict goes.
const ORIGINS: usize = 256;

impl Verdicts {
    /// What is remembered of an origin (`scheme://host[:port]`), however old.
    pub fn of(&self, origin: &str) -> Option<Verdict> {
        self.all_of_them().get(origin).cloned()
    }

    /// Remembers what worked, or forgets it.
    pub fn remember(&self, origin: &str, verdict: Option<Verdict>) {
        let mut verdicts = self.all_of_them();
        let Some(verdict) = verdict else {
            verdicts.remove(origin);
            return;
        };
        verdicts.insert(origin.into(), verdict);
        if verdicts.len() > ORIGINS {
            let oldest =
                verdicts.iter().min_by_key(|(_, verdict)| verdict.at).map(|(origin, _)| origin.clone());
            oldest.map(|origin| verdicts.remove(&origin));
        }
    }

    /// All that is remembered, by origin.
    pub fn all(&self) -> Vec<(String, Verdict)> {
        self.all_of_them().iter().map(|(origin, verdict)| (origin.to_string(), verdict.clone())).collect()
    }

    fn all_of_them(&self) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, Verdict>> {
        // Nothing here leaves it half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all()).finish()
    }
}

/// The origin of a gateway's address.
pub(crate) fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    url[authority..].find('/').map_or(url, |path| &url[..authority + path])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_counts_for_a_day() {
        let verdict = Verdict::new(Transport::WebSocket, None, Duration::from_secs(1_000_000));
        assert!(verdict.is_valid(verdict.at));
        assert!(verdict.is_valid(verdict.at + VALID - Duration::from_secs(1)));
        assert!(!verdict.is_valid(verdict.at + VALID));
        assert!(!verdict.is_valid(verdict.at - Duration::from_secs(1)), "a clock that was set back");
    }

    #[test]
    fn an_origin_is_what_precedes_the_path() {
        assert_eq!(origin("https://a.example:444/live/"), "https://a.example:444");
        assert_eq!(origin("http://a.example"), "http://a.example");
        assert_eq!(origin(""), "");
    }

    #[test]
    fn all_clones_are_one_memory_and_the_oldest_origin_goes_first() {
        let verdicts = Verdicts::default();
        for n in 0..=ORIGINS {
            let verdict = Verdict::new(Transport::Sse, None, Duration::from_secs(n as u64));
            verdicts.clone().remember(&n.to_string(), Some(verdict));
        }
        assert_eq!(verdicts.all().len(), ORIGINS);
        assert_eq!((verdicts.of("0"), verdicts.of("1").is_some()), (None, true));
        verdicts.remember("1", None);
        assert_eq!(verdicts.of("1"), None);
    }
}
