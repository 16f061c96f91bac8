//! The `sim` command: everything that is proved or measured by simulation.
//! The work is in the library; this file starts it and turns its verdict into an exit code.

use clap::Parser;
use harness::sim_cli::Sim;

fn main() -> anyhow::Result<()> {
    Sim::parse().run()
}
