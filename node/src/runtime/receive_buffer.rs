//! The receive buffer of one connection: unread bytes at the front, room for the next receive
//! behind them. It grows while receives fill it and shrinks back when they stay small, so that
//! thousands of idle connections cost little.

use monoio::buf::{IoBuf, IoBufMut, SliceMut};

use super::limits::{RECEIVE_BYTES_MAX, RECEIVE_BYTES_MIN};

/// Received bytes that are not yet consumed.
#[derive(Default)]
pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
    consumed: usize,
    small_receives: u32,
    was_filled: bool,
}

impl ReceiveBuffer {
    /// What has not been consumed yet.
    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }

    /// Drops `count` bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.consumed += count;
        debug_assert!(self.consumed <= self.bytes.len());
        if self.consumed >= self.bytes.len() {
            self.bytes.clear();
            self.consumed = 0;
        }
    }

    /// Gives the free part of the buffer away for a receive; `put_back` must follow.
    pub(crate) fn lend(&mut self) -> SliceMut<Vec<u8>> {
        if self.consumed > 0 {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
        self.resize();
        let bytes = std::mem::take(&mut self.bytes);
        let filled = bytes.bytes_init();
        bytes.slice_mut(filled..)
    }

    /// Takes the buffer back, with whatever the receive put into it.
    pub(crate) fn put_back(&mut self, lent: SliceMut<Vec<u8>>) {
        let start = lent.begin();
        self.bytes = lent.into_inner();
        let received = self.bytes.len().saturating_sub(start);
        self.was_filled = self.bytes.len() == self.bytes.capacity();
        let is_small = received * 4 <= self.bytes.capacity();
        self.small_receives = if is_small { self.small_receives + 1 } else { 0 };
    }

    fn resize(&mut self) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        if capacity < RECEIVE_BYTES_MIN {
            self.bytes.reserve_exact(RECEIVE_BYTES_MIN - length);
        } else if length * 2 >= capacity || self.was_filled {
            let target = (capacity * 2).min(RECEIVE_BYTES_MAX);
            self.bytes.reserve_exact(target.saturating_sub(length));
        } else if self.small_receives > SMALL_RECEIVES_MAX && capacity > RECEIVE_BYTES_MIN {
            self.small_receives = 0;
            self.bytes.shrink_to((capacity / 2).max(RECEIVE_BYTES_MIN));
        }
    }
}

/// So many small receives in a row let the buffer shrink.
const SMALL_RECEIVES_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut ReceiveBuffer, bytes: &[u8]) -> usize {
        let mut lent = buffer.lend();
        let room = lent.bytes_total();
        let count = bytes.len().min(room);
        let inner = lent.get_mut();
        inner.extend_from_slice(&bytes[..count]);
        buffer.put_back(lent);
        count
    }

    #[test]
    fn unread_bytes_survive_the_next_receive() {
        let mut buffer = ReceiveBuffer::default();
        receive(&mut buffer, b"hello wor");
        buffer.consume(6);
        receive(&mut buffer, b"ld");
        assert_eq!(buffer.unread(), b"world");
        buffer.consume(5);
        assert!(buffer.unread().is_empty());
    }

    #[test]
    fn it_grows_to_hold_the_longest_message_and_shrinks_again() {
        let mut buffer = ReceiveBuffer::default();
        let message = vec![7; 65_535];
        let mut sent = 0;
        while sent < message.len() {
            sent += receive(&mut buffer, &message[sent..]);
        }
        assert_eq!(buffer.unread(), message);
        buffer.consume(message.len());
        for _ in 0..1000 {
            receive(&mut buffer, b"x");
            buffer.consume(1);
        }
        assert_eq!(buffer.bytes.capacity(), RECEIVE_BYTES_MIN);
    }
}
