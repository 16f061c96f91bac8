//! Messages to frames and back.
//!
//! [`encode`] appends one whole frame to an output buffer; a value is copied once, into that
//! buffer. [`decode`] reads the body of a frame in place: layout, lengths, codes and texts are
//! checked, the ids of peers are computed again and compared, a value stays borrowed from the
//! receive buffer. Neither allocates for Get, Put, Delete, Value, Stored, Absent and the empty
//! messages.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod code;
mod decode;
mod encode;
mod error;
pub mod kind;

pub use decode::decode;
pub use encode::encode;
pub use error::DecodeError;
pub use kind::allowed;

use crate::frame::{Frame, FrameError};

/// Splits a buffer of whole frames. Ends after the last whole frame, or with the error of the first
/// one that is wrong.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, FrameError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let next = Frame::split(rest).transpose()?;
        rest = match &next {
            Ok(frame) => rest.get(frame.bytes.len()..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(next)
    })
}

#[cfg(test)]
mod tests;
