//! The data folder of a node: made when it is missing, locked for the life of the process, and
//! refused when it is not this node's or not to be understood. What is refused is left as it is.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::disk_folder::{Listing, sync_folder};
use super::manifest::{
    FILE, Manifest, ManifestError, generation_path, generations, private_file, shard_path,
};
use crate::config::Config;
use crate::exit::Exit;
use crate::rewrite::generation::put_away;

/// A data folder in use.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    manifest: Manifest,
    /// Holds the lock until it is closed, which the end of the process does too.
    _lock: File,
}

/// Whose folder it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The name that the node advertises.
    pub node: String,
    /// The ring it is a member of.
    pub ring: String,
    /// How many shards it is to have.
    pub shards: u8,
}

impl Owner {
    /// A node configured by `config`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            node: config.advertise.to_string(),
            ring: config.ring.clone(),
            shards: config.shards,
        }
    }
}

/// Why a folder is not used.
#[derive(Debug, Error)]
pub enum DataFolderError {
    /// The file system refuses (the operator's to mend).
    #[error("cannot {what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    #[error(
        "another process{} uses it: stop that one, or name another folder",
        pid_shown(pid)
    )]
    Locked {
        /// What that process has written into the lock.
        pid: String,
    },
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is another node's.
    #[error(
        "it is the data of node {found} (manifest.json), this node is {own}: name another folder"
    )]
    OtherNode {
        /// The owner.
        found: String,
        /// This node.
        own: String,
    },
    /// It is of another ring.
    #[error(
        "it is data of the ring {found} (manifest.json), this node is of the ring {own}: name \
         another folder"
    )]
    OtherRing {
        /// The ring it is of.
        found: String,
        /// This node's ring.
        own: String,
    },
    /// Nothing says whose segments these are.
    #[error(
        "{} holds segments, but there is no manifest.json: bring it back",
        generation.display()
    )]
    Ownerless {
        /// The folder of the generation.
        generation: PathBuf,
    },
    /// A part of the data is not there.
    #[error(
        "{} is missing, the log of a shard: bring it back, or make an empty folder to go on \
         without its records",
        path.display()
    )]
    ShardMissing {
        /// The shard's folder.
        path: PathBuf,
    },
}

impl DataFolderError {
    /// The exit code it ends the process with.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        Exit::Data
    }
}

impl DataFolder {
    /// Takes the folder at `path` for `owner`.
    pub fn open(path: &Path, owner: &Owner) -> Result<Self, DataFolderError> {
        make_folder(path).map_err(failed("create it"))?;
        let lock = lock(path)?;
        let manifest = match read_manifest(path, owner)? {
            Some(manifest) => manifest,
            None => first_manifest(path, owner)?,
        };
        for shard in 0..u16::from(manifest.shards) {
            let path = manifest.shard_path(path, shard);
            if !path.is_dir() {
                return Err(DataFolderError::ShardMissing { path });
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            manifest,
            _lock: lock,
        })
    }

