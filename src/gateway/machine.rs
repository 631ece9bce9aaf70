//! What the process uses of the machine, and what it may use: the one place that asks the system.
//!
//! On Linux it is read from `/proc` and from the control group; elsewhere nothing is known, and nothing is shed for it.

use crate::limits::{Ceilings, Usage};

/// What the process uses now.
pub(super) fn usage() -> Usage {
    Usage { memory_bytes: system::resident_bytes(), open_files: system::open_files() }
}

/// What it may use: of memory what its control group allows, else what the machine has.
pub(super) fn ceilings() -> Ceilings {
    Ceilings { memory_bytes: system::memory_bytes(), open_files: system::most_open_files() }
}

#[cfg(target_os = "linux")]
mod system {
    use std::{fs, path::Path};

    pub(super) fn resident_bytes() -> Option<u64> {
        kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
    }

    /// Since Linux 6.2 the size of the directory is their number; before, they have to be listed.
    pub(super) fn open_files() -> Option<u64> {
        const OPEN: &str = "/proc/self/fd";
        match fs::metadata(OPEN).ok()?.len() {
            0 => Some(fs::read_dir(OPEN).ok()?.count() as u64),
            count => Some(count),
        }
    }

    pub(super) fn most_open_files() -> Option<u64> {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    pub(super) fn memory_bytes() -> Option<u64> {
        let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| kilobytes(&text, "MemTotal:"));
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        groups.lines().filter_map(of_group).chain(machine).min()
    }

    /// What a line of `/proc/self/cgroup` leads to: `0::/path` (version 2), or `4:memory:/path`. Each group above has a
    /// say; within a container the path may be that of outside, and only the root is to be seen.
    fn of_group(line: &str) -> Option<u64> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let folders = Path::new(path.trim_start_matches('/')).ancestors();
        let read = |folder: &Path| fs::read_to_string(Path::new(root).join(folder).join(file)).ok();
        folders.filter_map(read).filter_map(|text| text.trim().parse().ok()).min()
    }

    fn kilobytes(text: &str, name: &str) -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) const fn resident_bytes() -> Option<u64> {
        None
    }

    pub(super) const fn open_files() -> Option<u64> {
        None
    }

    pub(super) const fn most_open_files() -> Option<u64> {
        None
    }

    pub(super) const fn memory_bytes() -> Option<u64> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_is_used_and_what_there_is() {
        let held: Vec<_> = (0..50).filter_map(|_| std::fs::File::open("/dev/null").ok()).collect();
        let (usage, ceilings) = (usage(), ceilings());
        assert!(usage.open_files >= Some(held.len() as u64), "{usage:?}");
        assert!(ceilings.open_files >= usage.open_files, "{ceilings:?}");
        assert!(
            usage.memory_bytes > Some(1 << 20) && ceilings.memory_bytes > usage.memory_bytes,
            "{usage:?}"
        );
    }
}
