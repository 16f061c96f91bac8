//! Many seeds: parameters, progress and report.
//! The work is done by the modules of the library.

use clap::Args;

/// Many seeds: parameters, progress and report.
#[derive(Debug, Args)]
pub(super) struct Many {}

impl Many {
    pub(super) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("not there yet")
    }
}
