//! Small rings explored exhaustively: parameters and state counts.
//! The work is done by the modules of the library.

use clap::Args;

use crate::model::claims::Assumption;
use crate::model::run::{Effort, Plan};

/// Small rings explored exhaustively: parameters and state counts.
#[derive(Debug, Args)]
pub(super) struct Model {
    drawing: String,
    #[arg(long, default_value_t = 0)]
    joins: u8,
    #[arg(long, default_value_t = 0)]
    failures: u8,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long)]
    max: Option<usize>,
    #[arg(long, default_value = "successors")]
    assume: String,
    #[arg(long)]
    no_lookups: bool,
    #[arg(long)]
    returns: bool,
    #[arg(long)]
    shortcuts: bool,
    #[arg(long)]
    split: bool,
}

impl Model {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let assume = match self.assume.as_str() {
            "proof" => Assumption::Proof,
            "nothing" => Assumption::Nothing,
            _ => Assumption::Successors,
        };
        let mut plan = Plan::of(&self.drawing, self.joins, self.failures, assume);
        plan.scope.self_lookups = !self.no_lookups;
        plan.scope.returns = self.returns;
        plan.scope.shortcuts = self.shortcuts;
        plan.split = self.split;
        let report = plan.explore(Effort {
            threads: self.threads,
            states_max: self.max,
        });
        for (claim, story) in &report.broken {
            println!("BROKEN {claim}\n{}", story.join("\n"));
        }
        println!(
            "{} states {} transitions {} depth {} members {} compared {} helped {} {:?} complete {}",
            plan.drawing(),
            report.states,
            report.transitions,
            report.depth,
            report.members,
            report.comparisons,
            report.helped,
            report.elapsed,
            report.complete
        );
        Ok(())
    }
}
