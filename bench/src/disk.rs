//! The disk's own limit: a program that writes batches as the log does and does nothing else.
//!
//! It takes its batches from memory, keeps a few in flight and writes them one behind the other to
//! segments that were written once before, past the page cache and durable when the write returns
//! (O_DIRECT and O_DSYNC, PERFORMANCE.md). It packs no records and checks no sums: what the node
//! needs beyond this is what its log costs over the disk.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use monoio::buf::IoBuf;
use monoio::{FusionDriver, RuntimeBuilder};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::echo::{RING_ENTRIES, uring};
use crate::stats;
use crate::usage::Cpu;

/// What the program is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskWork {
    /// Where its segments are; made when they are missing, used again when they are there.
    pub folder: PathBuf,
    /// Records of a batch.
    pub batch_records: u32,
    /// Bytes of a record.
    pub record_bytes: u32,
    /// Batches in flight.
    pub in_flight: u32,
    /// For how long.
    pub length: Duration,
}

/// What it did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DiskOutcome {
    /// Batches that were durable.
    pub commits: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of a batch as it is written.
    pub batch_bytes: u64,
    /// Seconds it took.
    pub wall_s: f64,
    /// Records a second.
    pub records_per_s: f64,
    /// Batches a second.
    pub commits_per_s: f64,
    /// Median time of a write in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the same.
    pub p99_us: f64,
    /// Processor time of this process in seconds, user and system.
    pub cpu_s: f64,
    /// Whether the page cache was passed by; a file system may refuse that.
    pub is_direct: bool,
    /// Whether the writes went through io_uring; otherwise none of them overlap.
    pub is_uring: bool,
}

/// Runs the program to its end.
///
/// # Errors
/// When the folder or the disk does not do what it should.
pub fn run(work: &DiskWork) -> io::Result<DiskOutcome> {
    let batch_bytes = batch_bytes(work.batch_records, work.record_bytes)?;
    std::fs::create_dir_all(&work.folder)?;
    let (files, is_direct) = segments(&work.folder)?;
    let mut runtime = RuntimeBuilder::<FusionDriver>::new()
        .with_entries(RING_ENTRIES)
        .uring_builder(uring())
        .enable_timer()
        .build()?;
    runtime.block_on(async {
        let files = files.into_iter().map(monoio::fs::File::from_std);
        let track = Rc::new(Track {
            files: files.collect::<io::Result<_>>()?,
            batch_bytes,
            next: Cell::new((0, BLOCK_BYTES)),
            end: Cell::new(Instant::now() + work.length),
            took_us: RefCell::default(),
        });
        let before = Cpu::of(std::process::id())?;
        let start = Instant::now();
        let writers = (0..work.in_flight).map(|_| monoio::spawn(write(Rc::clone(&track))));
        for writer in writers.collect::<Vec<_>>() {
            writer.await?;
        }
        let wall_s = start.elapsed().as_secs_f64();
        let cpu = Cpu::of(std::process::id())?.since(&before);
        let mut took_us = track.took_us.take();
        took_us.sort_by(f64::total_cmp);
        let commits = took_us.len() as u64;
        let records = commits * u64::from(work.batch_records);
        Ok(DiskOutcome {
            commits,
            records,
            batch_bytes,
            wall_s,
            records_per_s: records as f64 / wall_s,
            commits_per_s: commits as f64 / wall_s,
            p50_us: stats::quantile(&took_us, 0.5),
            p99_us: stats::quantile(&took_us, 0.99),
            cpu_s: cpu.as_secs_f64(),
            is_direct,
            is_uring: monoio::utils::detect_uring(),
        })
    })
}

/// What all writers share.
struct Track {
    files: Vec<monoio::fs::File>,
    batch_bytes: u64,
    /// Segment and offset of the next batch.
    next: Cell<(usize, u64)>,
    end: Cell<Instant>,
    took_us: RefCell<Vec<f64>>,
}

impl Track {
    /// Where the next batch goes: behind the one before, in the next segment when it does not fit.
    fn advance(&self) -> (&monoio::fs::File, u64) {
        let (mut segment, mut offset) = self.next.get();
        if offset + self.batch_bytes > SEGMENT_BYTES {
            (segment, offset) = ((segment + 1) % self.files.len(), BLOCK_BYTES);
        }
        self.next.set((segment, offset + self.batch_bytes));
        (&self.files[segment], offset)
    }
}

