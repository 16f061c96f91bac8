//! The store of one shard: records in memory, found by key, expired by time, within a memory cap.
//!
//! Three parts share the records: the slab holds them, the index finds them, the wheel lists them
//! by expiry. This file keeps the three in agreement and does the byte accounting. Nothing is
//! dropped silently: a put that does not fit is refused and changes nothing. An expired record is
//! absent to every operation, whether or not it has been swept.

mod filing;
#[cfg(test)]
mod model;
mod promise;

use proto::key::{KEY_BYTES, Key};
use proto::limits::VALUE_BYTES_MAX;
use proto::time::Now;
use proto::version::Version;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::filing::due_s;
pub(crate) use self::promise::{Before, Promise};
use super::index::Index;
use super::prefetch::prefetch;
use super::record::{Record, RecordRef, is_expired};
use super::slab::{Handle, Slab};
use super::wheel::Wheel;

/// Bounds of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreLimits {
    /// Most bytes of memory, everything included.
    pub memory_max: u64,
}

/// The records of one shard.
pub struct Store {
    index: Index,
    slab: Slab,
    wheel: Wheel,
    seed: u64,
    memory_max: u64,
    records: u64,
    /// Bytes of all keys and values.
    payload_bytes: u64,
    /// Entries of the index set aside for writes in flight.
    promised_entries: u64,
}

/// What became of a record that was put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PutOutcome {
    /// The key was absent.
    Inserted,
    /// The key had an older version.
    Replaced,
    /// The key has this version or a newer one, which stays.
    Stale,
}

/// Why a record was not stored. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PutError {
    /// The memory cap is reached.
    #[error(
        "memory is full: {bytes_used} bytes of {memory_max} are used and {needed} more are needed"
    )]
    Full {
        /// Bytes in use.
        bytes_used: u64,
        /// Bytes the record would add.
        needed: u64,
        /// The cap in bytes.
        memory_max: u64,
    },
    /// The value is longer than a record can hold (caller's fault).
    #[error("the value has {bytes} bytes, more than {VALUE_BYTES_MAX}")]
    TooLong {
        /// Bytes of the value.
        bytes: usize,
    },
}

/// A key prepared for reading: its hash, with the memory a lookup starts in already asked for.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    hash: u64,
}

impl Probe {
    /// The key's hash, seeded with the store's secret.
    #[inline]
    pub(crate) const fn hash(self) -> u64 {
        self.hash
    }
}

/// What one call of [`Store::advance`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Records removed because they had expired.
    pub expired: u64,
    /// Whether more are waiting that the budget left.
    pub has_more: bool,
}

/// Where a scan goes on. The order is that of the keys' hashes, which nothing changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScanCursor {
    next_hash: u64,
}

impl Store {
    /// An empty store. `seed` is secret and differs from process to process, so that strangers
    /// cannot choose keys that collide.
    #[must_use]
    pub fn new(limits: StoreLimits, seed: u64) -> Self {
        Self {
            index: Index::new(),
            slab: Slab::new(),
            wheel: Wheel::new(),
            seed,
            memory_max: limits.memory_max,
            records: 0,
            payload_bytes: 0,
            promised_entries: 0,
        }
    }

