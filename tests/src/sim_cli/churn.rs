//! Lookups under churn: which sessions, how many lookups, and where the results go.
//! The work is done by the modules of the library.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::churn::{self, Setting, chapters, collapse};
use crate::papers::chapter::Chapter;
use crate::papers::report::{self, Report};
use crate::papers::rounds::Progress;
use crate::ring_net::Notice;

/// Lookups under churn: which sessions, how many lookups, and where the results go.
#[derive(Debug, Args)]
pub(super) struct Churn {
    /// Nodes at every moment
    #[arg(long, default_value_t = 1000)]
    nodes: u32,
    /// Lookups to count with retry, and as many without, for each kind of session
    #[arg(long, default_value_t = 100_000)]
    lookups: u64,
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only what has this in its name, such as `1 h`, `10 min, exp`, `Weibull` or `collapse`
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Leave out the model of Kademlia, which takes most of the time
    #[arg(long)]
    no_model: bool,
    /// Parent of the folder with the results; nothing is written when left out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Churn {
    pub(super) fn run(self) -> Result<()> {
        let about = "Lookups while nodes come and go, from the production machines.";
        let report = Report::begin("churn", about);
        let progress = Progress::shown();
        let chapters = [self.sessions(&progress), self.collapses(&progress)];
        let chapters: Vec<Chapter> = chapters.into_iter().flatten().collect();
        progress.end();
        for chapter in &chapters {
            println!("{}", report::section(chapter));
        }
        if let Some(out) = &self.out {
            println!("{}", report.write(Some(out), &chapters)?.display());
        }
        let misses: usize = chapters.iter().map(Chapter::misses).sum();
        ensure!(!chapters.is_empty(), "--only leaves nothing to measure");
        ensure!(misses == 0, "{misses} goals were missed");
        Ok(())
    }

    fn sessions(&self, progress: &Progress) -> Option<Chapter> {
        let mut rows = Vec::new();
        for setting in Setting::all(self.nodes, self.lookups, self.seed, !self.no_model) {
            let name = setting.sessions.to_string();
            if self.wants(&name) {
                progress.begin(
                    &name,
                    usize::try_from(setting.steps()).unwrap_or(usize::MAX),
                );
                rows.push(churn::run(setting, &mut |ended| progress.advance(ended)));
            }
        }
        (!rows.is_empty()).then(|| chapters::sessions(&rows))
    }

    fn collapses(&self, progress: &Progress) -> Option<Chapter> {
        if !self.wants("collapse") {
            return None;
        }
        let measure = |notice| {
            progress.begin("collapse", collapse::STEPS);
            let told = &mut |ended| progress.advance(ended);
            collapse::run(self.nodes, 0.4, notice, self.seed, told)
        };
        let collapses = [Notice::AtOnce, Notice::Keepalive].map(measure);
        Some(chapters::collapses(&collapses))
    }

    fn wants(&self, name: &str) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| name.contains(only.as_str()))
    }
}
