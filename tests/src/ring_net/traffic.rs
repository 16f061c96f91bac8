//! What travels on the simulated network: messages and bytes by kind, as the codec lays them out.
//! Bytes are those of whole frames; TLS records, TCP and IP come on top. Work for lookups that a
//! test asked for is kept apart from what the ring does by itself.

use std::collections::BTreeMap;

use proto::codec::{encode, kind};
use proto::message::{Message, RequestId};

/// Messages and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// How many messages.
    pub messages: u64,
    /// The bytes of their frames.
    pub bytes: u64,
}

/// Counts by kind of message.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    upkeep: BTreeMap<&'static str, Count>,
    lookups: BTreeMap<&'static str, Count>,
    frame: Vec<u8>,
}

impl Traffic {
    /// Counts a message that is sent; `asked` when it serves a lookup that a test asked for.
    pub(super) fn count(&mut self, asked: bool, request: RequestId, message: &Message<'_>) {
        self.frame.clear();
        encode(&mut self.frame, request, message);
        let counts = if asked {
            &mut self.lookups
        } else {
            &mut self.upkeep
        };
        let count = counts.entry(kind_name(message)).or_default();
        count.messages += 1;
        count.bytes += self.frame.len() as u64;
    }

    /// What the ring does by itself, by kind.
    #[must_use]
    pub const fn upkeep(&self) -> &BTreeMap<&'static str, Count> {
        &self.upkeep
    }

    /// What the lookups that were asked for cost, by kind.
    #[must_use]
    pub const fn lookups(&self) -> &BTreeMap<&'static str, Count> {
        &self.lookups
    }

    /// All kinds of one of the two together.
    #[must_use]
    pub fn sum(counts: &BTreeMap<&'static str, Count>) -> Count {
        counts.values().fold(Count::default(), |sum, count| Count {
            messages: sum.messages + count.messages,
            bytes: sum.bytes + count.bytes,
        })
    }

    /// Starts counting anew.
    pub fn clear(&mut self) {
        self.upkeep.clear();
        self.lookups.clear();
    }
}

/// Chord's own name of a kind of message of the ring.
fn kind_name(message: &Message<'_>) -> &'static str {
    match kind::of(message) {
        kind::FIND_SUCCESSOR => "FindSuccessor",
        kind::HOP_ACK => "HopAck",
        kind::FOUND => "Found",
        kind::LOOKUP_FAILED => "LookupFailed",
        kind::NEXT_HOP => "NextHop",
        kind::NEXT_HOP_ANSWER => "NextHopAnswer",
        kind::GET_NEIGHBOURS => "GetNeighbours",
        kind::NEIGHBOURS => "Neighbours",
        kind::NOTIFY => "Notify",
        kind::JOIN => "Join",
        kind::JOIN_ANSWER => "JoinAnswer",
        kind::LEAVE => "Leave",
        kind::DONE => "Done",
        kind::FAILED => "Failed",
        _ => "other",
    }
}
