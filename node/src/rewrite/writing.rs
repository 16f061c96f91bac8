//! Writes the records of one shard as a new log, with the machine that a running node writes with.
//! Everything is written the durable way: what has ended well survives a power cut.

use std::path::Path;
use std::time::Instant;

use proto::time::Now;

use super::RewriteError;
use super::watch::Watch;
use crate::engine::store::{ScanCursor, Store};
use crate::engine::wal::entry::Entry;
use crate::engine::wal::log::{AppendError, Log, LogStart};
use crate::engine::wal::names::{Lsn, SegmentNumber};
use crate::engine::wal::settings::LogConfig;
use crate::runtime::disk_folder::{Access, DiskFolder};

/// Writes all records of `store` to the empty folder at `path`; `now` is the time by which they
/// have not expired. Gives their number.
pub(super) fn write_shard(
    store: &Store,
    path: &Path,
    config: LogConfig,
    (stamp, now): (u64, Now),
    watch: &mut Watch<'_>,
) -> Result<u64, RewriteError> {
    let mut writer = Writer::new(path, config, stamp, watch);
    let mut cursor = Some(ScanCursor::default());
    while let Some(at) = cursor {
        let mut written = Ok(());
        cursor = store.scan(at, now.wall_ms, |record| {
            if written.is_ok() {
                written = writer.append(&Entry::Put(*record));
            }
        });
        written?;
    }
    writer.finish()
}

/// A log that is being written, and the folder it is written to.
pub(super) struct Writer<'a, 'b> {
    log: Log,
    disk: DiskFolder,
    shard: u16,
    stamp: u64,
    start: Instant,
    /// Bytes appended since the log's jobs were last carried out.
    pending_bytes: usize,
    records: u64,
    watch: &'a mut Watch<'b>,
}

impl<'a, 'b> Writer<'a, 'b> {
    /// A log at the start of an empty folder; `stamp` is the greatest version stamp given so far.
    pub(super) fn new(
        path: &Path,
        config: LogConfig,
        stamp: u64,
        watch: &'a mut Watch<'b>,
    ) -> Self {
        let start = LogStart {
            next_lsn: Lsn(1),
            next_segment: SegmentNumber(1),
            stamp,
            ..LogStart::default()
        };
        Self {
            shard: config.shard,
            log: Log::new(config, start, Now::default()),
            disk: DiskFolder::new(path.to_path_buf(), Access::Durable),
            stamp,
            start: Instant::now(),
            pending_bytes: 0,
            records: 0,
            watch,
        }
    }

    /// Appends a put or a delete.
    pub(super) fn append(&mut self, entry: &Entry<'_>) -> Result<(), RewriteError> {
        let mut appended = self.log.append(entry, self.stamp);
        if appended == Err(AppendError::Busy) {
            self.turn()?;
            appended = self.log.append(entry, self.stamp);
        }
        appended.map_err(|error| self.refused(error))?;
        self.records += 1;
        self.watch.wrote_record();
        self.pending_bytes += entry.padded_bytes();
        if self.pending_bytes >= TURN_BYTES {
            self.turn()?;
        }
        Ok(())
    }

    /// Carries out everything that the log wants done.
    fn turn(&mut self) -> Result<(), RewriteError> {
        self.pending_bytes = 0;
        loop {
            while let Some(batch) = self.log.poll_committed() {
                self.log.recycle(batch);
            }
            let dropped = self.log.poll_dropped().map(|dropped| dropped.refusal);
            if let Some(refusal) = dropped.or_else(|| self.log.refusal()) {
                // A node would wait for room; who rewrites says so and leaves all as it was.
                return Err(self.refused(refusal));
            }
            let now = self.now();
            let Some(job) = self.log.poll_job(now) else {
                return Ok(());
            };
            self.watch.step()?;
            self.log.handle_disk(self.disk.carry_out(job), now);
        }
    }

    /// Has everything on the disk, and gives the number of records.
    pub(super) fn finish(mut self) -> Result<u64, RewriteError> {
        self.log.close();
        self.turn()?;
        while !self.log.is_at_rest() {
            // Nothing else happens meanwhile, so the next moment may as well be now.
            let due = self.log.poll_timeout().unwrap_or_default();
            let mono = due.max(self.start.elapsed());
            self.log.handle_timeout(Now { mono, ..self.now() });
            self.turn()?;
        }
        Ok(self.records)
    }

    fn refused(&self, error: AppendError) -> RewriteError {
        let shard = self.shard;
        RewriteError::Append { shard, error }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.start.elapsed(),
            wall_ms: 0,
        }
    }
}

/// Bytes appended before the log is asked for jobs: a batch of the longest kind.
const TURN_BYTES: usize = 256 * 1024;
