//! The log of one shard, open for writing: group commit, rotation, refusal, and what is asked of
//! the disk next. Reading it at start is the business of `recovery`.

use std::collections::VecDeque;
use std::time::Duration;

use proto::time::Now;

use super::batch::{BATCH_BYTES_MAX, Batch, Place};
use super::buffer::{BLOCK_BYTES, Buffer};
use super::compaction::Compaction;
use super::disk::{DiskDone, DiskError, DiskJob, DiskOp, JobId};
use super::entry::{COMMIT_BYTES, Entry};
use super::flight::Flight;
use super::header::SegmentHeader;
use super::maker::{Made, Maker, Plan};
use super::names::{FileName, Lsn, SegmentNumber};
pub use super::report::{AppendError, Dropped, LogReport};
use super::settings::{LogConfig, SEGMENT_BYTES_MIN, SyncPolicy};
use super::syncs::Syncs;
use crate::engine::record::Record;

/// The log of one shard, open for writing.
///
/// Drain rule: after any call that takes `&mut self`, call [`Log::poll_committed`] and
/// [`Log::poll_dropped`] until they return `None`, then [`Log::compact`], then [`Log::poll_job`]
/// until it returns `None`, then [`Log::poll_timeout`]. Batches are closed by `poll_job`: calls may
/// be batched, and what was appended in one turn travels together.
#[derive(Debug)]
pub struct Log {
    config: LogConfig,
    jobs: Jobs,
    tail: Tail,
    /// The segment after the tail.
    spare: Option<Spare>,
    next_segment: SegmentNumber,
    salts: u64,
    sealed: VecDeque<SealedSegment>,
    /// Bytes of the sealed segments' files.
    sealed_bytes: u64,
    /// The batch that is being filled, and full ones that wait for a place under way.
    open: Option<Batch>,
    closed: VecDeque<Batch>,
    flight: Flight,
    committed: VecDeque<Batch>,
    dropped: Option<Dropped>,
    /// Emptied memory of batches.
    pool: Vec<(Buffer, Vec<u32>)>,
    maker: Maker,
    syncs: Syncs,
    compaction: Compaction,
    state: State,
    /// Lsn of the last record appended, of the last one written, of the last one durable.
    appended: Lsn,
    written: Lsn,
    durable: Lsn,
    /// The greatest version stamp heard of.
    stamp: u64,
    live_bytes: u64,
    seal: Seal,
    is_closing: bool,
    /// Bytes appended since compaction was last paid for.
    unpaid_bytes: u64,
    now: Duration,
    figures: Figures,
}

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
    /// Files that hold nothing that counts: removed.
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

/// The segment that is being written.
#[derive(Debug)]
struct Tail {
    plan: Plan,
    is_made: bool,
    /// Where the next batch goes.
    offset: u64,
    /// The first and last record that went here.
    records: Option<(Lsn, Lsn)>,
}

#[derive(Debug)]
struct Spare {
    plan: Plan,
    is_made: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Open,
    Full(String),
    Poisoned(String),
}

/// Whether the last batch attests all before it, and when one that does is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seal {
    /// There is nothing to attest.
    Done,
    /// Something is; a moment of rest is waited for.
    At(Duration),
    /// The next batch is written even when it is empty.
    Due,
}

/// Numbers of jobs, and which are under way.
#[derive(Debug, Default)]
struct Jobs {
    next: u64,
    under_way: u64,
    maker: Option<JobId>,
    reader: Option<JobId>,
}

#[derive(Debug, Default)]
struct Figures {
    batches: u64,
    batch_bytes: u64,
    records: u64,
}

impl Log {
    /// A log that goes on where `start` says. It makes its first segment at once; what is appended
    /// before that is there waits.
    #[must_use]
    pub fn new(config: LogConfig, start: LogStart, now: Now) -> Self {
        assert!(
            config.segment_bytes >= SEGMENT_BYTES_MIN
                && config.segment_bytes.is_multiple_of(BLOCK_BYTES as u32),
            "the length of a segment is checked where it is configured"
        );
        let appended = Lsn(start.next_lsn.0.saturating_sub(1));
        let mut log = Self {
            config,
            jobs: Jobs::default(),
            tail: Tail::new(Plan {
                number: start.next_segment,
                salt: 0,
            }),
            spare: None,
            next_segment: start.next_segment,
            salts: config.seed,
            sealed_bytes: start.sealed.iter().map(|segment| segment.file_bytes).sum(),
            sealed: start.sealed.into(),
            open: None,
            closed: VecDeque::new(),
            flight: Flight::default(),
            committed: VecDeque::new(),
            dropped: None,
            pool: Vec::new(),
            maker: Maker::new(start.leftovers),
            syncs: Syncs::new(config.sync, now.mono),
            compaction: Compaction::default(),
            state: State::Open,
            appended,
            written: appended,
            durable: appended,
            stamp: start.stamp,
            live_bytes: 0,
            seal: Seal::Done,
            is_closing: false,
            unpaid_bytes: 0,
            now: now.mono,
            figures: Figures::default(),
        };
        log.tail = Tail::new(log.plan());
        log
    }

