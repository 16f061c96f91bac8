//! The schema of `summary.json`: what a run says of itself to people and to `bench`.
//!
//! Every figure carries its unit in its name; the flat `metrics` list repeats the headline figures
//! as name, unit and value, so that a reader of many results needs to know no structure. The schema
//! number grows when a field changes its meaning or goes away; fields may be added without that.

use std::fs;
use std::io;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The version of the schema that this build writes.
pub const SCHEMA: u32 = 1;

/// File name of the summary inside the folder of a run.
pub const SUMMARY_FILE: &str = "summary.json";

/// File name of the per-second latency histograms (HDR V2 log).
pub const HLOG_FILE: &str = "latency.hlog";

/// File name of the latency percentiles as text.
pub const HGRM_FILE: &str = "latency.hgrm";

/// Everything a run found out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the load generator.
    pub version: String,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// When the measured part began, milliseconds since 1970.
    pub started_unix_ms: u64,
    /// `dht`, `native`, `resp`, `memcached` or `echo`.
    pub protocol: String,
    /// The targets, in the order given.
    pub targets: Vec<String>,
    /// What was asked for.
    pub workload: Workload,
    /// Length of the measured part in seconds, warm-up and drain left out.
    pub wall_s: f64,
    /// The headline figures.
    pub metrics: Vec<Metric>,
    /// Requests by their fate.
    pub counts: Counts,
    /// Latency of all requests: open loop from the intended start, closed loop from the moment
    /// the slot for it was free.
    pub latency: Percentiles,
    /// From the actual send to the answer.
    pub service: Percentiles,
    /// From the intended start to the actual send; empty in a closed loop.
    pub send_lag: Percentiles,
    /// Latency by kind of request.
    pub operations: Vec<OperationStats>,
    /// Hop counts, by what was looked up; empty unless the protocol tells them.
    pub hops: Vec<Hops>,
    /// Errors by kind, only those that occurred.
    pub errors: Vec<ErrorCount>,
    /// Every second of the measured part.
    pub intervals: Vec<IntervalStats>,
    /// What the generator itself used.
    pub generator: Generator,
    /// Whether the generator was what limited the run.
    pub bottleneck: Bottleneck,
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// `open` or `closed`.
    pub mode: String,
    /// `constant` or `poisson`; `None` in a closed loop.
    pub arrivals: Option<String>,
    /// Requests a second asked for; `None` in a closed loop.
    pub rate_per_s: Option<f64>,
    /// Connections of all threads.
    pub connections: u32,
    /// Requests under way on one connection: exactly (closed loop) or at most (open loop).
    pub depth: u32,
    /// Threads of the generator.
    pub threads: u32,
    /// Keys in the key space.
    pub keys: u64,
    /// `uniform`, `zipf` or `hot-cold`.
    pub distribution: String,
    /// Exponent of the Zipf distribution.
    pub zipf_theta: Option<f64>,
    /// Value sizes as given on the command line, in bytes.
    pub value_bytes: String,
    /// Share of writes among reads and writes, 0 to 1.
    pub put_ratio: f64,
    /// Share of lookups among all requests, 0 to 1.
    pub lookup_ratio: f64,
    /// Whether every key was written before the run.
    pub preload: bool,
    /// Warm-up left out of every figure, in seconds.
    pub warmup_s: f64,
    /// Seed of arrivals and of the choice of keys.
    pub seed: u64,
    /// Seed of keys and values: runs with the same one share their data.
    pub data_seed: u64,
}

/// One figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What it is, for instance `throughput`.
    pub name: String,
    /// Its unit, for instance `1/s` or `us`.
    pub unit: String,
    /// The figure.
    pub value: f64,
}

/// Requests of the measured part by their fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that were to be sent.
    pub intended: u64,
    /// Requests sent.
    pub sent: u64,
    /// Requests answered with a result, "absent" included; what failed is among the errors.
    pub completed: u64,
    /// Values read and found to be what was written.
    pub verified: u64,
    /// Writes confirmed by a read of their own; missing from reports of earlier builds, as is the
    /// next.
    #[serde(default)]
    pub confirmed: u64,
    /// Those of `confirmed` whose read found another write's value: overtaken by it, or read before
    /// they were applied, or refused in silence.
    #[serde(default)]
    pub superseded: u64,
    /// Values that nobody wrote under their key: torn, foreign or made up.
    pub wrong: u64,
    /// Reads answered with "absent".
    pub absent: u64,
    /// Those of `absent` whose key was confirmed to be written before and has no lifetime.
    pub lost: u64,
    /// Requests that were due and never sent.
    pub unsent: u64,
    /// Answers that came after their deadline; the requests are counted as timeouts.
    pub late: u64,
    /// Connections opened again after a break.
    pub reconnects: u64,
}

/// A distribution of times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Samples.
    pub count: u64,
    /// Smallest.
    pub min_us: f64,
    /// Mean.
    pub mean_us: f64,
    /// Standard deviation.
    pub stddev_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p99_9_us: f64,
    /// 99.99th percentile.
    pub p99_99_us: f64,
    /// Largest.
    pub max_us: f64,
}

