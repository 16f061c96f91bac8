//! Lookups under churn: parameters and output.
//! The work is done by the modules of the library.

use clap::Args;

/// Lookups under churn: parameters and output.
#[derive(Debug, Args)]
pub(super) struct Churn {}

impl Churn {
    pub(super) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("not there yet")
    }
}
