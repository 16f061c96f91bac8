//! What a log is made with: bounds in space, and when a record counts.
//! The configuration of the node checks them; here they are taken as they come.

use std::time::Duration;

/// What a log is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// The high bits of the node's id: a segment of another node is refused.
    pub node: u64,
    /// The shard.
    pub shard: u16,
    /// Bytes of a segment: a multiple of a block, at least [`SEGMENT_BYTES_MIN`].
    pub segment_bytes: u32,
    /// When a record counts.
    pub sync: SyncPolicy,
    /// Most bytes of segments, in per cent of the live records, two segments apart. Below 150 it
    /// counts as 150: batches that are not full would keep compaction going for ever.
    pub space_percent: u32,
    /// Secret seed of the salts; differs from start to start.
    pub seed: u64,
}

/// When a record counts (`fsync`): its writer hears of it, and it is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// When the disk has confirmed that it survives a power cut.
    Always,
    /// When it is written; the log is synchronised at this interval.
    Interval(Duration),
    /// When it is written; the kernel decides when it reaches the disk.
    Never,
}

/// Shortest segment that the setting `segment_bytes` allows: it holds several of the largest
/// records.
pub const SEGMENT_BYTES_LEAST: u32 = 256 << 10;

/// Longest segment that the setting allows: a recovery holds two in memory.
pub const SEGMENT_BYTES_MOST: u32 = 256 << 20;

/// Smallest segment: tests of the machine alone use it; the setting starts higher.
pub const SEGMENT_BYTES_MIN: u32 = 64 * 1024;
