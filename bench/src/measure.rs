//! What can be measured of a turn, each measure with its name and unit.
//!
//! Turns a load generator's summary and the processor time of the servers into figures; how a turn
//! is carried out is `turn`'s business.

use std::collections::BTreeMap;
use std::time::Duration;

use loadgen::report::Summary;
use serde::{Deserialize, Serialize};

use crate::disk::DiskOutcome;

/// A measure of one turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Processor time of all server processes for each answered request.
    CpuPerRequest,
    /// Answered requests for each second of that processor time.
    RequestsPerCpuSecond,
    /// Answered requests a second of wall time.
    Rate,
    /// Median latency.
    P50,
    /// 99th percentile of the latency.
    P99,
    /// The latter over the former.
    P99OverP50,
    /// Mean number of nodes contacted for a lookup or request, the owner included.
    RpcsMean,
    /// The mean that the simulator predicts for cold lookups of this very ring.
    ForecastRpcsMean,
    /// How far the mean of the cold lookups is from that.
    ForecastMeanAway,
    /// Total variation distance of the hops of cold lookups from the predicted ones.
    ForecastDistance,
    /// The distance that chance alone makes of so many lookups, on average.
    ForecastNoise,
    /// The generator's own processor time for each answered request.
    GeneratorCpuPerRequest,
    /// Processor time of all server processes over wall time.
    ServerCpuShare,
    /// Resident memory gained for each record, less key and value.
    ResidentOverhead,
    /// The node's own account of the same.
    AccountedOverhead,
    /// Median latency of reads alone.
    GetP50,
    /// 99th percentile of the latency of reads alone.
    GetP99,
    /// Median latency of writes alone.
    PutP50,
    /// 99th percentile of the latency of writes alone.
    PutP99,
    /// Of the writes confirmed by a read, those whose read found another write's value.
    SupersededShare,
    /// Writes that the nodes refused, of all requests: the DHT API has no answer to say so, and the
    /// other figures leave them out.
    RefusedShare,
    /// Batches of the log a second: what the disk has made durable.
    Commits,
    /// Mean number of records in a batch.
    RecordsPerBatch,
    /// Largest size of the log seen, two segments less, over the live records in it.
    SpaceRatio,
    /// Bytes that the log wrote over what it would have written had compaction moved nothing.
    WriteAmplification,
    /// From the start of a killed node to its readiness.
    StartSeconds,
    /// Records a second that its recovery read, on one core.
    RecoveryRate,
    /// Bytes a second that its recovery read, on one core.
    RecoveryThroughput,
}

/// The figures of one turn.
pub type Figures = BTreeMap<Measure, f64>;

impl Measure {
    /// Its unit.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::CpuPerRequest
            | Self::GeneratorCpuPerRequest
            | Self::P50
            | Self::P99
            | Self::GetP50
            | Self::GetP99
            | Self::PutP50
            | Self::PutP99 => "µs",
            Self::RequestsPerCpuSecond | Self::Rate | Self::Commits | Self::RecoveryRate => "1/s",
            Self::P99OverP50 | Self::SpaceRatio | Self::WriteAmplification => "×",
            Self::RpcsMean | Self::ForecastRpcsMean | Self::ForecastMeanAway => "rpcs",
            Self::ForecastDistance | Self::ForecastNoise => "%",
            Self::ServerCpuShare => "% of a core",
            Self::ResidentOverhead | Self::AccountedOverhead => "B/record",
            Self::SupersededShare | Self::RefusedShare => "%",
            Self::RecordsPerBatch => "records",
            Self::StartSeconds => "s",
            Self::RecoveryThroughput => "MB/s",
        }
    }

    /// Its name, as scenario files and results write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "cpu_per_request",
            Self::RequestsPerCpuSecond => "requests_per_cpu_second",
            Self::Rate => "rate",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::P99OverP50 => "p99_over_p50",
            Self::RpcsMean => "rpcs_mean",
            Self::ForecastRpcsMean => "forecast_rpcs_mean",
            Self::ForecastMeanAway => "forecast_mean_away",
            Self::ForecastDistance => "forecast_distance",
            Self::ForecastNoise => "forecast_noise",
            Self::GeneratorCpuPerRequest => "generator_cpu_per_request",
            Self::ServerCpuShare => "server_cpu_share",
            Self::ResidentOverhead => "resident_overhead",
            Self::AccountedOverhead => "accounted_overhead",
            Self::GetP50 => "get_p50",
            Self::GetP99 => "get_p99",
            Self::PutP50 => "put_p50",
            Self::PutP99 => "put_p99",
            Self::SupersededShare => "superseded_share",
            Self::RefusedShare => "refused_share",
            Self::Commits => "commits",
            Self::RecordsPerBatch => "records_per_batch",
            Self::SpaceRatio => "space_ratio",
            Self::WriteAmplification => "write_amplification",
            Self::StartSeconds => "start_seconds",
            Self::RecoveryRate => "recovery_rate",
            Self::RecoveryThroughput => "recovery_throughput",
        }
    }
}

