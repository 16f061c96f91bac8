//! A shard: the part of the keys that one core owns, with its store, version clock and TTL policy.
//!
//! Every change of a record is given its version here and goes through `journal`: the log appends
//! it, and it is applied to the store when it counts. Replication will pass it on at the same
//! place.

use std::collections::VecDeque;
use std::time::Duration;

use proto::key::Key;
use proto::time::Now;
use proto::version::{Version, VersionClock};
use xxhash_rust::xxh3::xxh3_64;

use super::journal::{Journal, WriteError};
use super::pending::Pending;
use super::record::{EXPIRY_MS_MAX, Record, RecordRef};
use super::store::{Probe, PutError, Store, StoreLimits, Swept};
use super::wal::log::{AppendError, Dropped};
use super::wal::names::Lsn;
use super::wal::recovery::RecoveryReport;

/// Number of a shard of a node, and of the core that owns it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u8);

/// The shard of a key on a node that has `shards` of them, at least one: XXH3 of the key with seed
/// 0, scaled to the number of shards. The seed is fixed because the log and every core of the node
/// must agree; the table inside a shard hashes with a secret seed instead.
#[must_use]
pub fn shard_of(key: &Key, shards: u8) -> ShardId {
    let scaled = u128::from(xxh3_64(key.as_bytes())) * u128::from(shards.max(1));
    ShardId(scaled.to_be_bytes()[7])
}

/// Lifetimes of records, in whole seconds; `min ≤ max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TtlPolicy {
    /// Lifetime of a record whose writer names none.
    pub default_s: u64,
    /// Shortest lifetime.
    pub min_s: u64,
    /// Longest lifetime.
    pub max_s: u64,
}

/// What a shard is made with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardConfig {
    /// Most bytes of memory of this shard's records, everything included.
    pub memory_max: u64,
    /// Lifetimes.
    pub ttl: TtlPolicy,
    /// Replication factor of the ring: what a writer gets who names none, and the most one gets.
    pub replication: u8,
    /// The high bits of this node's id, for version stamps.
    pub node: u64,
    /// Secret seed of the table.
    pub seed: u64,
}

/// One core's part of the records.
pub struct Shard {
    pub(super) store: Store,
    pub(super) clock: VersionClock,
    ttl: TtlPolicy,
    replication: u8,
    pub(super) counters: ShardCounters,
    pub(super) journal: Journal,
    pub(super) pending: Pending,
    pub(super) committed: Lsn,
    pub(super) dropped: VecDeque<Dropped>,
    pub(super) recovered: Option<RecoveryReport>,
    /// Whether the log has compacted in this turn.
    pub(super) has_compacted: bool,
}

/// A put or a delete that was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The version it got.
    pub version: Version,
    /// When the record expires, milliseconds since 1970.
    pub expiry_ms: u64,
    /// Replicas wanted, within the ring's bounds.
    pub replicas: u8,
    /// What has to be committed before it counts; `None` when it is applied already.
    pub waits_for: Option<Lsn>,
}

/// What became of a delete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deletion {
    /// The key was there.
    Taken(Applied),
    /// The key is absent.
    Absent,
    /// A deletion of the key is on its way: the key is absent when this is committed.
    AbsentAfter(Lsn),
}

/// What a shard has done since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardCounters {
    /// Puts taken.
    pub puts: u64,
    /// Reads asked for.
    pub gets: u64,
    /// Reads that found a value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Deletes taken of a key that was there.
    pub deletes: u64,
    /// Records removed because they had expired.
    pub expired: u64,
    /// Puts refused because the memory cap was reached.
    pub refused_full: u64,
    /// Writes refused because the disk is full.
    pub refused_disk_full: u64,
    /// Writes refused because the disk failed.
    pub refused_disk_failed: u64,
    /// Writes refused because the disk was slower than the writes.
    pub refused_disk_busy: u64,
    /// Writes taken and given up because the disk failed or was full: none was acknowledged.
    pub dropped_writes: u64,
    /// Reads that waited for a write of their key.
    pub waited_reads: u64,
}

/// The memory of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardMemory {
    /// Records held.
    pub records: u64,
    /// All bytes in use.
    pub bytes_used: u64,
    /// Bytes of keys and values.
    pub payload_bytes: u64,
    /// Bytes in use above keys and values.
    pub overhead_bytes: u64,
    /// The cap in bytes.
    pub memory_max: u64,
}

impl Shard {
    /// An empty shard without a log.
    #[must_use]
    pub fn new(config: ShardConfig) -> Self {
        let memory_max = config.memory_max;
        Self {
            store: Store::new(StoreLimits { memory_max }, config.seed),
            clock: VersionClock::new(config.node),
            ttl: config.ttl,
            replication: config.replication.max(1),
            counters: ShardCounters::default(),
            journal: Journal::Memory,
            pending: Pending::new(),
            committed: Lsn(0),
            dropped: VecDeque::new(),
            recovered: None,
            has_compacted: false,
        }
    }

