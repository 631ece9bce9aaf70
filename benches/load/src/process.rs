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
    kib_of(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// Bytes of memory that are resident: cheap to ask for while the process works.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    kib_of(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// Bytes that the kernel holds for all TCP sockets of the machine.
pub(crate) fn tcp_bytes() -> Result<u64> {
    let counts = fs::read_to_string("/proc/net/sockstat").context("the kernel counts sockets")?;
    let tcp = counts.lines().find_map(|line| line.strip_prefix("TCP:")).context("sockstat has TCP")?;
    let mut words = tcp.split_whitespace().skip_while(|word| *word != "mem").skip(1);
    let pages: u64 = words.next().context("sockstat has a number of pages")?.parse()?;
    Ok(pages * kib_of("/proc/self/smaps", "KernelPageSize:")?)
}

/// The first value of this name in a file of `NAME: n kB`, in bytes.
fn kib_of(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .with_context(|| format!("{path} has {name}"))?;
    let kib: u64 = line.split_whitespace().next().context("a number of kB")?.parse()?;
    Ok(kib * 1_024)
}
