//! What of a generation is worth keeping: of every key the newest version, unless that is a delete
//! or has expired; each in the store of its new shard.

use std::collections::HashMap;

use proto::key::Key;
use proto::time::Now;
use proto::version::Version;

use crate::engine::record::{Record, is_expired};
use crate::engine::shard::shard_of;
use crate::engine::store::{PutError, PutOutcome, Store, StoreLimits};
use crate::engine::wal::entry::Entry;

/// The records that a new generation will have.
pub(crate) struct Survivors {
    stores: Vec<Store>,
    /// Keys whose newest version so far is a delete or has expired. Older versions of them may
    /// follow: a log is read in the order of writing, several logs are not.
    gone: HashMap<Key, Version>,
    stamp: u64,
    now: Now,
}

impl Survivors {
    /// None yet, for `shards` shards of `memory_max` bytes in all. `seed` is secret.
    pub(crate) fn new(shards: u8, memory_max: u64, seed: u64, now: Now) -> Self {
        let shards = shards.max(1);
        let memory_max = memory_max / u64::from(shards);
        let store = |shard| {
            Store::new(
                StoreLimits { memory_max },
                seed.wrapping_add(u64::from(shard)),
            )
        };
        Self {
            stores: (0..shards).map(store).collect(),
            gone: HashMap::new(),
            stamp: 0,
            now,
        }
    }

    /// Takes what a log says, in whatever order logs are read.
    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        match entry {
            Entry::Commit(commit) => {
                self.stamp = self.stamp.max(commit.stamp);
                Ok(())
            }
            Entry::Put(record) => self.put(record).map_err(|error| error.to_string()),
            Entry::Delete { key, version } => {
                self.stamp = self.stamp.max(version.stamp);
                self.bury(key, *version);
                Ok(())
            }
        }
    }

    fn put(&mut self, record: &Record<'_>) -> Result<(), PutError> {
        self.stamp = self.stamp.max(record.version.stamp);
        if is_expired(record.expiry_ms, self.now.wall_ms) {
            self.bury(&record.key, record.version);
            return Ok(());
        }
        let is_older = |gone: &Version| *gone >= record.version;
        if self.gone.get(&record.key).is_some_and(is_older) {
            return Ok(());
        }
        let now = self.now;
        let outcome = self.store_of(&record.key).put(record, now)?;
        if outcome != PutOutcome::Stale {
            self.gone.remove(&record.key);
        }
        Ok(())
    }

    /// Whatever is older than `version` of `key` is gone.
    fn bury(&mut self, key: &Key, version: Version) {
        let wall_ms = self.now.wall_ms;
        let store = self.store_of(key);
        match store.get(key, wall_ms).map(|record| record.version) {
            Some(newer) if newer > version => return,
            Some(_) => {
                store.remove(key, wall_ms);
            }
            None => {}
        }
        let buried = self.gone.entry(*key).or_insert(version);
        *buried = version.max(*buried);
    }

    fn store_of(&mut self, key: &Key) -> &mut Store {
        let shards = u8::try_from(self.stores.len()).unwrap_or(u8::MAX);
        let shard = usize::from(shard_of(key, shards).0);
        &mut self.stores[shard]
    }

    /// Takes note of a stamp that some log has given.
    pub(crate) fn observe(&mut self, stamp: u64) {
        self.stamp = self.stamp.max(stamp);
    }

    /// The greatest stamp seen.
    pub(crate) const fn stamp(&self) -> u64 {
        self.stamp
    }

    /// How many records survive.
    pub(crate) fn records(&self) -> u64 {
        self.stores.iter().map(Store::len).sum()
    }

    /// The stores of the new shards.
    pub(crate) fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// The time at which records were found to have expired or not.
    pub(crate) const fn now(&self) -> Now {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_000_000;

    fn survivors(shards: u8) -> Survivors {
        Survivors::new(shards, u64::MAX, 7, Now::at_ms(NOW_MS))
    }

    fn key(tag: u8) -> Key {
        Key::from_bytes([tag; 32])
    }

    const fn version(stamp: u64) -> Version {
        Version { stamp, node: 1 }
    }

    fn put(tag: u8, stamp: u64, expiry_ms: u64) -> Entry<'static> {
        Entry::Put(Record {
            key: key(tag),
            version: version(stamp),
            expiry_ms,
            value: b"value",
        })
    }

    fn delete(tag: u8, stamp: u64) -> Entry<'static> {
        let (key, version) = (key(tag), version(stamp));
        Entry::Delete { key, version }
    }

    /// The stamp of the version that survives of key 1 after these entries.
    fn left(entries: &[Entry<'_>]) -> Option<u64> {
        let mut survivors = survivors(3);
        for entry in entries {
            survivors.apply(entry).unwrap();
        }
        let found = survivors.store_of(&key(1)).get(&key(1), NOW_MS);
        found.map(|record| record.version.stamp)
    }

    #[test]
    fn the_newest_version_wins_in_whatever_order_logs_are_read() {
        let (old, new) = (put(1, 5, 0), put(1, 6, 0));
        assert_eq!(left(&[old, new]), Some(6));
        assert_eq!(left(&[new, old]), Some(6));
        for end in [delete(1, 7), put(1, 7, NOW_MS)] {
            assert_eq!(left(&[old, new, end]), None);
            assert_eq!(left(&[end, old, new]), None);
            assert_eq!(left(&[old, end, new]), None);
            assert_eq!(left(&[old, end, put(1, 8, 0)]), Some(8));
            assert_eq!(left(&[put(1, 8, 0), end, old]), Some(8));
            assert_eq!(left(&[end, put(1, 8, 0), old, end]), Some(8));
        }
    }

    #[test]
    fn records_go_to_the_shard_of_their_key_and_stamps_are_kept() {
        let mut survivors = survivors(5);
        for tag in 0..100 {
            survivors
                .apply(&put(tag, u64::from(tag), NOW_MS + 1))
                .unwrap();
        }
        survivors.apply(&delete(200, 777)).unwrap();
        for tag in 0..100 {
            let shard = usize::from(shard_of(&key(tag), 5).0);
            let record = survivors.stores()[shard].get(&key(tag), NOW_MS).unwrap();
            assert_eq!(record.version, version(u64::from(tag)));
            assert_eq!(record.expiry_ms, NOW_MS + 1);
        }
        assert_eq!((survivors.records(), survivors.stamp()), (100, 777));
        survivors.observe(900);
        assert_eq!(survivors.stamp(), 900);
    }

    #[test]
    fn what_does_not_fit_the_memory_is_refused() {
        let mut survivors = Survivors::new(2, 100_000, 7, Now::at_ms(NOW_MS));
        let full = (0..=255).find_map(|tag| survivors.apply(&put(tag, 1, 0)).err());
        assert!(full.is_none_or(|words| words.contains("memory is full")));
        let value = vec![1; 60_000];
        let long = |tag| Record {
            key: key(tag),
            version: version(9),
            expiry_ms: 0,
            value: &value,
        };
        let full = (0..=255).find_map(|tag| survivors.apply(&Entry::Put(long(tag))).err());
        assert!(full.is_some_and(|words| words.contains("memory is full")));
    }
}
