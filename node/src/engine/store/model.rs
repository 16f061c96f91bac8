//! The store against a model: a `BTreeMap` that does what the store should, under random
//! operations, with the store's three parts compared with each other after every one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proto::version::Version;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Put {
        key: u8,
        stamp: u64,
        ttl_ms: u64,
        len: usize,
    },
    Remove {
        key: u8,
    },
    /// Both clocks go on.
    Pass {
        ms: u64,
    },
    /// The wall clock alone is set forward or back.
    Step {
        ms: i64,
    },
    Sweep {
        budget: usize,
    },
}

type Held = (Version, u64, Vec<u8>);

struct Run {
    store: Store,
    model: BTreeMap<Key, Held>,
    now: Now,
    has_stepped: bool,
}

fn key(tag: u8) -> Key {
    Key::from_bytes([tag; 32])
}

impl Run {
    fn new(memory_max: u64) -> Self {
        Self {
            store: Store::new(StoreLimits { memory_max }, 42),
            model: BTreeMap::new(),
            now: Now::at_ms(1_000_000_000),
            has_stepped: false,
        }
    }

    fn apply(&mut self, op: &Op) {
        let bytes_before = self.store.bytes_used();
        match *op {
            Op::Put {
                key: tag,
                stamp,
                ttl_ms,
                len,
            } => self.put(tag, stamp, ttl_ms, len),
            Op::Remove { key: tag } => {
                let was_live = self.live(&key(tag)).is_some();
                assert_eq!(self.store.remove(&key(tag), self.now.wall_ms), was_live);
                self.model.remove(&key(tag));
            }
            Op::Pass { ms } => {
                self.now.wall_ms += ms;
                self.now.mono += Duration::from_millis(ms);
            }
            Op::Step { ms } => {
                self.now.wall_ms = self.now.wall_ms.saturating_add_signed(ms);
                self.has_stepped = true;
            }
            Op::Sweep { budget } => self.sweep(budget),
        }
        if !matches!(op, Op::Put { .. }) {
            let bytes = self.store.bytes_used();
            assert!(bytes <= bytes_before, "removing takes no memory");
        }
        self.check();
    }

    fn live(&self, key: &Key) -> Option<&Held> {
        let wall_ms = self.now.wall_ms;
        self.model
            .get(key)
            .filter(|held| !is_expired(held.1, wall_ms))
    }

    fn put(&mut self, tag: u8, stamp: u64, ttl_ms: u64, len: usize) {
        let version = Version { stamp, node: 1 };
        let expiry_ms = if ttl_ms == 0 {
            0
        } else {
            self.now.wall_ms + ttl_ms
        };
        let value = vec![stamp.to_le_bytes()[0]; len];
        let key = key(tag);
        let record = Record {
            key,
            version,
            expiry_ms,
            value: &value,
        };
        let want = match self.live(&key) {
            None => PutOutcome::Inserted,
            Some(held) if held.0 >= version => PutOutcome::Stale,
            Some(_) => PutOutcome::Replaced,
        };
        let before = (self.store.len(), self.store.payload_bytes());
        let bytes_before = self.store.bytes_used();
        match self.store.put(&record, self.now) {
            Ok(outcome) => assert_eq!(outcome, want),
            Err(PutError::Full {
                bytes_used,
                needed,
                memory_max,
            }) => {
                assert!(bytes_used + needed > memory_max);
                assert_ne!(want, PutOutcome::Stale);
                assert_eq!(before, (self.store.len(), self.store.payload_bytes()));
                assert!(self.store.bytes_used() <= bytes_before);
                return;
            }
            Err(error) => panic!("{error}"),
        }
        if want != PutOutcome::Stale {
            self.model.insert(key, (version, expiry_ms, value));
        }
    }

    fn sweep(&mut self, budget: usize) {
        let before = self.store.len();
        let swept = self.store.advance(self.now, budget);
        assert_eq!(before - self.store.len(), swept.expired);
        assert!(swept.expired <= budget as u64);
        let (store, wall_ms) = (&self.store, self.now.wall_ms);
        self.model.retain(|key, held| {
            let is_held = store.find(store.hash(key.as_bytes()), key).is_some();
            is_held || !is_expired(held.1, wall_ms)
        });
        if swept.has_more || self.has_stepped {
            return;
        }
        let second_ms = self.now.wall_ms / 1000 * 1000;
        let kept = self
            .model
            .values()
            .filter(|held| !is_expired(held.1, second_ms - 500))
            .count();
        assert!(
            self.store.len() <= kept as u64,
            "what expired a second ago is gone"
        );
    }

    fn check(&self) {
        let wall_ms = self.now.wall_ms;
        let mut seen = BTreeMap::new();
        let mut cursor = Some(ScanCursor::default());
        while let Some(at) = cursor {
            cursor = self.store.scan(at, wall_ms, |record| {
                let held = (record.version, record.expiry_ms, record.value.to_vec());
                assert!(seen.insert(record.key, held).is_none());
            });
        }
        let live = self
            .model
            .iter()
            .filter(|(_, held)| !is_expired(held.1, wall_ms));
        assert!(live.eq(seen.iter()));
        for tag in 0..=KEYS {
            let key = key(tag);
            let read = self
                .store
                .get_prepared(self.store.prepare(&key), &key, wall_ms);
            let read = read.map(|r| (r.version, r.expiry_ms, r.value.to_vec()));
            assert_eq!(read.as_ref(), self.live(&key));
        }
        self.check_parts();
    }

