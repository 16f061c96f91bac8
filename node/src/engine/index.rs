//! The index of a store: from the hash of a key to where its record lies.
//!
//! Extendible hashing (Fagin et al. 1979): the topmost bits of the hash choose a segment through a
//! directory, and a segment that fills is split in two, so that no insertion ever moves more than
//! one segment's entries. Segments given back are listed in their own places, so that removing
//! never allocates. The order of the hashes is what a scan walks by: it is stable under any
//! mutation.
//!
//! Keys are not here. Whoever asks compares them, and tells the hash of a handle when a segment is
//! split or merged.

mod segment;

use self::segment::{SEGMENT_BYTES, SEGMENT_ENTRIES, Segment};

/// From hashes to handles.
pub(crate) struct Index {
    /// Number of the segment for each value of the topmost `depth` bits.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    /// First of the vacant segments, [`NONE`] when there is none.
    vacant: u32,
    /// Segments that are not vacant.
    live: usize,
    /// Segments of each depth: what tells when the directory can be halved.
    at_depth: [u32; DEPTH_MAX as usize + 1],
    /// Handles of a segment being split or merged.
    moving: Vec<u32>,
}

impl Index {
    pub(crate) fn new() -> Self {
        let mut at_depth = [0; DEPTH_MAX as usize + 1];
        at_depth[DEPTH_MIN as usize] = 1 << DEPTH_MIN;
        let segment = || Segment::new(DEPTH_MIN);
        Self {
            directory: (0..1 << DEPTH_MIN).collect(),
            depth: DEPTH_MIN,
            segments: (0..1 << DEPTH_MIN).map(|_| segment()).collect(),
            vacant: NONE,
            live: 1 << DEPTH_MIN,
            at_depth,
            moving: Vec::with_capacity(SEGMENT_ENTRIES),
        }
    }

    /// The handle filed under `hash` which `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.segment(hash).find(hash, is_it)
    }

    /// The bucket a lookup of `hash` reads first: something to touch ahead of time.
    #[inline]
    pub(crate) fn home(&self, hash: u64) -> &[u8; 16] {
        self.segment(hash).home(hash)
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let words = self.directory.capacity() + self.moving.capacity();
        let bytes = self.live * SEGMENT_BYTES
            + self.segments.capacity() * size_of::<Segment>()
            + words * size_of::<u32>();
        bytes as u64
    }

    /// The most that filing `hash` may add to [`Index::heap_bytes`].
    pub(crate) fn growth(&self, hash: u64) -> u64 {
        let segment = self.segment(hash);
        if segment.len < SPLIT_AT {
            return 0;
        }
        let mut bytes = SEGMENT_BYTES;
        if u32::from(segment.depth) == self.depth {
            bytes += self.directory.len() * size_of::<u32>();
        }
        if self.vacant == NONE && self.segments.len() == self.segments.capacity() {
            bytes += self.segments.capacity() * size_of::<Segment>();
        }
        bytes as u64
    }

    /// The most that filing `count` hashes, whichever, may add to [`Index::heap_bytes`]. Hashes
    /// spread: a segment is split again only after hundreds of insertions, and the directory seldom
    /// doubles.
    pub(crate) fn growth_of_many(&self, count: u64) -> u64 {
        if count == 0 {
            return 0;
        }
        let resplits = count / SPLIT_AGAIN_AFTER + RESPLITS_MIN;
        let splits = count.min(self.live as u64 + resplits);
        let (room, mut room_then) = (self.segments.capacity(), self.segments.capacity());
        while ((room_then - self.segments.len()) as u64) < splits {
            room_then *= 2;
        }
        let tables =
            (room_then - room) * size_of::<Segment>() + self.directory.len() * size_of::<u32>() * 3;
        splits * (SEGMENT_BYTES as u64 + DIRECTORY_BYTES_PER_SPLIT) + tables as u64
    }

    /// Whether `hash` can be filed. False only when hundreds of keys share the topmost bits of
    /// their hashes, which takes someone who knows the seed.
    pub(crate) fn has_room(&self, hash: u64) -> bool {
        let segment = self.segment(hash);
        usize::from(segment.len) < SEGMENT_ENTRIES
    }

    /// Files `handle` under `hash`; the caller has seen that there is room and that it is not
    /// filed.
    pub(crate) fn insert(&mut self, hash: u64, handle: u32, hash_of: impl Fn(u32) -> u64) {
        if self.segment(hash).len >= SPLIT_AT {
            self.split(hash, hash_of);
        }
        self.segment_mut(hash).insert(hash, handle);
    }

    /// Takes `handle` out; false when it is not filed under `hash`.
    pub(crate) fn remove(&mut self, hash: u64, handle: u32, hash_of: impl Fn(u32) -> u64) -> bool {
        let segment = self.segment_mut(hash);
        let is_removed = segment.remove(hash, handle);
        if is_removed && segment.len < MERGE_BELOW {
            self.merge(hash, hash_of);
        }
        is_removed
    }

    /// Files `new` in the place of `old`; false when `old` is not filed under `hash`.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        self.segment_mut(hash).replace(hash, old, new)
    }

    /// Visits every handle whose hash lies in the segment of `from`, and returns the least hash
    /// after that segment; `None` after the last one.
    pub(crate) fn scan(&self, from: u64, visit: impl FnMut(u32)) -> Option<u64> {
        let segment = self.segment(from);
        segment.handles().for_each(visit);
        let width = 1u64 << (u64::BITS - u32::from(segment.depth));
        (from & !(width - 1)).checked_add(width)
    }

    #[inline]
    fn slot(&self, hash: u64) -> usize {
        self.directory[(hash >> (u64::BITS - self.depth)) as usize] as usize
    }

    #[inline]
    fn segment(&self, hash: u64) -> &Segment {
        &self.segments[self.slot(hash)]
    }

    fn segment_mut(&mut self, hash: u64) -> &mut Segment {
        let slot = self.slot(hash);
        &mut self.segments[slot]
    }

    /// Splits the segment of `hash` once. When all its entries fall into one half, the next
    /// insertion splits that half again.
    fn split(&mut self, hash: u64, hash_of: impl Fn(u32) -> u64) {
        let old = self.slot(hash);
        let depth = u32::from(self.segments[old].depth);
        if depth == self.depth {
            if depth == DEPTH_MAX || self.directory.len() >= self.live * DIRECTORY_PER_SEGMENT_MAX {
                return;
            }
            self.double_directory();
        }
        let moving = self.take_handles(old);
        self.segments[old].depth += 1;
        let new = self.add_segment(depth + 1);
        self.at_depth[depth as usize] -= 1;
        self.at_depth[depth as usize + 1] += 2;
        let half = 1usize << (self.depth - depth - 1);
        let first = (hash >> (u64::BITS - depth)) as usize * half * 2;
        self.directory[first + half..first + 2 * half].fill(new);
        self.refile(moving, hash_of);
    }

    /// Joins the segment of `hash` with its other half when both are nearly empty.
    fn merge(&mut self, hash: u64, hash_of: impl Fn(u32) -> u64) {
        let mine = self.slot(hash);
        let depth = u32::from(self.segments[mine].depth);
        let other = self.slot(hash ^ 1 << (u64::BITS - depth));
        let (a, b) = (&self.segments[mine], &self.segments[other]);
        if depth == DEPTH_MIN || b.depth != a.depth || a.len + b.len > MERGED_MAX {
            return;
        }
        let moving = self.take_handles(other);
        self.segments[mine].depth -= 1;
        self.drop_segment(other);
        self.at_depth[depth as usize] -= 2;
        self.at_depth[depth as usize - 1] += 1;
        let width = 1usize << (self.depth - depth + 1);
        let first = (hash >> (u64::BITS - depth + 1)) as usize * width;
        let number = u32::try_from(mine).expect("segment numbers are 32 bits");
        self.directory[first..first + width].fill(number);
        self.refile(moving, hash_of);
        while self.depth > DEPTH_MIN && self.at_depth[self.depth as usize] == 0 {
            self.directory = self.directory.iter().step_by(2).copied().collect();
            self.depth -= 1;
        }
    }
}

