//! One seed: parameters and its readable trace.
//! The work is done by the modules of the library.

use std::io::Write as _;
use std::time::Duration;

use clap::Args;

use crate::log_script::key_of;
use crate::sim::run::{Manner, run_seed};
use crate::sim::swarm::Swarm;
use crate::sim::watch::{Line, Watcher};

/// One seed: parameters and its readable trace.
#[derive(Debug, Args)]
pub(super) struct Seed {
    /// The seed.
    seed: u64,
    /// Stop after so many simulated seconds.
    #[arg(long)]
    until: Option<f64>,
    /// Show from this simulated second on.
    #[arg(long, default_value_t = 0.0)]
    since: f64,
    /// Show what concerns this node alone.
    #[arg(long)]
    node: Option<usize>,
    /// Show what names the key of this number, or this text, and what its askers hear.
    #[arg(long)]
    key: Option<String>,
    /// Show no trace, only what the seed is about and its verdict.
    #[arg(long)]
    quiet: bool,
}

impl Seed {
    pub(super) fn run(self) -> anyhow::Result<()> {
        println!("{:#?}", Swarm::new(self.seed));
        let until = self.until.map(Duration::try_from_secs_f64).transpose()?;
        let watcher = (!self.quiet).then(|| self.watcher());
        let outcome = run_seed(
            self.seed,
            Manner {
                is_hashed: true,
                until,
                watcher,
            },
        );
        println!(
            "{} events, {:.3} simulated seconds, hash {:016x}",
            outcome.events,
            outcome.simulated.as_secs_f64(),
            outcome.hash.unwrap_or_default()
        );
        outcome.verdict.map_err(anyhow::Error::msg)
    }

    fn watcher(&self) -> Watcher {
        let (node, since) = (self.node, self.since);
        let needle = self.key.as_ref().map(|key| {
            let number = key.parse::<u16>();
            number.map_or(key.clone(), |number| key_of(number).to_string())
        });
        let mut out = std::io::stdout().lock();
        let mut askers = Vec::new();
        Box::new(move |line: &Line<'_>| {
            let names_key = needle.as_ref().is_none_or(|key| {
                let asker = line.text.split_inclusive(" asks").next();
                if line.text.contains(key) && line.text.contains(" asks") {
                    askers.extend(asker.map(|it| it.replace("asks", "hears")));
                }
                line.text.contains(key) || askers.iter().any(|it| line.text.starts_with(it))
            });
            let is_meant = line.at.as_secs_f64() >= since
                && node.is_none_or(|node| node == line.node)
                && names_key;
            if is_meant {
                // A reader that has seen enough closes the pipe: the rest is for nobody.
                let _ = writeln!(out, "{line}");
            }
        })
    }
}
