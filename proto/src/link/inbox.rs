//! Decrypted bytes on their way to being frames: a buffer that is filled at its end, checked by the
//! link and polled from its start, without moving more than once what is in it.

use crate::frame::{Frame, FrameError, Header};

#[derive(Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// Up to here frames have been polled.
    start: usize,
    /// Up to here frames are whole and checked.
    checked: usize,
}

impl Inbox {
    pub(super) fn extend(&mut self, plaintext: &[u8]) {
        self.bytes.extend_from_slice(plaintext);
    }

    /// Plaintext not yet polled.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// Whether no part of a frame is waiting for its rest.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.checked == self.bytes.len()
    }

    /// Takes back the space of polled frames: for nothing when all were polled, otherwise only when
    /// the rest is smaller than what is gained, so that the moves stay linear in the bytes
    /// received.
    pub(super) fn compact(&mut self) {
        let rest = self.len();
        if rest == 0 {
            self.bytes.clear();
            self.bytes.shrink_to(BYTES_KEPT);
        } else if self.start >= rest {
            self.bytes.drain(..self.start);
        } else {
            return;
        }
        self.checked = self.checked.saturating_sub(self.start);
        self.start = 0;
    }

    /// The header of the next frame that is not checked yet.
    #[inline]
    pub(super) fn next_header(&self, version: u8) -> Result<Option<Header>, FrameError> {
        Header::parse_as(version, self.bytes.get(self.checked..).unwrap_or_default())
    }

    /// The frame of the header just seen, when it is whole.
    #[inline]
    pub(super) fn next_frame(&self, header: Header) -> Option<Frame<'_>> {
        Frame::cut(header, self.bytes.get(self.checked..)?)
    }

    /// The frame just seen is whole and may be polled.
    #[inline]
    pub(super) const fn pass(&mut self, header: Header) {
        self.checked = self.checked.saturating_add(header.frame_len());
    }

    /// The frame just seen is the link's own and is not polled. Only the first frame of a link is
    /// swallowed, so none is waiting before it.
    pub(super) fn swallow(&mut self, header: Header) {
        assert!(self.start == self.checked, "a frame waits before the Hello");
        self.checked = self.checked.saturating_add(header.frame_len());
        self.start = self.checked;
    }

    /// The next checked frame.
    #[inline]
    pub(super) fn poll_frame(&mut self, version: u8) -> Option<Frame<'_>> {
        let checked = self.bytes.get(self.start..self.checked)?;
        let header = Header::parse_as(version, checked).ok()??;
        let frame = Frame::cut(header, checked)?;
        self.start = self.start.saturating_add(frame.bytes.len());
        Some(frame)
    }
}

const BYTES_KEPT: usize = 64 * 1024;
