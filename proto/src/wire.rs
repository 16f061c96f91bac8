//! The bodies of messages as rkyv lays them out: one struct a kind, in the order of its fields.
//!
//! Formats: little-endian, 32-bit relative pointers, no alignment and so no padding. The root is at
//! the end of the body; values, texts and lists lie before it and are pointed to by a box (offset,
//! length). Roles, modes and codes are single bytes (see `codec::code`). rkyv has no schema
//! evolution: a struct here never changes once released, a changed message gets a new kind. The
//! golden bytes of every kind are in `codec/golden.txt`. The three on the hot path:
//!
//! ```text
//! Get    0 key[32]
//! Put    0 value[n] | n key[32] | n+32 u32 ttl, seconds | n+36 u8 replication
//!        | n+37 i32 offset of the value from here, −(n+37) | n+41 u32 n
//! Value  0 value[n] | n u64 stamp | n+8 u64 node | n+16 u64 expiry, ms | n+24 u8 rpcs
//!        | n+25 u8 timeouts | n+26 u8 cached | n+27 i32 offset, −(n+27) | n+31 u32 n
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

/// A virtual node. The id is redundant on purpose: the receiver recomputes and compares it.
#[derive(Archive, Serialize)]
pub(crate) struct Peer<'a> {
    pub(crate) id: [u8; 32],
    pub(crate) vnode: u16,
    #[rkyv(with = InlineAsBox)]
    pub(crate) name: &'a str,
}

#[derive(Archive, Serialize)]
pub(crate) struct Hello<'a> {
    pub(crate) role: u8,
    pub(crate) successors: u8,
    pub(crate) replication: u8,
    pub(crate) virtual_nodes_max: u16,
    pub(crate) value_max: u32,
    pub(crate) features: u64,
    #[rkyv(with = InlineAsBox)]
    pub(crate) name: &'a str,
    #[rkyv(with = InlineAsBox)]
    pub(crate) ring: &'a str,
}

#[derive(Archive, Serialize)]
pub(crate) struct Refuse<'a> {
    #[rkyv(with = InlineAsBox)]
    pub(crate) reason: &'a str,
}

#[derive(Archive, Serialize)]
pub(crate) struct FindSuccessor<'a> {
    pub(crate) target: [u8; 32],
    pub(crate) lookup: u64,
    pub(crate) hops: u16,
    pub(crate) timeouts: u16,
    pub(crate) origin: Peer<'a>,
    pub(crate) path: Option<Vec<Peer<'a>>>,
}

#[derive(Archive, Serialize)]
pub(crate) struct Found<'a> {
    pub(crate) lookup: u64,
    pub(crate) hops: u16,
    pub(crate) timeouts: u16,
    pub(crate) owner: Peer<'a>,
    pub(crate) predecessor: Option<Peer<'a>>,
    pub(crate) path: Option<Vec<Peer<'a>>>,
}

#[derive(Archive, Serialize)]
pub(crate) struct LookupFailed {
    pub(crate) lookup: u64,
    pub(crate) reason: u8,
}

#[derive(Archive, Serialize)]
pub(crate) struct NextHop<'a> {
    pub(crate) target: [u8; 32],
    pub(crate) avoid: Vec<Peer<'a>>,
}

#[derive(Archive, Serialize)]
pub(crate) enum NextHopAnswer<'a> {
    Owner {
        owner: Peer<'a>,
        predecessor: Option<Peer<'a>>,
    },
    Closer(Vec<Peer<'a>>),
}

#[derive(Archive, Serialize)]
pub(crate) struct GetNeighbours {
    pub(crate) vnode: u16,
}

#[derive(Archive, Serialize)]
pub(crate) struct Neighbours<'a> {
    pub(crate) member: Peer<'a>,
    pub(crate) predecessor: Option<Peer<'a>>,
    pub(crate) successors: Vec<Peer<'a>>,
}

#[derive(Archive, Serialize)]
pub(crate) struct Notify<'a> {
    pub(crate) vnode: u16,
    pub(crate) candidate: Peer<'a>,
}

#[derive(Archive, Serialize)]
pub(crate) struct Join<'a> {
    pub(crate) vnode: u16,
    pub(crate) joiner: Peer<'a>,
}

#[derive(Archive, Serialize)]
pub(crate) enum JoinAnswer<'a> {
    Accepted {
        predecessor: Peer<'a>,
        successors: Vec<Peer<'a>>,
    },
    Moved,
}

#[derive(Archive, Serialize)]
pub(crate) struct Leave<'a> {
    pub(crate) vnode: u16,
    pub(crate) leaver: Peer<'a>,
    pub(crate) predecessor: Option<Peer<'a>>,
    pub(crate) successors: Vec<Peer<'a>>,
}

#[derive(Archive, Serialize)]
pub(crate) struct Put<'a> {
    pub(crate) key: [u8; 32],
    pub(crate) ttl_s: u32,
    pub(crate) replication: u8,
    #[rkyv(with = InlineAsBox)]
    pub(crate) value: &'a [u8],
}

/// Get and Delete.
#[derive(Archive, Serialize)]
pub(crate) struct Key {
    pub(crate) key: [u8; 32],
}

#[derive(Archive, Serialize)]
pub(crate) struct Route {
    pub(crate) rpcs: u8,
    pub(crate) timeouts: u8,
    pub(crate) cached: u8,
}

#[derive(Archive, Serialize)]
pub(crate) struct Stored {
    pub(crate) stamp: u64,
    pub(crate) node: u64,
    pub(crate) hosts: u8,
    pub(crate) route: Route,
}

#[derive(Archive, Serialize)]
pub(crate) struct Value<'a> {
    pub(crate) stamp: u64,
    pub(crate) node: u64,
    pub(crate) expiry_ms: u64,
    pub(crate) route: Route,
    #[rkyv(with = InlineAsBox)]
    pub(crate) value: &'a [u8],
}

#[derive(Archive, Serialize)]
pub(crate) struct Failed<'a> {
    pub(crate) code: u8,
    #[rkyv(with = InlineAsBox)]
    pub(crate) reason: &'a str,
}

#[derive(Archive, Serialize)]
pub(crate) struct Lookup {
    pub(crate) target: [u8; 32],
    pub(crate) mode: u8,
}

#[derive(Archive, Serialize)]
pub(crate) struct LookupAnswer<'a> {
    pub(crate) route: Route,
    pub(crate) elapsed_us: u64,
    pub(crate) owner: Peer<'a>,
    pub(crate) predecessor: Option<Peer<'a>>,
    pub(crate) path: Vec<Peer<'a>>,
}