    /// Appends a put or a delete to the open batch. `stamp` is the greatest version stamp given or
    /// seen so far. On a full disk a delete is taken as long as there is room for it in a segment:
    /// it is what makes room.
    pub fn append(&mut self, entry: &Entry<'_>, stamp: u64) -> Result<Lsn, AppendError> {
        let is_delete = matches!(entry, Entry::Delete { .. });
        if let Some(refusal) = self.refusal()
            && !(is_delete && matches!(refusal, AppendError::Full { .. }))
        {
            return Err(refusal);
        }
        self.stamp = self.stamp.max(stamp);
        self.push(entry, true)
    }

    /// Whether an append would be refused now, and why.
    #[must_use]
    pub fn refusal(&self) -> Option<AppendError> {
        match &self.state {
            State::Open => None,
            State::Full(reason) => Some(AppendError::Full {
                reason: reason.clone(),
            }),
            State::Poisoned(reason) => Some(AppendError::Poisoned {
                reason: reason.clone(),
            }),
        }
    }

    /// The end of a job.
    pub fn handle_disk(&mut self, done: DiskDone, now: Now) {
        self.now = now.mono;
        self.jobs.under_way = self.jobs.under_way.saturating_sub(1);
        let DiskDone { id, result, buffer } = done;
        if self.jobs.maker == Some(id) {
            self.jobs.maker = None;
            self.handle_made(&result);
        } else if self.jobs.reader == Some(id) {
            self.jobs.reader = None;
            self.compaction.handle_read(result, buffer);
        } else if let Some(synced) = self.syncs.handle_done(id, &result) {
            match synced {
                Ok(Some(upto)) => self.advance_durable(upto),
                Ok(None) => {}
                Err(reason) => self.poison(reason),
            }
        } else {
            self.handle_write(id, &result, buffer);
        }
    }

