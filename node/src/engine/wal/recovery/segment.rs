//! What the walk knows of a segment: what its first blocks said, what later ones leave of it, and
//! what was found in it.

use super::head::Head;
use crate::engine::wal::buffer::BLOCK_BYTES;
use crate::engine::wal::log::SealedSegment;
use crate::engine::wal::names::Lsn;

/// A segment on the way through all of them.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) head: Head,
    /// The least first lsn of all later segments: here only smaller ones count.
    pub(super) limit: Lsn,
    pub(super) counted: Option<Counted>,
    /// Bytes behind the records that count which are not what an unused file holds.
    pub(super) rest: Option<(u64, u64)>,
    /// Whether nothing in it is valid, when that is known.
    pub(super) is_empty: Option<bool>,
    /// Whether it lies behind a later segment's start, so that nothing in it counts.
    pub(super) is_void: bool,
}

/// The records of a segment that count: first and last lsn, and where the last one ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) end: u64,
}

impl Segment {
    pub(super) fn new(head: Head) -> Self {
        Self {
            head,
            limit: Lsn(u64::MAX),
            counted: None,
            rest: None,
            is_empty: None,
            is_void: false,
        }
    }

    /// Whether a record in it may count, or show that another one did.
    pub(super) fn may_count(&self) -> bool {
        let is_void = self.head.first.is_some_and(|first| first >= self.limit);
        self.head.header.is_some() && !is_void
    }

    /// Where the block ends that holds its last record that counts.
    pub(super) fn end(&self) -> u64 {
        let end = self.counted.map_or(BLOCK_BYTES as u64, |it| it.end);
        block_end(end).min(self.head.file_bytes)
    }

    /// Where what is missing behind its last record may begin: in the same block when something
    /// is there that is no record, with the next batch otherwise.
    pub(super) fn missing_from(&self) -> u64 {
        self.rest
            .map_or_else(|| self.end(), |(from, _)| from.min(self.end()))
    }

    pub(super) fn seal(&self, counted: Counted) -> SealedSegment {
        SealedSegment {
            number: self.head.number,
            salt: self.head.header.map_or(0, |header| header.salt),
            first: counted.first,
            last: counted.last,
            end: self.end(),
            file_bytes: self.head.file_bytes,
        }
    }

    /// Whether it is one that a recovery which cut at `lsn` would have made, its start damaged.
    pub(super) fn is_cut_at(&self, lsn: Lsn) -> bool {
        let starts = self.head.header.is_some_and(|it| it.least_lsn == lsn);
        starts && self.head.first.is_none() && self.is_empty != Some(true)
    }
}

/// The end of the block in which `offset` lies, or `offset` when a block ends there.
pub(super) fn block_end(offset: u64) -> u64 {
    offset
        .checked_next_multiple_of(BLOCK_BYTES as u64)
        .unwrap_or(offset)
}
