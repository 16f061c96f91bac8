//! Time as the machines see it: handed in with every input, never asked for.
//! Owns the type only; the shell reads the clocks, a simulation makes them up.

use std::time::Duration;

/// The moment of an input: a monotonic clock for timers and the wall clock for stamps and expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Monotonic time since an arbitrary start that is the same for all machines of a process.
    pub mono: Duration,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

impl Now {
    /// A moment whose wall clock runs along with its monotonic one: for tests and simulations.
    #[must_use]
    pub fn at_ms(ms: u64) -> Self {
        Self {
            mono: Duration::from_millis(ms),
            wall_ms: ms,
        }
    }
}
