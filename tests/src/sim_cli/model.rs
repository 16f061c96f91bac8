//! Small rings explored exhaustively: parameters and state counts.
//! The work is done by the modules of the library.

use clap::Args;

/// Small rings explored exhaustively: parameters and state counts.
#[derive(Debug, Args)]
pub(super) struct Model {}

impl Model {
    pub(super) fn run(self) -> anyhow::Result<()> {
        anyhow::bail!("not there yet")
    }
}
