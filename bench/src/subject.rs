//! A subject of a scenario while it runs: the echo floor, or a ring.
//!
//! Hides which of the two it is from whoever lets it take turns: processes to account for,
//! addresses to ask, a language to ask in, a way to stop.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;
use crate::generator::Language;
use crate::process::{Process, Program};
use crate::ring::{Ring, RingNode, RingOptions};
use crate::scenario::{Protocol, Subject, SubjectKind, Through};
use crate::usage::{Cpu, resident_bytes};

/// A running subject; killed when dropped.
#[derive(Debug)]
pub struct Running {
    server: Server,
}

#[derive(Debug)]
enum Server {
    Echo { process: Process, address: String },
    Ring(Ring),
}

impl Running {
    /// Starts `subject` with its files in `folder`.
    ///
    /// # Errors
    /// When it does not start, or no ring has a node as small as asked for.
    pub fn start(
        binaries: &Binaries,
        folder: &Path,
        subject: &Subject,
        core: Option<usize>,
    ) -> Result<Self> {
        let server = match subject.kind {
            SubjectKind::Echo => start_echo(binaries, folder, core)?,
            SubjectKind::Ring => Server::Ring(start_ring(binaries, folder, subject, core)?),
        };
        Ok(Self { server })
    }

    /// Processor time of its servers up to now.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn cpu(&self) -> Result<Cpu> {
        let pids = match &self.server {
            Server::Echo { process, .. } => vec![process.pid()],
            Server::Ring(ring) => ring.pids(),
        };
        Cpu::of_all(&pids).context("a server process is gone")
    }

    /// Resident memory of its servers in bytes.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn resident(&self) -> Result<u64> {
        let pids = match &self.server {
            Server::Echo { process, .. } => vec![process.pid()],
            Server::Ring(ring) => ring.pids(),
        };
        pids.into_iter().try_fold(0, |sum, pid| {
            let bytes = resident_bytes(pid).context("a server process is gone")?;
            Ok(sum + bytes)
        })
    }

    /// Sum of a node metric; `None` when it has no such metric.
    ///
    /// # Errors
    /// When a node does not answer.
    pub fn metric(&self, name: &str) -> Result<Option<f64>> {
        match &self.server {
            Server::Echo { .. } => Ok(None),
            Server::Ring(ring) => Ok(ring.metric(name)?),
        }
    }

    /// Whom to ask and in what language.
    ///
    /// # Errors
    /// When the ring does not tell who owns the least.
    pub fn targets(&self, protocol: Protocol, through: Through) -> Result<(Vec<String>, Language)> {
        let ring = match &self.server {
            Server::Echo { address, .. } => return Ok((vec![address.clone()], Language::Echo)),
            Server::Ring(ring) => ring,
        };
        let nodes: &[RingNode] = match through {
            Through::All => ring.nodes(),
            Through::First => &ring.nodes()[..1],
            Through::Gateway => std::slice::from_ref(ring.smallest()?.0),
        };
        let nodes = nodes.iter();
        Ok(match protocol {
            Protocol::Dht => (nodes.map(|node| node.api.clone()).collect(), Language::Dht),
            Protocol::Native => (
                nodes.map(|node| node.p2p.clone()).collect(),
                Language::Native(ring.identity()),
            ),
        })
    }

    /// Stops it: a ring gracefully, the echo server (which has no way to end) by a signal.
    ///
    /// # Errors
    /// When a ring does not end with success.
    pub fn stop(self) -> Result<()> {
        match self.server {
            Server::Echo { process, .. } => drop(process),
            Server::Ring(ring) => ring.stop()?,
        }
        Ok(())
    }
}

fn start_echo(binaries: &Binaries, folder: &Path, core: Option<usize>) -> Result<Server> {
    std::fs::create_dir_all(folder)?;
    let program = Program::new(&binaries.bench).args(["echo", "--port", "0"]);
    let mut process = program.on_core(core).spawn(folder, "echo")?;
    let address = process.wait_for("its address", Duration::from_secs(10), |said| {
        let line = said.lines().find_map(|line| line.strip_prefix("echo "));
        line.map(str::to_owned)
    })?;
    Ok(Server::Echo { process, address })
}

/// Places on the circle follow from names and names from ports, so another start is another draw.
fn start_ring(
    binaries: &Binaries,
    folder: &Path,
    subject: &Subject,
    core: Option<usize>,
) -> Result<Ring> {
    let options = RingOptions {
        nodes: subject.nodes,
        shards: subject.shards,
        settings: subject.settings.clone().into_iter().collect(),
        core,
    };
    for draw in 0..DRAWS_MAX {
        let ring = Ring::start(binaries, &folder.join(draw.to_string()), &options)?;
        if subject.remote_share_min == 0.0 {
            return Ok(ring);
        }
        let (_, own) = ring.smallest()?;
        if 1.0 - own >= subject.remote_share_min {
            return Ok(ring);
        }
        ring.stop()?;
    }
    bail!(
        "{}: {DRAWS_MAX} rings had no node that owns at most {:.0} % of the circle",
        subject.name,
        (1.0 - subject.remote_share_min) * 100.0
    )
}

const DRAWS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_subject_is_asked_to_echo_whatever_the_load_says() {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::new("sleep").arg("60");
        let running = Running {
            server: Server::Echo {
                process: program.spawn(folder.path(), "echo").unwrap(),
                address: "127.0.0.1:1".to_owned(),
            },
        };
        let (targets, language) = running.targets(Protocol::Native, Through::Gateway).unwrap();
        assert_eq!((targets.len(), language), (1, Language::Echo));
        assert!(running.resident().unwrap() > 0);
        running.stop().unwrap();
    }
}
