//! Small rings explored exhaustively: which ones, with what failures, and the counts as a table.
//! The work is done by `crate::model`.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Args;
use proto::planted::Bug;

use crate::model::claims::Assumption;
use crate::model::rings::drawings;
use crate::model::run::{Effort, Plan, Report};

/// Explore every interleaving of small rings of production members.
#[derive(Debug, Args)]
pub(super) struct Model {
    /// Most places in a ring: members from the start and those who join.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=5))]
    members: u8,
    /// Most joins.
    #[arg(long, default_value_t = 2)]
    joins: u8,
    /// Most failures.
    #[arg(long, default_value_t = 2)]
    failures: u8,
    /// Only this ring: `M` for each member, `j` for each place where somebody may join.
    #[arg(long)]
    ring: Option<String>,
    /// What failures leave; all by default. `proof`: the whole invariant; `successors`: a live
    /// successor for everybody who had one; `nothing`: one member.
    #[arg(long, value_parser = assumption)]
    assume: Option<Assumption>,
    /// Who has failed may come back, as one of the joins.
    #[arg(long)]
    returns: bool,
    /// Members leave on purpose too, each as one of the failures.
    #[arg(long)]
    leaves: bool,
    /// Members do not look themselves up.
    #[arg(long)]
    no_self_lookups: bool,
    /// Answer at once a question whose way makes no difference: the same ends in fewer states.
    #[arg(long)]
    shortcuts: bool,
    /// Begin with two rings of every second member each.
    #[arg(long)]
    split: bool,
    /// Plant a bug in every member (needs the feature `planted`).
    #[arg(long, value_parser = bug)]
    bug: Option<Bug>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Give a ring up after so many transitions.
    #[arg(long)]
    transitions_max: Option<usize>,
    /// Write the table to this file, as CSV.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Model {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut out = match &self.out {
            Some(path) => Some(File::create(path).with_context(|| path.display().to_string())?),
            None => None,
        };
        if let Some(out) = &mut out {
            writeln!(out, "{CSV_HEAD}")?;
        }
        println!("{}", table_head());
        let (mut broken, mut given_up) = (0, 0);
        let plans = self.plans()?;
        ensure!(!plans.is_empty(), "no ring is within these assumptions");
        for plan in plans {
            let report = plan.explore(Effort {
                threads: self.threads,
                transitions_max: self.transitions_max,
            });
            println!("{}", table_row(&plan, &report));
            for (claim, story) in &report.broken {
                println!("Not true: {claim}\n{}", story.join("\n"));
            }
            if let Some(out) = &mut out {
                writeln!(out, "{}", csv_row(&plan, &report))?;
            }
            broken += report.broken.len();
            given_up += usize::from(!report.complete);
        }
        if broken > 0 {
            bail!("{broken} claims do not hold");
        }
        ensure!(
            given_up == 0,
            "{given_up} rings were given up before their end"
        );
        Ok(())
    }

    fn plans(&self) -> anyhow::Result<Vec<Plan>> {
        let rings = match &self.ring {
            Some(ring) if is_drawing(ring) => vec![ring.clone()],
            Some(ring) => bail!("`{ring}` is no ring of one to five `M` and `j` with an `M`"),
            None => drawings(self.members.into(), self.joins.into()),
        };
        let mut plans = Vec::new();
        for ring in &rings {
            for assumption in Assumption::ALL {
                let mut plan = Plan::of(ring, self.joins, self.failures, assumption);
                plan.scope.returns = self.returns;
                plan.scope.leaves = self.leaves;
                plan.scope.self_lookups = !self.no_self_lookups;
                plan.scope.shortcuts = self.shortcuts;
                plan.split = self.split;
                plan.bug = self.bug;
                let wanted = self.assume.is_none_or(|wanted| wanted == assumption);
                if wanted && plan.is_within_proof() {
                    plans.push(plan);
                }
            }
        }
        Ok(plans)
    }
}

fn assumption(text: &str) -> Result<Assumption, String> {
    let mut all = Assumption::ALL.into_iter();
    all.find(|assumption| assumption.as_str() == text)
        .ok_or_else(|| "proof, successors or nothing".to_owned())
}

fn bug(text: &str) -> Result<Bug, String> {
    if !cfg!(feature = "planted") {
        return Err("this program was built without the feature `planted`".to_owned());
    }
    let mut all = Bug::ALL.into_iter();
    all.find(|bug| format!("{bug:?}") == text)
        .ok_or_else(|| format!("one of {:?}", Bug::ALL))
}

fn is_drawing(text: &str) -> bool {
    (1..=5).contains(&text.len())
        && text.contains('M')
        && text.chars().all(|place| matches!(place, 'M' | 'j'))
}

fn verdict(report: &Report) -> String {
    match report.broken.as_slice() {
        [] if report.complete => "holds".to_owned(),
        [] => "given up".to_owned(),
        broken => broken
            .iter()
            .map(|(claim, _)| format!("not {claim}; "))
            .collect(),
    }
}

fn table_head() -> String {
    format!(
        "{:5} {:5} {:5} {:10} {:>11} {:>12} {:>5} {:>7} {:>8} {:>11} {:>8}  verdict",
        "ring",
        "joins",
        "fails",
        "assumed",
        "states",
        "transitions",
        "depth",
        "members",
        "compared",
        "self-lookup",
        "seconds"
    )
}

fn table_row(plan: &Plan, report: &Report) -> String {
    format!(
        "{:5} {:5} {:5} {:10} {:>11} {:>12} {:>5} {:>7} {:>8} {:>11} {:>8.1}  {}",
        plan.drawing(),
        plan.joins,
        plan.failures,
        plan.assumption.as_str(),
        report.states,
        report.transitions,
        report.depth,
        report.members,
        report.comparisons,
        report.helped,
        report.elapsed.as_secs_f64(),
        verdict(report)
    )
}

const CSV_HEAD: &str = "ring,successors,joins,failures,assumed,returns,leaves,self_lookups,\
    shortcuts,states,transitions,depth,members,comparisons,healed_by_self_lookups,seconds,verdict";

fn csv_row(plan: &Plan, report: &Report) -> String {
    format!(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.1},{}",
        plan.drawing(),
        plan.successors,
        plan.joins,
        plan.failures,
        plan.assumption.as_str(),
        plan.scope.returns,
        plan.scope.leaves,
        plan.scope.self_lookups,
        plan.scope.shortcuts,
        report.states,
        report.transitions,
        report.depth,
        report.members,
        report.comparisons,
        report.helped,
        report.elapsed.as_secs_f64(),
        verdict(report)
    )
}
