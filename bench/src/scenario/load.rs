//! What is asked of a subject in one turn: kind, pace, data, and who asks.
//!
//! Fields and their defaults only; the whole schema with an example is on the page of `scenario`.

use serde::Deserialize;

use super::Cell;

/// What is asked of a subject in one turn.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Its name within the scenario.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: LoadKind,
    /// Which subjects take turns at it; none named: all.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Who asks.
    #[serde(default)]
    pub generator: GeneratorKind,
    /// In which protocol a ring is asked.
    #[serde(default)]
    pub protocol: Protocol,
    /// Which nodes are asked.
    #[serde(default)]
    pub through: Through,
    /// Connections in all.
    #[serde(default = "fifty")]
    pub connections: u32,
    /// Requests under way on each.
    #[serde(default = "one_request")]
    pub depth: u32,
    /// Threads of the generator.
    #[serde(default = "one_request")]
    pub threads: u32,
    /// Keys in use.
    #[serde(default = "ten_thousand")]
    pub keys: u64,
    /// Bytes of a value, and of an echoed frame.
    #[serde(default = "sixty_four")]
    pub value_bytes: u32,
    /// Share of writes.
    #[serde(default)]
    pub puts: f64,
    /// How writes over the DHT API, which have no answer, are confirmed.
    #[serde(default)]
    pub confirm: Confirm,
    /// Share of owner lookups.
    #[serde(default)]
    pub lookups: f64,
    /// How lookups are carried out.
    #[serde(default = "cached")]
    pub lookup_mode: String,
    /// Whether the hops of its lookups are held against a prediction for the ring.
    #[serde(default)]
    pub forecast: bool,
    /// Requests a second of an open loop.
    pub rate: Option<f64>,
    /// Open loop at half the rate that this load reached.
    pub half_of: Option<String>,
    /// How often each key is asked for.
    #[serde(default)]
    pub distribution: Distribution,
    /// Seconds of the same load before a turn, left out of its figures.
    #[serde(default)]
    pub warmup: f64,
    /// Records of a batch of a `disk` load; left out: as `batch_of` says.
    pub batch: Option<u32>,
    /// Batches of a `disk` load are as large as those of this subject and load were last.
    pub batch_of: Option<Cell>,
    /// Batches in flight of a `disk` load.
    #[serde(default = "four")]
    pub in_flight: u32,
    /// Whether the size of the log is watched during the turn.
    #[serde(default)]
    pub watch: bool,
}

impl Load {
    /// Whether the keys are written before the first turn: lookups ask who would own a key, and not
    /// for its value.
    #[must_use]
    pub fn is_preloaded(&self) -> bool {
        self.kind.is_preloaded() && self.lookups < 1.0
    }
}

/// Kinds of loads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadKind {
    /// Requests for the length of a turn.
    #[default]
    Requests,
    /// Every key is written once; memory before and after is compared.
    Fill,
    /// Nothing is asked for the length of a turn.
    Idle,
    /// A node of one is killed and started again; the records of the load are read back.
    Restart,
    /// Batches are written to the disk, for the length of a turn.
    Disk,
}

impl LoadKind {
    const fn is_preloaded(self) -> bool {
        matches!(self, Self::Requests | Self::Restart)
    }
}

/// How often each key is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// All alike.
    #[default]
    Uniform,
    /// By Zipf's law with the exponent of the generator, 0.99.
    Zipf,
    /// Nine of ten requests ask for a tenth of the keys.
    HotCold,
}

impl Distribution {
    /// Its name, as files and the generator's command line write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
            Self::HotCold => "hot-cold",
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GeneratorKind {
    /// The load generator.
    #[default]
    Loadgen,
    /// The minimal client of this crate.
    Minimal,
}

/// How a ring is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// The DHT API.
    #[default]
    Dht,
    /// The native API over mutual TLS.
    Native,
}

/// What a read after a write confirms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// All writes sent at once: the read is a small part of the cost.
    #[default]
    Turn,
    /// Every single write.
    Each,
}

/// Which nodes of a ring are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Through {
    /// All in turn.
    #[default]
    All,
    /// The first only.
    First,
    /// The one that owns the least.
    Gateway,
}

fn fifty() -> u32 {
    50
}

fn one_request() -> u32 {
    1
}

fn ten_thousand() -> u64 {
    10_000
}

fn sixty_four() -> u32 {
    64
}

fn cached() -> String {
    "cached".to_owned()
}

fn four() -> u32 {
    4
}
