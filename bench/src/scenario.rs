//! The schema of a scenario file (`bench/scenarios/*.toml`): subjects × loads × rounds, and goals.
//!
//! Parsing checks that every name stands for something; what a name means when it is carried out is
//! `run`'s and `turn`'s business. All fields, with their defaults where they have one:
//!
//! ```toml
//! name = "floor"                 # also names the folder of the result
//! about = "One sentence."
//! rounds = 5                     # every subject takes its turn at every load in each round
//! seconds = 3.0                  # length of one turn
//! server_core = 0                # all server processes on this core; left out: the kernel chooses
//! generator_core = 1             # the same for the load generator
//!
//! [[subject]]
//! name = "node"
//! kind = "ring"                  # `ring` (chordite dev), `echo` (the floor, bench echo), `disk`
//!                                # (its own limit, bench disk), `redis` and `memcached` (left
//!                                # out when they are not installed)
//! settings = { fsync = "never" } # `--set key=value` of a ring, `--key value` of those two
//! nodes = 1                      # ring only, as are the following
//! shards = 1                     # 0: the node's own default
//! fresh = false                  # true: a new ring for every turn instead of one for all rounds
//! remote_share_min = 0.0         # restarts until some node owns at most 1 − this of the circle;
//!                                # that node is the gateway of loads with `through = "gateway"`
//!
//! [[load]]
//! name = "get-d1"
//! kind = "requests"              # `requests`, `fill` (memory of `keys` records), `idle`,
//!                                # `restart` (kill -9 and recovery), `disk` (bench disk)
//! subjects = ["node"]            # left out: all of them
//! generator = "loadgen"          # or `minimal` (bench minimal-client; echo subjects only)
//! protocol = "dht"               # or `native`; an echo subject is always asked to echo
//! through = "all"                # which nodes are asked: `all`, `first`, `gateway`
//! connections = 50               # per run, over all nodes asked
//! depth = 1                      # requests under way on a connection
//! threads = 1                    # of the generator
//! keys = 10000
//! value_bytes = 64               # also the size of an echoed frame
//! puts = 0.0                     # share of writes
//! confirm = "turn"               # DHT API: a read confirms the writes sent at once; or `each`
//! lookups = 0.0                  # share of owner lookups (native)
//! lookup_mode = "cached"         # `cached`, `recursive`, `iterative`, or several with commas
//! forecast = false               # true: the ring settles first, and the hops of its cold lookups
//!                                # are held against those the simulator predicts for this ring
//! rate = 1000.0                  # open loop at this rate; left out: closed loop
//! half_of = "get-d16"            # open loop at half the rate this load reached in this round
//! distribution = "uniform"       # or `zipf`, `hot-cold`
//! warmup = 0.0                   # seconds of the same load before the turn
//! watch = false                  # true: the size of the log is looked at during the turn
//! batch = 16                     # disk: records of a batch, or
//! batch_of = "node/put"          # as many as the node had there in this round, on average;
//! in_flight = 4                  # a record has 80 + value_bytes, as in the log
//!
//! [[goal]]
//! name = "GET over the floor, depth 1"
//! measure = "cpu_per_request"    # see `measure.rs`
//! of = "node/get-d1"             # subject/load
//! over = "echo/get-d1"           # left out: the figure itself is judged, not a ratio
//! at_most = 1.15                 # or `at_least`
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::measure::Measure;
use crate::verdict::Bound;

mod load;

pub use load::{Confirm, Distribution, GeneratorKind, Load, LoadKind, Protocol, Through};

/// A scenario: what takes turns at what.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name; also of the result's folder.
    pub name: String,
    /// What it is for, one sentence.
    pub about: String,
    /// Turns of every subject at every load.
    #[serde(default = "five")]
    pub rounds: u32,
    /// Seconds of one turn.
    #[serde(default = "three_seconds")]
    pub seconds: f64,
    /// Core of the server processes.
    pub server_core: Option<usize>,
    /// Core of the load generator.
    pub generator_core: Option<usize>,
    /// Who takes turns.
    pub subject: Vec<Subject>,
    /// At what.
    pub load: Vec<Load>,
    /// What is to come of it.
    #[serde(default)]
    pub goal: Vec<Goal>,
}

