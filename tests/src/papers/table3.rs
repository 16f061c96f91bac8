//! Table III of the Chord paper (Stoica et al. 2003, section VI-E): lookups while nodes join and
//! leave all the time. 1,000 nodes, lists of twenty, one lookup, R joins and R voluntary leaves a
//! second on average, each a Poisson process; stabilisation every 15 to 45 seconds; no retry.
//!
//! A node that leaves tells its neighbours; all others find out when they send something to it.
//! A lookup fails when it ends without the owner: without any, or with a member that does not own
//! the position by then.

use std::time::Duration;

use proto::chord::Pace;

use crate::dice::Dice;
use crate::ring_net::{Ended, Notice, Plan, RingNet, exponential};

/// What was measured at one rate of change.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// Lookups that ended.
    pub lookups: u64,
    /// Mean number of nodes contacted up to the predecessor of the position.
    pub path: f64,
    /// Mean number of timeouts of a lookup.
    pub timeouts: f64,
    /// Failed lookups out of 10,000.
    pub failures: f64,
    /// Members of the ring at the end.
    pub members: usize,
}

/// One column of the table.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Row {
    /// Joins a second, and leaves a second.
    pub rate: f64,
    /// Mean path length, mean timeouts and failures out of 10,000 in the paper.
    pub paper: (f64, f64, f64),
    /// Under the paper's conditions.
    pub ours: Measured,
    /// With the production pace of stabilisation and nothing else changed.
    pub adaptive: Measured,
}

/// Lookups that a whole table makes: what `progress` counts up to.
#[must_use]
pub const fn steps(seeds: u64) -> u64 {
    PAPER.len() as u64 * 2 * seeds * LOOKUPS
}

/// Measures the table, with 10,000 lookups for each seed, rate and pace. `progress` is told of
/// every lookup that ends.
pub fn run(seeds: u64, progress: &mut dyn FnMut(u64)) -> Vec<Row> {
    let row = |(rate, path, timeouts, failures): (f64, f64, f64, f64)| {
        let mut measure = |pace| {
            let parts = (1..=seeds).map(|seed| {
                let plan = Plan {
                    pace,
                    ..Plan::papers(seed)
                };
                measure(&plan, rate, LOOKUPS, progress)
            });
            mean(&parts.collect::<Vec<_>>())
        };
        Row {
            rate,
            paper: (path, timeouts, failures),
            ours: measure(Pace::Papers),
            adaptive: measure(Pace::Adaptive),
        }
    };
    PAPER.into_iter().map(row).collect()
}

/// Lookups in a ring of `plan` that changes at `rate`, once it has done so for a while.
pub fn measure(plan: &Plan, rate: f64, lookups: u64, progress: &mut dyn FnMut(u64)) -> Measured {
    let mut net = RingNet::placed(plan.clone(), MEMBERS);
    let mut changes = Changes::new(plan.seed, rate, net.now());
    let warm = net.now() + WARM_UP;
    changes.run(&mut net, warm, false);
    let mut tally = Tally::default();
    while tally.ended < lookups {
        let until = net.now() + Duration::from_secs(60);
        changes.run(&mut net, until, true);
        let before = tally.ended;
        while let Some(ended) = net.poll_ended() {
            tally.add(&ended);
        }
        progress(tally.ended - before);
    }
    tally.measured(net.members())
}

/// Joins, leaves and lookups, each a Poisson process.
struct Changes {
    dice: Dice,
    /// Mean pause between two events of each process, in seconds.
    means: [f64; 3],
    next: [Duration; 3],
}

impl Changes {
    fn new(seed: u64, rate: f64, now: Duration) -> Self {
        let mut changes = Self {
            dice: Dice::new(!seed),
            means: [1.0 / rate, 1.0 / rate, 1.0],
            next: [now; 3],
        };
        for process in 0..3 {
            changes.next[process] = now + changes.pause(process);
        }
        changes
    }

    fn pause(&mut self, process: usize) -> Duration {
        Duration::from_secs_f64(self.means[process] * exponential(&mut self.dice))
    }

    fn run(&mut self, net: &mut RingNet, until: Duration, asks: bool) {
        loop {
            let process = (0..3).min_by_key(|process| self.next[*process]);
            let process = process.expect("there are three processes");
            if self.next[process] > until {
                return net.run_to(until);
            }
            net.run_to(self.next[process]);
            let pause = self.pause(process);
            self.next[process] += pause;
            match (process, net.any_member()) {
                (0, _) => {
                    net.join();
                }
                (1, Some(leaver)) => net.leave(leaver, Notice::Never),
                (2, Some(asker)) if asks => {
                    let target = net.any_position();
                    net.look(asker, 0, target, PATIENCE);
                }
                _ => {}
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    ended: u64,
    found: u64,
    failed: u64,
    forwards: u64,
    timeouts: u64,
}

impl Tally {
    fn add(&mut self, ended: &Ended) {
        self.ended += 1;
        self.failed += u64::from(!ended.correct);
        if let Ok(found) = &ended.result {
            self.found += 1;
            self.forwards += u64::from(found.route.rpcs.saturating_sub(1));
            self.timeouts += u64::from(found.route.timeouts);
        }
    }

    fn measured(&self, members: usize) -> Measured {
        let found = self.found.max(1) as f64;
        Measured {
            lookups: self.ended,
            path: self.forwards as f64 / found,
            timeouts: self.timeouts as f64 / found,
            failures: self.failed as f64 * 1e4 / self.ended.max(1) as f64,
            members,
        }
    }
}

fn mean(parts: &[Measured]) -> Measured {
    let share = 1.0 / parts.len().max(1) as f64;
    let mean = |of: fn(&Measured) -> f64| parts.iter().map(of).sum::<f64>() * share;
    Measured {
        lookups: parts.iter().map(|part| part.lookups).sum(),
        path: mean(|part| part.path),
        timeouts: mean(|part| part.timeouts),
        failures: mean(|part| part.failures),
        members: parts.last().map_or(0, |part| part.members),
    }
}

/// Rate, mean path, mean timeouts, failures out of 10,000 (Stoica et al. 2003, Table III).
const PAPER: [(f64, f64, f64, f64); 8] = [
    (0.05, 3.90, 0.05, 0.0),
    (0.10, 3.83, 0.11, 0.0),
    (0.15, 3.84, 0.16, 2.0),
    (0.20, 3.81, 0.23, 5.0),
    (0.25, 3.83, 0.30, 6.0),
    (0.30, 3.91, 0.34, 8.0),
    (0.35, 3.94, 0.42, 16.0),
    (0.40, 4.06, 0.46, 15.0),
];

const MEMBERS: u32 = 1000;

const LOOKUPS: u64 = 10_000;

/// Longer than every pointer lives before it is looked after.
const WARM_UP: Duration = Duration::from_secs(1200);

/// Longer than any single attempt takes.
const PATIENCE: Duration = Duration::from_secs(30);
