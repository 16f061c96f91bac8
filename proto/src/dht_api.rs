//! The DHT client API (VoidPhone, message types 650 to 653), server and client side.
//!
//! ```text
//! DHT PUT     650   size = 40 + len(value)      value 1 to 65,495 bytes; all integers big-endian
//!    0 u16 size | 2 u16 type | 4 u16 ttl, seconds | 6 u8 replication | 7 u8 reserved
//!    | 8 key[32] | 40 value
//! DHT GET     651   size = 36
//!    0 u16 size | 2 u16 type | 4 key[32]
//! DHT SUCCESS 652   size = 36 + len(value)
//!    0 u16 size | 2 u16 type | 4 key[32] | 36 value
//! DHT FAILURE 653   size = 36
//!    0 u16 size | 2 u16 type | 4 key[32]
//! ```
//!
//! `size` counts the whole message. Parsing borrows from the receive buffer, allocates nothing and
//! says that bytes are wrong as soon as the wrong byte is there; the connection is then closed
//! without an answer.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use thiserror::Error;

use crate::key::{KEY_BYTES, Key};
use crate::limits::VALUE_BYTES_MAX;

/// Type of a PUT.
pub const DHT_PUT: u16 = 650;
/// Type of a GET.
pub const DHT_GET: u16 = 651;
/// Type of a SUCCESS.
pub const DHT_SUCCESS: u16 = 652;
/// Type of a FAILURE.
pub const DHT_FAILURE: u16 = 653;

/// Largest message in bytes: more cannot be said in `size`.
pub const MESSAGE_BYTES_MAX: usize = u16::MAX as usize;

/// What the bytes received so far begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parse<T> {
    /// Not yet a whole message, and nothing wrong so far.
    NeedMore,
    /// A whole message and how many bytes it takes.
    Message {
        /// The message.
        message: T,
        /// Its length in bytes.
        consumed: usize,
    },
    /// The other side broke the protocol: close.
    Violation(Violation),
}

/// What a client asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// Store a value; never answered.
    Put {
        /// The key.
        key: Key,
        /// Lifetime in seconds, a hint; 0 takes the default.
        ttl_s: u16,
        /// Replicas wanted, a hint.
        replication: u8,
        /// The value, never empty.
        value: &'a [u8],
    },
    /// Read a value; answered by SUCCESS or FAILURE.
    Get {
        /// The key.
        key: Key,
    },
}

/// What a node answers to a GET.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// The key has a value.
    Success {
        /// The key.
        key: Key,
        /// Its value, never empty.
        value: &'a [u8],
    },
    /// The key has no value, or none could be got in time.
    Failure {
        /// The key.
        key: Key,
    },
}

/// Why a connection is closed: the fault of the other side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum Violation {
    /// A size that does not even hold the header.
    #[error("size {size} does not cover the header of 4 bytes")]
    HeaderSize {
        /// The size.
        size: u16,
    },
    /// A type that this side does not take: unknown, or the other direction's.
    #[error("message type {got} is not one a {from} may send")]
    Type {
        /// The type.
        got: u16,
        /// `client` or `node`.
        from: &'static str,
    },
    /// A size that does not fit the type.
    #[error("size {size} is wrong for message type {kind}")]
    Size {
        /// The type.
        kind: u16,
        /// The size.
        size: u16,
    },
    /// A PUT, or a SUCCESS, whose value is empty.
    #[error("message type {kind} with an empty value")]
    EmptyValue {
        /// The type.
        kind: u16,
    },
}

/// A value that no message can carry: the caller's fault.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
#[error("a value of {got} bytes, which is not 1 to {VALUE_BYTES_MAX}")]
pub struct ValueLength {
    /// Its length in bytes.
    pub got: usize,
}

/// Reads a client's message at the start of `bytes`.
#[inline]
#[must_use]
pub fn parse(bytes: &[u8]) -> Parse<Request<'_>> {
    let (size, kind) = match header(bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return Parse::NeedMore,
        Err(violation) => return Parse::Violation(violation),
    };
    let wrong = match kind {
        DHT_PUT => check_size(kind, size, PUT_BYTES, true),
        DHT_GET => check_size(kind, size, KEYED_BYTES, false),
        got => Some(Violation::Type {
            got,
            from: "client",
        }),
    };
    if let Some(violation) = wrong {
        return Parse::Violation(violation);
    }
    let consumed = usize::from(size);
    match bytes.get(..consumed).and_then(|whole| request(kind, whole)) {
        Some(message) => Parse::Message { message, consumed },
        None => Parse::NeedMore,
    }
}

/// Reads a node's answer at the start of `bytes`.
#[inline]
#[must_use]
pub fn parse_answer(bytes: &[u8]) -> Parse<Answer<'_>> {
    let (size, kind) = match header(bytes) {
        Ok(Some(header)) => header,
        Ok(None) => return Parse::NeedMore,
        Err(violation) => return Parse::Violation(violation),
    };
    let wrong = match kind {
        DHT_SUCCESS => check_size(kind, size, KEYED_BYTES, true),
        DHT_FAILURE => check_size(kind, size, KEYED_BYTES, false),
        got => Some(Violation::Type { got, from: "node" }),
    };
    if let Some(violation) = wrong {
        return Parse::Violation(violation);
    }
    let consumed = usize::from(size);
    match bytes.get(..consumed).and_then(|whole| answer(kind, whole)) {
        Some(message) => Parse::Message { message, consumed },
        None => Parse::NeedMore,
    }
}

