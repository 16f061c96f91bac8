//! A ring of real nodes, started and stopped by `chordite dev`.
//!
//! Reads the lines `node I pid P api A p2p B admin C` and `ready`; the kernel chooses all ports. A
//! node that is alone can be killed and started again by `chordite serve` from the files it has.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::admin;
use crate::binaries::Binaries;
use crate::deadline;
use crate::log_watch::LogCounters;
use crate::machine;
use crate::process::{self, Process, ProcessError, Program};

/// What ring is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RingOptions {
    /// Nodes.
    pub nodes: u16,
    /// Shards of each node; 0 leaves it to the node.
    pub shards: u8,
    /// Configuration of each node.
    pub settings: Vec<(String, String)>,
    /// Core of all its processes.
    pub core: Option<usize>,
}

/// A running ring; killed when dropped.
#[derive(Debug)]
pub struct Ring {
    /// `chordite dev`, or the only node after a restart.
    host: Process,
    restarts: u32,
    nodes: Vec<RingNode>,
    folder: PathBuf,
    chordite: PathBuf,
    options: RingOptions,
}

/// One node of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RingNode {
    /// Its process.
    pub pid: u32,
    /// Its DHT API.
    pub api: String,
    /// Its name in the ring: where nodes and native clients find it.
    pub p2p: String,
    /// Its admin address.
    pub admin: SocketAddr,
}

impl Ring {
    /// Starts a ring with its files in `folder`, and waits until it is ready.
    ///
    /// # Errors
    /// When a node does not start, or the ring is not ready in time.
    pub fn start(
        binaries: &Binaries,
        folder: &Path,
        options: &RingOptions,
    ) -> Result<Self, RingError> {
        std::fs::create_dir_all(folder)?;
        let ring_folder = folder.join("ring");
        let mut dev = Program::new(&binaries.chordite)
            .args(["dev", "--nodes", &options.nodes.to_string()])
            .args(["--api-port", "0", "--p2p-port", "0", "--admin-port", "0"])
            .arg("--dir")
            .arg(&ring_folder)
            .on_core(options.core);
        if options.shards > 0 {
            dev = dev.args(["--shards".to_owned(), options.shards.to_string()]);
        }
        for (key, value) in &options.settings {
            dev = dev.args(["--set".to_owned(), format!("{key}={value}")]);
        }
        let mut dev = dev.spawn(folder, "dev")?;
        let said = dev.wait_for("`ready`", START_WITHIN, |said| {
            let ready = said.lines().any(|line| line.trim() == "ready");
            ready.then(|| said.to_owned())
        })?;
        let nodes: Vec<RingNode> = said.lines().filter_map(node_line).collect();
        if nodes.len() != usize::from(options.nodes) {
            return Err(RingError::Lines {
                expected: options.nodes,
                got: nodes.len(),
            });
        }
        Ok(Self {
            host: dev,
            restarts: 0,
            nodes,
            folder: ring_folder,
            chordite: binaries.chordite.clone(),
            options: options.clone(),
        })
    }

    /// Its nodes, in the order of their numbers.
    #[must_use]
    pub fn nodes(&self) -> &[RingNode] {
        &self.nodes
    }

    /// What each node was told to be, beside what it is by itself.
    #[must_use]
    pub fn settings(&self) -> &[(String, String)] {
        &self.options.settings
    }

