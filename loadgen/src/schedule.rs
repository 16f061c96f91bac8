//! When requests are due in an open loop: a function of the seed and of nothing that happens during
//! the run, so that a slow target cannot slow down what it is asked (no coordinated omission).
//!
//! Times are nanoseconds since the begin of the run. The arrivals are computed as they are needed
//! instead of being kept, which changes nothing about them.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// How the gaps between arrivals are distributed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrivals {
    /// All gaps are equal.
    Constant,
    /// Exponential gaps: arrivals that know nothing of each other.
    Poisson,
}

impl Arrivals {
    /// The name used on the command line and in the summary.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// The endless sequence of arrivals of one thread, in nanoseconds, never decreasing.
#[derive(Clone, Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    gap_ns: f64,
    offset_ns: f64,
    number: u64,
    last_ns: f64,
    rng: Xoshiro256PlusPlus,
}

impl Schedule {
    /// The share of thread `thread` of `threads` in `rate_per_s` arrivals a second of all threads.
    /// Constant arrivals of several threads interleave evenly.
    #[must_use]
    pub fn new(arrivals: Arrivals, rate_per_s: f64, seed: u64, thread: u32, threads: u32) -> Self {
        assert!(rate_per_s > 0.0 && thread < threads);
        let gap_all_ns = 1e9 / rate_per_s;
        Self {
            arrivals,
            gap_ns: gap_all_ns * f64::from(threads),
            offset_ns: gap_all_ns * f64::from(thread),
            number: 0,
            last_ns: 0.0,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed ^ (u64::from(thread) << 32)),
        }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let at_ns = match self.arrivals {
            // A multiple of the gap, not a running sum: no rounding error piles up.
            Arrivals::Constant => self.offset_ns + self.gap_ns * self.number as f64,
            Arrivals::Poisson => {
                let uniform: f64 = self.rng.random();
                self.last_ns - (1.0 - uniform).ln() * self.gap_ns
            }
        };
        self.number += 1;
        self.last_ns = at_ns;
        Some(at_ns as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_of_threads_interleave() {
        let first: Vec<_> = Schedule::new(Arrivals::Constant, 1e6, 1, 0, 2)
            .take(3)
            .collect();
        let second: Vec<_> = Schedule::new(Arrivals::Constant, 1e6, 1, 1, 2)
            .take(3)
            .collect();
        assert_eq!(first, [0, 2_000, 4_000]);
        assert_eq!(second, [1_000, 3_000, 5_000]);
    }

    #[test]
    fn poisson_arrivals_follow_from_the_seed_and_keep_the_rate() {
        let schedule = |seed| Schedule::new(Arrivals::Poisson, 10_000.0, seed, 0, 1);
        let first: Vec<_> = schedule(7).take(100_000).collect();
        assert!(
            first
                .iter()
                .eq(schedule(7).take(100_000).collect::<Vec<_>>().iter())
        );
        assert_ne!(first[0], schedule(8).next().unwrap());
        assert!(first.is_sorted());
        let rate = 100_000.0 / (first[99_999] as f64 / 1e9);
        assert!((rate / 10_000.0 - 1.0).abs() < 0.02, "{rate}");
    }

    #[test]
    fn poisson_gaps_vary_as_much_as_they_last() {
        let at: Vec<_> = Schedule::new(Arrivals::Poisson, 1e6, 3, 0, 1)
            .take(100_001)
            .collect();
        let gaps: Vec<_> = at
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64)
            .collect();
        let mean = gaps.iter().sum::<f64>() / 1e5;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02);
    }
}
