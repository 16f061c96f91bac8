//! The tables of the papers: parameters and output.
//! The work is done by the modules of the library.

use clap::Args;

/// The tables of the papers: parameters and output.
#[derive(Debug, Args)]
pub(super) struct Papers {}

impl Papers {
    pub(super) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("not there yet")
    }
}
