//! The programs under test: built in the profile of this executable, found beside it.
//!
//! Cargo itself decides what is stale, so it is always asked; where there is no cargo (an installed
//! `bench`), programs that are there are used as they are.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use crate::process::{ProcessError, Program};

/// Paths of the programs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binaries {
    /// `chordite`.
    pub chordite: PathBuf,
    /// `loadgen`.
    pub loadgen: PathBuf,
    /// `sim`, which only predictions need.
    pub sim: PathBuf,
    /// This executable.
    pub bench: PathBuf,
}

impl Binaries {
    /// Builds what is missing or stale and says where it is.
    ///
    /// # Errors
    /// When the build fails, or there is neither cargo nor a built program.
    pub fn ready() -> Result<Self, BinariesError> {
        let bench = env::current_exe()?;
        let folder = bench.parent().unwrap_or(Path::new(".")).to_owned();
        let binaries = Self {
            chordite: folder.join("chordite"),
            loadgen: folder.join("loadgen"),
            sim: folder.join("sim"),
            bench,
        };
        let there = binaries.chordite.exists() && binaries.loadgen.exists();
        match build(&folder) {
            Err(ProcessError::Start { .. }) if there => Ok(binaries),
            Err(error) => Err(error.into()),
            Ok(()) if there || binaries.chordite.exists() && binaries.loadgen.exists() => {
                Ok(binaries)
            }
            Ok(()) => Err(BinariesError::Elsewhere(folder)),
        }
    }
}

/// Root of the sources this executable was built from.
#[must_use]
pub fn source_root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Why there are no programs to test; the operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// This executable's own path is unknown.
    #[error("cannot tell where bench itself is: {0}")]
    Own(#[from] io::Error),
    /// The build failed.
    #[error("cannot build chordite and loadgen: {0}")]
    Build(#[from] ProcessError),
    /// The build went elsewhere.
    #[error("chordite and loadgen are not in {0}, where bench is")]
    Elsewhere(PathBuf),
}

fn build(folder: &Path) -> Result<(), ProcessError> {
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    // Whether there is a cargo at all: started directly, because a guard can always be started.
    Program::new(&cargo).arg("--version").capture()?;
    // The whole workspace, so that its crates share their dependencies' features and one build.
    let mut build = Program::new(cargo).args(["build", "--quiet", "--workspace", "--bins"]);
    build = build.args(profile(folder));
    if let Some(target) = folder.parent() {
        build = build.arg("--target-dir").arg(target);
    }
    build.folder(source_root()).pass_through()
}

/// Cargo's flags for the profile whose folder this is.
fn profile(folder: &Path) -> Vec<String> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    match &*name {
        "debug" => Vec::new(),
        profile => vec!["--profile".to_owned(), profile.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_names_the_profile() {
        assert!(profile(Path::new("target/debug")).is_empty());
        let release = profile(Path::new("target/release"));
        assert_eq!(release, ["--profile", "release"]);
    }
}
