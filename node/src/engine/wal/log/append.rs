//! What is appended, and where it goes: batches in a row, segments in a row.
//! A batch knows its place before the segment is there, because checksums depend on it.

use proto::planted::{self, Bug};

use super::{Log, SEAL_PAUSE, Seal, SealedSegment, Spare, Tail};
use crate::engine::wal::batch::{BATCH_BYTES_MAX, Batch};
use crate::engine::wal::buffer::{BLOCK_BYTES, Buffer};
use crate::engine::wal::entry::{COMMIT_BYTES, ENTRY_BYTES_MAX, Entry};
use crate::engine::wal::maker::Plan;
use crate::engine::wal::names::Lsn;
use crate::engine::wal::report::AppendError;

impl Log {
    /// Adds a record to the open batch, of a caller or of compaction, and gives its lsn.
    pub(super) fn push(&mut self, entry: &Entry<'_>, is_callers: bool) -> Result<Lsn, AppendError> {
        let bytes = entry.padded_bytes();
        if !is_callers && !self.may_move(bytes) {
            return Err(self.refusal().unwrap_or(AppendError::Busy));
        }
        if self.open.as_ref().is_some_and(|open| !open.has_room(bytes)) {
            if self.closed.len() >= CLOSED_MAX {
                return Err(AppendError::Busy);
            }
            self.close_batch();
        }
        if self.open.is_none() {
            self.open_batch(bytes)?;
        }
        let open = self.open.as_mut().expect("a batch was opened");
        if is_callers {
            open.mark();
            self.figures.records += 1;
        }
        self.appended = open.push(entry);
        self.seal = Seal::At(self.now + SEAL_PAUSE);
        Ok(self.appended)
    }

    /// Whether compaction may append `bytes`: never in a segment that is not made yet, and on a
    /// full disk only as long as room for deletes is left.
    fn may_move(&self, bytes: usize) -> bool {
        let open = self.open.as_ref().map_or(0, Batch::padded_bytes);
        let added = (COMMIT_BYTES + bytes).next_multiple_of(BLOCK_BYTES) as u64;
        let end = self.tail.offset + open + added;
        let segment_bytes = u64::from(self.config.segment_bytes);
        let has_spare = self.spare.as_ref().is_some_and(|spare| spare.is_made);
        if self.is_full() && !has_spare {
            return self.tail.is_made && end <= segment_bytes / 8 * 7;
        }
        self.tail.is_made && (has_spare || end <= segment_bytes)
    }

    /// Opens a batch that has room for `bytes` at the log's end.
    pub(super) fn open_batch(&mut self, bytes: usize) -> Result<(), AppendError> {
        let needed = (COMMIT_BYTES + bytes).next_multiple_of(BLOCK_BYTES) as u64;
        let segment_bytes = u64::from(self.config.segment_bytes);
        assert!(
            needed + BLOCK_BYTES as u64 <= segment_bytes,
            "a segment holds the largest record"
        );
        if self.tail.offset + needed > segment_bytes {
            self.rotate()?;
        }
        if self.is_full() && !self.tail.is_made {
            return Err(self.refusal().unwrap_or(AppendError::Busy));
        }
        let room = segment_bytes - self.tail.offset;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let memory = self.pool.pop();
        let memory = memory.unwrap_or_else(|| (Buffer::with_capacity(BATCH_BYTES_MAX), Vec::new()));
        let first = self.appended.next();
        self.open = Some(Batch::open(self.tail.place(), first, room, memory));
        self.appended = first;
        Ok(())
    }

    /// Goes on to the next segment. One that is not made yet is waited for, another one after it
    /// is not planned; on a full disk there is none.
    pub(super) fn rotate(&mut self) -> Result<(), AppendError> {
        if !self.tail.is_made {
            return Err(AppendError::Busy);
        }
        let spare = match self.spare.take() {
            Some(spare) if spare.is_made || !self.is_full() => spare,
            Some(spare) => {
                self.spare = Some(spare);
                return Err(self.refusal().unwrap_or(AppendError::Busy));
            }
            None if self.is_full() => return Err(self.refusal().unwrap_or(AppendError::Busy)),
            None => Spare {
                plan: self.plan(),
                is_made: false,
            },
        };
        let mut tail = Tail::new(spare.plan);
        tail.is_made = spare.is_made;
        let old = std::mem::replace(&mut self.tail, tail);
        if let Some((first, last)) = old.records {
            self.sealed_bytes += u64::from(self.config.segment_bytes);
            self.sealed.push_back(SealedSegment {
                number: old.plan.number,
                salt: old.plan.salt,
                first,
                last,
                end: old.offset,
                file_bytes: u64::from(self.config.segment_bytes),
            });
        }
        Ok(())
    }

    /// Completes the open batch; it waits for a place under way.
    pub(super) fn close_batch(&mut self) {
        let Some(mut batch) = self.open.take() else {
            return;
        };
        let bytes = batch.padded_bytes();
        assert_eq!(batch.place, self.tail.place(), "batches lie in a row");
        self.tail.offset += bytes;
        let first = self.tail.records.map_or(batch.first, |(first, _)| first);
        self.tail.records = Some((first, batch.last));
        self.unpaid_bytes += bytes;
        batch.close(self.durable, self.stamp);
        self.figures.batches += 1;
        self.figures.batch_bytes += bytes;
        self.closed.push_back(batch);
    }

    /// The next segment and its salt.
    pub(super) fn plan(&mut self) -> Plan {
        let number = self.next_segment;
        self.next_segment = number.next();
        self.salts = self.salts.wrapping_add(SALT_STEP);
        Plan {
            number,
            salt: if planted::is(Bug::NoSalt) {
                0
            } else {
                mixed(self.salts)
            },
        }
    }
}

/// SplitMix64: a seed that no stranger knows gives salts that none can guess.
const fn mixed(seed: u64) -> u64 {
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

const SALT_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Full batches that may wait for a place under way: as many bytes as requests under way may hold.
const CLOSED_MAX: usize = 256;

const _: () = assert!(BATCH_BYTES_MAX > COMMIT_BYTES + ENTRY_BYTES_MAX + BLOCK_BYTES);
