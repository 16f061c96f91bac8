//! The prediction for a given ring: parameters and output.
//! The work is done by the modules of the library.

use clap::Args;

/// The prediction for a given ring: parameters and output.
#[derive(Debug, Args)]
pub(super) struct Hops {}

impl Hops {
    pub(super) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("not there yet")
    }
}
