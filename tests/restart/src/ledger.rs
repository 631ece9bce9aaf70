//! What a client was told of one channel, held against itself.
//!
//! Offsets are dense within an epoch, so each item says what has to come next. What is skipped is either told by a gap,
//! or lost. That nothing is missing at the end shows by a mark, which is published last to every channel.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use throughline_client::{
    Gap,
    wire::{Epoch, GapReason, Offset, Position},
};

/// One channel of one client.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    at: Option<Position>,
    /// Offsets of this epoch that were skipped, and not told.
    missing: Vec<u64>,
    account: Account,
}

/// How what came differs from what was published. Only gaps may be anything but zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Account {
    /// Never came, and no gap said so.
    pub lost: u64,
    /// Came again.
    pub doubled: u64,
    /// Came after a later one.
    pub reordered: u64,
    /// Came, and was not what was published there.
    pub wrong: u64,
    /// Gaps that said that the log began anew.
    pub epochs: u64,
    /// Gaps of any other reason.
    pub other_gaps: u64,
}

impl Ledger {
    /// A subscription stands: what follows are events after this place, or a gap that begins there.
    pub fn subscribed(&mut self, position: Position) {
        match self.at {
            None => self.at = Some(position),
            Some(at) if at.epoch == position.epoch => self.skip_to(position.offset),
            // Only a gap may say that the log began anew.
            Some(_) => self.account.lost += 1,
        }
    }

    /// An event came at this place; the number in it was given by its publisher.
    pub fn event(&mut self, epoch: Option<Epoch>, offset: Offset, number: Option<u64>) {
        if number != Some(offset.get()) {
            self.account.wrong += 1;
        }
        let Some(at) = self.at.filter(|at| Some(at.epoch) == epoch) else {
            self.account.lost += 1;
            self.at = epoch.map(|epoch| Position { epoch, offset });
            return;
        };
        if offset > at.offset {
            self.skip_to(Offset::new(offset.get() - 1).unwrap_or_default());
            self.at = Some(Position { offset, ..at });
        } else if let Some(late) = self.missing.iter().position(|missing| *missing == offset.get()) {
            self.missing.swap_remove(late);
            self.account.reordered += 1;
        } else {
            self.account.doubled += 1;
        }
    }

    /// A gap was told. It may claim more than is gone; what lies before it has to be there.
    pub fn gap(&mut self, gap: &Gap) {
        if let (Some(from), Some(at)) = (gap.from, self.at)
            && from.epoch == at.epoch
        {
            self.skip_to(from.offset);
        }
        match gap.reason {
            GapReason::Epoch => self.account.epochs += 1,
            _ => self.account.other_gaps += 1,
        }
        self.close();
        self.at = Some(gap.to);
    }

    /// How many gaps said that the log began anew.
    pub const fn epochs(&self) -> u64 {
        self.account.epochs
    }

    /// The account so far.
    pub fn account(&self) -> Account {
        Account { lost: self.account.lost + self.missing.len() as u64, ..self.account }
    }

    /// Everything up to there was passed over.
    fn skip_to(&mut self, offset: Offset) {
        let Some(at) = self.at.as_mut().filter(|at| at.offset < offset) else { return };
        let skipped = at.offset.get() + 1..=offset.get();
        at.offset = offset;
        let room = MISSING.saturating_sub(self.missing.len());
        self.account.lost += (skipped.clone().count().saturating_sub(room)) as u64;
        self.missing.extend(skipped.take(room));
    }

    /// What is missing of this epoch will not come any more.
    fn close(&mut self) {
        self.account.lost += self.missing.len() as u64;
        self.missing.clear();
    }
}

impl Account {
    /// Whether nothing was lost, doubled, reordered or wrong. What gaps said is another matter.
    pub const fn is_clean(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.reordered == 0 && self.wrong == 0
    }
}

impl AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.wrong += other.wrong;
        self.epochs += other.epochs;
        self.other_gaps += other.other_gaps;
    }
}

/// How many missing ones are remembered, should they come late.
const MISSING: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(name: &str) -> Epoch {
        Epoch::parse(name).unwrap()
    }

    fn place(name: &str, offset: u64) -> Position {
        Position { epoch: epoch(name), offset: Offset::new(offset).unwrap() }
    }

    fn ledger(offsets: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.subscribed(place("a", 0));
        offsets.iter().for_each(|offset| hear(&mut ledger, "a", *offset));
        ledger
    }

    fn hear(ledger: &mut Ledger, name: &str, offset: u64) {
        ledger.event(Some(epoch(name)), Offset::new(offset).unwrap(), Some(offset));
    }

    fn gap(from: Position, to: Position) -> Gap {
        Gap { channel: None, from: Some(from), to, exact: false, reason: GapReason::Epoch }
    }

    #[test]
    fn each_kind_of_difference_is_counted_as_what_it_is() {
        assert!(ledger(&[1, 2, 3]).account().is_clean());
        assert_eq!(ledger(&[1, 4]).account(), Account { lost: 2, ..Account::default() });
        assert_eq!(ledger(&[1, 2, 2]).account(), Account { doubled: 1, ..Account::default() });
        assert_eq!(ledger(&[1, 3, 2]).account(), Account { reordered: 1, ..Account::default() });
        let mut ledger = ledger(&[]);
        ledger.event(Some(epoch("a")), Offset::new(1).unwrap(), Some(7));
        assert_eq!(ledger.account(), Account { wrong: 1, ..Account::default() });
    }

    #[test]
    fn a_log_that_begins_anew_is_lost_unless_a_gap_tells_it_from_where_the_client_is() {
        let mut told = ledger(&[1, 2]);
        told.subscribed(place("a", 2));
        told.gap(&gap(place("a", 2), place("b", 5)));
        hear(&mut told, "b", 6);
        assert_eq!(told.account(), Account { epochs: 1, ..Account::default() });

        let mut silent = ledger(&[1, 2]);
        hear(&mut silent, "b", 1);
        assert_eq!(silent.account().lost, 1);

        let mut too_late = ledger(&[1, 2]);
        too_late.gap(&gap(place("a", 4), place("b", 5)));
        assert_eq!(too_late.account(), Account { lost: 2, epochs: 1, ..Account::default() });
    }

    #[test]
    fn what_follows_a_gap_is_expected_at_once() {
        let mut ledger = ledger(&[1]);
        ledger.gap(&gap(place("a", 1), place("b", 5)));
        hear(&mut ledger, "b", 8);
        assert_eq!(ledger.account(), Account { lost: 2, epochs: 1, ..Account::default() });
    }
}
