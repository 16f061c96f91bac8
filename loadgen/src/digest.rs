//! Turns what the threads found into the summary of the run.
//! Adds up and names units only: it measures nothing, and the verdict comes from `bottleneck`.

use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

use crate::bottleneck::{Signs, judge};
use crate::plan::{Load, Plan};
use crate::recorder::{ErrorKind, HopTable, Interval, Way};
use crate::report::{
    Counts, ErrorCount, Generator, HopCount, Hops, IntervalStats, Metric, OperationStats,
    Percentiles, SCHEMA, Summary, Workload,
};
use crate::worker::Finding;
use crate::workload::Kind;

/// Everything a run found, added up.
pub(crate) struct Digest<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) totals: &'a Interval,
    pub(crate) latency: &'a Histogram<u64>,
    pub(crate) intervals: Vec<IntervalStats>,
    pub(crate) findings: &'a [Finding],
    pub(crate) started: SystemTime,
}

impl Digest<'_> {
    pub(crate) fn summary(self) -> Summary {
        let wall = self
            .findings
            .iter()
            .map(|finding| finding.wall)
            .max()
            .unwrap_or_default();
        let wall_s = wall.as_secs_f64();
        let counts = self.counts();
        let generator = generator(self.findings, counts.completed);
        let is_open = matches!(self.plan.load, Load::Open { .. });
        let lag = Percentiles::of(&self.totals.lag);
        let bottleneck = judge(&Signs {
            busy: generator.busy,
            lag_p99: is_open.then(|| Duration::from_secs_f64(lag.p99_us / 1e6)),
            lag_max: self.plan.lag_max,
            unsent: counts.unsent,
            intended: counts.intended,
        });
        let epoch = self
            .started
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let mut summary = Summary {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: self.plan.command.clone(),
            started_unix_ms: epoch.as_millis() as u64,
            protocol: self.plan.protocol.name().to_owned(),
            targets: self
                .plan
                .targets
                .iter()
                .map(|target| target.name.clone())
                .collect(),
            workload: workload(self.plan),
            wall_s,
            metrics: Vec::new(),
            counts,
            latency: Percentiles::of(self.latency),
            service: Percentiles::of(&self.totals.service),
            send_lag: lag,
            operations: operations(self.totals),
            hops: hops(self.totals),
            errors: errors(self.totals),
            intervals: self.intervals,
            generator,
            bottleneck,
        };
        summary.metrics = metrics(&summary);
        summary
    }

    /// In a closed loop whatever is sent is what was intended.
    fn counts(&self) -> Counts {
        let mut counts = self.totals.counts;
        if self.plan.load == Load::Closed {
            counts.intended = counts.sent;
        }
        counts
    }
}

fn workload(plan: &Plan) -> Workload {
    let (mode, arrivals, rate_per_s) = match plan.load {
        Load::Closed => ("closed", None, None),
        Load::Open {
            rate_per_s,
            arrivals,
        } => ("open", Some(arrivals.name()), Some(rate_per_s)),
    };
    Workload {
        mode: mode.to_owned(),
        arrivals: arrivals.map(str::to_owned),
        rate_per_s,
        connections: plan.connections,
        depth: plan.depth,
        threads: plan.threads,
        keys: plan.data.keys,
        distribution: plan.data.popularity.name().to_owned(),
        zipf_theta: plan.data.popularity.theta(),
        value_bytes: plan.data.sizes.to_string(),
        put_ratio: plan.mix.put_ratio,
        lookup_ratio: plan.mix.lookup_ratio,
        preload: plan.preload,
        warmup_s: plan.warmup.as_secs_f64(),
        seed: plan.seed,
        data_seed: plan.data.data_seed,
    }
}

fn generator(findings: &[Finding], completed: u64) -> Generator {
    let sum = |of: fn(&Finding) -> f64| findings.iter().map(of).sum::<f64>();
    let cpu_s = sum(|finding| finding.cpu.total.as_secs_f64());
    let cpu_user_s = sum(|finding| finding.cpu.user_s());
    let spin_s = sum(|finding| finding.spun.as_secs_f64());
    let work_s = |finding: &Finding| (finding.cpu.total.saturating_sub(finding.spun)).as_secs_f64();
    let busy = findings
        .iter()
        .map(|f| work_s(f) / f.wall.as_secs_f64().max(1e-9));
    Generator {
        cpu_s,
        cpu_user_s,
        cpu_sys_s: cpu_s - cpu_user_s,
        spin_s,
        cpu_per_request_us: findings.iter().map(work_s).sum::<f64>() * 1e6
            / completed.max(1) as f64,
        busy: busy.fold(0.0, f64::max),
    }
}

