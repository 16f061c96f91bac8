//! What the first two blocks of a segment tell: whose it is, the salt of its checksums, and the
//! lsn it starts with.

use super::{DamagedRange, FoundFile, RecoveryConfig, RecoveryError};
use crate::engine::wal::buffer::BLOCK_BYTES;
use crate::engine::wal::entry::Entry;
use crate::engine::wal::header::{HeaderError, SegmentHeader};
use crate::engine::wal::names::{FileName, Lsn, SegmentNumber};
use crate::engine::wal::reader::batch_end;

/// What is known of a segment before all of it is read.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Its number.
    pub(super) number: SegmentNumber,
    /// Length of the file.
    pub(super) file_bytes: u64,
    /// Its header; none when both copies are damaged.
    pub(super) header: Option<SegmentHeader>,
    /// The lsn of its first record, when its first commit record is there.
    pub(super) first: Option<Lsn>,
    /// What that commit record attests.
    pub(super) durable: Lsn,
    /// What that commit record has for the greatest stamp, or the header for the least.
    pub(super) stamp: u64,
}

impl Head {
    /// Reads the first two blocks of `file`.
    pub(super) fn read(
        config: &RecoveryConfig,
        file: FoundFile,
        bytes: &[u8],
        warnings: &mut Vec<String>,
    ) -> Result<Self, RecoveryError> {
        let foreign = |reason: String| RecoveryError::Foreign {
            file: file.name,
            reason,
        };
        let mut head = Self {
            number: file.name.number(),
            file_bytes: file.bytes,
            header: None,
            first: None,
            durable: Lsn(0),
            stamp: 0,
        };
        let read = match SegmentHeader::decode(bytes.get(..BLOCK_BYTES).unwrap_or(bytes)) {
            Ok(read) => read,
            Err(HeaderError::Damaged) => return Ok(head),
            Err(error @ HeaderError::Newer { .. }) => return Err(foreign(error.to_string())),
        };
        let header = read.header;
        if let Some(reason) = mismatch(config, file.name, &header) {
            return Err(foreign(reason));
        }
        if !read.is_whole {
            warnings.push(format!("{}: the header's block is damaged", file.name));
        }
        let made = u64::from(header.segment_bytes);
        if made != file.bytes {
            let reason = format!("the file has {} bytes, it was made with {made}", file.bytes);
            // A file gets its name with its full length and keeps it; nobody knows what was there.
            if file.bytes < made && !config.is_salvage {
                return Err(RecoveryError::Damaged(DamagedRange {
                    segment: file.name.number(),
                    from: file.bytes,
                    to: made,
                    first: header.least_lsn,
                    last: header.least_lsn,
                }));
            }
            warnings.push(format!("{}: {reason}", file.name));
        }
        head.header = Some(header);
        head.stamp = header.stamp_floor;
        head.read_commit(bytes.get(BLOCK_BYTES..).unwrap_or(&[]), header.salt);
        if head.first.is_some_and(|first| first < header.least_lsn) {
            warnings.push(format!("{}: starts before its least lsn", file.name));
        }
        Ok(head)
    }

    fn read_commit(&mut self, block: &[u8], salt: u64) {
        let Some(placed) = Entry::decode(block, salt) else {
            return;
        };
        if let Entry::Commit(commit) = placed.entry
            && batch_end(BLOCK_BYTES, commit.batch_bytes).is_some()
        {
            self.first = Some(placed.lsn);
            self.durable = commit.durable;
            self.stamp = self.stamp.max(commit.stamp);
        }
    }

    /// Its file.
    pub(super) fn name(&self) -> FileName {
        FileName::Segment(self.number)
    }
}

/// Why a segment is not this shard's.
fn mismatch(config: &RecoveryConfig, name: FileName, header: &SegmentHeader) -> Option<String> {
    if header.node != config.node {
        return Some(format!(
            "the segment was written by node {:016x}, this is node {:016x}",
            header.node, config.node
        ));
    }
    if header.shard != config.shard {
        return Some(format!(
            "the segment is of shard {}, this is shard {}",
            header.shard, config.shard
        ));
    }
    (header.number != name.number()).then(|| {
        format!(
            "the segment has number {:016x} in its header: the file was renamed or copied",
            header.number.0
        )
    })
}
