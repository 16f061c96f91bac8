//! The log's bound in space: when the oldest segment is compacted, and what becomes of it.

use super::{Log, SealedSegment};
use crate::engine::wal::names::FileName;

impl Log {
    /// Begins with the oldest segment when the sealed ones take more than halfway from the live
    /// records to their bound.
    pub(super) fn begin_compaction(&mut self) {
        if self.compaction.is_active() {
            return;
        }
        let percent = u64::from(self.config.space_percent.max(SPACE_PERCENT_MIN));
        let begin_percent = 100 + (percent - 100) / 2;
        let warranted = self.live_bytes.saturating_mul(begin_percent) / 100;
        let Some(oldest) = self.sealed.front() else {
            return;
        };
        if self.sealed_bytes > warranted && oldest.last <= self.written.min(self.appended) {
            self.compaction.begin(*oldest);
        }
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
