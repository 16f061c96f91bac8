//! Promises: memory set aside for writes that are on their way to the disk. A put is admitted under
//! the cap when it comes, and filed only when its record is durable; by then it must not fail.
//!
//! What is promised is what all writes in flight would take beyond what is held, whichever of them
//! are applied and whatever expires meanwhile. A write of a key with a value of about the same
//! length takes the place of the old one: it is promised nothing, but its key must not be swept.

use proto::key::Key;
use proto::time::Now;

use super::{Probe, PutError, PutOutcome, Store, check_length};
use crate::engine::record::Record;
use crate::engine::slab::Slab;

/// What a write in flight was promised; given back by [`Store::put_promised`] or
/// [`Store::release`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Promise {
    value_len: u32,
    takes: Takes,
}

/// What a write takes when it is applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Takes {
    /// The place of the record it replaces.
    Nothing,
    /// A place for a record whose key is in the index.
    Place,
    /// A place for a record, and an entry in the index.
    PlaceAndEntry,
}

/// What a key has when a write of it is applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    /// What the store has now.
    Held,
    /// A value of this length, which is on its way.
    Put(u32),
    /// Nothing: a deletion is on its way.
    Deleted,
}

impl Store {
    /// Sets memory aside for a put.
    pub(crate) fn promise(
        &mut self,
        probe: Probe,
        key: &Key,
        value_len: usize,
        before: Before,
    ) -> Result<Promise, PutError> {
        check_length(value_len)?;
        let old_len = match before {
            Before::Held => self
                .find(probe.hash, key)
                .map(|handle| self.slab.slot(handle).value_len()),
            Before::Put(len) => usize::try_from(len).ok(),
            Before::Deleted => None,
        };
        let takes = match old_len {
            Some(old_len) if Slab::fits(old_len, value_len) => Takes::Nothing,
            Some(_) => Takes::Place,
            None => Takes::PlaceAndEntry,
        };
        let value_len = u32::try_from(value_len).expect("the length was checked");
        let promise = Promise { value_len, takes };
        if takes != Takes::Nothing {
            self.set_aside(probe, promise)?;
        }
        Ok(promise)
    }

    fn set_aside(&mut self, probe: Probe, promise: Promise) -> Result<(), PutError> {
        let has_number = self.slab.has_number();
        let has_room = promise.takes == Takes::Place || self.index.has_room(probe.hash);
        self.slab.promise(promise.len());
        self.promised_entries += u64::from(promise.takes == Takes::PlaceAndEntry);
        let bytes_used = self.bytes_used() - self.slab.spare_bytes();
        let needed = self.promised_growth();
        if bytes_used + needed <= self.memory_max && has_number && has_room {
            return Ok(());
        }
        self.release(promise);
        Err(PutError::Full {
            bytes_used,
            needed,
            memory_max: self.memory_max,
        })
    }

    /// Gives a promise back.
    pub(crate) fn release(&mut self, promise: Promise) {
        if promise.takes != Takes::Nothing {
            self.slab.release(promise.len());
        }
        self.promised_entries -= u64::from(promise.takes == Takes::PlaceAndEntry);
    }

    /// Stores a record whose memory was promised; it has a newer version than what the key has.
    pub(crate) fn put_promised(
        &mut self,
        record: &Record<'_>,
        promise: Promise,
        now: Now,
    ) -> PutOutcome {
        self.release(promise);
        let place = self.place(self.probe(&record.key), &record.key);
        if self.has_newer(&place, record, now) {
            return PutOutcome::Stale;
        }
        if promise.takes != Takes::Nothing
            && self.bytes_used() + self.growth(promise.len(), None) > self.memory_max
        {
            self.slab.drop_spare();
        }
        let outcome = self.file(&place, record, now);
        if self.bytes_used() > self.memory_max {
            self.slab.drop_spare();
        }
        outcome
    }

    /// Bytes that keeping all promises may add.
    fn promised_growth(&self) -> u64 {
        self.slab.promised_growth() + self.index.growth_of_many(self.promised_entries)
    }
}

impl Promise {
    /// Length of the put's value.
    pub(crate) const fn value_len(self) -> u32 {
        self.value_len
    }

    fn len(self) -> usize {
        usize::try_from(self.value_len).expect("values are short")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use proptest::prelude::*;
    use proto::version::Version;

    use super::*;
    use crate::engine::store::StoreLimits;

    #[derive(Clone, Debug)]
    enum Op {
        Put {
            key: u16,
            ttl_ms: u64,
            len: usize,
        },
        Delete {
            key: u16,
        },
        /// So many writes become durable.
        Apply {
            count: usize,
        },
        /// So many of the last writes are given up.
        Drop {
            count: usize,
        },
        Pass {
            ms: u64,
        },
        Sweep,
    }

    struct Write {
        key: Key,
        version: Version,
        expiry_ms: u64,
        len: usize,
        /// None for a deletion.
        promise: Option<Promise>,
    }

    struct Run {
        store: Store,
        in_flight: VecDeque<Write>,
        now: Now,
        stamp: u64,
        refused: u32,
    }

    fn key(tag: u16) -> Key {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&tag.to_be_bytes());
        Key::from_bytes(bytes)
    }

    impl Run {
        fn new(memory_max: u64, seed: u64) -> Self {
            Self {
                store: Store::new(StoreLimits { memory_max }, seed),
                in_flight: VecDeque::new(),
                now: Now::at_ms(1_000_000),
                stamp: 0,
                refused: 0,
            }
        }

