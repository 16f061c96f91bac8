//! The metrics page: what the cores have counted, summed when it is asked for. Nothing is
//! registered or updated in between, so counting costs a core one addition.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::control::CoreReport;
use super::node::{Node, resident_bytes, start_seconds};

/// The content type of the text that `encode` makes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics page.
pub(crate) fn encode(node: &Node, reports: &[CoreReport]) -> String {
    let mut registry = Registry::with_prefix("chordite");
    let figures = Figures::of(node, reports);
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    // Formatting into a string cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// One scrape.
#[derive(Debug)]
struct Figures {
    counters: Vec<(&'static str, &'static str, Option<Unit>, u64)>,
    gauges: Vec<(&'static str, &'static str, Option<Unit>, f64)>,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, unit, value) in &self.counters {
            let metric = ConstCounter::new(*value);
            metric.encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                metric.metric_type(),
            )?)?;
        }
        for (name, help, unit, value) in &self.gauges {
            let metric = ConstGauge::new(*value);
            metric.encode(encoder.encode_descriptor(
                name,
                help,
                unit.as_ref(),
                metric.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

impl Figures {
    fn of(node: &Node, reports: &[CoreReport]) -> Self {
        Self {
            counters: counters(reports),
            gauges: gauges(node, reports),
        }
    }
}

fn counters(reports: &[CoreReport]) -> Vec<(&'static str, &'static str, Option<Unit>, u64)> {
    let sum = |field: fn(&CoreReport) -> u64| reports.iter().map(field).sum::<u64>();
    let bytes = Some(Unit::Bytes);
    vec![
        (
            "api_connections",
            "DHT API connections accepted",
            None,
            sum(|c| c.api.connections),
        ),
        (
            "api_gets",
            "DHT API GETs received",
            None,
            sum(|c| c.api.gets),
        ),
        (
            "api_hits",
            "DHT API GETs answered with a value",
            None,
            sum(|c| c.api.hits),
        ),
        (
            "api_puts",
            "DHT API PUTs received",
            None,
            sum(|c| c.api.puts),
        ),
        (
            "api_failed_puts",
            "DHT API PUTs refused or lost",
            None,
            sum(|c| c.api.failed_puts),
        ),
        (
            "api_violations",
            "DHT API connections closed for what they sent",
            None,
            sum(|c| c.api.violations),
        ),
        (
            "store_puts",
            "Puts applied to the store",
            None,
            sum(|c| c.shard.puts),
        ),
        (
            "store_gets",
            "Reads of the store",
            None,
            sum(|c| c.shard.gets),
        ),
        (
            "store_misses",
            "Reads of the store that found nothing",
            None,
            sum(|c| c.shard.misses),
        ),
        (
            "store_deletes",
            "Deletes applied to the store",
            None,
            sum(|c| c.shard.deletes),
        ),
        (
            "store_expired",
            "Records removed at the end of their lifetime",
            None,
            sum(|c| c.shard.expired),
        ),
        (
            "store_refused_full",
            "Puts refused at the memory cap",
            None,
            sum(|c| c.shard.refused_full),
        ),
        (
            "gateway_requests",
            "Clients' requests passed to another node",
            None,
            sum(|c| c.counters.gateway_requests),
        ),
        (
            "owner_requests",
            "Requests served for gateways of other nodes",
            None,
            sum(|c| c.counters.owner_requests),
        ),
        (
            "mailbox_hops",
            "Requests handed to another core of this node",
            None,
            sum(|c| c.counters.mailbox_hops),
        ),
        (
            "failed_requests",
            "Clients' requests that ended without success",
            None,
            sum(|c| c.counters.failed_requests),
        ),
        (
            "disowned",
            "Presumed owners that did not own the key",
            None,
            sum(|c| c.counters.disowned),
        ),
        (
            "owner_timeouts",
            "Owners that did not answer in time",
            None,
            sum(|c| c.counters.owner_timeouts),
        ),
        (
            "frames_received",
            "Frames received from peers and native clients",
            None,
            sum(|c| c.counters.frames_in),
        ),
        (
            "lookups_relayed",
            "Recursive lookups passed on or answered for others",
            None,
            sum(|c| c.counters.lookups_relayed),
        ),
        (
            "stray_answers",
            "Answers to nothing that was asked",
            None,
            sum(|c| c.counters.stray_answers),
        ),
        (
            "misbehaviours",
            "Links closed because the peer broke the rules",
            None,
            sum(|c| c.counters.misbehaviours),
        ),
        (
            "links_accepted",
            "Links accepted from peers and native clients",
            None,
            sum(|c| c.links.accepted),
        ),
        (
            "links_dialled",
            "Links dialled to peers",
            None,
            sum(|c| c.links.dialled),
        ),
        (
            "links_refused",
            "Links that ended before they were up",
            None,
            sum(|c| c.links.refused),
        ),
        (
            "links_broken",
            "Links that broke after they were up",
            None,
            sum(|c| c.links.broken),
        ),
        (
            "links_sent",
            "Bytes sent on links, sealed",
            bytes.clone(),
            sum(|c| c.links.bytes_out),
        ),
        (
            "links_received",
            "Bytes received on links, sealed",
            bytes,
            sum(|c| c.links.bytes_in),
        ),
    ]
}

#[expect(
    clippy::cast_precision_loss,
    reason = "figures for people; 2^53 is far away"
)]
fn gauges(
    node: &Node,
    reports: &[CoreReport],
) -> Vec<(&'static str, &'static str, Option<Unit>, f64)> {
    let sum = |field: fn(&CoreReport) -> u64| reports.iter().map(field).sum::<u64>() as f64;
    let bytes = || Some(Unit::Bytes);
    let is_member = reports.iter().all(|core| core.is_member);
    vec![
        (
            "member",
            "1 while this node is a member of its ring",
            None,
            f64::from(u8::from(is_member)),
        ),
        ("cores", "Worker threads", None, reports.len() as f64),
        (
            "start_time",
            "Start of the node since 1970",
            Some(Unit::Seconds),
            start_seconds(node.start),
        ),
        (
            "memory_resident",
            "Memory of the process",
            bytes(),
            resident_bytes() as f64,
        ),
        (
            "store_records",
            "Records held",
            None,
            sum(|c| c.memory.records),
        ),
        (
            "store_used",
            "Memory of the store",
            bytes(),
            sum(|c| c.memory.bytes_used),
        ),
        (
            "store_payload",
            "Keys and values held",
            bytes(),
            sum(|c| c.memory.payload_bytes),
        ),
        (
            "store_limit",
            "Memory cap of the store",
            bytes(),
            sum(|c| c.memory.memory_max),
        ),
        (
            "api_connections_open",
            "DHT API connections open",
            None,
            sum(|c| c.api_open as u64),
        ),
        (
            "links_accepted_open",
            "Accepted links open",
            None,
            sum(|c| c.links_open.0 as u64),
        ),
        (
            "links_dialled_open",
            "Dialled links up",
            None,
            sum(|c| c.links_open.1 as u64),
        ),
        (
            "operations",
            "Requests under way",
            None,
            sum(|c| c.operations as u64),
        ),
    ]
}