    /// The record of `key` unless it is absent or expired.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &Key, wall_ms: u64) -> Option<RecordRef<'_>> {
        self.get_prepared(self.probe(key), key, wall_ms)
    }

    /// Hashes a key and has the index entry fetched into the cache. With eight keys or more at hand
    /// it pays to do this for all of them, then [`Store::warm`], then [`Store::get_prepared`]:
    /// their cache misses overlap instead of following each other. In a store that fits the cache
    /// the two passes cost 4 ns a key, beyond it they halve the time of a read.
    #[inline]
    #[must_use]
    pub fn prepare(&self, key: &Key) -> Probe {
        let probe = self.probe(key);
        prefetch(self.index.home(probe.hash));
        probe
    }

    /// Has the record of a prepared key fetched into the cache.
    #[inline]
    pub fn warm(&self, probe: Probe) {
        if let Some(handle) = self.index.find(probe.hash, |_| true) {
            let slot = self.slab.slot(Handle(handle));
            prefetch(slot.key());
            if let Some(byte) = slot.value_start() {
                prefetch(byte);
            }
        }
    }

    /// Hashes a key and asks for nothing.
    #[inline]
    pub(crate) fn probe(&self, key: &Key) -> Probe {
        let hash = self.hash(key.as_bytes());
        Probe { hash }
    }

    /// The record of `key`, whose probe this is.
    #[inline]
    #[must_use]
    pub fn get_prepared(&self, probe: Probe, key: &Key, wall_ms: u64) -> Option<RecordRef<'_>> {
        let handle = self.find(probe.hash, key)?;
        let record = self.slab.slot(handle).record();
        (!is_expired(record.expiry_ms, wall_ms)).then_some(record)
    }

    /// Stores `record` unless the key has the same version or a newer one.
    pub fn put(&mut self, record: &Record<'_>, now: Now) -> Result<PutOutcome, PutError> {
        check_length(record.value.len())?;
        let place = self.place(self.probe(&record.key), &record.key);
        if self.has_newer(&place, record, now) {
            return Ok(PutOutcome::Stale);
        }
        self.admit(&place, record.value.len())?;
        Ok(self.file(&place, record, now))
    }

    /// Removes the record of `key`; false when it is absent or expired.
    pub fn remove(&mut self, key: &Key, wall_ms: u64) -> bool {
        let hash = self.hash(key.as_bytes());
        let Some(handle) = self.find(hash, key) else {
            return false;
        };
        let was_expired = is_expired(self.slab.slot(handle).expiry_ms(), wall_ms);
        self.unfile(hash, handle);
        !was_expired
    }

    /// Removes the record of `key` if its version is lower than `version`; false when it is absent
    /// or newer.
    pub(crate) fn remove_older(&mut self, key: &Key, version: Version) -> bool {
        let hash = self.hash(key.as_bytes());
        let Some(handle) = self.find(hash, key) else {
            return false;
        };
        let is_older = self.slab.slot(handle).version() < version;
        if is_older {
            self.unfile(hash, handle);
        }
        is_older
    }

    /// Removes what has expired, looking at no more than `budget` records.
    pub fn advance(&mut self, now: Now, budget: usize) -> Swept {
        self.advance_except(now, budget, |_, _| false)
    }

    /// [`Store::advance`] that leaves records for another second whose key is in use.
    pub(crate) fn advance_except(
        &mut self,
        now: Now,
        budget: usize,
        is_in_use: impl Fn(Probe, &Key) -> bool,
    ) -> Swept {
        let now_s = now.mono.as_secs();
        let mut expired = 0;
        for _ in 0..budget {
            let Some(handle) = self.wheel.pop(&mut self.slab, now_s) else {
                return Swept {
                    expired,
                    has_more: false,
                };
            };
            let slot = self.slab.slot(handle);
            let (expiry_ms, key) = (slot.expiry_ms(), Key::from_bytes(*slot.key()));
            let is_over = is_expired(expiry_ms, now.wall_ms);
            let probe = self.probe(&key);
            if is_over && !is_in_use(probe, &key) {
                self.remove_unlinked(probe.hash, handle);
                expired += 1;
            } else {
                let due_s = due_s(expiry_ms, now).max(self.wheel.now_s() + 1);
                self.wheel.link(&mut self.slab, handle, due_s);
            }
        }
        let has_more = self.wheel.next_s().is_some_and(|due_s| due_s <= now_s);
        Swept { expired, has_more }
    }
}

