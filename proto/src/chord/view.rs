//! The routing view: what every core routes by, published by core 0 as a whole.
//!
//! It decides two things, both by binary search: whether one of this node's own members owns a
//! position, and where a lookup goes next. Fingers are hints for the second and never for the
//! first.

use crate::id::{Id, IdArc};
use crate::peer::{NodeName, Peer};

use super::bounds::NEAR_GAPS;

/// What every core routes by; published by core 0.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoutingView {
    /// Grows with every change.
    pub epoch: u64,
    /// This node's own members, sorted by id.
    pub own: Vec<OwnMember>,
    /// Every member of other nodes known to this node, sorted by id, distinct.
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

impl OwnMember {
    /// The arc it owns; `None` while it cannot know.
    #[must_use]
    pub fn arc(&self) -> Option<IdArc> {
        match &self.predecessor {
            _ if !self.serving => None,
            Some(predecessor) => Some(IdArc::new(predecessor.id(), self.me.id())),
            None if self.successors.is_empty() => Some(IdArc::new(self.me.id(), self.me.id())),
            None => None,
        }
    }

    /// Distance up to which it knows every member ahead.
    fn horizon(&self) -> Option<Id> {
        let last = self.successors.last()?;
        Some(self.me.id().distance_to(&last.id()))
    }

    /// Base-2 logarithm of the ring's size, estimated from the density of the neighbours.
    fn log2_members(&self) -> u32 {
        let first = self.predecessor.as_ref().unwrap_or(&self.me);
        let last = self.successors.last().unwrap_or(&self.me);
        let gaps = self.successors.len() + usize::from(self.predecessor.is_some());
        let span = first.id().distance_to(&last.id()).high();
        if gaps == 0 || span == 0 {
            return u32::from(gaps > 1);
        }
        let gaps = u128::try_from(gaps).unwrap_or(1);
        ((gaps << 64) / u128::from(span)).max(1).ilog2() + 1
    }

    /// Whether `target` lies so little behind that predecessors are the way to it.
    fn is_near_behind(&self, target: &Id, len_max: usize) -> bool {
        if self.successors.len() < len_max {
            return true;
        }
        let behind = target.distance_to(&self.me.id()).high();
        let first = self.predecessor.as_ref().unwrap_or(&self.me);
        let last = self.successors.last().unwrap_or(&self.me);
        let gaps = self.successors.len() as u64 + 1;
        let gap = first.id().distance_to(&last.id()).high() / gaps;
        behind <= gap.saturating_mul(u64::from(NEAR_GAPS))
    }
}

/// Where a lookup goes from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// To this member of another node.
    Hop(&'a Peer),
    /// Nowhere: an own member would own the position if it knew its predecessor.
    Unconfirmed,
    /// Nowhere: nobody usable is known.
    Nobody,
}

/// How the next hop is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StepRule {
    /// Length s of a full successor list.
    pub len_max: usize,
    /// Skip the predecessor of the position when a successor list names the presumed owner.
    pub direct: bool,
    /// The lookup came from somebody who may have taken an own member for the owner.
    pub arrived: bool,
}

impl RoutingView {
    /// A view of these members, sorted as the searches need it.
    #[must_use]
    pub fn new(epoch: u64, mut own: Vec<OwnMember>, mut hops: Vec<Peer>) -> Self {
        own.sort_by_key(|member| member.me.id());
        hops.sort_by_key(Peer::id);
        hops.dedup_by_key(|hop| hop.id());
        Self { epoch, own, hops }
    }

    /// The own member that owns `target` as far as it knows itself: `target` ∈ (pred, self].
    #[must_use]
    pub fn owner_of(&self, target: &Id) -> Option<&OwnMember> {
        let member = self.own_ahead(target)?;
        member.arc()?.contains(target).then_some(member)
    }

