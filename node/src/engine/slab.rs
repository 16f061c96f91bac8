//! Slabs: pages of equal slots, one set of pages for each size class, and nothing else on the heap.
//!
//! Slots of a class are dense: freeing one moves the last record of the class into the hole and
//! says so, so that a class never holds more than one partly filled page, memory follows the live
//! records exactly, and there is no fragmentation to bound. A page that empties is given back, and
//! its number is kept in a list threaded through the table of pages: removing never allocates.
//! Records longer than the largest class have a page of their own, of exactly their length.

mod promise;

use self::promise::Promised;
use super::record::{HEAD_BYTES, Record, Slot, write_next, write_prev, write_record};
use super::size_class::{
    BIG, CLASSES, LINE_BYTES, PAGE_BYTES, SLOT_BYTES_MAX, SLOT_ROOM_BYTES, class_of, slot_bytes_of,
    slots_of,
};

/// Where a record lies: page number and slot. The topmost bit is never set, which leaves the wheel
/// a bit to tell a record from a list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Handle(pub(crate) u32);

/// A record that was moved to fill a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moved {
    pub(crate) from: Handle,
    pub(crate) to: Handle,
}

/// All records of a shard.
pub(crate) struct Slab {
    pages: Vec<Page>,
    /// First of the page numbers without a page, [`NONE`] when there is none.
    vacant: u32,
    /// How many page numbers have no page.
    vacant_len: usize,
    classes: Vec<Class>,
    /// One empty page kept back, so that a store around a page's edge does not allocate for each
    /// put.
    spare: Option<Box<[u8]>>,
    page_bytes: u64,
    /// Bytes of the classes' lists of pages.
    list_bytes: u64,
    promised: Promised,
}

struct Page {
    bytes: Box<[u8]>,
    /// Bytes before the first slot, which starts a cache line.
    start: u8,
    class: u8,
    slot_bytes: u16,
    /// When the page was given back: the next number without a page.
    next_vacant: u32,
}