        fn run(&mut self, op: &Op) {
            match *op {
                Op::Put { key, ttl_ms, len } => self.begin(key, ttl_ms, Some(len)),
                Op::Delete { key } => self.begin(key, 0, None),
                Op::Apply { count } => {
                    (0..count.min(self.in_flight.len())).for_each(|_| self.apply());
                }
                Op::Drop { count } => {
                    for _ in 0..count {
                        let given_up = self.in_flight.pop_back();
                        let promise = given_up.and_then(|write| write.promise);
                        promise.into_iter().for_each(|it| self.store.release(it));
                    }
                }
                Op::Pass { ms } => {
                    self.now.wall_ms += ms;
                    self.now.mono += Duration::from_millis(ms);
                }
                Op::Sweep => {
                    let in_flight = &self.in_flight;
                    let is_in_use = |_, key: &Key| in_flight.iter().any(|it| it.key == *key);
                    self.store.advance_except(self.now, 64, is_in_use);
                }
            }
            self.check();
        }

        fn begin(&mut self, tag: u16, ttl_ms: u64, len: Option<usize>) {
            let key = key(tag);
            let last = self.in_flight.iter().rev().find(|write| write.key == key);
            let before = match last {
                None => Before::Held,
                Some(Write { promise: None, .. }) => Before::Deleted,
                Some(write) => Before::Put(u32::try_from(write.len).unwrap()),
            };
            let probe = self.store.probe(&key);
            let promise = len.map(|len| self.store.promise(probe, &key, len, before));
            let Ok(promise) = promise.transpose() else {
                self.refused += 1;
                return;
            };
            self.stamp += 1;
            let version = Version {
                stamp: self.stamp,
                node: 1,
            };
            let expiry_ms = if ttl_ms == 0 {
                0
            } else {
                self.now.wall_ms + ttl_ms
            };
            self.in_flight.push_back(Write {
                key,
                version,
                expiry_ms,
                len: len.unwrap_or(0),
                promise,
            });
        }

        fn apply(&mut self) {
            let Some(write) = self.in_flight.pop_front() else {
                return;
            };
            let Some(promise) = write.promise else {
                self.store.remove_older(&write.key, write.version);
                return;
            };
            let record = Record {
                key: write.key,
                version: write.version,
                expiry_ms: write.expiry_ms,
                value: &vec![1; write.len],
            };
            self.store.put_promised(&record, promise, self.now);
            self.check();
        }

        fn check(&self) {
            let (used, most) = (self.store.bytes_used(), self.store.memory_max());
            assert!(used <= most, "{used} bytes of {most}");
        }
    }

    fn op(keys: u16) -> impl Strategy<Value = Op> {
        let len = prop_oneof![3 => 0..300usize, 1 => 500..2100usize, 1 => 4000..9000usize];
        let ttl_ms = prop_oneof![2 => Just(0u64), 1 => 1..3_000u64];
        prop_oneof![
            24 => (0..keys, ttl_ms, len)
                .prop_map(|(key, ttl_ms, len)| Op::Put { key, ttl_ms, len }),
            4 => (0..keys).prop_map(|key| Op::Delete { key }),
            3 => (1..60usize).prop_map(|count| Op::Apply { count }),
            1 => (1..40usize).prop_map(|count| Op::Drop { count }),
            1 => (0..2_000u64).prop_map(|ms| Op::Pass { ms }),
            1 => Just(Op::Sweep),
        ]
    }

    fn runs(ops: &[Op], memory_max: u64, seed: u64) {
        let mut run = Run::new(memory_max, seed);
        ops.iter().for_each(|op| run.run(op));
        run.run(&Op::Apply { count: ops.len() });
        assert_eq!(
            run.store.promised_growth(),
            0,
            "every promise was given back"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn what_was_admitted_fits_when_it_comes(
            ops in proptest::collection::vec(op(48), 1..400),
            memory_max in 60_000..600_000u64,
            seed: u64,
        ) {
            runs(&ops, memory_max, seed);
        }

        #[test]
        fn so_it_does_while_the_index_grows(
            ops in proptest::collection::vec(op(u16::MAX), 1..1_500),
            memory_max in 100_000..1_500_000u64,
            seed: u64,
        ) {
            runs(&ops, memory_max, seed);
        }
    }

    /// Small records alone: the index splits while thousands of writes are in flight.
    #[test]
    fn thousands_of_small_writes_in_flight_fit() {
        for memory_max in [300_000, 700_000, 1_500_000, 3_000_000] {
            let mut run = Run::new(memory_max, 9);
            for round in 0..40u16 {
                for number in 0..1_000 {
                    run.begin(round * 1_000 + number, 0, Some(8));
                }
                run.run(&Op::Apply { count: 700 });
            }
            run.run(&Op::Apply { count: usize::MAX });
            assert!(run.refused > 0, "the cap was reached");
            let used = run.store.bytes_used();
            assert!(used > memory_max * 3 / 4, "{used} of {memory_max} are used");
        }
    }

    #[test]
    fn at_the_cap_a_value_as_long_takes_the_place_of_the_old_one() {
        let mut run = Run::new(200_000, 3);
        while run.refused == 0 {
            let tag = u16::try_from(run.in_flight.len()).unwrap();
            run.begin(tag, 0, Some(100));
        }
        let count = run.in_flight.len();
        for _ in 0..3 {
            (0..10).for_each(|tag| run.begin(tag, 0, Some(100)));
        }
        assert_eq!((run.in_flight.len(), run.refused), (count + 30, 1));
        run.run(&Op::Apply { count: count + 30 });
        (0..10).for_each(|tag| run.begin(tag, 0, Some(99)));
        assert_eq!(run.refused, 1, "99 bytes lie where 100 did");
    }
}