    /// Whether any own member is in the ring.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.own.iter().any(|member| member.serving)
    }

    /// The last usable member of another node before `target`.
    pub fn closest_preceding(&self, target: &Id, usable: impl Fn(&Peer) -> bool) -> Option<&Peer> {
        let split = self.hops.partition_point(|hop| hop.id() < *target);
        let (below, above) = self.hops.split_at(split);
        let mut back = below.iter().rev().chain(above.iter().rev());
        back.find(|hop| usable(hop) && hop.id() != *target)
    }

    /// The first usable member of another node at or after `target`: its owner as far as known.
    pub fn closest_following(&self, target: &Id, usable: impl Fn(&Peer) -> bool) -> Option<&Peer> {
        let split = self.hops.partition_point(|hop| hop.id() < *target);
        let (below, above) = self.hops.split_at(split);
        above.iter().chain(below).find(|hop| usable(hop))
    }

    /// Where a lookup for `target`, which no own member owns, goes next.
    ///
    /// Normally to the closest preceding member (Stoica et al. 2003, Fig. 5); to the successor of
    /// the closest preceding member when that is an own one; to the owner itself when the rule
    /// allows it and a successor list names one that is usable: whoever is known beyond the list
    /// may be far past the owner. Back over predecessors when the lookup arrived at a presumed
    /// owner behind whose back somebody joined. Going back only ever happens within a few gaps and
    /// each step is strictly nearer, so there is no loop.
    pub fn next_step(
        &self,
        target: &Id,
        rule: StepRule,
        usable: impl Fn(&Peer) -> bool,
    ) -> Step<'_> {
        let Some(following) = self.closest_following(target, &usable) else {
            return Step::Nobody;
        };
        let ahead = self.own_ahead(target);
        let follows_own = ahead.is_some_and(|own| {
            target.distance_to(&own.me.id()) < target.distance_to(&following.id())
        });
        let to_owner = if follows_own {
            Step::Unconfirmed
        } else {
            Step::Hop(following)
        };
        let Some(preceding) = self.closest_preceding(target, &usable) else {
            return to_owner;
        };
        let behind = self.own_behind(target);
        let own_precedes = behind.is_some_and(|own| {
            own.me.id().distance_to(target) < preceding.id().distance_to(target)
        });
        let walks_back =
            rule.arrived && ahead.is_some_and(|own| own.is_near_behind(target, rule.len_max));
        let is_listed = rule.direct
            && !follows_own
            && behind.is_some_and(|own| {
                let reach = own.me.id().distance_to(&following.id());
                let is_ahead = own.me.id().distance_to(target) <= reach;
                is_ahead && own.horizon().is_some_and(|horizon| reach <= horizon)
            });
        if own_precedes || walks_back || is_listed {
            to_owner
        } else {
            Step::Hop(preceding)
        }
    }

    /// Whether a lookup that `sender` handed over came past `target`: the sender is not between the
    /// position and the own member behind it, so it took that member for the owner. Of a sender
    /// nothing is known of, `first`, its first member, is looked at.
    #[must_use]
    pub fn came_past(&self, target: &Id, sender: &NodeName, first: Option<&Peer>) -> bool {
        let Some(own) = self.own_ahead(target) else {
            return false;
        };
        let reach = target.distance_to(&own.me.id());
        let known = self.hops.iter().filter(|hop| hop.name() == sender);
        let between = |peer: &Peer| target.distance_to(&peer.id()) < reach;
        !known.chain(first).any(between)
    }

    /// Most hops a lookup may take: 2·log2 N + s, with N estimated from the neighbours.
    #[must_use]
    pub fn hop_limit(&self, len_max: usize) -> u16 {
        let log2 = self.own.iter().map(OwnMember::log2_members).max();
        let limit = 2 * log2.unwrap_or(0) as usize + len_max;
        u16::try_from(limit).unwrap_or(u16::MAX).max(HOP_LIMIT_MIN)
    }

    fn own_ahead(&self, target: &Id) -> Option<&OwnMember> {
        let split = self.own.partition_point(|own| own.me.id() < *target);
        let (below, above) = self.own.split_at(split);
        above.iter().chain(below).find(|own| own.serving)
    }

    fn own_behind(&self, target: &Id) -> Option<&OwnMember> {
        let split = self.own.partition_point(|own| own.me.id() < *target);
        let (below, above) = self.own.split_at(split);
        let mut back = below.iter().rev().chain(above.iter().rev());
        back.find(|own| own.serving)
    }
}

