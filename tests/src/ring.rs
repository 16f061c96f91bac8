//! A ring of real nodes, started by `chordite dev`: who lives, dies, pauses and comes back.
//!
//! What the ring should look like is in [`crate::circle`]; this file owns the processes.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::peer::NodeName;
use rustix::process::Signal;

use crate::circle::{Circle, Node};
use crate::deadline::{self, secs};
use crate::dht::Client;
use crate::native::{Native, Own};
use crate::permit::Permit;
use crate::process::{self, Finished, Process};
use crate::{binaries, ports, workdir};

/// A ring; its nodes are killed when it is dropped.
#[derive(Debug)]
pub struct Ring {
    /// `chordite dev`.
    pub dev: Process,
    /// Its nodes and how they should stand.
    pub circle: Circle,
    /// The folder given to `dev`.
    pub dir: PathBuf,
    restarted: Vec<Process>,
    _permit: Option<Permit>,
}

impl Ring {
    /// Starts `nodes` nodes at once and waits until `dev` says `ready`.
    pub fn start(nodes: usize) -> Self {
        Self::with(nodes, &[])
    }

    /// Like `start`, with settings `key=value` for every node.
    pub fn with(nodes: usize, settings: &[&str]) -> Self {
        Self::under(Some(Permit::take(nodes)), nodes, settings)
    }

    /// Like `with`, with nothing else running beside it: for tests that measure time.
    pub fn alone(nodes: usize, settings: &[&str]) -> Self {
        Self::under(Some(Permit::whole_machine()), nodes, settings)
    }

    /// Like `with`, without a permit: for a ring that several tests share until the program ends.
    pub fn shared(nodes: usize, settings: &[&str]) -> Self {
        Self::under(None, nodes, settings)
    }

    fn under(permit: Option<Permit>, nodes: usize, settings: &[&str]) -> Self {
        let dir = workdir::create(&format!("ring-of-{nodes}"));
        let count = u16::try_from(nodes).expect("a small ring");
        let first = ports::reserve(3 * count);
        let mut args: Vec<String> = vec!["dev".into(), "--nodes".into(), nodes.to_string()];
        args.extend(["--dir".into(), dir.display().to_string()]);
        if !settings
            .iter()
            .any(|setting| setting.starts_with("shards="))
        {
            args.extend(["--shards".into(), "1".into()]);
        }
        for (flag, port) in ["--api-port", "--p2p-port", "--admin-port"].iter().zip(0..) {
            args.extend([(*flag).to_owned(), (first + port * count).to_string()]);
        }
        for setting in settings {
            args.extend(["--set".to_owned(), (*setting).to_owned()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let dev = Process::start(&binaries::chordite(), &args);
        let mut ring = Self {
            dev,
            circle: Circle::default(),
            dir,
            restarted: Vec::new(),
            _permit: permit,
        };
        ring.wait_ready(nodes);
        ring
    }

    fn wait_ready(&mut self, nodes: usize) {
        for index in 0..nodes {
            self.dev
                .watch_log(self.dir.join(format!("node-{index}/log.txt")));
        }
        let dev = &mut self.dev;
        deadline::until("dev says ready", READY_LIMIT, || {
            assert!(dev.status().is_none(), "dev ended: {}", dev.stderr());
            dev.stdout()
                .lines()
                .any(|line| line == "ready")
                .then_some(())
        });
        let lines = dev.stdout();
        let parsed = lines.lines().filter_map(|line| parse_node(line, &self.dir));
        self.circle.nodes = parsed.collect();
        self.circle.ring = ring_name(&self.dir);
        assert_eq!(self.nodes.len(), nodes, "a line for each node:\n{lines}");
        let mut numbered = self.nodes.iter().enumerate();
        assert!(numbered.all(|(at, node)| node.index == at), "{lines}");
    }

    /// A DHT API client of node `index`.
    pub fn client(&self, index: usize) -> Client {
        Client::connect(self.nodes[index].api)
    }

    /// A native link of a client to node `index`.
    pub fn native(&self, index: usize) -> Native {
        let own = Own::of_client(&self.dir.join("client"), &self.ring);
        let name = &self.nodes[index].p2p;
        let addr = name.as_str().parse().expect("an address");
        Native::dial(addr, &own, Some(name)).expect("a client is welcome")
    }

    /// Sends `signal` to node `index`.
    pub fn signal(&self, index: usize, signal: Signal) {
        process::signal(self.nodes[index].pid, signal);
    }

    /// kill −9 of node `index`, and waits until it is gone.
    pub fn kill(&self, index: usize) {
        self.signal(index, Signal::KILL);
        let pid = self.nodes[index].pid;
        deadline::until("the killed node is gone", secs(5), || {
            (!process::runs(pid)).then_some(())
        });
    }

    /// Starts a killed node again with its own configuration, as an operator would.
    pub fn restart(&mut self, index: usize) {
        let ini = self.nodes[index].dir.join("node.ini").display().to_string();
        let node = Process::start(&binaries::chordite(), &["serve", "-c", &ini]);
        self.circle.nodes[index].pid = node.pid();
        self.restarted.push(node);
    }

    /// `chordite ring --check` asked of node `index`.
    pub fn check(&self, index: usize) -> Finished {
        let admin = self.nodes[index].admin.to_string();
        Process::finish(
            &binaries::chordite(),
            &["ring", "--check", "-a", &admin],
            secs(20),
        )
    }

    /// Waits until the nodes `live`, and no others, form one ideal ring: each has the true
    /// predecessor and the true successors in its own eyes. Then `ring --check` has to agree.
    pub fn wait_ideal(&self, live: &[usize], limit: Duration) {
        self.circle.wait_ideal(live, limit);
        let check = self.check(live[0]);
        assert_eq!(
            check.code,
            Some(0),
            "ring --check: {}{}",
            check.stdout,
            check.stderr
        );
    }

    /// What node `index` has logged.
    #[must_use]
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.nodes[index].dir.join("log.txt")).unwrap_or_default()
    }
}

impl Deref for Ring {
    type Target = Circle;

    fn deref(&self) -> &Circle {
        &self.circle
    }
}

/// The ring's name, from the configuration that `dev` wrote.
fn ring_name(dir: &Path) -> String {
    let ini = fs::read_to_string(dir.join("node-0/node.ini")).expect("dev wrote it");
    let value = ini.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "ring").then(|| value.trim().to_owned())
    });
    value.unwrap_or_else(|| "chordite".to_owned())
}

fn parse_node(line: &str, dir: &Path) -> Option<Node> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [
        "node",
        index,
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
    let index = index.parse().ok()?;
    Some(Node {
        index,
        pid: pid.parse().ok()?,
        api: api.parse().ok()?,
        p2p: NodeName::parse(p2p).ok()?,
        admin: admin.parse().ok()?,
        dir: dir.join(format!("node-{index}")),
    })
}

const READY_LIMIT: Duration = Duration::from_secs(60);