fn operations(totals: &Interval) -> Vec<OperationStats> {
    let named = Kind::NAMES.iter().zip(&totals.latency);
    let occurred = named.filter(|(_, latency)| !latency.is_empty());
    occurred
        .map(|(kind, latency)| OperationStats {
            kind: (*kind).to_owned(),
            latency: Percentiles::of(latency),
        })
        .collect()
}

fn hops(totals: &Interval) -> Vec<Hops> {
    let named = Way::NAMES.iter().zip(&totals.hops);
    named
        .filter_map(|(way, table)| hops_of(way, table))
        .collect()
}

fn hops_of(way: &str, table: &HopTable) -> Option<Hops> {
    let total: u64 = table.rpcs.iter().sum();
    if total == 0 {
        return None;
    }
    let (mut rpcs, mut forwards) = (Vec::new(), Vec::<HopCount>::new());
    for (hops, &count) in (0u64..)
        .zip(table.rpcs.iter())
        .filter(|(_, count)| **count > 0)
    {
        rpcs.push(HopCount { hops, count });
        let passed_on = hops.saturating_sub(1);
        match forwards.last_mut() {
            Some(last) if last.hops == passed_on => last.count += count,
            _ => forwards.push(HopCount {
                hops: passed_on,
                count,
            }),
        }
    }
    let mean = |table: &[HopCount]| {
        table
            .iter()
            .map(|entry| entry.hops * entry.count)
            .sum::<u64>() as f64
            / total as f64
    };
    Some(Hops {
        way: way.to_owned(),
        rpcs_mean: mean(&rpcs),
        forwards_mean: mean(&forwards),
        rpcs,
        forwards,
        cached: table.cached,
        dead_met: table.dead_met,
    })
}

fn errors(totals: &Interval) -> Vec<ErrorCount> {
    let kinds = ErrorKind::NAMES
        .iter()
        .zip(totals.errors)
        .zip(&totals.examples);
    let occurred = kinds.filter(|((_, count), _)| *count > 0);
    occurred
        .map(|((kind, count), example)| ErrorCount {
            kind: (*kind).to_owned(),
            count,
            example: example.clone(),
        })
        .collect()
}

fn metrics(summary: &Summary) -> Vec<Metric> {
    let latency = &summary.latency;
    let mut metrics = vec![
        Metric::new(
            "throughput",
            "1/s",
            summary.counts.completed as f64 / summary.wall_s,
        ),
        Metric::new("latency_p50", "us", latency.p50_us),
        Metric::new("latency_p90", "us", latency.p90_us),
        Metric::new("latency_p99", "us", latency.p99_us),
        Metric::new("latency_p99_9", "us", latency.p99_9_us),
        Metric::new("latency_p99_99", "us", latency.p99_99_us),
        Metric::new("latency_max", "us", latency.max_us),
        Metric::new("service_p50", "us", summary.service.p50_us),
        Metric::new("service_p99", "us", summary.service.p99_us),
        Metric::new("wrong", "values", summary.counts.wrong as f64),
        Metric::new("lost", "values", summary.counts.lost as f64),
        Metric::new("errors", "requests", summary.errors_total() as f64),
        Metric::new("unsent", "requests", summary.counts.unsent as f64),
        Metric::new(
            "generator_cpu",
            "us/request",
            summary.generator.cpu_per_request_us,
        ),
    ];
    for hops in &summary.hops {
        metrics.push(Metric::new(
            &format!("hops_{}_mean", hops.way),
            "rpcs",
            hops.rpcs_mean,
        ));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_rpcs_without_the_owner() {
        let mut table = HopTable::default();
        table.rpcs[0] = 1;
        table.rpcs[1] = 2;
        table.rpcs[3] = 1;
        let hops = hops_of("requests", &table).unwrap();
        let entry = |hops, count| HopCount { hops, count };
        assert_eq!(hops.rpcs, [entry(0, 1), entry(1, 2), entry(3, 1)]);
        assert_eq!(hops.forwards, [entry(0, 3), entry(2, 1)]);
        assert!((hops.rpcs_mean - 1.25).abs() < 1e-9 && (hops.forwards_mean - 0.5).abs() < 1e-9);
        assert!(hops_of("cached", &HopTable::default()).is_none());
    }

    #[test]
    fn the_busiest_thread_counts_and_spinning_does_not() {
        let finding = |cpu_ms, spun_ms| Finding {
            cpu: crate::cpu::CpuTime::of(Duration::from_millis(cpu_ms)),
            spun: Duration::from_millis(spun_ms),
            wall: Duration::from_secs(1),
        };
        let generator = generator(&[finding(900, 500), finding(600, 0)], 1_000);
        assert!((generator.busy - 0.6).abs() < 1e-9);
        assert!((generator.cpu_per_request_us - 1_000.0).abs() < 1e-6);
    }
}