/// Small rings in turmoil need a few hops more than the formula gives.
const HOP_LIMIT_MIN: u16 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chord::testnet::{params, sorted_peers};

    const RULE: StepRule = StepRule {
        len_max: 2,
        direct: false,
        arrived: false,
    };

    /// Member 2 of eight with pred 1, list 3, 4 and finger 6.
    fn view(peers: &[Peer]) -> RoutingView {
        let own = OwnMember {
            me: peers[2].clone(),
            predecessor: Some(peers[1].clone()),
            successors: peers[3..5].to_vec(),
            serving: true,
        };
        let hops = [6, 1, 3, 4, 3].map(|i: usize| peers[i].clone());
        RoutingView::new(1, vec![own], hops.to_vec())
    }

    #[test]
    fn owns_its_arc_and_nothing_else() {
        let peers = sorted_peers(&params(2), 8);
        let view = view(&peers);
        assert!(view.owner_of(&peers[2].id()).is_some());
        assert!(view.owner_of(&peers[1].id().plus_pow2(0)).is_some());
        assert!(view.owner_of(&peers[1].id()).is_none());
        assert!(view.owner_of(&peers[2].id().plus_pow2(0)).is_none());
        assert_eq!(view.hops.len(), 4);
    }

    #[test]
    fn ring_of_one_owns_everything_once_it_serves() {
        let peers = sorted_peers(&params(2), 1);
        let mut own = OwnMember {
            me: peers[0].clone(),
            predecessor: None,
            successors: vec![],
            serving: true,
        };
        let whole = RoutingView::new(1, vec![own.clone()], vec![]);
        assert!(whole.owner_of(&Id::ZERO).is_some());
        own.serving = false;
        let none = RoutingView::new(1, vec![own], vec![]);
        assert!(none.owner_of(&Id::ZERO).is_none() && !none.is_serving());
    }

    #[test]
    fn steps_go_to_the_closest_preceding_and_around_the_unusable() {
        let peers = sorted_peers(&params(2), 8);
        let view = view(&peers);
        let step = |target: usize, dead: &[usize]| {
            let usable = |hop: &Peer| !dead.iter().any(|i| peers[*i] == *hop);
            view.next_step(&peers[target].id(), RULE, usable)
        };
        assert_eq!(step(3, &[]), Step::Hop(&peers[3]));
        assert_eq!(step(4, &[]), Step::Hop(&peers[3]));
        assert_eq!(step(5, &[]), Step::Hop(&peers[4]));
        assert_eq!(step(0, &[]), Step::Hop(&peers[6]));
        assert_eq!(step(0, &[6]), Step::Hop(&peers[4]));
        assert_eq!(step(3, &[3]), Step::Hop(&peers[4]));
        assert_eq!(step(0, &[1, 3, 4, 6]), Step::Nobody);
    }

    #[test]
    fn presumed_owner_is_met_directly_or_found_backwards() {
        let peers = sorted_peers(&params(2), 8);
        let view = view(&peers);
        let target = peers[4].id();
        let direct = StepRule {
            direct: true,
            ..RULE
        };
        assert_eq!(
            view.next_step(&target, direct, |_| true),
            Step::Hop(&peers[4])
        );
        let usable = |hop: &Peer| *hop != peers[4];
        let past_the_list = view.next_step(&target, direct, usable);
        assert_eq!(past_the_list, Step::Hop(&peers[3]), "6 is past the owner");
        let arrived = StepRule {
            arrived: true,
            ..RULE
        };
        let behind = peers[1].id();
        assert_eq!(
            view.next_step(&behind, arrived, |_| true),
            Step::Hop(&peers[1])
        );
        let usable = |hop: &Peer| *hop != peers[1];
        assert_eq!(view.next_step(&behind, arrived, usable), Step::Unconfirmed);
    }
}
