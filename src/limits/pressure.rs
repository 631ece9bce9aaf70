//! Whether the machine is short of what a session costs: numbers in, a verdict out.
//!
//! A process that takes its last memory is killed, and one without a descriptor can accept nobody: then everybody
//! suffers. So past a mark nobody new is let in, while those whose sessions are held may still come back: what they cost
//! is here already. Past a second mark, close to the end, no connection is taken any more.

/// What the process uses; what is not known puts no pressure on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Memory that is resident, in bytes.
    pub memory_bytes: Option<u64>,
    /// Descriptors that are open.
    pub open_files: Option<u64>,
}

/// What it may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ceilings {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Descriptors.
    pub open_files: Option<u64>,
}

/// How short it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Pressure {
    /// There is room.
    #[default]
    Low,
    /// Past the mark: no new session is opened.
    High,
    /// Close to the end: no connection is taken either.
    Full,
}

/// Makes verdicts. A mark that was passed counts until there is clearly room again, so that the door does not flap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PressureGauge {
    high_percent: u64,
    memory: Pressure,
    files: Pressure,
}

/// How far below its mark a verdict is taken back, in percent.
const SLACK_PERCENT: u64 = 5;

impl PressureGauge {
    /// One whose mark is at so many percent of each ceiling. [`Full`](Pressure::Full) is half way from there to the end.
    pub const fn new(high_percent: u64) -> Self {
        Self { high_percent, memory: Pressure::Low, files: Pressure::Low }
    }

    /// What to make of these numbers: for memory, and for open files.
    pub fn look(&mut self, usage: Usage, ceilings: Ceilings) -> (Pressure, Pressure) {
        self.memory = self.verdict(self.memory, usage.memory_bytes, ceilings.memory_bytes);
        self.files = self.verdict(self.files, usage.open_files, ceilings.open_files);
        (self.memory, self.files)
    }

    fn verdict(&self, before: Pressure, used: Option<u64>, ceiling: Option<u64>) -> Pressure {
        let (Some(used), Some(ceiling)) = (used, ceiling.filter(|ceiling| *ceiling > 0)) else {
            return Pressure::Low;
        };
        let full_percent = self.high_percent.midpoint(100);
        let is_past = |percent: u64, verdict: Pressure| {
            let slack = if before >= verdict { SLACK_PERCENT } else { 0 };
            u128::from(used) * 100 >= u128::from(ceiling) * u128::from(percent.saturating_sub(slack))
        };
        if is_past(full_percent, Pressure::Full) {
            Pressure::Full
        } else if is_past(self.high_percent, Pressure::High) {
            Pressure::High
        } else {
            Pressure::Low
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(used: u64) -> Usage {
        Usage { memory_bytes: Some(used), open_files: None }
    }

    #[test]
    fn past_the_mark_nobody_new_comes_in_until_there_is_clearly_room_again() {
        let mut gauge = PressureGauge::new(90);
        let ceilings = Ceilings { memory_bytes: Some(1_000), open_files: Some(100) };
        let verdicts = [0, 899, 900, 899, 850, 849, 899, 949, 950, 910, 900, 899, 849]
            .map(|used| gauge.look(memory(used), ceilings).0);
        use Pressure::{Full, High, Low};
        assert_eq!(verdicts, [Low, Low, High, High, High, Low, Low, High, Full, Full, Full, High, Low]);
    }

    #[test]
    fn memory_and_open_files_are_looked_at_each_for_itself() {
        let mut gauge = PressureGauge::new(90);
        let ceilings = Ceilings { memory_bytes: Some(1_000), open_files: Some(100) };
        let usage = Usage { memory_bytes: Some(10), open_files: Some(99) };
        assert_eq!(gauge.look(usage, ceilings), (Pressure::Low, Pressure::Full));
    }

    #[test]
    fn what_is_not_known_puts_no_pressure_on() {
        let mut gauge = PressureGauge::new(90);
        let unknown = [
            (memory(u64::MAX), Ceilings::default()),
            (memory(u64::MAX), Ceilings { memory_bytes: Some(0), open_files: None }),
            (Usage::default(), Ceilings { memory_bytes: Some(1), open_files: Some(1) }),
        ];
        for (usage, ceilings) in unknown {
            assert_eq!(gauge.look(usage, ceilings), (Pressure::Low, Pressure::Low));
        }
    }
}
