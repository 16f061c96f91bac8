//! Planted bugs: parameters and the table of how many seeds each takes to be found.
//! The work is done by the modules of the library.

use std::fs;
use std::panic;
use std::path::PathBuf;
use std::thread;

use anyhow::Context as _;
use clap::Args;
use proto::planted::Bug;
use serde_json::json;

use crate::planted::{Hunted, Hunts};

/// Planted bugs: parameters and the table of how many seeds each takes to be found.
#[derive(Debug, Args)]
pub(super) struct Planted {
    /// Hunt for bugs whose name contains this alone.
    #[arg(default_value = "")]
    filter: String,
    /// Hunts for each bug.
    #[arg(long, default_value_t = 5)]
    hunts: u64,
    /// Seeds after which a hunt is given up.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1_000_000)]
    from: u64,
    /// Threads; all CPUs by default.
    #[arg(long)]
    threads: Option<usize>,
    /// Write the figures to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Planted {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let threads = self.threads;
        let threads =
            threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
        let meant = |bug: &Bug| format!("{bug:?}").contains(&self.filter);
        let hunts = Hunts {
            bugs: Bug::ALL.into_iter().filter(meant).collect(),
            from: self.from,
            hunts: self.hunts,
            seeds_max: self.seeds,
            threads,
        };
        // A planted bug may show as a failed assertion, which is caught and told in the table.
        panic::set_hook(Box::new(|_| {}));
        let hunted = hunts.run(|hunted| eprintln!("{}", line(hunted)));
        let _ = panic::take_hook();
        println!(
            "seeds until a planted bug is found, {} hunts each",
            self.hunts
        );
        for hunted in &hunted {
            println!("{}", line(hunted));
            if let Some((seed, why)) = &hunted.found {
                println!(
                    "    seed {seed}: {}",
                    why.lines().next().unwrap_or_default()
                );
            }
        }
        if let Some(file) = &self.json {
            let rows: Vec<_> = hunted.iter().map(row).collect();
            let text = serde_json::to_string_pretty(&rows)? + "\n";
            fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        let lost = hunted.iter().filter(|hunted| hunted.longest().is_none());
        let lost: Vec<_> = lost.map(|hunted| hunted.bug).collect();
        anyhow::ensure!(lost.is_empty(), "not found in every hunt: {lost:?}");
        Ok(())
    }
}

fn line(hunted: &Hunted) -> String {
    let shown = |seeds: Option<u64>| seeds.map_or("-".to_owned(), |seeds| seeds.to_string());
    let all: Vec<String> = hunted.seeds.iter().copied().map(shown).collect();
    format!(
        "{:<22} median {:>5}, longest {:>5} ({})",
        format!("{:?}", hunted.bug),
        shown(hunted.median()),
        shown(hunted.longest()),
        all.join(" ")
    )
}

fn row(hunted: &Hunted) -> serde_json::Value {
    let found = hunted.found.as_ref();
    json!({
        "bug": format!("{:?}", hunted.bug),
        "median_seeds": hunted.median(),
        "longest_seeds": hunted.longest(),
        "seeds": hunted.seeds,
        "first_seed": found.map(|(seed, _)| seed),
        "first_failure": found.map(|(_, why)| why.lines().next().unwrap_or_default()),
    })
}
