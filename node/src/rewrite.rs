//! Writes the logs of a data folder anew, as a new generation beside the one in use: for another
//! number of shards, or from what can be read of a damaged one. One piece of code serves both.
//!
//! Order: the old generation is read whole; the new one is written, synchronised and read back; the
//! manifest is switched, which is one rename; only then the old one is put away. Wherever that
//! ends, one of the two is whole and the manifest names it. What a crash leaves beside it is put
//! away by `generation::clear_strays`.
//!
//! Memory: the records of all new shards are held at once, within `memory_max` as in a running
//! node, and freed before the node reads its new generation.

pub mod generation;
pub mod reading;
pub mod salvage;
mod survivors;
#[cfg(test)]
mod tests;
pub mod watch;
mod writing;

use std::io;
use std::path::{Path, PathBuf};

use proto::time::Now;
use thiserror::Error;

use self::generation::Generation;
use self::reading::ShardRead;
use self::survivors::Survivors;
use self::watch::{Phase, Watch};
use crate::engine::wal::log::AppendError;
use crate::engine::wal::recovery::{RecoveryConfig, RecoveryError};
use crate::engine::wal::settings::{LogConfig, SyncPolicy};
use crate::exit::Exit;
use crate::runtime::manifest::{Manifest, ManifestError};

/// What a new generation is written with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The high bits of the node's id.
    pub node: u64,
    /// Shards of the new generation.
    pub shards: u8,
    /// Bytes of a segment.
    pub segment_bytes: u32,
    /// Most bytes of memory for all records together.
    pub memory_max: u64,
    /// Secret seed of tables and salts; differs from start to start.
    pub seed: u64,
    /// The time by which a record has expired or not.
    pub now: Now,
}

/// What a rewrite did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rewritten {
    /// The generation that is in use now.
    pub generation: u64,
    /// Records it has.
    pub records: u64,
    /// Puts and deletes that were read.
    pub records_read: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
}

/// Why a rewrite ended early. The generation named by the manifest is whole.
#[derive(Debug, Error)]
pub enum RewriteError {
    /// A log of the old generation cannot be used, or the new one cannot be read back.
    #[error("shard {shard}: {error}")]
    Recovery {
        /// The shard.
        shard: u16,
        /// Why.
        error: RecoveryError,
    },
    /// The new generation cannot be written (the medium's fault, or the operator's to mend).
    #[error("writing shard {shard} anew: {error}")]
    Append {
        /// The shard.
        shard: u16,
        /// Why.
        error: AppendError,
    },
    /// The new generation holds something else than was written.
    #[error("shard {shard} was written anew with {written} records and reads back {read}")]
    Unequal {
        /// The shard.
        shard: u16,
        /// Records written.
        written: u64,
        /// Records found.
        read: u64,
    },
    /// The manifest cannot be switched.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// The data folder.
        path: PathBuf,
        /// Why.
        error: ManifestError,
    },
    /// A folder cannot be handled (the operator's to mend).
    #[error("{what} {}: {error}", path.display())]
    Folder {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Somebody wanted it to end.
    #[error("{0}")]
    Stopped(io::Error),
}

impl Layout {
    const fn recovery(&self, shard: u16, is_salvage: bool) -> RecoveryConfig {
        RecoveryConfig {
            node: self.node,
            shard,
            is_salvage,
        }
    }

    const fn log(&self, shard: u16) -> LogConfig {
        LogConfig {
            node: self.node,
            shard,
            segment_bytes: self.segment_bytes,
            sync: SyncPolicy::Always,
            // Nothing is compacted: all that is written is live.
            space_percent: 200,
            seed: self.seed ^ (shard as u64) << 48,
        }
    }
}

impl RewriteError {
    pub(crate) fn folder(what: &'static str, path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::Folder { what, path, error }
    }

    /// The exit code it deserves.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Recovery { error, .. } => recovery_exit(error),
            Self::Append { .. } | Self::Unequal { .. } => Exit::Storage,
            Self::Folder { .. } | Self::Manifest { .. } => Exit::Data,
            Self::Stopped(_) => Exit::Ok,
        }
    }
}

/// The exit code of a log that cannot be used.
#[must_use]
pub const fn recovery_exit(error: &RecoveryError) -> Exit {
    match error {
        RecoveryError::Foreign { .. } => Exit::Data,
        RecoveryError::Damaged(_)
        | RecoveryError::Unreadable { .. }
        | RecoveryError::Unsettled { .. }
        | RecoveryError::Memory { .. } => Exit::Storage,
    }
}

