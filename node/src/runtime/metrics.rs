//! The metrics page: what the cores have counted, summed when it is asked for. Nothing is
//! registered or updated in between, so counting costs a core one addition.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::control::CoreReport;
use super::node::{Node, resident_bytes};
use crate::engine::wal::log::{AppendError, LogReport};

/// The content type of the text that `encode` makes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics page.
pub(crate) fn encode(node: &Node, reports: &[CoreReport]) -> String {
    let mut registry = Registry::with_prefix("chordite");
    registry.register_collector(Box::new(Figures::of(node, reports)));
    let mut page = String::new();
    // Formatting into a string cannot fail.
    let _ = text::encode(&mut page, &registry);
    page
}

/// One figure of every core: name, help, unit and where it stands in a report.
type Row = (
    &'static str,
    &'static str,
    Option<Unit>,
    fn(&CoreReport) -> u64,
);

/// One scrape: what only ever grows, and what goes up and down.
#[derive(Debug)]
struct Figures {
    counters: Vec<Figure<u64>>,
    gauges: Vec<Figure<f64>>,
}

#[derive(Debug)]
struct Figure<T> {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    value: T,
}

impl Figures {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gauges are floating by format; 2^53 is far"
    )]
    fn of(node: &Node, reports: &[CoreReport]) -> Self {
        let sum = |(name, help, unit, field): Row| {
            let value = reports.iter().map(field).sum::<u64>();
            Figure {
                name,
                help,
                unit,
                value,
            }
        };
        let floating = |Figure {
                            name,
                            help,
                            unit,
                            value,
                        }| {
            Figure {
                name,
                help,
                unit,
                value: value as f64,
            }
        };
        let mut gauges: Vec<Figure<f64>> = gauges().map(sum).map(floating).into();
        gauges.extend(of_node(node, reports));
        Self {
            counters: counters().map(sum).into(),
            gauges,
        }
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Figure {
            name,
            help,
            unit,
            value,
        } in &self.counters
        {
            let metric = ConstCounter::new(*value);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?)?;
        }
        for Figure {
            name,
            help,
            unit,
            value,
        } in &self.gauges
        {
            let metric = ConstGauge::new(*value);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?)?;
        }
        Ok(())
    }
}

fn of_node(node: &Node, reports: &[CoreReport]) -> Vec<Figure<f64>> {
    let is_member = reports.iter().all(|core| core.is_member);
    let figure = |name, help, unit, value| Figure {
        name,
        help,
        unit,
        value,
    };
    let seconds = || Some(Unit::Seconds);
    let bytes = Some(Unit::Bytes);
    let resident = u32::try_from(resident_bytes() / 1024).unwrap_or(u32::MAX);
    let cores = u32::try_from(reports.len()).unwrap_or(u32::MAX);
    let mut figures = vec![
        figure(
            "member",
            "1 while a member of the ring",
            None,
            f64::from(u8::from(is_member)),
        ),
        figure("cores", "Worker threads", None, f64::from(cores)),
        figure(
            "start_time",
            "Start, since 1970",
            seconds(),
            node.start_wall.as_secs_f64(),
        ),
        figure(
            "recovery",
            "Time that reading the log took",
            seconds(),
            node.phase().recovery().as_secs_f64(),
        ),
        figure(
            "memory_resident",
            "Memory of the process",
            bytes,
            f64::from(resident) * 1024.0,
        ),
    ];
    figures.extend(node.certificate_expiry.map(|expiry| {
        figure(
            "certificate_expiry",
            "End of the certificate in use, since 1970",
            seconds(),
            expiry.as_secs_f64(),
        )
    }));
    figures
}

/// A figure of a core's log, 0 where there is none.
fn log(core: &CoreReport, field: fn(&LogReport) -> u64) -> u64 {
    core.log.as_ref().map_or(0, field)
}

fn is_full(log: &LogReport) -> u64 {
    u64::from(matches!(log.refusal, Some(AppendError::Full { .. })))
}

fn has_failed(log: &LogReport) -> u64 {
    u64::from(matches!(log.refusal, Some(AppendError::Poisoned { .. })))
}

fn is_damaged(log: &LogReport) -> u64 {
    u64::from(log.damage.is_some())
}

