//! Writes in flight: appended to the log and not yet durable. Says for a key whether one is on its
//! way, and which is the last: nobody else waits for the disk.
//!
//! A small table of its own, probed in a row by the hash that the store computes anyway, with a
//! secret seed. Looking a key up is free while nothing is in flight, and a few nanoseconds
//! otherwise. Nothing iterates over it.

use std::collections::VecDeque;

use proto::key::Key;

use super::store::{Before, Promise};
use super::wal::names::Lsn;

/// The writes in flight of a shard, in the order of their lsns.
#[derive(Debug)]
pub(super) struct Pending {
    /// A power of two of them, at most half of them taken.
    slots: Vec<Slot>,
    keys: usize,
    writes: VecDeque<Write>,
}

/// A write in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) lsn: Lsn,
    pub(super) hash: u64,
    pub(super) key: Key,
    /// The memory of a put, none of a deletion.
    pub(super) promise: Option<Promise>,
}

/// The last write of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Last {
    pub(super) lsn: Lsn,
    /// Whether it is a deletion.
    pub(super) is_delete: bool,
    /// What a write after it finds.
    pub(super) before: Before,
}

/// A key with writes in flight, or room for one.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    key: Key,
    lsn: Lsn,
    /// Writes of it in flight; 0 when the slot is free.
    writes: u32,
    /// Length of the last one's value; [`DELETED`] for a deletion.
    value_len: u32,
}

impl Pending {
    /// Nothing in flight.
    pub(super) fn new() -> Self {
        Self {
            slots: vec![Slot::FREE; SLOTS_MIN],
            keys: 0,
            writes: VecDeque::new(),
        }
    }

    /// How many writes are in flight.
    pub(super) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether a write of `key` is in flight.
    #[inline]
    pub(super) fn contains(&self, hash: u64, key: &Key) -> bool {
        self.keys != 0 && self.find(hash, key).is_some()
    }

    /// The last write of `key` in flight.
    #[inline]
    pub(super) fn last(&self, hash: u64, key: &Key) -> Option<Last> {
        if self.keys == 0 {
            return None;
        }
        let slot = &self.slots[self.find(hash, key)?];
        let is_delete = slot.value_len == DELETED;
        Some(Last {
            lsn: slot.lsn,
            is_delete,
            before: if is_delete {
                Before::Deleted
            } else {
                Before::Put(slot.value_len)
            },
        })
    }

    /// A write was appended; its lsn is greater than those of all others.
    pub(super) fn push(&mut self, write: Write) {
        let last = self.writes.back().map_or(Lsn(0), |last| last.lsn);
        assert!(last < write.lsn, "lsns grow");
        self.writes.push_back(write);
        self.enter(&write);
    }

    /// The first write in flight is durable and applied.
    pub(super) fn pop(&mut self) -> Option<Write> {
        let write = self.writes.pop_front()?;
        let at = self.find(write.hash, &write.key);
        let at = at.expect("a write in flight has its key in the table");
        self.slots[at].writes -= 1;
        if self.slots[at].writes == 0 {
            self.vacate(at);
        }
        Some(write)
    }

    /// Forgets the writes from `from` on; `forgotten` hears of each.
    pub(super) fn drop_from(&mut self, from: Lsn, mut forgotten: impl FnMut(&Write)) {
        let kept = self.writes.partition_point(|write| write.lsn < from);
        self.writes
            .drain(kept..)
            .for_each(|write| forgotten(&write));
        // What was the last write of a key before is found by entering the others again: this is
        // the way of a failing disk, not one that has to be fast.
        self.slots.fill(Slot::FREE);
        self.keys = 0;
        let writes = std::mem::take(&mut self.writes);
        writes.iter().for_each(|write| self.enter(write));
        self.writes = writes;
    }