    /// Stores a value for `ttl_s` seconds. A TTL of 0 takes the default, a replication of 0 the
    /// ring's; both are kept within their bounds.
    pub fn put(
        &mut self,
        key: Key,
        ttl_s: u32,
        replication: u8,
        value: &[u8],
        now: Now,
    ) -> Result<Applied, WriteError> {
        if !self.is_serving() {
            return Err(WriteError::NotOpen);
        }
        let version = self.clock.next(now.wall_ms);
        let expiry_ms = self.ttl.expiry_ms(ttl_s, now.wall_ms);
        let record = Record {
            key,
            version,
            expiry_ms,
            value,
        };
        let written = self.write(&record, now);
        let waits_for = written.inspect_err(|error| self.counters.count_refusal(error))?;
        self.counters.puts += 1;
        Ok(Applied {
            version,
            expiry_ms,
            replicas: self.replicas(replication),
            waits_for,
        })
    }

    /// Deletes a key. Whether it is there is judged as if the writes on their way had arrived.
    pub fn delete(&mut self, key: &Key, now: Now) -> Result<Deletion, WriteError> {
        if !self.is_serving() {
            return Err(WriteError::NotOpen);
        }
        let probe = self.store.probe(key);
        match self.pending.last(probe.hash(), key) {
            Some(last) if last.is_delete => return Ok(Deletion::AbsentAfter(last.lsn)),
            Some(_) => {}
            None if self.store.get_prepared(probe, key, now.wall_ms).is_some() => {}
            None => return Ok(Deletion::Absent),
        }
        let version = self.clock.next(now.wall_ms);
        let buried = self.bury(*key, version);
        let waits_for = buried.inspect_err(|error| self.counters.count_refusal(error))?;
        self.counters.deletes += 1;
        Ok(Deletion::Taken(Applied {
            version,
            expiry_ms: 0,
            replicas: self.replication,
            waits_for,
        }))
    }

    /// Whether a write of `key` waits for the disk: a read has to wait for it.
    #[inline]
    #[must_use]
    pub fn is_pending(&self, probe: Probe, key: &Key) -> bool {
        self.pending.contains(probe.hash(), key)
    }

    /// Reads a key: what the store has, writes that wait for the disk left aside.
    #[inline]
    pub fn get(&mut self, key: &Key, now: Now) -> Option<RecordRef<'_>> {
        let found = self.store.get(key, now.wall_ms);
        self.counters.count_get(found.is_some());
        found
    }

    /// First pass over many keys to be read: see [`Store::prepare`].
    #[inline]
    #[must_use]
    pub fn prepare(&self, key: &Key) -> Probe {
        self.store.prepare(key)
    }

    /// Second pass: see [`Store::warm`].
    #[inline]
    pub fn warm(&self, probe: Probe) {
        self.store.warm(probe);
    }

    /// Last pass: reads a key that was prepared.
    #[inline]
    pub fn get_prepared(&mut self, probe: Probe, key: &Key, now: Now) -> Option<RecordRef<'_>> {
        let found = self.store.get_prepared(probe, key, now.wall_ms);
        self.counters.count_get(found.is_some());
        found
    }

    /// Removes expired records, a bounded number a call, and tells the log the time;
    /// [`Shard::poll_timeout`] says when to call again.
    pub fn handle_timeout(&mut self, now: Now) -> Swept {
        let pending = &self.pending;
        // The place of a key with a write on its way is what that write was promised.
        let is_in_use = |probe: Probe, key: &Key| pending.contains(probe.hash(), key);
        let swept = self.store.advance_except(now, SWEEP_RECORDS_MAX, is_in_use);
        self.counters.expired += swept.expired;
        if let Journal::Open(log) = &mut self.journal {
            log.handle_timeout(now);
            self.settle_log(now);
        }
        swept
    }

    /// The monotonic time at which [`Shard::handle_timeout`] may find something to do, possibly
    /// past; `None` while no record can expire and the log is at rest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let sweep = self.store.next_sweep_s().map(Duration::from_secs);
        let log = match &self.journal {
            Journal::Open(log) => log.poll_timeout(),
            Journal::Memory | Journal::Recovering(_) | Journal::Failed(_) => None,
        };
        sweep.into_iter().chain(log).min()
    }

    /// What the shard has done.
    #[must_use]
    pub fn counters(&self) -> &ShardCounters {
        &self.counters
    }

    /// The memory in use.
    #[must_use]
    pub fn memory(&self) -> ShardMemory {
        ShardMemory {
            records: self.store.len(),
            bytes_used: self.store.bytes_used(),
            payload_bytes: self.store.payload_bytes(),
            overhead_bytes: self.store.overhead_bytes(),
            memory_max: self.store.memory_max(),
        }
    }

    /// The records themselves, for scans.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn replicas(&self, wanted: u8) -> u8 {
        if wanted == 0 {
            self.replication
        } else {
            wanted.min(self.replication)
        }
    }
}

