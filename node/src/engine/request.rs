//! What clients and operators ask of a core, and what they get: the types between the engine and
//! its fronts (DHT API, native API, admin HTTP), free of any wire format.

use proto::id::Id;
use proto::key::Key;
use proto::message::{
    Delete, Failed, Get, Lookup, LookupAnswer, LookupMode, Message, Put, Route, Stored, Value,
};
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

impl<'a> ClientRequest<'a> {
    /// The request a message carries; `None` when it is none a client may send.
    #[must_use]
    pub const fn of(message: &Message<'a>) -> Option<Self> {
        Some(match *message {
            Message::Put(Put {
                key,
                ttl_s,
                replication,
                value,
            }) => Self::Put {
                key,
                ttl_s,
                replication,
                value,
            },
            Message::Get(Get { key }) => Self::Get { key },
            Message::Delete(Delete { key }) => Self::Delete { key },
            Message::Lookup(Lookup { target, mode }) => Self::Lookup { target, mode },
            _ => return None,
        })
    }

    /// The key it concerns; a lookup concerns none.
    #[must_use]
    pub const fn key(&self) -> Option<Key> {
        match self {
            Self::Put { key, .. } | Self::Get { key } | Self::Delete { key } => Some(*key),
            Self::Lookup { .. } => None,
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Delete { .. })
    }
}

impl ClientAnswer {
    /// Takes over an answer; `None` when the message is none a client gets.
    #[must_use]
    pub fn of(message: &Message<'_>) -> Option<Self> {
        Some(match message {
            Message::Stored(stored) => Self::Stored(*stored),
            Message::Value(Value {
                version,
                expiry_ms,
                route,
                value,
            }) => {
                let (version, expiry_ms, route) = (*version, *expiry_ms, *route);
                Self::Value {
                    version,
                    expiry_ms,
                    route,
                    value: value.to_vec(),
                }
            }
            Message::Absent(route) => Self::Absent(*route),
            Message::LookupAnswer(answer) => Self::Owner(Box::new(answer.clone())),
            Message::Failed(failed) => Self::Failed(failed.clone()),
            _ => return None,
        })
    }

    /// The message that carries it to a native client or a gateway.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        match self {
            Self::Stored(stored) => Message::Stored(*stored),
            Self::Value {
                version,
                expiry_ms,
                route,
                value,
            } => {
                let (version, expiry_ms, route) = (*version, *expiry_ms, *route);
                Message::Value(Value {
                    version,
                    expiry_ms,
                    route,
                    value,
                })
            }
            Self::Absent(route) => Message::Absent(*route),
            Self::Owner(answer) => Message::LookupAnswer(answer.as_ref().clone()),
            Self::Failed(failed) => Message::Failed(failed.clone()),
        }
    }
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
    /// `joining`, `member`, `leaving`, `left`, or `unreachable` for another node that did not
    /// answer.
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
