//! One node as it sees itself: what `/status` answers. Figures of the cores are summed when they
//! are asked for.

use serde::Serialize;

use super::control::CoreReport;
use super::node::{Node, resident_bytes};
use super::readiness;
use crate::config;
use crate::engine::request::RingStatus;
use crate::engine::wal::log::LogReport;

/// What `/status` answers.
#[derive(Serialize)]
pub(super) struct NodeStatus {
    version: &'static str,
    name: String,
    ring: String,
    successors: u8,
    replication: u8,
    virtual_nodes_max: u16,
    value_max: u32,
    api_address: String,
    p2p_address: String,
    admin_address: String,
    cores: u8,
    io_driver: &'static str,
    io_driver_reason: String,
    uptime_s: u64,
    is_ready: bool,
    memory: MemoryStatus,
    records: u64,
    /// The log; none without a data folder.
    wal: Option<LogStatus>,
    recovery: RecoveryStatus,
    clients: usize,
    links_accepted: usize,
    links_dialled: usize,
    #[serde(flatten)]
    status: RingStatus,
}

#[derive(Serialize)]
struct MemoryStatus {
    resident_bytes: u64,
    store_bytes: u64,
    payload_bytes: u64,
    overhead_bytes: u64,
    store_bytes_max: u64,
}

/// The logs of all shards together.
#[derive(Serialize)]
struct LogStatus {
    fsync: String,
    /// Whether all shards take writes; otherwise the reason of the first that does not.
    is_writing: bool,
    refusal: Option<String>,
    damage: Option<String>,
    segments: u64,
    bytes: u64,
    live_bytes: u64,
    appended_lsn: u64,
    durable_lsn: u64,
    batches: u64,
    records: u64,
    syncs: u64,
    compacted_bytes: u64,
    moved_bytes: u64,
    segments_freed: u64,
}

/// What was read when the node started.
#[derive(Serialize)]
struct RecoveryStatus {
    seconds: f64,
    records: u64,
    bytes: u64,
    torn_bytes: u64,
}

impl NodeStatus {
    /// The status of a node whose core 0 and cores say this.
    pub(super) fn of(node: &Node, status: RingStatus, reports: &[CoreReport]) -> Self {
        let config = &node.config;
        let sum = |field: fn(&CoreReport) -> u64| reports.iter().map(field).sum();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            name: config.advertise.to_string(),
            ring: config.ring.clone(),
            successors: config.successors,
            replication: config.replication,
            virtual_nodes_max: config.virtual_nodes_max,
            value_max: config.value_max,
            api_address: config.api_address.to_string(),
            p2p_address: config.p2p_address.to_string(),
            admin_address: config.admin_address.to_string(),
            cores: config.shards,
            io_driver: node.choice.driver.name(),
            io_driver_reason: node.choice.reason.clone(),
            uptime_s: node.start.elapsed().as_secs(),
            is_ready: !node.is_stopping()
                && reports.iter().all(|core| core.is_member)
                && readiness::refusal(reports).is_none(),
            memory: MemoryStatus {
                resident_bytes: resident_bytes(),
                store_bytes: sum(|core| core.memory.bytes_used),
                payload_bytes: sum(|core| core.memory.payload_bytes),
                overhead_bytes: sum(|core| core.memory.overhead_bytes),
                store_bytes_max: sum(|core| core.memory.memory_max),
            },
            records: sum(|core| core.memory.records),
            wal: config
                .data_dir
                .as_ref()
                .map(|_| LogStatus::of(node, reports)),
            recovery: RecoveryStatus {
                seconds: node.phase().recovery().as_secs_f64(),
                records: sum(|core| core.recovery.records),
                bytes: sum(|core| core.recovery.bytes_read),
                torn_bytes: sum(|core| core.recovery.torn_bytes),
            },
            clients: reports.iter().map(|core| core.api_open).sum(),
            links_accepted: reports.iter().map(|core| core.links_open.0).sum(),
            links_dialled: reports.iter().map(|core| core.links_open.1).sum(),
            status,
        }
    }
}

impl LogStatus {
    fn of(node: &Node, reports: &[CoreReport]) -> Self {
        let logs = || reports.iter().filter_map(|core| core.log.as_ref());
        let sum = |field: fn(&LogReport) -> u64| logs().map(field).sum();
        let refusal =
            readiness::refusal(reports).map(|(shard, why)| format!("shard {shard}: {why}"));
        Self {
            fsync: config::show_sync(node.config.fsync),
            is_writing: refusal.is_none(),
            refusal,
            damage: logs().find_map(|log| log.damage.clone()),
            segments: sum(|log| log.segments),
            bytes: sum(|log| log.bytes),
            live_bytes: sum(|log| log.live_bytes),
            appended_lsn: sum(|log| log.appended.0),
            durable_lsn: sum(|log| log.durable.0),
            batches: sum(|log| log.batches),
            records: sum(|log| log.records),
            syncs: sum(|log| log.syncs),
            compacted_bytes: sum(|log| log.compacted_bytes),
            moved_bytes: sum(|log| log.moved_bytes),
            segments_freed: sum(|log| log.segments_freed),
        }
    }
}