    fn enter(&mut self, write: &Write) {
        if (self.keys + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let mut at = self.home(write.hash);
        while self.slots[at].writes != 0 && !self.slots[at].is_of(write.hash, &write.key) {
            at = self.after(at);
        }
        let slot = &mut self.slots[at];
        self.keys += usize::from(slot.writes == 0);
        *slot = Slot {
            hash: write.hash,
            key: write.key,
            lsn: write.lsn,
            writes: slot.writes + 1,
            value_len: write.promise.map_or(DELETED, Promise::value_len),
        };
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let slot = &self.slots[at];
            if slot.writes == 0 {
                return None;
            }
            if slot.is_of(hash, key) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// Frees a slot and moves those behind it up, so that no search ends too early.
    fn vacate(&mut self, at: usize) {
        let mask = self.slots.len() - 1;
        let (mut hole, mut next) = (at, self.after(at));
        while self.slots[next].writes != 0 {
            let home = self.home(self.slots[next].hash);
            let is_between = next.wrapping_sub(home) & mask < next.wrapping_sub(hole) & mask;
            if !is_between {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.slots[hole] = Slot::FREE;
        self.keys -= 1;
    }

    fn grow(&mut self) {
        let wider = vec![Slot::FREE; self.slots.len() * 2];
        let slots = std::mem::replace(&mut self.slots, wider);
        for slot in slots.into_iter().filter(|slot| slot.writes != 0) {
            let mut at = self.home(slot.hash);
            while self.slots[at].writes != 0 {
                at = self.after(at);
            }
            self.slots[at] = slot;
        }
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        usize::try_from(hash & (self.slots.len() as u64 - 1)).unwrap_or(0)
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

impl Slot {
    const FREE: Self = Self {
        hash: 0,
        key: Key::from_bytes([0; 32]),
        lsn: Lsn(0),
        writes: 0,
        value_len: 0,
    };

    #[inline]
    fn is_of(&self, hash: u64, key: &Key) -> bool {
        self.hash == hash && self.key == *key
    }
}

/// Slots at first: 4 KiB.
const SLOTS_MIN: usize = 64;

/// Stands for the length of a value where a key was deleted: no value is as long.
const DELETED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn key(tag: u64) -> Key {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&tag.to_le_bytes());
        Key::from_bytes(bytes)
    }

    /// Few hashes, so that keys share them and slots lie in long rows.
    fn write(lsn: u64, tag: u64) -> Write {
        Write {
            lsn: Lsn(lsn),
            hash: tag / 3 * 5,
            key: key(tag),
            promise: None,
        }
    }

    fn last(pending: &Pending, tag: u64) -> Option<u64> {
        let write = write(0, tag);
        let last = pending.last(write.hash, &write.key).map(|last| last.lsn.0);
        assert_eq!(pending.contains(write.hash, &write.key), last.is_some());
        last
    }

    fn agrees(pending: &Pending, model: &VecDeque<Write>, tags: u64) {
        let mut lasts = BTreeMap::new();
        for write in model {
            lasts.insert(write.key, write.lsn.0);
        }
        for tag in 0..tags {
            assert_eq!(
                last(pending, tag),
                lasts.get(&key(tag)).copied(),
                "key {tag}"
            );
        }
        assert_eq!(pending.len(), model.len());
        assert_eq!(pending.keys, lasts.len());
    }

    #[test]
    fn it_agrees_with_a_model() {
        let (mut pending, mut model) = (Pending::new(), VecDeque::new());
        let (tags, mut lsn, mut dice) = (300, 0, 1u64);
        for _ in 0..6_000 {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let roll = dice >> 33;
            match roll % 16 {
                0 => {
                    let from = u64::saturating_sub(lsn, roll / 16 % 40);
                    let mut forgotten = Vec::new();
                    pending.drop_from(Lsn(from), |write| forgotten.push(write.lsn.0));
                    let kept = model.partition_point(|write: &Write| write.lsn.0 < from);
                    let want: Vec<u64> = model.drain(kept..).map(|write| write.lsn.0).collect();
                    assert_eq!(forgotten, want);
                    agrees(&pending, &model, tags);
                }
                1..=7 => {
                    let popped = pending.pop().map(|write| write.lsn);
                    assert_eq!(popped, model.pop_front().map(|write| write.lsn));
                }
                _ => {
                    lsn += 1 + roll / 16 % 3;
                    let write = write(lsn, roll / 64 % tags);
                    pending.push(write);
                    model.push_back(write);
                }
            }
        }
        agrees(&pending, &model, tags);
        while pending.pop().is_some() {}
        agrees(&pending, &VecDeque::new(), tags);
    }

    #[test]
    fn the_last_write_says_what_the_next_one_finds() {
        let mut pending = Pending::new();
        pending.push(write(4, 1));
        let found = pending.last(write(0, 1).hash, &key(1));
        let want = Last {
            lsn: Lsn(4),
            is_delete: true,
            before: Before::Deleted,
        };
        assert_eq!(found, Some(want));
    }
}
