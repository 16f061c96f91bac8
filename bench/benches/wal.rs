//! The log of one shard on a disk of memory: appending and committing batches, reading records, and
//! recovering a whole log, so that a regression shows without the noise of a disk. Every bench
//! checks what came out of it before it is timed.
//!
//! `cargo bench -p chordite-bench --bench wal`

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use node::engine::record::Record;
use node::engine::store::{Store, StoreLimits};
use node::engine::wal::buffer::Buffer;
use node::engine::wal::disk::{DiskDone, DiskJob, DiskOp};
use node::engine::wal::entry::Entry;
use node::engine::wal::log::{Log, LogStart};
use node::engine::wal::names::{FileName, Lsn, SegmentNumber};
use node::engine::wal::recovery::{FoundFile, Recovery, RecoveryConfig};
use node::engine::wal::settings::{LogConfig, SyncPolicy};
use proto::key::Key;
use proto::time::Now;
use proto::version::Version;

/// As in the node: recovery is mostly the store's allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_main!(benches);

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).sample_size(20);
    targets = appends, decodes, recoveries
}

/// Appends a turn's records, lets them be written and takes them back as committed.
fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append and commit, 256-byte records");
    for records in [1, 16, 256] {
        let mut log = Log::new(config(), start(), Now::at_ms(0));
        let mut disk = Disk::that_forgets();
        disk.serve(&mut log);
        assert_eq!(turn(&mut log, &mut disk, records, 0), records);
        group.throughput(Throughput::Elements(records));
        let mut number = 0;
        group.bench_function(format!("batches of {records}"), |bench| {
            bench.iter(|| {
                number += records;
                turn(&mut log, &mut disk, records, number)
            });
        });
    }
    group.finish();
}

/// Reads every record of an encoded piece, checksums included.
fn decodes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for value_bytes in [64, 176, 1024] {
        let mut piece = Buffer::with_capacity(RECORDS_OF_PIECE as usize * (value_bytes + 96));
        for number in 0..RECORDS_OF_PIECE {
            let value = vec![7; value_bytes];
            Entry::Put(record(number, &value)).encode(Lsn(number + 1), SALT, &mut piece);
        }
        assert_eq!(decoded(piece.as_bytes()), RECORDS_OF_PIECE);
        group.throughput(Throughput::Bytes(piece.len() as u64));
        group.bench_function(
            format!("{RECORDS_OF_PIECE} puts of {value_bytes} B"),
            |bench| {
                bench.iter(|| decoded(black_box(piece.as_bytes())));
            },
        );
    }
    group.finish();
}

/// Recovers a log of many segments: reading alone, and into a store as at the start of a node.
fn recoveries(criterion: &mut Criterion) {
    let disk = written(RECORDS_OF_LOG);
    let mut group = criterion.benchmark_group("recover 256-byte records");
    group.throughput(Throughput::Elements(RECORDS_OF_LOG));
    group.sample_size(10);
    assert_eq!(recovered(&disk, |_| {}), RECORDS_OF_LOG);
    group.bench_function("read only", |bench| {
        bench.iter(|| {
            recovered(&disk, |entry| {
                black_box(entry);
            })
        });
    });
    let store = || {
        let limits = StoreLimits {
            memory_max: u64::MAX,
        };
        Store::new(limits, 0x5eed)
    };
    let fill = |store: &mut Store| {
        recovered(&disk, |entry| {
            if let Entry::Put(record) = entry {
                store.put(record, Now::at_ms(1)).expect("there is room");
            }
        });
    };
    let mut filled = store();
    fill(&mut filled);
    assert_eq!(filled.len(), RECORDS_OF_LOG);
    group.bench_function("into a store", |bench| {
        bench.iter_batched_ref(store, fill, BatchSize::PerIteration);
    });
    group.finish();
}

/// One turn of a shard: `records` puts from `number` on; how many were committed.
fn turn(log: &mut Log, disk: &mut Disk, records: u64, number: u64) -> u64 {
    for number in number..number + records {
        let put = Entry::Put(record(number, &[7; VALUE_BYTES]));
        log.append(&put, number).expect("the disk takes everything");
    }
    disk.serve(log);
    let mut committed = 0;
    while let Some(batch) = log.poll_committed() {
        committed += batch.entries().count() as u64;
        log.recycle(batch);
    }
    committed
}

fn decoded(mut piece: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(placed) = Entry::decode(piece, SALT) {
        count += 1;
        piece = &piece[placed.bytes..];
    }
    count
}