/// One batch after the other: as many of these run as batches are to be in flight.
async fn write(track: Rc<Track>) -> io::Result<()> {
    let mut batch = Batch::new(track.batch_bytes as usize);
    while Instant::now() < track.end.get() {
        let (file, offset) = track.advance();
        let (start, length) = (batch.start, track.batch_bytes as usize);
        let began = Instant::now();
        let (written, slice) = file
            .write_at(batch.memory.slice(start..start + length), offset)
            .await;
        batch.memory = slice.into_inner();
        if written? != length {
            return Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "the disk took a part of a batch",
            ));
        }
        let took_us = began.elapsed().as_secs_f64() * 1e6;
        track.took_us.borrow_mut().push(took_us);
    }
    Ok(())
}

/// Bytes in memory that start on a block boundary.
struct Batch {
    memory: Vec<u8>,
    start: usize,
}

impl Batch {
    fn new(bytes: usize) -> Self {
        let memory = vec![FILLER; bytes + BLOCK_BYTES as usize];
        // The memory of a vector that does not grow never moves.
        let start = memory.as_ptr().align_offset(BLOCK_BYTES as usize);
        Self { memory, start }
    }
}

/// What a batch of the log takes: its commit record, the records, and zeros to the block's end.
fn batch_bytes(records: u32, record_bytes: u32) -> io::Result<u64> {
    let bytes = COMMIT_BYTES + u64::from(records) * u64::from(record_bytes);
    let bytes = bytes.next_multiple_of(BLOCK_BYTES);
    let fits = records > 0 && record_bytes > 0 && bytes <= SEGMENT_BYTES - BLOCK_BYTES;
    let refusal = || io::Error::other(format!("a batch of {bytes} bytes is none"));
    fits.then_some(bytes).ok_or_else(refusal)
}

/// Opens the segments, every block of them written before, and says whether past the page cache.
fn segments(folder: &Path) -> io::Result<(Vec<File>, bool)> {
    let mut files = Vec::new();
    let mut is_direct = true;
    for number in 0..SEGMENTS {
        let path = folder.join(format!("{number}.segment"));
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        if file.metadata()?.len() != SEGMENT_BYTES {
            file.set_len(0)?;
            let zeros = vec![0; 1024 * 1024];
            for _ in 0..SEGMENT_BYTES / zeros.len() as u64 {
                file.write_all(&zeros)?;
            }
        }
        file.sync_all()?;
        let durable = |flags: OFlags| {
            let flags = i32::try_from(flags.bits()).unwrap_or_default();
            let mut options = OpenOptions::new();
            options.write(true).custom_flags(flags).open(&path)
        };
        files.push(match durable(OFlags::DIRECT | OFlags::DSYNC) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                is_direct = false;
                durable(OFlags::DSYNC)?
            }
            opened => opened?,
        });
    }
    Ok((files, is_direct))
}

/// As in the log: the unit of writes, and bytes of a commit record and a segment.
const BLOCK_BYTES: u64 = 4096;
const COMMIT_BYTES: u64 = 48;
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;

/// Written in turn.
const SEGMENTS: u32 = 2;

/// What batches are full of: not zeros, which a disk may treat in its own way.
const FILLER: u8 = 0xa5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_on_a_block() {
        assert_eq!(batch_bytes(1, 256).unwrap(), 4096);
        assert_eq!(batch_bytes(15, 256).unwrap(), 4096);
        assert_eq!(batch_bytes(16, 256).unwrap(), 8192);
        assert!(batch_bytes(0, 256).is_err() && batch_bytes(u32::MAX, 256).is_err());
    }

    #[test]
    fn batches_lie_behind_each_other_in_written_segments() {
        let folder = tempfile::tempdir().unwrap();
        let work = DiskWork {
            folder: folder.path().to_owned(),
            batch_records: 100,
            record_bytes: 256,
            in_flight: 4,
            length: Duration::from_millis(50),
        };
        let outcome = run(&work).unwrap();
        assert_eq!(outcome.batch_bytes, 28_672);
        assert!(outcome.commits >= 4, "{outcome:?}");
        assert_eq!(outcome.records, outcome.commits * 100);
        assert!(outcome.p50_us > 0.0 && outcome.p99_us >= outcome.p50_us);
        let segment = std::fs::read(folder.path().join("0.segment")).unwrap();
        let per_segment = (SEGMENT_BYTES - BLOCK_BYTES) / outcome.batch_bytes;
        let written = outcome.commits.min(per_segment) * outcome.batch_bytes;
        let (head, rest) = segment.split_at(BLOCK_BYTES as usize);
        let (batches, _) = rest.split_at(written as usize);
        assert!(head.iter().all(|byte| *byte == 0));
        assert!(batches.iter().all(|byte| *byte == FILLER));
        assert_eq!(segment.len() as u64, SEGMENT_BYTES);
    }
}
