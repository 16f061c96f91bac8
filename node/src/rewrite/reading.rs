//! Reads the log of one shard with the machine that a starting node reads it with. Jobs are carried
//! out one after the other, on the calling thread.

use std::path::Path;

use super::RewriteError;
use super::watch::Watch;
use crate::engine::wal::entry::Entry;
use crate::engine::wal::log::LogStart;
use crate::engine::wal::recovery::{Recovery, RecoveryConfig, RecoveryError, RecoveryReport};
use crate::runtime::disk_folder::{Access, DiskFolder, Listing};

/// What a shard's log was found to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardRead {
    /// Where a log would go on, or why none can.
    pub outcome: Result<LogStart, RecoveryError>,
    /// What was read.
    pub report: RecoveryReport,
}

/// Bytes of all segments in the shard's folder at `path`.
pub(crate) fn segment_bytes(path: &Path) -> Result<u64, RewriteError> {
    let listing = list(path)?;
    Ok(listing.files.iter().map(|file| file.bytes).sum())
}

/// Reads the log in `path`, and hands every put and delete that counts to `sink`.
pub fn read_shard(
    path: &Path,
    config: RecoveryConfig,
    watch: &mut Watch<'_>,
    mut sink: impl FnMut(&Entry<'_>) -> Result<(), String>,
) -> Result<ShardRead, RewriteError> {
    let files = list(path)?.files;
    let mut disk = DiskFolder::new(path.to_path_buf(), Access::Read);
    let mut recovery = Recovery::new(config, &files);
    loop {
        while let Some(job) = recovery.poll_job() {
            watch.step()?;
            recovery.handle_disk(disk.carry_out(job), &mut sink);
            watch.is_reading(recovery.report());
        }
        if let Some(outcome) = recovery.poll_outcome() {
            watch.has_read();
            let report = recovery.report().clone();
            return Ok(ShardRead { outcome, report });
        }
    }
}

/// What lies in the shard's folder at `path`.
pub fn list(path: &Path) -> Result<Listing, RewriteError> {
    Listing::read(path).map_err(|error| RewriteError::folder("reading", path, error))
}
