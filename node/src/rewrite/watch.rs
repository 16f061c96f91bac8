//! How far a rewrite is, told before every operation on the disk to whoever asked for it: a
//! terminal, `/readyz`, a signal that wants the work to end. Whoever is told may refuse; the work
//! then ends on the spot, and what lies on the disk is what a crash at that moment leaves.

use std::fmt;
use std::io;

use super::RewriteError;
use crate::engine::wal::recovery::RecoveryReport;

/// What a rewrite is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// Reading the old generation.
    #[default]
    Reading,
    /// Writing the new one.
    Writing,
    /// Reading the new one back.
    Checking,
    /// Making the new one the generation in use, and putting the old one away.
    Switching,
}

/// How far a rewrite is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Bytes read, of the old generation or of the new one.
    pub bytes_read: u64,
    /// Bytes to be read in all in this phase.
    pub bytes_total: u64,
    /// Puts and deletes read in this phase.
    pub records_read: u64,
    /// Records written so far.
    pub records_written: u64,
    /// Records to be written, once they are counted.
    pub records_total: u64,
    /// Operations on the disk so far, the next one included.
    pub operations: u64,
}

/// Tells somebody about a rewrite.
pub struct Watch<'a> {
    progress: Progress,
    /// What earlier shards of this phase add to a recovery's own figures.
    before: Progress,
    tell: &'a mut dyn FnMut(&Progress) -> io::Result<()>,
}

impl Phase {
    /// What it is called where people read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reading => "reading",
            Self::Writing => "writing",
            Self::Checking => "reading back",
            Self::Switching => "switching over",
        }
    }
}

/// In words, without a rate: that is for who knows the time.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.phase.word();
        match self.phase {
            Phase::Reading | Phase::Checking => {
                // First blocks are read twice; they are not among the total.
                let (read, total) = (self.bytes_read.min(self.bytes_total), self.bytes_total);
                let percent = read.saturating_mul(100).checked_div(total).unwrap_or(100);
                let (read, total) = (read / MEGABYTE, total / MEGABYTE);
                write!(f, "{word}, {percent} %, {read} of {total} MB, ")?;
                write!(f, "{} records", self.records_read)
            }
            Phase::Writing => {
                let (written, total) = (self.records_written, self.records_total);
                write!(f, "{word}, {written} of {total} records")
            }
            Phase::Switching => f.write_str(word),
        }
    }
}

impl<'a> Watch<'a> {
    /// Tells `tell`; an error of it ends the work.
    pub fn new(tell: &'a mut dyn FnMut(&Progress) -> io::Result<()>) -> Self {
        Self {
            progress: Progress::default(),
            before: Progress::default(),
            tell,
        }
    }

    /// Begins a phase in which `bytes_total` are read.
    pub fn begin(&mut self, phase: Phase, bytes_total: u64) {
        self.progress = Progress {
            phase,
            bytes_read: 0,
            bytes_total,
            records_read: 0,
            ..self.progress
        };
        self.before = self.progress;
    }

    /// How many records will be written.
    pub(crate) const fn expect_records(&mut self, records: u64) {
        self.progress.records_total = records;
    }

    /// Another record was written.
    pub(crate) const fn wrote_record(&mut self) {
        self.progress.records_written += 1;
    }

    /// The recovery of one more shard is so far.
    pub(crate) const fn is_reading(&mut self, report: &RecoveryReport) {
        self.progress.bytes_read = self.before.bytes_read + report.bytes_read;
        self.progress.records_read = self.before.records_read + report.records;
    }

    /// The recovery of a shard is at its end.
    pub(crate) const fn has_read(&mut self) {
        self.before = self.progress;
    }

    /// An operation on the disk follows.
    pub(crate) fn step(&mut self) -> Result<(), RewriteError> {
        self.progress.operations += 1;
        (self.tell)(&self.progress).map_err(RewriteError::Stopped)
    }
}

const MEGABYTE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        let reading = Progress {
            bytes_read: 30_000_000,
            bytes_total: 120_000_000,
            records_read: 7,
            ..Progress::default()
        };
        assert_eq!(
            reading.to_string(),
            "reading, 25 %, 30 of 120 MB, 7 records"
        );
        let writing = Progress {
            phase: Phase::Writing,
            records_written: 5,
            records_total: 9,
            ..Progress::default()
        };
        assert_eq!(writing.to_string(), "writing, 5 of 9 records");
    }
}
