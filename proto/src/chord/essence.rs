//! What decides how a member goes on, without its clockwork: for checkers that explore every order
//! of events and therefore have to know when two states are the same.
//!
//! Left out are times and what only moves them (pauses, pace, dice, measured round trips), fingers
//! and the member cache, which choose the way of a lookup and never a neighbour, and the number of
//! candidates chased, whose bound no ring reaches that has fewer members than it.

use crate::id::Id;
use crate::message::RequestId;
use crate::peer::Peer;

use super::Phase;
use super::asks::Purpose;
use super::member::{Chord, Reason};

/// The state of a member up to the passing of time.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Essence {
    /// Where it stands.
    pub phase: Phase,
    /// Its predecessor.
    pub predecessor: Option<Id>,
    /// Its successor list, nearest first.
    pub successors: Vec<Id>,
    /// What it has asked whom, the oldest question first.
    pub asking: Vec<(Purpose, Id)>,
    /// Whether a stabilisation is under way.
    pub stabilising: bool,
    /// Candidates found dead lately, in the order of their ids.
    pub buried: Vec<Id>,
    /// Who takes over if the predecessor that is being checked is dead.
    pub heir: Option<Id>,
    /// The predecessor that has said itself that it is out of the ring.
    pub gone: Option<Id>,
    /// Whether it waits for its place to be looked up.
    pub seeks_place: bool,
    /// Whether it waits for itself to be looked up.
    pub seeks_itself: bool,
}

impl Chord {
    /// The state of this member up to the passing of time.
    #[must_use]
    pub fn essence(&self) -> Essence {
        Essence {
            phase: self.phase,
            predecessor: self.predecessor.as_ref().map(Peer::id),
            successors: self.successors.peers().iter().map(Peer::id).collect(),
            asking: self
                .questions()
                .map(|(_, why, of)| (why, of.id()))
                .collect(),
            stabilising: self.is_stabilising(),
            buried: self.buried(),
            heir: self.check.heir.as_ref().map(Peer::id),
            gone: self.check.gone,
            seeks_place: self.lookups[Reason::Join as usize].is_some(),
            seeks_itself: self.lookups[Reason::Merge as usize].is_some(),
        }
    }

    /// The requests that wait for their answers, the oldest first: number, purpose, who is asked.
    pub fn questions(&self) -> impl Iterator<Item = (RequestId, Purpose, &Peer)> {
        self.asks.questions()
    }
}
