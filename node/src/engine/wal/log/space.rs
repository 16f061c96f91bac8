//! The log's bound in space: when the oldest segment is compacted, and what becomes of it.
//! How it is gone through is the business of `compaction`.

use proto::planted::{self, Bug};

use super::{Log, SealedSegment};
use crate::engine::wal::names::FileName;

/// How a walk through all segments does: live records can lie so that they need more than the bound
/// allows, and moving them over and over would not change that.
#[derive(Debug, Default)]
pub(super) struct Round {
    segments_left: usize,
    freed_bytes: u64,
    moved_before: u64,
    /// Bytes of sealed segments and of live records at the end of a round that gained nothing.
    futile_at: Option<(u64, u64)>,
}

impl Log {
    /// Begins with the oldest segment when the sealed ones take more than halfway from the live
    /// records to their bound.
    pub(super) fn begin_compaction(&mut self) {
        if self.compaction.is_active() || self.is_last_named() {
            return;
        }
        let percent = u64::from(self.config.space_percent.max(SPACE_PERCENT_MIN));
        let begin_percent = 100 + (percent - 100) / 2;
        let warranted = self.live_bytes.saturating_mul(begin_percent) / 100;
        let first = usize::from(planted::is(Bug::TombstoneDropped) && self.sealed.len() > 1);
        let Some(oldest) = self.sealed.get(first) else {
            return;
        };
        let is_warranted = self.sealed_bytes > warranted && !self.is_futile();
        if is_warranted && oldest.last <= self.written.min(self.appended) {
            self.compaction.begin(*oldest);
            if self.round.segments_left == 0 {
                self.round = Round {
                    segments_left: self.sealed.len(),
                    moved_before: self.compaction.moved_bytes,
                    ..Round::default()
                };
            }
        }
    }

    /// Whether the one sealed segment is the only one with a name, as after a start: its header and
    /// records are all that says how far lsns and stamps have come, so it stays until there is
    /// another.
    fn is_last_named(&self) -> bool {
        self.sealed.len() == 1 && !self.tail.is_made
    }

    /// Takes note of a segment that was compacted. When a round through all of them has freed less
    /// than a third, nothing is gained by another one soon.
    pub(super) fn end_segment(&mut self, freed: &SealedSegment) {
        let round = &mut self.round;
        round.freed_bytes += freed.file_bytes;
        round.segments_left = round.segments_left.saturating_sub(1);
        let moved = self.compaction.moved_bytes - round.moved_before;
        if round.segments_left == 0 && moved > round.freed_bytes / 3 * 2 {
            round.futile_at = Some((self.sealed_bytes, self.live_bytes));
        }
    }

    /// Whether too little has changed since a round that gained nothing: the segments have grown,
    /// or the live records shrunk, by less than an eighth of these. Padding counts: it is what a
    /// log of small batches grows by.
    fn is_futile(&self) -> bool {
        self.round.futile_at.is_some_and(|(sealed, live)| {
            let change = live / 8;
            self.sealed_bytes < sealed + change && self.live_bytes + change > live
        })
    }

    /// A file of the present length is used again, any other removed.
    pub(super) fn dispose(&mut self, segment: SealedSegment) {
        let is_of_use = segment.file_bytes == u64::from(self.config.segment_bytes);
        self.maker
            .dispose(FileName::Segment(segment.number), is_of_use);
    }

    pub(super) fn figures_of_move(&mut self, is_placed: bool, bytes: u64) -> bool {
        if is_placed {
            self.compaction.moved_bytes += bytes;
        }
        is_placed
    }
}

/// Least bound of the segments, in per cent of the live records: below, batches that are not full
/// would keep compaction going for ever.
const SPACE_PERCENT_MIN: u32 = 150;