/// A disk that holds a closed log of `records` puts.
fn written(records: u64) -> Disk {
    let mut log = Log::new(config(), start(), Now::at_ms(0));
    let mut disk = Disk::default();
    disk.serve(&mut log);
    for number in (0..records).step_by(BATCH_RECORDS as usize) {
        assert_eq!(
            turn(&mut log, &mut disk, BATCH_RECORDS, number),
            BATCH_RECORDS
        );
    }
    log.close();
    disk.serve(&mut log);
    assert!(log.is_at_rest());
    disk
}

/// Puts recovered from `disk`, each handed to `each`.
fn recovered(disk: &Disk, mut each: impl FnMut(&Entry<'_>)) -> u64 {
    let found = disk.files.iter().map(|(name, bytes)| FoundFile {
        name: *name,
        bytes: bytes.len() as u64,
    });
    let config = RecoveryConfig {
        node: NODE,
        shard: 0,
        is_salvage: false,
    };
    let mut recovery = Recovery::new(config, &found.collect::<Vec<_>>());
    let mut count = 0;
    loop {
        while let Some(job) = recovery.poll_job() {
            recovery.handle_disk(disk.read(job), |entry| {
                count += 1;
                each(entry);
                Ok(())
            });
        }
        if let Some(outcome) = recovery.poll_outcome() {
            outcome.expect("the log is whole");
            return count;
        }
    }
}

/// Files in memory. One that forgets answers as if it had written.
#[derive(Default)]
struct Disk {
    files: BTreeMap<FileName, Vec<u8>>,
    forgets: bool,
}

impl Disk {
    fn that_forgets() -> Self {
        Self {
            forgets: true,
            ..Self::default()
        }
    }

    /// Carries out what the log asks for until it asks for nothing more.
    fn serve(&mut self, log: &mut Log) {
        let now = Now::at_ms(0);
        while let Some(job) = log.poll_job(now) {
            log.handle_disk(self.carry_out(job), now);
        }
    }

    fn carry_out(&mut self, DiskJob { id, op }: DiskJob) -> DiskDone {
        let mut done = DiskDone {
            id,
            result: Ok(0),
            buffer: None,
        };
        match op {
            DiskOp::Write {
                file,
                offset,
                buffer,
                ..
            } => {
                if !self.forgets {
                    let place = offset as usize..offset as usize + buffer.len();
                    let bytes = self.files.get_mut(&file).expect("a file is made first");
                    bytes[place].copy_from_slice(buffer.as_bytes());
                }
                done.result = Ok(buffer.len() as u64);
                done.buffer = Some(buffer);
            }
            DiskOp::Zero {
                file,
                offset,
                bytes,
            } => {
                if !self.forgets {
                    let held = self.files.entry(file).or_default();
                    held.resize(held.len().max((offset + bytes) as usize), 0);
                }
                done.result = Ok(bytes);
            }
            DiskOp::Rename { from, to } if !self.forgets => {
                let bytes = self.files.remove(&from).expect("the old name");
                self.files.insert(to, bytes);
            }
            DiskOp::Read { .. } => panic!("nothing is compacted here"),
            _ => {}
        }
        done
    }

    fn read(&self, DiskJob { id, op }: DiskJob) -> DiskDone {
        let DiskOp::Read {
            file,
            offset,
            mut buffer,
        } = op
        else {
            panic!("a recovery only reads");
        };
        let rest = self.files[&file].get(offset as usize..).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer.as_mut_bytes()[..count].copy_from_slice(&rest[..count]);
        DiskDone {
            id,
            result: Ok(count as u64),
            buffer: Some(buffer),
        }
    }
}

fn config() -> LogConfig {
    LogConfig {
        node: NODE,
        shard: 0,
        segment_bytes: 32 << 20,
        sync: SyncPolicy::Always,
        space_percent: 200,
        seed: 0x5eed,
    }
}

fn start() -> LogStart {
    LogStart {
        next_lsn: Lsn(1),
        next_segment: SegmentNumber(1),
        ..LogStart::default()
    }
}

fn record(number: u64, value: &[u8]) -> Record<'_> {
    let mut key = [0; 32];
    for (at, word) in key.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&mix(number * 4 + at as u64).to_le_bytes());
    }
    Record {
        key: Key::from_bytes(key),
        version: Version {
            stamp: number + 1,
            node: NODE,
        },
        expiry_ms: 3_600_000,
        value,
    }
}

/// SplitMix64's finalizer.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

const NODE: u64 = 7;
const SALT: u64 = 11;

/// 80 bytes of the log's own make it a record of 256.
const VALUE_BYTES: usize = 176;

const RECORDS_OF_PIECE: u64 = 1_000;

/// Several segments of 32 MiB.
const RECORDS_OF_LOG: u64 = 400 * BATCH_RECORDS;
const BATCH_RECORDS: u64 = 500;
