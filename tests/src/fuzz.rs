//! What the fuzzer drives: bytes become the files of a shard, which the real machine recovers.
//!
//! Bytes alone would never get past the checksums. So the input is a list of changes to a small log
//! with a past: a segment with a torn end, one that is void, one that goes on behind the cut. A
//! change may also place a record that is valid and says anything.

use std::collections::BTreeMap;

use node::engine::record::Record;
use node::engine::wal::buffer::{BLOCK_BYTES, Buffer};
use node::engine::wal::disk::{DiskDone, DiskJob, DiskOp};
use node::engine::wal::entry::{Commit, ENTRY_BYTES_MAX, Entry};
use node::engine::wal::header::SegmentHeader;
use node::engine::wal::log::LogStart;
use node::engine::wal::names::{FileName, Lsn, SegmentNumber};
use node::engine::wal::recovery::{
    FoundFile, Recovery, RecoveryConfig, RecoveryError, RecoveryReport,
};
use proto::key::Key;
use proto::version::Version;

/// Recovers what `data` describes, in order and backwards.
///
/// # Panics
/// When the recovery does not end, hands on records out of order or twice, contradicts itself, or
/// does not come to the same a second time.
pub fn recovery(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let mut folder = Folder::built(1 + usize::from(flags & 3) % SEGMENTS_MAX);
    if flags & 8 == 0 {
        while !input.0.is_empty() {
            folder.change(&mut input);
        }
    } else {
        folder.fill(input.0, flags & 16 == 0);
    }
    let is_salvage = flags & 4 != 0;
    let once = folder.recover(is_salvage, false);
    let again = folder.recover(is_salvage, true);
    assert_eq!((&once.start, &once.puts), (&again.start, &again.puts));
    assert_eq!(once.report, again.report);
    once.check(&folder);
}

