//! A generation of logs: one folder in the data folder, with a folder for each shard. The manifest
//! names the one that counts; all others are strays of a rewrite that was cut short.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RewriteError;
use super::reading;
use super::watch::Watch;
use crate::engine::wal::buffer::BLOCK_BYTES;
use crate::engine::wal::settings::{SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MOST};
use crate::runtime::data_folder::make_folder;
use crate::runtime::disk_folder::sync_folder;
use crate::runtime::manifest::{Manifest, generation_path, generations, shard_path};

/// A generation of logs, which may not be there yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generation {
    dir: PathBuf,
    number: u64,
    shards: u8,
}

impl Generation {
    /// The generation of the data folder at `dir` that counts.
    #[must_use]
    pub fn in_use(dir: &Path, manifest: &Manifest) -> Self {
        Self::new(dir, manifest.generation, manifest.shards)
    }

    /// Generation `number` of the data folder at `dir`.
    pub(super) fn new(dir: &Path, number: u64, shards: u8) -> Self {
        Self {
            dir: dir.to_path_buf(),
            number,
            shards,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// How many shards it has.
    #[must_use]
    pub const fn shard_count(&self) -> u8 {
        self.shards
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        generation_path(&self.dir, self.number)
    }

    /// Its shards and their folders.
    pub fn shards(&self) -> impl Iterator<Item = (u16, PathBuf)> {
        let shards = 0..u16::from(self.shards);
        shards.map(|shard| (shard, shard_path(&self.dir, self.number, shard)))
    }

    /// Bytes of all its segments.
    pub fn segment_bytes(&self) -> Result<u64, RewriteError> {
        self.shards()
            .map(|(_, path)| reading::segment_bytes(&path))
            .sum()
    }

    /// Length of its longest segment, kept to what a segment may have: what new ones should have
    /// where no configuration says it.
    pub fn longest_segment(&self) -> Result<u32, RewriteError> {
        let mut longest = 0;
        for (_, path) in self.shards() {
            let files = reading::list(&path)?.files;
            longest = files.iter().fold(longest, |max, file| max.max(file.bytes));
        }
        let longest = u32::try_from(longest).unwrap_or(u32::MAX);
        let whole = longest / BLOCK_BYTES as u32 * BLOCK_BYTES as u32;
        Ok(whole.clamp(SEGMENT_BYTES_LEAST, SEGMENT_BYTES_MOST))
    }

    /// Makes its folders; their names survive a power cut.
    pub(super) fn create(&self, watch: &mut Watch<'_>) -> Result<(), RewriteError> {
        for (_, path) in self.shards() {
            watch.step()?;
            make_folder(&path).map_err(|error| RewriteError::folder("making", &path, error))?;
        }
        Ok(())
    }

    /// Removes it.
    pub(super) fn remove(&self) -> Result<(), RewriteError> {
        let removed = fs::remove_dir_all(self.path()).and_then(|()| sync_folder(&self.dir));
        removed.map_err(|error| RewriteError::folder("removing", &self.path(), error))
    }

    /// Puts it aside under another name, for whoever wants to look at it.
    pub(super) fn quarantine(&self) -> Result<PathBuf, RewriteError> {
        set_aside(&self.dir, self.number)
            .map_err(|error| RewriteError::folder("renaming", &self.path(), error))
    }

    /// Leaves a note in it: from now on it is put aside instead of removed.
    pub(super) fn annotate(&self, text: &str) -> Result<(), RewriteError> {
        let path = self.path().join(NOTE);
        let written = fs::write(&path, text)
            .and_then(|()| fs::File::open(&path)?.sync_all())
            .and_then(|()| sync_folder(&self.path()));
        written.map_err(|error| RewriteError::folder("writing", &path, error))
    }
}

/// Puts away what a rewrite that was cut short has left beside generation `current`.
pub(super) fn clear_strays(dir: &Path, current: u64) -> Result<(), RewriteError> {
    let found = generations(dir).map_err(|error| RewriteError::folder("reading", dir, error))?;
    let mut strays = found.into_iter().filter(|number| *number != current);
    strays.try_for_each(|number| {
        let path = generation_path(dir, number);
        put_away(dir, number).map_err(|error| RewriteError::folder("putting away", &path, error))
    })
}

/// Removes generation `number`, which does not count; one that was salvaged is put aside.
pub(crate) fn put_away(dir: &Path, number: u64) -> io::Result<()> {
    let path = generation_path(dir, number);
    if path.join(NOTE).exists() {
        let aside = set_aside(dir, number)?;
        tracing::info!(path = %aside.display(), "putting aside a generation that was salvaged");
        return Ok(());
    }
    tracing::info!(path = %path.display(), "removing a generation that is not in use");
    fs::remove_dir_all(&path)?;
    sync_folder(dir)
}

fn set_aside(dir: &Path, number: u64) -> io::Result<PathBuf> {
    let aside = dir.join(format!("quarantine-{number}"));
    fs::rename(generation_path(dir, number), &aside)?;
    sync_folder(dir)?;
    Ok(aside)
}

/// The note in a generation that was salvaged.
const NOTE: &str = "SALVAGED.txt";