#[rustfmt::skip]
fn counters() -> [Row; 48] {
    let bytes = || Some(Unit::Bytes);
    [
        ("api_connections", "DHT API connections accepted", None, |c| c.api.connections),
        ("api_gets", "DHT API GETs received", None, |c| c.api.gets),
        ("api_hits", "DHT API GETs answered with a value", None, |c| c.api.hits),
        ("api_puts", "DHT API PUTs received", None, |c| c.api.puts),
        ("api_failed_puts", "DHT API PUTs refused or lost", None, |c| c.api.failed_puts),
        ("api_violations", "DHT API connections closed for abuse", None, |c| c.api.violations),
        ("store_puts", "Puts applied to the store", None, |c| c.shard.puts),
        ("store_gets", "Reads of the store", None, |c| c.shard.gets),
        ("store_misses", "Reads of the store that found nothing", None, |c| c.shard.misses),
        ("store_deletes", "Deletes applied to the store", None, |c| c.shard.deletes),
        ("store_expired", "Records removed when their time was over", None, |c| c.shard.expired),
        ("store_refused_full", "Puts refused at the memory cap", None, |c| c.shard.refused_full),
        ("gateway_requests", "Requests passed on", None, |c| c.counters.gateway_requests),
        ("owner_requests", "Requests served for gateways", None, |c| c.counters.owner_requests),
        ("mailbox_hops", "Requests handed to another core", None, |c| c.counters.mailbox_hops),
        ("failed_requests", "Requests without success", None, |c| c.counters.failed_requests),
        ("disowned", "Presumed owners that did not own the key", None, |c| c.counters.disowned),
        ("owner_timeouts", "Owners silent past their time", None, |c| c.counters.owner_timeouts),
        ("frames_received", "Frames received on links", None, |c| c.counters.frames_in),
        ("lookups_client", "Lookups started for requests", None, |c| c.counters.lookups_client),
        ("lookups_ring", "Lookups started for the ring", None, |c| c.counters.lookups_ring),
        ("lookups_failed", "Lookups without an owner", None, |c| c.counters.lookups_failed),
        ("lookup_rpcs", "RPCs of lookups that succeeded", None, |c| c.counters.lookup_rpcs),
        ("lookup_timeouts", "Dead nodes met by them", None, |c| c.counters.lookup_timeouts),
        ("lookups_relayed", "Lookups served for others", None, |c| c.counters.lookups_relayed),
        ("stray_answers", "Answers to nothing that was asked", None, |c| c.counters.stray_answers),
        ("misbehaviours", "Peers that broke the rules", None, |c| c.counters.misbehaviours),
        ("links_accepted", "Links accepted", None, |c| c.links.accepted),
        ("links_dialled", "Links dialled to peers", None, |c| c.links.dialled),
        ("links_refused", "Links that ended before they were up", None, |c| c.links.refused),
        ("links_broken", "Links that broke after they were up", None, |c| c.links.broken),
        ("links_sent", "Bytes sent on links, sealed", bytes(), |c| c.links.bytes_out),
        ("links_received", "Bytes received on links, sealed", bytes(), |c| c.links.bytes_in),
        ("store_refused_disk_full", "Writes refused: no room on the disk", None, |c| {
            c.shard.refused_disk_full
        }),
        ("store_refused_disk_failed", "Writes refused: the log has failed", None, |c| {
            c.shard.refused_disk_failed
        }),
        ("store_refused_disk_busy", "Writes refused: the disk is too slow", None, |c| {
            c.shard.refused_disk_busy
        }),
        ("store_dropped_writes", "Writes given up before they counted", None, |c| {
            c.shard.dropped_writes
        }),
        ("store_waited_reads", "Reads that waited for a write of their key", None, |c| {
            c.shard.waited_reads
        }),
        ("disk_timeouts", "Requests that waited for the disk in vain", None, |c| {
            c.counters.disk_timeouts
        }),
        ("wal_batches", "Batches written to the log", None, |c| log(c, |l| l.batches)),
        ("wal_batch", "Bytes of those batches", bytes(), |c| log(c, |l| l.batch_bytes)),
        ("wal_records", "Puts and deletes in them", None, |c| log(c, |l| l.records)),
        ("wal_syncs", "Syncs of the log, but for durable writes", None, |c| log(c, |l| l.syncs)),
        ("wal_compacted", "Log read to be compacted", bytes(), |c| log(c, |l| l.compacted_bytes)),
        ("wal_moved", "Live records written again", bytes(), |c| log(c, |l| l.moved_bytes)),
        ("wal_segments_freed", "Segments given back", None, |c| log(c, |l| l.segments_freed)),
        ("recovery_records", "Records read at start", None, |c| c.recovery.records),
        ("recovery_read", "Log read at start", bytes(), |c| c.recovery.bytes_read),
    ]
}

#[rustfmt::skip]
fn gauges() -> [Row; 18] {
    let bytes = || Some(Unit::Bytes);
    [
        ("store_records", "Records held", None, |c| c.memory.records),
        ("store_used", "Memory of the store", bytes(), |c| c.memory.bytes_used),
        ("store_payload", "Keys and values held", bytes(), |c| c.memory.payload_bytes),
        ("store_limit", "Memory cap of the store", bytes(), |c| c.memory.memory_max),
        ("api_connections_open", "DHT API connections open", None, |c| c.api_open as u64),
        ("links_accepted_open", "Accepted links open", None, |c| c.links_open.0 as u64),
        ("links_dialled_open", "Dialled links up", None, |c| c.links_open.1 as u64),
        ("operations", "Requests under way", None, |c| c.operations as u64),
        ("members_known", "Other members in the view", None, |c| c.members_known as u64),
        ("wal_segments", "Segments of the log", None, |c| log(c, |l| l.segments)),
        ("wal_used", "Bytes of the segments", bytes(), |c| log(c, |l| l.bytes)),
        ("wal_live", "Bytes of live records in a log", bytes(), |c| log(c, |l| l.live_bytes)),
        ("wal_appended_lsn", "Last record, summed over shards", None, |c| log(c, |l| l.appended.0)),
        ("wal_durable_lsn", "Last durable record, summed", None, |c| log(c, |l| l.durable.0)),
        ("wal_jobs", "Jobs of the disk under way", None, |c| log(c, |l| l.jobs)),
        ("wal_full", "Shards that refuse writes for want of room", None, |c| log(c, is_full)),
        ("wal_failed", "Shards whose log has failed", None, |c| log(c, has_failed)),
        ("wal_damaged", "Shards that cannot be compacted", None, |c| log(c, is_damaged)),
    ]
}
