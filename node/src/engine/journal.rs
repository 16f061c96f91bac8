//! The log inside a shard: recovering it, appending to it, and applying to the store what has
//! become durable. The log itself is `wal`; what is asked of a shard comes from `shard` and
//! `service`.
//!
//! A write is appended first and applied when its batch counts: on the disk with `fsync = always`,
//! written with a weaker policy, which is enough for a process that is killed. What the store has
//! may be served.

use proto::key::{KEY_BYTES, Key};
use proto::planted::{self, Bug};
use proto::time::Now;
use proto::version::{Version, VersionClock};
use thiserror::Error;

use super::pending::Write;
use super::record::{Record, is_expired};
use super::shard::{Shard, ShardConfig};
use super::store::{Before, PutError, Store};
use super::wal::disk::{DiskDone, DiskJob};
use super::wal::entry::{ALIGN_BYTES, Entry, PUT_HEAD_BYTES};
use super::wal::log::{AppendError, Dropped, Log, LogReport};
use super::wal::names::Lsn;
use super::wal::recovery::{FoundFile, Recovery, RecoveryConfig, RecoveryError, RecoveryReport};
use super::wal::settings::LogConfig;

/// What stands behind the store of a shard.
pub(super) enum Journal {
    /// Nothing: what is stored lasts as long as the process.
    Memory,
    /// The log is being read.
    Recovering(Box<Recovering>),
    /// The log is open.
    Open(Box<Log>),
    /// The log cannot be used.
    Failed(RecoveryError),
}

/// A log that is being read.
pub(super) struct Recovering {
    recovery: Recovery,
    config: LogConfig,
    shard: ShardConfig,
}

/// What a shard is doing, for reports.
#[derive(Debug)]
pub enum Phase<'a> {
    /// It has no log.
    Memory,
    /// It reads its log; nothing is served yet.
    Recovering(&'a RecoveryReport),
    /// It serves, with its log open.
    Open(LogReport),
    /// Its log cannot be used; nothing is served.
    Failed(&'a RecoveryError),
}

/// Why a put or delete was refused. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WriteError {
    /// The store has no room for it, or no record could hold it.
    #[error(transparent)]
    Store(#[from] PutError),
    /// The log takes no write now.
    #[error(transparent)]
    Log(#[from] AppendError),
    /// The shard does not serve yet, or cannot.
    #[error("this node is reading its log: try again")]
    NotOpen,
}

impl Shard {
    /// A shard that begins to read its log; `files` are those in its folder. It serves when
    /// [`Shard::phase`] is [`Phase::Open`].
    ///
    /// Drain rule: [`Shard::poll_job`] until `None`, carry the jobs out in any order, hand each end
    /// to [`Shard::handle_disk`]; after every call that takes `&mut self` look at
    /// [`Shard::committed`], [`Shard::poll_dropped`] and [`Shard::poll_timeout`].
    #[must_use]
    pub fn with_log(config: ShardConfig, log: LogConfig, files: &[FoundFile]) -> Self {
        let mut shard = Self::new(config);
        let recovery = RecoveryConfig {
            node: log.node,
            shard: log.shard,
            is_salvage: false,
        };
        shard
            .store
            .set_memory_max(recovery_bytes_max(config.memory_max));
        shard.journal = Journal::Recovering(Box::new(Recovering {
            recovery: Recovery::new(recovery, files),
            config: log,
            shard: config,
        }));
        shard
    }

    /// The end of a job.
    pub fn handle_disk(&mut self, done: DiskDone, now: Now) {
        match &mut self.journal {
            Journal::Memory | Journal::Failed(_) => {}
            Journal::Recovering(reading) => {
                let (store, clock) = (&mut self.store, &mut self.clock);
                let memory_max = reading.shard.memory_max;
                let sink = |entry: &Entry<'_>| restore(store, clock, entry, memory_max, now);
                reading.recovery.handle_disk(done, sink);
                self.end_recovery(now);
            }
            Journal::Open(log) => {
                log.handle_disk(done, now);
                self.settle_log(now);
            }
        }
    }

    /// The next job for the disk. What was appended since the last one that was a write travels in
    /// one batch, so this is called at the end of a turn, until there is none.
    pub fn poll_job(&mut self, now: Now) -> Option<DiskJob> {
        if let Journal::Recovering(reading) = &mut self.journal {
            let job = reading.recovery.poll_job();
            if job.is_some() {
                return job;
            }
            self.end_recovery(now);
        }
        if !matches!(self.journal, Journal::Open(_)) {
            return None;
        }
        self.settle_log(now);
        if !self.has_compacted {
            self.compact(now);
        }
        let Journal::Open(log) = &mut self.journal else {
            return None;
        };
        let job = log.poll_job(now);
        self.has_compacted = job.is_some();
        job
    }

    /// What the shard is doing.
    #[must_use]
    pub fn phase(&self) -> Phase<'_> {
        match &self.journal {
            Journal::Memory => Phase::Memory,
            Journal::Recovering(reading) => Phase::Recovering(reading.recovery.report()),
            Journal::Open(log) => match &self.recovered {
                Some(report) if !self.is_serving() => Phase::Recovering(report),
                _ => Phase::Open(log.report()),
            },
            Journal::Failed(error) => Phase::Failed(error),
        }
    }

    /// What was found when the log was read, once that is done.
    #[must_use]
    pub fn recovered(&self) -> Option<&RecoveryReport> {
        self.recovered.as_ref()
    }

    /// The lsn of the last record that counts: a write that got this lsn or a lower one, and was
    /// not dropped, is applied and may be acknowledged.
    #[must_use]
    pub const fn committed(&self) -> Lsn {
        self.committed
    }

    /// Writes that were given up: whoever waits for one of them hears why. Asked for before
    /// anything else is appended, because lsns may be given again.
    pub fn poll_dropped(&mut self) -> Option<Dropped> {
        self.dropped.pop_front()
    }

    /// Whether requests are served: there is no log, or it is open. What was read of it may come
    /// from the system's cache, with the disk to follow: nothing is served before the disk has it.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        match &self.journal {
            Journal::Memory => true,
            Journal::Open(log) => log.is_settled(),
            Journal::Recovering(_) | Journal::Failed(_) => false,
        }
    }

    /// Writes that wait for the disk.
    #[must_use]
    pub fn writes_in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Whether the answer to a write waits for the disk.
    #[must_use]
    pub const fn has_log(&self) -> bool {
        !matches!(self.journal, Journal::Memory)
    }

    /// From now on everything appended is made durable at once: the node stops.
    pub fn close_log(&mut self) {
        if let Journal::Open(log) = &mut self.journal {
            log.close();
        }
    }

    /// Whether the disk has nothing more to do, and everything appended is on it or never will be.
    #[must_use]
    pub fn is_log_at_rest(&self) -> bool {
        match &self.journal {
            Journal::Open(log) => log.is_at_rest(),
            Journal::Memory | Journal::Recovering(_) | Journal::Failed(_) => true,
        }
    }
}