/// A server, or a ring of them.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name within the scenario.
    pub name: String,
    /// What it is.
    pub kind: SubjectKind,
    /// Nodes of a ring.
    #[serde(default = "one")]
    pub nodes: u16,
    /// Shards of each node; 0 leaves it to the node.
    #[serde(default = "one_shard")]
    pub shards: u8,
    /// Configuration of each node, or of a server of another project.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// A new ring for every turn.
    #[serde(default)]
    pub fresh: bool,
    /// Share of the circle that the gateway must not own itself.
    #[serde(default)]
    pub remote_share_min: f64,
}

/// Kinds of subjects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    /// The bare echo server: the floor.
    Echo,
    /// A ring of nodes.
    Ring,
    /// The disk alone: its limit.
    Disk,
    /// A redis-server out of `PATH`.
    Redis,
    /// A memcached out of `PATH`.
    Memcached,
}

/// A bound on a figure, or on the ratio of two.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// What is wanted, in words.
    pub name: String,
    /// Of which measure.
    pub measure: Measure,
    /// Measured where.
    pub of: Cell,
    /// Divided by the same measure there.
    pub over: Option<Cell>,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

impl Goal {
    /// The bound; `None` in a goal that only asks for the figure to be shown.
    #[must_use]
    pub fn bound(&self) -> Option<Bound> {
        let at_most = self.at_most.map(Bound::AtMost);
        at_most.or(self.at_least.map(Bound::AtLeast))
    }
}

/// One subject at one load: `subject/load`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cell {
    /// The subject's name.
    pub subject: String,
    /// The load's name.
    pub load: String,
}

impl TryFrom<String> for Cell {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (subject, load) = text
            .split_once('/')
            .ok_or_else(|| format!("`{text}` is not `subject/load`"))?;
        Ok(Self {
            subject: subject.to_owned(),
            load: load.to_owned(),
        })
    }
}

impl From<Cell> for String {
    fn from(cell: Cell) -> Self {
        format!("{}/{}", cell.subject, cell.load)
    }
}

impl Scenario {
    /// Parses and checks the text of a scenario file.
    ///
    /// # Errors
    /// With the line of what TOML or the schema does not allow, or the name that stands for
    /// nothing.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// The subjects that take turns at `load`.
    pub fn subjects_of<'a>(&'a self, load: &'a Load) -> impl Iterator<Item = &'a Subject> {
        let all = load.subjects.is_empty();
        let named = move |subject: &&Subject| all || load.subjects.contains(&subject.name);
        self.subject.iter().filter(named)
    }

    fn check(&self) -> Result<(), ScenarioError> {
        let subjects = distinct("subject", self.subject.iter().map(|subject| &subject.name))?;
        let loads = distinct("load", self.load.iter().map(|load| &load.name))?;
        for load in &self.load {
            for subject in &load.subjects {
                known("subject", subject, &subjects)?;
            }
            if let Some(other) = &load.half_of {
                known("load", other, &loads)?;
            }
            if let Some(cell) = &load.batch_of {
                known("subject", &cell.subject, &subjects)?;
                known("load", &cell.load, &loads)?;
            }
            self.check_kinds(load)?;
        }
        for goal in &self.goal {
            for cell in std::iter::once(&goal.of).chain(&goal.over) {
                known("subject", &cell.subject, &subjects)?;
                known("load", &cell.load, &loads)?;
            }
            if goal.at_most.is_some() && goal.at_least.is_some() {
                return Err(ScenarioError::TwoBounds(goal.name.clone()));
            }
        }
        Ok(())
    }

