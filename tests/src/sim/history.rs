//! What clients were told and what hosts hold, and whether the two agree: for every key the disk of
//! each host has a book of its own, because nothing is replicated and a key's records stay where
//! they were written.
//!
//! The rules of `crate::log_oracle` hold for every book: the last promised version counts or a
//! newer one, never an older one, never bytes that nobody wrote, never a refused write. Here
//! writes of one key overlap, so that versions give their order; and a gateway asks a silent owner
//! again, so that a write whose owner was silent may be applied more than once.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use node::engine::shard::TtlPolicy;
use proto::key::Key;
use proto::version::Version;
use serde::Serialize;

use super::wall::Wall;
use crate::log_oracle::Found;
use crate::log_script::{key_of, value_of};

/// All writes of a run, and what each host must hold.
#[derive(Debug)]
pub struct History {
    pub(super) seed: u64,
    pub(super) ttl: TtlPolicy,
    pub(super) hosts: Vec<Book>,
    pub(super) writes: Vec<Write>,
    /// The writes of each key, in the order in which they were sent.
    pub(super) by_key: Vec<Vec<WriteId>>,
    /// The write that a version of a key was seen with: two shards of a node may give the same.
    pub(super) named: BTreeMap<(usize, Version), WriteId>,
    /// How often each thing happened.
    pub tally: Tally,
}

/// The number of a write, in the order in which they were sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WriteId(pub usize);

/// What was compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes of which nobody knows whether they happened.
    pub unknown: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// Reads that found a value.
    pub values: u64,
    /// Reads that found none.
    pub absent: u64,
    /// Records of whole stores that were compared.
    pub records: u64,
    /// Keys found absent because their lifetime was over.
    pub expired: u64,
    /// Writes found applied although their outcome was unknown.
    pub unknown_applied: u64,
    /// Writes found applied more than once.
    pub repeated: u64,
    /// Promised writes that a weaker policy lost in a power cut, as it may.
    pub lost_weakly: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.values += other.values;
        self.absent += other.absent;
        self.records += other.records;
        self.expired += other.expired;
        self.unknown_applied += other.unknown_applied;
        self.repeated += other.repeated;
        self.lost_weakly += other.lost_weakly;
    }
}

/// What one host must hold.
#[derive(Debug)]
pub(super) struct Book {
    /// The name that its versions carry.
    pub(super) node: u64,
    pub(super) wall: Wall,
    /// By key.
    pub(super) floors: Vec<Floor>,
    /// When something that was promised was last lost, as it may be: answers to what was sent
    /// before promise nothing any more.
    pub(super) lost_at: Option<Duration>,
}

/// The least that a host has of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Floor {
    /// No older version may be found; the default when nothing is promised.
    pub(super) version: Version,
    /// The write that has this version.
    pub(super) write: Option<WriteId>,
    /// Its expiry as far as it was seen.
    pub(super) expiry_ms: Option<u64>,
    /// It was found absent and had not expired: only newer versions may be found.
    pub(super) is_gone: bool,
}

/// One write.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) key: usize,
    /// Bytes of its value; none for a deletion.
    pub(super) bytes: Option<usize>,
    pub(super) ttl_ms: u64,
    pub(super) outcome: Outcome,
    /// Whether it may have been applied more often than its answer says.
    pub(super) may_repeat: bool,
    pub(super) sent: Sight,
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// No answer, or one that says that nobody knows.
    Unknown,
    /// Applied with this version.
    Stored(Version),
    /// It changed nothing.
    Refused,
    /// Applied on a disk that is gone, or lost as a weak policy allows.
    Lost,
}

/// What was promised of a key, and the time, when something was sent.
#[derive(Clone, Debug)]
pub struct Sight {
    pub(super) at: Duration,
    pub(super) key: usize,
    /// By host.
    pub(super) floors: Vec<Floor>,
    /// The wall clock of each host, milliseconds.
    pub(super) walls: Vec<u64>,
}

