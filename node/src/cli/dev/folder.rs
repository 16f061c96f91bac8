//! The folder of a local ring: one that was named and stays, or a temporary one that goes with the
//! ring.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use node::exit::Exit;

use crate::cli::failure::Failure;

/// The folder; a temporary one is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    is_temporary: bool,
}

impl Folder {
    /// Creates `dir`, or a temporary folder that only this user can open.
    pub(super) fn open(dir: Option<PathBuf>) -> Result<Self, Failure> {
        let is_temporary = dir.is_none();
        let name = format!("chordite-dev-{}", std::process::id());
        let path = dir.unwrap_or_else(|| std::env::temp_dir().join(name));
        let made = DirBuilder::new()
            .mode(0o700)
            .recursive(!is_temporary)
            .create(&path);
        made.and_then(|()| fs::canonicalize(&path))
            .map(|path| Self { path, is_temporary })
            .map_err(|error| cannot_use(&path, &error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            // There is nobody left to tell: what stays behind is a folder in the temporary one.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The failure to read or write a file of the ring's folder.
pub(super) fn cannot_use(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Data, format!("{}: {error}", path.display()))
}
