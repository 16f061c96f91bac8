//! Messages and their bytes on the wire, as the production codec frames them. What TLS and TCP add
//! is not counted.

use proto::codec;
use proto::message::{Message, RequestId};

/// Messages and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

impl Traffic {
    /// Adds one message.
    pub fn add(&mut self, message: &Message<'_>) {
        let mut frame = Vec::with_capacity(FRAME_BYTES_USUAL);
        codec::encode(&mut frame, RequestId::default(), message);
        self.messages += 1;
        self.bytes += frame.len() as u64;
    }

    /// Adds another count.
    pub const fn join(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

const FRAME_BYTES_USUAL: usize = 512;
