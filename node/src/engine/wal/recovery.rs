//! Reading a shard's log at start: all records that count, in their order, or why the log cannot be
//! used. Reads every segment's first blocks, because where a later segment starts an earlier one
//! ends; then the segments whole, in their order. Writes nothing, so that a recovery that is
//! interrupted leaves the next one the same files.
//!
//! `intake` reads, `head` knows the first blocks, `walk` decides what counts in a `segment`.

mod head;
mod intake;
mod segment;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::VecDeque;

use thiserror::Error;

use self::head::Head;
use self::intake::Intake;
use self::walk::{Sink, Walk};
use super::buffer::BLOCK_BYTES;
use super::disk::{DiskDone, DiskError, DiskJob};
use super::entry::Entry;
use super::log::LogStart;
use super::names::{FileName, Lsn, SegmentNumber};

/// Reads all segments of a shard and hands every record that counts to a sink, in the order of
/// their lsns. Writes nothing.
///
/// Drain rule: [`Recovery::poll_job`] until `None`, carry the jobs out (in any order), hand each
/// end to [`Recovery::handle_disk`], and again, until [`Recovery::poll_outcome`] is `Some`.
#[derive(Debug)]
pub struct Recovery {
    config: RecoveryConfig,
    /// The segment files, in the order of their numbers.
    files: Vec<FoundFile>,
    /// Files that never hold a record that counts.
    fresh: Vec<FileName>,
    next_segment: SegmentNumber,
    intake: Intake,
    walk: Walk,
    stage: Stage,
    /// The file that comes next in this stage.
    next: usize,
    /// The files that are read in this stage.
    is_read: Vec<bool>,
    outcome: Option<Result<LogStart, RecoveryError>>,
}

/// What is being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The first blocks.
    Heads,
    /// Everything, for what commit records attest: a salvage wants to know it before it goes on
    /// behind a hole.
    Survey,
    /// Everything, for the records.
    Walk,
    /// Nothing: the outcome is known.
    Over,
}

/// What a recovery has to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryConfig {
    /// The high bits of the node's id.
    pub node: u64,
    /// The shard.
    pub shard: u16,
    /// Go on behind damaged ranges and report them, instead of refusing: for `wal salvage`.
    pub is_salvage: bool,
}

/// A file found in the shard's folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundFile {
    /// Its name.
    pub name: FileName,
    /// Its length in bytes.
    pub bytes: u64,
}

/// How far a recovery is, and what it has found at its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveryReport {
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes to be read in all.
    pub bytes_total: u64,
    /// Segments read.
    pub segments: u64,
    /// Records handed to the sink: puts and deletes.
    pub records: u64,
    /// Batches written but never acknowledged, behind the end of the log: cut off.
    pub torn_bytes: u64,
    /// Damaged ranges; empty unless it is a salvage.
    pub damage: Vec<DamagedRange>,
    /// Things that are not as they were written but lose nothing, such as one of two copies.
    pub warnings: Vec<String>,
}

/// A part of a segment that is not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRange {
    /// The segment.
    pub segment: SegmentNumber,
    /// First byte in the file.
    pub from: u64,
    /// First byte behind it.
    pub to: u64,
    /// The first lsn that is missing.
    pub first: Lsn,
    /// The last lsn that is missing.
    pub last: Lsn,
}

/// Why a log cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RecoveryError {
    /// Records that were acknowledged are damaged (the medium's fault).
    #[error(
        "segment {} is damaged from byte {} to {}: records {} to {} are lost; \
         `chordite wal salvage` keeps the others",
        .0.segment.0, .0.from, .0.to, .0.first, .0.last
    )]
    Damaged(DamagedRange),
    /// A segment is of another node or shard, or of a newer format (the operator's to mend).
    #[error("{file}: {reason}")]
    Foreign {
        /// The file.
        file: FileName,
        /// Why.
        reason: String,
    },
    /// A file cannot be read (the medium's fault).
    #[error("{file}: {error}; `chordite wal salvage` keeps what can be read")]
    Unreadable {
        /// The file.
        file: FileName,
        /// Why.
        error: DiskError,
    },
    /// What was read cannot be made durable (the medium's fault).
    #[error(
        "what was read of the log cannot be made durable: {reason}; mend the disk and start again"
    )]
    Unsettled {
        /// The system's words.
        reason: String,
    },
    /// The records do not fit the memory cap (the operator's to mend).
    #[error("the log holds more than memory_max allows: {reason}")]
    Memory {
        /// The store's words.
        reason: String,
    },
}