/// Gives the data folder at `dir`, which the caller has locked, as many shards as `layout` says.
pub fn reshard(
    dir: &Path,
    manifest: &Manifest,
    layout: &Layout,
    watch: &mut Watch<'_>,
) -> Result<Rewritten, RewriteError> {
    generation::clear_strays(dir, manifest.generation)?;
    let old = Generation::in_use(dir, manifest);
    let (survivors, shards) = gather(&old, layout, false, watch)?;
    let new = write(dir, manifest.generation + 1, &survivors, layout, watch)?;
    switch(dir, manifest, &new, watch)?;
    watch.step()?;
    old.remove()?;
    Ok(Rewritten::of(&new, &survivors, &shards))
}

impl Rewritten {
    fn of(new: &Generation, survivors: &Survivors, shards: &[ShardRead]) -> Self {
        Self {
            generation: new.number(),
            records: survivors.records(),
            records_read: shards.iter().map(|shard| shard.report.records).sum(),
            bytes_read: shards.iter().map(|shard| shard.report.bytes_read).sum(),
        }
    }
}

/// Reads all of `old`, and keeps what is worth keeping.
fn gather(
    old: &Generation,
    layout: &Layout,
    is_salvage: bool,
    watch: &mut Watch<'_>,
) -> Result<(Survivors, Vec<ShardRead>), RewriteError> {
    let mut survivors = Survivors::new(layout.shards, layout.memory_max, layout.seed, layout.now);
    // A salvage reads everything twice, and is then compared with what a node would say.
    let passes = if is_salvage { 3 } else { 1 };
    watch.begin(Phase::Reading, passes * old.segment_bytes()?);
    let mut shards = Vec::new();
    for (shard, path) in old.shards() {
        let config = layout.recovery(shard, is_salvage);
        let read = reading::read_shard(&path, config, watch, |entry| survivors.apply(entry))?;
        match &read.outcome {
            Ok(start) => survivors.observe(start.stamp),
            Err(error) => {
                let error = error.clone();
                return Err(RewriteError::Recovery { shard, error });
            }
        }
        shards.push(read);
    }
    Ok((survivors, shards))
}

/// Writes what survives as generation `number`, and reads it back. When that fails, the disk gets
/// its room back.
fn write(
    dir: &Path,
    number: u64,
    survivors: &Survivors,
    layout: &Layout,
    watch: &mut Watch<'_>,
) -> Result<Generation, RewriteError> {
    let new = Generation::new(dir, number, layout.shards);
    match fill(&new, survivors, layout, watch) {
        Ok(()) => Ok(new),
        Err(error @ RewriteError::Stopped(_)) => Err(error),
        Err(error) => {
            if let Err(error) = new.remove() {
                tracing::warn!("{error}");
            }
            Err(error)
        }
    }
}

fn fill(
    new: &Generation,
    survivors: &Survivors,
    layout: &Layout,
    watch: &mut Watch<'_>,
) -> Result<(), RewriteError> {
    watch.begin(Phase::Writing, 0);
    watch.expect_records(survivors.records());
    new.create(watch)?;
    let mut written = Vec::new();
    for ((shard, path), store) in new.shards().zip(survivors.stores()) {
        let config = layout.log(shard);
        let state = (survivors.stamp(), survivors.now());
        written.push(writing::write_shard(store, &path, config, state, watch)?);
    }
    check(new, &written, layout, watch)
}

/// Reads a new generation as the node will, and counts.
fn check(
    new: &Generation,
    written: &[u64],
    layout: &Layout,
    watch: &mut Watch<'_>,
) -> Result<(), RewriteError> {
    watch.begin(Phase::Checking, new.segment_bytes()?);
    for ((shard, path), &written) in new.shards().zip(written) {
        let config = layout.recovery(shard, false);
        let found = reading::read_shard(&path, config, watch, |_| Ok(()))?;
        let read = found.report.records;
        match found.outcome {
            Err(error) => return Err(RewriteError::Recovery { shard, error }),
            Ok(_) if read != written => {
                return Err(RewriteError::Unequal {
                    shard,
                    written,
                    read,
                });
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Makes `new` the generation that a node reads.
fn switch(
    dir: &Path,
    manifest: &Manifest,
    new: &Generation,
    watch: &mut Watch<'_>,
) -> Result<(), RewriteError> {
    watch.begin(Phase::Switching, 0);
    watch.step()?;
    let next = Manifest {
        generation: new.number(),
        shards: new.shard_count(),
        ..manifest.clone()
    };
    next.write(dir).map_err(|error| RewriteError::Manifest {
        path: dir.to_path_buf(),
        error,
    })
}
