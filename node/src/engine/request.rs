//! What clients and operators ask of a core, and what they get: the types between the engine and
//! its fronts (DHT API, native API, admin HTTP), free of any wire format.

use proto::id::Id;
use proto::key::Key;
use proto::message::{Failed, LookupAnswer, LookupMode, Route, Stored};
use proto::peer::Peer;
use proto::version::Version;
use serde::{Deserialize, Serialize};

/// The shell's number for a client request under way; comes back with the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// A client's request; the value is borrowed from the connection's receive buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientRequest<'a> {
    /// Store `value`; TTL 0 takes the default, replication 0 the ring's; both are clamped.
    Put {
        /// The key.
        key: Key,
        /// Lifetime in seconds.
        ttl_s: u32,
        /// Replicas wanted.
        replication: u8,
        /// The value, not empty.
        value: &'a [u8],
    },
    /// Read a key.
    Get {
        /// The key.
        key: Key,
    },
    /// Delete a key.
    Delete {
        /// The key.
        key: Key,
    },
    /// Find the owner of a position.
    Lookup {
        /// The position.
        target: Id,
        /// How to look.
        mode: LookupMode,
    },
}

/// The answer to a [`ClientRequest`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientAnswer {
    /// A put or delete was applied.
    Stored(Stored),
    /// A get found a value.
    Value {
        /// Its version.
        version: Version,
        /// When it expires, milliseconds since 1970; 0 is never.
        expiry_ms: u64,
        /// How the owner was reached.
        route: Route,
        /// The value.
        value: Vec<u8>,
    },
    /// A get or delete found nothing.
    Absent(Route),
    /// A lookup found the owner.
    Owner(Box<LookupAnswer>),
    /// The request could not be served.
    Failed(Failed),
}

/// An operator's request, answered by core 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AdminRequest {
    /// This node's members, neighbours, fingers and peers.
    Status,
    /// Every member of the ring, found by asking each for its neighbours.
    Ring,
    /// Leave the ring: answered when every virtual node has left.
    Leave,
}

/// The answer to an [`AdminRequest`].
#[derive(Clone, PartialEq, Debug)]
pub enum AdminAnswer {
    /// To `Status`.
    Status(Box<RingStatus>),
    /// To `Ring`.
    Ring(Vec<RingMember>),
    /// To `Leave`.
    Left,
}

/// The ring as this node's own members see it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RingStatus {
    /// Every virtual node of this node.
    pub members: Vec<RingMember>,
    /// Peers this core has measured: smoothed round trip and timeout in microseconds.
    pub peers: Vec<PeerStatus>,
    /// Routing view epoch: grows with every change of neighbours or fingers.
    pub epoch: u64,
}

/// One member of the ring.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RingMember {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// The node it belongs to, `host:port`.
    pub node: String,
    /// Its index among the virtual nodes of that node.
    pub vnode: u16,
    /// `joining`, `member`, `leaving`, `left`, or `unreachable` for another node that did not answer.
    pub phase: String,
    /// Its predecessor.
    pub predecessor: Option<MemberName>,
    /// Its successor list, nearest first.
    pub successors: Vec<MemberName>,
    /// Its distinct fingers, nearest first; only known of this node's own members.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fingers: Vec<MemberName>,
}

/// A member as others name it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberName {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// The node it belongs to, `host:port`.
    pub node: String,
    /// Its index among the virtual nodes of that node.
    pub vnode: u16,
}

impl From<&Peer> for MemberName {
    fn from(peer: &Peer) -> Self {
        let (id, node) = (peer.id().to_string(), peer.name().to_string());
        Self {
            id,
            node,
            vnode: peer.vnode(),
        }
    }
}

/// What a core has measured of a peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The peer, `host:port`.
    pub node: String,
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u64,
    /// Retransmission timeout, microseconds.
    pub rto_us: u64,
}
