//! Recoveries of segments made by hand, batch by batch, as a log and its crashes leave them.
//!
//! A story tells which segments there are, which batches with which lsns they hold, what became of
//! them, and what a recovery makes of it.

mod damage;
mod histories;
mod reading;
mod salvage;
mod stories;

use std::collections::BTreeMap;
use std::ops::Range;

use proto::key::Key;
use proto::version::Version;

use super::*;
use crate::engine::record::Record;
use crate::engine::wal::buffer::Buffer;
use crate::engine::wal::disk::{DiskErrorKind, DiskOp};
use crate::engine::wal::entry::Commit;
use crate::engine::wal::header::SegmentHeader;

const BLOCK: usize = BLOCK_BYTES;
const NODE: u64 = 0xbeef;

/// A segment in the making.
#[derive(Clone)]
struct Made {
    header: SegmentHeader,
    bytes: Vec<u8>,
    at: usize,
    lsn: u64,
}

/// A batch as it was placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Laid {
    from: usize,
    to: usize,
}

impl Made {
    /// An empty segment of 16 blocks whose first record will be `least`.
    fn new(number: u64, least: u64) -> Self {
        Self::sized(number, least, 16)
    }

    fn sized(number: u64, least: u64, blocks: usize) -> Self {
        let header = SegmentHeader {
            node: NODE,
            shard: 1,
            number: SegmentNumber(number),
            salt: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            least_lsn: Lsn(least),
            stamp_floor: 0,
            segment_bytes: u32::try_from(blocks * BLOCK).unwrap(),
            is_recycled: false,
        };
        let mut bytes = vec![0; blocks * BLOCK];
        bytes[..BLOCK].copy_from_slice(header.encode().as_bytes());
        Self {
            header,
            bytes,
            at: BLOCK,
            lsn: least,
        }
    }

    /// Its first record will be this one: those before it never reached the disk.
    fn starting_at(mut self, lsn: u64) -> Self {
        self.lsn = lsn;
        self
    }

    /// A batch with so many puts of 100 bytes behind its commit record.
    fn batch(&mut self, durable: u64, puts: u64) -> Laid {
        self.batch_of(durable, puts, 100)
    }

    fn batch_of(&mut self, durable: u64, puts: u64, value_bytes: usize) -> Laid {
        let mut body = Buffer::with_capacity(1 << 20);
        let first = self.lsn;
        for lsn in first + 1..=first + puts {
            let value = value(lsn, value_bytes);
            put(lsn, self.header.number.0, &value).encode(Lsn(lsn), self.header.salt, &mut body);
        }
        let mut batch = Buffer::with_capacity(1 << 20);
        let bytes = (body.len() + 48).next_multiple_of(BLOCK);
        let commit = Commit {
            durable: Lsn(durable),
            stamp: first << 20,
            batch_bytes: u32::try_from(bytes).unwrap(),
        };
        Entry::Commit(commit).encode(Lsn(first), self.header.salt, &mut batch);
        batch.extend(body.as_bytes());
        batch.pad();
        let laid = Laid {
            from: self.at,
            to: self.at + bytes,
        };
        self.bytes[laid.from..laid.to].copy_from_slice(batch.as_bytes());
        self.at = laid.to;
        self.lsn = first + puts + 1;
        laid
    }

    /// What a crash does to a batch that was on its way: nothing of it was written.
    fn lose(&mut self, laid: Laid) {
        self.bytes[laid.from..laid.to].fill(0);
    }

    fn name(&self) -> FileName {
        FileName::Segment(self.header.number)
    }

    fn file(&self) -> (FileName, Vec<u8>) {
        (self.name(), self.bytes.clone())
    }
}

/// The value that record `lsn` has.
fn value(lsn: u64, bytes: usize) -> Vec<u8> {
    lsn.to_le_bytes()
        .iter()
        .copied()
        .cycle()
        .take(bytes)
        .collect()
}

fn put(lsn: u64, segment: u64, value: &[u8]) -> Entry<'_> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&lsn.to_le_bytes());
    Entry::Put(Record {
        key: Key::from_bytes(key),
        version: Version {
            stamp: lsn << 16,
            node: segment,
        },
        expiry_ms: 0,
        value,
    })
}

/// The lsn that an entry was written with and the segment it was written to, when nothing else has
/// changed either.
fn origin(entry: &Entry<'_>) -> (u64, u64) {
    let Entry::Put(record) = entry else {
        panic!("no other kind was written");
    };
    let (lsn, segment) = (record.version.stamp >> 16, record.version.node);
    assert_eq!(*entry, put(lsn, segment, &value(lsn, record.value.len())));
    (lsn, segment)
}