impl Index {
    fn double_directory(&mut self) {
        let mut wider = Vec::with_capacity(self.directory.len() * 2);
        for &number in &self.directory {
            wider.extend([number; 2]);
        }
        self.directory = wider;
        self.depth += 1;
    }

    /// Empties a segment into the list of moving handles.
    fn take_handles(&mut self, number: usize) -> Vec<u32> {
        let mut moving = std::mem::take(&mut self.moving);
        self.segments[number].drain_into(&mut moving);
        moving
    }

    /// Files the moving handles anew. Hashes are computed for several at a time, because each reads
    /// a key from memory that is seldom cached, and reads that follow closely overlap.
    fn refile(&mut self, mut moving: Vec<u32>, hash_of: impl Fn(u32) -> u64) {
        for handles in moving.chunks(REFILE_BATCH) {
            let mut hashes = [0; REFILE_BATCH];
            for (hash, &handle) in hashes.iter_mut().zip(handles) {
                *hash = hash_of(handle);
            }
            for (&hash, &handle) in hashes.iter().zip(handles) {
                self.segment_mut(hash).insert(hash, handle);
            }
        }
        moving.clear();
        self.moving = moving;
    }

    fn add_segment(&mut self, depth: u32) -> u32 {
        let segment = Segment::new(depth);
        self.live += 1;
        if self.vacant != NONE {
            let number = self.vacant;
            let place = &mut self.segments[number as usize];
            self.vacant = place.next_vacant;
            *place = segment;
            return number;
        }
        self.segments.push(segment);
        u32::try_from(self.segments.len() - 1).expect("segment numbers are 32 bits")
    }

    fn drop_segment(&mut self, number: usize) {
        self.segments[number].vacate(self.vacant);
        self.vacant = u32::try_from(number).expect("segment numbers are 32 bits");
        self.live -= 1;
    }
}

