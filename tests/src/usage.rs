//! What a process uses: memory and processor time, as /proc tells them. A process that is gone
//! uses nothing.

use std::fs;
use std::time::Duration;

/// Resident memory of `pid` in bytes; 0 when it is gone.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Processor time that all threads of `pid` have used so far.
#[must_use]
pub fn cpu_time(pid: u32) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Duration::ZERO;
    };
    threads
        .flatten()
        .map(|thread| {
            // The first field of schedstat is the time on a processor in nanoseconds.
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let nanos = text
                .split_whitespace()
                .next()
                .and_then(|first| first.parse().ok());
            Duration::from_nanos(nanos.unwrap_or(0))
        })
        .sum()
}