    /// Takes the folder at `path` as it is, for a tool: nothing is made, checked or removed but the
    /// lock. Without an owner, whoever's it is.
    pub fn take(path: &Path, owner: Option<&Owner>) -> Result<Self, DataFolderError> {
        let read = || -> Result<Manifest, DataFolderError> {
            let manifest = match owner {
                Some(owner) => read_manifest(path, owner)?,
                None => Manifest::read(path)?,
            };
            let missing = || failed(format!("read {FILE}"))(io::ErrorKind::NotFound.into());
            manifest.ok_or_else(missing)
        };
        // Read before the lock is made, too: no lock is left in a folder that is none of ours.
        read()?;
        Ok(Self {
            _lock: lock(path)?,
            path: path.to_path_buf(),
            manifest: read()?,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of itself.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads the manifest again, which somebody else has replaced.
    pub fn reload(&mut self) -> Result<(), DataFolderError> {
        let manifest = Manifest::read(&self.path)?;
        let missing = || failed("read manifest.json")(io::ErrorKind::NotFound.into());
        self.manifest = manifest.ok_or_else(missing)?;
        Ok(())
    }

    /// The folder of a shard.
    #[must_use]
    pub fn shard_path(&self, shard: u16) -> PathBuf {
        self.manifest.shard_path(&self.path, shard)
    }

    /// Removes the generations that do not count, once the one that does was read. It is switched
    /// to when it is complete, so that one with another number is a predecessor or was never
    /// finished.
    pub fn remove_others(&self) -> Result<(), DataFolderError> {
        let found = generations(&self.path).map_err(failed("list it"))?;
        let others = found
            .into_iter()
            .filter(|number| *number != self.manifest.generation);
        for number in others {
            let what = format!("put away {}", generation_path(&self.path, number).display());
            put_away(&self.path, number).map_err(failed(what))?;
        }
        Ok(())
    }
}

/// Whether the folder at `path`, which is there, could be taken for `owner`; changes nothing.
pub fn examine(path: &Path, owner: &Owner) -> Result<Option<Manifest>, DataFolderError> {
    match File::open(path.join(LOCK_FILE)) {
        Ok(file) => drop(try_lock(file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(format!("open {LOCK_FILE}"))(error)),
    }
    read_manifest(path, owner)
}

/// Makes a folder, and those above it, for this user alone; they survive a power cut.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => sync_folder(parent.unwrap_or(Path::new("."))),
        Err(error) => match (error.kind(), parent) {
            (io::ErrorKind::NotFound, Some(parent)) => {
                make_folder(parent)?;
                make_folder(path)
            }
            (io::ErrorKind::AlreadyExists, _) if path.is_dir() => Ok(()),
            (io::ErrorKind::AlreadyExists, _) => Err(io::ErrorKind::NotADirectory.into()),
            _ => Err(error),
        },
    }
}

/// Takes the lock; others read in it who has it.
fn lock(path: &Path) -> Result<File, DataFolderError> {
    let what = format!("write {LOCK_FILE}");
    let file = private_file(&path.join(LOCK_FILE), false);
    let mut file = try_lock(file.map_err(failed(&what))?)?;
    let written = file
        .set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(failed(&what))?;
    Ok(file)
}

fn try_lock(mut file: File) -> Result<File, DataFolderError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The number is for people: without it the line is as true.
            let _ = file.read_to_string(&mut pid);
            let pid = pid.trim().to_owned();
            Err(DataFolderError::Locked { pid })
        }
        Err(TryLockError::Error(error)) => Err(failed(format!("lock {LOCK_FILE}"))(error)),
    }
}

/// The manifest, when there is one and it is the owner's.
fn read_manifest(path: &Path, owner: &Owner) -> Result<Option<Manifest>, DataFolderError> {
    let Some(manifest) = Manifest::read(path)? else {
        refuse_segments(path)?;
        return Ok(None);
    };
    if manifest.ring != owner.ring {
        return Err(DataFolderError::OtherRing {
            found: manifest.ring,
            own: owner.ring.clone(),
        });
    }
    if manifest.node != owner.node {
        return Err(DataFolderError::OtherNode {
            found: manifest.node,
            own: owner.node.clone(),
        });
    }
    Ok(Some(manifest))
}

/// A folder without a manifest may have been left by a start that was cut short: empty folders.
fn refuse_segments(path: &Path) -> Result<(), DataFolderError> {
    for number in generations(path).map_err(failed("list it"))? {
        let generation = generation_path(path, number);
        let what = format!("list {}", generation.display());
        let has_segments = holds_segments(&generation).map_err(failed(what))?;
        if has_segments {
            return Err(DataFolderError::Ownerless { generation });
        }
    }
    Ok(())
}

