//! What cores of one node tell each other. Mail is moved, never shared.
//! Frames, operations on keys and routing views travel here; the shell carries them.

use proto::key::Key;
use proto::message::{Delete, Get, Message, Put, ReplyTo, RequestId, Role};
use proto::peer::NodeName;

use super::output::SharedView;
use super::request::{ClientAnswer, ClientRequest};

/// Mail from one core to another.
#[derive(Debug)]
pub enum Mail {
    /// A frame that arrived on a link of the sending core but concerns the receiving one.
    Frame {
        /// Where answers to it go.
        reply: ReplyTo,
        /// Who sent it, as its certificate says.
        from: NodeName,
        /// In which role.
        role: Role,
        /// The whole frame, header included.
        frame: Vec<u8>,
    },
    /// Frames for a link that the receiving core holds.
    Reply {
        /// The link on the receiving core.
        link: u64,
        /// One or more encoded frames.
        frames: Vec<u8>,
    },
    /// An operation on a key of the receiving core's shard.
    Shard {
        /// The sending core, for the answer.
        from: u8,
        /// The sender's number for the operation.
        request: RequestId,
        /// What to do.
        op: ShardOp,
    },
    /// The answer to `Shard`.
    ShardDone {
        /// The number of the operation.
        request: RequestId,
        /// What came of it.
        answer: ClientAnswer,
    },
    /// The routing view that core 0 publishes.
    View(SharedView),
    /// Close a link that the receiving core holds: its peer broke the rules.
    Close {
        /// The link on the receiving core.
        link: u64,
        /// Why, for the log and the peer.
        reason: String,
    },
}

/// An operation on one key, owned for as long as it travels or waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShardOp {
    /// Store a value.
    Put {
        /// The key.
        key: Key,
        /// Lifetime in seconds, as the client gave it.
        ttl_s: u32,
        /// Replicas wanted, as the client gave it.
        replication: u8,
        /// The value.
        value: Vec<u8>,
    },
    /// Read a key.
    Get(Key),
    /// Delete a key.
    Delete(Key),
}

impl ShardOp {
    /// Takes over a request on a key; `None` for a lookup.
    #[must_use]
    pub fn of(request: &ClientRequest<'_>) -> Option<Self> {
        Some(match *request {
            ClientRequest::Put {
                key,
                ttl_s,
                replication,
                value,
            } => Self::Put {
                key,
                ttl_s,
                replication,
                value: value.to_vec(),
            },
            ClientRequest::Get { key } => Self::Get(key),
            ClientRequest::Delete { key } => Self::Delete(key),
            ClientRequest::Lookup { .. } => return None,
        })
    }

    /// The request it was made of.
    #[must_use]
    pub fn request(&self) -> ClientRequest<'_> {
        match self {
            Self::Put {
                key,
                ttl_s,
                replication,
                value,
            } => {
                let (key, ttl_s, replication) = (*key, *ttl_s, *replication);
                ClientRequest::Put {
                    key,
                    ttl_s,
                    replication,
                    value,
                }
            }
            Self::Get(key) => ClientRequest::Get { key: *key },
            Self::Delete(key) => ClientRequest::Delete { key: *key },
        }
    }

    /// The message that asks an owner for it.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        match self {
            Self::Put {
                key,
                ttl_s,
                replication,
                value,
            } => {
                let (key, ttl_s, replication) = (*key, *ttl_s, *replication);
                Message::Put(Put {
                    key,
                    ttl_s,
                    replication,
                    value,
                })
            }
            Self::Get(key) => Message::Get(Get { key: *key }),
            Self::Delete(key) => Message::Delete(Delete { key: *key }),
        }
    }
}