#[derive(Clone, Default)]
struct Class {
    pages: Vec<u32>,
    /// Records in the last page.
    tail_len: u32,
    /// Slots set aside for writes in flight.
    promised_slots: u32,
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self {
            pages: Vec::new(),
            vacant: NONE,
            vacant_len: 0,
            classes: vec![Class::default(); usize::from(CLASSES)],
            spare: None,
            page_bytes: 0,
            list_bytes: 0,
            promised: Promised::default(),
        }
    }

    /// The record at `handle`.
    #[inline]
    pub(crate) fn slot(&self, handle: Handle) -> Slot<'_> {
        let page = &self.pages[handle.page()];
        Slot::new(&page.bytes[page.offset(handle)..])
    }

    /// Bytes on the heap: pages whole, the tables of them, the spare.
    pub(crate) fn heap_bytes(&self) -> u64 {
        let tables = self.pages.capacity() * size_of::<Page>()
            + self.classes.capacity() * size_of::<Class>();
        self.page_bytes + self.list_bytes + tables as u64
    }

    /// The most that storing a value of `value_len` bytes may add to [`Slab::heap_bytes`].
    pub(crate) fn growth(&self, value_len: usize) -> u64 {
        let class = class_of(HEAD_BYTES + value_len);
        let own = self.classes.get(usize::from(class));
        let page = match own {
            None => HEAD_BYTES + value_len,
            Some(own) if own.has_room(class) => return 0,
            Some(_) if self.spare.is_some() => 0,
            Some(_) => PAGE_BYTES,
        };
        // The spare saves the page, not the places in the tables.
        let table = if self.vacant == NONE {
            push_growth(&self.pages)
        } else {
            0
        };
        let list = own.map_or(0, |own| push_growth(&own.pages));
        (page + table + list) as u64
    }

    /// What removing the record at `handle` gives back, the page it may leave as a spare included.
    pub(crate) fn shrinkage(&self, handle: Handle) -> u64 {
        let page = &self.pages[handle.page()];
        match self.classes.get(usize::from(page.class)) {
            Some(own) if own.tail_len > 1 => 0,
            _ => page.bytes.len() as u64,
        }
    }

    /// Gives the spare page back.
    pub(crate) fn drop_spare(&mut self) {
        let spare = self.spare.take();
        self.page_bytes -= spare.map_or(0, |bytes| bytes.len() as u64);
    }

    /// Whether a page more, besides those promised, finds a number; false only beyond four million
    /// pages.
    pub(crate) fn has_number(&self) -> bool {
        let live = self.pages.len() - self.vacant_len;
        live as u64 + self.promised.pages() < PAGES_MAX as u64
    }

    /// Whether a value of `value_len` bytes would overwrite one of `old_len` where it lies.
    pub(crate) fn fits(old_len: usize, value_len: usize) -> bool {
        let class = class_of(HEAD_BYTES + value_len);
        class_of(HEAD_BYTES + old_len) == class && (class != BIG || old_len == value_len)
    }

    /// Stores a record in a new slot. Its wheel links are unset.
    pub(crate) fn insert(&mut self, record: &Record<'_>) -> Handle {
        let record_bytes = HEAD_BYTES + record.value.len();
        let class = class_of(record_bytes);
        let handle = if class == BIG {
            let bytes = vec![0; record_bytes].into_boxed_slice();
            Handle::new(self.add_page(bytes, class), 0)
        } else {
            self.take_slot(class)
        };
        write_record(self.slot_mut(handle), record);
        handle
    }

    /// Replaces the record at `handle` where it lies, wheel links kept. False when the new value
    /// does not fit there or would waste the place; nothing is changed then.
    pub(crate) fn overwrite(&mut self, handle: Handle, record: &Record<'_>) -> bool {
        let record_bytes = HEAD_BYTES + record.value.len();
        let page = &self.pages[handle.page()];
        if class_of(record_bytes) != page.class {
            return false;
        }
        if page.class == BIG && page.bytes.len() != record_bytes {
            return false;
        }
        write_record(self.slot_mut(handle), record);
        true
    }

    /// Gives the slot back; says which record was moved into it, if any. The moved record's wheel
    /// links came along.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Moved> {
        let class = self.pages[handle.page()].class;
        if class == BIG {
            self.drop_page(handle.page_number());
            return None;
        }
        let promised_pages = self.promised_pages(class);
        let own = &mut self.classes[usize::from(class)];
        let last_page = *own.pages.last().expect("a class with a record has a page");
        own.tail_len -= 1;
        let last = Handle::new(last_page, own.tail_len);
        let is_empty = own.tail_len == 0;
        if is_empty {
            own.pages.pop();
            own.tail_len = if own.pages.is_empty() {
                0
            } else {
                slots_of(class)
            };
        }
        self.recount_promised(class, promised_pages);
        let moved = (last != handle).then(|| self.move_slot(last, handle));
        if is_empty {
            self.drop_page(last_page);
        }
        moved
    }

    pub(crate) fn write_prev(&mut self, handle: Handle, prev: u32) {
        write_prev(self.slot_mut(handle), prev);
    }

    pub(crate) fn write_next(&mut self, handle: Handle, next: u32) {
        write_next(self.slot_mut(handle), next);
    }

    fn slot_mut(&mut self, handle: Handle) -> &mut [u8] {
        let page = &mut self.pages[handle.page()];
        let offset = page.offset(handle);
        &mut page.bytes[offset..]
    }

    fn take_slot(&mut self, class: u8) -> Handle {
        let promised_pages = self.promised_pages(class);
        let own = &self.classes[usize::from(class)];
        if !own.has_room(class) {
            let spare = self.spare.take();
            self.page_bytes -= spare.as_ref().map_or(0, |bytes| bytes.len() as u64);
            let bytes = spare.unwrap_or_else(|| vec![0; PAGE_BYTES].into_boxed_slice());
            let page = self.add_page(bytes, class);
            let own = &mut self.classes[usize::from(class)];
            let before = own.pages.capacity();
            own.pages.push(page);
            own.tail_len = 0;
            self.list_bytes += ((own.pages.capacity() - before) * size_of::<u32>()) as u64;
        }
        let own = &mut self.classes[usize::from(class)];
        let page = *own
            .pages
            .last()
            .expect("a page was made when there was no room");
        own.tail_len += 1;
        let handle = Handle::new(page, own.tail_len - 1);
        self.recount_promised(class, promised_pages);
        handle
    }

    fn move_slot(&mut self, from: Handle, to: Handle) -> Moved {
        let slot_bytes = usize::from(self.pages[from.page()].slot_bytes);
        let mut bytes = [0; SLOT_BYTES_MAX];
        let bytes = &mut bytes[..slot_bytes];
        let source = &self.pages[from.page()];
        let start = source.offset(from);
        bytes.copy_from_slice(&source.bytes[start..start + slot_bytes]);
        self.slot_mut(to)[..slot_bytes].copy_from_slice(bytes);
        Moved { from, to }
    }

    fn add_page(&mut self, bytes: Box<[u8]>, class: u8) -> u32 {
        self.page_bytes += bytes.len() as u64;
        // A page of one record has no second slot to align, and no byte to spare for it.
        let start = if class == BIG {
            0
        } else {
            bytes.as_ptr().align_offset(LINE_BYTES)
        };
        let page = Page {
            bytes,
            start: u8::try_from(start).expect("a line is less than 256 bytes"),
            class,
            slot_bytes: if class == BIG {
                0
            } else {
                slot_bytes_of(class)
            },
            next_vacant: NONE,
        };
        if self.vacant != NONE {
            let number = self.vacant;
            let place = &mut self.pages[number as usize];
            self.vacant = place.next_vacant;
            self.vacant_len -= 1;
            *place = page;
            return number;
        }
        assert!(
            self.pages.len() < PAGES_MAX,
            "page numbers are checked first"
        );
        self.pages.push(page);
        u32::try_from(self.pages.len() - 1).expect("page numbers have 22 bits")
    }

    fn drop_page(&mut self, number: u32) {
        let page = &mut self.pages[number as usize];
        let bytes = std::mem::take(&mut page.bytes);
        page.next_vacant = self.vacant;
        self.vacant = number;
        self.vacant_len += 1;
        if page.class != BIG && self.spare.is_none() {
            self.spare = Some(bytes);
        } else {
            self.page_bytes -= bytes.len() as u64;
        }
    }
}

