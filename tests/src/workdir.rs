//! A folder for each thing a test starts, under cargo's target folder.
//!
//! Folders of an ended test program are kept, so that logs can be read after a failure, and removed
//! by the next test program that starts. The process id in the name tells whose a folder is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{binaries, mounts};

/// A new, empty folder; `name` says what for.
pub fn create(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = own().join(format!("{count:03}-{name}"));
    fs::create_dir_all(&path).expect("the target folder is writable");
    path
}

fn own() -> &'static Path {
    static OWN: OnceLock<PathBuf> = OnceLock::new();
    OWN.get_or_init(|| {
        let all = binaries::target_dir().join("rigs");
        remove_ended(&all);
        all.join(process::id().to_string())
    })
}

fn remove_ended(all: &Path) {
    let Ok(entries) = fs::read_dir(all) else {
        return;
    };
    for entry in entries.flatten() {
        let pid = entry.file_name();
        if !Path::new("/proc").join(&pid).exists() {
            mounts::release(&entry.path());
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
