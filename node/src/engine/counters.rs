//! What a core counts, as plain numbers of its own; the admin front sums them over all cores.
//! Nothing is reset and nothing is shared: a report takes a copy.

/// Counts since the core started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Clients' requests that went to another node.
    pub gateway_requests: u64,
    /// Requests of other nodes' gateways that were served.
    pub owner_requests: u64,
    /// Requests handed to the shard of another core of this node.
    pub mailbox_hops: u64,
    /// Clients' requests that ended without success.
    pub failed_requests: u64,
    /// Owners that turned out to own the key no more.
    pub disowned: u64,
    /// Owners that did not answer in time.
    pub owner_timeouts: u64,
    /// Frames received from peers and native clients.
    pub frames_in: u64,
    /// Recursive lookups passed on or answered for others.
    pub lookups_relayed: u64,
    /// Answers to nothing that was asked.
    pub stray_answers: u64,
    /// Links closed because the peer broke the rules.
    pub misbehaviours: u64,
}
