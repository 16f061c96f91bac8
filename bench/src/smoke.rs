//! `bench smoke`: one look at everything, in under a minute.
//!
//! Five nodes over mutual TLS, puts and gets through every node with every value checked, hop
//! counts over the native API, the ring's invariant, a graceful stop. What goes wrong anywhere
//! fails it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::binaries::{self, Binaries};
use crate::calendar::Moment;
use crate::generator::{Language, Outcome, Run};
use crate::machine::{Machine, Revision};
use crate::measure;
use crate::report;
use crate::result::{self, ResultFile, Rounds, SCHEMA};
use crate::ring::{Ring, RingOptions};
use crate::run::{kept, work_folder};
use crate::scenario::{Cell, Confirm, Distribution};
use crate::steps::Steps;
use crate::usage::Cpu;

/// Runs it; `out` is the parent of the folder it writes, which is returned.
///
/// # Errors
/// When anything fails: a start, a value, an answer, the invariant, the stop.
pub fn run(out: Option<&Path>, command: String) -> Result<PathBuf> {
    println!("building chordite and loadgen if they are stale");
    let binaries = Binaries::ready()?;
    let (revision, started) = (Revision::of(binaries::source_root()), Moment::now());
    let parent = match out {
        Some(parent) => parent.to_owned(),
        None => target_folder(&binaries).join("bench"),
    };
    let folder = result::new_folder(&parent, &started.date(), "smoke", &revision)?;
    let work = work_folder(&binaries, "smoke-")?;
    let rounds = match everything(&binaries, work.path(), &folder) {
        Ok(rounds) => rounds,
        Err(error) => return Err(error.context(kept(work))),
    };
    let result = ResultFile {
        schema: SCHEMA,
        name: "smoke".to_owned(),
        about: "Five nodes, puts and gets through every one of them, hop counts.".to_owned(),
        command,
        started: started.stamp(),
        revision,
        machine: Machine::here(),
        measurements: rounds.measurements(),
        goals: Vec::new(),
        notes: Vec::new(),
        subjects: rounds.subjects().to_vec(),
        skipped: Vec::new(),
    };
    result.write(&folder)?;
    fs::write(folder.join("README.md"), report::page(&result))?;
    Ok(folder)
}

fn everything(binaries: &Binaries, work: &Path, folder: &Path) -> Result<Rounds> {
    let steps = Steps::new(5);
    let mut rounds = Rounds::default();
    steps.next(format!("start a ring of {NODES} nodes"));
    let options = RingOptions {
        nodes: NODES,
        shards: 1,
        ..RingOptions::default()
    };
    let ring = Ring::start(binaries, work, &options)?;
    rounds.describe(&format!("ring: {}", ring.about()?));

    for (load, what) in [
        (
            Load::Dht,
            "DHT API: puts and gets through every node, every value checked",
        ),
        (
            Load::Native,
            "native API over mutual TLS: puts, gets, lookups and their hops",
        ),
    ] {
        steps.next(what);
        let before = Cpu::of_all(&ring.pids())?;
        let outcome = run_load(binaries, &ring, load, folder).context(what)?;
        let cpu = Cpu::of_all(&ring.pids())?.since(&before);
        steps.print(&format!(
            "\n{what}\n$ {}\n{}",
            outcome.command, outcome.table
        ));
        outcome.faultless().context(what)?;
        let figures = measure::of_requests(&outcome.summary, cpu, 0.0);
        let cell = Cell::try_from(format!("ring/{}", load.name()));
        rounds.add(&cell.map_err(anyhow::Error::msg)?, &figures);
    }

    steps.next("check the invariant of the ring");
    let verdict = ring.check().context("the ring's invariant")?;
    steps.print(&format!("\nring --check\n{verdict}"));
    steps.next("stop all nodes");
    ring.stop().context("graceful stop")?;
    Ok(rounds)
}

#[derive(Clone, Copy)]
enum Load {
    Dht,
    Native,
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Self::Dht => "dht",
            Self::Native => "native",
        }
    }
}

fn run_load(binaries: &Binaries, ring: &Ring, load: Load, folder: &Path) -> Result<Outcome> {
    let nodes = ring.nodes().iter();
    let (targets, language, lookups) = match load {
        Load::Dht => (
            nodes.map(|node| node.api.clone()).collect(),
            Language::Dht,
            None,
        ),
        Load::Native => (
            nodes.map(|node| node.p2p.clone()).collect(),
            Language::Native(ring.identity()),
            Some((0.2, "recursive".to_owned())),
        ),
    };
    let run = Run {
        targets,
        language,
        connections: u32::from(NODES) * 2,
        depth: 4,
        threads: 1,
        keys: 2_000,
        distribution: Distribution::Uniform,
        seed: 1,
        value_bytes: 64,
        puts: 0.2,
        confirm: Confirm::Each,
        lookups,
        rate: None,
        preload: true,
        length: LOAD_LENGTH,
        warmup: Duration::from_millis(500),
        core: None,
    };
    Ok(run.carry_out(&binaries.loadgen, &folder.join(load.name()))?)
}

/// `target/` of the build that this executable comes from.
fn target_folder(binaries: &Binaries) -> PathBuf {
    let folder = binaries.bench.ancestors().nth(2);
    folder.unwrap_or(Path::new("target")).to_owned()
}

const NODES: u16 = 5;
const LOAD_LENGTH: Duration = Duration::from_secs(5);
