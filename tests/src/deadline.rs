//! Waiting: for a condition with a deadline, or for time itself where time is what a test is about.
//!
//! This is the only file of the tests that may sleep; the tidy test sees to it.

use std::thread;
use std::time::{Duration, Instant};

/// Asks `condition` again and again until it gives something; panics with `what` when `limit` has
/// passed without.
pub fn until<T>(what: &str, limit: Duration, condition: impl FnMut() -> Option<T>) -> T {
    within(limit, condition).unwrap_or_else(|| panic!("waited {limit:?} in vain: {what}"))
}

/// Asks `condition` again and again until it gives something or `limit` has passed. It is asked at
/// least once, and once more at the very end.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = PAUSE_MIN;
    loop {
        let last = Instant::now() >= end;
        if let Some(found) = condition() {
            return Some(found);
        }
        if last {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A moment by which something has to have come, for loops that do other work than waiting.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    end: Instant,
}

impl Limit {
    /// `limit` from now.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self {
            end: Instant::now() + limit,
        }
    }

    /// Panics with `what` when the moment has passed.
    pub fn check(&self, what: &str) {
        assert!(Instant::now() < self.end, "waited in vain: {what}");
    }
}

/// Lets `duration` pass: for tests whose subject is time, such as a pause or an idle measurement.
pub fn pass(duration: Duration) {
    thread::sleep(duration);
}

/// Seconds, for deadlines that read well.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds, for deadlines that read well.
#[must_use]
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(40);
