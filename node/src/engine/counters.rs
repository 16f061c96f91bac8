//! What a core counts, as plain numbers of its own; the admin front sums them over all cores.
//! Nothing is reset and nothing is shared: a report takes a copy.

use proto::chord::LookupResult;
use proto::message::Message;

/// Counts since the core started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Clients' requests that went to another node.
    pub gateway_requests: u64,
    /// Requests of other nodes' gateways that were served.
    pub owner_requests: u64,
    /// Requests handed to the shard of another core of this node.
    pub mailbox_hops: u64,
    /// Requests of clients and gateways that ended without success.
    pub failed_requests: u64,
    /// Requests that waited for the disk until their deadline.
    pub disk_timeouts: u64,
    /// Owners that turned out to own the key no more.
    pub disowned: u64,
    /// Owners that did not answer in time.
    pub owner_timeouts: u64,
    /// Frames received from peers and native clients.
    pub frames_in: u64,
    /// Lookups started for requests of clients and operators.
    pub lookups_client: u64,
    /// Lookups started for the ring itself: joining, fingers, merging.
    pub lookups_ring: u64,
    /// Lookups that ended without an owner.
    pub lookups_failed: u64,
    /// RPCs of lookups that found an owner.
    pub lookup_rpcs: u64,
    /// Nodes that those lookups found dead on their way.
    pub lookup_timeouts: u64,
    /// Recursive lookups passed on or answered for others.
    pub lookups_relayed: u64,
    /// Answers to nothing that was asked.
    pub stray_answers: u64,
    /// Links closed because the peer broke the rules.
    pub misbehaviours: u64,
}

impl Counters {
    /// Takes note of an answer that says "failed", to a client or a gateway.
    pub(super) fn count_failure(&mut self, message: &Message<'_>) {
        if matches!(message, Message::Failed(_)) {
            self.failed_requests += 1;
        }
    }

    /// Counts a lookup that has ended.
    pub(super) fn count_lookup(&mut self, result: &LookupResult) {
        match result {
            Ok(found) => {
                self.lookup_rpcs += u64::from(found.route.rpcs);
                self.lookup_timeouts += u64::from(found.route.timeouts);
            }
            Err(_) => self.lookups_failed += 1,
        }
    }
}