/// No segment.
const NONE: u32 = u32::MAX;

/// Entries of a segment that is split before the next one: five sixths of its places. A segment is
/// therefore between five and ten twelfths full in a growing store: 6.4 to 12.8 bytes a record.
const SPLIT_AT: u16 = 640;

/// Insertions into a segment after which it may be split once more: less than the half of the
/// entries that honest hashes leave it at a split.
const SPLIT_AGAIN_AFTER: u64 = 250;

/// Splits beyond one a segment that are always reckoned with.
const RESPLITS_MIN: u64 = 8;

/// Bytes of the directory reckoned for a split when the index is still small.
const DIRECTORY_BYTES_PER_SPLIT: u64 = 64;

/// Handles of a segment that are hashed together.
const REFILE_BATCH: usize = 32;

/// A segment with fewer entries looks whether it can join its other half.
const MERGE_BELOW: u16 = 160;

/// Most entries of a segment that comes of a merge, well below [`SPLIT_AT`].
const MERGED_MAX: u16 = 400;

/// Topmost bits of the hash that the directory uses at least.
const DEPTH_MIN: u32 = 1;

/// Topmost bits of the hash that the directory uses at most: enough for 2^31 records.
const DEPTH_MAX: u32 = 26;

/// The directory does not grow beyond this multiple of the segments: honest hashes need four, and
/// keys chosen to collide must not cost memory without end.
const DIRECTORY_PER_SEGMENT_MAX: usize = 64;

const _: () = assert!((SPLIT_AT as usize) < SEGMENT_ENTRIES && MERGED_MAX < SPLIT_AT);

#[cfg(test)]
mod tests {
    use super::*;

    /// A hash that spreads and can be undone in the head: handle times an odd constant.
    fn hash_of(handle: u32) -> u64 {
        (u64::from(handle) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(17)
    }

    fn filled(count: u32) -> Index {
        let mut index = Index::new();
        for handle in 0..count {
            index.insert(hash_of(handle), handle, hash_of);
        }
        index
    }

    #[test]
    fn everything_filed_is_found_and_nothing_else() {
        let index = filled(50_000);
        for handle in 0..50_000 {
            assert_eq!(index.find(hash_of(handle), |h| h == handle), Some(handle));
        }
        for handle in 50_000..60_000 {
            assert_eq!(index.find(hash_of(handle), |h| h == handle), None);
        }
    }

    #[test]
    fn an_emptied_index_gives_its_memory_back() {
        let empty = Index::new().heap_bytes();
        let mut index = filled(50_000);
        let full = index.heap_bytes();
        for handle in 0..50_000 {
            assert!(index.remove(hash_of(handle), handle, hash_of));
            assert!(!index.remove(hash_of(handle), handle, hash_of));
            let next = handle + 1;
            assert_eq!(
                index.find(hash_of(next), |h| h == next).is_some(),
                next < 50_000
            );
        }
        let tables = index.segments.capacity() * size_of::<Segment>();
        assert!(full > 400_000 && index.heap_bytes() <= empty + tables as u64);
        assert_eq!(index.depth, DEPTH_MIN);
    }

    #[test]
    fn growth_is_foretold() {
        let mut index = Index::new();
        for _ in 0..2 {
            for handle in 0..20_000 {
                let hash = hash_of(handle);
                let (before, most) = (index.heap_bytes(), index.growth(hash));
                index.insert(hash, handle, hash_of);
                assert!(index.heap_bytes() <= before + most);
            }
            for handle in 0..20_000 {
                let before = index.heap_bytes();
                assert!(index.remove(hash_of(handle), handle, hash_of));
                assert!(index.heap_bytes() <= before, "removing takes no memory");
            }
        }
    }

    #[test]
    fn a_scan_meets_what_stays_while_the_rest_changes() {
        let mut index = filled(20_000);
        let mut seen = vec![0u32; 20_000];
        let (mut from, mut added) = (Some(0), 20_000);
        while let Some(hash) = from {
            from = index.scan(hash, |handle| {
                if let Some(count) = seen.get_mut(handle as usize) {
                    *count += 1;
                }
            });
            for _ in 0..700 {
                index.insert(hash_of(added), added, hash_of);
                added += 1;
            }
            let odd = (added % 20_000) | 1;
            index.remove(hash_of(odd), odd, hash_of);
        }
        assert!(seen.iter().step_by(2).all(|&count| count == 1));
    }

    #[test]
    fn keys_of_one_hash_fill_a_segment_and_then_find_no_room() {
        let mut index = Index::new();
        let mut count = 0;
        while index.has_room(7) {
            index.insert(7, count, |_| 7);
            count += 1;
        }
        assert_eq!(count as usize, SEGMENT_ENTRIES);
        for handle in 0..count {
            assert_eq!(index.find(7, |h| h == handle), Some(handle));
        }
        for handle in 0..count {
            assert!(index.remove(7, handle, |_| 7));
        }
        assert_eq!(index.find(7, |_| true), None);
    }
}
