//! Which records count. Goes through the segments in their order, hands on what has the next lsn,
//! and judges a hole: is it the torn end of the log, or was something acknowledged lost?
//!
//! A hole at lsn h is a torn end when no commit record attests h or a later lsn. What a valid
//! commit record attests is true for ever, also in a segment that an earlier recovery cut off,
//! because a cut lies above everything attested. So every commit record may be asked, and none has
//! to be trusted to count.

use super::head::Head;
use super::segment::{Counted, Segment, block_end};
use super::{DamagedRange, RecoveryError, RecoveryReport};
use crate::engine::wal::buffer::BLOCK_BYTES;
use crate::engine::wal::entry::{COMMIT_BYTES, Entry, Placed};
use crate::engine::wal::log::LogStart;
use crate::engine::wal::names::{FileName, Lsn, SegmentNumber};
use crate::engine::wal::reader::{Damage, End, Piece, Reader};

/// The way through the segments.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// What is told to others.
    pub(super) report: RecoveryReport,
    segments: Vec<Segment>,
    is_salvage: bool,
    /// The lsn of the next record that counts; none before the first one.
    expected: Option<Lsn>,
    /// The greatest lsn that a commit record attests.
    attested: Lsn,
    stamp: u64,
    /// Where the next record should be and is not; nothing is handed on behind it.
    hole: Option<DamagedRange>,
    /// The last segment with a record that counts.
    last_counted: Option<usize>,
    /// The first segment, when it holds nothing: the log starts with its least lsn. A segment is
    /// given back when the next one holds something durable, and not before those are gone that
    /// an earlier recovery had no use for.
    empty_start: Option<(usize, Lsn)>,
}

/// Where the walk is in a segment.
struct Place<'a> {
    index: usize,
    limit: Lsn,
    is_recycled: bool,
    bytes: &'a [u8],
    damage: Option<Damage>,
    counted: Option<Counted>,
    /// Where what no longer counts begins, once it does.
    void_from: Option<u64>,
    /// First byte behind the last valid record.
    valid_end: u64,
}

