//! When to look, and how long what was seen counts. Pure: every method is told the time.

use std::{sync::Arc, time::Duration};

use super::{KeySetConfig, are_same};
use crate::auth::key::Key;

/// Keys, and when they were seen.
#[derive(Clone, Debug)]
pub(in crate::auth) struct Held {
    pub(in crate::auth) keys: Arc<[Key]>,
    /// How many others were held before them.
    pub(in crate::auth) generation: u64,
    /// When they were last seen to be published.
    pub(super) looked_ms: u64,
    /// Until when they count though no look succeeds.
    stale_ms: u64,
}

/// What is held, and when the next look is due.
#[derive(Debug)]
pub(super) struct Schedule {
    min_age_ms: u64,
    max_age_ms: u64,
    max_stale_ms: u64,
    cooldown_ms: u64,
    held: Option<Held>,
    due_ms: u64,
    /// When the last look began.
    began_ms: Option<u64>,
    is_looking: bool,
    /// How many looks failed in a row.
    failures: u32,
}

impl Schedule {
    pub(super) fn new(config: &KeySetConfig) -> Self {
        let ms = |duration: Duration| duration.as_millis() as u64;
        Self {
            min_age_ms: ms(config.min_age),
            max_age_ms: ms(config.max_age),
            max_stale_ms: ms(config.max_stale),
            cooldown_ms: ms(config.cooldown),
            held: None,
            due_ms: 0,
            began_ms: None,
            is_looking: false,
            failures: 0,
        }
    }

    /// When to look. A moment that has passed means now.
    pub(super) const fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// What counts.
    pub(super) fn held(&self, now_ms: u64) -> Option<&Held> {
        self.held.as_ref().filter(|held| now_ms < held.stale_ms)
    }

    /// Whether the last look saw nothing: then a key that is not held may be published all the same.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// A look begins.
    pub(super) const fn begin(&mut self, now_ms: u64) {
        (self.began_ms, self.is_looking) = (Some(now_ms), true);
        // Should nobody see its end, it is as one that failed.
        self.due_ms = now_ms.saturating_add(FIRST_PAUSE_MS);
    }

    /// It saw these keys, which are to be had again after `max_age`. Says whether they are others than before.
    pub(super) fn succeed(&mut self, now_ms: u64, keys: Arc<[Key]>, max_age: Option<Duration>) -> bool {
        let stated_ms = max_age.map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let age_ms = stated_ms.clamp(self.min_age_ms, self.max_age_ms);
        // A little early, so that a look that takes its time, or fails once, leaves no moment without fresh keys.
        self.due_ms = now_ms.saturating_add(age_ms - age_ms / 5);
        (self.is_looking, self.failures) = (false, 0);
        let before = self.held.as_ref();
        let is_new = before.is_none_or(|held| !are_same(&held.keys, &keys));
        let generation = before.map_or(0, |held| held.generation + u64::from(is_new));
        let stale_ms = now_ms.saturating_add(age_ms).saturating_add(self.max_stale_ms);
        self.held = Some(Held { keys, generation, looked_ms: now_ms, stale_ms });
        is_new
    }

    /// It saw nothing.
    pub(super) fn fail(&mut self, now_ms: u64) {
        let pause_ms = FIRST_PAUSE_MS.saturating_mul(1 << self.failures.min(16));
        self.due_ms = now_ms.saturating_add(pause_ms.min(self.min_age_ms.max(FIRST_PAUSE_MS)));
        (self.is_looking, self.failures) = (false, self.failures.saturating_add(1));
    }

    /// Somebody names a key that is not held. Says whether a look is under way, or due now for that reason.
    pub(super) fn want(&mut self, now_ms: u64) -> bool {
        let may_look =
            self.began_ms.is_none_or(|began_ms| now_ms >= began_ms.saturating_add(self.cooldown_ms));
        if may_look && !self.is_looking {
            self.due_ms = self.due_ms.min(now_ms);
        }
        self.is_looking || may_look
    }
}

/// The pause after a look that failed; it doubles with each further one.
const FIRST_PAUSE_MS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        let config = KeySetConfig::new("https://issuer.example/keys".parse().unwrap());
        Schedule::new(&config) // 1 minute to 1 hour, 1 day stale, 10 s cooldown
    }

    fn keys(ids: &[&str]) -> Arc<[Key]> {
        let key = |id: &&str| Key::new(Some(id), "HS256".parse().unwrap(), &[7; 32]).unwrap();
        ids.iter().map(key).collect()
    }

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    #[test]
    fn keys_are_looked_for_at_once_and_again_before_their_time_is_over() {
        for (stated, age_ms) in [
            (None, MINUTE),
            (Some(0), MINUTE),
            (Some(600), 10 * MINUTE),
            (Some(86_400), HOUR),
            (Some(u64::MAX), HOUR),
        ] {
            let mut schedule = schedule();
            assert_eq!(schedule.due_ms(), 0);
            schedule.begin(0);
            assert!(schedule.succeed(100, keys(&["a"]), stated.map(Duration::from_secs)));
            assert_eq!(schedule.due_ms(), 100 + age_ms * 4 / 5, "{stated:?}");
        }
    }

    #[test]
    fn keys_count_on_while_looks_fail_and_not_for_ever() {
        let mut schedule = schedule();
        schedule.begin(0);
        schedule.succeed(0, keys(&["a"]), None);
        let mut pauses = Vec::new();
        let mut now_ms = schedule.due_ms();
        for _ in 0..8 {
            schedule.begin(now_ms);
            schedule.fail(now_ms);
            pauses.push(schedule.due_ms() - now_ms);
            now_ms = schedule.due_ms();
        }
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, MINUTE, MINUTE]);
        assert_eq!(schedule.held(24 * HOUR + MINUTE - 1).unwrap().keys.len(), 1);
        assert!(schedule.held(24 * HOUR + MINUTE).is_none());
    }

    #[test]
    fn a_key_that_is_no_longer_published_is_gone_with_the_next_look() {
        let mut schedule = schedule();
        assert!(schedule.succeed(0, keys(&["a", "b"]), None));
        assert!(!schedule.succeed(MINUTE, keys(&["a", "b"]), None), "the same");
        assert!(schedule.succeed(2 * MINUTE, keys(&["b"]), None));
        assert_eq!(schedule.held(2 * MINUTE).unwrap().keys[0].id(), Some("b"));
        assert!(schedule.succeed(3 * MINUTE, keys(&[]), None));
        assert!(schedule.held(3 * MINUTE).unwrap().keys.is_empty(), "none at all is an answer too");
    }

    #[test]
    fn unknown_keys_bring_one_look_forward_in_each_cooldown_however_many_name_them() {
        let mut schedule = schedule();
        schedule.begin(0);
        schedule.succeed(0, keys(&["a"]), Some(Duration::from_secs(3_600)));
        let mut looks = 0;
        for now_ms in 0..100_000 {
            schedule.want(now_ms);
            if schedule.due_ms() <= now_ms {
                looks += 1;
                schedule.begin(now_ms);
                assert!(schedule.want(now_ms), "whoever comes meanwhile waits for it");
                schedule.succeed(now_ms, keys(&["a"]), Some(Duration::from_secs(3_600)));
                assert!(!schedule.want(now_ms + 1), "and whoever comes after is told at once");
            }
        }
        assert_eq!(looks, 9, "at 10 s, 20 s … 90 s");
    }

    #[test]
    fn a_look_whose_end_nobody_saw_is_due_again() {
        let mut schedule = schedule();
        schedule.begin(0);
        assert_eq!(schedule.due_ms(), 1_000);
    }
}
