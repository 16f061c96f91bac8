//! Compaction: the records of the oldest segment that are still live are appended again, then the
//! segment is given back.
//!
//! Always the oldest: nothing older of any key can exist, so its tombstones and expired records may
//! go, and no record needs to remember in memory where it lies. At the default setting uniform
//! overwrites are written 2.4 times in all, and so are those of a few hot keys among cold ones.

use std::time::Duration;

use super::batch::BATCH_BYTES_MAX;
use super::buffer::{BLOCK_BYTES, Buffer};
use super::disk::{DiskError, DiskErrorKind, DiskOp};
use super::entry::{Entry, Placed};
use super::log::SealedSegment;
use super::names::{FileName, Lsn};

/// Bytes read for every byte that is appended while compaction has to be done: enough to catch up
/// when nothing of the oldest half is dead.
const READ_PER_APPENDED: u64 = 4;

/// Bytes a second that are read at least while compaction has to be done.
const READ_PER_SECOND_MIN: u64 = 16 << 20;

/// Most bytes of reading that may be saved up.
const BUDGET_MAX: u64 = 4 * BATCH_BYTES_MAX as u64;

/// Bytes of records looked at in one step: some ten microseconds. A turn that appended much looks
/// at as many more as it pays for, up to a window: long turns are few, and the log must not outgrow
/// it.
const STEP_BYTES: u64 = 64 * 1024;

/// How often a read that was interrupted is tried, in all.
const ATTEMPTS_MAX: u8 = 3;

/// What compaction is doing.
#[derive(Debug, Default)]
pub(super) struct Compaction {
    phase: Phase,
    budget: u64,
    /// Bytes of records to be looked at in the next step.
    step_bytes: u64,
    paid_until: Duration,
    attempts: u8,
    /// The last record passed in the windows before: the next one goes on behind it.
    passed: Option<Lsn>,
    /// A live record could not be appended: something else has to happen first.
    is_blocked: bool,
    /// Memory of the last read.
    spare: Option<Buffer>,
    /// Why it has stopped for good.
    pub(super) damage: Option<String>,
    pub(super) read_bytes: u64,
    pub(super) moved_bytes: u64,
    pub(super) segments_freed: u64,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Rest,
    /// The batch at this offset is to be read.
    Wanting(SealedSegment, u64),
    Reading(SealedSegment, u64),
    Judging(Window),
    /// Everything live was appended again, up to this lsn; that has to be durable.
    Draining(SealedSegment, Lsn),
}

/// A piece of a segment in memory.
#[derive(Debug)]
struct Window {
    segment: SealedSegment,
    buffer: Buffer,
    /// Where the window begins in the file.
    base: u64,
    /// Where the batch at hand ends, and its next record begins, within the window.
    batch_end: usize,
    next: usize,
    /// The last record passed: the next batch goes on behind it.
    passed: Option<Lsn>,
    /// The last record that counts was passed.
    is_over: bool,
}

/// What is next in a window.
enum Next<'a> {
    Record(Placed<'a>),
    /// The window holds nothing more; the batch at this offset of the file comes next.
    Read(u64),
    /// The segment has been gone through.
    End,
    /// What should be a record is none.
    Damage(u64),
}

impl Compaction {
    /// Whether a segment is being gone through.
    pub(super) fn is_active(&self) -> bool {
        !matches!(self.phase, Phase::Rest)
    }

