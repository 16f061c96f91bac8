//! The wall clock of a host: true time, wrong by a skew and a drift that the driver chooses. Timers
//! never see it; stamps and lifetimes do.

/// How a host's wall clock is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostClock {
    /// Milliseconds by which it was ahead when it was last set.
    skew_ms: i64,
    /// Microseconds that it gains in a second.
    drift_ppm: i64,
    /// When it was last set, nanoseconds.
    set_at: u64,
}

impl HostClock {
    /// A clock that is right.
    pub(super) const fn new() -> Self {
        Self {
            skew_ms: 0,
            drift_ppm: 0,
            set_at: 0,
        }
    }

    /// What it reads at `at` nanoseconds of the simulation, in milliseconds since 1970.
    pub(super) const fn wall_ms(&self, at: u64) -> u64 {
        // Rounded once: a clock that only drifts never goes back.
        let ns = at.cast_signed() + self.ahead_ns(at);
        EPOCH_MS.saturating_add_signed(ns.div_euclid(NANOS_PER_MS.cast_signed()))
    }

    /// Milliseconds by which it is ahead at `at`.
    pub(super) const fn ahead_ms(&self, at: u64) -> i64 {
        self.ahead_ns(at) / NANOS_PER_MS.cast_signed()
    }

    const fn ahead_ns(&self, at: u64) -> i64 {
        let since_us = (at.saturating_sub(self.set_at) / 1_000).cast_signed();
        self.skew_ms * NANOS_PER_MS.cast_signed() + since_us * self.drift_ppm / 1_000
    }

    /// Sets it at `at`.
    pub(super) const fn set(&mut self, at: u64, skew_ms: i64, drift_ppm: i64) {
        *self = Self {
            skew_ms,
            drift_ppm,
            set_at: at,
        };
    }
}

/// The wall clock's start: some day of 2027.
const EPOCH_MS: u64 = 1_800_000_000_000;

/// Nanoseconds of a millisecond.
pub(super) const NANOS_PER_MS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_runs_ahead_by_its_drift() {
        let mut clock = HostClock::new();
        let second = 1_000 * NANOS_PER_MS;
        clock.set(10 * second, -200, 1_000);
        assert_eq!(clock.ahead_ms(10 * second), -200);
        assert_eq!(clock.ahead_ms(20 * second), -190);
        assert_eq!(clock.wall_ms(20 * second), EPOCH_MS + 20_000 - 190);
    }

    /// Found by a seed: rounded apart, the time and the drift made a slow clock step back.
    #[test]
    fn a_slow_clock_never_goes_back() {
        let mut clock = HostClock::new();
        clock.set(3, -7, -900);
        let readings = (0..100_000).map(|step| clock.wall_ms(step * 7_001));
        assert!(readings.is_sorted());
    }
}
