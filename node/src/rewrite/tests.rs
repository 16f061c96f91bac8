//! Data folders made with the log's own machine, rewritten, and rewriting cut short at every
//! operation on the disk: whatever a next start finds has every record that counts, and no other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use proto::key::Key;
use proto::time::Now;
use proto::version::Version;
use tempfile::TempDir;

use super::generation::Generation;
use super::salvage::Salvage;
use super::watch::{Progress, Watch};
use super::writing::Writer;
use super::{Layout, RewriteError, reading, reshard};
use crate::engine::record::Record;
use crate::engine::shard::shard_of;
use crate::engine::wal::entry::Entry;
use crate::engine::wal::recovery::{RecoveryConfig, RecoveryError};
use crate::exit::Exit;
use crate::runtime::data_folder::{DataFolder, Owner};
use crate::runtime::manifest::{Manifest, generation_path};

const NOW_MS: u64 = 1_000_000_000;
const NODE: u64 = 77;

/// What a reader of the node would see.
type Seen = BTreeMap<Key, (Version, u64, Vec<u8>)>;

fn layout(shards: u8) -> Layout {
    Layout {
        node: NODE,
        shards,
        segment_bytes: 64 * 1024,
        memory_max: 1 << 30,
        seed: 5,
        now: Now::at_ms(NOW_MS),
    }
}

fn owner(shards: u8) -> Owner {
    Owner {
        node: "a:1".into(),
        ring: "dev".into(),
        shards,
    }
}

fn key(number: u32) -> Key {
    Key::from_text(&format!("key {number}"))
}

fn value(number: u32, round: u64) -> Vec<u8> {
    let length = 100 + (number as usize * 37) % 900;
    vec![(u64::from(number) + round) as u8; length]
}

/// What was written in the order of writing: every key twice or more, some with an expiry that is
/// past, some deleted, some deleted and written again.
fn history(keys: u32) -> Vec<(u64, u32, Option<u64>)> {
    let mut history = Vec::new();
    for round in 1..=2 {
        for number in 0..keys {
            let stamp = round * 1_000_000 + u64::from(number);
            let expiry_ms = match number % 5 {
                0 => 0,
                // The second version has expired already, the first one never would.
                1 if round == 2 => NOW_MS,
                _ => NOW_MS + u64::from(number) + 1,
            };
            history.push((stamp, number, Some(expiry_ms)));
        }
    }
    for number in (0..keys).filter(|number| number % 7 == 3) {
        history.push((3_000_000 + u64::from(number), number, None));
        if number % 2 == 0 {
            history.push((4_000_000 + u64::from(number), number, Some(0)));
        }
    }
    history
}

/// A data folder of `shards` shards with this history, and what is to be seen of it.
fn folder(shards: u8, keys: u32) -> (TempDir, Seen) {
    let dir = tempfile::tempdir().unwrap();
    drop(DataFolder::open(dir.path(), &owner(shards)).unwrap());
    let mut seen = Seen::new();
    let mut tell = |_: &Progress| Ok(());
    let generation = Generation::new(dir.path(), 0, shards);
    for (shard, path) in generation.shards() {
        let mut watch = Watch::new(&mut tell);
        let config = layout(shards).log(shard);
        let mut writer = Writer::new(&path, config, 0, &mut watch);
        for (stamp, number, expiry_ms) in history(keys) {
            let (key, version) = (key(number), Version { stamp, node: NODE });
            if u16::from(shard_of(&key, shards).0) != shard {
                continue;
            }
            let value = value(number, stamp);
            seen.remove(&key);
            if let Some(expiry_ms) = expiry_ms {
                let record = Record {
                    key,
                    version,
                    expiry_ms,
                    value: &value,
                };
                writer.append(&Entry::Put(record)).unwrap();
                if expiry_ms == 0 || expiry_ms > NOW_MS {
                    seen.insert(key, (version, expiry_ms, value));
                }
            } else {
                writer.append(&Entry::Delete { key, version }).unwrap();
            }
        }
        writer.finish().unwrap();
    }
    (dir, seen)
}

