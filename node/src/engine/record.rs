//! The bytes of one record as they lie in a slab slot, and their accessors.
//!
//! Integers are little-endian. Header and key fill one cache line, so that a read which compares
//! the key has the version and expiry at hand.

use proto::key::{KEY_BYTES, Key};
use proto::limits::VALUE_BYTES_MAX;
use proto::version::Version;

/// Bytes of a record before its value.
pub(crate) const HEAD_BYTES: usize = 64;

/// Bytes of a record that are neither key nor value.
pub(crate) const HEADER_BYTES: usize = HEAD_BYTES - KEY_BYTES;

/// The latest expiry that a record can hold, milliseconds since 1970: the year 10889. Later ones
/// are taken for it.
pub const EXPIRY_MS_MAX: u64 = (1 << 48) - 1;

/// A record as it is read: the value is borrowed from the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordRef<'a> {
    /// The value.
    pub value: &'a [u8],
    /// Its version.
    pub version: Version,
    /// When it expires, milliseconds since 1970; 0 is never.
    pub expiry_ms: u64,
}

/// A record as it is written: everything that replicas of a key must agree on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// The key.
    pub key: Key,
    /// Its version; the greatest one wins.
    pub version: Version,
    /// When it expires, milliseconds since 1970; 0 is never.
    pub expiry_ms: u64,
    /// The value, at most [`VALUE_BYTES_MAX`] bytes.
    pub value: &'a [u8],
}

/// Whether a record with this expiry is gone at `wall_ms`: at its expiry, not after it.
#[must_use]
pub const fn is_expired(expiry_ms: u64, wall_ms: u64) -> bool {
    expiry_ms != 0 && expiry_ms <= wall_ms
}

/// A record in a slot, for reading:
///
/// ```text
/// offset  bytes  field
///      0      8  version stamp
///      8      8  version node
///     16      2  value length
///     18      6  expiry, milliseconds since 1970; 0 is never
///     24      4  wheel: previous record, or the list it heads
///     28      4  wheel: next record
///     32     32  key
///     64      n  value
/// ```
///
/// The slot may be longer than the record.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    head: &'a [u8; HEAD_BYTES],
    rest: &'a [u8],
}

impl<'a> Slot<'a> {
    /// The record in `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let (head, rest) = bytes.split_first_chunk().expect("a slot holds a head");
        Self { head, rest }
    }

    #[inline]
    pub(crate) fn key(&self) -> &'a [u8; KEY_BYTES] {
        self.head.last_chunk().expect("the key ends the head")
    }

    #[inline]
    pub(crate) fn version(&self) -> Version {
        Version {
            stamp: u64_at(self.head, 0),
            node: u64_at(self.head, 8),
        }
    }

    #[inline]
    pub(crate) fn expiry_ms(&self) -> u64 {
        u64_at(self.head, 16) >> 16
    }

    #[inline]
    pub(crate) fn value_len(&self) -> usize {
        usize::from(u16::from_le_bytes([self.head[16], self.head[17]]))
    }

    #[inline]
    pub(crate) fn prev(&self) -> u32 {
        u32_at(self.head, 24)
    }

    #[inline]
    pub(crate) fn next(&self) -> u32 {
        u32_at(self.head, 28)
    }

    /// The first byte of the value.
    #[inline]
    pub(crate) fn value_start(&self) -> Option<&'a u8> {
        self.rest.first()
    }

    #[inline]
    pub(crate) fn record(&self) -> RecordRef<'a> {
        RecordRef {
            value: &self.rest[..self.value_len()],
            version: self.version(),
            expiry_ms: self.expiry_ms(),
        }
    }
}

/// Writes `record` into a slot long enough for it and leaves the wheel's links alone.
pub(crate) fn write_record(slot: &mut [u8], record: &Record<'_>) {
    let len = u16::try_from(record.value.len()).expect("values are within their limit");
    let expiry_ms = record.expiry_ms.min(EXPIRY_MS_MAX);
    slot[0..8].copy_from_slice(&record.version.stamp.to_le_bytes());
    slot[8..16].copy_from_slice(&record.version.node.to_le_bytes());
    slot[16..24].copy_from_slice(&(expiry_ms << 16 | u64::from(len)).to_le_bytes());
    slot[32..64].copy_from_slice(record.key.as_bytes());
    slot[HEAD_BYTES..HEAD_BYTES + record.value.len()].copy_from_slice(record.value);
}

/// Sets the wheel's link to the previous record.
pub(crate) fn write_prev(slot: &mut [u8], prev: u32) {
    slot[24..28].copy_from_slice(&prev.to_le_bytes());
}

/// Sets the wheel's link to the next record.
pub(crate) fn write_next(slot: &mut [u8], next: u32) {
    slot[28..32].copy_from_slice(&next.to_le_bytes());
}

#[inline]
fn u64_at(head: &[u8; HEAD_BYTES], at: usize) -> u64 {
    let bytes = head[at..].first_chunk().expect("fields lie in the head");
    u64::from_le_bytes(*bytes)
}

#[inline]
fn u32_at(head: &[u8; HEAD_BYTES], at: usize) -> u32 {
    let bytes = head[at..].first_chunk().expect("fields lie in the head");
    u32::from_le_bytes(*bytes)
}

const _: () = assert!(VALUE_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(HEADER_BYTES == 32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_as_it_was_written() {
        let record = Record {
            key: Key::from_bytes([7; 32]),
            version: Version { stamp: 9, node: 8 },
            expiry_ms: EXPIRY_MS_MAX,
            value: &[5; VALUE_BYTES_MAX],
        };
        let mut bytes = vec![0xaa; HEAD_BYTES + VALUE_BYTES_MAX + 8];
        write_record(&mut bytes, &record);
        write_prev(&mut bytes, 3);
        write_next(&mut bytes, 4);
        let slot = Slot::new(&bytes);
        assert_eq!((slot.prev(), slot.next()), (3, 4));
        assert_eq!(slot.key(), record.key.as_bytes());
        let read = slot.record();
        assert_eq!(read.value, record.value);
        assert_eq!(read.version, record.version);
        assert_eq!(read.expiry_ms, EXPIRY_MS_MAX);
    }

    #[test]
    fn expiry_is_reached_at_its_millisecond() {
        assert!(!is_expired(0, u64::MAX));
        assert!(!is_expired(10, 9));
        assert!(is_expired(10, 10));
    }
}
