//! Frames that wait for a link: appended to the last chunk, so that one turn of the event loop
//! costs one seal and one send, and cut into chunks, so that no link holds its core for long.

use std::collections::VecDeque;

use super::limits::LINK_CHUNK_BYTES;

/// Whole frames in sending order.
#[derive(Default)]
pub(crate) struct SendQueue {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl SendQueue {
    /// Appends whole frames.
    pub(crate) fn push(&mut self, frames: Vec<u8>) {
        self.bytes += frames.len();
        match self.chunks.back_mut() {
            Some(last) if last.len() + frames.len() <= LINK_CHUNK_BYTES => {
                last.extend_from_slice(&frames);
            }
            _ => self.chunks.push_back(frames),
        }
    }

    /// The next chunk to seal and send.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_turn_leave_together_and_in_order() {
        let mut queue = SendQueue::default();
        queue.push(b"ab".to_vec());
        queue.push(b"cd".to_vec());
        assert_eq!(queue.bytes(), 4);
        assert_eq!(queue.pop(), Some(b"abcd".to_vec()));
        assert_eq!((queue.pop(), queue.bytes()), (None, 0));
    }

    #[test]
    fn a_large_backlog_is_cut_into_chunks() {
        let mut queue = SendQueue::default();
        (0..4).for_each(|_| queue.push(vec![0; LINK_CHUNK_BYTES / 2]));
        let chunks: Vec<usize> = std::iter::from_fn(|| queue.pop())
            .map(|c| c.len())
            .collect();
        assert_eq!(chunks, [LINK_CHUNK_BYTES, LINK_CHUNK_BYTES]);
    }
}
