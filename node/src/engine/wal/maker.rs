//! Makes segments ahead of need and disposes of those that are no longer needed, one step at a
//! time: a name counts only when the file behind it is whole, and no file goes before the one whose
//! records it supersedes has gone for good.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use proto::planted::{self, Bug};

use super::buffer::BLOCK_BYTES;
use super::disk::{DiskError, DiskErrorKind, DiskOp};
use super::header::SegmentHeader;
use super::names::{FileName, SegmentNumber};

/// Bytes zeroed by one job.
const ZERO_BYTES: u64 = 1 << 20;

/// Pause before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// How often a step that was interrupted is tried, in all.
const ATTEMPTS_MAX: u8 = 3;

/// A segment that is to be used: what its batches must know before the file is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) number: SegmentNumber,
    pub(super) salt: u64,
}

/// What is made and disposed of.
#[derive(Debug)]
pub(super) struct Maker {
    step: Step,
    is_under_way: bool,
    attempts: u8,
    /// Segments whose records are all elsewhere, oldest first, and whether they may be made anew.
    /// They go in this order: one that came back after a crash without its successor would be
    /// missed.
    free: VecDeque<(FileName, bool)>,
    /// Files that hold nothing and are removed.
    rubbish: VecDeque<FileName>,
}

/// The job under way or the next one. A making ends with `NamingSync`, a removal with `GoneSync`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The folder's sync at the start: a file whose removal is not durable could come back after
    /// one that superseded it is gone.
    Settling,
    Rest,
    Creating(Plan),
    Zeroing(Plan, u64),
    Renaming(Plan, FileName),
    RenamingSync(Plan),
    Heading(Plan, bool),
    Syncing(Plan),
    Naming(Plan),
    NamingSync(Plan),
    Giving(Plan),
    Pausing(Plan, Duration),
    Removing(FileName),
    GoneSync(FileName),
}

/// What the end of a job means for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Made {
    /// Nothing yet.
    Nothing,
    /// The segment may be used.
    Segment(SegmentNumber),
    /// There is no room; tried again after a pause.
    Full(String),
    /// The medium has failed.
    Broken(String),
}

/// What a header needs to know when it is written.
pub(super) type HeaderOf<'a> = &'a dyn Fn(Plan, bool) -> SegmentHeader;

impl Maker {
    /// A maker that removes `rubbish` when it finds the time.
    pub(super) fn new(rubbish: impl IntoIterator<Item = FileName>) -> Self {
        // The newest first: an older one may be what shows that nothing in a newer one counts.
        let mut rubbish: Vec<FileName> = rubbish.into_iter().collect();
        rubbish.sort_by_key(|file| Reverse(file.number()));
        Self {
            step: Step::Settling,
            is_under_way: false,
            attempts: 0,
            free: VecDeque::new(),
            rubbish: rubbish.into(),
        }
    }

    /// Takes over a segment whose records are all durable elsewhere; `is_of_use` when it may be
    /// made anew.
    pub(super) fn dispose(&mut self, file: FileName, is_of_use: bool) {
        self.free.push_back((file, is_of_use));
    }

    /// Segments that were disposed of and are not gone yet.
    pub(super) fn free_len(&self) -> u64 {
        let is_going = match self.step {
            Step::Removing(file) | Step::GoneSync(file) => matches!(file, FileName::Segment(_)),
            _ => false,
        };
        self.free.len() as u64 + u64::from(is_going)
    }

    /// Whether the names that were there at the start are durable.
    pub(super) fn is_settled(&self) -> bool {
        self.step != Step::Settling
    }

    /// Starts to make `plan` unless something else is being done. Rubbish goes before a segment is
    /// made anew: what a crash has torn is told from damage by the records before it, so these stay
    /// until it is gone.
    pub(super) fn make(&mut self, plan: Plan) {
        if self.step != Step::Rest {
            return;
        }
        if let (Some(rubbish), true) = (self.rubbish.front(), self.has_free()) {
            self.step = Step::Removing(*rubbish);
            self.rubbish.pop_front();
            return;
        }
        self.step = match self.free.pop_front() {
            Some((file, true)) => Step::Renaming(plan, file),
            Some((file, false)) => Step::Removing(file),
            None => Step::Creating(plan),
        };
    }

    /// Whether a segment could be made out of one that is no longer needed.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether nothing is being made or removed.
    pub(super) fn is_at_rest(&self) -> bool {
        self.step == Step::Rest
    }

    /// Removes what is not needed when there is nothing to make.
    pub(super) fn tidy(&mut self) {
        if self.step == Step::Rest
            && let Some(file) = self
                .rubbish
                .pop_front()
                .or_else(|| self.free.pop_front().map(|(file, _)| file))
        {
            self.step = Step::Removing(file);
        }
    }