/// Gets the puts and deletes that count.
pub(super) trait Sink: FnMut(&Entry<'_>) -> Result<(), String> {}

impl<F: FnMut(&Entry<'_>) -> Result<(), String>> Sink for F {}

impl Walk {
    pub(super) fn new(is_salvage: bool) -> Self {
        Self {
            is_salvage,
            ..Self::default()
        }
    }

    /// Takes the next segment, in the order of their numbers.
    pub(super) fn add(&mut self, head: Head) {
        self.attested = self.attested.max(head.durable);
        self.stamp = self.stamp.max(head.stamp);
        self.segments.push(Segment::new(head));
    }

    /// Sets the limits, when all segments are there.
    pub(super) fn set_limits(&mut self) {
        let mut least = Lsn(u64::MAX);
        for segment in self.segments.iter_mut().rev() {
            segment.limit = least;
            least = least.min(segment.head.first.unwrap_or(least));
        }
    }

    /// The lengths of the segments that have to be read.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (usize, u64)> {
        let segments = self.segments.iter().enumerate();
        let readable = segments.filter(|(_, segment)| segment.may_count());
        readable.map(|(index, segment)| (index, segment.head.file_bytes))
    }

    /// Looks for what has to be known before records behind a hole are handed on, in a segment's
    /// bytes: for a salvage.
    pub(super) fn survey(&mut self, index: usize, bytes: &[u8]) {
        let Some(segment) = self.segments.get_mut(index) else {
            return;
        };
        let Some(header) = segment.head.header else {
            return;
        };
        segment.is_empty = Some(true);
        for piece in Reader::new(bytes, header.salt) {
            if let Piece::Entry { placed, .. } = piece {
                segment.is_empty = Some(false);
                if let Entry::Commit(commit) = placed.entry {
                    self.attested = self.attested.max(commit.durable);
                }
            }
        }
    }

    /// Passes a segment that is not read: nothing in it counts, or nothing can be read.
    pub(super) fn pass(&mut self, index: usize) -> Result<(), RecoveryError> {
        let Some(segment) = self.segments.get_mut(index) else {
            return Ok(());
        };
        let (limit, file_bytes) = (segment.limit, segment.head.file_bytes);
        let is_behind = self.hole.is_none() && self.expected.is_some_and(|next| limit <= next);
        if segment.head.header.is_some() || is_behind {
            segment.is_void = true;
            if segment.head.header.is_none() {
                let name = segment.head.name();
                self.warn(format!(
                    "{name}: the header is damaged, nothing in it counts"
                ));
            }
            return Ok(());
        }
        let next = self.expected.unwrap_or_else(|| fewest(limit, file_bytes));
        let known = (limit < Lsn(u64::MAX)).then_some(limit);
        let range = DamagedRange {
            segment: segment.head.number,
            from: 0,
            to: file_bytes,
            first: next,
            last: known.map_or(next, previous).max(next),
        };
        if !self.is_salvage {
            return Err(RecoveryError::Damaged(range));
        }
        self.report.damage.push(range);
        self.expected = known.or(self.expected);
        Ok(())
    }

    /// Walks through a segment's bytes.
    pub(super) fn read(
        &mut self,
        index: usize,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), RecoveryError> {
        let Some(segment) = self.segments.get_mut(index) else {
            return Ok(());
        };
        let Some(header) = segment.head.header else {
            return Ok(());
        };
        self.report.segments += 1;
        let is_behind = self.expected.is_some_and(|next| segment.limit <= next);
        if self.hole.is_none() && (is_behind || !segment.may_count()) {
            segment.is_void = true;
            return Ok(());
        }
        let mut place = Place {
            index,
            limit: segment.limit,
            is_recycled: header.is_recycled,
            bytes,
            damage: None,
            counted: None,
            void_from: self.hole.as_ref().map(|_| BLOCK_BYTES as u64),
            valid_end: BLOCK_BYTES as u64,
        };
        for piece in Reader::new(bytes, header.salt) {
            match piece {
                Piece::Entry { offset, placed } => {
                    let is_next = place.void_from.is_none() && place.damage.is_none();
                    if is_next && Some(placed.lsn) == self.expected && placed.lsn < place.limit {
                        self.count(&mut place, offset, &placed, sink)?;
                    } else if !self.judge(&mut place, offset, &placed, sink)? {
                        break;
                    }
                }
                Piece::Damage(damage) => place.damage = Some(damage),
                Piece::End(end) => self.note_end(&place, end),
            }
        }
        self.leave(&place)
    }

    /// Hands on a record that counts.
    #[inline]
    fn count(
        &mut self,
        place: &mut Place<'_>,
        offset: u64,
        placed: &Placed<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), RecoveryError> {
        let end = offset.saturating_add(placed.bytes as u64);
        let counted = place.counted.get_or_insert(Counted {
            first: placed.lsn,
            last: placed.lsn,
            end,
        });
        (counted.last, counted.end) = (placed.lsn, end);
        place.valid_end = end;
        self.expected = Some(placed.lsn.next());
        self.observe(&placed.entry);
        if matches!(placed.entry, Entry::Commit(_)) {
            return Ok(());
        }
        self.report.records += 1;
        sink(&placed.entry).map_err(|reason| RecoveryError::Memory { reason })
    }

    #[inline]
    fn observe(&mut self, entry: &Entry<'_>) {
        let stamp = match entry {
            Entry::Commit(commit) => {
                self.attested = self.attested.max(commit.durable);
                commit.stamp
            }
            Entry::Put(record) => record.version.stamp,
            Entry::Delete { version, .. } => version.stamp,
        };
        self.stamp = self.stamp.max(stamp);
    }

    /// A record that is not simply the next one. Whether the rest of the segment matters.
    #[cold]
    fn judge(
        &mut self,
        place: &mut Place<'_>,
        offset: u64,
        placed: &Placed<'_>,
        sink: &mut impl Sink,
    ) -> Result<bool, RecoveryError> {
        let damage = place.damage.take();
        if place.void_from.is_some() {
            self.look_behind(place, damage, offset, placed)?;
            return Ok(true);
        }
        let next = match (self.expected, self.empty_start, damage) {
            (Some(next), ..) => next,
            (None, Some((_, least)), _) => least.min(placed.lsn),
            (None, None, Some(damage)) => self.least(place, damage, placed.lsn),
            (None, None, None) => placed.lsn,
        };
        let is_counted = placed.lsn < place.limit;
        let found = placed.lsn.min(place.limit);
        if let Some(damage) = damage.filter(|damage| damage.is_in_last_block && found == next) {
            let name = self.name(place.index);
            self.warn(not_as_written(name, damage.from, damage.to));
        }
        // What is missing before the limit shows where the next segment starts, unless there is
        // nothing that says where this one did.
        let is_start = self.expected.is_none() && damage.is_some();
        if !is_counted && !is_start {
            return Ok(false);
        }
        if found < next {
            let name = self.name(place.index);
            self.warn(format!("{name}: record {found} stands behind later ones"));
            return Ok(true);
        }
        if found > next {
            let hole = self.hole_before(place, damage, offset, next, found);
            if self.is_salvage && self.is_cut_later(place.index, next) {
                return Ok(false);
            }
            if !self.is_salvage || !self.is_attested(place.index, next) {
                place.void_from = Some(damage.map_or(place.valid_end, |damage| damage.from));
                self.hole = Some(hole);
                self.look_behind(place, damage, offset, placed)?;
                return Ok(true);
            }
            self.report.damage.push(hole);
            self.expected = Some(found);
        }
        if !is_counted {
            return Ok(false);
        }
        self.count(place, offset, placed, sink)?;
        Ok(true)
    }

    /// A valid record behind a hole: does it show that the hole is damage?
    fn look_behind(
        &mut self,
        place: &mut Place<'_>,
        damage: Option<Damage>,
        offset: u64,
        placed: &Placed<'_>,
    ) -> Result<(), RecoveryError> {
        place.valid_end = offset.saturating_add(placed.bytes as u64);
        self.observe(&placed.entry);
        let number = self.number(place.index);
        if let (Some(hole), Some(damage)) = (&mut self.hole, damage)
            && place.is_at_start(damage)
            && self
                .segments
                .get(place.index)
                .is_some_and(|it| it.is_cut_at(hole.first))
        {
            *hole = DamagedRange {
                segment: number,
                from: damage.from,
                to: damage.to,
                first: hole.first,
                last: previous(placed.lsn).max(hole.first),
            };
        }
        if let Some(segment) = self.segments.get_mut(place.index) {
            segment.is_empty = Some(false);
        }
        self.check_hole(place.index)
    }

    /// Ends the walk when the hole is known to be damage, and which segment is to blame.
    fn check_hole(&self, index: usize) -> Result<(), RecoveryError> {
        let Some(hole) = &self.hole else {
            return Ok(());
        };
        let is_known = self.attested >= hole.first && !self.is_salvage;
        if is_known && self.cut_at(index, hole.first).is_none() {
            return Err(RecoveryError::Damaged(hole.clone()));
        }
        Ok(())
    }

    /// What is left of a segment behind its last record.
    fn note_end(&mut self, place: &Place<'_>, end: End) {
        let from = place.void_from.unwrap_or(end.offset);
        let mut to = end.announced.max(place.valid_end);
        if !place.is_recycled {
            to = to.max(end.filled);
        } else if place.void_from.is_none() && claims(place.bytes, end.offset, self.expected) {
            to = to.max(end.offset.saturating_add(BLOCK_BYTES as u64));
        }
        if let Some(segment) = self.segments.get_mut(place.index) {
            segment.rest = (to > from).then_some((from, to));
            let is_empty = end.offset == BLOCK_BYTES as u64;
            segment.is_empty = Some(is_empty && segment.is_empty != Some(false));
        }
    }

    /// The end of a segment's bytes.
    fn leave(&mut self, place: &Place<'_>) -> Result<(), RecoveryError> {
        if let Some(segment) = self.segments.get_mut(place.index) {
            segment.counted = place.counted;
            if place.counted.is_some() {
                self.last_counted = Some(place.index);
            }
            let is_first = self.expected.is_none() && self.empty_start.is_none();
            if let (true, Some(true), Some(header)) =
                (is_first, segment.is_empty, segment.head.header)
            {
                self.empty_start = Some((place.index, header.least_lsn));
            }
        }
        self.check_hole(place.index)
    }

    /// The end of the log.
    pub(super) fn finish(&mut self) -> Result<LogStart, RecoveryError> {
        let least = self
            .segments
            .iter()
            .filter_map(|segment| segment.head.header);
        let least = least.map(|header| header.least_lsn).max();
        let torn = self.hole.as_ref().map(|hole| hole.first);
        let next_lsn = torn.or(self.expected).or(least).unwrap_or_default();
        let next_lsn = next_lsn.max(Lsn(1));
        if self.attested >= next_lsn && !self.is_salvage {
            return Err(RecoveryError::Damaged(self.lost_end(next_lsn)));
        }
        let mut start = LogStart {
            next_lsn,
            attested: self.attested.min(previous(next_lsn)),
            stamp: self.stamp,
            ..LogStart::default()
        };
        let mut warnings = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            if let Some(counted) = segment.counted {
                start.sealed.push(segment.seal(counted));
            } else if segment.head.header.is_some() || segment.is_void {
                start.leftovers.push(segment.head.name());
            }
            let is_behind = self.last_counted.is_none_or(|last| index >= last);
            match segment.rest {
                Some((from, to)) if is_behind => self.report.torn_bytes += to - from,
                Some((from, to)) => {
                    warnings.push(not_as_written(segment.head.name(), from, to));
                }
                None => {}
            }
        }
        warnings.into_iter().for_each(|text| self.warn(text));
        Ok(start)
    }

    /// The hole before a record that has come too early.
    fn hole_before(
        &self,
        place: &Place<'_>,
        damage: Option<Damage>,
        offset: u64,
        first: Lsn,
        found: Lsn,
    ) -> DamagedRange {
        let mut range = DamagedRange {
            segment: self.number(place.index),
            from: damage.map_or(block_end(place.valid_end).min(offset), |it| it.from),
            to: offset,
            first,
            last: previous(found).max(first),
        };
        let empty = self.empty_start.map(|(index, _)| index);
        let before = self.last_counted.or(empty);
        let before = before.and_then(|last| self.segments.get(last));
        if let (None, None, Some(segment)) = (damage, place.counted, before) {
            range.segment = segment.head.number;
            range.from = segment.missing_from();
            range.to = segment.head.file_bytes;
        }
        range
    }

    /// The range behind the last record, when records that are not there were acknowledged.
    fn lost_end(&self, next: Lsn) -> DamagedRange {
        let last = self.last_counted.and_then(|last| self.segments.get(last));
        let last = last.or(self.segments.last());
        DamagedRange {
            segment: last.map_or(SegmentNumber(0), |last| last.head.number),
            from: last.map_or(0, Segment::missing_from),
            to: last.map_or(0, |last| last.head.file_bytes),
            first: next,
            last: self.attested.max(next),
        }
    }

    /// The least lsn that the first of all segments can have started with, when its start is
    /// damaged and `found` is what follows.
    fn least(&self, place: &Place<'_>, damage: Damage, found: Lsn) -> Lsn {
        let header = self.segments.get(place.index).and_then(|it| it.head.header);
        let least = header.map_or(Lsn(1), |header| header.least_lsn);
        let fewest = fewest(found, damage.to.saturating_sub(damage.from));
        least.max(fewest).min(previous(found))
    }

    /// Whether a record was acknowledged, as far as is known. Of a segment without a header it is
    /// not known what it attests: then rather salvaged than cut.
    fn is_attested(&self, index: usize, lsn: Lsn) -> bool {
        let later = self.segments.get(index..).unwrap_or(&[]);
        self.attested >= lsn || later.iter().any(|segment| segment.head.header.is_none())
    }

    /// The later segment that goes on at `lsn` after an earlier recovery cut the log there; its
    /// first batch is damaged.
    fn cut_at(&self, index: usize, lsn: Lsn) -> Option<usize> {
        let later = self.segments.iter().enumerate().skip(index + 1);
        let mut cut = later.filter(|(_, segment)| segment.is_cut_at(lsn));
        cut.next().map(|(index, _)| index)
    }

    /// The same; takes its start for known from now on.
    fn is_cut_later(&mut self, index: usize, lsn: Lsn) -> bool {
        let Some(cut) = self.cut_at(index, lsn) else {
            return false;
        };
        if let Some(segment) = self.segments.get_mut(cut) {
            segment.head.first = Some(lsn);
        }
        self.set_limits();
        true
    }

    pub(super) fn warn(&mut self, text: String) {
        if self.report.warnings.len() < WARNINGS_MAX {
            self.report.warnings.push(text);
        }
    }

    fn name(&self, index: usize) -> FileName {
        FileName::Segment(self.number(index))
    }

    fn number(&self, index: usize) -> SegmentNumber {
        let segment = self.segments.get(index);
        segment.map_or(SegmentNumber(0), |segment| segment.head.number)
    }
}

