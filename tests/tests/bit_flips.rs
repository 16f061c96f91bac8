//! Every single bit of a full segment, as a log has written it, is turned over, one at a time: the
//! recovery refuses and names a range with the byte in it, or warns; it never hands on a wrong
//! value and never drops a record in silence. A salvage keeps every record outside of the range.

use std::ops::Range;
use std::thread;
use std::time::Instant;

use harness::log_oracle::Oracle;
use harness::log_script::Action;
use harness::sim_disk::SimDisk;
use harness::sim_disk::crash::CrashChoice;
use harness::sim_shard::SimShard;
use node::engine::wal::buffer::BLOCK_BYTES;
use node::engine::wal::disk::{DiskDone, DiskOp};
use node::engine::wal::entry::Entry;
use node::engine::wal::header::SegmentHeader;
use node::engine::wal::names::{FileName, Lsn, SegmentNumber};
use node::engine::wal::reader::{Piece, Reader};
use node::engine::wal::recovery::{
    DamagedRange, FoundFile, Recovery, RecoveryConfig, RecoveryError, RecoveryReport,
};
use node::engine::wal::settings::{LogConfig, SEGMENT_BYTES_MIN, SyncPolicy};
use proto::time::Now;

#[test]
fn every_flipped_bit_is_noticed() {
    let log = Written::by_a_shard();
    let bits = log.files[0].1.len() * 8;
    assert_eq!(bits, 524_288);
    let (started, threads) = (
        Instant::now(),
        thread::available_parallelism().map_or(2, usize::from),
    );
    let share = bits.div_ceil(threads);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let spawn = |part: usize| {
            let log = &log;
            scope.spawn(move || log.flip_all(part * share..((part + 1) * share).min(bits)))
        };
        let parts: Vec<_> = (0..threads).map(spawn).collect();
        parts
            .into_iter()
            .map(|part| part.join().expect("no flip panics"))
            .collect()
    });
    let mut sum = Tally::default();
    for tally in tallies {
        sum.refused += tally.refused;
        sum.warned += tally.warned;
        sum.lost_most = sum.lost_most.max(tally.lost_most);
        sum.wrong.extend(tally.wrong);
    }
    println!(
        "{bits} bits of {} records in {:.1?}: {} refused, {} warned of",
        log.placed.len(),
        started.elapsed(),
        sum.refused,
        sum.warned,
    );
    println!("a salvage loses {} records at most", sum.lost_most);
    let first = sum.wrong.iter().take(5).map(String::as_str);
    let first = first.collect::<Vec<_>>().join("\n");
    assert!(sum.wrong.is_empty(), "{} bits:\n{first}", sum.wrong.len());
    assert!(sum.refused > 0 && sum.warned > 0);
    assert_eq!(sum.refused + sum.warned, bits as u64);
}

/// A log of two segments: the first is full, and the second attests all of it.
struct Written {
    files: Vec<(FileName, Vec<u8>)>,
    /// What a recovery hands on, in its order.
    records: Vec<Handed>,
    /// The records of the first segment: where they lie, and the lsn of each.
    placed: Vec<(Range<u64>, Lsn)>,
    report: RecoveryReport,
}

/// A record as the sink gets it: the lsn is not among what it sees, the version is unique.
type Handed = (u64, Vec<u8>);

#[derive(Default)]
struct Tally {
    refused: u64,
    warned: u64,
    lost_most: usize,
    wrong: Vec<String>,
}

struct Outcome {
    end: Result<(), RecoveryError>,
    records: Vec<Handed>,
    report: RecoveryReport,
}

