//! `manifest.json`: whose data a folder holds, and which generation of it counts. It is replaced as
//! a whole: the new one is written beside it, synchronised and renamed over it.
//!
//! ```text
//! DIR/lock                                  held by the process that uses the folder
//! DIR/manifest.json                         {format, node, ring, shards, generation}
//! DIR/wal-<generation>/shard-<NNN>/*.wal    the segments of a shard
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::disk_folder::sync_folder;

/// What a data folder is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the folder's layout, [`FORMAT`].
    pub format: u32,
    /// The name that the node advertises.
    pub node: String,
    /// The ring it is a member of.
    pub ring: String,
    /// How many shards the generation has.
    pub shards: u8,
    /// The generation that counts.
    pub generation: u64,
}

/// Why a manifest cannot be read or written.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The file system refuses (the operator's to mend, or the medium's fault).
    #[error("{FILE}: {0}")]
    Io(#[from] io::Error),
    /// It is not what this program writes (the medium's fault, or somebody's hand).
    #[error("{FILE} cannot be understood: {0}")]
    Malformed(String),
    /// It was written by a newer version of Chordite (the operator's to mend).
    #[error("{FILE} has format {found}, this version knows format {FORMAT} only")]
    Newer {
        /// The format found.
        found: u64,
    },
}

/// The version of the layout that is written and read.
pub const FORMAT: u32 = 1;

/// The name of the file.
pub const FILE: &str = "manifest.json";

impl Manifest {
    /// The first manifest of a folder.
    #[must_use]
    pub fn first(node: &str, ring: &str, shards: u8) -> Self {
        Self {
            format: FORMAT,
            node: node.into(),
            ring: ring.into(),
            shards,
            generation: 0,
        }
    }

    /// Reads the manifest of the folder `dir`; `None` when it has none.
    pub fn read(dir: &Path) -> Result<Option<Self>, ManifestError> {
        let text = match fs::read(dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let malformed = |error: serde_json::Error| ManifestError::Malformed(error.to_string());
        // A newer format may have other fields.
        let Versioned { format } = serde_json::from_slice(&text).map_err(malformed)?;
        if format > u64::from(FORMAT) {
            return Err(ManifestError::Newer { found: format });
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(malformed)?;
        if manifest.format != FORMAT || manifest.shards == 0 {
            let why = "`format` and `shards` start at 1";
            return Err(ManifestError::Malformed(why.into()));
        }
        Ok(Some(manifest))
    }

    /// Makes this the manifest of the folder `dir`; when it returns, that survives a power cut.
    pub fn write(&self, dir: &Path) -> Result<(), ManifestError> {
        let fresh = dir.join(FRESH_FILE);
        let mut text = serde_json::to_vec_pretty(self).map_err(io::Error::from)?;
        text.push(b'\n');
        let mut file = private_file(&fresh, true)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&fresh, dir.join(FILE))?;
        sync_folder(dir)?;
        Ok(())
    }

    /// The folder of the generation that counts.
    #[must_use]
    pub fn generation_path(&self, dir: &Path) -> PathBuf {
        generation_path(dir, self.generation)
    }

    /// The folder of a shard of that generation.
    #[must_use]
    pub fn shard_path(&self, dir: &Path, shard: u16) -> PathBuf {
        shard_path(dir, self.generation, shard)
    }
}

/// The folder of a generation below `dir`.
#[must_use]
pub fn generation_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("{GENERATION_PREFIX}{generation}"))
}

/// The folder of a shard of a generation below `dir`.
#[must_use]
pub fn shard_path(dir: &Path, generation: u64, shard: u16) -> PathBuf {
    generation_path(dir, generation).join(format!("shard-{shard:03}"))
}

/// The generations below `dir`, whether they count or not, in their order.
pub fn generations(dir: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(parse_generation);
        found.extend(number);
    }
    found.sort_unstable();
    Ok(found)
}

/// The file at `path`, made when it is missing, which nobody but its owner may open.
pub(super) fn private_file(path: &Path, is_emptied: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(is_emptied)
        .mode(FILE_MODE)
        .open(path)
}

/// The number in a generation's name; only what would be written counts as one.
fn parse_generation(name: &str) -> Option<u64> {
    let number: u64 = name.strip_prefix(GENERATION_PREFIX)?.parse().ok()?;
    (name == format!("{GENERATION_PREFIX}{number}")).then_some(number)
}

/// The field that every format has.
#[derive(Deserialize)]
struct Versioned {
    format: u64,
}

const FRESH_FILE: &str = "manifest.json.new";
const GENERATION_PREFIX: &str = "wal-";

/// Files of a data folder are their owner's alone.
pub(super) const FILE_MODE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), None);
        let mut manifest = Manifest::first("a:1", "dev", 2);
        manifest.write(dir.path()).unwrap();
        manifest.generation = 7;
        manifest.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), Some(manifest.clone()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let shard = manifest.shard_path(dir.path(), 12);
        assert!(shard.ends_with("wal-7/shard-012"), "{shard:?}");
    }

    #[test]
    fn what_was_not_written_here_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (text, want) in [
            ("", "manifest.json cannot be understood: EOF"),
            (
                "{}",
                "manifest.json cannot be understood: missing field `format`",
            ),
            (
                r#"{"format": 2, "cells": []}"#,
                "manifest.json has format 2, this version knows format 1 only",
            ),
            (
                r#"{"format": 1}"#,
                "manifest.json cannot be understood: missing field `node`",
            ),
            (
                r#"{"format":1,"node":"a:1","ring":"r","shards":0,"generation":0}"#,
                "manifest.json cannot be understood: `format` and `shards`",
            ),
            (
                r#"{"format":0,"node":"a:1","ring":"r","shards":1,"generation":0}"#,
                "manifest.json cannot be understood: `format` and `shards`",
            ),
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = Manifest::read(dir.path()).unwrap_err().to_string();
            assert!(error.starts_with(want), "{text}: {error}");
        }
        fs::remove_file(dir.path().join(FILE)).unwrap();
        fs::create_dir(dir.path().join(FILE)).unwrap();
        let error = Manifest::read(dir.path()).unwrap_err();
        assert!(matches!(error, ManifestError::Io(_)), "{error}");
    }

    #[test]
    fn only_exact_names_are_generations() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "wal-0", "wal-10", "wal-2", "wal-02", "wal-+3", "wal-", "wal-1x", "x-1",
        ] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(generations(dir.path()).unwrap(), [0, 2, 10]);
    }
}
