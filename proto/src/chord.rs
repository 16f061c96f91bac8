//! The pure Chord machine of CHORD.md.

use crate::peer::Peer;

/// What every core routes by; published by core 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoutingView {
    /// Grows with every change.
    pub epoch: u64,
    /// This node's own members.
    pub own: Vec<OwnMember>,
    /// Every member known to this node, sorted by id, distinct.
    pub hops: Vec<Peer>,
}

/// One of this node's own members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnMember {
    /// The member.
    pub me: Peer,
    /// Its predecessor.
    pub predecessor: Option<Peer>,
    /// Its successor list.
    pub successors: Vec<Peer>,
    /// Whether it answers as owner: joined and not leaving.
    pub serving: bool,
}