impl Written {
    fn by_a_shard() -> Self {
        let config = LogConfig {
            node: 7,
            shard: 3,
            segment_bytes: SEGMENT_BYTES_MIN,
            sync: SyncPolicy::Always,
            space_percent: 100_000,
            seed: 5,
        };
        let now = Now::at_ms(1_000_000_000);
        let mut shard = SimShard::start(config, SimDisk::new(1), Oracle::new(true), now, 1);
        shard.recover(&mut |_| Ok(())).expect("an empty folder");
        let act = |shard: &mut SimShard, action| {
            shard.act(&action, &mut |_| Ok(())).expect("nothing fails");
        };
        // Batches of one record and of many, tombstones among them, until another segment is begun.
        for key in 0..200 {
            if shard.report().expect("it is open").segments > 2 {
                break;
            }
            act(
                &mut shard,
                Action::Put {
                    key,
                    bytes: 10 + usize::from(key) * 97 % 2_500,
                    ttl_s: 9_999,
                },
            );
            if key % 9 == 8 {
                act(&mut shard, Action::Delete { key: key - 4 });
            }
        }
        act(&mut shard, Action::Settle);
        act(&mut shard, Action::Rest { ms: 30 });
        act(&mut shard, Action::Settle);
        let image = shard.disk.crash(&CrashChoice::default());
        let files = [1, 2].map(|number| FileName::Segment(SegmentNumber(number)));
        let files = files.map(|name| (name, image.content(name)));
        let mut log = Self {
            files: files.into(),
            records: Vec::new(),
            placed: Vec::new(),
            report: RecoveryReport::default(),
        };
        log.look();
        log
    }

    /// Notes how the log is when nothing is wrong with it.
    fn look(&mut self) {
        let first = &self.files[0].1;
        let header = SegmentHeader::decode(&first[..BLOCK_BYTES])
            .expect("a header")
            .header;
        self.placed = Reader::new(first, header.salt)
            .filter_map(|piece| match piece {
                Piece::Entry { offset, placed } => {
                    Some((offset..offset + placed.bytes as u64, placed.lsn))
                }
                Piece::Damage(_) | Piece::End(_) => None,
            })
            .collect();
        let outcome = self.recover(first, false, &mut Vec::new());
        outcome.end.expect("it is whole");
        assert_eq!(
            outcome.report.torn_bytes, 0,
            "the second segment attests the first"
        );
        assert!(
            outcome.report.warnings.is_empty(),
            "{:?}",
            outcome.report.warnings
        );
        (self.records, self.report) = (outcome.records, outcome.report);
    }

    fn flip_all(&self, bits: Range<usize>) -> Tally {
        let (mut tally, mut memory) = (Tally::default(), Vec::new());
        let mut first = self.files[0].1.clone();
        for bit in bits {
            first[bit / 8] ^= 1 << (bit % 8);
            let outcome = self.recover(&first, false, &mut memory);
            let judged = self.judge(bit as u64 / 8, &outcome, &mut tally);
            memory = outcome.records;
            let salvaged = self.recover(&first, true, &mut memory);
            let kept =
                judged.and_then(|()| self.judge_salvage(bit as u64 / 8, &salvaged, &mut tally));
            memory = salvaged.records;
            if let Err(why) = kept {
                tally
                    .wrong
                    .push(format!("byte {} bit {}: {why}", bit / 8, bit % 8));
            }
            first[bit / 8] ^= 1 << (bit % 8);
        }
        tally
    }

    fn judge(&self, byte: u64, outcome: &Outcome, tally: &mut Tally) -> Result<(), String> {
        match &outcome.end {
            Ok(()) => {
                tally.warned += 1;
                if outcome.records != self.records {
                    return Err("records are missing, or are not what was written".to_owned());
                }
                let is_noticed = outcome.report.warnings.len() > self.report.warnings.len()
                    || outcome.report.torn_bytes > self.report.torn_bytes;
                is_noticed.then_some(()).ok_or("nobody notices".to_owned())
            }
            Err(RecoveryError::Damaged(range)) => {
                tally.refused += 1;
                if !self.records.starts_with(&outcome.records) {
                    return Err("a record is not what was written".to_owned());
                }
                names(range, byte)
                    .then_some(())
                    .ok_or(format!("the range is {range:?}"))
            }
            Err(other) => Err(other.to_string()),
        }
    }

