//! Places set aside for records that are on their way: a write that waits for the disk was admitted
//! under the memory cap and must find its place when it comes.
//!
//! A promise is not a slot but a number: so many slots of a class, so many pages of their own.
//! What keeping all promises would cost is known at any time, page by page.

use super::{BIG, Page, Slab, class_of};
use crate::engine::record::HEAD_BYTES;
use crate::engine::size_class::{PAGE_BYTES, slots_of};

/// What all promises together may need.
#[derive(Debug, Default)]
pub(super) struct Promised {
    /// Pages that the slots promised need beyond those there are.
    slot_pages: u64,
    /// Pages of their own for long records.
    big_pages: u64,
    /// Bytes of those.
    big_bytes: u64,
}

impl Promised {
    pub(super) const fn pages(&self) -> u64 {
        self.slot_pages + self.big_pages
    }
}

impl Slab {
    /// Sets a place aside for a value of `value_len` bytes.
    pub(crate) fn promise(&mut self, value_len: usize) {
        let record_bytes = HEAD_BYTES + value_len;
        let class = class_of(record_bytes);
        if class == BIG {
            self.promised.big_pages += 1;
            self.promised.big_bytes += record_bytes as u64;
            return;
        }
        let before = self.promised_pages(class);
        self.classes[usize::from(class)].promised_slots += 1;
        self.recount_promised(class, before);
    }

    /// Takes a promise back, because it is kept now or not needed any more.
    pub(crate) fn release(&mut self, value_len: usize) {
        let record_bytes = HEAD_BYTES + value_len;
        let class = class_of(record_bytes);
        if class == BIG {
            self.promised.big_pages -= 1;
            self.promised.big_bytes -= record_bytes as u64;
            return;
        }
        let before = self.promised_pages(class);
        self.classes[usize::from(class)].promised_slots -= 1;
        self.recount_promised(class, before);
    }

    /// The most that keeping all promises may add to [`Slab::heap_bytes`], less the spare page.
    pub(crate) fn promised_growth(&self) -> u64 {
        let pages = self.promised.pages();
        if pages == 0 {
            return 0;
        }
        let slot_pages = self.promised.slot_pages;
        let lists = if slot_pages == 0 {
            0
        } else {
            self.list_bytes + slot_pages * LIST_BYTES_PER_PAGE
        };
        slot_pages * PAGE_BYTES as u64 + self.promised.big_bytes + lists + self.table_growth(pages)
    }

    /// Bytes of the spare page, which can be given back at any time.
    pub(crate) fn spare_bytes(&self) -> u64 {
        self.spare.as_ref().map_or(0, |spare| spare.len() as u64)
    }

    /// Pages that the promises of a class need.
    #[inline]
    pub(super) fn promised_pages(&self, class: u8) -> u32 {
        let own = &self.classes[usize::from(class)];
        if own.promised_slots == 0 {
            return 0;
        }
        let slots = slots_of(class);
        let room = if own.pages.is_empty() {
            0
        } else {
            slots - own.tail_len
        };
        own.promised_slots.saturating_sub(room).div_ceil(slots)
    }

    /// Brings the sum up to date after a change of a class that needed `before` pages.
    #[inline]
    pub(super) fn recount_promised(&mut self, class: u8, before: u32) {
        let after = self.promised_pages(class);
        self.promised.slot_pages += u64::from(after);
        self.promised.slot_pages -= u64::from(before);
    }

    /// What the table of pages grows by when `pages` more get a number.
    fn table_growth(&self, pages: u64) -> u64 {
        let (len, room) = (self.pages.len() as u64, self.pages.capacity() as u64);
        let needed = len + pages.saturating_sub(self.vacant_len as u64);
        let mut then = room;
        while then < needed {
            then = (then * 2).max(TABLE_LEN_MIN);
        }
        (then - room) * size_of::<Page>() as u64
    }
}

/// A list that grows at all becomes at most twice as long as what is in it, and starts with four
/// numbers.
const LIST_BYTES_PER_PAGE: u64 = 6 * size_of::<u32>() as u64;

/// Elements that a `Vec` makes room for at first.
const TABLE_LEN_MIN: u64 = 4;
