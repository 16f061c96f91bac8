//! Frames that wait for a link: appended to the last chunk, so that one turn of the event loop
//! costs one seal and one send, and cut into chunks, so that no link holds its core for long.

use std::collections::VecDeque;

use proto::codec;

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
        if self.chunks.is_empty() && frames.len() <= LINK_CHUNK_BYTES {
            self.chunks.push_back(frames);
        } else if frames.len() <= LINK_CHUNK_BYTES {
            self.append(&frames);
        } else {
            let frames = codec::frames(&frames).map_while(Result::ok);
            frames.for_each(|frame| self.append(frame.bytes));
        }
    }

    /// The next chunk to seal and send.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        Some(chunk)
    }

    fn append(&mut self, frames: &[u8]) {
        match self.chunks.back_mut() {
            Some(last) if last.len() + frames.len() <= LINK_CHUNK_BYTES => {
                last.extend_from_slice(frames);
            }
            _ => self.chunks.push_back(frames.to_vec()),
        }
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::key::Key;
    use proto::message::{Message, Put, RequestId};

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
    fn a_large_backlog_is_cut_between_frames() {
        let mut frames = Vec::new();
        let value = Message::Put(Put {
            key: Key::from_text("key"),
            ttl_s: 1,
            replication: 1,
            value: &[7; 60_000],
        });
        (0..9).for_each(|number| codec::encode(&mut frames, RequestId(number), &value));
        let mut queue = SendQueue::default();
        queue.push(frames.clone());
        assert_eq!(queue.bytes(), frames.len());
        let chunks: Vec<Vec<u8>> = std::iter::from_fn(|| queue.pop()).collect();
        assert!(chunks.iter().all(|chunk| chunk.len() <= LINK_CHUNK_BYTES));
        assert!(
            chunks
                .iter()
                .all(|chunk| codec::frames(chunk).all(|frame| frame.is_ok()))
        );
        assert_eq!((chunks.concat(), queue.bytes()), (frames, 0));
    }
}
