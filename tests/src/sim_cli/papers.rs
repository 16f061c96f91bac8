//! The tables of the papers: which of them, and where their results go.
//! The work is done by the modules of the library.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::papers::chapter::Chapter;
use crate::papers::report::{self, Report};
use crate::papers::rounds::{Progress, Scale};
use crate::papers::{
    arc_cache, balance, bases, coming_and_going, failures, path_length, traffic, upkeep,
};

/// The tables of the papers: which of them, and where their results go.
#[derive(Debug, Args)]
pub(super) struct Papers {
    /// Only these, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    only: Vec<Experiment>,
    /// Parent of the folder with the results; `results` of the sources when left out
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Smaller rings and fewer lookups, in a few seconds, without Table III; written only where
    /// --out says
    #[arg(long)]
    quick: bool,
}

/// An experiment that can be asked for by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Experiment {
    /// Path length from 8 to 1,000,000 nodes
    Path,
    /// Lookups after simultaneous failures (Table II)
    Table2,
    /// The same for nodes as they are shipped, 40 % dead
    Failures,
    /// Load balance with virtual nodes
    Balance,
    /// Base-2 and base-16 fingers
    Bases,
    /// Arc cache on and off
    Cache,
    /// Messages and bytes of a lookup
    Traffic,
    /// Messages and bytes of a node in a quiet ring
    Upkeep,
    /// Lookups while nodes join and leave (Table III)
    Table3,
}

impl Experiment {
    fn run(self, scale: Scale, progress: &Progress) -> Chapter {
        match self {
            Self::Path => path_length::run(scale, progress),
            Self::Table2 => failures::table2(scale, progress),
            Self::Failures => failures::live(scale, progress),
            Self::Balance => balance::run(scale, progress),
            Self::Bases => bases::run(scale, progress),
            Self::Cache => arc_cache::run(scale, progress),
            Self::Traffic => traffic::run(scale, progress),
            Self::Upkeep => upkeep::run(scale, progress),
            Self::Table3 => coming_and_going::run(progress),
        }
    }
}

impl Papers {
    fn wants(&self, experiment: Experiment) -> bool {
        match self.only.is_empty() {
            true => !(self.quick && experiment == Experiment::Table3),
            false => self.only.contains(&experiment),
        }
    }

    pub(super) fn run(self) -> Result<()> {
        let about = "The tables of the Chord papers, from the production machines.";
        let report = Report::begin("papers", about);
        let scale = if self.quick {
            Scale::Quick
        } else {
            Scale::Full
        };
        let progress = Progress::shown();
        let mut chapters = Vec::new();
        for experiment in Experiment::value_variants() {
            if self.wants(*experiment) {
                let chapter = experiment.run(scale, &progress);
                progress.print(&report::section(&chapter));
                chapters.push(chapter);
            }
        }
        progress.end();
        if self.out.is_some() || !self.quick {
            let folder = report.write(self.out.as_deref(), &chapters)?;
            println!("{}", folder.display());
        }
        let gates: usize = chapters.iter().map(|chapter| chapter.gates.len()).sum();
        let misses: usize = chapters.iter().map(Chapter::misses).sum();
        println!("{} of {gates} gates met", gates - misses);
        ensure!(misses == 0, "{misses} gates were missed");
        Ok(())
    }
}
