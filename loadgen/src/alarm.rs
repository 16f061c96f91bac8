//! Waiting for a moment to the microsecond. The runtime's own timers tick once a millisecond, which
//! would add half a millisecond to every latency of an open loop; a timer descriptor read through
//! the ring does not.

use std::fs::File as StdFile;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio_uring::fs::File;

/// A timer of one task.
pub(crate) struct Alarm {
    /// The same timer twice: one descriptor to set it, one to read it through the ring.
    setter: OwnedFd,
    reader: File,
    fired: Vec<u8>,
}

impl Alarm {
    /// A timer; must be made inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let setter = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let reader = File::from_std(StdFile::from(setter.try_clone()?));
        Ok(Self {
            setter,
            reader,
            fired: Vec::with_capacity(8),
        })
    }

    /// Sleeps for `delay`. An operation of the ring waits until then: not to be dropped before.
    pub(crate) async fn sleep(&mut self, delay: Duration) -> io::Result<()> {
        if delay.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: delay.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: delay.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.setter, TimerfdTimerFlags::empty(), &once)?;
        let mut fired = std::mem::take(&mut self.fired);
        fired.clear();
        let (result, fired) = self.reader.read_at(fired, 0).await;
        self.fired = fired;
        result.map(drop)
    }
}
