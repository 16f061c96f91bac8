//! STUB of the contract: reading a shard's log at start.

use thiserror::Error;

use super::disk::{DiskDone, DiskError, DiskJob};
use super::entry::Entry;
use super::log::LogStart;
use super::names::{FileName, Lsn, SegmentNumber};

/// Reads all segments of a shard and hands every record that counts to a sink, in the order of
/// their lsns. Writes nothing.
///
/// Drain rule: [`Recovery::poll_job`] until `None`, carry the jobs out (in any order), hand each end
/// to [`Recovery::handle_disk`], and again, until [`Recovery::poll_outcome`] is `Some`.
pub struct Recovery {}

/// What a recovery has to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryConfig {
    /// The high bits of the node's id.
    pub node: u64,
    /// The shard.
    pub shard: u16,
    /// Go on behind damaged ranges and report them, instead of refusing: for `wal salvage`.
    pub is_salvage: bool,
}

/// A file found in the shard's folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundFile {
    /// Its name.
    pub name: FileName,
    /// Its length in bytes.
    pub bytes: u64,
}

/// How far a recovery is, and what it has found at its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveryReport {
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes to be read in all.
    pub bytes_total: u64,
    /// Segments read.
    pub segments: u64,
    /// Records handed to the sink: puts and deletes.
    pub records: u64,
    /// Batches written but never acknowledged, behind the end of the log: cut off.
    pub torn_bytes: u64,
    /// Damaged ranges; empty unless it is a salvage.
    pub damage: Vec<DamagedRange>,
    /// Things that are not as they were written but lose nothing, such as one of two copies.
    pub warnings: Vec<String>,
}

/// A part of a segment that is not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRange {
    /// The segment.
    pub segment: SegmentNumber,
    /// First byte in the file.
    pub from: u64,
    /// First byte behind it.
    pub to: u64,
    /// The first lsn that is missing.
    pub first: Lsn,
    /// The last lsn that is missing.
    pub last: Lsn,
}

/// Why a log cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecoveryError {
    /// Records that were acknowledged are damaged (the medium's fault).
    #[error(
        "segment {} is damaged from byte {} to {}: records {} to {} are lost; \
         `chordite wal salvage` keeps the others",
        .0.segment.0, .0.from, .0.to, .0.first, .0.last
    )]
    Damaged(DamagedRange),
    /// A segment is of another node or shard, or of a newer format (the operator's to mend).
    #[error("{file}: {reason}")]
    Foreign {
        /// The file.
        file: FileName,
        /// Why.
        reason: String,
    },
    /// A file cannot be read (the medium's fault).
    #[error("{file}: {error}")]
    Unreadable {
        /// The file.
        file: FileName,
        /// Why.
        error: DiskError,
    },
    /// The records do not fit the memory cap (the operator's to mend).
    #[error("the log holds more than memory_max allows: {reason}")]
    Memory {
        /// The store's words.
        reason: String,
    },
}

impl Recovery {
    /// A recovery of these files.
    #[must_use]
    pub fn new(_config: RecoveryConfig, _files: &[FoundFile]) -> Self {
        todo!()
    }

    /// The next job: reads only.
    pub fn poll_job(&mut self) -> Option<DiskJob> {
        todo!()
    }

    /// The end of a job. `sink` gets every put and delete that counts, in the order of writing; an
    /// error of it ends the recovery as [`RecoveryError::Memory`].
    pub fn handle_disk(
        &mut self,
        _done: DiskDone,
        _sink: impl FnMut(&Entry<'_>) -> Result<(), String>,
    ) {
        todo!()
    }

    /// How far it is.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        todo!()
    }

    /// The end, once.
    pub fn poll_outcome(&mut self) -> Option<Result<LogStart, RecoveryError>> {
        todo!()
    }
}