impl TtlPolicy {
    /// The expiry of a record written at `wall_ms` with a TTL of `ttl_s` seconds.
    fn expiry_ms(&self, ttl_s: u32, wall_ms: u64) -> u64 {
        let wanted_s = if ttl_s == 0 {
            self.default_s
        } else {
            u64::from(ttl_s)
        };
        let ttl_ms = wanted_s
            .min(self.max_s)
            .max(self.min_s)
            .saturating_mul(1000);
        wall_ms.saturating_add(ttl_ms).clamp(1, EXPIRY_MS_MAX)
    }
}

impl ShardCounters {
    fn count_refusal(&mut self, error: &WriteError) {
        match error {
            WriteError::Store(PutError::Full { .. }) => self.refused_full += 1,
            WriteError::Store(PutError::TooLong { .. }) | WriteError::NotOpen => {}
            WriteError::Log(AppendError::Full { .. }) => self.refused_disk_full += 1,
            WriteError::Log(AppendError::Poisoned { .. }) => self.refused_disk_failed += 1,
            WriteError::Log(AppendError::Busy) => self.refused_disk_busy += 1,
        }
    }

    #[inline]
    fn count_get(&mut self, is_hit: bool) {
        self.gets += 1;
        self.hits += u64::from(is_hit);
        self.misses += u64::from(!is_hit);
    }
}

/// Most records looked at by one [`Shard::handle_timeout`]: 0.15 ms of work in a large store.
const SWEEP_RECORDS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Shard {
        let ttl = TtlPolicy {
            default_s: 100,
            min_s: 10,
            max_s: 1000,
        };
        Shard::new(ShardConfig {
            memory_max: 1 << 20,
            ttl,
            replication: 3,
            node: 7,
            seed: 1,
        })
    }

    fn key(tag: u8) -> Key {
        Key::from_bytes([tag; 32])
    }

    #[test]
    fn a_value_put_is_read_until_it_is_deleted() {
        let (mut shard, now) = (shard(), Now::at_ms(1_000));
        let put = shard.put(key(1), 50, 2, b"one", now).unwrap();
        let read = shard.get(&key(1), now).unwrap();
        assert_eq!((read.value, read.version), (&b"one"[..], put.version));
        assert_eq!(
            (put.version.node, put.expiry_ms, put.replicas),
            (7, 51_000, 2)
        );
        let Ok(Deletion::Taken(delete)) = shard.delete(&key(1), now) else {
            panic!("the key is there")
        };
        assert!(delete.version > put.version);
        assert_eq!(shard.get(&key(1), now), None);
        assert_eq!(shard.delete(&key(1), now), Ok(Deletion::Absent));
        let counters = ShardCounters {
            puts: 1,
            gets: 2,
            hits: 1,
            misses: 1,
            deletes: 1,
            ..*shard.counters()
        };
        assert_eq!(*shard.counters(), counters);
    }

    #[test]
    fn ttl_and_replication_are_kept_within_their_bounds() {
        let mut shard = shard();
        let mut put = |ttl_s, replication| {
            let put = shard
                .put(key(1), ttl_s, replication, b"x", Now::at_ms(0))
                .unwrap();
            (put.expiry_ms, put.replicas)
        };
        assert_eq!(put(0, 0), (100_000, 3));
        assert_eq!(put(1, 1), (10_000, 1));
        assert_eq!(put(u32::MAX, u8::MAX), (1_000_000, 3));
    }

    #[test]
    fn expired_values_are_swept_when_the_timeout_says_so() {
        let mut shard = shard();
        assert_eq!(shard.poll_timeout(), None);
        for tag in 0..20 {
            shard
                .put(key(tag), 10 + u32::from(tag % 2), 0, b"x", Now::at_ms(500))
                .unwrap();
        }
        for left in [10, 0] {
            let mono = shard.poll_timeout().unwrap();
            let now = Now::at_ms(u64::try_from(mono.as_millis()).unwrap());
            assert!(!shard.handle_timeout(now).has_more);
            assert_eq!(shard.memory().records, left);
        }
        assert_eq!((shard.poll_timeout(), shard.counters().expired), (None, 20));
    }

    #[test]
    fn a_full_shard_says_so_and_counts_it() {
        let (mut shard, now) = (shard(), Now::at_ms(0));
        let full = (0..=u8::MAX).find_map(|tag| shard.put(key(tag), 0, 0, &[1; 9_000], now).err());
        assert!(matches!(
            full,
            Some(WriteError::Store(PutError::Full {
                memory_max: 1_048_576,
                ..
            }))
        ));
        assert_eq!(shard.counters().refused_full, 1);
        assert!(shard.memory().bytes_used <= 1 << 20);
    }

    #[test]
    fn shards_share_the_keys_evenly() {
        let mut counts = [0u32; 6];
        for number in 0..60_000u64 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let shard = shard_of(&Key::from_bytes(bytes), 6);
            counts[usize::from(shard.0)] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
        assert_eq!(shard_of(&key(3), 0), ShardId(0));
    }
}
