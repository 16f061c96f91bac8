//! Batches that are on their way to the disk, in the order of their lsns. They arrive in any order
//! and are acknowledged in this one.

use std::collections::VecDeque;

use proto::planted::{self, Bug};

use super::batch::Batch;
use super::buffer::Buffer;
use super::disk::{DiskError, DiskErrorKind, DiskOp, JobId};
use super::names::Lsn;

/// Batches under way at once: more gain nothing on the disks that were measured.
pub(super) const FLIGHT_MAX: usize = 4;

/// How often a batch is written that ended short or was interrupted, in all.
const ATTEMPTS_MAX: u8 = 3;

/// The batches under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    items: VecDeque<Item>,
}

#[derive(Debug)]
struct Item {
    /// Without its memory while that is with the disk.
    batch: Batch,
    bytes: u64,
    job: Option<JobId>,
    attempts: u8,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting,
    Written,
}

impl Flight {
    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether another one may start.
    pub(super) fn has_room(&self) -> bool {
        self.items.len() < FLIGHT_MAX
    }

    /// Takes a closed batch in; [`Flight::poll_write`] gives its write.
    pub(super) fn push(&mut self, batch: Batch) {
        let bytes = batch.buffer.len() as u64;
        self.items.push_back(Item {
            batch,
            bytes,
            job: None,
            attempts: 0,
            state: State::Waiting,
        });
    }

    /// The next write to be carried out, as job `id`.
    pub(super) fn poll_write(&mut self, id: JobId, is_durable: bool) -> Option<DiskOp> {
        let idle = |item: &&mut Item| item.job.is_none() && item.state == State::Waiting;
        let item = self.items.iter_mut().find(idle)?;
        item.job = Some(id);
        item.attempts += 1;
        Some(DiskOp::Write {
            file: item.batch.place.file(),
            offset: item.batch.place.offset,
            buffer: std::mem::replace(&mut item.batch.buffer, Buffer::none()),
            is_durable,
        })
    }

    /// The end of a write, when `id` is one of these; then why the log has failed, when it has. A
    /// write that ended short or did not happen is written again, whole.
    pub(super) fn handle_write(
        &mut self,
        id: JobId,
        result: &Result<u64, DiskError>,
        buffer: Option<Buffer>,
    ) -> Option<Result<(), String>> {
        let item = self.items.iter_mut().find(|item| item.job == Some(id))?;
        item.job = None;
        if let Some(buffer) = buffer {
            item.batch.buffer = buffer;
        }
        let failure = match result {
            Ok(bytes) if *bytes == item.bytes || planted::is(Bug::ShortWriteIgnored) => {
                item.state = State::Written;
                return Some(Ok(()));
            }
            Ok(bytes) => format!("a write of {} bytes ended after {bytes}", item.bytes),
            Err(error) if error.kind == DiskErrorKind::Interrupted => error.reason.clone(),
            Err(error) => return Some(Err(error.reason.clone())),
        };
        Some(if item.attempts < ATTEMPTS_MAX {
            Ok(())
        } else {
            Err(format!("{failure}, {ATTEMPTS_MAX} times"))
        })
    }

    /// The next batch that has arrived, as has every one before it.
    pub(super) fn pop_written(&mut self) -> Option<Batch> {
        let is_written = self.items.front()?.state == State::Written;
        is_written
            .then(|| self.items.pop_front())?
            .map(|item| item.batch)
    }

    /// The lsn of the first record under way.
    pub(super) fn first(&self) -> Option<Lsn> {
        self.items.front().map(|item| item.batch.first)
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.items.clear();
    }
}
