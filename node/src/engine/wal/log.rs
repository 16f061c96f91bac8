//! The log of one shard, open for writing: group commit, rotation, refusal, and what is asked of
//! the disk next. Reading it at start is the business of `recovery`.

mod answer;
mod append;
mod ask;
mod space;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use proto::planted::{self, Bug};
use proto::time::Now;

use self::space::Round;
use super::batch::{Batch, Place};
use super::buffer::{BLOCK_BYTES, Buffer};
use super::compaction::Compaction;
use super::disk::{DiskDone, DiskJob, JobId};
use super::entry::Entry;
use super::flight::Flight;
use super::maker::{Maker, Plan};
use super::names::{FileName, Lsn, SegmentNumber};
use super::recovery::RecoveryError;
pub use super::report::{AppendError, Dropped, LogReport};
use super::settings::{LogConfig, SEGMENT_BYTES_MIN};
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
    round: Round,
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
    /// The greatest lsn that a batch attests to be durable: what follows may be in memory only,
    /// when it was the process that ended and not the machine.
    pub attested: Lsn,
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
        let unsure = start
            .sealed
            .iter()
            .filter(|segment| segment.last > start.attested);
        let unsure = unsure.map(|segment| segment.number).collect();
        // What was recovered is attested anew.
        let seal = if start.sealed.is_empty() {
            Seal::Done
        } else {
            Seal::At(now.mono)
        };
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
            syncs: Syncs::new(config.sync, unsure, now.mono),
            compaction: Compaction::default(),
            state: State::Open,
            appended,
            written: appended,
            durable: appended.min(start.attested),
            stamp: start.stamp,
            live_bytes: 0,
            round: Round::default(),
            seal,
            is_closing: false,
            unpaid_bytes: 0,
            now: now.mono,
            figures: Figures::default(),
        };
        log.tail = Tail::new(log.plan());
        log
    }

    /// Whether everything that was recovered would survive a power cut. Before that nothing is
    /// written, and nothing may be served that was promised to be durable.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.maker.is_settled() && self.syncs.is_settled()
    }

    /// Why [`Log::is_settled`] will never be, when it is so: the medium is broken.
    #[must_use]
    pub fn unsettled(&self) -> Option<RecoveryError> {
        match &self.state {
            State::Poisoned(reason) if !self.is_settled() => Some(RecoveryError::Unsettled {
                reason: reason.clone(),
            }),
            State::Poisoned(_) | State::Open | State::Full(_) => None,
        }
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
        if self.is_closing {
            return seal;
        }
        let parts = [
            seal,
            self.maker.poll_timeout(),
            self.syncs.poll_timeout(),
            self.compaction.poll_timeout(),
        ];
        parts.into_iter().flatten().min()
    }

    /// The next batch that counts: with `fsync = always` on the disk, otherwise written.
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
            let oldest = if planted::is(Bug::TombstoneDropped) {
                let at = self.sealed.iter().position(|it| *it == freed);
                at.and_then(|at| self.sealed.remove(at))
            } else {
                self.sealed.pop_front()
            };
            assert_eq!(oldest, Some(freed), "the oldest segment is compacted");
            self.sealed_bytes -= freed.file_bytes;
            self.end_segment(&freed);
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
        let is_synced = self.written == self.durable;
        let is_sealed = self.seal == Seal::Done || self.is_full();
        let is_flushed = !self.has_batches() && is_synced && is_sealed;
        self.jobs.under_way == 0 && (self.is_poisoned() || is_flushed)
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

impl Log {
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

/// Batches whose memory is kept for the next ones.
const POOL_BATCHES: usize = 8;

/// Rest after the last batch before an empty one attests it.
const SEAL_PAUSE: Duration = Duration::from_millis(20);