    /// What a salvage keeps: all but what lies in a range that contains the byte.
    fn judge_salvage(&self, byte: u64, outcome: &Outcome, tally: &mut Tally) -> Result<(), String> {
        if let Err(error) = &outcome.end {
            return Err(format!("the salvage fails: {error}"));
        }
        let mut kept = outcome.records.iter().peekable();
        let mut lost = 0;
        for record in &self.records {
            if kept.next_if_eq(&record).is_none() {
                lost += 1;
            }
        }
        if let Some(other) = kept.next() {
            return Err(format!("the salvage invents {other:?}"));
        }
        let is_damaged = |at: &Range<u64>| {
            let mut ranges = outcome.report.damage.iter();
            ranges.any(|range| names(range, byte) && range.from < at.end && at.start < range.to)
        };
        let damaged = self.placed.iter().filter(|(at, _)| is_damaged(at)).count();
        tally.lost_most = tally.lost_most.max(lost);
        if lost > damaged {
            return Err(format!(
                "the salvage loses {lost} records, {damaged} are damaged"
            ));
        }
        Ok(())
    }

    /// Recovers with these bytes for the first segment.
    fn recover(&self, first: &[u8], is_salvage: bool, memory: &mut Vec<Handed>) -> Outcome {
        let config = RecoveryConfig {
            node: 7,
            shard: 3,
            is_salvage,
        };
        let found = |(name, bytes): &(FileName, Vec<u8>)| FoundFile {
            name: *name,
            bytes: bytes.len() as u64,
        };
        let files: Vec<FoundFile> = self.files.iter().map(found).collect();
        let mut recovery = Recovery::new(config, &files);
        let mut records = std::mem::take(memory);
        let mut count = 0;
        loop {
            if let Some(end) = recovery.poll_outcome() {
                records.truncate(count);
                let report = recovery.report().clone();
                return Outcome {
                    end: end.map(drop),
                    records,
                    report,
                };
            }
            let job = recovery
                .poll_job()
                .expect("a recovery that has not ended reads");
            let DiskOp::Read {
                file,
                offset,
                mut buffer,
            } = job.op
            else {
                panic!("a recovery only reads");
            };
            let bytes = if file == self.files[0].0 {
                first
            } else {
                &self.files[1].1
            };
            let rest = &bytes[usize::try_from(offset).expect("within a file")..];
            let read = rest.len().min(buffer.len());
            buffer.as_mut_bytes()[..read].copy_from_slice(&rest[..read]);
            let done = DiskDone {
                id: job.id,
                result: Ok(read as u64),
                buffer: Some(buffer),
            };
            recovery.handle_disk(done, |entry| {
                hand(&mut records, count, entry);
                count += 1;
                Ok(())
            });
        }
    }
}

/// Writes down what was handed on, over what an earlier recovery left there.
fn hand(records: &mut Vec<Handed>, at: usize, entry: &Entry<'_>) {
    if at == records.len() {
        records.push(Handed::default());
    }
    let (stamp, bytes) = &mut records[at];
    bytes.clear();
    match entry {
        Entry::Put(record) => {
            *stamp = record.version.stamp;
            bytes.extend_from_slice(record.key.as_bytes());
            bytes.extend_from_slice(&record.expiry_ms.to_le_bytes());
            bytes.extend_from_slice(record.value);
        }
        Entry::Delete { key, version } => {
            *stamp = version.stamp;
            bytes.extend_from_slice(key.as_bytes());
        }
        Entry::Commit(_) => panic!("a commit record is not handed on"),
    }
}

fn names(range: &DamagedRange, byte: u64) -> bool {
    range.segment == SegmentNumber(1) && (range.from..range.to).contains(&byte)
}