/// One kind of request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OperationStats {
    /// `get`, `put`, `lookup` or `echo`.
    pub kind: String,
    /// Its latency.
    pub latency: Percentiles,
}

/// Hop counts of one way to the owner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hops {
    /// `requests` (reads and writes), `cached`, `recursive` or `iterative` (lookups).
    pub way: String,
    /// Nodes contacted other than the gateway, the owner included: how often each number occurred.
    pub rpcs: Vec<HopCount>,
    /// Mean of `rpcs`.
    pub rpcs_mean: f64,
    /// Nodes that passed the lookup on (`rpcs` less the owner): how often each number occurred.
    pub forwards: Vec<HopCount>,
    /// Mean of `forwards`.
    pub forwards_mean: f64,
    /// Answers whose owner came from the arc cache.
    pub cached: u64,
    /// Dead nodes met and skipped on the way, in all.
    pub dead_met: u64,
}

/// How often one hop count occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopCount {
    /// The number of hops.
    pub hops: u64,
    /// Answers with it.
    pub count: u64,
}

/// How often one kind of error occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// The kind, for instance `timeout`, `broken`, `connect` or `no_route`.
    pub kind: String,
    /// Requests (or connection attempts) that ended so.
    pub count: u64,
    /// One of them in words, where there is more to say than its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

/// One second of the measured part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IntervalStats {
    /// Its begin, seconds since the measured part began.
    pub start_s: f64,
    /// Its length in seconds.
    pub length_s: f64,
    /// Answers in it.
    pub completed: u64,
    /// Errors in it.
    pub errors: u64,
    /// Median latency.
    pub p50_us: f64,
    /// 99th percentile of the latency.
    pub p99_us: f64,
    /// Largest latency.
    pub max_us: f64,
}

/// What the generator itself used in the measured part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// CPU seconds of its threads, user and system, spinning included.
    pub cpu_s: f64,
    /// The share of it spent in user mode.
    pub cpu_user_s: f64,
    /// The share of it spent in the kernel.
    pub cpu_sys_s: f64,
    /// Seconds spent spinning because the next arrival was near and nothing else was to do.
    pub spin_s: f64,
    /// CPU microseconds for each answered request, spinning left out.
    pub cpu_per_request_us: f64,
    /// CPU seconds without spinning over wall seconds, of the busiest thread: 1 means no reserve.
    pub busy: f64,
}

/// Whether the figures describe the generator instead of its targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// Whether any reason was found.
    pub limited: bool,
    /// The reasons, one sentence each.
    pub reasons: Vec<String>,
}

impl Summary {
    /// The headline figure called `name`.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics
            .iter()
            .find(|m| m.name == name)
            .map(|m| m.value)
    }

    /// How often errors of `kind` occurred.
    #[must_use]
    pub fn error_count(&self, kind: &str) -> u64 {
        self.errors
            .iter()
            .find(|e| e.kind == kind)
            .map_or(0, |e| e.count)
    }

    /// Errors of all kinds.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        self.errors.iter().map(|e| e.count).sum()
    }

    /// Reads a summary; a schema other than [`SCHEMA`] is an error.
    pub fn read(path: &Path) -> io::Result<Self> {
        let summary: Self = serde_json::from_slice(&fs::read(path)?)?;
        if summary.schema != SCHEMA {
            let text = format!(
                "{} has schema {}, expected {SCHEMA}",
                path.display(),
                summary.schema
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(summary)
    }

    /// Writes the summary as indented JSON.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        fs::write(path, text)
    }
}

impl Percentiles {
    /// Of a histogram of nanoseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            min_us: us(histogram.min()),
            mean_us: histogram.mean() / NS_PER_US,
            stddev_us: histogram.stdev() / NS_PER_US,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.9999),
            max_us: us(histogram.max()),
        }
    }
}

impl Metric {
    /// A figure.
    #[must_use]
    pub fn new(name: &str, unit: &str, value: f64) -> Self {
        Self {
            name: name.to_owned(),
            unit: unit.to_owned(),
            value,
        }
    }
}

fn us(ns: u64) -> f64 {
    ns as f64 / NS_PER_US
}

const NS_PER_US: f64 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut histogram = Histogram::new(3).unwrap();
        for ns in [1_000u64, 2_000, 3_000] {
            histogram.record(ns).unwrap();
        }
        let percentiles = Percentiles::of(&histogram);
        assert_eq!(percentiles.count, 3);
        assert!((percentiles.p50_us - 2.0).abs() < 0.01);
        assert_eq!(
            Percentiles::of(&Histogram::new(3).unwrap()),
            Percentiles::default()
        );
    }

    #[test]
    fn a_summary_survives_its_file_and_another_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SUMMARY_FILE);
        let mut summary = Summary {
            schema: SCHEMA,
            ..Summary::default()
        };
        summary.metrics.push(Metric::new("throughput", "1/s", 5.0));
        summary.write(&path).unwrap();
        assert_eq!(
            Summary::read(&path).unwrap().metric("throughput"),
            Some(5.0)
        );
        summary.schema = SCHEMA + 1;
        summary.write(&path).unwrap();
        assert!(Summary::read(&path).is_err());
    }
}