    /// The byte accounting, and that slab, index and wheel hold the same records.
    fn check_parts(&self) {
        let store = &self.store;
        let (mut handles, mut payload) = (BTreeSet::new(), 0);
        let mut linked = BTreeSet::new();
        let mut from = Some(0);
        while let Some(hash) = from {
            from = store.index.scan(hash, |handle| {
                let slot = store.slab.slot(Handle(handle));
                assert!(handles.insert(handle));
                payload += 32 + slot.value_len() as u64;
                if slot.expiry_ms() != 0 {
                    linked.insert(handle);
                }
            });
        }
        assert_eq!(handles.len() as u64, store.len());
        assert_eq!(payload, store.payload_bytes());
        assert_eq!(store.wheel.handles(&store.slab), linked);
        assert_eq!(store.slab.recount(&handles), store.slab.heap_bytes());
        assert!(store.bytes_used() <= store.memory_max());
    }
}

/// A case that `a_full_store_refuses_and_changes_nothing` found.
#[test]
fn a_spare_page_at_the_cap_does_not_hide_that_the_tables_grow() {
    let put = |key, stamp, ttl_ms, len| Op::Put {
        key,
        stamp,
        ttl_ms,
        len,
    };
    let ever_ms = 100 * 365 * 86_400_000;
    let ops = [
        put(3, 0, 0, 6689),
        put(4, 0, 0, 0),
        put(7, 0, 1, 1),
        put(6, 0, 0, 5),
        put(6, 1, 1, 9),
        Op::Pass { ms: 1 },
        Op::Sweep { budget: 2 },
        put(0, 0, 1, 0),
        put(5, 0, ever_ms, 13),
        Op::Remove { key: 6 },
        Op::Pass { ms: 902 },
        put(26, 20, ever_ms, 1997),
        put(2, 37, 0, 7912),
        put(14, 32, ever_ms, 4891),
        put(41, 26, 69_380, 555),
        Op::Pass { ms: 4_410_581 },
        Op::Sweep { budget: 32 },
        put(37, 2, 1574, 1938),
        Op::Pass { ms: 65_974 },
        put(38, 28, ever_ms, 2042),
        Op::Sweep { budget: 10 },
        put(40, 33, 60_153, 2081),
        put(36, 4, 4_198_528, 1948),
    ];
    let mut run = Run::new(141_955);
    ops.iter().for_each(|op| run.apply(op));
}

#[test]
fn the_cap_holds_while_the_index_grows_and_shrinks() {
    let caps = (40_000..400_000).step_by(7919);
    for memory_max in caps {
        let mut store = Store::new(StoreLimits { memory_max }, 42);
        let numbered = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Key::from_bytes(bytes)
        };
        for round in 0..3 {
            let mut count = 0;
            loop {
                let record = Record {
                    key: numbered(count),
                    version: Version::default(),
                    expiry_ms: 0,
                    value: &vec![0; round * 16],
                };
                let is_full = store.put(&record, Now::default()).is_err();
                assert!(store.bytes_used() <= memory_max);
                if is_full {
                    break;
                }
                count += 1;
            }
            for number in 0..count {
                assert!(store.remove(&numbered(number), 0));
                assert!(store.bytes_used() <= memory_max);
            }
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let len = prop_oneof![
        0..300usize,
        500..1100usize,
        1900..2100usize,
        4000..9000usize
    ];
    let ttl_ms = prop_oneof![
        Just(0u64),
        1..3_000u64,
        60_000..70_000u64,
        4_000_000..5_000_000u64,
        Just(100 * 365 * 86_400_000u64)
    ];
    let ms = prop_oneof![0..2_000u64, 60_000..70_000u64, 4_000_000..5_000_000u64];
    prop_oneof![
        8 => (0..KEYS, 0..40u64, ttl_ms, len)
            .prop_map(|(key, stamp, ttl_ms, len)| Op::Put { key, stamp, ttl_ms, len }),
        3 => (0..KEYS).prop_map(|key| Op::Remove { key }),
        3 => ms.prop_map(|ms| Op::Pass { ms }),
        3 => (1..40usize).prop_map(|budget| Op::Sweep { budget }),
    ]
}

fn op_with_steps() -> impl Strategy<Value = Op> {
    let step = (-5_000_000..5_000_000i64).prop_map(|ms| Op::Step { ms });
    prop_oneof![9 => op(), 1 => step]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_store_does_what_its_model_does(ops in proptest::collection::vec(op(), 1..120)) {
        let mut run = Run::new(1 << 30);
        ops.iter().for_each(|op| run.apply(op));
    }

    #[test]
    fn a_clock_that_steps_breaks_nothing(
        ops in proptest::collection::vec(op_with_steps(), 1..120),
    ) {
        let mut run = Run::new(1 << 30);
        ops.iter().for_each(|op| run.apply(op));
    }

    #[test]
    fn a_full_store_refuses_and_changes_nothing(
        ops in proptest::collection::vec(op(), 1..120),
        memory_max in 60_000..300_000u64,
    ) {
        let mut run = Run::new(memory_max);
        ops.iter().for_each(|op| run.apply(op));
    }
}

const KEYS: u8 = 48;
