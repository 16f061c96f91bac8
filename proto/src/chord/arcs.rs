//! The arc cache: owners by the arc they own, learned from the answers to lookups.
//!
//! Arcs in the cache never overlap: a new one replaces every arc it touches, since the newest
//! answer is the best known. Wrong entries cost one hop: the owner asked answers NotOwner.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use crate::id::{Id, IdArc};
use crate::peer::{NodeName, Peer};

use super::dice::Dice;

/// Owners by the end of their arcs.
#[derive(Clone, Debug)]
pub struct ArcCache {
    arcs: BTreeMap<Id, Entry>,
    arcs_max: usize,
    dice: Dice,
}

#[derive(Clone, Debug)]
struct Entry {
    after: Id,
    owner: Peer,
}

impl ArcCache {
    /// An empty cache of at most `arcs_max` arcs; `seed` chooses what goes when it is full.
    #[must_use]
    pub const fn new(arcs_max: usize, seed: u64) -> Self {
        Self {
            arcs: BTreeMap::new(),
            arcs_max,
            dice: Dice::new(seed),
        }
    }

    /// The owner of the arc that contains `target`.
    #[must_use]
    pub fn find(&self, target: &Id) -> Option<&Peer> {
        let (upto, entry) = self.at_or_after(target)?;
        let arc = IdArc::new(entry.after, *upto);
        arc.contains(target).then_some(&entry.owner)
    }

    /// Learns that `owner` owns `(after, owner]`.
    pub fn insert(&mut self, after: Id, owner: Peer) {
        if self.arcs_max == 0 {
            return;
        }
        let upto = owner.id();
        self.clear_overlap(&IdArc::new(after, upto));
        if self.arcs.len() >= self.arcs_max {
            self.evict();
        }
        self.arcs.insert(upto, Entry { after, owner });
    }

    /// Drops the arc that contains `target`.
    pub fn forget(&mut self, target: &Id) {
        let hit = self.at_or_after(target).map(|(upto, _)| *upto);
        if let Some(upto) = hit
            && self.find(target).is_some()
        {
            self.arcs.remove(&upto);
        }
    }

    /// Drops every arc of the members of `node`.
    pub fn forget_node(&mut self, node: &NodeName) {
        self.arcs.retain(|_, entry| entry.owner.name() != node);
    }

    /// Number of arcs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.arcs.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.arcs.is_empty()
    }

    /// Ends of arcs within `arc` go, and the one arc that begins inside and ends behind it.
    fn clear_overlap(&mut self, arc: &IdArc) {
        while let Some(upto) = self.after(&arc.after) {
            if !arc.contains(&upto) {
                break;
            }
            self.arcs.remove(&upto);
        }
        let behind = self.after(&arc.upto);
        if let Some(upto) = behind
            && self.arcs.get(&upto).is_some_and(|entry| {
                let other = IdArc::new(entry.after, upto);
                other.contains(&arc.upto)
            })
        {
            self.arcs.remove(&upto);
        }
    }

    fn at_or_after(&self, target: &Id) -> Option<(&Id, &Entry)> {
        let mut ahead = self.arcs.range(target..);
        ahead.next().or_else(|| self.arcs.first_key_value())
    }

    fn after(&self, id: &Id) -> Option<Id> {
        let mut ahead = self.arcs.range((Excluded(id), Unbounded));
        let next = ahead.next().or_else(|| self.arcs.first_key_value());
        next.map(|(upto, _)| *upto)
    }

    fn evict(&mut self) {
        let anywhere = Id::from_high(self.dice.roll());
        if let Some(upto) = self.after(&anywhere) {
            self.arcs.remove(&upto);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chord::testnet::{params, sorted_peers};
    use proptest::prelude::*;

    #[test]
    fn finds_what_was_learned_and_forgets_it() {
        let peers = sorted_peers(&params(4), 4);
        let mut cache = ArcCache::new(8, 1);
        for i in 0..4 {
            cache.insert(peers[(i + 3) % 4].id(), peers[i].clone());
        }
        assert_eq!(cache.len(), 4);
        for i in 0..4 {
            assert_eq!(cache.find(&peers[i].id()), Some(&peers[i]));
            let inside = peers[i].id().plus_pow2(0);
            assert_eq!(cache.find(&inside), Some(&peers[(i + 1) % 4]));
        }
        cache.forget(&peers[2].id());
        assert_eq!(cache.find(&peers[2].id()), None);
        cache.forget_node(peers[1].name());
        assert_eq!(cache.find(&peers[1].id()), None);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn full_circle_replaces_everything() {
        let peers = sorted_peers(&params(4), 3);
        let mut cache = ArcCache::new(8, 1);
        cache.insert(peers[0].id(), peers[1].clone());
        cache.insert(peers[2].id(), peers[2].clone());
        assert_eq!(cache.len(), 1);
        assert_eq!(cache.find(&Id::ZERO), Some(&peers[2]));
    }

    #[test]
    fn eviction_keeps_the_bound() {
        let peers = sorted_peers(&params(4), 64);
        let mut cache = ArcCache::new(16, 1);
        for pair in peers.windows(2) {
            cache.insert(pair[0].id(), pair[1].clone());
        }
        assert_eq!(cache.len(), 16);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Against a model that keeps every arc and asks the newest first, the cache may forget but
        /// never give an owner that a newer arc contradicts.
        #[test]
        fn never_older_than_the_newest_arc(
            arcs in prop::collection::vec((0usize..12, 0usize..12), 1..40),
            probe in 0usize..12,
        ) {
            let peers = sorted_peers(&params(4), 12);
            let mut cache = ArcCache::new(64, 7);
            for (after, owner) in &arcs {
                cache.insert(peers[*after].id(), peers[*owner].clone());
            }
            let target = peers[probe].id();
            let newest = arcs.iter().rev().find(|(after, owner)| {
                IdArc::new(peers[*after].id(), peers[*owner].id()).contains(&target)
            });
            if let Some(found) = cache.find(&target) {
                prop_assert_eq!(found, &peers[newest.unwrap().1]);
            }
            let last = arcs.last().unwrap();
            let arc = IdArc::new(peers[last.0].id(), peers[last.1].id());
            if arc.contains(&target) {
                prop_assert_eq!(cache.find(&target), Some(&peers[last.1]));
            }
        }
    }
}
