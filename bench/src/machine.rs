//! What machine and which revision a result was measured on.
//!
//! Reads `/proc` and asks git; a fact that cannot be had is `unknown`, because a result with a gap
//! is worth more than none.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::process::Program;

/// The machine of a result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Main memory in MiB.
    pub memory_mib: u64,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: cpu_model(&read("/proc/cpuinfo")).unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: match read("/proc/sys/kernel/osrelease").trim() {
                "" => unknown(),
                release => release.to_owned(),
            },
            memory_mib: memory_kib(&read("/proc/meminfo")).unwrap_or(0) / 1024,
        }
    }

    /// One line for the head of a report.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{}, {} cores, Linux {}, {} MiB",
            self.cpu, self.cores, self.kernel, self.memory_mib
        )
    }
}

/// The revision of the sources at `root`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revision {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// Whether files differ from the commit.
    pub modified: bool,
}

impl Revision {
    /// Asks git.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let git = |args: &[&str]| {
            let output = Program::new("git").args(args).folder(root).capture().ok()?;
            Some(output.trim().to_owned())
        };
        Self {
            commit: git(&["rev-parse", "HEAD"]).unwrap_or_else(unknown),
            modified: git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty()),
        }
    }

    /// The first seven digits.
    #[must_use]
    pub fn short(&self) -> &str {
        self.commit.get(..7).unwrap_or(&self.commit)
    }
}

/// The file system that `path` lies on, and its device: `ext4 (/dev/vda)`.
#[must_use]
pub fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    mount_of(&mounts, &path).unwrap_or_else(unknown)
}

/// Of the mounts above a path the deepest counts, and of several there the last (proc(5),
/// `mountinfo`: place is field 5; after a lone hyphen come file system and device).
fn mount_of(mounts: &str, path: &Path) -> Option<String> {
    let mut found: Option<(usize, String)> = None;
    for line in mounts.lines() {
        let (before, after) = line.split_once(" - ")?;
        let place = Path::new(before.split(' ').nth(4)?);
        let depth = place.components().count();
        let is_deeper = found.as_ref().is_none_or(|(deepest, _)| depth >= *deepest);
        if path.starts_with(place) && is_deeper {
            let mut words = after.split(' ');
            found = Some((depth, format!("{} ({})", words.next()?, words.next()?)));
        }
    }
    found.map(|(_, mount)| mount)
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    let (_, model) = line.split_once(':')?;
    Some(model.trim().to_owned())
}

fn memory_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn unknown() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: fpu\n";
        assert_eq!(cpu_model(cpuinfo).unwrap(), "Some CPU @ 2 GHz");
        assert_eq!(
            memory_kib("MemTotal:  2048 kB\nMemFree: 1 kB\n"),
            Some(2048)
        );
        assert_eq!(cpu_model("flags : fpu"), None);
    }

    #[test]
    fn the_deepest_mount_counts() {
        let mounts = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      30 22 0:26 / /tmp rw - tmpfs tmp rw\n\
                      31 22 0:27 / /tmp/real rw - xfs /dev/vdb rw\n";
        let of = |path| mount_of(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/home/a"), "ext4 (/dev/vda)");
        assert_eq!(of("/tmp/x"), "tmpfs (tmp)");
        assert_eq!(of("/tmp/real/x"), "xfs (/dev/vdb)");
        assert_eq!(of("/tmp/really"), "tmpfs (tmp)");
        assert_eq!(mount_of("", Path::new("/")), None);
    }

    #[test]
    fn this_machine_has_cores() {
        assert!(Machine::here().cores > 0);
    }
}
