//! What cores of one node tell each other. Mail is moved, never shared.

use proto::key::Key;
use proto::message::{ReplyTo, RequestId, Role};
use proto::peer::NodeName;

use super::output::SharedView;
use super::request::ClientAnswer;

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
    /// A peer was found unreachable, for core 0's ring.
    Unreachable(NodeName),
}

/// An operation on a shard.
#[derive(Debug)]
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
