//! A segment of the index: 64 buckets of one cache line, and what is done inside them.
//!
//! A bucket is 12 entries of a tag byte and a handle. An entry lives in its home bucket or, when
//! that is full, in the next one with room; each bucket counts the entries that passed it (the
//! scheme of Facebook's F14). So most lookups read one line, and removal leaves no tombstones.

/// A part of the index: a small table of its own.
pub(crate) struct Segment {
    /// [`BUCKETS`] of them, or none when the segment is vacant.
    buckets: Box<[Bucket]>,
    pub(super) len: u16,
    /// Topmost bits of the hash that all its entries share.
    pub(super) depth: u8,
    /// When it is vacant: the next vacant segment.
    pub(super) next_vacant: u32,
}

/// One cache line. Bytes 0–11 of `head` are tags, 0 where there is no entry; bytes 12–13 count the
/// entries that passed this bucket because it was full.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Bucket {
    head: [u8; 16],
    handles: [u32; ENTRIES],
}

impl Segment {
    pub(super) fn new(depth: u32) -> Self {
        Self {
            buckets: vec![Bucket::EMPTY; BUCKETS].into_boxed_slice(),
            len: 0,
            depth: u8::try_from(depth).expect("depths are below 64"),
            next_vacant: 0,
        }
    }

    /// The handle filed under `hash` which `is_it` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let buckets = self.table();
        let tag = tag_of(hash);
        let mut at = home_of(hash);
        for _ in 0..BUCKETS {
            let bucket = &buckets[at];
            let mut hits = bucket.matches(tag);
            while hits != 0 {
                let handle = bucket.handles[hits.trailing_zeros() as usize];
                if is_it(handle) {
                    return Some(handle);
                }
                hits &= hits - 1;
            }
            if bucket.passed() == 0 {
                return None;
            }
            at = (at + 1) % BUCKETS;
        }
        None
    }

    /// The tags that a lookup of `hash` reads first.
    #[inline]
    pub(super) fn home(&self, hash: u64) -> &[u8; 16] {
        &self.table()[home_of(hash)].head
    }

    /// Takes all entries out.
    pub(super) fn drain_into(&mut self, handles: &mut Vec<u32>) {
        handles.extend(self.handles());
        self.buckets.fill(Bucket::EMPTY);
        self.len = 0;
    }

    /// Gives the memory back; the segment must not be used again.
    pub(super) fn vacate(&mut self, next_vacant: u32) {
        self.buckets = Box::default();
        self.next_vacant = next_vacant;
    }

    #[inline]
    fn table(&self) -> &[Bucket; BUCKETS] {
        self.buckets
            .first_chunk()
            .expect("the directory names no vacant segment")
    }

    pub(super) fn insert(&mut self, hash: u64, handle: u32) {
        let mut at = home_of(hash);
        for _ in 0..BUCKETS {
            let bucket = &mut self.buckets[at];
            let vacant = bucket.matches(NO_TAG);
            if vacant != 0 {
                let entry = vacant.trailing_zeros() as usize;
                bucket.head[entry] = tag_of(hash);
                bucket.handles[entry] = handle;
                self.len += 1;
                return;
            }
            bucket.count_passed(true);
            at = (at + 1) % BUCKETS;
        }
        unreachable!("room was checked before");
    }

    pub(super) fn remove(&mut self, hash: u64, handle: u32) -> bool {
        let Some((at, entry)) = self.position(hash, handle) else {
            return false;
        };
        self.buckets[at].head[entry] = NO_TAG;
        self.len -= 1;
        let mut passed = home_of(hash);
        while passed != at {
            self.buckets[passed].count_passed(false);
            passed = (passed + 1) % BUCKETS;
        }
        true
    }

    pub(super) fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let Some((at, entry)) = self.position(hash, old) else {
            return false;
        };
        self.buckets[at].handles[entry] = new;
        true
    }

    fn position(&self, hash: u64, handle: u32) -> Option<(usize, usize)> {
        let tag = tag_of(hash);
        let mut at = home_of(hash);
        for _ in 0..BUCKETS {
            let bucket = &self.buckets[at];
            let mut hits = bucket.matches(tag);
            while hits != 0 {
                let entry = hits.trailing_zeros() as usize;
                if bucket.handles[entry] == handle {
                    return Some((at, entry));
                }
                hits &= hits - 1;
            }
            if bucket.passed() == 0 {
                return None;
            }
            at = (at + 1) % BUCKETS;
        }
        None
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = u32> {
        self.buckets.iter().flat_map(|bucket| {
            let entries = bucket.head.iter().zip(&bucket.handles);
            entries
                .filter(|&(&tag, _)| tag != NO_TAG)
                .map(|(_, &handle)| handle)
        })
    }
}

impl Bucket {
    const EMPTY: Self = Self {
        head: [0; 16],
        handles: [0; ENTRIES],
    };

    /// One bit for each entry with this tag.
    #[inline]
    fn matches(&self, tag: u8) -> u32 {
        let mut bits = 0;
        for (at, &own) in self.head.iter().enumerate() {
            bits |= u32::from(own == tag) << at;
        }
        bits & ((1 << ENTRIES) - 1)
    }

    #[inline]
    fn passed(&self) -> u16 {
        u16::from_le_bytes([self.head[12], self.head[13]])
    }

    fn count_passed(&mut self, is_more: bool) {
        let passed = self.passed();
        let passed = if is_more { passed + 1 } else { passed - 1 };
        self.head[12..14].copy_from_slice(&passed.to_le_bytes());
    }
}

/// The first bucket for a hash: by bits that the directory does not use.
#[inline]
fn home_of(hash: u64) -> usize {
    hash as usize % BUCKETS
}

/// The tag of a hash, by bits that neither directory nor bucket use; never [`NO_TAG`].
#[inline]
fn tag_of(hash: u64) -> u8 {
    hash.to_le_bytes()[1].max(1)
}

const NO_TAG: u8 = 0;

/// Buckets of a segment.
const BUCKETS: usize = 64;

/// Entries of a bucket.
const ENTRIES: usize = 12;

/// Places for entries in a segment.
pub(super) const SEGMENT_ENTRIES: usize = BUCKETS * ENTRIES;

/// Bytes of a segment's buckets.
pub(super) const SEGMENT_BYTES: usize = size_of::<[Bucket; BUCKETS]>();

const _: () = assert!(size_of::<Bucket>() == 64);
