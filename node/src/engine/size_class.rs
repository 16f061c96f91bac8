//! Size classes of slab slots: which slots suit a record, and how many a page has.
//!
//! Slots are multiples of 4 bytes up to 256, of 8 up to 512, of 32 up to 1,024 and of 64 up to
//! 2,048: at most 7 bytes of a record up to 512, or 6.25 % of a longer one, are lost to rounding.

use super::record::HEAD_BYTES;

/// The class whose slots suit a record of `record_bytes`, [`BIG`] when none does.
pub(crate) fn class_of(record_bytes: usize) -> u8 {
    let class = match record_bytes {
        0..=256 => record_bytes.max(HEAD_BYTES).div_ceil(4) - 16,
        257..=512 => 49 + (record_bytes - 256).div_ceil(8) - 1,
        513..=1024 => 81 + (record_bytes - 512).div_ceil(32) - 1,
        1025..=SLOT_BYTES_MAX => 97 + (record_bytes - 1024).div_ceil(64) - 1,
        _ => usize::from(BIG),
    };
    u8::try_from(class).expect("there are 113 classes")
}

/// Length of the slots of a class.
pub(crate) fn slot_bytes_of(class: u8) -> u16 {
    let class16 = u16::from(class);
    match class {
        0..49 => 64 + class16 * 4,
        49..81 => 256 + (class16 - 48) * 8,
        81..97 => 512 + (class16 - 80) * 32,
        _ => 1024 + (class16 - 96) * 64,
    }
}

/// Slots of a page of a class.
pub(crate) fn slots_of(class: u8) -> u32 {
    SLOT_ROOM_BYTES / u32::from(slot_bytes_of(class))
}

pub(crate) const CLASSES: u8 = 113;

/// The class of records that have a page of their own.
pub(crate) const BIG: u8 = u8::MAX;

/// Longest slot in bytes.
pub(crate) const SLOT_BYTES_MAX: usize = 2048;

/// Bytes of a page. A class wastes at most one page, all classes together 3.5 MiB.
pub(crate) const PAGE_BYTES: usize = 32 * 1024;

/// Bytes of a cache line, where the first slot of a page starts.
pub(crate) const LINE_BYTES: usize = 64;

/// Bytes of a page that slots may use wherever its first cache line starts.
pub(crate) const SLOT_ROOM_BYTES: u32 = (PAGE_BYTES - LINE_BYTES) as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_narrowest_slot() {
        for bytes in HEAD_BYTES..=SLOT_BYTES_MAX {
            let class = class_of(bytes);
            assert!(class < CLASSES);
            let slot = usize::from(slot_bytes_of(class));
            assert!(slot >= bytes, "{bytes} in {slot}");
            assert!(
                slot - bytes < if bytes <= 256 { 4 } else { 8 } || (slot - bytes) * 16 < bytes,
                "{bytes} in {slot}"
            );
            assert!(class == 0 || usize::from(slot_bytes_of(class - 1)) < bytes);
        }
        assert_eq!(class_of(SLOT_BYTES_MAX + 1), BIG);
    }
}
