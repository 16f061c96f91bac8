//! `chordite wal`: tools on the data folder of a node that does not run. All of them take the
//! folder's lock and go by its manifest; what they read, they read with the machines of the node.

mod folder;
mod inspect;
mod meter;
mod salvage;
mod verify;

use clap::Subcommand;
use node::exit::Exit;

use super::failure::Failure;

/// Look at, check or mend the log of a node that does not run
#[derive(Subcommand, Debug)]
pub(crate) enum Wal {
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
    Salvage(salvage::Salvage),
}

impl Wal {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Inspect(inspect) => inspect.run(),
            Self::Verify(verify) => verify.run(),
            Self::Salvage(salvage) => salvage.run(),
        }
    }
}

/// The version of the objects that `--json` prints: grows when a field changes its meaning.
const SCHEMA: u32 = 1;

/// A report as one JSON object on one line.
fn json(report: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(report);
    let text = text.map_err(|error| Failure::new(Exit::Bug, format!("writing JSON: {error}")))?;
    Ok(text + "\n")
}
