//! Lookups while nodes come and go faster than the Chord papers let them: sessions with a median of
//! an hour, ten minutes and 1.4 minutes, ended by crashes, in a ring of production nodes, and in a
//! model of Kademlia under the same sessions and delays as a yardstick.
//!
//! Whoever crashes is replaced at once by a newcomer with another identity, so the population stays
//! as large as it is. A lookup is *correct* when it ends within its patience in the member that
//! owned the position at the moment the answer was given: the live member that came first at or
//! after it (Chord), or that was closest to it when the lookup ended (Kademlia). Lookups whose
//! asker crashes first are not counted.

pub mod chapters;
pub mod collapse;
mod figures;
pub mod kademlia;
mod ring;
mod sessions;

use std::time::Duration;

pub use figures::{Costs, Figures};
pub use sessions::{Law, Sessions};

use crate::ring_net::Notice;

/// One run under churn.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Setting {
    /// How long nodes stay.
    pub sessions: Sessions,
    /// How others hear of a crash.
    pub notice: Notice,
    /// Nodes at every moment.
    pub nodes: u32,
    /// Lookups of each kind that are counted.
    pub lookups: u64,
    /// Everything random follows from it.
    pub seed: u64,
    /// Run the model of Kademlia too.
    pub model: bool,
}

impl Setting {
    /// The median sessions and laws that are measured, mildest first.
    #[must_use]
    pub fn all(nodes: u32, lookups: u64, seed: u64, model: bool) -> Vec<Self> {
        let mut all = Vec::new();
        for minutes in [60.0, 10.0, 1.4] {
            for law in [Law::Exponential, Law::Weibull] {
                let median = Duration::from_secs_f64(minutes * 60.0);
                all.push(Self {
                    sessions: Sessions { median, law },
                    notice: Notice::Keepalive,
                    nodes,
                    lookups,
                    seed,
                    model,
                });
            }
        }
        all
    }

    /// The share of lookups with retry that has to be correct, in percent.
    #[must_use]
    pub fn goal(&self) -> f64 {
        match self.sessions.median.as_secs() {
            3600.. => 99.99,
            600.. => 99.9,
            _ => 99.0,
        }
    }

    /// Lookups that a run of this setting makes: what `progress` counts up to.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        2 * (self.lookups + kademlia::lookups(self))
    }

    /// How long the churn goes on before anything is counted.
    const fn warm_up(&self) -> Duration {
        Duration::from_secs(600)
    }
}

/// What was measured in one setting.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was asked for.
    pub setting: Setting,
    /// Production nodes, lookups tried again for up to five seconds.
    pub retried: Figures,
    /// Production nodes, one attempt for each lookup.
    pub single: Figures,
    /// What a production node sends.
    pub costs: Costs,
    /// The model of Kademlia, lookups tried again for up to five seconds.
    pub kademlia: Figures,
    /// The same, one attempt for each lookup.
    pub kademlia_single: Figures,
    /// What a node of that model sends.
    pub kademlia_costs: Costs,
}

/// Measures one setting. `progress` is told of every lookup that ends: of four kinds, one after the
/// other.
pub fn run(setting: Setting, progress: &mut dyn FnMut(u64)) -> Row {
    let (retried, single, costs) = ring::run(&setting, progress);
    let (kademlia, kademlia_single, kademlia_costs) = kademlia::run(&setting, progress);
    Row {
        setting,
        retried,
        single,
        costs,
        kademlia,
        kademlia_single,
        kademlia_costs,
    }
}

/// Lookups that are begun in a second, of each kind.
const LOOKUPS_PER_SECOND: f64 = 100.0;

/// How long a lookup may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