    /// Process ids of its nodes.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.pid).collect()
    }

    /// Their admin addresses.
    #[must_use]
    pub fn admins(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.admin).collect()
    }

    /// Folder of the identity that native clients use.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.folder.join("client")
    }

    /// The node that owns the least of the circle, and its share.
    ///
    /// # Errors
    /// When the ring does not tell.
    pub fn smallest(&self) -> Result<(&RingNode, f64), RingError> {
        let first = self.nodes.first().ok_or(RingError::Lines {
            expected: 1,
            got: 0,
        })?;
        let shares = admin::shares(&admin::fetch(first.admin, "/ring")?)?;
        let share_of = |node: &&RingNode| {
            let share = shares.iter().find(|(name, _)| *name == node.p2p);
            share.map_or(1.0, |(_, share)| *share)
        };
        let smallest = self.nodes.iter().map(|node| (node, share_of(&node)));
        Ok(smallest
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .unwrap_or((first, 1.0)))
    }

    /// Sum of a metric over all nodes; `None` when no node has it.
    ///
    /// # Errors
    /// When a node does not answer.
    pub fn metric(&self, name: &str) -> Result<Option<f64>, RingError> {
        let mut sum = None;
        for node in &self.nodes {
            let text = admin::fetch(node.admin, "/metrics")?;
            if let Some(value) = admin::metric(&text, name) {
                sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
        Ok(sum)
    }

    /// Has `chordite ring --check` look at the invariant of the live ring; returns what it says.
    ///
    /// # Errors
    /// When the ring is not clean.
    pub fn check(&self) -> Result<String, RingError> {
        let admin = self.nodes.first().map(|node| node.admin.to_string());
        let check = Program::new(&self.chordite)
            .args(["ring", "--check", "-a"])
            .args(admin);
        Ok(check.capture()?)
    }

    /// What it is, in one line: nodes, settings, and where it keeps its data.
    ///
    /// # Errors
    /// When a node does not answer.
    pub fn about(&self) -> Result<String, RingError> {
        let RingOptions {
            nodes, settings, ..
        } = &self.options;
        let mut parts = vec![match nodes {
            1 => "one node".to_owned(),
            nodes => format!("{nodes} nodes"),
        }];
        if self.options.shards > 0 {
            parts.push(format!("shards = {}", self.options.shards));
        }
        let is_kept = LogCounters::read(&self.admins())?.is_some();
        if is_kept && settings.iter().all(|(key, _)| key != "fsync") {
            parts.push("fsync = always".to_owned());
        }
        parts.extend(
            settings
                .iter()
                .map(|(key, value)| format!("{key} = {value}")),
        );
        parts.push(match is_kept {
            true => format!("data on {}", machine::file_system(&self.folder)),
            false => "no log, in memory only".to_owned(),
        });
        Ok(parts.join(", "))
    }

    /// Kills its only node and starts it again; returns the time from that start to readiness.
    ///
    /// # Errors
    /// When there are several nodes, or the node does not come back.
    pub fn restart(&mut self) -> Result<Duration, RingError> {
        let [node] = &mut self.nodes[..] else {
            return Err(RingError::Lines {
                expected: 1,
                got: self.nodes.len(),
            });
        };
        // With its only node `chordite dev` ends too, and says that it was not asked to.
        process::kill_told(node.pid)?;
        self.host.end(STOP_WITHIN)?;
        node.wait_gone()?;
        self.restarts += 1;
        let serve = Program::new(&self.chordite)
            .args(["serve", "--config"])
            .arg(self.folder.join("node-0/node.ini"))
            .on_core(self.options.core);
        let started = Instant::now();
        self.host = serve.spawn(&self.folder, &format!("serve-{}", self.restarts))?;
        node.pid = self.host.pid();
        let admin = node.admin;
        self.host.wait_for("readiness", START_WITHIN, |_| {
            admin::fetch(admin, "/readyz").ok()
        })?;
        Ok(started.elapsed())
    }

    /// Stops it gracefully.
    ///
    /// # Errors
    /// When it does not stop in time, or a node does not end with success.
    pub fn stop(self) -> Result<(), RingError> {
        Ok(self.host.stop(STOP_WITHIN)?)
    }
}

impl RingNode {
    /// Waits until nobody listens on its addresses: the kernel takes an io_uring apart, and with it
    /// sockets it is accepting on, a moment after the process has ended.
    fn wait_gone(&self) -> Result<(), RingError> {
        let is_free = |address: &str| TcpListener::bind(address).is_ok();
        let admin = self.admin.to_string();
        let gone = deadline::wait_until("free ports", STOP_WITHIN, || {
            let all = [&self.api, &self.p2p, &admin];
            all.iter().all(|address| is_free(address)).then_some(())
        });
        Ok(gone.map_err(io::Error::other)?)
    }
}

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The process failed.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It did not tell of all its nodes.
    #[error("chordite dev told of {got} nodes, expected {expected}")]
    Lines {
        /// Nodes asked for.
        expected: u16,
        /// Nodes told of.
        got: usize,
    },
    /// A node's admin address, or the folder.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An answer that cannot be read.
    #[error("/ring: {0}")]
    Json(#[from] serde_json::Error),
}

/// `node I pid P api A p2p B admin C`.
fn node_line(line: &str) -> Option<RingNode> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [
        "node",
        _,
        "pid",
        pid,
        "api",
        api,
        "p2p",
        p2p,
        "admin",
        admin,
    ] = words[..]
    else {
        return None;
    };
    Some(RingNode {
        pid: pid.parse().ok()?,
        api: api.to_owned(),
        p2p: p2p.to_owned(),
        admin: admin.parse().ok()?,
    })
}

const START_WITHIN: Duration = Duration::from_secs(90);
const STOP_WITHIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_nodes_are_told_from_others() {
        let line = "node 3 pid 12 api 127.0.0.1:1 p2p localhost:2 admin 127.0.0.1:3";
        let node = node_line(line).unwrap();
        assert_eq!((node.pid, node.p2p.as_str()), (12, "localhost:2"));
        assert_eq!(node.admin.port(), 3);
        for other in ["ready", "node 3 pid x", "", "warning: node 3"] {
            assert_eq!(node_line(other), None, "{other}");
        }
    }
}