    /// The moment named by [`Log::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now.mono;
        if matches!(self.seal, Seal::At(at) if at <= now.mono) {
            self.seal = Seal::Due;
        }
    }

    /// When [`Log::handle_timeout`] is due, in monotonic time.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.is_poisoned() {
            return None;
        }
        let seal = match self.seal {
            Seal::At(at) => Some(at),
            Seal::Done | Seal::Due => None,
        };
        let maker = self.maker.poll_timeout();
        let parts = [
            seal,
            maker,
            self.syncs.poll_timeout(),
            self.compaction.poll_timeout(),
        ];
        parts.into_iter().flatten().min()
    }

    /// The next batch that counts: under [`SyncPolicy::Always`] on the disk, otherwise written.
    pub fn poll_committed(&mut self) -> Option<Batch> {
        self.committed.pop_front()
    }

    /// Gives a batch's memory back.
    pub fn recycle(&mut self, batch: Batch) {
        if self.pool.len() < POOL_BATCHES {
            self.pool.push((batch.buffer, batch.starts));
        }
    }

    /// Records that were given up.
    pub fn poll_dropped(&mut self) -> Option<Dropped> {
        self.dropped.take()
    }

    /// Does a bounded piece of compaction when the log is larger than `live_bytes` warrants, the
    /// bytes that the live records take in a log. `is_live` says whether a put is the store's
    /// current record of its key and no write of the key is under way.
    pub fn compact(
        &mut self,
        live_bytes: u64,
        now: Now,
        mut is_live: impl FnMut(&Record<'_>) -> bool,
    ) {
        self.live_bytes = live_bytes;
        self.now = now.mono;
        if self.is_poisoned() || self.is_closing {
            return;
        }
        self.begin_compaction();
        if !self.compaction.is_active() {
            self.unpaid_bytes = 0;
            return;
        }
        let paid_bytes = std::mem::take(&mut self.unpaid_bytes);
        self.compaction.pay(paid_bytes, now.mono);
        let mut compaction = std::mem::take(&mut self.compaction);
        let is_over = compaction.judge(|entry| match entry {
            Entry::Put(record) if is_live(record) => {
                let bytes = entry.padded_bytes() as u64;
                let is_placed = self.push(entry, false).is_ok();
                self.figures_of_move(is_placed, bytes)
            }
            Entry::Put(_) | Entry::Delete { .. } | Entry::Commit(_) => true,
        });
        if is_over {
            compaction.drain(self.appended);
        }
        compaction.moved_bytes += std::mem::take(&mut self.compaction.moved_bytes);
        self.compaction = compaction;
        if let Some(freed) = self.compaction.poll_freed(self.durable) {
            let oldest = self.sealed.pop_front();
            assert_eq!(oldest, Some(freed), "the oldest segment is compacted");
            self.sealed_bytes -= freed.file_bytes;
            self.dispose(freed);
        }
    }

    /// The next job for the disk.
    pub fn poll_job(&mut self, now: Now) -> Option<DiskJob> {
        self.now = now.mono;
        if self.is_poisoned() {
            return None;
        }
        let id = JobId(self.jobs.next);
        let op = self
            .poll_write(id)
            .or_else(|| self.poll_sync(id))
            .or_else(|| self.poll_maker(id))
            .or_else(|| self.poll_read(id))?;
        self.jobs.next += 1;
        self.jobs.under_way += 1;
        Some(DiskJob { id, op })
    }

    /// From now on everything appended is synchronised and sealed at once: the node stops.
    /// Done when [`Log::is_at_rest`].
    pub fn close(&mut self) {
        self.is_closing = true;
        if self.seal != Seal::Done {
            self.seal = Seal::Due;
        }
    }

    /// Whether no job is under way and everything appended is on the disk, or never will be.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let is_flushed = !self.has_batches() && self.seal == Seal::Done;
        self.jobs.under_way == 0 && (self.is_poisoned() || self.is_full() || is_flushed)
    }

    /// How it does.
    #[must_use]
    pub fn report(&self) -> LogReport {
        let own = 1 + u64::from(self.spare.is_some());
        let own_bytes = (own + self.maker.free_len()) * u64::from(self.config.segment_bytes);
        LogReport {
            refusal: self.refusal(),
            damage: self.compaction.damage.clone(),
            segments: self.sealed.len() as u64 + own + self.maker.free_len(),
            bytes: self.sealed_bytes + own_bytes,
            live_bytes: self.live_bytes,
            appended: self.appended,
            durable: self.durable,
            batches: self.figures.batches,
            batch_bytes: self.figures.batch_bytes,
            records: self.figures.records,
            syncs: self.syncs.rounds(),
            compacted_bytes: self.compaction.read_bytes,
            moved_bytes: self.compaction.moved_bytes,
            segments_freed: self.compaction.segments_freed,
            jobs: self.jobs.under_way,
        }
    }
}

