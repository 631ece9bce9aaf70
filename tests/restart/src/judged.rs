//! What both scenes are judged by, and how docs/crash.md and docs/drain.md say it.

use crate::{application::Judgement, figures::percent, ledger::Account};

/// What came of a scene for everybody.
#[derive(Clone, Debug)]
pub struct Judged {
    /// How many sessions there were.
    pub sessions: u32,
    /// What everybody was told.
    pub account: Account,
    /// What came of what everybody sent.
    pub sent: Judgement,
    /// What must not happen at all.
    pub faults: Vec<String>,
    /// What the successor counted that is not zero: links that ended, and who was let in.
    pub counted: Vec<String>,
}

impl Judged {
    /// What is not as it must be, for a person; beside it what has to hold in this scene alone, and what to say where it
    /// does not.
    pub fn misses(&self, own: impl IntoIterator<Item = (bool, String)>) -> Vec<String> {
        let (epochs, due) = (self.account.epochs, self.gaps_due());
        let common = [
            (self.sent.is_clean(), format!("sent: {:?}", self.sent)),
            (self.account.is_clean(), format!("events: {:?}", self.account)),
            (epochs == due, format!("{epochs} gaps told of {due}")),
        ];
        let missed = common.into_iter().chain(own).filter(|(holds, _)| !holds);
        self.faults.iter().cloned().chain(missed.map(|(_, what)| what)).collect()
    }

    /// How many gaps everybody has to be told together: one of each channel.
    fn gaps_due(&self) -> u64 {
        u64::from(self.sessions) * 2
    }

    /// How many gaps everybody was told, of how many.
    pub(crate) fn gaps(&self) -> String {
        format!("**{}** of {}", self.account.epochs, self.gaps_due())
    }

    /// Events lost in silence, doubled, reordered, wrong.
    pub(crate) fn losses(&self) -> String {
        let Account { lost, doubled, reordered, wrong, .. } = self.account;
        format!("**{lost}, {doubled}, {reordered}, {wrong}**")
    }

    /// What was sent to the application: accepted, refused, of unknown outcome.
    pub(crate) fn outcomes(&self) -> String {
        self.sent.outcomes.map(|count| count.to_string()).join(", ")
    }

    /// What the application applied twice, accepted and did not apply; and what was delivered to it again.
    pub(crate) fn applied(&self) -> String {
        format!("**{}, {}**; {}", self.sent.twice, self.sent.lost, self.sent.again)
    }

    /// What was counted, as it is in the metrics.
    pub(crate) fn listing(&self) -> String {
        let lines: String = self.counted.iter().map(|line| format!("{line}\n")).collect();
        format!("```\n{lines}```\n")
    }
}

/// When half of so many had come, 99 of 100, and all.
pub(crate) fn shares(times: &[u64], of: u32, time: impl Fn(u64) -> String) -> String {
    let share = |share| percent(times, of as usize, share).map_or_else(|| "never".to_owned(), &time);
    [50, 99, 100].map(share).join(", ")
}

/// The lines of metrics that say how it went.
pub(crate) fn counted(metrics: &str) -> Vec<String> {
    let lines = metrics.lines().filter(|line| COUNTED.iter().any(|name| line.starts_with(name)));
    lines.filter(|line| !line.ends_with(" 0")).map(|line| line.replacen("throughline_", "", 1)).collect()
}

const COUNTED: [&str; 4] = [
    "throughline_admissions_total",
    "throughline_slots_ignored_total",
    "throughline_links_opened_total",
    "throughline_links_ended_total",
];
