//! Many seeds: parameters, progress and report.
//! The work is done by the modules of the library.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::sim::campaign::{Campaign, Failure, Totals};
use crate::sim::marks::Mark;
use crate::sim::tally::FaultKind;

/// Many seeds: parameters, progress and report.
#[derive(Debug, Args)]
pub(super) struct Many {
    /// How many seeds.
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; all CPUs by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Write the figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// A mark that no seed hits, or a fault kind injected less often than this, is an error.
    #[arg(long)]
    faults_least: Option<u64>,
}

impl Many {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let threads = self.threads;
        let threads =
            threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let campaign = Campaign {
            from: self.from,
            count: self.seeds,
            threads,
        };
        let bar = ProgressBar::new(self.seeds);
        let style = "{elapsed_precise} {wide_bar} {pos}/{len} seeds, {per_sec}, {eta} left, {msg}";
        bar.set_style(ProgressStyle::with_template(style)?);
        let told = AtomicUsize::new(0);
        let totals = campaign.run(|totals| {
            // Told at once, also where no bar is shown: the run may be ended before its report.
            let failed = totals.failures.len();
            if told.swap(failed, Ordering::Relaxed) < failed {
                let last = totals.failures.last().map(Failure::command);
                bar.suspend(|| eprintln!("failed: {}", last.unwrap_or_default()));
            }
            bar.set_position(totals.seeds);
            bar.set_message(format!("{} failed", totals.failures.len()));
        });
        bar.finish_and_clear();
        print(&totals);
        if let Some(file) = &self.json {
            write(file, &campaign, &totals)?;
        }
        self.judge(&totals)
    }

    fn judge(&self, totals: &Totals) -> anyhow::Result<()> {
        let failed = totals.failures.len();
        anyhow::ensure!(failed == 0, "{failed} of {} seeds failed", totals.seeds);
        let Some(least) = self.faults_least else {
            return Ok(());
        };
        let rare = FaultKind::ALL.into_iter();
        let rare: Vec<_> = rare
            .filter(|kind| totals.faults.of(*kind) < least)
            .collect();
        anyhow::ensure!(
            rare.is_empty(),
            "injected less than {least} times: {rare:?}"
        );
        let missed = Mark::ALL.into_iter();
        let missed: Vec<_> = missed.filter(|mark| totals.marks.of(*mark) == 0).collect();
        anyhow::ensure!(missed.is_empty(), "never hit: {missed:?}");
        Ok(())
    }
}

fn print(totals: &Totals) {
    println!(
        "{} seeds in {:.1} s, {:.1} a second; {} ran twice",
        totals.seeds,
        totals.elapsed.as_secs_f64(),
        totals.seeds_per_second(),
        totals.twice
    );
    println!(
        "{:.1} simulated hours, {:.0} times real time; {} events",
        totals.hours(),
        totals.speed(),
        totals.events
    );
    println!("{:?}", totals.history);
    println!("\nfaults");
    for kind in FaultKind::ALL {
        println!(
            "  {:<18} {:>12}",
            format!("{kind:?}"),
            totals.faults.of(kind)
        );
    }
    println!("\nmarks, in seeds");
    for mark in Mark::ALL {
        println!("  {:<22} {:>8}", format!("{mark:?}"), totals.marks.of(mark));
    }
    for failure in &totals.failures {
        println!("\n{}\n  {}", failure.command(), failure.why);
    }
}

fn write(file: &Path, campaign: &Campaign, totals: &Totals) -> anyhow::Result<()> {
    let faults = FaultKind::ALL
        .into_iter()
        .map(|kind| (format!("{kind:?}"), json!(totals.faults.of(kind))));
    let marks = Mark::ALL
        .into_iter()
        .map(|mark| (format!("{mark:?}"), json!(totals.marks.of(mark))));
    let failures = totals.failures.iter().map(
        |failure| json!({ "seed": failure.seed, "why": failure.why, "command": failure.command() }),
    );
    let figures = json!({
        "from": campaign.from,
        "seeds": totals.seeds,
        "threads": campaign.threads,
        "ran_twice": totals.twice,
        "elapsed_s": totals.elapsed.as_secs_f64(),
        "seeds_per_s": totals.seeds_per_second(),
        "simulated_h": totals.hours(),
        "times_real_time": totals.speed(),
        "events": totals.events,
        "history": totals.history,
        "faults": faults.collect::<Map<String, Value>>(),
        "marks_in_seeds": marks.collect::<Map<String, Value>>(),
        "failures": failures.collect::<Vec<Value>>(),
    });
    let text = serde_json::to_string_pretty(&figures)? + "\n";
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}
