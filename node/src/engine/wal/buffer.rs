//! A buffer that may be written to a disk past the page cache: its start is aligned and its memory
//! never moves, without unsafe code. The shell gives `as_bytes` of it to the kernel.

use std::fmt;

/// The unit of every write: offset and length are multiples of it, and so is the buffer's address.
/// 4,096 bytes, because a disk with larger sectors than it admits rewrites what lies beside a
/// smaller write, and a power cut would take acknowledged neighbours with it.
pub const BLOCK_BYTES: usize = 4096;

/// Bytes in memory that start on a block boundary; grows up to a capacity that is fixed when it is
/// made.
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    capacity: usize,
}

impl Buffer {
    /// No memory: what stands in for a buffer that is with the disk.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            memory: Vec::new(),
            start: 0,
            capacity: 0,
        }
    }

    /// An empty buffer for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut memory: Vec<u8> = Vec::with_capacity(capacity + BLOCK_BYTES);
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        assert!(
            start < BLOCK_BYTES,
            "an offset within a block aligns any address"
        );
        memory.resize(start, 0);
        Self {
            memory,
            start,
            capacity,
        }
    }

    /// A buffer of `bytes` zeros, to be read into.
    #[must_use]
    pub fn zeroed(bytes: usize) -> Self {
        let mut buffer = Self::with_capacity(bytes);
        buffer.resize(bytes);
        buffer
    }

    /// Bytes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.len() - self.start
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes more it takes.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity - self.len()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.memory.truncate(self.start);
    }

    /// Adds bytes; the caller keeps within [`Buffer::room`].
    pub fn extend(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "a buffer keeps its memory");
        self.memory.extend_from_slice(bytes);
    }

    /// Makes it `bytes` long, filling with zeros; the caller keeps within the capacity.
    pub fn resize(&mut self, bytes: usize) {
        assert!(bytes <= self.capacity, "a buffer keeps its memory");
        self.memory.resize(self.start + bytes, 0);
    }

    /// Fills with zeros up to the end of the block.
    pub fn pad(&mut self) {
        self.resize(self.len().next_multiple_of(BLOCK_BYTES));
    }

    /// What it holds.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.memory[self.start..]
    }

    /// What it holds, to be changed.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }

    /// Gives its memory to the kernel: all of it, and where the bytes begin.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, usize, usize) {
        (self.memory, self.start, self.capacity)
    }

    /// Takes its memory back from the kernel.
    ///
    /// # Panics
    /// When these are not the parts of a buffer.
    #[must_use]
    pub fn from_parts((memory, start, capacity): (Vec<u8>, usize, usize)) -> Self {
        let is_aligned = memory.as_ptr().align_offset(BLOCK_BYTES) == start % BLOCK_BYTES;
        assert!(
            is_aligned && memory.len() >= start,
            "these are a buffer's parts"
        );
        Self {
            memory,
            start,
            capacity,
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.capacity);
        copy.extend(self.as_bytes());
        copy
    }
}

impl PartialEq for Buffer {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Buffer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_stays_where_it_is_and_ends_on_a_block() {
        let mut buffer = Buffer::with_capacity(3 * BLOCK_BYTES);
        let address = buffer.as_bytes().as_ptr();
        assert_eq!(address.align_offset(BLOCK_BYTES), 0);
        buffer.extend(&[7; BLOCK_BYTES + 1]);
        buffer.pad();
        assert_eq!(
            (buffer.len(), buffer.room()),
            (2 * BLOCK_BYTES, BLOCK_BYTES)
        );
        assert_eq!(buffer.as_bytes()[BLOCK_BYTES..][..2], [7, 0]);
        buffer.resize(3 * BLOCK_BYTES);
        assert_eq!(buffer.as_bytes().as_ptr(), address);
        let mut again = Buffer::from_parts(buffer.into_parts());
        assert_eq!(again.as_bytes().as_ptr(), address);
        again.clear();
        assert!(again.is_empty());
    }

    #[test]
    fn a_copy_is_aligned_too() {
        let copy = Buffer::zeroed(BLOCK_BYTES).clone();
        assert_eq!(copy.as_bytes().as_ptr().align_offset(BLOCK_BYTES), 0);
        assert_eq!(copy, Buffer::zeroed(BLOCK_BYTES).clone());
    }
}
