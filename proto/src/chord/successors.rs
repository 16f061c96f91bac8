//! The successor list: ordered clockwise from its owner, no duplicates, never the owner itself, at
//! most s long and never padded (CHORD.md, "State of a member").

use crate::id::Id;
use crate::peer::{NodeName, Peer};
use crate::planted::{self, Bug};

/// The list of one member.
#[derive(Clone, Debug)]
pub(super) struct SuccessorList {
    me: Id,
    len_max: usize,
    peers: Vec<Peer>,
}

impl SuccessorList {
    pub(super) const fn new(me: Id, len_max: usize) -> Self {
        Self {
            me,
            len_max,
            peers: Vec::new(),
        }
    }

    pub(super) fn peers(&self) -> &[Peer] {
        &self.peers
    }

    pub(super) fn head(&self) -> Option<&Peer> {
        self.peers.first()
    }

    pub(super) fn last(&self) -> Option<&Peer> {
        self.peers.last()
    }

    pub(super) fn is_full(&self) -> bool {
        self.peers.len() == self.len_max
    }

    /// `[head] ++ rest`, cut at the first entry that is not further on towards the owner: a copied
    /// list that goes round the circle comes back to its reader there. Says whether it changed.
    pub(super) fn adopt(&mut self, head: Option<&Peer>, rest: &[Peer]) -> bool {
        let mut next: Vec<Peer> = Vec::with_capacity(self.len_max);
        for peer in head.into_iter().chain(rest).take(self.len_max) {
            let after = next.last().map_or(self.me, Peer::id);
            let is_ordered =
                peer.id().is_between(&after, &self.me) || planted::is(Bug::UnorderedList);
            if peer.id() == self.me || !is_ordered {
                break;
            }
            next.push(peer.clone());
        }
        let changed = next != self.peers;
        self.peers = next;
        changed
    }

    /// Drops one member that is known to be out of the ring. Says whether it was there.
    pub(super) fn remove(&mut self, id: &Id) -> bool {
        let before = self.peers.len();
        self.peers.retain(|peer| peer.id() != *id);
        self.peers.len() != before
    }

    /// Drops every member of a dead node. Says whether there was one.
    pub(super) fn remove_node(&mut self, node: &NodeName) -> bool {
        let before = self.peers.len();
        self.peers.retain(|peer| peer.name() != node);
        self.peers.len() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chord::testnet::{params, sorted_peers};

    #[test]
    fn adopted_list_is_cut_at_its_reader_and_at_its_length() {
        let peers = sorted_peers(&params(3), 5);
        let mut list = SuccessorList::new(peers[3].id(), 3);
        let round = [peers[0].clone(), peers[1].clone(), peers[2].clone()];
        assert!(list.adopt(Some(&peers[4]), &round));
        assert_eq!(list.peers(), [&peers[4..], &peers[..2]].concat());
        assert!(!list.adopt(Some(&peers[4]), &round));
        let past_me = [peers[2].clone(), peers[3].clone(), peers[4].clone()];
        list.adopt(Some(&peers[1]), &past_me);
        assert_eq!(list.peers(), &peers[1..3]);
    }

    #[test]
    fn disorder_and_duplicates_end_the_list() {
        let peers = sorted_peers(&params(4), 5);
        let mut list = SuccessorList::new(peers[0].id(), 4);
        let disorder = [peers[3].clone(), peers[2].clone(), peers[4].clone()];
        list.adopt(Some(&peers[1]), &disorder);
        assert_eq!(list.peers(), [peers[1].clone(), peers[3].clone()]);
        let twice = [peers[1].clone(), peers[2].clone()];
        list.adopt(Some(&peers[1]), &twice);
        assert_eq!(list.peers(), &peers[1..2]);
    }
}
