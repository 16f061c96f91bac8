//! A subject of a scenario while it runs: the echo floor, a ring, a server of another project, or
//! the bare disk.
//!
//! Hides which of them it is from whoever lets it take turns: processes to account for, addresses
//! to ask, a language to ask in, a way to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;
use crate::generator::Language;
use crate::machine;
use crate::process::{self, Process, Program};
use crate::ring::{Ring, RingNode, RingOptions};
use crate::rival::{Brand, Rival};
use crate::scenario::{Protocol, Subject, SubjectKind, Through};
use crate::usage::{Cpu, resident_bytes};

/// A running subject; killed when dropped.
#[derive(Debug)]
pub struct Running {
    server: Server,
    about: String,
}

#[derive(Debug)]
enum Server {
    Echo {
        process: Process,
        address: String,
    },
    Ring(Ring),
    Rival(Rival),
    /// Nothing runs between its turns; the program's segments are in this folder.
    Disk(PathBuf),
}

/// Why a subject cannot take part on this machine; `None` when it can.
#[must_use]
pub fn absence(subject: &Subject) -> Option<String> {
    let program = brand(subject.kind)?.program();
    let is_absent = !process::is_installed(program);
    is_absent.then(|| format!("{}: {program} is not installed", subject.name))
}

fn brand(kind: SubjectKind) -> Option<Brand> {
    match kind {
        SubjectKind::Redis => Some(Brand::Redis),
        SubjectKind::Memcached => Some(Brand::Memcached),
        SubjectKind::Echo | SubjectKind::Ring | SubjectKind::Disk => None,
    }
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
            SubjectKind::Disk => Server::Disk(folder.to_owned()),
            SubjectKind::Redis => start_rival(Brand::Redis, folder, subject, core)?,
            SubjectKind::Memcached => start_rival(Brand::Memcached, folder, subject, core)?,
        };
        let mut running = Self {
            server,
            about: String::new(),
        };
        running.about = running.describe(subject, folder)?;
        Ok(running)
    }

    /// What it is, in one line: kind, settings, and where it keeps its data.
    #[must_use]
    pub fn about(&self) -> &str {
        &self.about
    }

    fn describe(&self, subject: &Subject, folder: &Path) -> Result<String> {
        let kept = || format!("data on {}", machine::file_system(folder));
        let about = match &self.server {
            Server::Ring(ring) => ring.about()?,
            Server::Echo { .. } => "echo server".to_owned(),
            Server::Disk(_) => format!("bench disk, {}", kept()),
            Server::Rival(rival) => {
                let mut parts = vec![rival.brand.program().to_owned()];
                let settings = subject.settings.iter();
                parts.extend(settings.map(|(key, value)| format!("{key} {value}")));
                if rival.brand == Brand::Redis {
                    parts.push(kept());
                }
                parts.join(", ")
            }
        };
        Ok(format!("{}: {about}", subject.name))
    }

    /// Process ids of its servers.
    fn pids(&self) -> Vec<u32> {
        match &self.server {
            Server::Echo { process, .. } => vec![process.pid()],
            Server::Ring(ring) => ring.pids(),
            Server::Rival(rival) => vec![rival.process.pid()],
            Server::Disk(_) => Vec::new(),
        }
    }

    /// Admin addresses of its nodes; none but a ring has any.
    #[must_use]
    pub fn admins(&self) -> Vec<SocketAddr> {
        match &self.server {
            Server::Ring(ring) => ring.admins(),
            Server::Echo { .. } | Server::Rival(_) | Server::Disk(_) => Vec::new(),
        }
    }

    /// The ring that it is, if it is one.
    #[must_use]
    pub const fn ring(&self) -> Option<&Ring> {
        match &self.server {
            Server::Ring(ring) => Some(ring),
            Server::Echo { .. } | Server::Rival(_) | Server::Disk(_) => None,
        }
    }

    /// The folder of the disk program's segments.
    #[must_use]
    pub fn segments(&self) -> Option<&Path> {
        match &self.server {
            Server::Disk(folder) => Some(folder),
            Server::Echo { .. } | Server::Ring(_) | Server::Rival(_) => None,
        }
    }

    /// Kills its only node and starts it again; the time to readiness.
    ///
    /// # Errors
    /// When it is no ring of one node, or the node does not come back.
    pub fn restart(&mut self) -> Result<Duration> {
        match &mut self.server {
            Server::Ring(ring) => Ok(ring.restart()?),
            Server::Echo { .. } | Server::Rival(_) | Server::Disk(_) => {
                bail!("only a node can be restarted")
            }
        }
    }

    /// Processor time of its servers up to now.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn cpu(&self) -> Result<Cpu> {
        Cpu::of_all(&self.pids()).context("a server process is gone")
    }

    /// Resident memory of its servers in bytes.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn resident(&self) -> Result<u64> {
        self.pids().into_iter().try_fold(0, |sum, pid| {
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
            Server::Ring(ring) => Ok(ring.metric(name)?),
            Server::Echo { .. } | Server::Rival(_) | Server::Disk(_) => Ok(None),
        }
    }

    /// Whom to ask and in what language.
    ///
    /// # Errors
    /// When the ring does not tell who owns the least.
    pub fn targets(&self, protocol: Protocol, through: Through) -> Result<(Vec<String>, Language)> {
        let ring = match &self.server {
            Server::Echo { address, .. } => return Ok((vec![address.clone()], Language::Echo)),
            Server::Rival(rival) => {
                return Ok((vec![rival.address.clone()], rival.brand.language()));
            }
            Server::Disk(_) => bail!("a disk is asked nothing"),
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

    /// Stops it: a ring gracefully, the echo server (which has no way to end) and a server
    /// of another project (whose data nobody needs) at once.
    ///
    /// # Errors
    /// When a ring does not end with success.
    pub fn stop(self) -> Result<()> {
        match self.server {
            Server::Echo { process, .. } | Server::Rival(Rival { process, .. }) => process.kill(),
            Server::Ring(ring) => ring.stop()?,
            Server::Disk(_) => {}
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

fn start_rival(
    brand: Brand,
    folder: &Path,
    subject: &Subject,
    core: Option<usize>,
) -> Result<Server> {
    let rival = Rival::start(brand, folder, &subject.settings, core)?;
    Ok(Server::Rival(rival))
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
            about: String::new(),
        };
        let (targets, language) = running.targets(Protocol::Native, Through::Gateway).unwrap();
        assert_eq!((targets.len(), language), (1, Language::Echo));
        assert!(running.resident().unwrap() > 0);
        running.stop().unwrap();
    }
}