impl Store {
    /// Visits some hundred records at `cursor` that have not expired, and returns where to go on;
    /// `None` at the end. A record that exists from the first call to the last is visited, whatever
    /// happens to others between the calls; one may be visited twice after many removals.
    pub fn scan(
        &self,
        cursor: ScanCursor,
        wall_ms: u64,
        mut visit: impl FnMut(&Record<'_>),
    ) -> Option<ScanCursor> {
        let next = self.index.scan(cursor.next_hash, |handle| {
            let slot = self.slab.slot(Handle(handle));
            let record = slot.record();
            if !is_expired(record.expiry_ms, wall_ms) {
                visit(&Record {
                    key: Key::from_bytes(*slot.key()),
                    version: record.version,
                    expiry_ms: record.expiry_ms,
                    value: record.value,
                });
            }
        });
        next.map(|next_hash| ScanCursor { next_hash })
    }

    /// The second of the monotonic clock in which [`Store::advance`] may next find something to do.
    #[must_use]
    pub fn next_sweep_s(&self) -> Option<u64> {
        self.wheel.next_s()
    }

    /// Records held, those included that have expired and are not swept yet.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.records
    }

    /// Whether no record is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// All memory in use, in bytes: slabs whole, long records, index, wheel.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        size_of::<Self>() as u64 + self.slab.heap_bytes() + self.index.heap_bytes()
    }

    /// Bytes of the keys and values held.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Memory in use above keys and values, in bytes.
    #[must_use]
    pub fn overhead_bytes(&self) -> u64 {
        self.bytes_used() - self.payload_bytes
    }

    /// The cap in bytes.
    #[must_use]
    pub fn memory_max(&self) -> u64 {
        self.memory_max
    }

    /// Sets the cap; what is held stays.
    pub(crate) fn set_memory_max(&mut self, memory_max: u64) {
        self.memory_max = memory_max;
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key) -> Option<Handle> {
        let is_it = |handle| self.slab.slot(Handle(handle)).key() == key.as_bytes();
        self.index.find(hash, is_it).map(Handle)
    }

    #[inline]
    fn hash(&self, key: &[u8; KEY_BYTES]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }
}

