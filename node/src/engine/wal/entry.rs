//! The records of a log, byte by byte. Laid out by hand and checked by hand: these bytes outlive
//! the version that wrote them.

use proto::key::{KEY_BYTES, Key};
use proto::limits::VALUE_BYTES_MAX;
use proto::planted::{self, Bug};
use proto::version::Version;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::buffer::Buffer;
use super::names::Lsn;
use crate::engine::record::Record;

/// What a log record says.
///
/// Every record starts on a multiple of 8 bytes and has this form, integers little-endian:
///
/// ```text
/// offset  bytes  field
///      0      8  checksum: XXH3 of everything after it, seeded with the segment's salt
///      8      4  length of the record, this header included, the padding behind it not
///     12      1  kind: 1 commit, 2 put, 3 delete
///     13      3  zeros
///     16      8  lsn
///     24         what the kind says
///            0…7 zeros up to the next multiple of 8
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// The head of a batch; starts a block.
    ///
    /// ```text
    ///     24      8  durable: every record up to this lsn was acknowledged, or could have been
    ///     32      8  stamp: the greatest version stamp given or seen
    ///     40      4  bytes of the batch, this record and the padding to the block's end included
    ///     44      4  zeros
    /// ```
    Commit(Commit),
    /// A value stored.
    ///
    /// ```text
    ///     24      8  version stamp
    ///     32      8  version node
    ///     40      8  expiry, milliseconds since 1970; 0 is never
    ///     48     32  key
    ///     80      n  value
    /// ```
    Put(Record<'a>),
    /// A key deleted: a tombstone.
    ///
    /// ```text
    ///     24      8  version stamp
    ///     32      8  version node
    ///     40      8  zeros
    ///     48     32  key
    /// ```
    Delete {
        /// The key.
        key: Key,
        /// The version of the deletion.
        version: Version,
    },
}

/// See [`Entry::Commit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// Every record up to this lsn was durable when the batch was written.
    pub durable: Lsn,
    /// The greatest version stamp given or seen.
    pub stamp: u64,
    /// Bytes of the batch.
    pub batch_bytes: u32,
}

/// An entry read at some place of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed<'a> {
    /// Its lsn.
    pub lsn: Lsn,
    /// What it says.
    pub entry: Entry<'a>,
    /// Bytes it takes, padding to the next record included.
    pub bytes: usize,
}

