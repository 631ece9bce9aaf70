//! A bound on how many lines a stranger can draw out: so many warnings of one kind in a minute, then a count of the rest.
//!
//! A page of a foreign origin, a webhook that is down, a flood of connections: each writes a warning whenever it happens,
//! and whoever makes it happen a thousand times a second fills a disk. A kind is a place in the code, so whoever writes a
//! new warning need not think of this, and what dependencies say is bounded too. Metrics count every one.
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
    /// No more than the code has places.
    kinds: Arc<Mutex<HashMap<Identifier, Kind>>>,
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
        let mut kinds = self.kinds.lock();
        let kind = kinds.entry(event.metadata().callsite()).or_default();
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
    fn without_a_bound_everything_is_written() {
        let page = Page::default();
        let writer = page.clone();
        let (subscriber, _) =
            crate::cli::logs::subscriber("text", "info", 0, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || (0..100).for_each(refuse));
        assert_eq!(page.text().lines().count(), 100);
    }
}
