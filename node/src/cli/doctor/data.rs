//! Whether the data folder of a configuration can be used: it is there or can be made, it is this
//! node's and free, and the log has room to begin.

use std::path::Path;
use std::{fs, io};

use node::config::Config;
use node::exit::Exit;
use node::runtime::data_folder::{self, DataFolderError, Owner};

use super::Finding;
use crate::cli::failure::Failure;

/// All findings about the data folder at `dir`.
pub(super) fn examine(config: &Config, dir: &Path) -> Vec<Finding> {
    let mut nearest = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    while is_missing(&nearest)
        && let Some(parent) = nearest.parent().map(Path::to_path_buf)
    {
        nearest = parent;
    }
    let mut findings = vec![folder(config, dir, &nearest)];
    findings.extend(room(config, &nearest));
    findings
}

/// A folder that is missing is created by the node, with those above it.
fn folder(config: &Config, dir: &Path, nearest: &Path) -> Finding {
    let shown = dir.display();
    if let Err(error) = writable(nearest) {
        return failed(config, dir, &error.to_string(), "create it for this user");
    }
    if is_missing(dir) {
        return Finding::fine(SUBJECT, format!("{shown} will be created"));
    }
    match data_folder::examine(dir, &Owner::of(config)) {
        Ok(Some(manifest)) if manifest.shards != config.shards => {
            let (from, to) = (manifest.shards, config.shards);
            let detail = format!("{shown} has {from} shards, the configuration {to}");
            Finding::warn(
                SUBJECT,
                detail,
                "the next start rewrites it, which takes time",
            )
        }
        Ok(Some(_)) => Finding::fine(SUBJECT, format!("{shown} is this node's")),
        Ok(None) => Finding::fine(SUBJECT, format!("{shown} can be written")),
        Err(error) => {
            let advice = match error {
                DataFolderError::Locked { .. } => "this node itself may be running",
                _ => "name this node's own folder, or an empty one",
            };
            failed(config, dir, &error.to_string(), advice)
        }
    }
}

fn failed(config: &Config, dir: &Path, why: &str, advice: &'static str) -> Finding {
    let place = config.place_of("data_dir");
    let message = format!("{place}: data_dir = {}: {why}", dir.display());
    Finding::fail(SUBJECT, Failure::new(Exit::Data, message), advice)
}

/// Every log begins with a segment to write and the next one.
fn room(config: &Config, nearest: &Path) -> Option<Finding> {
    let disk = rustix::fs::statvfs(nearest).ok()?;
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    let needed_bytes = 2 * u64::from(config.segment_bytes) * u64::from(config.shards);
    let (free, needed) = (free_bytes >> 20, needed_bytes.div_ceil(1 << 20));
    Some(if free_bytes < needed_bytes {
        let detail = format!("{free} MiB are free, the log begins with {needed} MiB");
        Finding::warn("disk", detail, "writes are refused until there is room")
    } else {
        Finding::fine("disk", format!("{free} MiB are free"))
    })
}

fn is_missing(dir: &Path) -> bool {
    fs::metadata(dir).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn writable(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    Ok(rustix::fs::access(dir, wanted)?)
}

const SUBJECT: &str = "data_dir";

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use node::runtime::data_folder::DataFolder;

    fn config(shards: u8) -> Config {
        Config {
            shards,
            ..Config::defaults()
        }
    }

    #[test]
    fn a_missing_folder_is_fine_where_it_can_be_created() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("missing/below");
        let findings = examine(&config(1), &dir);
        assert_eq!(findings[0].verdict, Verdict::Fine);
        assert!(
            findings[0].detail.ends_with("will be created"),
            "{findings:?}"
        );
        assert!(!dir.exists(), "looking creates nothing");
        let findings = examine(&config(1), Path::new("/dev/null/below"));
        assert_eq!(findings[0].verdict, Verdict::Fail(Exit::Data));
    }

    #[test]
    fn a_folder_is_judged_by_its_owner_its_shards_and_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let taken = DataFolder::open(dir.path(), &Owner::of(&config(1))).unwrap();
        let in_use = &examine(&config(1), dir.path())[0];
        assert_eq!(in_use.verdict, Verdict::Fail(Exit::Data));
        assert!(
            in_use.detail.starts_with("default: data_dir = "),
            "{in_use:?}"
        );
        assert!(in_use.detail.contains("uses it"), "{in_use:?}");
        drop(taken);
        let own = &examine(&config(1), dir.path())[0];
        assert_eq!(own.verdict, Verdict::Fine);
        assert_eq!(examine(&config(2), dir.path())[0].verdict, Verdict::Warn);
        let other = Config {
            ring: "other".into(),
            ..config(1)
        };
        let foreign = &examine(&other, dir.path())[0];
        assert_eq!(foreign.verdict, Verdict::Fail(Exit::Data));
    }

    #[test]
    fn too_little_room_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let free = room(&config(1), dir.path()).unwrap();
        assert!(free.detail.ends_with("MiB are free"), "{free:?}");
        // The kernel's own file system has no room at all.
        let none = room(&config(1), Path::new("/proc")).unwrap();
        assert_eq!(none.verdict, Verdict::Warn);
    }
}