/// The figures of a turn of requests that took the servers `cpu` in all, and of which they refused
/// `refused` without an answer.
#[must_use]
pub fn of_requests(summary: &Summary, cpu: Duration, refused: f64) -> Figures {
    let requests = summary.counts.completed as f64 - refused;
    let cpu_us = cpu.as_secs_f64() * 1e6;
    let latency = &summary.latency;
    let mut figures = Figures::from([
        (Measure::CpuPerRequest, cpu_us / requests),
        (Measure::RequestsPerCpuSecond, requests / cpu.as_secs_f64()),
        (Measure::Rate, requests / summary.wall_s),
        (Measure::P50, latency.p50_us),
        (Measure::P99, latency.p99_us),
        (Measure::P99OverP50, latency.p99_us / latency.p50_us),
        (
            Measure::GeneratorCpuPerRequest,
            summary.generator.cpu_per_request_us,
        ),
    ]);
    if let Some(mean) = rpcs_mean(summary) {
        figures.insert(Measure::RpcsMean, mean);
    }
    for operation in &summary.operations {
        let latency = &operation.latency;
        let (p50, p99) = match operation.kind.as_str() {
            // Of one kind alone the latency of all requests says the same.
            _ if summary.operations.len() < 2 => continue,
            "get" => (Measure::GetP50, Measure::GetP99),
            "put" => (Measure::PutP50, Measure::PutP99),
            _ => continue,
        };
        figures.extend([(p50, latency.p50_us), (p99, latency.p99_us)]);
    }
    // The other protocols answer a write themselves.
    if summary.protocol == "dht" && summary.workload.put_ratio > 0.0 {
        let counts = &summary.counts;
        let superseded = counts.superseded as f64 / counts.confirmed as f64;
        let refused = refused / counts.completed as f64;
        figures.extend([
            (Measure::SupersededShare, superseded * 100.0),
            (Measure::RefusedShare, refused * 100.0),
        ]);
    }
    figures.retain(|_, figure| figure.is_finite());
    figures
}

/// The figures of a turn of the disk program.
#[must_use]
pub fn of_disk(outcome: &DiskOutcome) -> Figures {
    let records = outcome.records as f64;
    let mut figures = Figures::from([
        (Measure::CpuPerRequest, outcome.cpu_s * 1e6 / records),
        (Measure::RequestsPerCpuSecond, records / outcome.cpu_s),
        (Measure::Rate, outcome.records_per_s),
        (Measure::P50, outcome.p50_us),
        (Measure::P99, outcome.p99_us),
        (Measure::P99OverP50, outcome.p99_us / outcome.p50_us),
        (Measure::Commits, outcome.commits_per_s),
        (Measure::RecordsPerBatch, records / outcome.commits as f64),
    ]);
    figures.retain(|_, figure| figure.is_finite());
    figures
}

/// The figures of a recovery of `records` in `bytes` that took `recovery`, of a start that took
/// `start` until the node was ready.
#[must_use]
pub fn of_restart(start: Duration, recovery: Duration, records: f64, bytes: f64) -> Figures {
    let seconds = recovery.as_secs_f64();
    Figures::from([
        (Measure::StartSeconds, start.as_secs_f64()),
        (Measure::RecoveryRate, records / seconds),
        (Measure::RecoveryThroughput, bytes / seconds / 1e6),
    ])
}

