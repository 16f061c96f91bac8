//! The frame around every message between nodes and native clients: a fixed header, then a body.
//!
//! ```text
//!  offset  size  field            all integers little-endian
//!       0     2  magic            0xC40D
//!       2     1  version          of the protocol: 1
//!       3     1  kind             of the message, see `codec::kind`
//!       4     4  body length      at most FRAME_BODY_BYTES_MAX
//!       8     8  request id       chosen by whoever asks, repeated in the answer
//!      16     2  flags            none defined; unknown ones are ignored
//!      18     2  zero
//!      20     …  body             rkyv, see `wire`
//! ```
//!
//! Magic and version keep their place in every future version, so that any two sides can at least
//! tell each other which version they speak.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use thiserror::Error;

use crate::limits::FRAME_BODY_BYTES_MAX;
use crate::message::RequestId;

/// Length of the header in bytes.
pub const HEADER_BYTES: usize = 20;

/// First two bytes of every frame; never the start of a TLS record or of text.
pub const MAGIC: u16 = 0xC40D;

/// The version of the protocol this program speaks.
pub const PROTOCOL_VERSION: u8 = 1;

/// What the header says of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The kind of the message, see [`crate::codec::kind`].
    pub kind: u8,
    /// Flags; none are defined.
    pub flags: u16,
    /// Pairs the answer with its request.
    pub request: RequestId,
    /// Length of the body in bytes.
    pub body_len: u32,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` when more bytes are needed. What is wrong
    /// with it is said as soon as it can be known.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        Self::parse_as(PROTOCOL_VERSION, bytes)
    }

    /// As [`Header::parse`], for a side that speaks protocol version `ours`.
    #[inline]
    pub(crate) fn parse_as(ours: u8, bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return check_start(ours, bytes).map(|()| None);
        };
        check_start(ours, header)?;
        let [_, _, _, kind, l0, l1, l2, l3, request @ .., f0, f1, z0, z1] = *header;
        let body_len = u32::from_le_bytes([l0, l1, l2, l3]);
        if body_len as usize > FRAME_BODY_BYTES_MAX {
            let max = FRAME_BODY_BYTES_MAX;
            return Err(FrameError::TooLong { got: body_len, max });
        }
        if [z0, z1] != [0, 0] {
            return Err(FrameError::Reserved);
        }
        Ok(Some(Self {
            kind,
            flags: u16::from_le_bytes([f0, f1]),
            request: RequestId(u64::from_le_bytes(request)),
            body_len,
        }))
    }

    /// Appends the header to `out`.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..2].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[2] = PROTOCOL_VERSION;
        bytes[3] = self.kind;
        bytes[4..8].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.request.0.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    /// Length of the whole frame in bytes.
    #[inline]
    #[must_use]
    pub const fn frame_len(&self) -> usize {
        HEADER_BYTES.saturating_add(self.body_len as usize)
    }
}

/// A whole frame in a receive buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// The whole frame, header included.
    pub bytes: &'a [u8],
    /// The body alone.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Cuts the first whole frame off `bytes`; `None` when more bytes are needed.
    #[inline]
    pub fn split(bytes: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let Some(header) = Header::parse(bytes)? else {
            return Ok(None);
        };
        Ok(Self::cut(header, bytes))
    }

    /// The frame that `header` announces at the start of `bytes`, when it is whole.
    #[inline]
    pub(crate) fn cut(header: Header, bytes: &'a [u8]) -> Option<Self> {
        let bytes = bytes.get(..header.frame_len())?;
        let body = bytes.get(HEADER_BYTES..)?;
        Some(Self {
            header,
            bytes,
            body,
        })
    }
}

/// Bytes that are no frame: the fault of whoever sent them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum FrameError {
    /// The first bytes are not ours.
    #[error("not a Chordite frame: it starts with {got:#06x} instead of {MAGIC:#06x}")]
    Magic {
        /// The first two bytes.
        got: u16,
    },
    /// Another version of the protocol.
    #[error("protocol version mismatch: we speak {ours}, the peer speaks {theirs}")]
    Version {
        /// The version we speak.
        ours: u8,
        /// The version in the frame.
        theirs: u8,
    },
    /// A body above the limit.
    #[error("the frame announces {got} bytes of body, above the limit of {max}")]
    TooLong {
        /// The announced length.
        got: u32,
        /// The limit in bytes.
        max: usize,
    },
    /// The last two bytes of the header are not zero.
    #[error("the reserved bytes of the frame header are not zero")]
    Reserved,
}

#[inline]
fn check_start(ours: u8, bytes: &[u8]) -> Result<(), FrameError> {
    if let Some(magic) = bytes.first_chunk::<2>()
        && u16::from_le_bytes(*magic) != MAGIC
    {
        let got = u16::from_le_bytes(*magic);
        return Err(FrameError::Magic { got });
    }
    match bytes.get(2) {
        Some(&theirs) if theirs != ours => Err(FrameError::Version { ours, theirs }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(header: &Header) -> Vec<u8> {
        let mut out = Vec::new();
        header.write(&mut out);
        out
    }

    const HEADER: Header = Header {
        kind: 0x21,
        flags: 0x0102,
        request: RequestId(0x1122_3344_5566_7788),
        body_len: 0x0001_0203,
    };

    #[test]
    fn the_layout_is_the_documented_one() {
        let want = [
            0x0d, 0xc4, 1, 0x21, 3, 2, 1, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 2, 1,
            0, 0,
        ];
        assert_eq!(written(&HEADER), want);
        assert_eq!(Header::parse(&want), Ok(Some(HEADER)));
    }

    #[test]
    fn truncated_headers_need_more() {
        let bytes = written(&HEADER);
        for len in 0..HEADER_BYTES {
            assert_eq!(Header::parse(&bytes[..len]), Ok(None), "{len} bytes");
        }
    }

    #[test]
    fn wrong_headers_are_refused_as_early_as_possible() {
        let refused = |change: fn(&mut Vec<u8>)| {
            let mut bytes = written(&HEADER);
            change(&mut bytes);
            Header::parse(&bytes).unwrap_err()
        };
        assert_eq!(Header::parse(b"GE"), Err(FrameError::Magic { got: 0x4547 }));
        let version = FrameError::Version { ours: 1, theirs: 2 };
        assert_eq!(Header::parse(&[0x0d, 0xc4, 2]), Err(version));
        assert_eq!(refused(|bytes| bytes[2] = 2), version);
        assert_eq!(refused(|bytes| bytes[19] = 1), FrameError::Reserved);
        let (got, max) = (0x7f01_0203, FRAME_BODY_BYTES_MAX);
        assert_eq!(
            refused(|bytes| bytes[7] = 0x7f),
            FrameError::TooLong { got, max }
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Frame::split(&bytes);
        }

        #[test]
        fn headers_survive_the_way(kind: u8, flags: u16, request: u64, body_len in 0u32..=131_072) {
            let header = Header { kind, flags, request: RequestId(request), body_len };
            prop_assert_eq!(Header::parse(&written(&header)), Ok(Some(header)));
        }
    }
}