/// The fuzzer's bytes; zeros behind their end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// A number near the lsns of the log, or anything at all.
    fn lsn(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX - u64::from(self.byte()),
            254 => u64::from(self.byte()) << 56,
            near => u64::from(near),
        }
    }

    fn slice(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// The files of a shard.
struct Folder(Vec<File>);

struct File {
    header: SegmentHeader,
    bytes: Vec<u8>,
}

impl Folder {
    /// The first of the three segments of a log that was cut once.
    fn built(segments: usize) -> Self {
        let mut first = File::new(1, 1);
        let at = first.batch(BLOCK_BYTES, 1, 0, &[100, 5000]);
        let at = first.batch(at, 4, 3, &[0, 7, 8, 9]);
        let torn = at;
        let at = first.batch(at, 9, 8, &[300]);
        first.bytes[torn..torn + 512].fill(0);
        first.batch(at, 11, 8, &[40; 20]);
        let mut second = File::new(2, 40);
        let at = second.batch(BLOCK_BYTES, 40, 8, &[60]);
        second.batch(at, 42, 8, &[70]);
        let mut third = File::new(3, 9);
        let at = third.batch(BLOCK_BYTES, 9, 8, &[50, 4100]);
        let at = third.batch(at, 12, 11, &[20, 30]);
        third.batch(at, 15, 14, &[]);
        let mut all = vec![first, second, third];
        all.truncate(segments);
        Self(all)
    }

    /// The bytes as they are, one file behind the other; headers are kept when asked for.
    fn fill(&mut self, data: &[u8], keeps_headers: bool) {
        let share = data.len().div_ceil(self.0.len()).max(1);
        for (file, bytes) in self.0.iter_mut().zip(data.chunks(share)) {
            let kept = if keeps_headers { BLOCK_BYTES } else { 0 };
            file.bytes.truncate(kept);
            file.bytes.extend_from_slice(bytes);
        }
    }

    fn change(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let at = usize::from(kind >> 4) % self.0.len();
        let Some(file) = self.0.get_mut(at) else {
            return;
        };
        let place = input.short() * 8 % FILE_BYTES;
        match kind & 15 {
            0 => file.flip(place, input.byte()),
            1 => {
                let length = usize::from(input.byte()) % 32;
                file.write(place, input.slice(length));
            }
            2 => file.write(place, &vec![input.byte(); input.short() % FILE_BYTES]),
            3 => {
                let from = input.short() * 8 % FILE_BYTES;
                let end = from.saturating_add(input.short()).min(file.bytes.len());
                let copy = file.bytes.get(from..end).map(<[u8]>::to_vec);
                file.write(place, &copy.unwrap_or_default());
            }
            4 => file.commit(place, input),
            5 => {
                let (lsn, length) = (input.lsn(), input.short());
                file.put(place, lsn, length);
            }
            6 => file.bytes.resize(place + usize::from(input.byte()), 0),
            7 => file.change_header(input),
            8 => file.batch_of(place, input),
            _ => file.write(place, &[0; 512]),
        }
    }

    fn recover(&self, is_salvage: bool, is_backwards: bool) -> Outcome {
        let files: BTreeMap<FileName, &[u8]> = self.0.iter().map(File::named).collect();
        let found: Vec<FoundFile> = files
            .iter()
            .map(|(name, bytes)| FoundFile {
                name: *name,
                bytes: bytes.len() as u64,
            })
            .collect();
        let config = RecoveryConfig {
            node: NODE,
            shard: SHARD,
            is_salvage,
        };
        let mut recovery = Recovery::new(config, &found);
        let mut puts = Vec::new();
        for _ in 0..STEPS_MAX {
            if let Some(start) = recovery.poll_outcome() {
                let report = recovery.report().clone();
                return Outcome {
                    start,
                    puts,
                    report,
                };
            }
            let mut jobs: Vec<DiskJob> = std::iter::from_fn(|| recovery.poll_job()).collect();
            assert!(!jobs.is_empty(), "a recovery that has not ended reads");
            if is_backwards {
                jobs.reverse();
            }
            for job in jobs {
                let done = read(&files, job);
                recovery.handle_disk(done, |entry| {
                    puts.push(lsn_of(entry));
                    Ok(())
                });
            }
        }
        panic!("a recovery ends");
    }
}

impl File {
    fn new(number: u64, least: u64) -> Self {
        let header = SegmentHeader {
            node: NODE,
            shard: SHARD,
            number: SegmentNumber(number),
            salt: number << 32 | 7,
            least_lsn: Lsn(least),
            stamp_floor: 0,
            segment_bytes: u32::try_from(FILE_BYTES).expect("small"),
            is_recycled: false,
        };
        let mut file = Self {
            header,
            bytes: vec![0; FILE_BYTES],
        };
        file.write(0, header.encode().as_bytes());
        file
    }

    fn named(&self) -> (FileName, &[u8]) {
        (FileName::Segment(self.header.number), &self.bytes)
    }

    /// A batch of puts with values of these lengths; where it ends.
    fn batch(&mut self, at: usize, first: u64, durable: u64, lengths: &[usize]) -> usize {
        let mut body = Buffer::with_capacity(FILE_BYTES);
        for (lsn, length) in (first + 1..).zip(lengths) {
            let value = vec![1; *length];
            put(lsn, &value).encode(Lsn(lsn), self.header.salt, &mut body);
        }
        let mut batch = Buffer::with_capacity(FILE_BYTES);
        let bytes = (body.len() + 48).next_multiple_of(BLOCK_BYTES);
        let commit = Entry::Commit(Commit {
            durable: Lsn(durable),
            stamp: first << 16,
            batch_bytes: u32::try_from(bytes).expect("small"),
        });
        commit.encode(Lsn(first), self.header.salt, &mut batch);
        batch.extend(body.as_bytes());
        batch.pad();
        self.write(at, batch.as_bytes());
        at + bytes
    }

    fn batch_of(&mut self, place: usize, input: &mut Input<'_>) {
        let (first, durable) = (u64::from(input.byte()), input.lsn());
        let lengths = [usize::from(input.byte()); 3];
        let puts = usize::from(input.byte()) % 4;
        let at = place / BLOCK_BYTES * BLOCK_BYTES;
        self.batch(at, first, durable, &lengths[..puts]);
    }

    fn commit(&mut self, place: usize, input: &mut Input<'_>) {
        let mut record = Buffer::with_capacity(48);
        let lsn = input.lsn();
        let commit = Commit {
            durable: Lsn(input.lsn()),
            stamp: input.lsn(),
            batch_bytes: u32::from(input.byte()) << 12 | u32::from(input.byte() & 1),
        };
        Entry::Commit(commit).encode(Lsn(lsn), self.header.salt, &mut record);
        self.write(place, record.as_bytes());
    }

    fn put(&mut self, place: usize, lsn: u64, length: usize) {
        let mut record = Buffer::with_capacity(ENTRY_BYTES_MAX + 8);
        let value = vec![2; length % 9000];
        put(lsn, &value).encode(Lsn(lsn), self.header.salt, &mut record);
        self.write(place, record.as_bytes());
    }

    fn change_header(&mut self, input: &mut Input<'_>) {
        let header = &mut self.header;
        match input.byte() % 6 {
            0 => header.least_lsn = Lsn(input.lsn()),
            1 => header.is_recycled = !header.is_recycled,
            2 => header.segment_bytes = u32::try_from(input.short()).unwrap_or(0) << 3,
            3 => header.stamp_floor = input.lsn(),
            4 => header.salt = input.lsn(),
            _ => header.segment_bytes = u32::try_from(self.bytes.len()).unwrap_or(0),
        }
        let block = header.encode();
        self.write(0, block.as_bytes());
    }

    fn flip(&mut self, place: usize, bit: u8) {
        let place = place + usize::from(bit >> 3) % 8;
        if let Some(byte) = self.bytes.get_mut(place) {
            *byte ^= 1 << (bit & 7);
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let rest = self.bytes.get_mut(at..).unwrap_or(&mut []);
        for (place, byte) in rest.iter_mut().zip(bytes) {
            *place = *byte;
        }
    }
}

/// What came of a recovery.
struct Outcome {
    start: Result<LogStart, RecoveryError>,
    puts: Vec<u64>,
    report: RecoveryReport,
}

impl Outcome {
    fn check(&self, folder: &Folder) {
        assert!(self.puts.is_sorted_by(|a, b| a < b), "{:?}", self.puts);
        assert_eq!(self.report.records, self.puts.len() as u64);
        let bytes: u64 = folder.0.iter().map(|file| file.bytes.len() as u64).sum();
        assert!(self.report.bytes_read <= 3 * bytes, "{:?}", self.report);
        let Ok(start) = &self.start else {
            return;
        };
        let last = self.puts.last().copied().unwrap_or(0);
        assert!(last < start.next_lsn.0, "{start:?}");
        let ends = start.sealed.iter().flat_map(|it| [it.first, it.last]);
        let ends: Vec<Lsn> = ends.collect();
        assert!(ends.is_sorted(), "{start:?}");
        assert!(ends.last().is_none_or(|last| *last < start.next_lsn));
        for segment in &start.sealed {
            let name = FileName::Segment(segment.number);
            assert!(!start.leftovers.contains(&name), "{start:?}");
            assert!(segment.end <= segment.file_bytes, "{start:?}");
            assert!(segment.number < start.next_segment);
        }
    }
}

fn read(files: &BTreeMap<FileName, &[u8]>, job: DiskJob) -> DiskDone {
    let DiskOp::Read {
        file,
        offset,
        mut buffer,
    } = job.op
    else {
        panic!("a recovery writes nothing");
    };
    let from = usize::try_from(offset).expect("small");
    let rest = files.get(&file).and_then(|bytes| bytes.get(from..));
    let rest = rest.unwrap_or(&[]);
    let bytes = rest.len().min(buffer.len());
    buffer.as_mut_bytes()[..bytes].copy_from_slice(&rest[..bytes]);
    DiskDone {
        id: job.id,
        result: Ok(bytes as u64),
        buffer: Some(buffer),
    }
}

/// A put that says its lsn in its version, which only a record that was placed on purpose can.
fn put(lsn: u64, value: &[u8]) -> Entry<'_> {
    Entry::Put(Record {
        key: Key::from_bytes([3; 32]),
        version: Version {
            stamp: lsn,
            node: NODE,
        },
        expiry_ms: 0,
        value,
    })
}

fn lsn_of(entry: &Entry<'_>) -> u64 {
    match entry {
        Entry::Put(record) => record.version.stamp,
        Entry::Delete { .. } | Entry::Commit(_) => panic!("only puts were written: {entry:?}"),
    }
}

const NODE: u64 = 5;
const SHARD: u16 = 1;
const SEGMENTS_MAX: usize = 3;

/// Bytes of a segment: small, so that most changes hit something.
const FILE_BYTES: usize = 8 * BLOCK_BYTES;

/// Turns of the loop that a recovery of such files may take.
const STEPS_MAX: usize = 100;