impl Place<'_> {
    fn is_at_start(&self, damage: Damage) -> bool {
        self.counted.is_none() && damage.from == BLOCK_BYTES as u64
    }
}

/// Whether what stands at `offset` has the lsn `next` where a record has it.
fn claims(bytes: &[u8], offset: u64, next: Option<Lsn>) -> bool {
    let at = usize::try_from(offset).ok();
    let at = at.and_then(|at| at.checked_add(16));
    let lsn = at.and_then(|at| bytes.get(at..)?.first_chunk());
    lsn.is_some_and(|lsn| next == Some(Lsn(u64::from_le_bytes(*lsn))))
}

/// The least lsn that can lie this many bytes before `lsn`.
fn fewest(lsn: Lsn, bytes: u64) -> Lsn {
    let most = bytes / COMMIT_BYTES as u64;
    Lsn(lsn.0.saturating_sub(most).max(1))
}

const fn previous(lsn: Lsn) -> Lsn {
    Lsn(lsn.0.saturating_sub(1))
}

fn not_as_written(name: FileName, from: u64, to: u64) -> String {
    format!("{name}: bytes {from} to {to} are not as written; no record is missing")
}

/// Most warnings that are kept; a damaged disk could give one a record.
const WARNINGS_MAX: usize = 100;
