//! Filing: how a record gets into the slab, the index and the wheel, moves within them and leaves
//! them again, with the three kept in agreement and the memory cap kept.

use proto::key::{KEY_BYTES, Key};
use proto::time::Now;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Probe, PutError, PutOutcome, Store, check_length};
use crate::engine::record::{EXPIRY_MS_MAX, Record, is_expired};
use crate::engine::slab::{Handle, Slab};

/// Where the record of a key lies or would lie. Good for as long as the store is not changed.
pub(crate) struct Place {
    hash: u64,
    handle: Option<Handle>,
}

impl Store {
    /// Finds the place of a key.
    #[inline]
    pub(crate) fn place(&self, probe: Probe, key: &Key) -> Place {
        Place {
            hash: probe.hash,
            handle: self.find(probe.hash, key),
        }
    }

    /// Whether the key has the version of `record` or a newer one.
    #[inline]
    pub(super) fn has_newer(&self, place: &Place, record: &Record<'_>, now: Now) -> bool {
        let Some(handle) = place.handle else {
            return false;
        };
        let old = self.slab.slot(handle);
        !is_expired(old.expiry_ms(), now.wall_ms) && old.version() >= record.version
    }

    /// Sees that a record with a value of `value_len` bytes may be filed at `place`.
    pub(crate) fn admit(&mut self, place: &Place, value_len: usize) -> Result<(), PutError> {
        check_length(value_len)?;
        let Some(handle) = place.handle else {
            return self.reserve(value_len, Some(place.hash), 0);
        };
        if Slab::fits(self.slab.slot(handle).value_len(), value_len) {
            return Ok(());
        }
        self.reserve(value_len, None, self.slab.shrinkage(handle))
    }

    /// Files a record that was admitted.
    pub(crate) fn file(&mut self, place: &Place, record: &Record<'_>, now: Now) -> PutOutcome {
        let Some(handle) = place.handle else {
            self.insert(place.hash, record, now);
            return PutOutcome::Inserted;
        };
        let old_expiry_ms = self.slab.slot(handle).expiry_ms();
        self.replace(place.hash, handle, record, now);
        if is_expired(old_expiry_ms, now.wall_ms) {
            PutOutcome::Inserted
        } else {
            PutOutcome::Replaced
        }
    }

    fn insert(&mut self, hash: u64, record: &Record<'_>, now: Now) {
        let handle = self.slab.insert(record);
        let hash_of = hash_of(&self.slab, self.seed);
        self.index.insert(hash, handle.0, hash_of);
        self.schedule(handle, record.expiry_ms, now);
        self.records += 1;
        self.payload_bytes += payload_bytes(record.value.len());
    }

    fn replace(&mut self, hash: u64, handle: Handle, record: &Record<'_>, now: Now) {
        let old = self.slab.slot(handle);
        let (old_len, old_expiry_ms) = (old.value_len(), old.expiry_ms());
        let mut at = handle;
        if !self.slab.overwrite(handle, record) {
            at = self.relocate(hash, handle, record);
        }
        // A record that was given more time stays where it is in the wheel and is filed anew when
        // its old time comes: overwriting a hot key costs the wheel nothing.
        if old_expiry_ms == 0 {
            self.schedule(at, record.expiry_ms, now);
        } else if record.expiry_ms == 0 || record.expiry_ms < old_expiry_ms {
            self.wheel.unlink(&mut self.slab, at);
            self.schedule(at, record.expiry_ms, now);
        }
        self.payload_bytes -= payload_bytes(old_len);
        self.payload_bytes += payload_bytes(record.value.len());
    }

    /// Moves a record to a slot of another length, in all three parts.
    fn relocate(&mut self, hash: u64, old: Handle, record: &Record<'_>) -> Handle {
        let slot = self.slab.slot(old);
        let (is_linked, prev, next) = (slot.expiry_ms() != 0, slot.prev(), slot.next());
        let new = self.slab.insert(record);
        if is_linked {
            self.slab.write_prev(new, prev);
            self.slab.write_next(new, next);
            self.wheel.relink(&mut self.slab, new);
        }
        let is_replaced = self.index.replace(hash, old.0, new.0);
        assert!(is_replaced, "a record that was found is in the index");
        self.vacate(old);
        if self.bytes_used() > self.memory_max {
            self.slab.drop_spare();
        }
        new
    }

    /// Sees that a record of `value_len` bytes fits the memory cap; `hash` is given when it is new
    /// to the index, `returned` is what will be given back afterwards.
    fn reserve(
        &mut self,
        value_len: usize,
        hash: Option<u64>,
        returned: u64,
    ) -> Result<(), PutError> {
        let mut needed = self.growth(value_len, hash);
        if needed == 0 {
            return Ok(());
        }
        if self.bytes_used() + needed > self.memory_max + returned {
            self.slab.drop_spare();
            needed = self.growth(value_len, hash);
        }
        let bytes_used = self.bytes_used();
        let has_room = hash.is_none_or(|hash| self.index.has_room(hash));
        if bytes_used + needed > self.memory_max + returned || !has_room || !self.slab.has_number()
        {
            let memory_max = self.memory_max;
            return Err(PutError::Full {
                bytes_used,
                needed,
                memory_max,
            });
        }
        Ok(())
    }

    pub(super) fn growth(&self, value_len: usize, hash: Option<u64>) -> u64 {
        self.slab.growth(value_len) + hash.map_or(0, |hash| self.index.growth(hash))
    }

    /// Removes a record from all three parts.
    pub(super) fn unfile(&mut self, hash: u64, handle: Handle) {
        if self.slab.slot(handle).expiry_ms() != 0 {
            self.wheel.unlink(&mut self.slab, handle);
        }
        self.remove_unlinked(hash, handle);
    }

    pub(super) fn remove_unlinked(&mut self, hash: u64, handle: Handle) {
        self.payload_bytes -= payload_bytes(self.slab.slot(handle).value_len());
        self.records -= 1;
        let hash_of = hash_of(&self.slab, self.seed);
        let is_removed = self.index.remove(hash, handle.0, hash_of);
        assert!(is_removed, "a record that was found is in the index");
        self.vacate(handle);
    }

    /// Gives a slot back and follows the record that moves into it.
    fn vacate(&mut self, handle: Handle) {
        let Some(moved) = self.slab.remove(handle) else {
            return;
        };
        let slot = self.slab.slot(moved.to);
        let (hash, is_linked) = (self.hash(slot.key()), slot.expiry_ms() != 0);
        let is_replaced = self.index.replace(hash, moved.from.0, moved.to.0);
        assert!(is_replaced, "a record that is held is in the index");
        if is_linked {
            self.wheel.relink(&mut self.slab, moved.to);
        }
    }

    fn schedule(&mut self, handle: Handle, expiry_ms: u64, now: Now) {
        if expiry_ms != 0 {
            self.wheel
                .link(&mut self.slab, handle, due_s(expiry_ms, now));
        }
    }
}

/// The second of the monotonic clock after which a record expires, as the clocks stand now.
pub(super) fn due_s(expiry_ms: u64, now: Now) -> u64 {
    let left_ms = expiry_ms.min(EXPIRY_MS_MAX).saturating_sub(now.wall_ms);
    let mono_ms = u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX);
    mono_ms.saturating_add(left_ms).div_ceil(1000)
}

fn hash_of(slab: &Slab, seed: u64) -> impl Fn(u32) -> u64 {
    move |handle| xxh3_64_with_seed(slab.slot(Handle(handle)).key(), seed)
}

fn payload_bytes(value_len: usize) -> u64 {
    (KEY_BYTES + value_len) as u64
}
