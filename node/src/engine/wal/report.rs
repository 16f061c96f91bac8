//! How a log does: why it refuses writes, what it gave up, and its figures for operators.
//! Plain values: whoever reports them takes a copy.

use thiserror::Error;

use super::names::Lsn;

/// Why nothing is appended.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AppendError {
    /// There is no room for another segment (the operator's to mend); goes on when there is.
    #[error("the disk is full: {reason}; writes go on when there is room")]
    Full {
        /// The system's words.
        reason: String,
    },
    /// A write or sync failed (the medium's fault): nothing is written until a restart.
    #[error("the log failed: {reason}; no write is taken until the node is restarted")]
    Poisoned {
        /// The system's words, with the file.
        reason: String,
    },
    /// More waits for the disk than the log holds.
    #[error("the disk is slower than the writes: try again")]
    Busy,
}

/// Records that will never be acknowledged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropped {
    /// Every record with this lsn or a greater one that was appended and is not yet committed.
    pub from: Lsn,
    /// Whether they may be on the disk all the same: then their writers hear "unknown". Otherwise
    /// nothing of them was written, and their lsns are given again.
    pub may_be_written: bool,
    /// Why.
    pub refusal: AppendError,
}

/// Figures of a log; counts are since it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogReport {
    /// Why nothing is appended now, when it is so.
    pub refusal: Option<AppendError>,
    /// Why compaction has stopped, when it has: a segment that cannot be read.
    pub damage: Option<String>,
    /// Segment files, the one written and the spare included.
    pub segments: u64,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// Bytes that the live records take in a log, as the store counts them.
    pub live_bytes: u64,
    /// Lsn of the last record appended.
    pub appended: Lsn,
    /// Lsn of the last record that would survive a power cut.
    pub durable: Lsn,
    /// Batches written.
    pub batches: u64,
    /// Bytes of those batches, padding included.
    pub batch_bytes: u64,
    /// Records of callers in them.
    pub records: u64,
    /// Rounds of syncs, apart from durable writes.
    pub syncs: u64,
    /// Bytes that compaction has read.
    pub compacted_bytes: u64,
    /// Bytes of live records that it has appended again.
    pub moved_bytes: u64,
    /// Segments it has given back.
    pub segments_freed: u64,
    /// Jobs under way.
    pub jobs: u64,
}
