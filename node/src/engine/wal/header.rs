//! The first block of a segment: whose it is and the salt of its checksums. Written before the file
//! gets its name and never again. Two copies, so that a damaged sector does not take a whole
//! segment with it.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::buffer::{BLOCK_BYTES, Buffer};
use super::names::{Lsn, SegmentNumber};

/// The header of a segment:
///
/// ```text
/// offset  bytes  field
///      0      8  magic: "CHORDWAL"
///      8      4  format version, 1
///     12      2  shard
///     14      1  1 when the file had another number before: what lies behind the last batch is old
///     15      1  zero
///     16      8  node: the high bits of the node's id
///     24      8  segment number
///     32      8  salt: seed of every checksum in this segment
///     40      8  least lsn: no record here has a smaller one
///     48      8  stamp floor: no version given after this segment was made is smaller
///     56      4  segment bytes: length of the file
///     60      4  zero
///     64      8  checksum: XXH3 of bytes 0 to 64
///     72         zeros up to 2048, where the second copy stands, and zeros behind that
/// ```
///
/// Integers are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// The high bits of the node's id.
    pub node: u64,
    /// The shard.
    pub shard: u16,
    /// The segment.
    pub number: SegmentNumber,
    /// Seed of every checksum.
    pub salt: u64,
    /// No record here has a smaller lsn.
    pub least_lsn: Lsn,
    /// No version given after this segment was made has a smaller stamp.
    pub stamp_floor: u64,
    /// Length of the file.
    pub segment_bytes: u32,
    /// Whether the file had another number before.
    pub is_recycled: bool,
}

/// What was read of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeaderRead {
    /// The header.
    pub header: SegmentHeader,
    /// Whether all of the block is as it was written: both copies, and zeros elsewhere.
    pub is_whole: bool,
}

/// Why a block is no header.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum HeaderError {
    /// Neither copy is what was written (the medium's fault).
    #[error("both copies of the segment's header are damaged")]
    Damaged,
    /// Written by a newer version of Chordite (the operator's to mend).
    #[error(
        "the segment has format {found}, this version reads format {FORMAT} only: use the newer one"
    )]
    Newer {
        /// The format found.
        found: u32,
    },
}

/// The format version that is written and read.
pub const FORMAT: u32 = 1;

impl SegmentHeader {
    /// The block that holds it.
    #[must_use]
    pub fn encode(&self) -> Buffer {
        let mut copy = [0; COPY_BYTES];
        copy[0..8].copy_from_slice(MAGIC);
        copy[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        copy[12..14].copy_from_slice(&self.shard.to_le_bytes());
        copy[14] = u8::from(self.is_recycled);
        copy[16..24].copy_from_slice(&self.node.to_le_bytes());
        copy[24..32].copy_from_slice(&self.number.0.to_le_bytes());
        copy[32..40].copy_from_slice(&self.salt.to_le_bytes());
        copy[40..48].copy_from_slice(&self.least_lsn.0.to_le_bytes());
        copy[48..56].copy_from_slice(&self.stamp_floor.to_le_bytes());
        copy[56..60].copy_from_slice(&self.segment_bytes.to_le_bytes());
        let checksum = xxh3_64(&copy[..CHECKED_BYTES]);
        copy[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        let mut block = Buffer::zeroed(BLOCK_BYTES);
        for place in COPIES {
            block.as_mut_bytes()[place..place + COPY_BYTES].copy_from_slice(&copy);
        }
        block
    }

    /// Reads a header from the first block of a file.
    pub fn decode(block: &[u8]) -> Result<HeaderRead, HeaderError> {
        let copies = COPIES.map(|place| decode_copy(block.get(place..place + COPY_BYTES)));
        let [first, second] = copies;
        let header = match (first, second) {
            (Ok(header), _) | (Err(_), Ok(header)) => header,
            (Err(error @ HeaderError::Newer { .. }), _) | (_, Err(error)) => return Err(error),
        };
        let is_whole = block.get(..BLOCK_BYTES) == Some(header.encode().as_bytes());
        Ok(HeaderRead { header, is_whole })
    }
}

fn decode_copy(copy: Option<&[u8]>) -> Result<SegmentHeader, HeaderError> {
    let copy: &[u8; COPY_BYTES] = copy
        .and_then(|copy| copy.try_into().ok())
        .ok_or(HeaderError::Damaged)?;
    let checksum = xxh3_64(copy.get(..CHECKED_BYTES).unwrap_or(&[]));
    if copy.get(..8) != Some(MAGIC) || u64_at(copy, CHECKED_BYTES) != checksum {
        return Err(HeaderError::Damaged);
    }
    let found = u32_at(copy, 8);
    if found != FORMAT {
        return Err(HeaderError::Newer { found });
    }
    Ok(SegmentHeader {
        shard: u16::from_le_bytes([copy[12], copy[13]]),
        is_recycled: copy[14] != 0,
        node: u64_at(copy, 16),
        number: SegmentNumber(u64_at(copy, 24)),
        salt: u64_at(copy, 32),
        least_lsn: Lsn(u64_at(copy, 40)),
        stamp_floor: u64_at(copy, 48),
        segment_bytes: u32_at(copy, 56),
    })
}

/// The integer at `at`, 0 where there is none.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

const MAGIC: &[u8; 8] = b"CHORDWAL";

/// Bytes of a copy that its checksum covers, and of a copy.
const CHECKED_BYTES: usize = 64;
const COPY_BYTES: usize = CHECKED_BYTES + 8;

/// Where the copies stand: in different sectors.
const COPIES: [usize; 2] = [0, BLOCK_BYTES / 2];

const _: () = assert!(COPIES[0] + COPY_BYTES <= COPIES[1]);

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            node: 1,
            shard: 2,
            number: SegmentNumber(3),
            salt: 4,
            least_lsn: Lsn(5),
            stamp_floor: 6,
            segment_bytes: 7,
            is_recycled: true,
        }
    }

    #[test]
    fn a_header_reads_as_it_was_written() {
        let block = header().encode();
        let read = SegmentHeader::decode(block.as_bytes()).unwrap();
        assert_eq!((read.header, read.is_whole), (header(), true));
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_none_loses_the_segment() {
        let mut block = header().encode();
        for bit in 0..BLOCK_BYTES * 8 {
            block.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
            let read = SegmentHeader::decode(block.as_bytes()).unwrap();
            assert_eq!((read.header, read.is_whole), (header(), false), "bit {bit}");
            block.as_mut_bytes()[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn other_blocks_are_none() {
        let damaged = Err(HeaderError::Damaged);
        assert_eq!(SegmentHeader::decode(&[]), damaged);
        assert_eq!(SegmentHeader::decode(&[0; BLOCK_BYTES]), damaged);
        let mut block = header().encode();
        for place in COPIES {
            block.as_mut_bytes()[place + 8] = 2;
            let checksum = xxh3_64(&block.as_bytes()[place..place + CHECKED_BYTES]);
            let at = place + CHECKED_BYTES;
            block.as_mut_bytes()[at..at + 8].copy_from_slice(&checksum.to_le_bytes());
        }
        let newer = Err(HeaderError::Newer { found: 2 });
        assert_eq!(SegmentHeader::decode(block.as_bytes()), newer);
    }
}
