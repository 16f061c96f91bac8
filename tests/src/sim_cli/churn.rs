//! Lookups under churn: parameters and output.
//! The work is done by the modules of the library.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::churn::{self, Row, Setting, collapse};
use crate::ring_net::Notice;

/// Lookups under churn: parameters and output.
#[derive(Debug, Args)]
pub(super) struct Churn {
    /// Nodes at every moment.
    #[arg(long, default_value_t = 1000)]
    nodes: u32,
    /// Lookups of each kind to count, for each setting.
    #[arg(long, default_value_t = 100_000)]
    lookups: u64,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only settings whose name contains this, such as `1 h`, `Weibull` or `collapse`.
    #[arg(long)]
    only: Option<String>,
}

impl Churn {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut missed = Vec::new();
        for setting in Setting::all(self.nodes, self.lookups, self.seed) {
            if self.wants(&setting.sessions.to_string()) {
                let bar = bar(setting.steps(), &setting.sessions.to_string());
                let row = churn::run(setting, &mut |ended| bar.inc(ended));
                bar.finish_and_clear();
                show(&row);
                if !row.passes() {
                    missed.push(format!(
                        "{}: {}",
                        setting.sessions,
                        row.retried.correct_percent()
                    ));
                }
            }
        }
        for notice in [Notice::AtOnce, Notice::Keepalive] {
            if self.wants("collapse") {
                let bar = bar(12_000, "collapse");
                let collapse =
                    collapse::run(self.nodes, 0.4, notice, self.seed, &mut |n| bar.inc(n));
                bar.finish_and_clear();
                println!(
                    "{notice:?} ideal {:?} all correct from {:?}: {:?}",
                    collapse.ideal_after,
                    collapse.all_correct_from(),
                    &collapse.seconds[..20]
                );
            }
        }
        anyhow::ensure!(missed.is_empty(), "goals missed: {}", missed.join("; "));
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    }
}

fn bar(steps: u64, name: &str) -> ProgressBar {
    let bar = ProgressBar::new(steps).with_message(name.to_owned());
    let style = ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show(row: &Row) {
    println!("{}", row.setting.sessions);
    let kinds = [
        ("ring, retry", &row.retried, &row.costs),
        ("ring, single", &row.single, &row.costs),
        ("kademlia, retry", &row.kademlia, &row.kademlia_costs),
        (
            "kademlia, single",
            &row.kademlia_single,
            &row.kademlia_costs,
        ),
    ];
    for (name, figures, costs) in kinds {
        println!(
            "  {name:16} {:6} correct {:8.4} % wrong {} failed {} hops {:.2} timeouts {:.3} p50 {:?} p99 {:?} msg {:.2} B/s {:.0} B/lookup {:.0}",
            figures.lookups,
            figures.correct_percent(),
            figures.wrong,
            figures.failed,
            figures.hops(),
            figures.timeouts(),
            figures.took(0.5),
            figures.took(0.99),
            costs.messages,
            costs.bytes,
            costs.lookup_bytes,
        );
    }
}