    /// When a pause is over.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match self.step {
            Step::Pausing(_, until) => Some(until),
            _ => None,
        }
    }

    /// The next job; `segment_bytes` is the length of what is made.
    pub(super) fn poll_op(
        &mut self,
        segment_bytes: u64,
        header: HeaderOf<'_>,
        now: Duration,
    ) -> Option<DiskOp> {
        if self.is_under_way {
            return None;
        }
        self.end_pause(now);
        let fresh = |plan: Plan| FileName::Fresh(plan.number);
        let op = match self.step {
            Step::Rest | Step::Pausing(..) => return None,
            Step::Creating(plan) => DiskOp::Create { file: fresh(plan) },
            Step::Zeroing(plan, offset) => DiskOp::Zero {
                file: fresh(plan),
                offset,
                bytes: ZERO_BYTES.min(segment_bytes - offset),
            },
            Step::Renaming(plan, from) => DiskOp::Rename {
                from,
                to: fresh(plan),
            },
            Step::Heading(plan, is_recycled) => DiskOp::Write {
                file: fresh(plan),
                offset: 0,
                buffer: header(plan, is_recycled).encode(),
                is_durable: false,
            },
            Step::Syncing(plan) => DiskOp::Sync { file: fresh(plan) },
            Step::Naming(plan) => DiskOp::Rename {
                from: fresh(plan),
                to: FileName::Segment(plan.number),
            },
            Step::Settling | Step::RenamingSync(_) | Step::NamingSync(_) | Step::GoneSync(_) => {
                DiskOp::SyncFolder
            }
            Step::Giving(plan) => DiskOp::Remove { file: fresh(plan) },
            Step::Removing(file) => DiskOp::Remove { file },
        };
        self.is_under_way = true;
        Some(op)
    }

    /// The end of the job.
    pub(super) fn handle_done(
        &mut self,
        result: &Result<u64, DiskError>,
        segment_bytes: u64,
        now: Duration,
    ) -> Made {
        self.is_under_way = false;
        match result {
            Ok(bytes) => {
                let before = self.step;
                let made = self.advance(*bytes, segment_bytes, now);
                if self.step != before {
                    self.attempts = 0;
                    return made;
                }
                self.try_again(&format!("a write ended after {bytes} bytes"))
            }
            Err(error) if error.kind == DiskErrorKind::Interrupted => self.try_again(&error.reason),
            Err(error) => self.fail(error, now),
        }
    }

    fn advance(&mut self, bytes: u64, segment_bytes: u64, now: Duration) -> Made {
        self.step = match self.step {
            Step::Rest | Step::Pausing(..) => self.step,
            Step::Creating(plan) => Step::Zeroing(plan, 0),
            Step::Zeroing(plan, offset) => {
                let block = BLOCK_BYTES as u64;
                let offset = offset + bytes.min(ZERO_BYTES) / block * block;
                if offset < segment_bytes {
                    Step::Zeroing(plan, offset)
                } else {
                    Step::Heading(plan, false)
                }
            }
            Step::Renaming(plan, _) => Step::RenamingSync(plan),
            Step::RenamingSync(plan) => Step::Heading(plan, true),
            Step::Heading(plan, _) if bytes == BLOCK_BYTES as u64 => Step::Syncing(plan),
            Step::Heading(..) => self.step,
            Step::Syncing(plan) => Step::Naming(plan),
            Step::Naming(plan) if planted::is(Bug::NoFolderSync) => {
                self.step = Step::Rest;
                return Made::Segment(plan.number);
            }
            Step::Naming(plan) => Step::NamingSync(plan),
            Step::NamingSync(plan) => {
                self.step = Step::Rest;
                return Made::Segment(plan.number);
            }
            Step::Giving(plan) => Step::Pausing(plan, now + FULL_PAUSE),
            Step::Removing(file) => Step::GoneSync(file),
            Step::Settling | Step::GoneSync(_) => Step::Rest,
        };
        Made::Nothing
    }

    /// A pause ends with its time, or when something can be removed or made anew.
    fn end_pause(&mut self, now: Duration) {
        let Step::Pausing(plan, until) = self.step else {
            return;
        };
        if let Some(file) = self.rubbish.pop_front() {
            self.step = Step::Removing(file);
        } else if until <= now || self.has_free() {
            self.step = Step::Rest;
            self.make(plan);
        }
    }

    fn try_again(&mut self, reason: &str) -> Made {
        self.attempts += 1;
        if self.attempts < ATTEMPTS_MAX {
            return Made::Nothing;
        }
        Made::Broken(format!("{reason}, {ATTEMPTS_MAX} times"))
    }

    /// What a failed job leads to. A file that could not be made for want of room is removed, which
    /// gives others room; so no sync that failed is ever tried again on the same file.
    fn fail(&mut self, error: &DiskError, now: Duration) -> Made {
        self.attempts = 0;
        let is_full = error.kind == DiskErrorKind::Full;
        self.step = match self.step {
            Step::Giving(plan) => {
                self.step = Step::Pausing(plan, now + FULL_PAUSE);
                return Made::Nothing;
            }
            Step::Creating(plan) if is_full => Step::Pausing(plan, now + FULL_PAUSE),
            Step::Renaming(plan, from) if is_full => {
                self.free.push_front((from, false));
                Step::Pausing(plan, now + FULL_PAUSE)
            }
            Step::Zeroing(plan, _)
            | Step::Heading(plan, _)
            | Step::Syncing(plan)
            | Step::Naming(plan)
                if is_full =>
            {
                Step::Giving(plan)
            }
            Step::Syncing(_) if planted::is(Bug::SyncRetried) => return Made::Nothing,
            _ => return Made::Broken(error.reason.clone()),
        };
        Made::Full(error.reason.clone())
    }
}