/// What is appended.
impl Log {
    /// Adds a record to the open batch, of a caller or of compaction, and gives its lsn.
    fn push(&mut self, entry: &Entry<'_>, is_callers: bool) -> Result<Lsn, AppendError> {
        let bytes = entry.padded_bytes();
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

    /// Opens a batch that has room for `bytes` at the log's end.
    fn open_batch(&mut self, bytes: usize) -> Result<(), AppendError> {
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
    fn rotate(&mut self) -> Result<(), AppendError> {
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
    fn close_batch(&mut self) {
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
    fn plan(&mut self) -> Plan {
        let number = self.next_segment;
        self.next_segment = number.next();
        self.salts = self.salts.wrapping_add(SALT_STEP);
        Plan {
            number,
            salt: mixed(self.salts),
        }
    }
}

/// What the disk is asked for.
impl Log {
    /// A write of a batch: a full one, or the open one when there is a place under way.
    fn poll_write(&mut self, id: JobId) -> Option<DiskOp> {
        let is_durable = self.config.sync == SyncPolicy::Always;
        let again = self.flight.poll_write(id, is_durable);
        if again.is_some() || !self.flight.has_room() {
            return again;
        }
        if self.seal == Seal::Due && !self.has_batches() && self.may_seal() {
            self.open_seal();
        }
        if self.closed.is_empty() {
            self.close_batch();
        }
        let batch = self.closed.front()?;
        if batch.place.segment == self.tail.plan.number && !self.tail.is_made {
            return None;
        }
        self.flight.push(self.closed.pop_front()?);
        self.flight.poll_write(id, is_durable)
    }

    /// An empty batch attests that the ones before it are durable.
    fn open_seal(&mut self) {
        if self.open_batch(0).is_ok() {
            self.seal = Seal::Done;
        }
    }

    /// Whether everything before an empty batch would be attested by it.
    fn may_seal(&self) -> bool {
        self.durable == self.appended
    }

    fn poll_sync(&mut self, id: JobId) -> Option<DiskOp> {
        let awaited = self.compaction.awaited();
        let is_awaited = awaited.is_some_and(|lsn| lsn > self.durable && lsn <= self.written);
        let is_last = self.is_closing && !self.has_batches() && self.written > self.durable;
        self.syncs
            .poll_op(id, self.written, is_awaited || is_last, self.now)
    }

    /// A step of making a segment, when the tail or the place after it wants one, or of removing
    /// what is not needed.
    fn poll_maker(&mut self, id: JobId) -> Option<DiskOp> {
        if self.is_closing && (self.tail.is_made || !self.has_batches()) {
            return None;
        }
        if self.maker.is_at_rest() {
            self.plan_making();
        }
        let config = self.config;
        let (least_lsn, stamp_floor) = (self.durable.next(), self.stamp);
        let header = |plan: Plan, is_recycled| SegmentHeader {
            node: config.node,
            shard: config.shard,
            number: plan.number,
            salt: plan.salt,
            least_lsn,
            stamp_floor,
            segment_bytes: config.segment_bytes,
            is_recycled,
        };
        let segment_bytes = u64::from(config.segment_bytes);
        let op = self.maker.poll_op(segment_bytes, &header, self.now)?;
        self.jobs.maker = Some(id);
        Some(op)
    }

    fn plan_making(&mut self) {
        if !self.tail.is_made {
            return self.maker.make(self.tail.plan);
        }
        let half = u64::from(self.config.segment_bytes) / 2;
        // Compaction is about to free a segment, which is made anew for less than a new one.
        let may_wait = self.compaction.is_active() && self.tail.offset < half && !self.is_full();
        if self.spare.is_none() && (self.maker.has_free() || !may_wait) {
            self.spare = Some(Spare {
                plan: self.plan(),
                is_made: false,
            });
        }
        match &self.spare {
            Some(spare) if !spare.is_made => self.maker.make(spare.plan),
            Some(_) => self.maker.tidy(),
            None => {}
        }
    }

    fn poll_read(&mut self, id: JobId) -> Option<DiskOp> {
        let op = self.compaction.poll_op()?;
        self.jobs.reader = Some(id);
        Some(op)
    }
}

/// What the disk answers.
impl Log {
    fn handle_write(&mut self, id: JobId, result: &Result<u64, DiskError>, buffer: Option<Buffer>) {
        match self.flight.handle_write(id, result, buffer) {
            Some(Ok(())) => {}
            Some(Err(reason)) => self.failed_write(reason),
            None => return,
        }
        while let Some(batch) = self.flight.pop_written() {
            self.written = batch.last;
            if self.config.sync == SyncPolicy::Always {
                self.advance_durable(batch.last);
            } else {
                self.syncs.note(batch.place.segment);
            }
            self.committed.push_back(batch);
        }
        if self.is_poisoned() {
            self.give_up();
        }
    }

    /// What arrived before the batch that failed still counts.
    fn failed_write(&mut self, reason: String) {
        if !self.is_poisoned() {
            self.state = State::Poisoned(reason);
        }
    }

    fn advance_durable(&mut self, upto: Lsn) {
        self.durable = self.durable.max(upto);
        if self.seal != Seal::Done {
            self.seal = if self.is_closing {
                Seal::Due
            } else {
                Seal::At(self.now + SEAL_PAUSE)
            };
        }
    }

    fn handle_made(&mut self, result: &Result<u64, DiskError>) {
        let segment_bytes = u64::from(self.config.segment_bytes);
        match self.maker.handle_done(result, segment_bytes, self.now) {
            Made::Nothing => {}
            Made::Segment(number) => {
                if self.tail.plan.number == number {
                    self.tail.is_made = true;
                } else if let Some(spare) = &mut self.spare {
                    spare.is_made |= spare.plan.number == number;
                }
                if self.is_full() {
                    self.state = State::Open;
                }
            }
            Made::Full(reason) => self.fill(reason),
            Made::Broken(reason) => self.poison(reason),
        }
    }

    /// There is no room for another segment: what waits for one is given up.
    fn fill(&mut self, reason: String) {
        if self.is_poisoned() {
            return;
        }
        self.state = State::Full(reason);
        if self.tail.is_made {
            return;
        }
        let number = self.tail.plan.number;
        let lost = |batch: &Batch| batch.place.segment == number;
        let first = self
            .closed
            .iter()
            .chain(&self.open)
            .find(|batch| lost(batch));
        let Some(from) = first.map(|batch| batch.first) else {
            return;
        };
        self.closed.retain(|batch| !lost(batch));
        self.open = None;
        self.tail = Tail::new(self.tail.plan);
        self.appended = Lsn(from.0.saturating_sub(1));
        self.compaction.restart();
        self.drop_from(from, false);
    }

    /// The medium failed: nothing more is written, and what is under way is never acknowledged.
    fn poison(&mut self, reason: String) {
        self.failed_write(reason);
        self.give_up();
    }

    fn give_up(&mut self) {
        let waiting = self.closed.front().or(self.open.as_ref());
        let first = self.flight.first().or(waiting.map(|batch| batch.first));
        self.flight.clear();
        self.closed.clear();
        self.open = None;
        if let Some(from) = first {
            self.drop_from(from, true);
        }
    }

    fn drop_from(&mut self, from: Lsn, may_be_written: bool) {
        let refusal = self.refusal().expect("records are given up for a reason");
        let earlier = self.dropped.take();
        self.dropped = Some(Dropped {
            from: earlier
                .as_ref()
                .map_or(from, |earlier| earlier.from.min(from)),
            may_be_written: may_be_written || earlier.is_some_and(|earlier| earlier.may_be_written),
            refusal,
        });
    }
}

/// Space.
impl Log {
    /// Begins with the oldest segment when the sealed ones take more than halfway from the live
    /// records to their bound.
    fn begin_compaction(&mut self) {
        if self.compaction.is_active() {
            return;
        }
        let percent = u64::from(self.config.space_percent.max(SPACE_PERCENT_MIN));
        let begin_percent = 100 + (percent - 100) / 2;
        let warranted = self.live_bytes.saturating_mul(begin_percent) / 100;
        let Some(oldest) = self.sealed.front() else {
            return;
        };
        if self.sealed_bytes > warranted && oldest.last <= self.written.min(self.appended) {
            self.compaction.begin(*oldest);
        }
    }

    /// A file of the present length is used again, any other removed.
    fn dispose(&mut self, segment: SealedSegment) {
        let is_of_use = segment.file_bytes == u64::from(self.config.segment_bytes);
        self.maker
            .dispose(FileName::Segment(segment.number), is_of_use);
    }

    fn figures_of_move(&mut self, is_placed: bool, bytes: u64) -> bool {
        if is_placed {
            self.compaction.moved_bytes += bytes;
        }
        is_placed
    }

    fn has_batches(&self) -> bool {
        self.open.is_some() || !self.closed.is_empty() || self.flight.len() > 0
    }

    fn is_poisoned(&self) -> bool {
        matches!(self.state, State::Poisoned(_))
    }

    fn is_full(&self) -> bool {
        matches!(self.state, State::Full(_))
    }
}

impl Tail {
    /// A segment without a record, behind its header.
    const fn new(plan: Plan) -> Self {
        Self {
            plan,
            is_made: false,
            offset: BLOCK_BYTES as u64,
            records: None,
        }
    }

    /// Where the next batch goes.
    const fn place(&self) -> Place {
        Place {
            segment: self.plan.number,
            salt: self.plan.salt,
            offset: self.offset,
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

/// Full batches that may wait for a place under way.
const CLOSED_MAX: usize = 16;

/// Batches whose memory is kept for the next ones.
const POOL_BATCHES: usize = 8;

/// Least bound of the segments, in per cent of the live records: below, batches that are not full
/// would keep compaction going for ever.
const SPACE_PERCENT_MIN: u32 = 150;

/// Rest after the last batch before an empty one attests it.
const SEAL_PAUSE: Duration = Duration::from_millis(20);

const _: () = assert!(BATCH_BYTES_MAX > COMMIT_BYTES + super::entry::ENTRY_BYTES_MAX + BLOCK_BYTES);