    /// A disk is written to and asked nothing; only a node that is alone is restarted.
    fn check_kinds(&self, load: &Load) -> Result<(), ScenarioError> {
        for subject in self.subjects_of(load) {
            let fits = match (load.kind, subject.kind) {
                (LoadKind::Disk, kind) => {
                    kind == SubjectKind::Disk && load.batch.is_some() != load.batch_of.is_some()
                }
                (LoadKind::Restart, kind) => kind == SubjectKind::Ring && subject.nodes == 1,
                (_, kind) => kind != SubjectKind::Disk,
            };
            if !fits {
                return Err(ScenarioError::Misfit {
                    subject: subject.name.clone(),
                    load: load.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// Why a scenario file cannot be used; the operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Not TOML, or not the schema.
    #[error(transparent)]
    Schema(#[from] toml::de::Error),
    /// A name that nothing has.
    #[error("there is no {kind} called `{name}`")]
    Unknown {
        /// `subject` or `load`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A name that two have.
    #[error("two {kind}s are called `{name}`")]
    Twice {
        /// `subject` or `load`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A load that its subject cannot take.
    #[error("`{subject}` cannot take a turn at `{load}`")]
    Misfit {
        /// The subject.
        subject: String,
        /// The load.
        load: String,
    },
    /// A goal that bounds from both sides.
    #[error("goal `{0}` has both at_most and at_least")]
    TwoBounds(String),
}

fn distinct<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Result<BTreeSet<&'a String>, ScenarioError> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let name = name.clone();
            return Err(ScenarioError::Twice { kind, name });
        }
    }
    Ok(seen)
}

fn known(
    kind: &'static str,
    name: &String,
    among: &BTreeSet<&String>,
) -> Result<(), ScenarioError> {
    if among.contains(name) {
        return Ok(());
    }
    let name = name.clone();
    Err(ScenarioError::Unknown { kind, name })
}

fn five() -> u32 {
    5
}

fn three_seconds() -> f64 {
    3.0
}

fn one() -> u16 {
    1
}

fn one_shard() -> u8 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        name = "x"
        about = "y"
        [[subject]]
        name = "node"
        kind = "ring"
        [[load]]
        name = "get"
    "#;

    #[test]
    fn left_out_fields_have_defaults() {
        let scenario = Scenario::parse(SMALL).unwrap();
        assert_eq!((scenario.rounds, scenario.load[0].connections), (5, 50));
        assert_eq!(scenario.subjects_of(&scenario.load[0]).count(), 1);
    }

    #[test]
    fn names_must_stand_for_something() {
        let goal = "[[goal]]\nname = \"g\"\nmeasure = \"p50\"\nof = \"node/put\"\n";
        let error = Scenario::parse(&format!("{SMALL}\n{goal}")).unwrap_err();
        assert_eq!(error.to_string(), "there is no load called `put`");
        let twice = format!("{SMALL}\n[[load]]\nname = \"get\"\n");
        assert!(matches!(
            Scenario::parse(&twice),
            Err(ScenarioError::Twice { .. })
        ));
    }

    #[test]
    fn a_disk_is_written_to_in_batches_of_one_size_and_asked_nothing() {
        let disk = |load: &str| {
            let subject = "[[subject]]\nname = \"disk\"\nkind = \"disk\"";
            let head = "[[load]]\nname = \"raw\"\nsubjects = [\"disk\"]";
            Scenario::parse(&format!("{}\n{subject}\n{head}\n{load}", node_only()))
        };
        assert!(disk("kind = \"disk\"\nbatch = 16").is_ok());
        assert!(disk("kind = \"disk\"\nbatch_of = \"node/get\"").is_ok());
        for wrong in [
            "",
            "kind = \"disk\"",
            "kind = \"disk\"\nbatch = 1\nbatch_of = \"node/get\"",
            "kind = \"restart\"",
        ] {
            let error = disk(wrong).unwrap_err().to_string();
            assert_eq!(error, "`disk` cannot take a turn at `raw`", "{wrong}");
        }
    }

    fn node_only() -> String {
        SMALL.replace("name = \"get\"", "name = \"get\"\nsubjects = [\"node\"]")
    }

    #[test]
    fn wrong_keys_are_told_with_their_line() {
        let error = Scenario::parse(&format!("{SMALL}\nconections = 5\n")).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("conections") && said.contains("line"),
            "{said}"
        );
    }

    #[test]
    fn every_stored_scenario_parses() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let scenario = Scenario::parse(&std::fs::read_to_string(&path).unwrap());
            let scenario = scenario.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(path.file_stem().unwrap().to_str(), Some(&*scenario.name));
            assert!(scenario.rounds >= 1 && !scenario.load.is_empty());
            count += 1;
        }
        assert!(count >= 8, "scenarios are stored beside the crate");
    }
}
