//! The CPU time of the calling thread.
//! The total comes from the thread CPU clock, its user share from the ticks of /proc (proc(5)).

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time, split by where it was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) total: Duration,
    // The kernel splits the time in ticks of 10 ms.
    user_ticks: u64,
    system_ticks: u64,
}

impl CpuTime {
    /// Of the calling thread, so far.
    pub(crate) fn of_thread() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
        let (user_ticks, system_ticks) = ticks(&stat).unwrap_or((0, 0));
        Self {
            total: Duration::new(seconds, nanoseconds),
            user_ticks,
            system_ticks,
        }
    }

    /// A given time.
    #[cfg(test)]
    pub(crate) fn of(total: Duration) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    /// What was used between `earlier` and this.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }

    /// Seconds in user mode.
    pub(crate) fn user_s(&self) -> f64 {
        let all = self.user_ticks + self.system_ticks;
        if all == 0 {
            return self.total.as_secs_f64();
        }
        self.total.as_secs_f64() * self.user_ticks as f64 / all as f64
    }
}

/// `utime` and `stime` of proc(5), fields 14 and 15; the name in parentheses may hold anything.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 31 47 0 0 20 0";
        assert_eq!(ticks(stat), Some((31, 47)));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn work_is_seen() {
        let before = CpuTime::of_thread();
        let mut x = 1u64;
        while CpuTime::of_thread().since(&before).total < Duration::from_millis(5) {
            x = x.wrapping_mul(3);
        }
        assert_ne!(x, 0);
    }
}
