//! A bound on how many lines a stranger can draw out: so many warnings of one kind in a minute, then a count of the rest.
//!
//! A page of a foreign origin, a webhook that is down, a flood of connections: each writes a warning whenever it happens,
//! and whoever makes it happen a thousand times a second fills a disk. A kind is a place in the code, so whoever writes a
//! new warning need not think of this, and what dependencies say is bounded too. Those that say it by the `log` crate share the
//! bridge's one place and name their own in the line. Metrics count every one.
//!
//! There is no clock in here. Somebody calls [`next_minute`](Warnings::next_minute).

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

/// What was said and left out since the last minute began.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Warnings {
    /// So many of a kind; 0 is no bound.
    most: u64,
    /// No more than the code has places, and [`PLACES`].
    kinds: Arc<Mutex<HashMap<Place, Kind>>>,
}

/// Where a warning is in the code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Place {
    callsite: Identifier,
    /// Where it is by its own word, if it came through the `log` crate.
    target: String,
    line: u64,
}

#[derive(Debug, Default)]
struct Kind {
    said: u64,
    left_out: u64,
    /// The words of the first that was left out.
    like: String,
}

impl Warnings {
    pub(super) fn new(most: u64) -> Self {
        Self { most, kinds: Arc::default() }
    }

    /// Calls [`next_minute`](Self::next_minute) every minute.
    pub(in crate::cli) async fn count_minutes(self) {
        loop {
            tokio::time::sleep(MINUTE).await;
            self.next_minute();
        }
    }

    /// Says of each kind how many were left out, and begins anew.
    pub(in crate::cli) fn next_minute(&self) {
        let kinds = std::mem::take(&mut *self.kinds.lock());
        for Kind { left_out, like, .. } in kinds.into_values().filter(|kind| kind.left_out > 0) {
            tracing::warn!(left_out, like, "there were more warnings than are written in a minute");
        }
    }

    fn is_one_more(&self, event: &Event<'_>) -> bool {
        let mut place = Place { callsite: event.metadata().callsite(), target: String::new(), line: 0 };
        event.record(&mut place);
        let mut kinds = self.kinds.lock();
        if kinds.len() >= PLACES && !kinds.contains_key(&place) {
            (place.target, place.line) = (String::new(), 0); // a target may be any text
        }
        let kind = kinds.entry(place).or_default();
        if kind.said < self.most {
            kind.said += 1;
            return true;
        }
        if kind.left_out == 0 {
            event.record(&mut Message(&mut kind.like));
        }
        kind.left_out += 1;
        false
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let line = event.metadata();
        // What tells of those that were left out is bounded by itself.
        let counts = self.most > 0 && *line.level() <= Level::WARN && line.target() != module_path!();
        !counts || self.is_one_more(event)
    }
}

/// Takes out of an event what the `log` crate's bridge says of its place.
impl Visit for Place {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            value.clone_into(&mut self.target);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.line = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// Takes the message out of an event.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// How many places are told apart in a minute, before those of the `log` crate are one. The code has fewer.
const PLACES: usize = 1_024;

#[cfg(test)]
mod tests {
    use crate::cli::logs::tests::Page;

    /// What is written of this, where three warnings of a kind are written in a minute.
    fn written(said: impl FnOnce(&super::Warnings)) -> Vec<String> {
        let page = Page::default();
        let writer = page.clone();
        let (subscriber, warnings) =
            crate::cli::logs::subscriber("text", "info", 3, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || said(&warnings));
        page.text().lines().map(str::to_owned).collect()
    }

    fn refuse(page: u64) {
        tracing::warn!(page, "a page was refused");
    }

    fn count(lines: &[String], part: &str) -> usize {
        lines.iter().filter(|line| line.contains(part)).count()
    }

    #[test]
    fn of_each_kind_so_many_are_written_in_a_minute_and_the_rest_is_counted() {
        let lines = written(|warnings| {
            for n in 0..1_000 {
                refuse(n);
                tracing::info!("a link ended");
            }
            tracing::error!("another kind");
            assert!(!warnings.kinds.lock().is_empty());
            warnings.next_minute();
            refuse(1_000);
            warnings.next_minute();
        });
        assert_eq!(count(&lines, "a page was refused page="), 4, "three, and one of the next minute");
        assert_eq!((count(&lines, "a link ended"), count(&lines, "another kind")), (1_000, 1));
        let told: Vec<_> = lines.iter().filter(|line| line.contains("left_out=")).collect();
        assert_eq!(told.len(), 1, "nothing was left out of the second minute: {told:?}");
        assert!(told[0].contains("left_out=997 like=\"a page was refused\""), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_is_a_minute() {
        let page = Page::default();
        let writer = page.clone();
        let (subscriber, warnings) =
            crate::cli::logs::subscriber("text", "info", 1, move || writer.clone()).unwrap();
        let _guard = tracing::subscriber::set_default(subscriber);
        tokio::spawn(warnings.count_minutes());
        for second in 0..150 {
            refuse(second);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        let lines: Vec<String> = page.text().lines().map(str::to_owned).collect();
        assert_eq!(count(&lines, "a page was refused page="), 3, "{lines:?}");
        assert_eq!(count(&lines, "left_out="), 2, "{lines:?}");
    }

    #[test]
    fn each_place_that_says_it_by_the_log_crate_is_a_kind_and_their_number_is_bounded() {
        let _ = tracing_log::LogTracer::init(); // it may be there already
        let lines = written(|warnings| {
            for n in 0..10 {
                log::warn!("a key is no key {n}");
                log::warn!("a name is no name {n}");
                log::error!(target: "elsewhere", "a name is no name at all {n}");
            }
            assert_eq!(warnings.kinds.lock().len(), 3);
            for n in 0..10_000 {
                log::warn!(target: &n.to_string(), "somebody's own target");
            }
            assert!(warnings.kinds.lock().len() <= super::PLACES + 1);
        });
        for (part, times) in [("no key", 3), ("no name 0", 1), ("no name", 6), ("at all", 3)] {
            assert_eq!(count(&lines, part), times, "{part}");
        }
    }

    #[test]
    fn without_a_bound_everything_is_written() {
        let page = Page::default();
        let writer = page.clone();
        let (subscriber, _) =
            crate::cli::logs::subscriber("text", "info", 0, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || (0..100).for_each(refuse));
        assert_eq!(page.text().lines().count(), 100);
    }
}
