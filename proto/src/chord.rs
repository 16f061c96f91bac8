//! The pure Chord machine of CHORD.md: who is in the ring, who owns what, and the way there.
//!
//! [`Ring`] holds the virtual nodes of one host, each a [`Chord`]; it runs on core 0 and publishes
//! an immutable [`RoutingView`]. Every core has a [`Router`] that looks owners up by that view.
//! All of them follow one grammar: inputs are `handle_*(…, now)` and domain commands, after each of
//! which `poll_output()` is called until it gives `None`; then `poll_timeout()` says at which
//! monotonic time `handle_timeout` is due. No I/O, no clock, no thread.

mod arcs;
mod asks;
mod bounds;
mod cache;
mod departure;
mod dice;
mod essence;
mod fingers;
mod forward;
mod inbox;
pub mod invariant;
mod iterative;
mod join;
mod member;
mod merge;
mod misbehaviour;
mod rectify;
mod ring;
mod router;
mod rtt;
mod search;
mod stabilise;
mod successors;
#[cfg(test)]
mod testnet;
#[cfg(test)]
mod testnet_cases;
mod view;

use std::time::Duration;

use crate::id::Id;
use crate::message::{LookupFailure, Message, ReplyTo, RequestId, Route};
use crate::peer::{NodeName, Peer, RingParams};

pub use arcs::ArcCache;
pub use asks::Purpose;
pub use bounds::ARCS_MAX;
pub use essence::Essence;
pub use fingers::FingerTable;
pub use member::{Chord, MemberSnapshot, Pointers};
pub use misbehaviour::Misbehaviour;
pub use ring::Ring;
pub use router::{Router, RouterConfig, RouterOutput};
pub use rtt::{RttBounds, RttTable};
pub use view::{OwnMember, RoutingView, Step, StepRule};

/// How a member behaves; the same for all virtual nodes of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChordConfig {
    /// What all members of the ring agree on.
    pub params: RingParams,
    /// Time between two stabilisations of a quiet member (`stabilize_interval`).
    pub stabilize_interval: Duration,
    /// Bits of a finger digit (`finger_bits`): 1 for base 2, 4 for base 16.
    pub finger_bits: u8,
    /// How the work of keeping the pointers right is spread over time.
    pub pace: Pace,
    /// Whom to join through; empty starts a ring.
    pub bootstrap: Vec<NodeName>,
}

/// How the work of keeping the pointers right is spread over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pace {
    /// Eager after a change, slowing down while nothing happens.
    #[default]
    Adaptive,
    /// As the papers simulate it (Stoica et al. 2003, section VI-E): rounds, and refreshes of one
    /// finger each, at intervals drawn from half to one and a half of `stabilize_interval`,
    /// whatever happens. Only reproductions of their tables use it.
    Papers,
}

/// Where a member stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Created, not started.
    Idle,
    /// Looks for its place in the ring.
    Joining,
    /// In the ring.
    Member,
    /// Tells its neighbours that it leaves.
    Leaving,
    /// Out of the ring for good.
    Left,
}

impl Phase {
    /// The name operators read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle | Self::Joining => "joining",
            Self::Member => "member",
            Self::Leaving => "leaving",
            Self::Left => "left",
        }
    }
}

/// What a [`Chord`] or a [`Ring`] wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChordOutput {
    /// Send a request; its answer goes to `handle_answer`. The same request may be sent again.
    Ask {
        /// The node asked.
        to: NodeName,
        /// The id to send it under.
        request: RequestId,
        /// The request.
        message: Message<'static>,
    },
    /// Send a message that is not answered.
    Tell {
        /// The node told.
        to: NodeName,
        /// The message.
        message: Message<'static>,
    },
    /// Answer a received request.
    Answer {
        /// Which request.
        reply: ReplyTo,
        /// The answer.
        message: Message<'static>,
    },
    /// Look an owner up, recursively and past the arc cache; the result goes to `handle_lookup`.
    Lookup {
        /// Comes back with the result.
        ticket: u64,
        /// The position.
        target: Id,
        /// The node to start from instead of the own view.
        via: Option<NodeName>,
        /// Monotonic time by which the result is wanted.
        deadline: Duration,
    },
}

/// An owner that was looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookupFound {
    /// The owner.
    pub owner: Peer,
    /// Its predecessor; `None` in a ring of one.
    pub predecessor: Option<Peer>,
    /// How it was reached.
    pub route: Route,
    /// The members passed, the owner last; empty unless traced or iterative.
    pub path: Vec<Peer>,
}

/// What a lookup ends in.
pub type LookupResult = Result<LookupFound, LookupFailure>;
