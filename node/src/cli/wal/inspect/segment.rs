//! One segment: what its bytes are, by its own header and checksums alone. Whether a node would use
//! a record is only told where another segment shows that it would not.

use node::engine::wal::buffer::BLOCK_BYTES;
use node::engine::wal::entry::{Entry, Placed};
use node::engine::wal::header::SegmentHeader;
use node::engine::wal::names::FileName;
use node::engine::wal::reader::{Piece, Reader};
use serde::Serialize;

use super::records::Place;
use crate::cli::failure::Failure;

/// What a segment holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct SegmentReport {
    segment: u64,
    file: String,
    bytes: u64,
    /// Whether the file had another number before.
    is_recycled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_lsn: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_lsn: Option<u64>,
    batches: u64,
    puts: u64,
    deletes: u64,
    /// Records that a later start has cut off: they were never acknowledged.
    void: u64,
    /// Bytes of the header's block and of all records.
    used_bytes: u64,
    /// Zeros that fill up batches.
    padding_bytes: u64,
    damaged_bytes: u64,
    /// Bytes behind the last batch.
    free_bytes: u64,
    /// Bytes behind the last batch that are not zero: of the file's former records, or a torn tail.
    old_bytes: u64,
    /// Damaged ranges: first byte, and first byte behind.
    damage: Vec<(u64, u64)>,
    /// Why nothing of it can be read, or what else is not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

/// The columns of [`SegmentReport::row`].
pub(super) const HEAD: [&str; 13] = [
    "SHARD",
    "SEGMENT",
    "FIRST_LSN",
    "LAST_LSN",
    "BATCHES",
    "PUTS",
    "DELETES",
    "VOID",
    "USED",
    "PADDING",
    "DAMAGED",
    "FREE",
    "RECYCLED",
];

impl SegmentReport {
    /// Reads the bytes of `file`, all of them, and hands every record to `tell`.
    pub(super) fn read(
        file: FileName,
        bytes: &[u8],
        mut tell: impl FnMut(Place, &Placed<'_>) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut report = Self {
            segment: file.number().0,
            file: file.to_string(),
            bytes: bytes.len() as u64,
            ..Self::default()
        };
        let header = match SegmentHeader::decode(bytes) {
            Ok(read) => {
                let words = "the header's block is not as it was written, one copy is good";
                report.fault = (!read.is_whole).then(|| words.to_owned());
                read.header
            }
            Err(error) => {
                report.fault = Some(error.to_string());
                return Ok(report);
            }
        };
        report.is_recycled = header.is_recycled;
        report.used_bytes = BLOCK_BYTES as u64;
        for piece in Reader::new(bytes, header.salt) {
            match piece {
                Piece::Entry { offset, placed } => {
                    report.count(&placed);
                    let segment = file.number();
                    tell(Place { segment, offset }, &placed)?;
                }
                Piece::Damage(damage) => {
                    report.damage.push((damage.from, damage.to));
                    report.damaged_bytes += damage.to.saturating_sub(damage.from);
                }
                Piece::End(end) => {
                    let held = report.used_bytes + report.damaged_bytes;
                    report.padding_bytes = end.offset.saturating_sub(held);
                    report.free_bytes = report.bytes.saturating_sub(end.offset);
                    report.old_bytes = end.filled.saturating_sub(end.offset);
                }
            }
        }
        Ok(report)
    }

    fn count(&mut self, placed: &Placed<'_>) {
        match placed.entry {
            Entry::Commit(_) => self.batches += 1,
            Entry::Put(_) => self.puts += 1,
            Entry::Delete { .. } => self.deletes += 1,
        }
        self.used_bytes += placed.bytes as u64;
        self.first_lsn = self.first_lsn.or(Some(placed.lsn.0));
        self.last_lsn = Some(placed.lsn.0);
    }

    /// Puts and deletes.
    pub(super) const fn records(&self) -> u64 {
        self.puts + self.deletes
    }

    /// Its line in the table.
    pub(super) fn row(&self, shard: u16) -> [String; HEAD.len()] {
        let lsn = |lsn: Option<u64>| lsn.map_or("-".to_owned(), |lsn| lsn.to_string());
        [
            shard.to_string(),
            self.segment.to_string(),
            lsn(self.first_lsn),
            lsn(self.last_lsn),
            self.batches.to_string(),
            self.puts.to_string(),
            self.deletes.to_string(),
            self.void.to_string(),
            self.used_bytes.to_string(),
            self.padding_bytes.to_string(),
            self.damaged_bytes.to_string(),
            self.free_bytes.to_string(),
            if self.is_recycled { "yes" } else { "no" }.to_owned(),
        ]
    }

    /// Everything about it that does not fit the table.
    pub(super) fn lines(&self, shard: u16) -> String {
        let Self {
            file, old_bytes, ..
        } = self;
        let mut text = String::new();
        if let Some(fault) = &self.fault {
            text.push_str(&format!("shard {shard}, {file}: {fault}\n"));
        }
        for (from, to) in &self.damage {
            text.push_str(&format!(
                "shard {shard}, {file}: bytes {from} to {to} are not what was written\n"
            ));
        }
        if *old_bytes > 0 {
            text.push_str(&format!(
                "shard {shard}, {file}: {old_bytes} bytes behind the last batch are of the \
                 file's former records or of a write that was cut short\n"
            ));
        }
        text
    }
}

/// Counts the records that do not count: a later segment goes on before them. `segments` are in
/// their order.
pub(super) fn mark_void(segments: &mut [SegmentReport]) {
    let mut limit = u64::MAX;
    for segment in segments.iter_mut().rev() {
        let (Some(first), Some(last)) = (segment.first_lsn, segment.last_lsn) else {
            continue;
        };
        segment.void = (last + 1).saturating_sub(limit.max(first));
        limit = limit.min(first);
    }
}
