//! Keeps of a damaged generation what can be read: a new generation gets it, the damaged one is put
//! aside whole, under the name `quarantine-NUMBER`, and is never removed.
//!
//! What was lost cannot be read, so neither can what it said: when a delete or a newer version is
//! among it, an older version of its key may be back.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::generation::{self, Generation};
use super::reading::{self, ShardRead};
use super::survivors::Survivors;
use super::watch::Watch;
use super::{Layout, RewriteError, Rewritten};
use crate::engine::wal::names::{FileName, Lsn};
use crate::engine::wal::recovery::{DamagedRange, RecoveryError};
use crate::runtime::manifest::Manifest;

/// A generation that was read for what can be kept of it.
pub struct Salvage {
    old: Generation,
    survivors: Survivors,
    shards: Vec<ShardRead>,
    losses: Vec<Loss>,
}

/// Something that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The shard.
    pub shard: u16,
    /// Where, and which records.
    pub range: DamagedRange,
}

/// What a salvage did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Salvaged {
    /// The new generation.
    pub rewritten: Rewritten,
    /// Where the damaged one is now; `None` when it is where it was.
    pub quarantine: Option<PathBuf>,
}

impl Salvage {
    /// Reads the data folder at `dir`, which the caller has locked. Writes nothing.
    pub fn examine(
        dir: &Path,
        manifest: &Manifest,
        layout: &Layout,
        watch: &mut Watch<'_>,
    ) -> Result<Self, RewriteError> {
        let old = Generation::in_use(dir, manifest);
        let (survivors, shards) = super::gather(&old, layout, true, watch)?;
        let mut losses = Vec::new();
        for ((shard, path), read) in old.shards().zip(&shards) {
            let found = read.report.damage.iter().cloned();
            let known = losses.len();
            losses.extend(found.map(|range| Loss { shard, range }));
            // A node has the last word on whether there is damage at all.
            let config = layout.recovery(shard, false);
            let outcome = reading::read_shard(&path, config, watch, |_| Ok(()))?.outcome;
            match outcome {
                Ok(_) => losses.truncate(known),
                Err(RecoveryError::Damaged(range)) if losses.len() == known => {
                    losses.push(Loss { shard, range });
                }
                Err(RecoveryError::Damaged(_)) => {}
                // Nothing that counts is missing, as far as it can be read; but a node does not
                // start on a file that cannot, so that it has to be written anew.
                Err(RecoveryError::Unreadable { file, .. }) => losses.push(Loss {
                    shard,
                    range: unread(file),
                }),
                Err(error) => return Err(RewriteError::Recovery { shard, error }),
            }
        }
        Ok(Self {
            old,
            survivors,
            shards,
            losses,
        })
    }

    /// What cannot be read; nothing when there is no need of a salvage.
    #[must_use]
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Records that can be kept.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.survivors.records()
    }

    /// Writes what can be kept as the generation in use, and puts the damaged one aside.
    pub fn mend(
        self,
        dir: &Path,
        manifest: &Manifest,
        layout: &Layout,
        watch: &mut Watch<'_>,
    ) -> Result<Salvaged, RewriteError> {
        generation::clear_strays(dir, manifest.generation)?;
        let next = manifest.generation + 1;
        let new = super::write(dir, next, &self.survivors, layout, watch)?;
        watch.step()?;
        // Before the switch: a crash after it must not leave a stray that looks worthless.
        self.old.annotate(&self.note())?;
        super::switch(dir, manifest, &new, watch)?;
        watch.step()?;
        let quarantine = Some(self.old.quarantine()?);
        let rewritten = Rewritten::of(&new, &self.survivors, &self.shards);
        Ok(Salvaged {
            rewritten,
            quarantine,
        })
    }

    /// Writes what can be kept as a data folder of its own at `out`, which is empty or not there,
    /// and leaves the damaged one as it is.
    pub fn copy(
        self,
        out: &Path,
        manifest: &Manifest,
        layout: &Layout,
        watch: &mut Watch<'_>,
    ) -> Result<Salvaged, RewriteError> {
        let failed = |error| RewriteError::folder("making", out, error);
        fs::create_dir_all(out).map_err(failed)?;
        if fs::read_dir(out).map_err(failed)?.next().is_some() {
            let error = std::io::ErrorKind::DirectoryNotEmpty.into();
            return Err(RewriteError::folder("writing to", out, error));
        }
        let next = manifest.generation + 1;
        let new = super::write(out, next, &self.survivors, layout, watch)?;
        super::switch(out, manifest, &new, watch)?;
        Ok(Salvaged {
            rewritten: Rewritten::of(&new, &self.survivors, &self.shards),
            quarantine: None,
        })
    }

    fn note(&self) -> String {
        let mut note = String::from(
            "`chordite wal salvage` has written anew what can be read of this generation.\n\
             What it could not read:\n",
        );
        for Loss { shard, range } in &self.losses {
            let DamagedRange { from, to, .. } = range;
            let (file, first, last) = (FileName::Segment(range.segment), range.first, range.last);
            let _ = writeln!(
                note,
                "shard {shard}, {file}: bytes {from} to {to}, records {first} to {last}"
            );
        }
        note.push_str("Nothing reads this folder any more; remove it when you are done with it.\n");
        note
    }
}

impl Loss {
    /// How many records are lost, commit records included.
    #[must_use]
    pub const fn records(&self) -> u64 {
        let DamagedRange { first, last, .. } = self.range;
        last.0.saturating_add(1).saturating_sub(first.0)
    }
}

/// The range of a file of which nobody knows what is missing: no byte and no record of it.
const fn unread(file: FileName) -> DamagedRange {
    DamagedRange {
        segment: file.number(),
        from: 0,
        to: 0,
        first: Lsn(0),
        last: Lsn(0),
    }
}