impl Handle {
    fn new(page: u32, slot: u32) -> Self {
        Self(page << SLOT_BITS | slot)
    }

    #[inline]
    fn page(self) -> usize {
        self.page_number() as usize
    }

    #[inline]
    fn page_number(self) -> u32 {
        self.0 >> SLOT_BITS
    }

    #[inline]
    fn slot(self) -> usize {
        (self.0 & ((1 << SLOT_BITS) - 1)) as usize
    }
}

impl Page {
    #[inline]
    fn offset(&self, handle: Handle) -> usize {
        usize::from(self.start) + handle.slot() * usize::from(self.slot_bytes)
    }
}

impl Class {
    fn has_room(&self, class: u8) -> bool {
        !self.pages.is_empty() && self.tail_len < slots_of(class)
    }
}

/// The most that one push may add to the memory of a `Vec` of pages or page numbers: it doubles,
/// from four on.
fn push_growth<T>(vec: &Vec<T>) -> usize {
    let room = vec.capacity();
    if vec.len() < room {
        return 0;
    }
    room.max(4) * size_of::<T>()
}

/// No page number.
const NONE: u32 = u32::MAX;

/// Bits of a handle that number the slot.
const SLOT_BITS: u32 = 9;

/// Most pages of a shard: 128 GiB in slots.
const PAGES_MAX: usize = 1 << (31 - SLOT_BITS);

