//! The timing wheel that finds expired records: lists of records threaded through the records.
//!
//! Seven levels of 64 buckets; a bucket of the lowest level is one second wide, one of each further
//! level 64 times the width below (Varghese and Lauck 1987, scheme 7). When time reaches a bucket
//! of a higher level its records are spread over the levels below; a record is touched at most once
//! a level in its life. The wheel turns by the monotonic clock and only ever forward; whether a
//! record has expired is for its own stamp to say.
//!
//! Links are handles in the records: the first record of a list points back at the list.

use super::slab::{Handle, Slab};

/// Lists of records by the second in which they are due.
pub(crate) struct Wheel {
    /// First record of each list.
    heads: [u32; LISTS],
    /// One bit for each bucket of a level that has records.
    occupied: [u64; LEVELS],
    /// The second up to which buckets have been emptied into the pending list.
    now_s: u64,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            heads: [NONE; LISTS],
            occupied: [0; LEVELS],
            now_s: 0,
        }
    }

    /// The earliest second in which something may be due; `None` when the wheel is empty.
    pub(crate) fn next_s(&self) -> Option<u64> {
        if self.heads[PENDING] != NONE {
            return Some(self.now_s);
        }
        self.next_bucket().map(|(_, due_s)| due_s)
    }

    /// Files the record under second `due_s`, or as pending when that has passed.
    pub(crate) fn link(&mut self, slab: &mut Slab, handle: Handle, due_s: u64) {
        let due_s = due_s.min(DUE_S_MAX);
        if due_s <= self.now_s {
            self.push(slab, PENDING, handle);
            return;
        }
        let level = ((due_s ^ self.now_s).ilog2() / LEVEL_BITS) as usize;
        let bucket = (due_s >> (level as u32 * LEVEL_BITS)) as usize % BUCKETS;
        self.occupied[level] |= 1 << bucket;
        self.push(slab, level * BUCKETS + bucket, handle);
    }

    /// Takes the record out of its list.
    pub(crate) fn unlink(&mut self, slab: &mut Slab, handle: Handle) {
        let slot = slab.slot(handle);
        let (prev, next) = (slot.prev(), slot.next());
        if next != NONE {
            slab.write_prev(Handle(next), prev);
        }
        if prev & LIST_FLAG == 0 {
            slab.write_next(Handle(prev), next);
            return;
        }
        let list = (prev & !LIST_FLAG) as usize;
        self.heads[list] = next;
        if next == NONE && list != PENDING {
            self.occupied[list / BUCKETS] &= !(1 << (list % BUCKETS));
        }
    }

    /// Puts the record at `to`, which carries the links of another, in that one's place.
    pub(crate) fn relink(&mut self, slab: &mut Slab, to: Handle) {
        let slot = slab.slot(to);
        let (prev, next) = (slot.prev(), slot.next());
        if next != NONE {
            slab.write_prev(Handle(next), to.0);
        }
        if prev & LIST_FLAG == 0 {
            slab.write_next(Handle(prev), to.0);
        } else {
            self.heads[(prev & !LIST_FLAG) as usize] = to.0;
        }
    }

    /// Takes out a record whose bucket has been reached by second `now_s`. The bucket may have been
    /// a wide one, or the record may have been given more time since: the caller looks at its
    /// expiry and files it again if need be.
    pub(crate) fn pop(&mut self, slab: &mut Slab, now_s: u64) -> Option<Handle> {
        while self.heads[PENDING] == NONE {
            let Some((list, due_s)) = self.next_bucket().filter(|&(_, due_s)| due_s <= now_s)
            else {
                self.now_s = self.now_s.max(now_s.min(DUE_S_MAX));
                return None;
            };
            self.now_s = due_s;
            self.occupied[list / BUCKETS] &= !(1 << (list % BUCKETS));
            let first = std::mem::replace(&mut self.heads[list], NONE);
            self.heads[PENDING] = first;
            slab.write_prev(Handle(first), LIST_FLAG | PENDING as u32);
        }
        let handle = Handle(self.heads[PENDING]);
        self.unlink(slab, handle);
        Some(handle)
    }

    /// The second up to which the wheel has turned.
    pub(crate) fn now_s(&self) -> u64 {
        self.now_s
    }

    /// The earliest bucket with records and the second in which it begins. The levels above agree
    /// with the present second, so the lowest occupied level has it, in its lowest occupied bucket.
    fn next_bucket(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&buckets| buckets != 0)?;
        let bucket = self.occupied[level].trailing_zeros();
        let shift = level as u32 * LEVEL_BITS;
        let above = self.now_s >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS);
        Some((
            level * BUCKETS + bucket as usize,
            above | u64::from(bucket) << shift,
        ))
    }

    fn push(&mut self, slab: &mut Slab, list: usize, handle: Handle) {
        let first = std::mem::replace(&mut self.heads[list], handle.0);
        slab.write_prev(handle, LIST_FLAG | list as u32);
        slab.write_next(handle, first);
        if first != NONE {
            slab.write_prev(Handle(first), handle.0);
        }
    }
}

/// Number of levels: the last one reaches beyond the latest expiry a record can hold.
const LEVELS: usize = 7;

/// Bits of a second's number that one level decides.
const LEVEL_BITS: u32 = 6;

/// Buckets of a level.
const BUCKETS: usize = 1 << LEVEL_BITS;

/// Lists: all buckets, and the records whose bucket has been reached.
const LISTS: usize = LEVELS * BUCKETS + 1;

/// The list of records whose bucket has been reached.
const PENDING: usize = LEVELS * BUCKETS;

/// The last second the wheel can tell from others.
const DUE_S_MAX: u64 = (1 << (LEVELS as u32 * LEVEL_BITS)) - 1;

/// No record.
const NONE: u32 = u32::MAX;

/// Set in a link that names a list instead of a record.
const LIST_FLAG: u32 = 1 << 31;

const _: () = assert!(super::record::EXPIRY_MS_MAX / 1000 < DUE_S_MAX / 2);

#[cfg(test)]
impl Wheel {
    /// Every record in a list, with the links and marks checked on the way.
    pub(crate) fn handles(&self, slab: &Slab) -> std::collections::BTreeSet<u32> {
        let mut handles = std::collections::BTreeSet::new();
        for (list, &head) in self.heads.iter().enumerate() {
            if list != PENDING {
                let is_occupied = self.occupied[list / BUCKETS] >> (list % BUCKETS) & 1 == 1;
                assert_eq!(is_occupied, head != NONE, "list {list}");
            }
            let (mut prev, mut at) = (LIST_FLAG | list as u32, head);
            while at != NONE {
                assert_eq!(slab.slot(Handle(at)).prev(), prev);
                assert!(handles.insert(at));
                (prev, at) = (at, slab.slot(Handle(at)).next());
            }
        }
        handles
    }
}
