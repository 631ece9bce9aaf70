//! What was done under which key, for a while: an idempotency key that comes again gets the first result.
//!
//! A key that is under way is never forgotten, however long it takes and however many come meanwhile: whoever is at it
//! holds a [`Claim`], which ends with what came of it or with nothing.

use std::{collections::VecDeque, hash::Hash};

use hashbrown::HashMap;
use parking_lot::Mutex;

/// Results by key, forgotten after a time, bounded in number.
#[derive(Debug)]
pub struct Recent<K, V> {
    keep_ms: u64,
    most: usize,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    /// `None` while a key is under way.
    results: HashMap<K, Option<V>>,
    /// Keys that have a result by age, with when it came.
    order: VecDeque<(u64, K)>,
}

/// What is known of a key.
#[derive(Debug)]
pub enum Recall<'a, K: Eq + Hash, V> {
    /// Nothing: it is the caller's now.
    New(Claim<'a, K, V>),
    /// Somebody is at it.
    UnderWay,
    /// This came of it.
    Done(V),
}

/// A key that somebody is at. Dropped, it is given back: nothing came of it, the next may try.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub struct Claim<'a, K: Eq + Hash, V> {
    recent: &'a Recent<K, V>,
    /// There until it is settled.
    key: Option<K>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps results for `keep_ms`, at most `most` of them: the oldest go first.
    pub fn new(keep_ms: u64, most: usize) -> Self {
        Self { keep_ms, most, inner: Mutex::new(Inner { results: HashMap::new(), order: VecDeque::new() }) }
    }

    /// Looks a key up, and takes it if nobody has.
    pub fn claim(&self, now_ms: u64, key: &K) -> Recall<'_, K, V> {
        let mut inner = self.inner.lock();
        while inner.order.front().is_some_and(|(came_ms, _)| came_ms + self.keep_ms <= now_ms) {
            inner.forget_oldest();
        }
        match inner.results.get(key) {
            Some(Some(result)) => Recall::Done(result.clone()),
            Some(None) => Recall::UnderWay,
            None => {
                inner.results.insert(key.clone(), None);
                Recall::New(Claim { recent: self, key: Some(key.clone()) })
            }
        }
    }
}

impl<K: Eq + Hash, V> Claim<'_, K, V> {
    /// Keeps what came of it.
    pub fn settle(mut self, now_ms: u64, result: V) {
        let Some(key) = self.key.take() else { return };
        let mut inner = self.recent.inner.lock();
        if let Some(entry) = inner.results.get_mut(&key) {
            *entry = Some(result);
        }
        inner.order.push_back((now_ms, key));
        if inner.order.len() > self.recent.most {
            inner.forget_oldest();
        }
    }
}

impl<K: Eq + Hash, V> Drop for Claim<'_, K, V> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.recent.inner.lock().results.remove(key);
        }
    }
}

impl<K: Eq + Hash, V> Inner<K, V> {
    fn forget_oldest(&mut self) {
        if let Some((_, oldest)) = self.order.pop_front() {
            self.results.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(recent: &Recent<u8, u8>, now_ms: u64, key: u8) {
        let Recall::New(claim) = recent.claim(now_ms, &key) else { panic!("{key} is known") };
        claim.settle(now_ms, key);
    }

    #[test]
    fn the_second_gets_the_result_of_the_first() {
        let recent = Recent::new(100, 10);
        let Recall::New(claim) = recent.claim(0, &"a") else { panic!("it is new") };
        assert!(matches!(recent.claim(1, &"a"), Recall::UnderWay));
        claim.settle(2, 7);
        assert!(matches!(recent.claim(101, &"a"), Recall::Done(7)));
        assert!(matches!(recent.claim(102, &"a"), Recall::New(_)), "it is forgotten after its time");
    }

    #[test]
    fn what_failed_may_be_tried_again() {
        let recent: Recent<_, u8> = Recent::new(100, 10);
        assert!(matches!(recent.claim(0, &"a"), Recall::New(_)), "and it is dropped");
        assert!(matches!(recent.claim(1, &"a"), Recall::New(_)));
        assert!(recent.inner.lock().results.is_empty());
    }

    #[test]
    fn the_oldest_go_first_when_there_are_too_many() {
        let recent = Recent::new(100, 2);
        (0..5).for_each(|key| settle(&recent, 0, key));
        assert!(matches!(recent.claim(0, &4), Recall::Done(4)));
        assert!(matches!(recent.claim(0, &0), Recall::New(_)));
        assert_eq!(recent.inner.lock().results.len(), 2);
    }

    #[test]
    fn what_is_under_way_is_forgotten_neither_for_others_nor_after_any_time() {
        let recent = Recent::new(100, 2);
        let Recall::New(claim) = recent.claim(0, &0) else { panic!("it is new") };
        (1..5).for_each(|key| settle(&recent, 0, key));
        assert!(matches!(recent.claim(1_000, &0), Recall::UnderWay));
        claim.settle(1_000, 7);
        assert!(matches!(recent.claim(1_099, &0), Recall::Done(7)));
    }
}
