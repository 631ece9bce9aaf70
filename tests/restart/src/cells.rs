//! What docs/crash.md and docs/drain.md say in the same words.

use crate::{application::Judgement, figures::percent, ledger::Account};

/// Events lost in silence, doubled, reordered, wrong.
pub(crate) fn losses(account: &Account) -> String {
    format!("**{}, {}, {}, {}**", account.lost, account.doubled, account.reordered, account.wrong)
}

/// What was sent to the application: accepted, refused, of unknown outcome.
pub(crate) fn outcomes(sent: &Judgement) -> String {
    sent.outcomes.map(|count| count.to_string()).join(", ")
}

/// What the application applied twice, accepted and did not apply; and what was delivered to it again.
pub(crate) fn applied(sent: &Judgement) -> String {
    format!("**{}, {}**; {}", sent.twice, sent.lost, sent.again)
}

/// When half of so many had come, 99 of 100, and all.
pub(crate) fn shares(times: &[u64], of: u32, time: impl Fn(u64) -> String) -> String {
    let share = |share| percent(times, of as usize, share).map_or_else(|| "never".to_owned(), &time);
    [50, 99, 100].map(share).join(", ")
}
