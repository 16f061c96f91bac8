//! The store of one shard beside a standard hash map: reads singly and in two passes, puts, expiry.
//! Before the benches it prints what a million records cost above their keys and values, by the
//! store's own accounting and by the process's resident memory.
//!
//! `cargo bench -p chordite-bench --bench store`

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use node::engine::record::Record;
use node::engine::store::{PutOutcome, Store, StoreLimits};
use proto::key::Key;
use proto::time::Now;
use proto::version::Version;

/// As in the node, so that resident memory is what the node would have.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    report_memory(64);
    benches();
    Criterion::default().configure_from_args().final_summary();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).sample_size(20);
    targets = reads, puts, expiry
}

/// 32 bytes that look random and are a function of their number.
fn key(number: u64) -> Key {
    let mut bytes = [0; 32];
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mix(number * 4 + at as u64).to_le_bytes());
    }
    Key::from_bytes(bytes)
}

/// SplitMix64's finalizer.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn put(store: &mut Store, number: u64, stamp: u64, expiry_ms: u64, value: &[u8]) -> PutOutcome {
    let version = Version { stamp, node: 1 };
    let record = Record {
        key: key(number),
        version,
        expiry_ms,
        value,
    };
    store.put(&record, Now::at_ms(1000)).expect("there is room")
}

fn filled(records: u64, value: &[u8], expiry_ms: impl Fn(u64) -> u64) -> Store {
    let mut store = empty();
    for number in 0..records {
        put(&mut store, number, 1, expiry_ms(number), value);
    }
    store
}

fn empty() -> Store {
    Store::new(
        StoreLimits {
            memory_max: u64::MAX,
        },
        0x5eed,
    )
}

fn report_memory(value_bytes: usize) {
    let before = resident_bytes();
    let store = filled(RECORDS, &vec![7; value_bytes], |number| 3_600_000 + number);
    let resident = resident_bytes() - before;
    let above = |bytes: u64| (bytes as f64 - store.payload_bytes() as f64) / RECORDS as f64;
    println!(
        "{RECORDS} records of 32 + {value_bytes} bytes: {:.1} B above each by the store's account, \
         {:.1} B by resident memory",
        above(store.bytes_used()),
        above(resident),
    );
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.expect("the second word is a number of pages") * 4096
}

/// Keys in an order that no cache foresees.
fn shuffled(count: u64, records: u64) -> Vec<Key> {
    (0..count)
        .map(|at| key(mix(at ^ 0xabcd) % records))
        .collect()
}

fn reads(criterion: &mut Criterion) {
    for records in [10_000, RECORDS] {
        let mut group = criterion.benchmark_group(format!("get hit of {records}"));
        group.throughput(Throughput::Elements(BATCH as u64));
        let store = filled(records, &[7; 64], |_| 0);
        let map: HashMap<[u8; 32], Box<[u8]>> = (0..records)
            .map(|n| (*key(n).as_bytes(), vec![7; 64].into()))
            .collect();
        let keys = shuffled(1 << 18, records);
        let mut batches = keys.chunks_exact(BATCH).cycle();
        let mut out = [0; 64];
        group.bench_function("HashMap", |bench| {
            bench.iter(|| {
                for key in batches.next().unwrap() {
                    out.copy_from_slice(&map[key.as_bytes()]);
                    black_box(&mut out);
                }
            });
        });
        group.bench_function("store, singly", |bench| {
            bench.iter(|| {
                for key in batches.next().unwrap() {
                    out.copy_from_slice(store.get(key, 1).unwrap().value);
                    black_box(&mut out);
                }
            });
        });
        for turn in [4, 16, BATCH] {
            group.bench_function(format!("store, {turn} at a time"), |bench| {
                let mut probes = Vec::with_capacity(turn);
                bench.iter(|| {
                    for keys in batches.next().unwrap().chunks_exact(turn) {
                        probes.clear();
                        probes.extend(keys.iter().map(|key| store.prepare(key)));
                        probes.iter().for_each(|&probe| store.warm(probe));
                        for (key, &probe) in keys.iter().zip(&probes) {
                            let read = store.get_prepared(probe, key, 1).unwrap();
                            out.copy_from_slice(read.value);
                            black_box(&mut out);
                        }
                    }
                });
            });
        }
        group.finish();
    }
}

fn puts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put");
    group.throughput(Throughput::Elements(1));
    let mut next = 0;
    let mut store = empty();
    group.bench_function("fresh", |bench| {
        bench.iter(|| {
            if next == RECORDS {
                (store, next) = (empty(), 0);
            }
            next += 1;
            assert_eq!(
                put(&mut store, next, 1, 3_600_000, &[7; 64]),
                PutOutcome::Inserted
            );
        });
    });
    let mut map: HashMap<[u8; 32], Box<[u8]>> = HashMap::new();
    next = 0;
    group.bench_function("fresh, HashMap", |bench| {
        bench.iter(|| {
            if next == RECORDS {
                (map, next) = (HashMap::new(), 0);
            }
            next += 1;
            assert!(map.insert(*key(next).as_bytes(), [7; 64].into()).is_none());
        });
    });
    let mut store = filled(RECORDS, &[7; 64], |_| 3_600_000);
    let mut stamp = 1;
    group.bench_function("overwrite", |bench| {
        bench.iter(|| {
            stamp += 1;
            let number = mix(stamp) % RECORDS;
            put(&mut store, number, stamp, 3_600_000 + stamp, &[8; 64])
        });
    });
    group.bench_function("remove and put", |bench| {
        bench.iter(|| {
            stamp += 1;
            let number = mix(stamp) % RECORDS;
            assert!(store.remove(&key(number), 1));
            put(&mut store, number, stamp, 3_600_000 + stamp, &[8; 64])
        });
    });
    group.finish();
}

fn expiry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("expire");
    let records = 100_000;
    group.throughput(Throughput::Elements(records));
    group.sample_size(10);
    group.bench_function("100000 records over 100 s", |bench| {
        bench.iter_batched_ref(
            || filled(records, &[7; 64], |number| 10_000 + mix(number) % 100_000),
            |store| {
                let mut expired = 0;
                for second in 0..120 {
                    let now = Now::at_ms(second * 1000);
                    while store.advance(now, 1024).has_more {}
                    expired = records - store.len();
                }
                assert_eq!(expired, records);
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

const RECORDS: u64 = 1_000_000;

/// Keys a batch, so that a batch is one iteration in every variant.
const BATCH: usize = 64;
