//! What another process has used, as the kernel counts it.

use std::fs;

use anyhow::{Context as _, Result};

/// Seconds of CPU of all its threads, by the scheduler's count in nanoseconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the server runs")? {
        let path = thread?.path().join("schedstat");
        let counts = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let on_cpu = counts.split_whitespace().next().context("schedstat has a first number")?;
        nanoseconds += on_cpu.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Bytes of memory that are resident, pages that are shared with others counted in part.
pub(crate) fn pss_bytes(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the server runs")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("smaps_rollup has Pss")?;
    let kib: u64 = line.split_whitespace().next().context("a number of kB")?.parse()?;
    Ok(kib * 1_024)
}
