//! What a process has used so far: processor time and memory, read from `/proc`.
//!
//! The threads' `schedstat` counts nanoseconds but forgets threads that have ended;
//! `/proc/PID/stat` forgets nothing but counts ticks. [`Cpu::since`] takes the former and falls
//! back to the latter when threads have ended in between.

use std::fs;
use std::io;
use std::time::Duration;

/// Processor time of one process, user and system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cpu {
    threads: Duration,
    ticks: Duration,
}

impl Cpu {
    /// Of process `pid` up to now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(Self {
            threads: threads_time(pid)?,
            ticks: stat_time(&stat).ok_or_else(|| odd("stat"))?,
        })
    }

    /// Of several processes together.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn of_all(pids: &[u32]) -> io::Result<Self> {
        pids.iter().try_fold(Self::default(), |sum, pid| {
            let one = Self::of(*pid)?;
            Ok(Self {
                threads: sum.threads + one.threads,
                ticks: sum.ticks + one.ticks,
            })
        })
    }

    /// Time used since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let exact = self.threads.saturating_sub(earlier.threads);
        let coarse = self.ticks.saturating_sub(earlier.ticks);
        exact.max(coarse.saturating_sub(ROUNDING))
    }
}

/// Resident memory of process `pid` in bytes.
///
/// # Errors
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    resident_kib(&status)
        .map(|kib| kib * 1024)
        .ok_or_else(|| odd("status"))
}

fn threads_time(pid: u32) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends between the listing and the look is left to the ticks.
        if let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) {
            sum += schedstat_time(&line).ok_or_else(|| odd("schedstat"))?;
        }
    }
    Ok(sum)
}

/// First field: time on a processor in nanoseconds (Documentation/scheduler/sched-stats.rst).
fn schedstat_time(line: &str) -> Option<Duration> {
    let nanos = line.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// Fields 14 and 15, `utime` and `stime`, in ticks; the name in field 2 may hold blanks (proc(5)).
fn stat_time(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_secs(user + system) / u32::try_from(ticks_per_second).ok()?)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn odd(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc: odd {file}"))
}

/// Both `utime` and `stime` are rounded to ticks of 10 ms at both ends.
const ROUNDING: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_lines_are_read() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(stat_time(stat).unwrap().as_secs(), 200 / ticks);
        assert_eq!(schedstat_time("1500 2 3\n").unwrap().as_nanos(), 1500);
        assert_eq!(resident_kib("Name: x\nVmRSS:\t 12 kB\n"), Some(12));
        assert_eq!(stat_time("7 (a"), None);
    }

    #[test]
    fn ticks_count_when_threads_have_ended() {
        let at = |threads, ticks| Cpu {
            threads: Duration::from_millis(threads),
            ticks: Duration::from_millis(ticks),
        };
        assert_eq!(at(150, 150).since(&at(50, 50)).as_millis(), 100);
        assert_eq!(at(60, 550).since(&at(50, 50)).as_millis(), 480);
    }

    #[test]
    fn work_shows() {
        let before = Cpu::of(std::process::id()).unwrap();
        let mut sum = 0u64;
        while Cpu::of(std::process::id()).unwrap().since(&before) < Duration::from_millis(5) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
    }
}
