//! Syncs of a log whose writes are not durable by themselves: at intervals, or when something
//! depends on them. A round syncs every file that was written since the last one.

use std::time::Duration;

use proto::planted::{self, Bug};

use super::disk::{DiskError, DiskErrorKind, DiskOp, JobId};
use super::names::{FileName, Lsn, SegmentNumber};
use super::settings::SyncPolicy;

/// How often a sync that was interrupted before it began is asked for, in all.
const ATTEMPTS_MAX: u8 = 3;

/// When files are synchronised, and which.
#[derive(Debug)]
pub(super) struct Syncs {
    interval: Option<Duration>,
    last: Duration,
    /// Files written since their last sync began.
    dirty: Vec<SegmentNumber>,
    round: Option<Round>,
    rounds: u64,
    /// Whether the files that were there at the start have been synchronised.
    is_settled: bool,
}

#[derive(Debug)]
struct Round {
    /// Everything up to this lsn was written when the round began.
    upto: Lsn,
    left: Vec<SegmentNumber>,
    job: Option<JobId>,
    attempts: u8,
}

impl Syncs {
    /// The files in `dirty` are synchronised at once.
    pub(super) fn new(policy: SyncPolicy, dirty: Vec<SegmentNumber>, now: Duration) -> Self {
        let interval = match policy {
            SyncPolicy::Interval(interval) => Some(interval),
            SyncPolicy::Always | SyncPolicy::Never => None,
        };
        Self {
            interval,
            last: now,
            is_settled: dirty.is_empty(),
            dirty,
            round: None,
            rounds: 0,
        }
    }

    /// Whether the files that were there at the start have been synchronised.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// A file was written.
    pub(super) fn note(&mut self, segment: SegmentNumber) {
        if self.dirty.last() != Some(&segment) {
            self.dirty.push(segment);
        }
    }

    /// Rounds begun.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds
    }

    /// When the next round is due.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let is_idle = self.round.is_none() && !self.dirty.is_empty();
        is_idle.then(|| Some(self.last + self.interval?))?
    }

    /// The next sync, of a round under way or of one that is due; `written` is the lsn of the last
    /// record written.
    pub(super) fn poll_op(
        &mut self,
        id: JobId,
        written: Lsn,
        is_wanted: bool,
        now: Duration,
    ) -> Option<DiskOp> {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        if self.round.is_none()
            && !self.dirty.is_empty()
            && (is_due || is_wanted || !self.is_settled)
        {
            self.last = now;
            self.rounds += 1;
            self.round = Some(Round {
                upto: written,
                left: std::mem::take(&mut self.dirty),
                job: None,
                attempts: 0,
            });
        }
        let round = self.round.as_mut().filter(|round| round.job.is_none())?;
        let segment = *round.left.first()?;
        round.job = Some(id);
        round.attempts += 1;
        Some(DiskOp::Sync {
            file: FileName::Segment(segment),
        })
    }

    /// The end of a job, when `id` is one of these: up to where everything is durable when the
    /// round has ended, or why the log has failed. A sync that failed is never tried again.
    pub(super) fn handle_done(
        &mut self,
        id: JobId,
        result: &Result<u64, DiskError>,
    ) -> Option<Result<Option<Lsn>, String>> {
        let round = self.round.as_mut().filter(|round| round.job == Some(id))?;
        round.job = None;
        match result {
            Ok(_) => {}
            Err(error) if error.kind == DiskErrorKind::Interrupted => {
                return Some(if round.attempts < ATTEMPTS_MAX {
                    Ok(None)
                } else {
                    Err(error.reason.clone())
                });
            }
            Err(_) if planted::is(Bug::SyncRetried) => return Some(Ok(None)),
            Err(error) => return Some(Err(error.reason.clone())),
        }
        round.attempts = 0;
        round.left.remove(0);
        if !round.left.is_empty() {
            return Some(Ok(None));
        }
        let upto = round.upto;
        self.round = None;
        self.is_settled = true;
        Some(Ok(Some(upto)))
    }
}
