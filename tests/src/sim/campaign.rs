//! Many seeds on several threads: what they did in sum, which of them fail, and whether a seed that
//! runs twice does the same twice.
//! Prints nothing; whoever started it is told how far it is.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::history;
use super::marks::Marks;
use super::run::{Manner, Outcome, run_seed};
use super::tally::Tally;

/// Which seeds, and how.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// Threads that run them.
    pub threads: usize,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Seeds that ran.
    pub seeds: u64,
    /// Seeds that ran twice.
    pub twice: u64,
    /// Those that failed, by seed.
    pub failures: Vec<Failure>,
    /// Faults by kind.
    pub faults: Tally,
    /// Seeds by mark.
    pub marks: Marks,
    /// What clients heard and hosts held.
    pub history: history::Tally,
    /// Events of all worlds.
    pub events: u64,
    /// Time that passed in them.
    pub simulated: Duration,
    /// Time that passed here.
    pub elapsed: Duration,
}

/// A seed that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub seed: u64,
    /// Why.
    pub why: String,
}

impl Campaign {
    /// Runs the seeds; `progress` is called after each, with the sums so far.
    pub fn run(&self, progress: impl Fn(&Totals) + Sync) -> Totals {
        let started = Instant::now();
        let next = AtomicU64::new(0);
        let totals = Mutex::new(Totals::default());
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some(seed) = self.take(&next) {
                        let ran = Ran::new(seed);
                        let mut totals = totals.lock().expect("no thread panics with it");
                        totals.add(ran);
                        totals.elapsed = started.elapsed();
                        progress(&totals);
                    }
                });
            }
        });
        let mut totals = totals.into_inner().expect("no thread panics with it");
        totals.failures.sort_by_key(|failure| failure.seed);
        totals
    }

    fn take(&self, next: &AtomicU64) -> Option<u64> {
        let number = next.fetch_add(1, Ordering::Relaxed);
        (number < self.count).then_some(self.from + number)
    }
}

impl Failure {
    /// The command that shows it.
    #[must_use]
    pub fn command(&self) -> String {
        format!("just sim {}", self.seed)
    }
}

impl Totals {
    /// Seeds a second.
    #[must_use]
    pub fn seeds_per_second(&self) -> f64 {
        let seeds = u32::try_from(self.seeds).unwrap_or(u32::MAX);
        f64::from(seeds) / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// How many times faster than the time of the worlds, in all threads together.
    #[must_use]
    pub fn speed(&self) -> f64 {
        self.simulated.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Simulated hours.
    #[must_use]
    pub fn hours(&self) -> f64 {
        self.simulated.as_secs_f64() / 3_600.0
    }

    fn add(&mut self, ran: Ran) {
        let Ran {
            seed,
            outcome,
            is_twice,
        } = ran;
        self.seeds += 1;
        self.twice += u64::from(is_twice);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(why) => return self.failures.push(Failure { seed, why }),
        };
        if let Err(why) = outcome.verdict {
            self.failures.push(Failure { seed, why });
        }
        self.faults += outcome.faults;
        self.marks += outcome.marks;
        self.history += outcome.history;
        self.events += outcome.events;
        self.simulated += outcome.simulated;
    }
}

/// A seed that ran; an error when it panicked or did not do the same twice.
struct Ran {
    seed: u64,
    outcome: Result<Outcome, String>,
    is_twice: bool,
}

impl Ran {
    fn new(seed: u64) -> Self {
        let is_twice = seed.is_multiple_of(TWICE_EVERY);
        let mut outcome = run_caught(seed, is_twice);
        if let (true, Ok(first)) = (is_twice, &outcome) {
            match run_caught(seed, true) {
                Ok(second) if second == *first => {}
                Ok(second) => {
                    let why = format!("not the same twice: {first:x?}, then {second:x?}");
                    outcome = Err(why);
                }
                Err(why) => outcome = Err(why),
            }
        }
        Self {
            seed,
            outcome,
            is_twice,
        }
    }
}

/// Runs a seed; what panics in it is a failure of the seed like any other.
pub fn run_caught(seed: u64, is_hashed: bool) -> Result<Outcome, String> {
    let manner = Manner {
        is_hashed,
        ..Manner::default()
    };
    catch_unwind(AssertUnwindSafe(|| run_seed(seed, manner))).map_err(|panic| {
        let words = panic_words(&*panic);
        format!("it panicked: {words}")
    })
}

fn panic_words(panic: &(dyn Any + Send)) -> &str {
    if let Some(words) = panic.downcast_ref::<String>() {
        return words;
    }
    panic.downcast_ref::<&str>().copied().unwrap_or("no words")
}

/// One of so many seeds runs twice.
pub const TWICE_EVERY: u64 = 100;
