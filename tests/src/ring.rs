//! A ring of real nodes, started by `chordite dev`, and the questions tests ask of it.
//!
//! What a ring should look like is computed here from the nodes' names alone, so that a ring is
//! compared with the truth and not with its own opinion.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::id::Id;
use proto::peer::{NodeName, Peer, RingParams};
use rustix::process::Signal;
use serde_json::Value;

use crate::deadline::{self, secs};
use crate::dht::Client;
use crate::permit::Permit;
use crate::process::{self, Finished, Process};
use crate::{binaries, http, ports, workdir};

/// One node of a ring.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its number, from 0.
    pub index: usize,
    /// Its process.
    pub pid: u32,
    /// Where it serves the DHT API.
    pub api: SocketAddr,
    /// What it advertises to its peers.
    pub p2p: NodeName,
    /// Where it serves the admin API.
    pub admin: SocketAddr,
    /// Its folder: `node.ini`, certificate, log.
    pub dir: PathBuf,
}

/// A ring; its nodes are killed when it is dropped.
#[derive(Debug)]
pub struct Ring {
    /// `chordite dev`.
    pub dev: Process,
    /// The nodes by number.
    pub nodes: Vec<Node>,
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
            nodes: Vec::new(),
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
        self.nodes = dev
            .stdout()
            .lines()
            .filter_map(|line| parse_node(line, &self.dir))
            .collect();
        assert_eq!(
            self.nodes.len(),
            nodes,
            "a line for each node:\n{}",
            dev.stdout()
        );
        assert!(
            self.nodes
                .iter()
                .enumerate()
                .all(|(at, node)| node.index == at)
        );
    }

    /// A DHT API client of node `index`.
    pub fn client(&self, index: usize) -> Client {
        Client::connect(self.nodes[index].api)
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
        self.nodes[index].pid = node.pid();
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
        let mut why = String::new();
        let ideal = deadline::within(limit, || match self.flaw(live) {
            None => Some(()),
            Some(flaw) => {
                why = flaw;
                None
            }
        });
        assert!(ideal.is_some(), "no ideal ring within {limit:?}: {why}");
        let check = self.check(live[0]);
        assert_eq!(
            check.code,
            Some(0),
            "ring --check: {}{}",
            check.stdout,
            check.stderr
        );
    }

    /// What keeps the nodes `live` from being one ideal ring.
    pub fn flaw(&self, live: &[usize]) -> Option<String> {
        let circle = self.circle(live);
        circle.iter().enumerate().find_map(|(rank, (_, index))| {
            let flaw = self.member_flaw(&circle, rank, *index);
            flaw.map(|flaw| format!("node {index}: {flaw}"))
        })
    }

    fn member_flaw(&self, circle: &[(Id, usize)], rank: usize, index: usize) -> Option<String> {
        let reply = match http::get(self.nodes[index].admin, "/status", secs(5)) {
            Ok(reply) => reply,
            Err(error) => return Some(format!("/status: {error}")),
        };
        let status = reply.json();
        let Some(member) = find_members(&status).and_then(|members| members.first()) else {
            return Some(format!("no members in {}", reply.body));
        };
        let name = |at: usize| self.nodes[circle[at % circle.len()].1].p2p.to_string();
        let others = circle.len() - 1;
        let want: Vec<String> = (1..=others.min(SUCCESSORS))
            .map(|step| name(rank + step))
            .collect();
        let got: Vec<&str> = member["successors"]
            .as_array()
            .map(|list| {
                list.iter()
                    .filter_map(|peer| peer["node"].as_str())
                    .collect()
            })
            .unwrap_or_default();
        if got != want {
            return Some(format!("successors {got:?} instead of {want:?}"));
        }
        let predecessor = member["predecessor"]["node"].as_str();
        let want = (others > 0).then(|| name(rank + others));
        // A ring of one may name itself or nobody.
        if others > 0 && predecessor != want.as_deref() {
            return Some(format!("predecessor {predecessor:?} instead of {want:?}"));
        }
        None
    }

    /// The nodes `live` in the order of their ids.
    #[must_use]
    pub fn circle(&self, live: &[usize]) -> Vec<(Id, usize)> {
        let ids = live.iter().map(|index| (self.id(*index), *index));
        ids.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// The id of node `index`, computed from its name.
    #[must_use]
    pub fn id(&self, index: usize) -> Id {
        id_of(&self.ring_name(), &self.nodes[index].p2p)
    }

    /// The ring's name, from the configuration that `dev` wrote.
    #[must_use]
    pub fn ring_name(&self) -> String {
        let ini = fs::read_to_string(self.nodes[0].dir.join("node.ini")).expect("dev wrote it");
        let value = ini.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "ring").then(|| value.trim().to_owned())
        });
        value.unwrap_or_else(|| "chordite".to_owned())
    }

    /// The node of `live` that owns `position`: the first at or after it.
    #[must_use]
    pub fn owner(&self, live: &[usize], position: &Id) -> usize {
        let circle = self.circle(live);
        let found = circle.iter().find(|(id, _)| id >= position);
        found.unwrap_or(&circle[0]).1
    }

    /// Asks node `via` who owns the 32-byte key `key`: the owner's name, or why there is none.
    pub fn lookup(&self, via: usize, key: &[u8; 32], limit: Duration) -> Result<String, String> {
        let path = format!("/lookup/{}?hex=1", proto::key::Key::from_bytes(*key));
        let reply = http::get(self.nodes[via].admin, &path, limit).map_err(|e| e.to_string())?;
        let owner = reply.json()["owner"]["node"].as_str().map(str::to_owned);
        match owner {
            Some(owner) if reply.status == 200 => Ok(owner),
            _ => Err(format!("{}: {}", reply.status, reply.body)),
        }
    }

    /// All indices.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    /// All indices but `gone`.
    #[must_use]
    pub fn all_but(&self, gone: &[usize]) -> Vec<usize> {
        self.all()
            .into_iter()
            .filter(|index| !gone.contains(index))
            .collect()
    }

    /// What node `index` has logged.
    #[must_use]
    pub fn log(&self, index: usize) -> String {
        fs::read_to_string(self.nodes[index].dir.join("log.txt")).unwrap_or_default()
    }
}

/// The id of virtual node 0 of `name` in the ring called `ring`.
#[must_use]
pub fn id_of(ring: &str, name: &NodeName) -> Id {
    Peer::derive(&params(ring), name, 0)
        .expect("index 0 always exists")
        .id()
}

/// The parameters of a ring called `ring` with DESIGN.md's defaults.
#[must_use]
pub fn params(ring: &str) -> RingParams {
    RingParams {
        ring: ring.into(),
        successors: 16,
        replication: 3,
        virtual_nodes_max: 64,
        value_max: 65_495,
    }
}

/// The first array called `members` in `status`, at the top or one level below.
#[must_use]
pub fn find_members(status: &Value) -> Option<&Vec<Value>> {
    let nested = || {
        status
            .as_object()?
            .values()
            .find_map(|part| part["members"].as_array())
    };
    status["members"].as_array().or_else(nested)
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

const SUCCESSORS: usize = 16;
const READY_LIMIT: Duration = Duration::from_secs(60);