impl Shard {
    /// Appends a put, which is applied when it counts, and gives its lsn; without a log it is
    /// applied at once.
    pub(super) fn write(
        &mut self,
        record: &Record<'_>,
        now: Now,
    ) -> Result<Option<Lsn>, WriteError> {
        let stamp = self.clock.last();
        let probe = self.store.probe(&record.key);
        let log = match &mut self.journal {
            Journal::Memory => {
                let place = self.store.place(probe, &record.key);
                self.store.admit(&place, record.value.len())?;
                self.store.file(&place, record, now);
                return Ok(None);
            }
            Journal::Open(log) => log,
            Journal::Recovering(_) | Journal::Failed(_) => return Err(WriteError::NotOpen),
        };
        let (hash, key) = (probe.hash(), record.key);
        let last = self.pending.last(hash, &key);
        let before = last.map_or(Before::Held, |last| last.before);
        let (store, len) = (&mut self.store, record.value.len());
        let promise = store.promise(probe, &key, len, before)?;
        let lsn = match log.append(&Entry::Put(*record), stamp) {
            Ok(lsn) => lsn,
            Err(error) => {
                store.release(promise);
                return Err(error.into());
            }
        };
        self.pending.push(Write {
            lsn,
            hash,
            key,
            promise: Some(promise),
        });
        Ok(Some(lsn))
    }

    /// Appends a tombstone of a key that is present, or will be when the writes before are applied,
    /// and removes the record unless there is a log, which has to have the tombstone first.
    pub(super) fn bury(&mut self, key: Key, version: Version) -> Result<Option<Lsn>, WriteError> {
        let entry = Entry::Delete { key, version };
        let lsn = match &mut self.journal {
            Journal::Memory => None,
            Journal::Open(log) => Some(log.append(&entry, self.clock.last())?),
            Journal::Recovering(_) | Journal::Failed(_) => return Err(WriteError::NotOpen),
        };
        let Some(lsn) = lsn else {
            self.store.remove_older(&key, version);
            return Ok(None);
        };
        self.pending.push(Write {
            lsn,
            hash: self.store.probe(&key).hash(),
            key,
            promise: None,
        });
        Ok(Some(lsn))
    }