/// The figure of a turn in which nothing was asked.
#[must_use]
pub fn of_idle(cpu: Duration, wall: Duration) -> Figures {
    let share = cpu.as_secs_f64() / wall.as_secs_f64() * 100.0;
    Figures::from([(Measure::ServerCpuShare, share)])
}

/// The figures of a fill of `records` with values of `value_bytes`: resident memory gained, and
/// bytes the node itself accounts for when it says so.
#[must_use]
pub fn of_fill(records: u64, value_bytes: u32, resident: f64, accounted: Option<f64>) -> Figures {
    let own = f64::from(KEY_BYTES + value_bytes);
    let overhead = |bytes: f64| bytes / records as f64 - own;
    let mut figures = Figures::from([(Measure::ResidentOverhead, overhead(resident))]);
    if let Some(accounted) = accounted {
        figures.insert(Measure::AccountedOverhead, overhead(accounted));
    }
    figures
}

/// Over all ways to the owner that the run took.
fn rpcs_mean(summary: &Summary) -> Option<f64> {
    let counts = summary.hops.iter().flat_map(|way| &way.rpcs);
    let (sum, count) = counts.fold((0, 0), |(sum, count), bar| {
        (sum + bar.hops * bar.count, count + bar.count)
    });
    (count > 0).then(|| sum as f64 / count as f64)
}

const KEY_BYTES: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use loadgen::report::{HopCount, Hops, OperationStats, Percentiles};

    #[test]
    fn server_time_is_spread_over_the_answers() {
        let mut summary = Summary::default();
        summary.counts.completed = 1_000;
        summary.wall_s = 2.0;
        let figures = of_requests(&summary, Duration::from_millis(5), 0.0);
        assert_eq!(figures[&Measure::CpuPerRequest], 5.0);
        assert_eq!(figures[&Measure::Rate], 500.0);
        assert_eq!(figures.get(&Measure::RpcsMean), None);
        // No latency was recorded: 0 over 0 is no figure.
        assert_eq!(figures.get(&Measure::P99OverP50), None);
    }

    #[test]
    fn reads_and_writes_are_told_apart_when_there_are_both() {
        let operation = |kind: &str, p99_us| OperationStats {
            kind: kind.to_owned(),
            latency: Percentiles {
                p99_us,
                ..Percentiles::default()
            },
        };
        let mut summary = Summary {
            operations: vec![operation("get", 3.0), operation("put", 5.0)],
            ..Summary::default()
        };
        (summary.counts.completed, summary.counts.confirmed) = (400, 200);
        summary.counts.superseded = 3;
        summary.workload.put_ratio = 0.5;
        summary.protocol = "dht".to_owned();
        let figures = of_requests(&summary, Duration::from_millis(3), 100.0);
        assert_eq!(figures[&Measure::GetP99], 3.0);
        assert_eq!(figures[&Measure::PutP99], 5.0);
        assert_eq!(figures[&Measure::SupersededShare], 1.5);
        assert_eq!(figures[&Measure::RefusedShare], 25.0);
        assert_eq!(figures[&Measure::CpuPerRequest], 10.0);
        summary.operations.pop();
        let figures = of_requests(&summary, Duration::from_millis(5), 0.0);
        assert_eq!(figures.get(&Measure::GetP99), None);
    }

    #[test]
    fn hops_of_all_ways_are_one_mean() {
        let way = |hops, count| Hops {
            rpcs: vec![HopCount { hops, count }],
            ..Hops::default()
        };
        let summary = Summary {
            hops: vec![way(1, 3), way(3, 1)],
            ..Summary::default()
        };
        assert_eq!(rpcs_mean(&summary), Some(1.5));
    }

    #[test]
    fn key_and_value_are_no_overhead() {
        let figures = of_fill(10, 64, 1_400.0, Some(1_000.0));
        assert_eq!(figures[&Measure::ResidentOverhead], 44.0);
        assert_eq!(figures[&Measure::AccountedOverhead], 4.0);
    }

    #[test]
    fn names_are_those_of_files() {
        let measure: Measure = serde_json::from_str("\"p99_over_p50\"").unwrap();
        assert_eq!(measure.name(), "p99_over_p50");
    }
}