impl Recovery {
    /// A recovery of these files.
    #[must_use]
    pub fn new(config: RecoveryConfig, files: &[FoundFile]) -> Self {
        let is_segment = |file: &&FoundFile| matches!(file.name, FileName::Segment(_));
        let mut segments: Vec<FoundFile> = files.iter().filter(is_segment).copied().collect();
        segments.sort_by_key(|file| file.name);
        let fresh = files.iter().filter(|file| !is_segment(file));
        let mut fresh: Vec<FileName> = fresh.map(|file| file.name).collect();
        fresh.sort();
        let greatest = files.iter().map(|file| file.name.number()).max();
        let mut recovery = Self {
            intake: Intake::new(segments.clone(), config.is_salvage),
            walk: Walk::new(config.is_salvage),
            config,
            files: segments,
            fresh,
            next_segment: greatest.unwrap_or_default().next(),
            stage: Stage::Heads,
            next: 0,
            is_read: Vec::new(),
            outcome: None,
        };
        match recovery.check_files() {
            Ok(()) => recovery.begin(Stage::Heads),
            Err(error) => recovery.end(Err(error)),
        }
        // Without a file there is no job whose end would lead on.
        recovery.advance(&mut |_: &Entry<'_>| Ok(()));
        recovery
    }

    /// The next job: reads only.
    pub fn poll_job(&mut self) -> Option<DiskJob> {
        self.intake.poll_job()
    }

    /// The end of a job. `sink` gets every put and delete that counts, in the order of writing; an
    /// error of it ends the recovery as [`RecoveryError::Memory`].
    pub fn handle_disk(
        &mut self,
        done: DiskDone,
        mut sink: impl FnMut(&Entry<'_>) -> Result<(), String>,
    ) {
        if let Err(error) = self.intake.handle_disk(done) {
            self.end(Err(error));
        }
        self.walk.report.bytes_read = self.intake.bytes_read();
        while let Some((index, offset)) = self.intake.poll_unreadable() {
            let name = self.files.get(index).map(|file| file.name);
            if let Some(name) = name {
                let text = format!("{name}: the block at byte {offset} cannot be read");
                self.walk.warn(text);
            }
        }
        self.advance(&mut sink);
    }

    /// How far it is.
    #[must_use]
    pub fn report(&self) -> &RecoveryReport {
        &self.walk.report
    }

    /// The end, once; not before every job has ended.
    pub fn poll_outcome(&mut self) -> Option<Result<LogStart, RecoveryError>> {
        self.outcome.take_if(|_| self.intake.is_idle())
    }

    fn check_files(&self) -> Result<(), RecoveryError> {
        let foreign = |file: FileName, reason: String| RecoveryError::Foreign { file, reason };
        for file in &self.files {
            if file.bytes > FILE_BYTES_MAX {
                let reason = format!(
                    "the file has {} bytes, a segment has at most {FILE_BYTES_MAX}",
                    file.bytes
                );
                return Err(foreign(file.name, reason));
            }
        }
        let last = self.files.iter().map(|file| file.name);
        let mut last = last.chain(self.fresh.iter().copied());
        match last.find(|file| file.number() == self.next_segment) {
            Some(file) => Err(foreign(file, "no number is left behind it".to_owned())),
            None => Ok(()),
        }
    }

    /// Starts to read what a stage needs.
    fn begin(&mut self, stage: Stage) {
        self.stage = stage;
        self.next = 0;
        let lengths: Vec<(usize, u64)> = if stage == Stage::Heads {
            let heads = self.files.iter().enumerate();
            heads
                .map(|(index, file)| (index, file.bytes.min(HEAD_BYTES)))
                .filter(|(_, bytes)| *bytes > 0)
                .collect()
        } else {
            self.walk.lengths().collect()
        };
        self.is_read = vec![false; self.files.len()];
        let mut wanted = VecDeque::new();
        for (index, bytes) in lengths {
            if let Some(is_read) = self.is_read.get_mut(index) {
                *is_read = true;
            }
            self.walk.report.bytes_total += bytes;
            wanted.push_back((index, usize::try_from(bytes).unwrap_or(0)));
        }
        let at_once = if stage == Stage::Heads {
            HEADS_AT_ONCE
        } else {
            SEGMENTS_AT_ONCE
        };
        self.intake.start(wanted, at_once);
    }

    /// Uses what has been read, as far as it goes.
    fn advance(&mut self, sink: &mut impl Sink) {
        while self.stage != Stage::Over {
            let index = self.next;
            let Some(is_read) = self.is_read.get(index).copied() else {
                self.turn();
                continue;
            };
            let mut bytes = Vec::new();
            if is_read {
                match self.intake.poll_file() {
                    Some((_, read)) => bytes = read,
                    None => return,
                }
            }
            self.next += 1;
            let result = self.take(index, is_read, &bytes, sink);
            self.intake.recycle(bytes);
            if let Err(error) = result {
                self.end(Err(error));
            }
        }
    }

    /// Uses a file of this stage.
    fn take(
        &mut self,
        index: usize,
        is_read: bool,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), RecoveryError> {
        match (self.stage, is_read) {
            (Stage::Heads, _) => {
                if let Some(file) = self.files.get(index) {
                    let warnings = &mut self.walk.report.warnings;
                    let head = Head::read(&self.config, *file, bytes, warnings)?;
                    self.walk.add(head);
                }
                Ok(())
            }
            (Stage::Survey, true) => {
                self.walk.survey(index, bytes);
                Ok(())
            }
            (Stage::Walk, true) => self.walk.read(index, bytes, sink),
            (Stage::Walk, false) => self.walk.pass(index),
            (Stage::Survey, false) | (Stage::Over, _) => Ok(()),
        }
    }

    /// All files of a stage are through.
    fn turn(&mut self) {
        match self.stage {
            Stage::Heads => {
                self.walk.set_limits();
                self.begin(if self.config.is_salvage {
                    Stage::Survey
                } else {
                    Stage::Walk
                });
            }
            Stage::Survey => self.begin(Stage::Walk),
            Stage::Walk => {
                let start = self.walk.finish().map(|mut start| {
                    start.next_segment = self.next_segment;
                    start.leftovers.extend(&self.fresh);
                    start
                });
                self.end(start);
            }
            Stage::Over => {}
        }
    }

    fn end(&mut self, outcome: Result<LogStart, RecoveryError>) {
        self.stage = Stage::Over;
        self.intake.stop();
        self.outcome.get_or_insert(outcome);
    }
}

/// Bytes of the header and of the block behind it, where the first batch starts.
const HEAD_BYTES: u64 = 2 * BLOCK_BYTES as u64;

/// Files whose first blocks are read at once.
const HEADS_AT_ONCE: usize = 8;

/// Segments in memory: the one that is walked and the next.
const SEGMENTS_AT_ONCE: usize = 2;

/// Longest file that is taken for a segment: settings allow 256 MiB.
const FILE_BYTES_MAX: u64 = 1 << 30;