fn holds_segments(generation: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(generation)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && !Listing::read(&entry.path())?.files.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the folders of an empty generation, then the manifest: a shard's folder that is missing
/// later is a loss and not the trace of a start that was cut short.
fn first_manifest(path: &Path, owner: &Owner) -> Result<Manifest, DataFolderError> {
    let manifest = Manifest::first(&owner.node, &owner.ring, owner.shards);
    for shard in 0..u16::from(manifest.shards) {
        let path = shard_path(path, manifest.generation, shard);
        make_folder(&path).map_err(failed(format!("create {}", path.display())))?;
    }
    manifest.write(path)?;
    Ok(manifest)
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> DataFolderError {
    |error| DataFolderError::Io {
        what: what.into(),
        error,
    }
}

fn pid_shown(pid: &str) -> String {
    match pid {
        "" => String::new(),
        pid => format!(" ({pid})"),
    }
}

/// The file that is locked.
const LOCK_FILE: &str = "lock";

/// The owner may look and write.
const FOLDER_MODE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::manifest;
    use std::os::unix::fs::PermissionsExt as _;

    fn owner() -> Owner {
        Owner {
            node: "a:1".into(),
            ring: "dev".into(),
            shards: 2,
        }
    }

    fn refused(path: &Path, owner: &Owner) -> String {
        let examined = examine(path, owner).unwrap_err().to_string();
        let opened = DataFolder::open(path, owner).unwrap_err().to_string();
        assert_eq!(examined, opened);
        opened
    }

    #[test]
    fn a_folder_is_made_private_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let folder = DataFolder::open(&path, &owner()).unwrap();
        assert!(folder.shard_path(1).is_dir() && !folder.shard_path(2).exists());
        for made in ["a", "a/b", "a/b/wal-0", "a/b/wal-0/shard-000"] {
            let mode = fs::metadata(dir.path().join(made)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o700, "{made}");
        }
        drop(folder);
        let more = Owner {
            shards: 5,
            ..owner()
        };
        let again = DataFolder::open(&path, &more).unwrap();
        assert_eq!(again.manifest(), &Manifest::first("a:1", "dev", 2));
    }

    #[test]
    fn a_folder_in_use_is_refused_with_the_number_of_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path(), &owner()).unwrap();
        let own = std::process::id();
        let want =
            format!("another process ({own}) uses it: stop that one, or name another folder");
        assert_eq!(refused(dir.path(), &owner()), want);
        drop(folder);
        assert!(examine(dir.path(), &owner()).unwrap().is_some());
        DataFolder::open(dir.path(), &owner()).unwrap();
    }

    #[test]
    fn data_of_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataFolder::open(dir.path(), &owner()).unwrap());
        let other = Owner {
            node: "b:2".into(),
            ..owner()
        };
        assert_eq!(
            refused(dir.path(), &other),
            "it is the data of node a:1 (manifest.json), this node is b:2: name another folder"
        );
        let other = Owner {
            ring: "prod".into(),
            ..owner()
        };
        assert_eq!(
            refused(dir.path(), &other),
            "it is data of the ring dev (manifest.json), this node is of the ring prod: name \
             another folder"
        );
    }

    #[test]
    fn segments_without_a_manifest_are_refused_and_empty_folders_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let shard = shard_path(dir.path(), 0, 0);
        fs::create_dir_all(&shard).unwrap();
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        drop(DataFolder::open(dir.path(), &owner()).unwrap());
        fs::remove_file(dir.path().join(manifest::FILE)).unwrap();
        fs::write(shard.join("0000000000000001.wal"), "").unwrap();
        let refused = refused(dir.path(), &owner());
        assert!(
            refused.ends_with("wal-0 holds segments, but there is no manifest.json: bring it back"),
            "{refused}"
        );
    }

    #[test]
    fn a_missing_shard_is_a_loss() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataFolder::open(dir.path(), &owner()).unwrap());
        fs::remove_dir(shard_path(dir.path(), 0, 1)).unwrap();
        let error = DataFolder::open(dir.path(), &owner()).unwrap_err();
        assert!(
            error.to_string().contains("shard-001 is missing"),
            "{error}"
        );
    }

    #[test]
    fn other_generations_go_and_other_names_stay() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataFolder::open(dir.path(), &owner()).unwrap());
        for name in ["wal-1/shard-000", "wal-01", "notes"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("wal-1/shard-000/0000000000000001.wal"), "x").unwrap();
        let folder = DataFolder::open(dir.path(), &owner()).unwrap();
        let left = |name| dir.path().join(name).exists();
        assert!(left("wal-1"), "nothing goes before the log was read");
        folder.remove_others().unwrap();
        assert!(!left("wal-1") && left("wal-0") && left("wal-01") && left("notes"));
    }

    #[test]
    fn a_path_that_is_no_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataFolder::open(&path, &owner()).unwrap_err();
            assert_eq!(error.exit(), Exit::Data);
            assert!(
                error.to_string().starts_with("cannot create it: "),
                "{error}"
            );
        }
    }
}
