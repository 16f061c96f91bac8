//! The clocks of a core: read at most once a turn of its event loop, whatever the turn handles.
//! The engine behind it never asks what time it is.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proto::time::Now;

/// Monotonic time since the start of the process and the wall clock beside it.
pub(crate) struct Clock {
    start: Instant,
    turn: Cell<Option<Now>>,
    wall_read: Cell<Now>,
}

impl Clock {
    /// A clock whose zero is `start`, the same for every core of the process.
    pub(crate) fn new(start: Instant) -> Self {
        let clock = Self {
            start,
            turn: Cell::new(None),
            wall_read: Cell::default(),
        };
        clock.read_wall(start.elapsed());
        clock
    }

    /// The time of this turn.
    pub(crate) fn now(&self) -> Now {
        self.turn.get().unwrap_or_else(|| {
            let now = self.read();
            self.turn.set(Some(now));
            now
        })
    }

    /// The time, read afresh.
    pub(crate) fn read(&self) -> Now {
        let mono = self.start.elapsed();
        let last = self.wall_read.get();
        let since = mono.saturating_sub(last.mono);
        if since > WALL_CLOCK_PERIOD {
            return self.read_wall(mono);
        }
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Now {
            mono,
            wall_ms: last.wall_ms.saturating_add(since_ms),
        }
    }

    /// Whether this turn has read the time already.
    pub(crate) fn is_read(&self) -> bool {
        self.turn.get().is_some()
    }

    /// Ends the turn: the next one reads the clock again.
    pub(crate) fn end_turn(&self) {
        self.turn.set(None);
    }

    /// The moment a deadline falls on, for the timer.
    pub(crate) fn instant_of(&self, mono: Duration) -> Instant {
        self.start + mono
    }

    fn read_wall(&self, mono: Duration) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let now = Now { mono, wall_ms };
        self.wall_read.set(now);
        now
    }
}

/// How long the wall clock is derived from the monotonic one before it is read again.
const WALL_CLOCK_PERIOD: Duration = Duration::from_millis(50);
