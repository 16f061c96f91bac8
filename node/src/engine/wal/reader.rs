//! The bytes of a segment as a row of pieces: records, damage, the end. What is damage and what was
//! never written is told apart by what follows: only the log knows the salt, so that a record whose
//! checksum fits was written here, and everything before it as well.
//!
//! Knows nothing of other segments: which of the records count is decided by
//! [`super::recovery`].

use proto::planted::{self, Bug};

use super::buffer::BLOCK_BYTES;
use super::entry::{ALIGN_BYTES, COMMIT_BYTES, ENTRY_BYTES_MAX, Entry, PUT_HEAD_BYTES, Placed};
use super::names::Lsn;

/// Reads a whole segment, its header's block included, from its first batch to its end. The last
/// piece is always a [`Piece::End`]; pieces lie one behind the other, zeros between a batch's last
/// record and its end left out.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    salt: u64,
    at: usize,
    /// Where the batch ends that is being read; none between batches, and in a batch whose commit
    /// record is damaged.
    batch_end: Option<usize>,
    last: Lsn,
    /// Bytes that may still be hashed in vain.
    budget: usize,
    is_done: bool,
}

/// A part of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// A record as it was written.
    Entry {
        /// Its first byte in the file.
        offset: u64,
        /// What it is.
        placed: Placed<'a>,
    },
    /// Bytes that are not what was written.
    Damage(Damage),
    /// Nothing that was written here follows.
    End(End),
}

/// Bytes that are not what was written, because a record follows that was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damage {
    /// First byte in the file.
    pub from: u64,
    /// First byte of the record that follows.
    pub to: u64,
    /// Whether it begins in its batch's last block, where it may be nothing but the zeros behind
    /// the last record. Then the record that follows has the next lsn.
    pub is_in_last_block: bool,
}

/// Where the records of a segment end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// First byte behind the last whole batch, or behind the last record of a batch that is not.
    pub offset: u64,
    /// First byte behind the last batch, as its commit record has it; [`End::offset`] when all of
    /// that is there.
    pub announced: u64,
    /// First byte behind the last one that is not zero; at least [`End::offset`].
    pub filled: u64,
}

impl End {
    /// Whether all records are whole and nothing was ever written behind them.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.announced == self.offset && self.filled == self.offset
    }
}

impl<'a> Reader<'a> {
    /// A reader of a segment's bytes, all of them, written with this salt.
    #[must_use]
    pub fn new(bytes: &'a [u8], salt: u64) -> Self {
        Self {
            bytes,
            salt,
            at: BLOCK_BYTES.min(bytes.len()),
            batch_end: None,
            last: Lsn(0),
            budget: bytes.len().saturating_mul(BUDGET_FACTOR),
            is_done: false,
        }
    }