/// Appends a SUCCESS. The value is one that was stored, so that its length fits.
#[inline]
pub fn encode_success(out: &mut Vec<u8>, key: &Key, value: &[u8]) {
    assert!(value.len() <= VALUE_BYTES_MAX, "a value above its limit");
    write_keyed(out, DHT_SUCCESS, key, value.len());
    out.extend_from_slice(value);
}

/// Appends a FAILURE.
#[inline]
pub fn encode_failure(out: &mut Vec<u8>, key: &Key) {
    write_keyed(out, DHT_FAILURE, key, 0);
}

/// Appends a GET.
#[inline]
pub fn encode_get(out: &mut Vec<u8>, key: &Key) {
    write_keyed(out, DHT_GET, key, 0);
}

/// Appends a PUT.
#[inline]
pub fn encode_put(
    out: &mut Vec<u8>,
    key: &Key,
    ttl_s: u16,
    replication: u8,
    value: &[u8],
) -> Result<(), ValueLength> {
    let got = value.len();
    if !(1..=VALUE_BYTES_MAX).contains(&got) {
        return Err(ValueLength { got });
    }
    let mut head = [0; PUT_BYTES];
    head[0..2].copy_from_slice(&size_bytes(PUT_BYTES, got));
    head[2..4].copy_from_slice(&DHT_PUT.to_be_bytes());
    head[4..6].copy_from_slice(&ttl_s.to_be_bytes());
    head[6] = replication;
    head[8..].copy_from_slice(key.as_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(value);
    Ok(())
}

/// Size and type; `None` when they are not there yet.
#[inline]
fn header(bytes: &[u8]) -> Result<Option<(u16, u16)>, Violation> {
    let Some([s0, s1, rest @ ..]) = bytes.first_chunk::<HEADER_BYTES>() else {
        return match bytes.first_chunk::<2>() {
            Some(size) => header_size(u16::from_be_bytes(*size)).map(|_| None),
            None => Ok(None),
        };
    };
    let size = header_size(u16::from_be_bytes([*s0, *s1]))?;
    Ok(Some((size, u16::from_be_bytes(*rest))))
}

#[inline]
fn header_size(size: u16) -> Result<u16, Violation> {
    match usize::from(size) {
        0..HEADER_BYTES => Err(Violation::HeaderSize { size }),
        _ => Ok(size),
    }
}

/// Whether `size` fits a message of `fixed` bytes before its value, if it has one.
#[inline]
fn check_size(kind: u16, size: u16, fixed: usize, has_value: bool) -> Option<Violation> {
    match usize::from(size) {
        got if got == fixed && has_value => Some(Violation::EmptyValue { kind }),
        got if got == fixed || (got > fixed && has_value) => None,
        _ => Some(Violation::Size { kind, size }),
    }
}

#[inline]
fn request(kind: u16, whole: &[u8]) -> Option<Request<'_>> {
    let (_, rest) = whole.split_first_chunk::<HEADER_BYTES>()?;
    if kind == DHT_GET {
        let key = Key::from_bytes(*rest.first_chunk()?);
        return Some(Request::Get { key });
    }
    let ([t0, t1, replication, _], rest) = rest.split_first_chunk::<4>()?;
    let (key, value) = rest.split_first_chunk::<KEY_BYTES>()?;
    Some(Request::Put {
        key: Key::from_bytes(*key),
        ttl_s: u16::from_be_bytes([*t0, *t1]),
        replication: *replication,
        value,
    })
}

#[inline]
fn answer(kind: u16, whole: &[u8]) -> Option<Answer<'_>> {
    let (_, rest) = whole.split_first_chunk::<HEADER_BYTES>()?;
    let (key, value) = rest.split_first_chunk::<KEY_BYTES>()?;
    let key = Key::from_bytes(*key);
    Some(match kind {
        DHT_SUCCESS => Answer::Success { key, value },
        _ => Answer::Failure { key },
    })
}

#[inline]
fn write_keyed(out: &mut Vec<u8>, kind: u16, key: &Key, value_len: usize) {
    let mut head = [0; KEYED_BYTES];
    head[0..2].copy_from_slice(&size_bytes(KEYED_BYTES, value_len));
    head[2..4].copy_from_slice(&kind.to_be_bytes());
    head[4..].copy_from_slice(key.as_bytes());
    out.reserve(KEYED_BYTES.saturating_add(value_len));
    out.extend_from_slice(&head);
}

#[inline]
fn size_bytes(head_bytes: usize, value_len: usize) -> [u8; 2] {
    u16::try_from(head_bytes.saturating_add(value_len))
        .expect("callers bound the value's length")
        .to_be_bytes()
}

const HEADER_BYTES: usize = 4;
/// GET and FAILURE as a whole; SUCCESS without its value.
const KEYED_BYTES: usize = HEADER_BYTES + KEY_BYTES;
/// PUT without its value.
const PUT_BYTES: usize = 40;

const _: () = assert!(PUT_BYTES + VALUE_BYTES_MAX == MESSAGE_BYTES_MAX);

#[cfg(test)]
mod tests;
