//! Bugs on purpose, each of which the simulator has to find: how many seeds that takes.
//!
//! Only built with the feature `planted`. A hunt plants a bug, runs one seed after the other and
//! ends with the first that fails; several hunts from different seeds give the median.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proto::planted::{self, Bug};

use crate::sim::campaign::run_caught;

/// Hunts for planted bugs.
#[derive(Clone, Debug)]
pub struct Hunts {
    /// The bugs, one after the other.
    pub bugs: Vec<Bug>,
    /// The first seed of the first hunt.
    pub from: u64,
    /// Hunts for each bug.
    pub hunts: u64,
    /// Seeds after which a hunt is given up.
    pub seeds_max: u64,
    /// Threads that hunt.
    pub threads: usize,
}

/// How the hunts for one bug ended.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The bug.
    pub bug: Bug,
    /// Seeds that each hunt took, the last one with the failure; none of a hunt that was given up.
    pub seeds: Vec<Option<u64>>,
    /// What the first hunt that found it was told, and the seed.
    pub found: Option<(u64, String)>,
}

impl Hunted {
    /// Median number of seeds; a hunt that was given up is longer than any other.
    #[must_use]
    pub fn median(&self) -> Option<u64> {
        let mut seeds = self.seeds.clone();
        seeds.sort_by_key(|seeds| seeds.unwrap_or(u64::MAX));
        seeds.get(seeds.len() / 2).copied().flatten()
    }

    /// The longest hunt; none when one was given up.
    #[must_use]
    pub fn longest(&self) -> Option<u64> {
        let all: Option<Vec<u64>> = self.seeds.iter().copied().collect();
        all?.into_iter().max()
    }
}

impl Hunts {
    /// Hunts; `progress` hears of every bug when its hunts have ended.
    pub fn run(&self, progress: impl Fn(&Hunted) + Sync) -> Vec<Hunted> {
        let next = AtomicUsize::new(0);
        let ended = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some(bug) = self.bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let hunted = self.hunt_all(*bug);
                        progress(&hunted);
                        ended.lock().expect("no hunter panics").push(hunted);
                    }
                });
            }
        });
        let mut ended = ended.into_inner().expect("no hunter panics");
        ended.sort_by_key(|hunted| hunted.bug);
        ended
    }

    fn hunt_all(&self, bug: Bug) -> Hunted {
        let mut hunted = Hunted {
            bug,
            seeds: Vec::new(),
            found: None,
        };
        for hunt in 0..self.hunts {
            let from = self.from + hunt * self.seeds_max;
            let found = self.hunt(bug, from);
            hunted
                .seeds
                .push(found.as_ref().map(|(seed, _)| seed - from + 1));
            hunted.found = hunted.found.or(found);
        }
        hunted
    }

    /// The first seed that fails, and does not without the bug; and why.
    fn hunt(&self, bug: Bug, from: u64) -> Option<(u64, String)> {
        (from..from + self.seeds_max).find_map(|seed| {
            planted::plant(Some(bug));
            let why = failure(seed);
            planted::plant(None);
            let is_found = why.is_some() && failure(seed).is_none();
            Some((seed, why.filter(|_| is_found)?))
        })
    }
}

fn failure(seed: u64) -> Option<String> {
    match run_caught(seed, false) {
        Ok(outcome) => outcome.verdict.err(),
        Err(why) => Some(why),
    }
}
