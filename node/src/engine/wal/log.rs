//! STUB of the contract: the log of one shard, open for writing.

use std::time::Duration;

use proto::time::Now;
use thiserror::Error;

use super::disk::{DiskDone, DiskJob};
use super::entry::{Entry, Placed};
use super::names::{FileName, Lsn, SegmentNumber};
use super::settings::LogConfig;
use crate::engine::record::Record;

/// The log of one shard, open for writing.
///
/// Drain rule: after any call that takes `&mut self`, call [`Log::poll_committed`] and
/// [`Log::poll_dropped`] until they return `None`, then [`Log::compact`], then [`Log::poll_job`]
/// until it returns `None`, then [`Log::poll_timeout`]. Batches are closed by `poll_job`: calls may
/// be batched, and what was appended in one turn travels together.
pub struct Log {}

/// Where a recovery leaves off and a log begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogStart {
    /// The lsn of the next record.
    pub next_lsn: Lsn,
    /// The number of the next segment: greater than that of every file in the folder.
    pub next_segment: SegmentNumber,
    /// The greatest version stamp found.
    pub stamp: u64,
    /// Segments that hold records that count, in their order.
    pub sealed: Vec<SealedSegment>,
    /// Files that hold nothing that counts: removed, or used again.
    pub leftovers: Vec<FileName>,
}

/// A segment that is not written any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedSegment {
    /// Its number.
    pub number: SegmentNumber,
    /// Its salt.
    pub salt: u64,
    /// The lsn of its first record that counts.
    pub first: Lsn,
    /// The lsn of its last record that counts.
    pub last: Lsn,
    /// Where the batches that count end, in bytes from the start of the file.
    pub end: u64,
    /// Length of the file.
    pub file_bytes: u64,
}

/// Records that are durable now, in the order they were appended: to be applied to the store, then
/// given back with [`Log::recycle`].
#[derive(Debug)]
pub struct Batch {}

impl Batch {
    /// The lsn of its last record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        todo!()
    }

    /// Its records that callers appended: neither the commit record nor those that compaction
    /// moved.
    pub fn entries(&self) -> impl Iterator<Item = Placed<'_>> {
        std::iter::empty()
    }
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

/// How a log does, for reports.
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
    /// Bytes of live records, as the store counts them.
    pub live_bytes: u64,
    /// Lsn of the last record appended, and of the last one durable.
    pub appended: Lsn,
    /// See above.
    pub durable: Lsn,
    /// Batches written, their bytes, and the records of callers in them.
    pub batches: u64,
    /// See above.
    pub batch_bytes: u64,
    /// See above.
    pub records: u64,
    /// Syncs asked for, apart from durable writes.
    pub syncs: u64,
    /// Records and bytes that compaction has looked at, and those it moved.
    pub compacted_bytes: u64,
    /// See above.
    pub moved_bytes: u64,
    /// Segments given back by compaction.
    pub segments_freed: u64,
    /// Jobs under way.
    pub jobs: u64,
}

impl Log {
    /// A log that goes on where `start` says. It makes its first segment at once; what is appended
    /// before that is there waits.
    #[must_use]
    pub fn new(_config: LogConfig, _start: LogStart, _now: Now) -> Self {
        todo!()
    }

    /// Appends a put or a delete to the open batch. `stamp` is the greatest version stamp given or
    /// seen so far.
    pub fn append(&mut self, _entry: &Entry<'_>, _stamp: u64) -> Result<Lsn, AppendError> {
        todo!()
    }

    /// Whether an append would be refused now, and why.
    #[must_use]
    pub fn refusal(&self) -> Option<AppendError> {
        todo!()
    }

    /// The end of a job.
    pub fn handle_disk(&mut self, _done: DiskDone, _now: Now) {
        todo!()
    }

    /// The moment named by [`Log::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, _now: Now) {
        todo!()
    }

    /// When [`Log::handle_timeout`] is due, in monotonic time.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        todo!()
    }

    /// The next batch that is durable: under [`super::settings::SyncPolicy::Always`] on the disk,
    /// otherwise written.
    pub fn poll_committed(&mut self) -> Option<Batch> {
        todo!()
    }

    /// Gives a batch's memory back.
    pub fn recycle(&mut self, _batch: Batch) {
        todo!()
    }

    /// Records that were given up.
    pub fn poll_dropped(&mut self) -> Option<Dropped> {
        todo!()
    }

    /// Does a bounded piece of compaction when the log is larger than `live_bytes` warrants.
    /// `is_live` says whether a put is the store's current record of its key and no write of the
    /// key is under way.
    pub fn compact(
        &mut self,
        _live_bytes: u64,
        _now: Now,
        _is_live: impl FnMut(&Record<'_>) -> bool,
    ) {
        todo!()
    }

    /// The next job for the disk.
    pub fn poll_job(&mut self, _now: Now) -> Option<DiskJob> {
        todo!()
    }

    /// From now on everything appended is synchronised and sealed at once: the node stops.
    /// Done when [`Log::is_at_rest`].
    pub fn close(&mut self) {
        todo!()
    }

    /// Whether no job is under way and everything appended is on the disk, or never will be.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        todo!()
    }

    /// How it does.
    #[must_use]
    pub fn report(&self) -> LogReport {
        todo!()
    }
}