    /// Applies what has become durable and forgets what was given up.
    pub(super) fn settle_log(&mut self, now: Now) {
        let Journal::Open(log) = &mut self.journal else {
            return;
        };
        while let Some(batch) = log.poll_committed() {
            for placed in batch.entries() {
                let write = self.pending.pop();
                let write = write.expect("what is durable was in flight");
                assert_eq!(write.lsn, placed.lsn, "writes become durable in order");
                match (placed.entry, write.promise) {
                    (Entry::Put(record), Some(promise)) => {
                        self.store.put_promised(&record, promise, now);
                    }
                    (Entry::Delete { key, version }, None) => {
                        self.store.remove_older(&key, version);
                    }
                    (entry, promise) => unreachable!("{entry:?} was promised {promise:?}"),
                }
            }
            self.committed = batch.last();
            log.recycle(batch);
        }
        while let Some(dropped) = log.poll_dropped() {
            let (store, counters) = (&mut self.store, &mut self.counters);
            self.pending.drop_from(dropped.from, |write| {
                counters.dropped_writes += 1;
                write.promise.into_iter().for_each(|it| store.release(it));
            });
            self.dropped.push_back(dropped);
        }
        if let Some(error) = log.unsettled() {
            self.journal = Journal::Failed(error);
        }
    }

    /// Lets the log do a piece of compaction.
    fn compact(&mut self, now: Now) {
        let Journal::Open(log) = &mut self.journal else {
            return;
        };
        let (store, pending) = (&self.store, &self.pending);
        let live_bytes = store.payload_bytes() + store.len() * RECORD_BYTES_ABOVE_PAYLOAD;
        log.compact(live_bytes, now, |record| {
            let probe = store.probe(&record.key);
            // What the store still holds lives, whatever the clock says now: the sweep decides.
            let held = store.get_prepared(probe, &record.key, 0);
            held.is_some_and(|held| held.version == record.version)
                && (!pending.contains(probe.hash(), &record.key)
                    || planted::is(Bug::TombstoneOvertaken))
        });
    }

    /// Opens the log when all of it has been read.
    fn end_recovery(&mut self, now: Now) {
        let Journal::Recovering(reading) = &mut self.journal else {
            return;
        };
        let Some(outcome) = reading.recovery.poll_outcome() else {
            return;
        };
        self.recovered = Some(reading.recovery.report().clone());
        self.store.set_memory_max(reading.shard.memory_max);
        self.journal = match outcome {
            Ok(start) => {
                let stamp = start.stamp;
                self.clock.observe(Version { stamp, node: 0 });
                self.committed = Lsn(start.next_lsn.0.saturating_sub(1));
                Journal::Open(Box::new(Log::new(reading.config, start, now)))
            }
            Err(error) => Journal::Failed(error),
        };
    }
}

/// Applies a record that the log holds, as it was applied when it was written: the newest version
/// of a key wins, and what has expired since is not kept.
fn restore(
    store: &mut Store,
    clock: &mut VersionClock,
    entry: &Entry<'_>,
    memory_max: u64,
    now: Now,
) -> Result<(), String> {
    match entry {
        Entry::Put(record) => {
            clock.observe(record.version);
            let mut record = *record;
            if planted::is(Bug::TtlFromRestart) && record.expiry_ms != 0 {
                record.expiry_ms += now.wall_ms.saturating_sub(record.version.wall_ms());
            }
            if is_expired(record.expiry_ms, now.wall_ms) {
                store.remove_older(&record.key, record.version);
                return Ok(());
            }
            let put = store.put(&record, now);
            put.map(|_| ()).map_err(|error| told(&error, memory_max))
        }
        Entry::Delete { key, version } => {
            clock.observe(*version);
            store.remove_older(key, *version);
            Ok(())
        }
        Entry::Commit(_) => Ok(()),
    }
}

/// Why a record of the log does not fit, for the operator.
fn told(error: &PutError, memory_max: u64) -> String {
    match error {
        PutError::Full {
            bytes_used, needed, ..
        } => format!(
            "{} bytes are needed so far, and this shard may use {memory_max}",
            bytes_used.saturating_add(*needed)
        ),
        PutError::TooLong { .. } => error.to_string(),
    }
}

/// What a store may take while the log is read: the same records lie otherwise in memory when they
/// come in another order, and a node that was full must start again.
fn recovery_bytes_max(memory_max: u64) -> u64 {
    memory_max.saturating_add(memory_max / 16 + RECOVERY_BYTES_MORE)
}

/// Bytes that a small store may take more: a few pages.
const RECOVERY_BYTES_MORE: u64 = 256 * 1024;

/// What a record takes in a log above its key and value, half the padding included.
const RECORD_BYTES_ABOVE_PAYLOAD: u64 = (PUT_HEAD_BYTES - KEY_BYTES + ALIGN_BYTES / 2) as u64;