/// Refuses a value that no record can hold.
fn check_length(bytes: usize) -> Result<(), PutError> {
    if bytes > VALUE_BYTES_MAX {
        return Err(PutError::TooLong { bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Key::from_bytes(bytes)
    }

    fn record(number: u64, stamp: u64, expiry_ms: u64, value: &[u8]) -> Record<'_> {
        let version = Version { stamp, node: 0 };
        Record {
            key: key(number),
            version,
            expiry_ms,
            value,
        }
    }

    fn store(memory_max: u64) -> Store {
        Store::new(StoreLimits { memory_max }, 7)
    }

    /// Fills the store with values of `len` bytes and says how many it took.
    fn fill(store: &mut Store, len: usize) -> u64 {
        let value = vec![3; len];
        (0..)
            .find(|&n| store.put(&record(n, 1, 0, &value), Now::default()).is_err())
            .unwrap()
    }

    #[test]
    fn overhead_is_at_most_48_bytes_a_record() {
        let count = if cfg!(debug_assertions) {
            250_000
        } else {
            1_000_000
        };
        for len in [64, 65, 200, 400] {
            let mut store = store(u64::MAX);
            let value = vec![1; len];
            for number in 0..count {
                let expiry_ms = 1_000_000 + number;
                store
                    .put(&record(number, 1, expiry_ms, &value), Now::default())
                    .unwrap();
            }
            assert_eq!(store.payload_bytes(), count * (32 + len as u64));
            let overhead = store.overhead_bytes() as f64 / count as f64;
            assert!(
                overhead <= 48.0,
                "{overhead} bytes a record with {len} byte values"
            );
        }
    }

    #[test]
    fn at_the_cap_new_keys_are_refused_and_overwrites_that_fit_are_not() {
        let mut store = store(1 << 20);
        let count = fill(&mut store, 100);
        let now = Now::default();
        assert!(count * 132 > (1 << 20) * 7 / 10, "{count} records fit");
        assert!(store.bytes_used() <= 1 << 20);
        let full = store.put(&record(count, 1, 0, &[0; 100]), now);
        assert!(matches!(full, Err(PutError::Full { .. })));
        assert!(store.get(&key(count), 0).is_none());
        let outcome = store.put(&record(5, 2, 0, &[9; 100]), now);
        assert_eq!(outcome, Ok(PutOutcome::Replaced));
        assert_eq!(store.get(&key(5), 0).unwrap().value, [9; 100]);
        let wider = store.put(&record(5, 3, 0, &[8; 60_000]), now);
        assert!(matches!(wider, Err(PutError::Full { .. })));
        assert_eq!(store.get(&key(5), 0).unwrap().value, [9; 100]);
    }

    #[test]
    fn a_full_store_of_one_length_takes_another_after_deletes() {
        let mut store = store(1 << 20);
        let count = fill(&mut store, 100);
        for number in 0..count {
            assert!(store.remove(&key(number), 0));
        }
        assert!(fill(&mut store, 1000) * 1032 > (1 << 20) * 8 / 10);
    }

    #[test]
    fn a_long_record_may_be_replaced_by_one_as_long_at_the_cap() {
        let mut store = store(1 << 20);
        fill(&mut store, 60_000);
        let now = Now::default();
        let outcome = store.put(&record(3, 2, 0, &[1; 59_990]), now);
        assert_eq!(outcome, Ok(PutOutcome::Replaced));
        let too_long = store.put(&record(3, 3, 0, &vec![1; 65_496]), now);
        assert_eq!(too_long, Err(PutError::TooLong { bytes: 65_496 }));
    }

    #[test]
    fn a_sweep_keeps_to_its_budget_and_says_that_more_is_due() {
        let mut store = store(u64::MAX);
        for number in 0..1000 {
            store
                .put(&record(number, 1, 5_000, &[1]), Now::at_ms(1))
                .unwrap();
        }
        assert_eq!(store.advance(Now::at_ms(4_999), 9999), Swept::default());
        let due_s = store.next_sweep_s().unwrap();
        assert_eq!(due_s, 5);
        let now = Now::at_ms(5_000);
        assert_eq!(
            store.advance(now, 600),
            Swept {
                expired: 600,
                has_more: true
            }
        );
        assert_eq!(
            store.advance(now, 600),
            Swept {
                expired: 400,
                has_more: false
            }
        );
        assert!(store.is_empty());
        assert_eq!(store.next_sweep_s(), None);
    }

    #[test]
    fn a_hot_key_with_a_ttl_costs_nothing_but_its_record() {
        let mut store = store(u64::MAX);
        store
            .put(&record(1, 1, 10_000, &[1; 50]), Now::at_ms(1))
            .unwrap();
        let bytes = store.bytes_used();
        for stamp in 2..100_000 {
            let now = Now::at_ms(stamp);
            store
                .put(&record(1, stamp, stamp + 10_000, &[1; 50]), now)
                .unwrap();
        }
        assert_eq!(store.bytes_used(), bytes);
        assert_eq!(store.advance(Now::at_ms(109_000), 100).expired, 0);
        assert_eq!(store.advance(Now::at_ms(110_000), 100).expired, 1);
    }

    #[test]
    fn a_ttl_of_years_is_reached_in_a_few_steps() {
        let mut store = store(u64::MAX);
        let expiry_ms = 20 * 365 * 86_400_000 + 123;
        store
            .put(&record(1, 1, expiry_ms, &[1]), Now::at_ms(77))
            .unwrap();
        let mut steps = 0;
        while let Some(due_s) = store.next_sweep_s() {
            let now = Now::at_ms(due_s * 1000);
            assert_eq!(
                store.get(&key(1), now.wall_ms).is_some(),
                now.wall_ms < expiry_ms
            );
            store.advance(now, 1);
            steps += 1;
        }
        assert!(store.is_empty() && steps <= 7, "{steps} steps");
    }
}