/// What the generation in use holds; a node would start with it.
fn read(dir: &Path) -> Result<Seen, RecoveryError> {
    let manifest = Manifest::read(dir).unwrap().unwrap();
    let mut seen = Seen::new();
    let mut tell = |_: &Progress| Ok(());
    let mut watch = Watch::new(&mut tell);
    for (shard, path) in Generation::in_use(dir, &manifest).shards() {
        let config = RecoveryConfig {
            node: NODE,
            shard,
            is_salvage: false,
        };
        let found = reading::read_shard(&path, config, &mut watch, |entry| {
            match entry {
                Entry::Put(record) => {
                    assert_eq!(u16::from(shard_of(&record.key, manifest.shards).0), shard);
                    let value = record.value.to_vec();
                    seen.insert(record.key, (record.version, record.expiry_ms, value));
                }
                Entry::Delete { key, .. } => drop(seen.remove(key)),
                Entry::Commit(_) => {}
            }
            Ok(())
        });
        let start = found.unwrap().outcome?;
        assert!(start.stamp >= 2_000_000, "stamp {}", start.stamp);
    }
    seen.retain(|_, (_, expiry_ms, _)| *expiry_ms == 0 || *expiry_ms > NOW_MS);
    Ok(seen)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn resharded(dir: &Path, shards: u8, watch: &mut Watch<'_>) -> Result<u64, RewriteError> {
    let manifest = Manifest::read(dir).unwrap().unwrap();
    let done = reshard(dir, &manifest, &layout(shards), watch)?;
    let after = Manifest::read(dir).unwrap().unwrap();
    assert_eq!((after.shards, after.generation), (shards, done.generation));
    assert_eq!(done.generation, manifest.generation + 1);
    Ok(done.records)
}

/// Runs `work`, and cuts it short before its `limit`-th operation. Whether it came to its end.
fn cut_short(limit: u64, work: impl FnOnce(&mut Watch<'_>) -> Result<(), RewriteError>) -> bool {
    let mut tell = |progress: &Progress| {
        let is_over = progress.operations >= limit;
        if is_over {
            Err(io::Error::other("cut short"))
        } else {
            Ok(())
        }
    };
    match work(&mut Watch::new(&mut tell)) {
        Ok(()) => true,
        Err(RewriteError::Stopped(_)) => false,
        Err(error) => panic!("operation {limit}: {error}"),
    }
}

#[test]
fn every_record_finds_its_new_shard() {
    let (dir, seen) = folder(1, 300);
    assert!(seen.len() > 150 && seen.len() < 250, "{} seen", seen.len());
    assert_eq!(read(dir.path()).unwrap(), seen);
    for shards in [3, 2, 7, 7, 1] {
        let mut tell = |_: &Progress| Ok(());
        let records = resharded(dir.path(), shards, &mut Watch::new(&mut tell)).unwrap();
        assert_eq!(records, seen.len() as u64);
        assert_eq!(read(dir.path()).unwrap(), seen, "{shards} shards");
    }
    assert_eq!(names(dir.path()), ["lock", "manifest.json", "wal-5"]);
}

#[test]
fn progress_is_told() {
    let (dir, seen) = folder(2, 200);
    let mut phases = Vec::new();
    let mut tell = |progress: &Progress| {
        if phases
            .last()
            .is_none_or(|last: &Progress| last.phase != progress.phase)
        {
            phases.push(*progress);
        }
        *phases.last_mut().unwrap() = *progress;
        Ok(())
    };
    resharded(dir.path(), 3, &mut Watch::new(&mut tell)).unwrap();
    let words: Vec<_> = phases
        .iter()
        .map(|progress| progress.phase.word())
        .collect();
    assert_eq!(
        words,
        ["reading", "writing", "reading back", "switching over"]
    );
    let read = phases[0];
    assert!(read.bytes_total > 64 * 1024 && read.bytes_read <= read.bytes_total);
    assert_eq!(phases[1].records_total, seen.len() as u64);
    assert_eq!(phases[3].records_written, seen.len() as u64);
}

#[test]
fn an_empty_log_keeps_its_stamp() {
    let (dir, _) = folder(1, 40);
    let far = Layout {
        now: Now::at_ms(NOW_MS * 2),
        ..layout(4)
    };
    let manifest = Manifest::read(dir.path()).unwrap().unwrap();
    let mut tell = |_: &Progress| Ok(());
    reshard(dir.path(), &manifest, &far, &mut Watch::new(&mut tell)).unwrap();
    // `read` compares the stamps of all shards.
    assert!(read(dir.path()).unwrap().len() < 20);
}

#[test]
fn what_does_not_fit_leaves_all_as_it_was() {
    let (dir, seen) = folder(1, 300);
    let manifest = Manifest::read(dir.path()).unwrap().unwrap();
    let small = Layout {
        memory_max: 100_000,
        ..layout(3)
    };
    let mut tell = |_: &Progress| Ok(());
    let error = reshard(dir.path(), &manifest, &small, &mut Watch::new(&mut tell)).unwrap_err();
    assert_eq!(error.exit(), Exit::Storage);
    assert!(error.to_string().contains("memory_max"), "{error}");
    assert_eq!(read(dir.path()).unwrap(), seen);
}

#[test]
fn cut_short_at_any_operation_the_old_generation_or_the_new_one_is_whole() {
    let (base, seen) = folder(3, 150);
    let mut is_done = false;
    let mut generations = Vec::new();
    let mut limit = 0;
    while !is_done {
        limit += 1;
        let dir = tempfile::tempdir().unwrap();
        copy(base.path(), dir.path());
        is_done = cut_short(limit, |watch| resharded(dir.path(), 2, watch).map(drop));
        assert_eq!(read(dir.path()).unwrap(), seen, "operation {limit}");
        // The next start puts away what is left and does what is left to do.
        let folder = DataFolder::open(dir.path(), &owner(2)).unwrap();
        folder.remove_others().unwrap();
        drop(folder);
        let manifest = Manifest::read(dir.path()).unwrap().unwrap();
        generations.push(manifest.generation);
        let wal = format!("wal-{}", manifest.generation);
        assert_eq!(names(dir.path()), ["lock", "manifest.json", &wal]);
        if manifest.shards != 2 {
            let mut tell = |_: &Progress| Ok(());
            resharded(dir.path(), 2, &mut Watch::new(&mut tell)).unwrap();
        }
        assert_eq!(read(dir.path()).unwrap(), seen, "after operation {limit}");
    }
    assert!(limit > 30, "{limit} operations");
    assert!(generations.is_sorted() && generations.contains(&0));
    assert!(generations.iter().filter(|number| **number == 1).count() >= 2);
}

/// Overwrites a block in the middle of the first shard's first segment.
fn damage(dir: &Path) -> PathBuf {
    let file = generation_path(dir, 0).join("shard-000/0000000000000001.wal");
    let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
    open.write_all_at(&[0xee; 512], 8 * 1024).unwrap();
    file
}

fn examine(dir: &Path, watch: &mut Watch<'_>) -> Result<Salvage, RewriteError> {
    let manifest = Manifest::read(dir).unwrap().unwrap();
    let all = Layout {
        memory_max: u64::MAX,
        ..layout(manifest.shards)
    };
    Salvage::examine(dir, &manifest, &all, watch)
}

fn salvaged(dir: &Path, watch: &mut Watch<'_>) -> Result<Option<PathBuf>, RewriteError> {
    let manifest = Manifest::read(dir).unwrap().unwrap();
    let salvage = examine(dir, watch)?;
    if salvage.losses().is_empty() {
        return Ok(None);
    }
    let done = salvage.mend(dir, &manifest, &layout(manifest.shards), watch)?;
    Ok(done.quarantine)
}

#[test]
fn a_salvage_keeps_what_can_be_read_and_the_damaged_files() {
    let (dir, seen) = folder(2, 200);
    let file = damage(dir.path());
    let bytes = fs::read(&file).unwrap();
    assert!(matches!(read(dir.path()), Err(RecoveryError::Damaged(_))));
    let mut tell = |_: &Progress| Ok(());
    let mut watch = Watch::new(&mut tell);
    let examined = examine(dir.path(), &mut watch).unwrap();
    let losses = examined.losses();
    let [loss] = losses else {
        panic!("{losses:?}");
    };
    assert_eq!(loss.shard, 0);
    assert!(loss.range.from <= 8 * 1024 && loss.range.to >= 8 * 1024 + 512);
    let quarantine = salvaged(dir.path(), &mut watch).unwrap().unwrap();
    assert_eq!(quarantine, dir.path().join("quarantine-0"));
    let kept = quarantine.join("shard-000/0000000000000001.wal");
    assert_eq!(fs::read(kept).unwrap(), bytes);
    let note = fs::read_to_string(quarantine.join("SALVAGED.txt")).unwrap();
    assert!(
        note.contains("shard 0, 0000000000000001.wal: bytes"),
        "{note}"
    );
    let left = read(dir.path()).unwrap();
    let lost = seen.keys().filter(|key| !left.contains_key(key)).count();
    let lost_max = usize::try_from(loss.records()).unwrap();
    assert!(lost <= lost_max, "{lost} keys of {lost_max} records");
    for (key, (version, ..)) in &left {
        // An older version may be back in the place of one that was lost, never a newer one.
        let newest = seen
            .get(key)
            .map_or(u64::MAX, |(version, ..)| version.stamp);
        assert!(version.stamp <= newest);
    }
    assert_eq!(
        salvaged(dir.path(), &mut watch).unwrap(),
        None,
        "nothing to do"
    );
    assert_eq!(read(dir.path()).unwrap(), left);
}

#[test]
fn a_salvage_into_another_folder_changes_nothing() {
    let (dir, _) = folder(2, 100);
    damage(dir.path());
    let before = names(dir.path());
    let out = tempfile::tempdir().unwrap();
    let manifest = Manifest::read(dir.path()).unwrap().unwrap();
    let mut tell = |_: &Progress| Ok(());
    let mut watch = Watch::new(&mut tell);
    let salvage = examine(dir.path(), &mut watch).unwrap();
    let target = out.path().join("new");
    let done = salvage
        .copy(&target, &manifest, &layout(2), &mut watch)
        .unwrap();
    assert_eq!(read(&target).unwrap().len() as u64, done.rewritten.records);
    assert_eq!(names(dir.path()), before);
    assert!(matches!(read(dir.path()), Err(RecoveryError::Damaged(_))));
    let again = examine(dir.path(), &mut watch).unwrap();
    let refused = again.copy(&target, &manifest, &layout(2), &mut watch);
    assert_eq!(refused.unwrap_err().exit(), Exit::Data);
}

#[test]
fn a_salvage_cut_short_at_any_operation_loses_nothing_more() {
    let (base, _) = folder(2, 120);
    let damaged = fs::read(damage(base.path())).unwrap();
    let whole = tempfile::tempdir().unwrap();
    copy(base.path(), whole.path());
    let mut tell = |_: &Progress| Ok(());
    salvaged(whole.path(), &mut Watch::new(&mut tell)).unwrap();
    let want = read(whole.path()).unwrap();
    let mut is_done = false;
    let mut limit = 0;
    while !is_done {
        limit += 1;
        let dir = tempfile::tempdir().unwrap();
        copy(base.path(), dir.path());
        is_done = cut_short(limit, |watch| salvaged(dir.path(), watch).map(drop));
        // A start in between must not remove the damaged files.
        let folder = DataFolder::open(dir.path(), &owner(2)).unwrap();
        folder.remove_others().unwrap();
        drop(folder);
        let mut tell = |_: &Progress| Ok(());
        salvaged(dir.path(), &mut Watch::new(&mut tell)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), want, "operation {limit}");
        let kept = dir
            .path()
            .join("quarantine-0/shard-000/0000000000000001.wal");
        assert_eq!(fs::read(kept).unwrap(), damaged, "operation {limit}");
    }
    assert!(limit > 30, "{limit} operations");
}