/// What came of a recovery.
#[derive(Clone, PartialEq, Debug)]
struct Outcome {
    start: Result<LogStart, RecoveryError>,
    /// The lsns of the puts handed on, in their order.
    puts: Vec<u64>,
    /// The segments they were written to.
    origins: Vec<u64>,
    report: RecoveryReport,
}

impl Outcome {
    fn next_lsn(&self) -> u64 {
        self.start.as_ref().expect("the log is usable").next_lsn.0
    }

    /// The puts handed on: lsn and segment.
    fn found(&self) -> impl Iterator<Item = (u64, u64)> {
        self.puts.iter().copied().zip(self.origins.iter().copied())
    }

    fn sealed(&self) -> Vec<(u64, u64, u64)> {
        let sealed = &self.start.as_ref().expect("the log is usable").sealed;
        let sealed = sealed.iter();
        sealed
            .map(|it| (it.number.0, it.first.0, it.last.0))
            .collect()
    }

    fn leftovers(&self) -> Vec<u64> {
        let start = self.start.as_ref().expect("the log is usable");
        start.leftovers.iter().map(|it| it.number().0).collect()
    }

    fn damaged(&self) -> &DamagedRange {
        match &self.start {
            Err(RecoveryError::Damaged(range)) => range,
            other => panic!("not damaged: {other:?}, {:?}", self.report),
        }
    }

    /// Whether anything tells the operator that not all is as it was written.
    fn is_noticed(&self) -> bool {
        self.start.is_err() || self.report.torn_bytes > 0 || !self.report.warnings.is_empty()
    }
}

fn config(is_salvage: bool) -> RecoveryConfig {
    RecoveryConfig {
        node: NODE,
        shard: 1,
        is_salvage,
    }
}

fn recover(segments: &[&Made]) -> Outcome {
    recover_with(segments, false)
}

fn recover_with(segments: &[&Made], is_salvage: bool) -> Outcome {
    let files = segments.iter().map(|made| made.file()).collect();
    recover_files(&files, config(is_salvage), |_, _| None)
}

/// Runs a recovery; `fail` may end the n-th job, which reads a range, in another way.
fn recover_files(
    files: &BTreeMap<FileName, Vec<u8>>,
    config: RecoveryConfig,
    mut fail: impl FnMut(u64, Range<u64>) -> Option<Result<u64, DiskError>>,
) -> Outcome {
    let found: Vec<FoundFile> = files
        .iter()
        .map(|(name, bytes)| FoundFile {
            name: *name,
            bytes: bytes.len() as u64,
        })
        .collect();
    let mut recovery = Recovery::new(config, &found);
    let (mut puts, mut origins) = (Vec::new(), Vec::new());
    for _ in 0..100_000 {
        if let Some(start) = recovery.poll_outcome() {
            assert_eq!(recovery.poll_job(), None, "nothing is read behind the end");
            let report = recovery.report().clone();
            return Outcome {
                start,
                puts,
                origins,
                report,
            };
        }
        let mut jobs: Vec<DiskJob> = std::iter::from_fn(|| recovery.poll_job()).collect();
        assert!(!jobs.is_empty(), "a recovery that has not ended reads");
        assert!(jobs.len() <= 8);
        // The last one first: a disk may carry them out in any order.
        while let Some(DiskJob { id, op }) = jobs.pop() {
            let DiskOp::Read {
                file,
                offset,
                mut buffer,
            } = op
            else {
                panic!("a recovery writes nothing");
            };
            let rest = files[&file].get(offset as usize..).unwrap_or(&[]);
            let bytes = rest.len().min(buffer.len());
            buffer.as_mut_bytes()[..bytes].copy_from_slice(&rest[..bytes]);
            let range = offset..offset + buffer.len() as u64;
            let result = fail(id.0, range).unwrap_or(Ok(bytes as u64));
            let done = DiskDone {
                id,
                result,
                buffer: Some(buffer),
            };
            recovery.handle_disk(done, |entry| {
                let (lsn, segment) = origin(entry);
                assert!(puts.last().is_none_or(|last| *last < lsn), "in their order");
                puts.push(lsn);
                origins.push(segment);
                Ok(())
            });
        }
    }
    panic!("a recovery ends");
}
