//! How many of a herd have come how far, to be waited for.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Counts of one herd.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How often the gateway has gone.
    rounds: AtomicU64,
    settled: watch::Sender<u32>,
    /// The newest mark that anybody has, and how many have it.
    marked: watch::Sender<(u64, u32)>,
}

impl Tally {
    pub(crate) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Acquire)
    }

    pub(crate) fn begin_round(&self) {
        self.rounds.fetch_add(1, Ordering::AcqRel);
    }

    /// One more is settled, or one fewer.
    pub(crate) fn settled(&self, is_settled: bool) {
        self.settled.send_modify(|count| if is_settled { *count += 1 } else { *count -= 1 });
    }

    /// One more has this mark.
    pub(crate) fn marked(&self, mark: u64) {
        self.marked.send_modify(|(newest, count)| {
            if mark > *newest {
                (*newest, *count) = (mark, 0);
            }
            if mark == *newest {
                *count += 1;
            }
        });
    }

    pub(crate) async fn settled_at_least(&self, members: u32) {
        // It ends with the last handle, and this is one.
        let _ = self.settled.subscribe().wait_for(|count| *count >= members).await;
    }

    pub(crate) async fn all_marked(&self, mark: u64, members: u32) {
        let _ = self.marked.subscribe().wait_for(|marked| *marked == (mark, members)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mark_is_with_all_once_each_has_it_whatever_came_before() {
        let tally = Tally::default();
        tally.marked(1);
        tally.marked(2);
        tally.marked(1);
        assert_eq!(*tally.marked.borrow(), (2, 1));
        tally.marked(2);
        tally.all_marked(2, 2).await;
    }
}
