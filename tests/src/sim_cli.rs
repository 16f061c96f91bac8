//! What `sim` can be asked for, one subcommand a file: `seed` and `many` run whole nodes under
//! faults, `model` explores small rings exhaustively, `papers` and `churn` measure large ones, and
//! `hops` predicts those of a ring that is given.

mod churn;
mod hops;
mod many;
mod model;
mod papers;
#[cfg(feature = "planted")]
mod planted;
mod seed;

use clap::{Parser, Subcommand};

/// Simulations of the production machines.
#[derive(Debug, Parser)]
#[command(name = "sim", version)]
pub struct Sim {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run one seed and show what happens.
    Seed(seed::Seed),
    /// Run many seeds and count what happened.
    Many(many::Many),
    /// Hunt for bugs that are planted.
    #[cfg(feature = "planted")]
    Planted(planted::Planted),
    /// Explore every interleaving of small rings.
    Model(model::Model),
    /// Reproduce the tables of the Chord papers.
    Papers(papers::Papers),
    /// Measure lookups under churn beyond the papers.
    Churn(churn::Churn),
    /// Predict the hops of a given ring.
    Hops(hops::Hops),
}

impl Sim {
    /// Does what was asked; an error when something that must hold does not.
    pub fn run(self) -> anyhow::Result<()> {
        match self.what {
            What::Seed(seed) => seed.run(),
            What::Many(many) => many.run(),
            #[cfg(feature = "planted")]
            What::Planted(planted) => planted.run(),
            What::Model(model) => model.run(),
            What::Papers(papers) => papers.run(),
            What::Churn(churn) => churn.run(),
            What::Hops(hops) => hops.run(),
        }
    }
}
