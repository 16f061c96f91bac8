//! Lookups over several rings of one kind: uniform origins, uniform targets, every owner compared
//! with the truth. One seed a ring, so that a figure is the same on every machine.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::message::LookupMode;

use crate::dice::Dice;
use crate::still_ring::histogram::Histogram;
use crate::still_ring::{Setup, StillRing, Traffic, any_id};

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// As the gates want it.
    Full,
    /// Less of everything: a few seconds, with the same gates.
    Quick,
}

impl Scale {
    /// `full` or `quick`, whichever applies.
    #[must_use]
    pub const fn choose(self, full: usize, quick: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// What is seen of an experiment while it runs.
#[derive(Clone, Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Nothing is shown.
    #[must_use]
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// A line on standard error.
    #[must_use]
    pub fn shown() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = "{elapsed_precise} {wide_msg} {pos}/{len}";
        let style = ProgressStyle::with_template(style);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// `steps` begin, which are called `what`.
    pub fn begin(&self, what: &str, steps: usize) {
        self.0.set_length(steps as u64);
        self.0.set_position(0);
        self.0.set_message(what.to_owned());
    }

    /// A step is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Some steps are done.
    pub fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// Prints above the line.
    pub fn print(&self, text: &str) {
        self.0.suspend(|| println!("{text}"));
    }

    /// Nothing more will be shown.
    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// How many lookups over how many rings, and how.
#[derive(Clone, PartialEq, Debug)]
pub struct Rounds {
    /// Hosts of a ring.
    pub hosts: usize,
    /// Rings.
    pub rings: usize,
    /// Lookups in each.
    pub lookups: usize,
    /// How they are carried out.
    pub mode: LookupMode,
    /// Share of hosts that die first.
    pub dying: f64,
    /// Whether their neighbours have noticed.
    pub is_noticed: bool,
}

impl Rounds {
    /// Recursive lookups in rings in which nobody dies.
    #[must_use]
    pub const fn of(hosts: usize, rings: usize, lookups: usize) -> Self {
        Self {
            hosts,
            rings,
            lookups,
            mode: LookupMode::Recursive,
            dying: 0.0,
            is_noticed: true,
        }
    }

    /// Carries them out in rings made by `setup`, each with a name of its own.
    #[must_use]
    pub fn run(&self, setup: &Setup, progress: &Progress) -> Found {
        let mut found = Found::default();
        let begun = Instant::now();
        for round in 0..self.rings {
            let named = Setup {
                ring: format!("{}-{round}", setup.ring),
                ..setup.clone()
            };
            let mut ring = StillRing::of_size(named, self.hosts);
            let mut dice = Dice::new(self.hosts as u64 ^ (round as u64) << 32);
            if self.dying > 0.0 {
                ring.kill(self.dying, self.is_noticed, &mut dice);
            }
            found.add_ring(self, &mut ring, &mut dice);
            progress.step();
        }
        found.elapsed = begun.elapsed();
        found
    }
}

/// What lookups found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// Nodes contacted other than the origin, the owner included.
    pub rpcs: Histogram,
    /// The same up to the predecessor of the position.
    pub forwards: Histogram,
    /// Different dead nodes met.
    pub dead_met: Histogram,
    /// Mean of the dead met in each ring.
    pub dead_by_ring: Vec<f64>,
    /// Lookups that ended without an owner.
    pub failed: u64,
    /// Lookups that named somebody who is not the owner.
    pub wrong: u64,
    /// What was sent, when the rings weigh.
    pub traffic: Traffic,
    /// Time taken.
    pub elapsed: Duration,
}

impl Found {
    /// Lookups in all.
    #[must_use]
    pub fn lookups(&self) -> u64 {
        self.rpcs.total() + self.failed
    }

    /// Standard deviation of the dead met, from one ring to the next.
    #[must_use]
    pub fn dead_deviation(&self) -> f64 {
        let count = self.dead_by_ring.len() as f64;
        let mean = self.dead_by_ring.iter().sum::<f64>() / count;
        let squares = self.dead_by_ring.iter().map(|one| (one - mean).powi(2));
        (squares.sum::<f64>() / (count - 1.0).max(1.0)).sqrt()
    }

    fn add_ring(&mut self, rounds: &Rounds, ring: &mut StillRing, dice: &mut Dice) {
        let mut dead = Histogram::default();
        for _ in 0..rounds.lookups {
            let (origin, target) = (ring.any_host(dice), any_id(dice));
            let walked = ring.lookup(origin, target, rounds.mode);
            self.traffic.join(walked.traffic);
            let Ok(found) = &walked.result else {
                self.failed += 1;
                continue;
            };
            self.wrong += u64::from(&found.owner != ring.owner(&target));
            self.rpcs.add(walked.rpcs());
            self.forwards.add(walked.forwards());
            dead.add(walked.dead_met());
        }
        self.dead_by_ring.push(dead.mean());
        self.dead_met.join(&dead);
    }
}

const TICK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_the_same_every_time() {
        let setup = Setup::of_papers("rounds", 1, 4);
        let rounds = Rounds {
            dying: 0.2,
            ..Rounds::of(60, 2, 100)
        };
        let run = || rounds.run(&setup, &Progress::hidden());
        let (first, second) = (run(), run());
        assert_eq!(first.rpcs, second.rpcs);
        assert_eq!(first.dead_by_ring, second.dead_by_ring);
        assert_eq!(first.lookups(), 200);
        assert_eq!(first.wrong, 0);
        assert!(first.dead_met.mean() > 0.1 && first.dead_deviation() > 0.0);
    }
}