    /// Whether a read is under way.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Reading(..))
    }

    /// Begins with a segment.
    pub(super) fn begin(&mut self, segment: SealedSegment) {
        if self.damage.is_none() {
            self.passed = None;
            self.phase = Phase::Wanting(segment, BLOCK_BYTES as u64);
        }
    }

    /// Begins again with the segment at hand: some of what was appended again was given up.
    pub(super) fn restart(&mut self) {
        let segment = match &self.phase {
            Phase::Rest => return,
            Phase::Wanting(segment, _)
            | Phase::Reading(segment, _)
            | Phase::Draining(segment, _) => *segment,
            Phase::Judging(window) => window.segment,
        };
        self.passed = None;
        if !self.is_reading() {
            self.phase = Phase::Wanting(segment, BLOCK_BYTES as u64);
        } else {
            self.phase = Phase::Reading(segment, RESTART);
        }
    }

    /// Pays for reading: by bytes appended, and by time.
    pub(super) fn pay(&mut self, appended_bytes: u64, now: Duration) {
        let elapsed = now
            .saturating_sub(self.paid_until)
            .min(Duration::from_secs(1));
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.paid_until = now;
        let owed = appended_bytes * READ_PER_APPENDED;
        self.step_bytes = owed.clamp(STEP_BYTES, BATCH_BYTES_MAX as u64);
        let earned = owed + elapsed_us.saturating_mul(READ_PER_SECOND_MIN) / 1_000_000;
        self.budget = self.budget.saturating_add(earned).min(BUDGET_MAX);
    }

    /// When enough has been paid for the next read; `None` when nothing is to be read.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Wanting(segment, offset) => {
                let missing = window_bytes(segment, *offset).saturating_sub(self.budget);
                let wait_us = missing * 1_000_000 / READ_PER_SECOND_MIN;
                Some(self.paid_until + Duration::from_micros(wait_us))
            }
            Phase::Judging(_) if !self.is_blocked => Some(self.paid_until),
            _ => None,
        }
    }

    /// The next read, when it is paid for.
    pub(super) fn poll_op(&mut self) -> Option<DiskOp> {
        let Phase::Wanting(segment, offset) = self.phase else {
            return None;
        };
        let bytes = window_bytes(&segment, offset);
        if bytes > self.budget {
            return None;
        }
        self.budget -= bytes;
        self.phase = Phase::Reading(segment, offset);
        let spare = self.spare.take();
        let mut buffer = spare.unwrap_or_else(|| Buffer::with_capacity(BATCH_BYTES_MAX));
        buffer.resize(usize::try_from(bytes).unwrap_or(BATCH_BYTES_MAX));
        Some(DiskOp::Read {
            file: FileName::Segment(segment.number),
            offset,
            buffer,
        })
    }

    /// The end of the read.
    pub(super) fn handle_read(&mut self, result: Result<u64, DiskError>, buffer: Option<Buffer>) {
        let Phase::Reading(segment, offset) = self.phase else {
            return;
        };
        if offset == RESTART {
            self.spare = buffer;
            self.phase = Phase::Wanting(segment, BLOCK_BYTES as u64);
            return;
        }
        let wanted = buffer.as_ref().map(|buffer| buffer.len() as u64);
        let is_whole = wanted.is_some() && result.as_ref().ok() == wanted.as_ref();
        if let (true, Some(buffer)) = (is_whole, buffer) {
            self.attempts = 0;
            self.read_bytes += buffer.len() as u64;
            let window = Window::new(segment, offset, buffer, self.passed);
            self.phase = Phase::Judging(window);
            return;
        }
        self.attempts += 1;
        let reason = match result {
            Ok(bytes) => format!("a read ended after {bytes} bytes"),
            Err(error) if error.kind == DiskErrorKind::Interrupted => error.reason,
            Err(error) => return self.stop(error.reason),
        };
        if self.attempts < ATTEMPTS_MAX {
            self.phase = Phase::Wanting(segment, offset);
        } else {
            self.stop(reason);
        }
    }

    /// Looks at some records. `place` appends a live one again, and says false when that cannot be
    /// done now. Whether the segment has been gone through: then [`Compaction::drain`] follows.
    pub(super) fn judge(&mut self, mut place: impl FnMut(&Entry<'_>) -> bool) -> bool {
        let Phase::Judging(window) = &mut self.phase else {
            return false;
        };
        self.is_blocked = false;
        let mut looked_bytes = 0;
        while looked_bytes < self.step_bytes {
            match window.look() {
                Next::Record(Placed { lsn, entry, bytes }) => {
                    if !place(&entry) {
                        self.is_blocked = true;
                        return false;
                    }
                    looked_bytes += bytes as u64;
                    window.pass(lsn, bytes);
                }
                Next::Read(offset) => {
                    let segment = window.segment;
                    self.passed = window.passed;
                    self.leave(Phase::Wanting(segment, offset));
                    return false;
                }
                Next::End => return true,
                Next::Damage(offset) => {
                    let file = FileName::Segment(window.segment.number);
                    self.stop(format!("{file} is damaged at byte {offset}"));
                    return false;
                }
            }
        }
        false
    }

    /// The segment goes when everything up to `upto` is durable.
    pub(super) fn drain(&mut self, upto: Lsn) {
        if let Phase::Judging(window) = &self.phase {
            let segment = window.segment;
            self.leave(Phase::Draining(segment, upto));
        }
    }

    /// The segment that may be given back, once what was live in it is durable elsewhere.
    pub(super) fn poll_freed(&mut self, durable: Lsn) -> Option<SealedSegment> {
        let Phase::Draining(segment, upto) = self.phase else {
            return None;
        };
        if durable < upto {
            return None;
        }
        self.phase = Phase::Rest;
        self.segments_freed += 1;
        Some(segment)
    }

    /// Up to which lsn everything has to become durable for compaction to go on.
    pub(super) fn wanted(&self) -> Option<Lsn> {
        match self.phase {
            Phase::Draining(_, upto) => Some(upto),
            _ => None,
        }
    }

    fn leave(&mut self, next: Phase) {
        if let Phase::Judging(window) = std::mem::replace(&mut self.phase, next) {
            self.spare = Some(window.buffer);
        }
    }

    fn stop(&mut self, reason: String) {
        self.phase = Phase::Rest;
        self.damage = Some(reason);
    }
}

