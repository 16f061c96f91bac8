//! What the disk answers, and what follows: acknowledgement in order, a full disk, a failed one.
//! A write or sync that failed is never tried again.

use super::{Log, SEAL_PAUSE, Seal, State, Tail};
use crate::engine::wal::batch::Batch;
use crate::engine::wal::buffer::Buffer;
use crate::engine::wal::disk::{DiskError, JobId};
use crate::engine::wal::maker::Made;
use crate::engine::wal::names::Lsn;
use crate::engine::wal::report::Dropped;
use crate::engine::wal::settings::SyncPolicy;

impl Log {
    pub(super) fn handle_write(
        &mut self,
        id: JobId,
        result: &Result<u64, DiskError>,
        buffer: Option<Buffer>,
    ) {
        match self.flight.handle_write(id, result, buffer) {
            Some(Ok(())) => {}
            Some(Err(reason)) => self.failed_write(reason),
            None => return,
        }
        while let Some(batch) = self.flight.pop_written() {
            self.written = batch.last;
            if self.config.sync == SyncPolicy::Always {
                self.advance_durable(batch.last);
            } else {
                self.syncs.note(batch.place.segment);
            }
            self.committed.push_back(batch);
        }
        if self.is_poisoned() {
            self.give_up();
        }
    }

    /// What arrived before the batch that failed still counts.
    pub(super) fn failed_write(&mut self, reason: String) {
        if !self.is_poisoned() {
            self.state = State::Poisoned(reason);
        }
    }

    pub(super) fn advance_durable(&mut self, upto: Lsn) {
        self.durable = self.durable.max(upto);
        if self.seal != Seal::Done {
            self.seal = if self.is_closing {
                Seal::Due
            } else {
                Seal::At(self.now + SEAL_PAUSE)
            };
        }
    }

    pub(super) fn handle_made(&mut self, result: &Result<u64, DiskError>) {
        let segment_bytes = u64::from(self.config.segment_bytes);
        match self.maker.handle_done(result, segment_bytes, self.now) {
            Made::Nothing => {}
            Made::Segment(number) => {
                if self.tail.plan.number == number {
                    self.tail.is_made = true;
                } else if let Some(spare) = &mut self.spare {
                    spare.is_made |= spare.plan.number == number;
                }
                if self.is_full() {
                    self.state = State::Open;
                }
            }
            Made::Full(reason) => self.fill(reason),
            Made::Broken(reason) => self.poison(reason),
        }
    }

    /// There is no room for another segment: what waits for one is given up.
    pub(super) fn fill(&mut self, reason: String) {
        if self.is_poisoned() {
            return;
        }
        self.state = State::Full(reason);
        if self.tail.is_made {
            return;
        }
        let number = self.tail.plan.number;
        let lost = |batch: &Batch| batch.place.segment == number;
        let first = self
            .closed
            .iter()
            .chain(&self.open)
            .find(|batch| lost(batch));
        let Some(from) = first.map(|batch| batch.first) else {
            return;
        };
        self.closed.retain(|batch| !lost(batch));
        self.open = None;
        self.tail = Tail::new(self.tail.plan);
        self.appended = Lsn(from.0.saturating_sub(1));
        self.compaction.restart();
        self.drop_from(from, false);
    }

    /// The medium failed: nothing more is written, and what is under way is never acknowledged.
    pub(super) fn poison(&mut self, reason: String) {
        self.failed_write(reason);
        self.give_up();
    }

    pub(super) fn give_up(&mut self) {
        let waiting = self.closed.front().or(self.open.as_ref());
        let first = self.flight.first().or(waiting.map(|batch| batch.first));
        self.flight.clear();
        self.closed.clear();
        self.open = None;
        if let Some(from) = first {
            self.drop_from(from, true);
        }
    }

    pub(super) fn drop_from(&mut self, from: Lsn, may_be_written: bool) {
        let refusal = self.refusal().expect("records are given up for a reason");
        let earlier = self.dropped.take();
        self.dropped = Some(Dropped {
            from: earlier
                .as_ref()
                .map_or(from, |earlier| earlier.from.min(from)),
            may_be_written: may_be_written || earlier.is_some_and(|earlier| earlier.may_be_written),
            refusal,
        });
    }
}
