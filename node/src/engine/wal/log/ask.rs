//! What the disk is asked for: writes of batches first, then syncs, then segments ahead of need,
//! then the reads of compaction.

use proto::planted::{self, Bug};

use super::{Log, Seal, Spare};
use crate::engine::wal::disk::{DiskOp, JobId};
use crate::engine::wal::header::SegmentHeader;
use crate::engine::wal::maker::Plan;
use crate::engine::wal::settings::SyncPolicy;

impl Log {
    /// A write of a batch: a full one, or the open one when there is a place under way.
    pub(super) fn poll_write(&mut self, id: JobId) -> Option<DiskOp> {
        if !self.is_settled() {
            return None;
        }
        let is_durable = self.config.sync == SyncPolicy::Always && !planted::is(Bug::AckBeforeSync);
        let again = self.flight.poll_write(id, is_durable);
        if again.is_some() || !self.flight.has_room() {
            return again;
        }
        if self.seal == Seal::Due && !self.has_batches() && self.may_seal() {
            self.open_seal();
        }
        if self.closed.is_empty() {
            self.close_batch();
        }
        let batch = self.closed.front()?;
        if batch.place.segment == self.tail.plan.number && !self.tail.is_made {
            return None;
        }
        self.flight.push(self.closed.pop_front()?);
        self.flight.poll_write(id, is_durable)
    }

    /// An empty batch attests that the ones before it are durable.
    pub(super) fn open_seal(&mut self) {
        if self.open_batch(0).is_ok() {
            self.seal = Seal::Done;
        }
    }

    /// Whether everything before an empty batch would be attested by it.
    pub(super) fn may_seal(&self) -> bool {
        self.durable == self.appended
    }

    pub(super) fn poll_sync(&mut self, id: JobId) -> Option<DiskOp> {
        let wanted = self.compaction.wanted();
        let is_wanted = wanted.is_some_and(|lsn| lsn > self.durable && lsn <= self.written);
        let is_last = self.is_closing && !self.has_batches() && self.written > self.durable;
        self.syncs
            .poll_op(id, self.written, is_wanted || is_last, self.now)
    }

    /// A step of making a segment, when the tail or the place after it wants one, or of removing
    /// what is not needed.
    pub(super) fn poll_maker(&mut self, id: JobId) -> Option<DiskOp> {
        if self.is_closing && (self.tail.is_made || !self.has_batches()) {
            return None;
        }
        if self.maker.is_settled() && !self.syncs.is_settled() {
            return None;
        }
        if self.maker.is_at_rest() {
            self.plan_making();
        }
        let config = self.config;
        let (least_lsn, stamp_floor) = (self.durable.next(), self.stamp);
        let header = |plan: Plan, is_recycled| SegmentHeader {
            node: config.node,
            shard: config.shard,
            number: plan.number,
            salt: plan.salt,
            least_lsn,
            stamp_floor,
            segment_bytes: config.segment_bytes,
            is_recycled,
        };
        let segment_bytes = u64::from(config.segment_bytes);
        let op = self.maker.poll_op(segment_bytes, &header, self.now)?;
        self.jobs.maker = Some(id);
        Some(op)
    }

    pub(super) fn plan_making(&mut self) {
        if !self.tail.is_made {
            return self.maker.make(self.tail.plan);
        }
        let half = u64::from(self.config.segment_bytes) / 2;
        // Compaction is about to free a segment, which is made anew for less than a new one.
        let may_wait = self.compaction.is_active() && self.tail.offset < half && !self.is_full();
        if self.spare.is_none() && (self.maker.has_free() || !may_wait) {
            self.spare = Some(Spare {
                plan: self.plan(),
                is_made: false,
            });
        }
        match &self.spare {
            Some(spare) if !spare.is_made => self.maker.make(spare.plan),
            Some(_) => self.maker.tidy(),
            None => {}
        }
    }

    pub(super) fn poll_read(&mut self, id: JobId) -> Option<DiskOp> {
        if self.is_closing {
            return None;
        }
        let op = self.compaction.poll_op()?;
        self.jobs.reader = Some(id);
        Some(op)
    }
}
