//! A batch while it is filled: what one write will carry. It knows its place from the start,
//! because the checksums of its records depend on the segment.

use super::buffer::{BLOCK_BYTES, Buffer};
use super::entry::{COMMIT_BYTES, Commit, Entry, Placed};
use super::names::{FileName, Lsn, SegmentNumber};

/// Most bytes of a batch, whole blocks.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Where a batch is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) segment: SegmentNumber,
    pub(super) salt: u64,
    /// Bytes from the start of the file.
    pub(super) offset: u64,
}

/// Records on their way to the disk, or those that have arrived there: to be applied to the store
/// in this order, then given back with `Log::recycle`.
#[derive(Debug)]
pub struct Batch {
    pub(super) place: Place,
    /// The lsn of its commit record.
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) buffer: Buffer,
    /// Where the records of callers start; those that compaction moved are not among them.
    pub(super) starts: Vec<u32>,
    /// How many bytes the batch may have at its place.
    room_bytes: usize,
}

impl Place {
    /// The file it is in.
    pub(super) const fn file(&self) -> FileName {
        FileName::Segment(self.segment)
    }
}

impl Batch {
    /// An empty batch at `place`, where `room_bytes` are left, in emptied memory.
    pub(super) fn open(
        place: Place,
        first: Lsn,
        room_bytes: usize,
        (mut buffer, mut starts): (Buffer, Vec<u32>),
    ) -> Self {
        buffer.clear();
        buffer.extend(&Commit::default().encode(first, place.salt));
        starts.clear();
        Self {
            place,
            first,
            last: first,
            buffer,
            starts,
            room_bytes: room_bytes.min(BATCH_BYTES_MAX),
        }
    }

    /// Whether `bytes` more fit.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.buffer.len() + bytes <= self.room_bytes
    }

    /// Adds a record and gives its lsn; the caller sees to the room.
    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Lsn {
        self.last = self.last.next();
        entry.encode(self.last, self.place.salt, &mut self.buffer);
        self.last
    }

    /// Notes that the record pushed next is one of a caller.
    pub(super) fn mark(&mut self) {
        let start = u32::try_from(self.buffer.len()).expect("batches are small");
        self.starts.push(start);
    }

    /// Fills it up to the end of its last block and completes its commit record.
    pub(super) fn close(&mut self, durable: Lsn, stamp: u64) {
        self.buffer.pad();
        let batch_bytes = u32::try_from(self.buffer.len()).expect("batches are small");
        let commit = Commit {
            durable,
            stamp,
            batch_bytes,
        };
        let record = commit.encode(self.first, self.place.salt);
        self.buffer.as_mut_bytes()[..COMMIT_BYTES].copy_from_slice(&record);
    }

    /// Bytes it takes on the disk.
    pub(super) fn padded_bytes(&self) -> u64 {
        self.buffer.len().next_multiple_of(BLOCK_BYTES) as u64
    }

    /// The lsn of its last record.
    #[must_use]
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// Its records that callers appended: neither the commit record nor those that compaction
    /// moved.
    pub fn entries(&self) -> impl Iterator<Item = Placed<'_>> {
        let bytes = self.buffer.as_bytes();
        self.starts.iter().map(move |start| {
            let record = bytes.get(*start as usize..).unwrap_or(&[]);
            Entry::decode_trusted(record).expect("a batch is what was appended to it")
        })
    }
}

const _: () = assert!(BATCH_BYTES_MAX.is_multiple_of(BLOCK_BYTES));
