//! What can be wrong with the body of a frame. All of it is the peer's fault; the texts end up in
//! the Refuse that the peer gets and in the logs of both sides.

use thiserror::Error;

use super::kind;
use crate::id::Id;
use crate::limits::VALUE_BYTES_MAX;
use crate::peer::{NameError, NodeName};

/// A frame whose body is no valid message: the peer's fault.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// A kind this version does not define.
    #[error("the peer sent a message of unknown kind {kind}")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// The layout is not that of the kind.
    #[error("the peer sent a malformed {} of {len} bytes", kind::name(*kind))]
    Malformed {
        /// The kind.
        kind: u8,
        /// Length of the body in bytes.
        len: usize,
    },
    /// A byte that stands for nothing.
    #[error("the peer sent {got} as a {what}, which stands for nothing")]
    Code {
        /// What the byte should be.
        what: &'static str,
        /// The byte.
        got: u8,
    },
    /// A value of no bytes or too many.
    #[error("the peer sent a value of {got} bytes, which is not 1 to {VALUE_BYTES_MAX}")]
    ValueLength {
        /// Its length.
        got: usize,
    },
    /// A text above its limit.
    #[error("the peer sent a {what} of {got} bytes, above the limit of {max}")]
    TextLength {
        /// What the text is.
        what: &'static str,
        /// Its length in bytes.
        got: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A ring name with forbidden characters.
    #[error("the peer sent a ring name that is none: {name:?}")]
    RingName {
        /// The name.
        name: String,
    },
    /// More peers than a message may name.
    #[error("the peer sent a list of {got} members, above the limit of {max}")]
    TooManyPeers {
        /// Entries of the list.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// An address that is none.
    #[error("the peer named a node that cannot be: {0}")]
    Name(#[from] NameError),
    /// A virtual node that the ring does not allow.
    #[error("the peer named virtual node {vnode} of {name}, above the ring's cap of {cap}")]
    VirtualNode {
        /// The node.
        name: NodeName,
        /// The index.
        vnode: u16,
        /// How many virtual nodes a host may have.
        cap: u16,
    },
    /// An id that does not follow from the address: the ID-mapping attack.
    #[error(
        "the peer named {name}/{vnode} with the id {claimed}, but that address has the id {derived}"
    )]
    IdMapping {
        /// The node.
        name: NodeName,
        /// The index of the virtual node.
        vnode: u16,
        /// The id in the message.
        claimed: Id,
        /// The id that follows from the address.
        derived: Id,
    },
}