impl<'a> Entry<'a> {
    /// Reads the record at the start of `bytes`; `None` when there is none that was written with
    /// this salt.
    #[inline]
    #[must_use]
    pub fn decode(bytes: &'a [u8], salt: u64) -> Option<Placed<'a>> {
        let length = length_at(bytes)?;
        let record = bytes.get(..length)?;
        let checksum = u64::from_le_bytes(*record.first_chunk()?);
        if xxh3_64_with_seed(checked(record)?, salt) != checksum {
            return None;
        }
        Self::decode_checked(bytes, length)
    }

    /// Reads the record at the start of `bytes`, which were checked before.
    #[inline]
    #[must_use]
    pub fn decode_trusted(bytes: &'a [u8]) -> Option<Placed<'a>> {
        Self::decode_checked(bytes, length_at(bytes)?)
    }

    #[inline]
    fn decode_checked(bytes: &'a [u8], length: usize) -> Option<Placed<'a>> {
        let padded = length.next_multiple_of(ALIGN_BYTES);
        // A record's padding is zero, or it is not the one that was written.
        if bytes.get(length..padded)?.iter().any(|byte| *byte != 0) {
            return None;
        }
        let body = bytes.get(HEAD_BYTES..length)?;
        let entry = match bytes.get(12..16)? {
            [KIND_COMMIT, 0, 0, 0] if length == COMMIT_BYTES => Self::Commit(Commit {
                durable: Lsn(u64_at(body, 0)?),
                stamp: u64_at(body, 8)?,
                batch_bytes: u32::from_le_bytes(*body.get(16..)?.first_chunk()?),
            }),
            [KIND_PUT, 0, 0, 0] => Self::Put(Record {
                key: key_at(body)?,
                version: version_at(body)?,
                expiry_ms: u64_at(body, 16)?,
                value: body.get(PUT_HEAD_BYTES - HEAD_BYTES..)?,
            }),
            [KIND_DELETE, 0, 0, 0] if length == DELETE_BYTES => Self::Delete {
                key: key_at(body)?,
                version: version_at(body)?,
            },
            _ => return None,
        };
        Some(Placed {
            lsn: Lsn(u64_at(bytes, 16)?),
            entry,
            bytes: padded,
        })
    }

    /// Appends the record and its padding; the caller sees to the room.
    pub fn encode(&self, lsn: Lsn, salt: u64, out: &mut Buffer) {
        let (version, key) = match self {
            Self::Commit(commit) => return out.extend(&commit.encode(lsn, salt)),
            Self::Put(record) => (&record.version, &record.key),
            Self::Delete { key, version } => (version, key),
        };
        let at = out.len();
        let length = self.length();
        let mut head = record_head(self.kind(), length, lsn);
        head[24..32].copy_from_slice(&version.stamp.to_le_bytes());
        head[32..40].copy_from_slice(&version.node.to_le_bytes());
        head[48..].copy_from_slice(key.as_bytes());
        if let Self::Put(record) = self {
            head[40..48].copy_from_slice(&record.expiry_ms.to_le_bytes());
            out.extend(&head);
            out.extend(record.value);
        } else {
            out.extend(&head);
        }
        out.resize(at + length.next_multiple_of(ALIGN_BYTES));
        seal(&mut out.as_mut_bytes()[at..at + length], salt);
    }

    /// Bytes it takes in a log, padding included.
    #[must_use]
    pub const fn padded_bytes(&self) -> usize {
        self.length().next_multiple_of(ALIGN_BYTES)
    }

    const fn length(&self) -> usize {
        match self {
            Self::Commit(_) => COMMIT_BYTES,
            Self::Put(record) => PUT_HEAD_BYTES + record.value.len(),
            Self::Delete { .. } => DELETE_BYTES,
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Commit(_) => KIND_COMMIT,
            Self::Put(_) => KIND_PUT,
            Self::Delete { .. } => KIND_DELETE,
        }
    }
}

impl Commit {
    /// The record's bytes, which need no padding.
    #[must_use]
    pub fn encode(&self, lsn: Lsn, salt: u64) -> [u8; COMMIT_BYTES] {
        let head = record_head(KIND_COMMIT, COMMIT_BYTES, lsn);
        let mut record = [0; COMMIT_BYTES];
        record.copy_from_slice(&head[..COMMIT_BYTES]);
        record[24..32].copy_from_slice(&self.durable.0.to_le_bytes());
        record[32..40].copy_from_slice(&self.stamp.to_le_bytes());
        record[40..44].copy_from_slice(&self.batch_bytes.to_le_bytes());
        seal(&mut record, salt);
        record
    }
}

/// The first bytes of a record, without checksum and contents.
fn record_head(kind: u8, length: usize, lsn: Lsn) -> [u8; PUT_HEAD_BYTES] {
    let length = u32::try_from(length).expect("records are bounded");
    let mut head = [0; PUT_HEAD_BYTES];
    head[8..12].copy_from_slice(&length.to_le_bytes());
    head[12] = kind;
    head[16..24].copy_from_slice(&lsn.0.to_le_bytes());
    head
}

/// Writes the checksum of a record that is whole otherwise.
fn seal(record: &mut [u8], salt: u64) {
    let covered = checked(record).expect("a record has a head");
    let checksum = xxh3_64_with_seed(covered, salt);
    record[..8].copy_from_slice(&checksum.to_le_bytes());
}

/// The part of a record that its checksum covers.
#[inline]
fn checked(record: &[u8]) -> Option<&[u8]> {
    if planted::is(Bug::ChecksumWithoutLength) {
        return record.get(12..record.len() / ALIGN_BYTES * ALIGN_BYTES);
    }
    record.get(8..)
}

/// The length that the record at the start of `bytes` claims, when a record can have it.
#[inline]
fn length_at(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    let length = usize::try_from(length).ok()?;
    (COMMIT_BYTES..=ENTRY_BYTES_MAX)
        .contains(&length)
        .then_some(length)
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

#[inline]
fn version_at(body: &[u8]) -> Option<Version> {
    let (stamp, node) = (u64_at(body, 0)?, u64_at(body, 8)?);
    Some(Version { stamp, node })
}

#[inline]
fn key_at(body: &[u8]) -> Option<Key> {
    body.get(24..)?
        .first_chunk()
        .map(|bytes| Key::from_bytes(*bytes))
}

/// Bytes a record of a value takes above the value, padding apart.
pub const PUT_HEAD_BYTES: usize = HEAD_BYTES + 24 + KEY_BYTES;

/// Bytes of a commit record.
pub const COMMIT_BYTES: usize = HEAD_BYTES + 24;

/// Bytes of the largest record.
pub const ENTRY_BYTES_MAX: usize = PUT_HEAD_BYTES + VALUE_BYTES_MAX;

/// Records start on a multiple of this.
pub const ALIGN_BYTES: usize = 8;

const HEAD_BYTES: usize = 24;
const DELETE_BYTES: usize = PUT_HEAD_BYTES;

const KIND_COMMIT: u8 = 1;
const KIND_PUT: u8 = 2;
const KIND_DELETE: u8 = 3;

const _: () = assert!(PUT_HEAD_BYTES == 80 && COMMIT_BYTES == 48);
const _: () = assert!(COMMIT_BYTES < PUT_HEAD_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> [Entry<'static>; 3] {
        let version = Version { stamp: 1, node: 2 };
        let key = Key::from_bytes([3; 32]);
        let commit = Commit {
            durable: Lsn(4),
            stamp: 5,
            batch_bytes: 6,
        };
        let put = Record {
            key,
            version,
            expiry_ms: 7,
            value: b"value",
        };
        let delete = Entry::Delete { key, version };
        [Entry::Commit(commit), Entry::Put(put), delete]
    }

    #[test]
    fn entries_read_as_they_were_written() {
        for entry in entries() {
            let mut bytes = Buffer::with_capacity(200);
            entry.encode(Lsn(9), 11, &mut bytes);
            assert_eq!(bytes.len(), entry.padded_bytes());
            let read = Entry::decode(bytes.as_bytes(), 11).unwrap();
            assert_eq!((read.lsn, read.entry), (Lsn(9), entry));
            assert_eq!(read.bytes, bytes.len());
            assert_eq!(Entry::decode_trusted(bytes.as_bytes()), Some(read));
            assert_eq!(Entry::decode(bytes.as_bytes(), 12), None, "another salt");
        }
    }

    #[test]
    fn no_flipped_bit_and_no_missing_byte_is_overlooked() {
        for entry in entries() {
            let mut bytes = Buffer::with_capacity(200);
            entry.encode(Lsn(9), 11, &mut bytes);
            for bit in 0..bytes.len() * 8 {
                bytes.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Entry::decode(bytes.as_bytes(), 11), None, "{entry:?} {bit}");
                bytes.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            }
            for length in 0..bytes.len() {
                assert_eq!(Entry::decode(&bytes.as_bytes()[..length], 11), None);
            }
        }
    }

    #[test]
    fn the_bytes_of_a_put_stay_as_they_are() {
        let mut bytes = Buffer::with_capacity(200);
        entries()[1].encode(Lsn(9), 11, &mut bytes);
        let hex: String = bytes
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let head = "5500000002000000 0900000000000000 0100000000000000 0200000000000000 \
                    0700000000000000";
        let key = "03".repeat(32);
        let value = "76616c7565000000";
        assert_eq!(hex[16..], format!("{}{key}{value}", head.replace(' ', "")));
    }
}