const _: () = assert!(SLOT_ROOM_BYTES as usize / HEAD_BYTES <= 1 << SLOT_BITS);

#[cfg(test)]
impl Slab {
    /// The bytes that these records, all there are, should take.
    pub(crate) fn recount(&self, handles: &std::collections::BTreeSet<u32>) -> u64 {
        let mut of_class = vec![0u32; usize::from(CLASSES)];
        let mut bytes = self.spare.as_ref().map_or(0, |spare| spare.len());
        for &handle in handles {
            let record_bytes = HEAD_BYTES + self.slot(Handle(handle)).value_len();
            match of_class.get_mut(usize::from(class_of(record_bytes))) {
                Some(count) => *count += 1,
                None => bytes += record_bytes,
            }
        }
        for (class, count) in (0..CLASSES).zip(of_class) {
            bytes += count.div_ceil(slots_of(class)) as usize * PAGE_BYTES;
        }
        bytes += self.pages.capacity() * size_of::<Page>();
        let lists = self.classes.iter().map(|class| class.pages.capacity() * 4);
        (bytes + lists.sum::<usize>() + self.classes.capacity() * size_of::<Class>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::key::Key;
    use proto::version::Version;

    fn record(tag: u8, value: &[u8]) -> Record<'_> {
        Record {
            key: Key::from_bytes([tag; 32]),
            version: Version::default(),
            expiry_ms: 0,
            value,
        }
    }

    #[test]
    fn removing_keeps_slots_dense_and_gives_pages_back() {
        let mut slab = Slab::new();
        let empty = slab.heap_bytes();
        let slots = slots_of(class_of(HEAD_BYTES + 64)) as usize;
        let handles: Vec<_> = (0..slots + 1)
            .map(|i| slab.insert(&record(i.to_le_bytes()[0], &[1; 64])))
            .collect();
        assert_eq!(slab.page_bytes, 2 * PAGE_BYTES as u64);
        let moved = slab.remove(handles[3]).unwrap();
        assert_eq!((moved.from, moved.to), (handles[slots], handles[3]));
        assert_eq!(slab.slot(handles[3]).key(), &[slots.to_le_bytes()[0]; 32]);
        assert_eq!(slab.page_bytes, 2 * PAGE_BYTES as u64, "one page is spare");
        for &handle in handles[..slots].iter().rev() {
            assert_eq!(slab.remove(handle), None);
        }
        assert_eq!(slab.page_bytes, PAGE_BYTES as u64);
        assert!(slab.heap_bytes() - empty < PAGE_BYTES as u64 + 1024);
        assert_eq!(slab.growth(64), 0);
        assert!(slab.growth(4000) > 4000);
    }

    #[test]
    fn a_spare_page_does_not_hide_the_growth_of_the_tables() {
        let mut slab = Slab::new();
        let short = slab.insert(&record(0, &[1; 64]));
        for tag in 1..4 {
            slab.insert(&record(tag, &[1; 5000]));
        }
        slab.remove(short);
        slab.insert(&record(4, &[1; 5000]));
        assert!(slab.spare.is_some() && slab.pages.len() == slab.pages.capacity());
        let (before, most) = (slab.heap_bytes(), slab.growth(200));
        slab.insert(&record(5, &[1; 200]));
        assert!(slab.heap_bytes() > before, "the tables grew");
        assert_eq!(slab.heap_bytes(), before + most);
    }

    #[test]
    fn long_records_take_their_length_and_give_it_back() {
        let mut slab = Slab::new();
        let handle = slab.insert(&record(1, &[1; 5000]));
        assert_eq!(slab.page_bytes, 5064);
        assert!(!slab.overwrite(handle, &record(1, &[1; 5001])));
        assert!(slab.overwrite(handle, &record(1, &[2; 5000])));
        assert_eq!(slab.slot(handle).record().value, [2; 5000]);
        assert_eq!(slab.remove(handle), None);
        assert_eq!(slab.page_bytes, 0);
    }
}
