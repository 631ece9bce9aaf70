//! What came, against what was sent: the account of things numbered from 0.

/// What arrived, in the order in which it did.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    seen: Vec<bool>,
    last: Option<u64>,
    doubled: u64,
    reordered: u64,
}

/// How what came differs from what was sent. All zero is the only good one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// Never came.
    pub lost: u64,
    /// Came again.
    pub doubled: u64,
    /// Came after a later one.
    pub reordered: u64,
}

impl Ledger {
    /// Books an arrival.
    pub fn book(&mut self, number: u64) {
        let index = usize::try_from(number).unwrap_or(usize::MAX).min(MOST);
        if self.seen.len() <= index {
            self.seen.resize(index + 1, false);
        }
        if std::mem::replace(&mut self.seen[index], true) {
            self.doubled += 1;
        } else if self.last.is_some_and(|last| last > number) {
            self.reordered += 1;
        }
        self.last = self.last.max(Some(number));
    }

    /// Whether all of the first `sent` have come.
    pub fn has_all(&self, sent: u64) -> bool {
        self.account(sent).lost == 0
    }

    /// The account, when so many were sent.
    pub fn account(&self, sent: u64) -> Account {
        let came = self.seen.iter().take(sent as usize).filter(|seen| **seen).count();
        Account { lost: sent - came as u64, doubled: self.doubled, reordered: self.reordered }
    }
}

impl Account {
    /// Whether nothing was lost, doubled or reordered.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl std::ops::AddAssign for Account {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
    }
}

/// Numbers past this one count as this one.
const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn account(arrivals: &[u64], sent: u64) -> Account {
        let mut ledger = Ledger::default();
        arrivals.iter().for_each(|number| ledger.book(*number));
        ledger.account(sent)
    }

    #[test]
    fn each_kind_of_difference_is_counted_as_what_it_is() {
        assert!(account(&[0, 1, 2, 3], 4).is_clean());
        assert_eq!(account(&[0, 1, 3], 5), Account { lost: 2, ..Account::default() });
        assert_eq!(account(&[0, 1, 1, 2], 3), Account { doubled: 1, ..Account::default() });
        assert_eq!(account(&[0, 2, 1], 3), Account { reordered: 1, ..Account::default() });
        assert_eq!(account(&[], 2), Account { lost: 2, ..Account::default() });
    }
}
