//! What was done under which key, for a while: an idempotency key that comes again gets the first result.

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
    results: HashMap<K, Option<V>>,
    /// Keys by age, with when they came.
    order: VecDeque<(u64, K)>,
}

/// What is known of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recall<V> {
    /// Nothing: it is the caller's now, to be [settled](Recent::settle) or [released](Recent::release).
    New,
    /// Somebody is at it.
    UnderWay,
    /// This came of it.
    Done(V),
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps results for `keep_ms`, at most `most` of them: the oldest go first.
    pub fn new(keep_ms: u64, most: usize) -> Self {
        Self { keep_ms, most, inner: Mutex::new(Inner { results: HashMap::new(), order: VecDeque::new() }) }
    }

    /// Looks a key up, and takes it if nobody has.
    pub fn claim(&self, now_ms: u64, key: &K) -> Recall<V> {
        let mut inner = self.inner.lock();
        let Inner { results, order } = &mut *inner;
        while let Some((came_ms, _)) = order.front()
            && (came_ms + self.keep_ms <= now_ms || order.len() >= self.most)
        {
            if let Some((_, oldest)) = order.pop_front() {
                results.remove(&oldest);
            }
        }
        match results.get(key) {
            Some(Some(result)) => Recall::Done(result.clone()),
            Some(None) => Recall::UnderWay,
            None => {
                results.insert(key.clone(), None);
                order.push_back((now_ms, key.clone()));
                Recall::New
            }
        }
    }

    /// Keeps what came of a claimed key.
    pub fn settle(&self, key: &K, result: V) {
        if let Some(entry) = self.inner.lock().results.get_mut(key) {
            *entry = Some(result);
        }
    }

    /// Gives a claimed key back: nothing came of it, the next may try.
    pub fn release(&self, key: &K) {
        let mut inner = self.inner.lock();
        inner.results.remove(key);
        // It was claimed a moment ago, so it is among the newest: nobody waits for a search of them all.
        if let Some(at) = inner.order.iter().rposition(|(_, held)| held == key) {
            inner.order.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_gets_the_result_of_the_first() {
        let recent = Recent::new(100, 10);
        assert_eq!(recent.claim(0, &"a"), Recall::New);
        assert_eq!(recent.claim(1, &"a"), Recall::UnderWay);
        recent.settle(&"a", 7);
        assert_eq!(recent.claim(99, &"a"), Recall::Done(7));
        assert_eq!(recent.claim(100, &"a"), Recall::New, "it is forgotten after its time");
    }

    #[test]
    fn what_failed_may_be_tried_again() {
        let recent: Recent<_, u8> = Recent::new(100, 10);
        recent.claim(0, &"a");
        recent.release(&"a");
        assert_eq!(recent.claim(1, &"a"), Recall::New);
    }

    #[test]
    fn the_oldest_go_first_when_there_are_too_many() {
        let recent = Recent::new(100, 2);
        for key in 0..5 {
            recent.claim(0, &key);
            recent.settle(&key, key);
        }
        assert_eq!(recent.claim(0, &4), Recall::Done(4));
        assert_eq!(recent.claim(0, &0), Recall::New);
        assert!(recent.inner.lock().results.len() <= 2);
    }
}