impl History {
    /// No writes, on hosts whose versions carry these names, for keys up to `keys`.
    #[must_use]
    pub fn new(nodes: &[u64], keys: usize, ttl: TtlPolicy, seed: u64) -> Self {
        let book = |node: &u64| Book {
            node: *node,
            wall: Wall::default(),
            floors: vec![Floor::default(); keys],
            lost_at: None,
        };
        Self {
            seed,
            ttl,
            hosts: nodes.iter().map(book).collect(),
            writes: Vec::new(),
            by_key: vec![Vec::new(); keys],
            named: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// What is promised of a key now.
    #[must_use]
    pub fn sight(&self, key: usize, at: Duration, walls: &[u64]) -> Sight {
        Sight {
            at,
            key,
            floors: self.hosts.iter().map(|host| host.floors[key]).collect(),
            walls: walls.to_vec(),
        }
    }

    /// A put is sent; its value is [`History::value`].
    pub fn put(&mut self, sight: Sight, bytes: usize, ttl_s: u32) -> WriteId {
        let wanted_s = match ttl_s {
            0 => self.ttl.default_s,
            seconds => u64::from(seconds),
        };
        let ttl_s = wanted_s.min(self.ttl.max_s).max(self.ttl.min_s);
        self.begin(sight, Some(bytes.max(VALUE_BYTES_MIN)), ttl_s * 1_000)
    }

    /// A delete is sent.
    pub fn delete(&mut self, sight: Sight) -> WriteId {
        self.begin(sight, None, 0)
    }

    fn begin(&mut self, sight: Sight, bytes: Option<usize>, ttl_ms: u64) -> WriteId {
        let id = WriteId(self.writes.len());
        self.by_key[sight.key].push(id);
        self.writes.push(Write {
            key: sight.key,
            bytes,
            ttl_ms,
            outcome: Outcome::Unknown,
            may_repeat: false,
            sent: sight,
        });
        id
    }

    /// The value of a put: no other write has the same.
    #[must_use]
    pub fn value(&self, id: WriteId) -> Vec<u8> {
        let bytes = self.writes[id.0].bytes.unwrap_or(0);
        let mut value = value_of(self.seed ^ id.0 as u64, bytes);
        let number = (id.0 as u64).to_le_bytes();
        value
            .iter_mut()
            .zip(number)
            .for_each(|(byte, of)| *byte = of);
        value
    }

    /// A write was acknowledged with this version. `may_repeat` when it was asked for more than
    /// once.
    pub fn stored(
        &mut self,
        id: WriteId,
        version: Version,
        may_repeat: bool,
        now: &Sight,
    ) -> Result<(), String> {
        self.tally.acknowledged += 1;
        let host = self.host_of(version)?;
        let earlier = self.floor(host, &self.writes[id.0].sent).version;
        if version <= earlier && !may_repeat {
            return Err(format!("{} after {earlier:?}", self.shown(id)));
        }
        self.check_stamp(host, version, now)?;
        let is_lost = self.has_lost(host, self.writes[id.0].sent.at);
        // What was lost before its client heard of it leaves its version to another write.
        if !is_lost {
            self.name(version, id)?;
        }
        let write = &mut self.writes[id.0];
        write.may_repeat = may_repeat || is_lost;
        if !is_lost {
            write.outcome = Outcome::Stored(version);
            let key = write.key;
            self.raise(host, key, version, id, None);
        }
        Ok(())
    }

    /// A write was refused: it changed nothing and is never seen.
    pub fn refused(&mut self, id: WriteId) {
        self.tally.refused += 1;
        self.writes[id.0].outcome = Outcome::Refused;
    }

    /// A write failed, and whether it happened is not known.
    pub fn unknown(&mut self, id: WriteId) {
        self.tally.unknown += 1;
        self.writes[id.0].may_repeat = true;
    }

    /// A delete found nothing. `may_repeat` when it was asked for more than once: then an earlier
    /// copy may have deleted something.
    pub fn found_absent(
        &mut self,
        id: WriteId,
        host: Option<usize>,
        may_repeat: bool,
        now: &Sight,
    ) -> Result<(), String> {
        if may_repeat {
            self.unknown(id);
            return Ok(());
        }
        let sent = self.writes[id.0].sent.clone();
        // A deletion on its way is an answer to a later one: it is no explanation of itself.
        self.refused(id);
        self.absent(&sent, host, now)
    }

    /// A read found a value.
    pub fn read(&mut self, sent: &Sight, found: &Found, now: &Sight) -> Result<(), String> {
        self.tally.values += 1;
        let host = self.host_of(found.version)?;
        self.check_found(host, sent, found, now)
    }

    /// A read found none. Without a `host` nobody knows who said so, and a host that never had the
    /// key may.
    pub fn absent(&mut self, sent: &Sight, host: Option<usize>, now: &Sight) -> Result<(), String> {
        self.tally.absent += 1;
        host.map_or(Ok(()), |host| self.check_absent(host, sent, now))
    }

    /// All that a host has, seen at one moment.
    pub fn scan(
        &mut self,
        host: usize,
        records: &BTreeMap<Key, Found>,
        at: Duration,
        walls: &[u64],
    ) -> Result<(), String> {
        let strangers = |key: &&Key| number_of(key).is_none_or(|key| key >= self.by_key.len());
        if let Some(key) = records.keys().find(strangers) {
            return Err(format!("host {host} has {key:?}, which was never written"));
        }
        for key in 0..self.by_key.len() {
            let found = records.get(&key_of(u16::try_from(key).expect("few keys")));
            let now = self.sight(key, at, walls);
            if found.is_none() && self.by_key[key].is_empty() {
                continue;
            }
            self.tally.records += 1;
            let agrees = match found {
                Some(found) => self.check_found(host, &now, found, &now),
                None => self.check_absent(host, &now, &now),
            };
            agrees.map_err(|why| format!("all records of host {host}: {why}"))?;
        }
        Ok(())
    }

    /// The host's disk is another one, empty: what it held is lost, and nothing of it comes back.
    pub fn replace(&mut self, host: usize, at: Duration) {
        let book = &mut self.hosts[host];
        let node = book.node;
        book.lost_at = Some(at);
        book.floors.fill(Floor::default());
        // A clock that was set back gives versions of the old disk again.
        self.named.retain(|(_, version), _| version.node != node);
        for write in &mut self.writes {
            if matches!(write.outcome, Outcome::Stored(version) if version.node == node) {
                write.outcome = Outcome::Lost;
            }
        }
    }

    /// The power was cut, or the disk failed, under a log that does not wait for the disk: what is
    /// found must be what there was at some moment, and counts from now on. `shard_of` says which
    /// shard a key belongs to: each has a log of its own.
    pub fn settle_weak(
        &mut self,
        host: usize,
        records: &BTreeMap<Key, Found>,
        at: Duration,
        shard_of: impl Fn(&Key) -> usize,
    ) {
        self.hosts[host].lost_at = Some(at);
        let mut newest = BTreeMap::new();
        for (key, found) in records {
            let newest = newest.entry(shard_of(key)).or_insert(found.version);
            *newest = (*newest).max(found.version);
        }
        for key in 0..self.by_key.len() {
            let bytes = key_of(u16::try_from(key).expect("few keys"));
            let newest = newest.get(&shard_of(&bytes)).copied().unwrap_or_default();
            // What took it may be lost as well.
            self.hosts[host].floors[key].is_gone = false;
            if self.hosts[host].floors[key].version > newest {
                self.tally.lost_weakly += 1;
                self.hosts[host].floors[key] = Floor::default();
                self.forget_after(host, key, newest);
            }
        }
    }

    fn forget_after(&mut self, host: usize, key: usize, newest: Version) {
        let node = self.hosts[host].node;
        for id in &self.by_key[key] {
            let write = &mut self.writes[id.0];
            if matches!(write.outcome, Outcome::Stored(it) if it.node == node && it > newest) {
                // One whose lifetime is over is not seen, and is again when the clock is set back.
                let may_hide = write.ttl_ms <= LIFETIME_SHORT_MS;
                write.outcome = if may_hide {
                    Outcome::Unknown
                } else {
                    Outcome::Lost
                };
            }
        }
        self.named
            .retain(|(of, version), _| *of != key || version.node != node || *version <= newest);
    }

    /// A wall clock was set.
    pub fn jump(&mut self, host: usize, at: Duration, before_ms: u64, after_ms: u64) {
        self.hosts[host].wall.jump(at, before_ms, after_ms);
    }

    /// A write in words.
    #[must_use]
    pub fn shown(&self, id: WriteId) -> String {
        let write = &self.writes[id.0];
        let what = match write.bytes {
            Some(bytes) => format!("put {} of {bytes} bytes, {} ms", id.0, write.ttl_ms),
            None => format!("delete {}", id.0),
        };
        let repeats = if write.may_repeat {
            ", asked again"
        } else {
            ""
        };
        let (key, at, outcome) = (write.key, write.sent.at, write.outcome);
        format!("{what} of key {key} at {at:?} ({outcome:?}{repeats})")
    }
}

/// Lifetimes that may be over before a seed ends.
const LIFETIME_SHORT_MS: u64 = 60_000;

impl History {
    pub(super) fn raise(
        &mut self,
        host: usize,
        key: usize,
        version: Version,
        write: WriteId,
        expiry_ms: Option<u64>,
    ) {
        let floor = &mut self.hosts[host].floors[key];
        if version > floor.version {
            *floor = Floor {
                version,
                write: Some(write),
                expiry_ms,
                is_gone: false,
            };
        } else if version == floor.version && expiry_ms.is_some() {
            floor.expiry_ms = expiry_ms;
        }
    }

    /// Whether the host has lost something since then.
    pub(super) fn has_lost(&self, host: usize, since: Duration) -> bool {
        self.hosts[host].lost_at.is_some_and(|at| at >= since)
    }

    pub(super) fn host_of(&self, version: Version) -> Result<usize, String> {
        let host = self.hosts.iter().position(|host| host.node == version.node);
        host.ok_or_else(|| format!("no host gives versions like {version:?}"))
    }

    /// A version of a key belongs to one write.
    pub(super) fn name(&mut self, version: Version, id: WriteId) -> Result<(), String> {
        let key = self.writes[id.0].key;
        let known = *self.named.entry((key, version)).or_insert(id);
        if known == id {
            return Ok(());
        }
        let (one, other) = (self.shown(known), self.shown(id));
        Err(format!("{version:?} is that of {one} and of {other}"))
    }
}

/// The number of a key made by [`key_of`].
pub(super) fn number_of(key: &Key) -> Option<usize> {
    let number = u16::from_be_bytes([key.as_bytes()[0], key.as_bytes()[1]]);
    (key_of(number) == *key).then_some(usize::from(number))
}

/// Shortest value: it holds the number of its write.
const VALUE_BYTES_MIN: usize = 8;
