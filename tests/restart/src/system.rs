//! What the system counts of processes and of listening sockets.

use std::fs;

use anyhow::{Context as _, Result};

/// Bytes of a process that are resident.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process runs")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("status has VmRSS")?;
    let kib: u64 = line.trim_end_matches("kB").trim().parse().context("VmRSS is in kB")?;
    Ok(kib * 1_024)
}

/// Hundredths of a second that a process has had of the processors.
pub(crate) fn processor_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process runs")?;
    // The name before them may hold anything.
    let (_, numbers) = stat.rsplit_once(')').context("stat has a name")?;
    let used = numbers.split_whitespace().skip(11).take(2);
    used.map(|ticks| ticks.parse::<u64>().context("stat has times")).sum()
}

/// Connections of the whole machine that found a listener's queue full, or were dropped by it for any reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Listening {
    /// `ListenOverflows`.
    pub overflows: u64,
    /// `ListenDrops`.
    pub drops: u64,
}

impl Listening {
    pub(crate) fn now() -> Result<Self> {
        Self::read(&fs::read_to_string("/proc/net/netstat").context("the system counts")?)
    }

    fn read(counts: &str) -> Result<Self> {
        let mut lines = counts.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let (names, values) = lines.next().zip(lines.next()).context("netstat has TcpExt")?;
        let of = |name: &str| -> Result<u64> {
            let at = names.split_whitespace().position(|found| found == name);
            let value = at.and_then(|at| values.split_whitespace().nth(at));
            value.with_context(|| format!("netstat has {name}"))?.parse().context("a count")
        };
        Ok(Self { overflows: of("ListenOverflows")?, drops: of("ListenDrops")? })
    }

    /// What has been added since.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self { overflows: self.overflows - before.overflows, drops: self.drops - before.drops }
    }
}

/// What machine this is, and how busy: for whoever reads figures that were taken on it.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    format!(
        "{cores} cores of {}, load average {load} before it began",
        model.trim_start_matches([' ', '\t', ':'])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_below_their_names() {
        let text =
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 2 3\nIpExt: InOctets\nIpExt: 4\n";
        assert_eq!(Listening::read(text).unwrap(), Listening { overflows: 2, drops: 3 });
        assert!(Listening::read("").is_err());
    }

    #[test]
    fn a_process_has_memory_and_has_used_a_processor_or_not() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 0);
        processor_ticks(pid).unwrap();
    }
}