    /// The record at `self.at`.
    #[inline]
    fn take(&mut self) -> Option<Piece<'a>> {
        let until = self.batch_end.unwrap_or(self.bytes.len());
        let rest = self.bytes.get(self.at..until)?;
        let placed = Entry::decode(rest, self.salt)?;
        let next = self.at.checked_add(placed.bytes)?;
        if let Entry::Commit(commit) = placed.entry {
            if self.batch_end.is_some() {
                return None;
            }
            self.batch_end = Some(batch_end(self.at, commit.batch_bytes)?.min(self.bytes.len()));
        }
        let offset = as_offset(self.at);
        self.last = placed.lsn;
        self.at = next;
        if self.batch_end == Some(next) {
            self.batch_end = None;
        }
        Some(Piece::Entry { offset, placed })
    }

    /// Passes the zeros behind the last record of a batch. Whether there were any.
    fn skip_padding(&mut self) -> bool {
        let block_end = self.at.next_multiple_of(BLOCK_BYTES).min(self.bytes.len());
        let end = self.batch_end.unwrap_or(block_end);
        let is_last_block = self.at < end && end <= block_end;
        let padding = self.bytes.get(self.at..end);
        if !is_last_block || !padding.is_some_and(is_zero) {
            return false;
        }
        self.at = end;
        self.batch_end = None;
        true
    }

    /// What stands where a record should: damage when another one follows, otherwise the end.
    #[cold]
    fn resume(&mut self) -> Piece<'a> {
        let from = self.at;
        self.budget = self.budget.saturating_sub(self.claimed(from));
        let next = if planted::is(Bug::CutAtFirstBad) {
            None
        } else {
            self.find(from.saturating_add(ALIGN_BYTES))
        };
        let Some(to) = next else {
            return self.end();
        };
        let is_commit =
            to.is_multiple_of(BLOCK_BYTES) && self.bytes.get(to..).is_some_and(claims_commit);
        let is_in_last_block = self
            .batch_end
            .is_some_and(|end| end.saturating_sub(from) < BLOCK_BYTES);
        self.at = to;
        if is_commit || self.batch_end.is_some_and(|end| to >= end) {
            self.batch_end = None;
        }
        Piece::Damage(Damage {
            from: as_offset(from),
            to: as_offset(to),
            is_in_last_block,
        })
    }

    fn end(&mut self) -> Piece<'a> {
        self.is_done = true;
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let filled = rest.iter().rposition(|byte| *byte != 0);
        let filled = filled.map_or(0, |last| last.saturating_add(1));
        Piece::End(End {
            offset: as_offset(self.at),
            announced: as_offset(self.batch_end.unwrap_or(self.at)),
            filled: as_offset(self.at.saturating_add(filled)),
        })
    }

    /// The first place from `at` on where a record stands.
    fn find(&mut self, mut at: usize) -> Option<usize> {
        while at.saturating_add(COMMIT_BYTES) <= self.bytes.len() {
            let rest = self.bytes.get(at..)?;
            let block = rest.get(..BLOCK_BYTES).unwrap_or(rest);
            if at.is_multiple_of(BLOCK_BYTES) && is_zero(block) {
                at = at.saturating_add(BLOCK_BYTES);
                continue;
            }
            if self.may_start(at, rest) {
                if self.is_record(at, rest) {
                    return Some(at);
                }
                self.budget = self.budget.saturating_sub(self.claimed(at));
            }
            at = if self.budget == 0 {
                at.saturating_add(1).next_multiple_of(BLOCK_BYTES)
            } else {
                at.saturating_add(ALIGN_BYTES)
            };
        }
        None
    }

    /// Whether a record may start here, by what can be seen without its checksum.
    #[inline]
    fn may_start(&self, at: usize, rest: &[u8]) -> bool {
        let Some(head) = rest.first_chunk::<24>() else {
            return false;
        };
        let [_, word, lsn] = [0, 8, 16].map(|at| word_at(head, at));
        let length = usize::try_from(word & 0xffff_ffff).unwrap_or(usize::MAX);
        let fits = match word >> 32 {
            1 => length == COMMIT_BYTES && at.is_multiple_of(BLOCK_BYTES),
            2 => (PUT_HEAD_BYTES..=ENTRY_BYTES_MAX).contains(&length),
            3 => length == PUT_HEAD_BYTES,
            _ => false,
        };
        // In a segment lsns rise; this spares most of a file's former records their hash.
        fits && lsn > self.last.0
    }

    fn is_record(&self, at: usize, rest: &[u8]) -> bool {
        match Entry::decode(rest, self.salt).map(|placed| placed.entry) {
            Some(Entry::Commit(commit)) => batch_end(at, commit.batch_bytes).is_some(),
            Some(_) => true,
            None => false,
        }
    }

    /// The length claimed by what stands at `at`: what hashing it has cost.
    fn claimed(&self, at: usize) -> usize {
        let head = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        let length = head.map_or(0, |head: &[u8; 24]| word_at(head, 8) & 0xffff_ffff);
        usize::try_from(length).map_or(ENTRY_BYTES_MAX, |length| length.min(ENTRY_BYTES_MAX))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Piece<'a>;

    #[inline]
    fn next(&mut self) -> Option<Piece<'a>> {
        if self.is_done {
            return None;
        }
        if let Some(piece) = self.take() {
            return Some(piece);
        }
        if self.skip_padding()
            && let Some(piece) = self.take()
        {
            return Some(piece);
        }
        Some(self.resume())
    }
}

/// Where a batch ends that starts at `at`; `None` when no batch can be so.
pub(super) fn batch_end(at: usize, batch_bytes: u32) -> Option<usize> {
    let bytes = usize::try_from(batch_bytes).ok()?;
    let is_whole = bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES);
    let is_placed = at.is_multiple_of(BLOCK_BYTES);
    (is_whole && is_placed)
        .then(|| at.checked_add(bytes))
        .flatten()
}

fn claims_commit(bytes: &[u8]) -> bool {
    bytes.get(12..16) == Some(&[1, 0, 0, 0])
}

/// Whether all bytes are zero; without an early exit in a piece, so that it is done by vectors.
fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(256)
        .all(|chunk| chunk.iter().fold(0, |sum, byte| sum | byte) == 0)
}

#[inline]
fn word_at(head: &[u8; 24], at: usize) -> u64 {
    let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn as_offset(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// How often a segment may be hashed in vain before only starts of blocks are looked at: bytes
/// that claim to be long records at every step would otherwise cost hours.
const BUDGET_FACTOR: usize = 16;
