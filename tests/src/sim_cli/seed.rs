//! One seed: parameters and its readable trace.
//! The work is done by the modules of the library.

use clap::Args;

/// One seed: parameters and its readable trace.
#[derive(Debug, Args)]
pub(super) struct Seed {}

impl Seed {
    pub(super) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("not there yet")
    }
}
