//! How much may run at once: a ring takes as many units as it has nodes, a test that measures time
//! takes all of them.

use std::sync::{Condvar, Mutex};
use std::thread;

/// Units taken until the permit is dropped.
#[derive(Debug)]
pub struct Permit {
    units: usize,
}

impl Permit {
    /// Waits until `units` are free and takes them; more than there are counts as all of them.
    pub fn take(units: usize) -> Self {
        let all = all_units();
        let units = units.min(all);
        let mut taken = TAKEN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        while *taken + units > all {
            taken = FREED
                .wait(taken)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *taken += units;
        Self { units }
    }

    /// Waits until nothing else runs, and keeps it so.
    pub fn whole_machine() -> Self {
        Self::take(usize::MAX)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *TAKEN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) -= self.units;
        FREED.notify_all();
    }
}

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

fn all_units() -> usize {
    thread::available_parallelism().map_or(1, usize::from) * UNITS_PER_CORE
}

const UNITS_PER_CORE: usize = 8;