impl Window {
    fn new(segment: SealedSegment, base: u64, buffer: Buffer, passed: Option<Lsn>) -> Self {
        Self {
            segment,
            buffer,
            base,
            batch_end: 0,
            next: 0,
            passed,
            is_over: false,
        }
    }

    /// The record at hand, or what comes when the window has none.
    fn look(&mut self) -> Next<'_> {
        loop {
            if self.is_over {
                return Next::End;
            }
            let rest = self.buffer.as_bytes().get(self.next..self.batch_end);
            match rest.map_or(Rest::Nothing, Rest::of) {
                Rest::Record if !self.is_padding() => break,
                Rest::Damage if !self.is_padding() => {
                    return Next::Damage(self.base + self.next as u64);
                }
                Rest::Nothing | Rest::Record | Rest::Damage => {
                    if let Some(next) = self.enter_batch() {
                        return next;
                    }
                }
            }
        }
        let rest = self.buffer.as_bytes().get(self.next..self.batch_end);
        match Entry::decode(rest.unwrap_or(&[]), self.segment.salt) {
            Some(placed) => Next::Record(placed),
            None => Next::Damage(self.base + self.next as u64),
        }
    }

    /// Whether what is left of the batch is padding that is not as it was written: after a power
    /// cut a recycled segment may hold old bytes there. The lsn of the next batch tells whether it
    /// was, and behind the last batch the last lsn of the segment.
    fn is_padding(&self) -> bool {
        let rest = self
            .buffer
            .as_bytes()
            .get(self.next..self.batch_end)
            .unwrap_or(&[]);
        rest.len() < BLOCK_BYTES && Entry::decode(rest, self.segment.salt).is_none()
    }

    /// Goes on behind the record at hand.
    fn pass(&mut self, lsn: Lsn, bytes: usize) {
        self.next += bytes;
        self.passed = Some(lsn);
        self.is_over = lsn >= self.segment.last;
    }

    /// Goes on to the next batch; what comes instead when there is none.
    fn enter_batch(&mut self) -> Option<Next<'static>> {
        let at = self.batch_end.next_multiple_of(BLOCK_BYTES);
        let offset = self.base + at as u64;
        if offset >= self.segment.end {
            // The last record that counts ends the walk: it was not there.
            return Some(Next::Damage(self.base + self.next as u64));
        }
        let rest = self.buffer.as_bytes().get(at..).unwrap_or(&[]);
        if rest.is_empty() {
            return Some(Next::Read(offset));
        }
        let Some(Placed {
            entry: Entry::Commit(commit),
            lsn,
            bytes: head,
        }) = Entry::decode(rest, self.segment.salt)
        else {
            return Some(Next::Damage(offset));
        };
        if self.passed.is_some_and(|passed| passed.next() != lsn) {
            return Some(Next::Damage(offset));
        }
        let batch_bytes = commit.batch_bytes as usize;
        let is_cut = batch_bytes > rest.len();
        let is_last = offset + rest.len() as u64 >= self.segment.end;
        if is_cut && at > 0 && !is_last {
            return Some(Next::Read(offset));
        }
        // The last batch of a segment may have been torn: what counts of it is in the window.
        self.batch_end = at + batch_bytes.min(rest.len());
        self.next = at;
        self.pass(lsn, head);
        None
    }
}

/// What is left of a batch.
enum Rest {
    Record,
    Nothing,
    Damage,
}

impl Rest {
    /// No record begins with zeros where its length stands, and nothing but zeros follows the last.
    fn of(rest: &[u8]) -> Self {
        if rest.get(8..12).is_some_and(|length| length != [0; 4]) {
            Self::Record
        } else if rest.iter().all(|byte| *byte == 0) {
            Self::Nothing
        } else {
            Self::Damage
        }
    }
}

/// Bytes read at once from `offset` on: a whole batch at least, except at the segment's end.
fn window_bytes(segment: &SealedSegment, offset: u64) -> u64 {
    let left = segment.end.saturating_sub(offset);
    left.next_multiple_of(BLOCK_BYTES as u64)
        .min(BATCH_BYTES_MAX as u64)
}

/// The offset of a read whose bytes are of no use any more.
const RESTART: u64 = 0;
